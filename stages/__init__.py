"""Deepfake detection as a staged, reproducible pipeline: one sub-package per DVC stage.

Importing this package fixes, before NumPy, OpenCV and PyTorch load, the instruction set that their kernels may use, so
that the data stages write the same bytes on every x86-64 processor from AVX2 on (see dfdetect/runtime/threads.py).
"""

from dfdetect.runtime.threads import pin_instruction_set

pin_instruction_set()
