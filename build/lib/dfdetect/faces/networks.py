"""The face detectors' networks: run by onnxruntime on a CPU and by PyTorch on a GPU.

A network is exported once from its package, into models/weights, under a name that holds the hash of its weights; from
then on nothing here imports torch, whose import takes longer than the faces of many clips.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from dfdetect.errors import UserError
from dfdetect.io import pretrained as weights
from dfdetect.io.tables import atomic_path

Array = NDArray[Any]
Network = Callable[..., list[Array]]

EXPORT_VERSION = 1  # counts up when the export changes, so that files of an earlier one are not used


def load_network(name: str, device: str) -> Network:
    """A network as a function of arrays that returns arrays; dfdetect/faces/packages.py says which.

    Args:
        name: of its weights, a key of dfdetect.io.pretrained.WEIGHTS.
        device: cpu, cuda, or auto (cuda where there is a GPU).
    Raises:
        UserError: the weights are nowhere or do not fit, the exported file is damaged, or cuda is asked for in vain.
    """
    if uses_gpu(device):
        from dfdetect.faces.packages import on_gpu

        return on_gpu(name)
    return _session(exported(name))


def exported(name: str) -> Path:
    """The ONNX file of a network; made if it is not there, which takes some ten seconds.

    Raises:
        UserError: the weights are nowhere or do not fit.
    """
    path = weights.FOLDER / f"{name}-{weights.fingerprint(name)[:16]}-{EXPORT_VERSION}.onnx"
    if not path.exists():
        from dfdetect.faces.packages import export

        with atomic_path(path) as temporary:
            export(name, temporary)
    return path


def uses_gpu(device: str) -> bool:
    """Whether networks run on a GPU; torch is not imported where there is no driver of one.

    Raises:
        UserError: cuda is asked for and there is no GPU.
    """
    if device == "cpu":
        return False
    try:
        ctypes.CDLL("libcuda.so.1")
        import torch

        there = torch.cuda.is_available()
    except OSError:
        there = False
    if device == "cuda" and not there:
        raise UserError("faces.device is cuda, and PyTorch finds no GPU: set it to auto or cpu.")
    return there


@cache
def _session(path: Path) -> Network:
    options = onnxruntime.SessionOptions()
    # One thread, since the stages run a worker process on each core; no arena, which would keep the largest of all the
    # different sizes that come.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds of error share no base but this
        raise UserError(f"{path} cannot be read ({type(error).__name__}): remove it; it is then made anew.") from None
    names = [each.name for each in session.get_inputs()]

    def run(*inputs: Array) -> list[Array]:
        return [np.asarray(each) for each in session.run(None, dict(zip(names, inputs, strict=True)))]

    return run
