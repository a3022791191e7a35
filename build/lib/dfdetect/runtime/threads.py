"""Threads, and an allocator that suits the large arrays of video and training."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dfdetect.errors import UserError


def tune_allocator() -> None:
    """Let glibc keep freed blocks instead of returning them: the page faults of frames, spectrograms and activations
    cost 3 to 18 % of the time (docs/benchmarks.md).

    Raises the thresholds that MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ and MALLOC_TOP_PAD_ name, from inside the
    process. Does nothing where the C library has no mallopt.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3
    for option, value in ((m_mmap_threshold, 1 << 30), (m_trim_threshold, (1 << 31) - 1), (m_top_pad, 64 << 20)):
        mallopt(option, value)


def use_one_thread() -> Callable[[], None]:
    """Let OpenCV, OpenBLAS, OpenMP (for the calling thread) and, where it is loaded, PyTorch compute on one thread.

    Libraries read their environment variables once, when they are loaded; these are told. Of what is loaded later, a
    worker's environment takes care.

    Returns:
        A function that gives them back the threads that they had, to be called by the same thread.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    opencv, pytorch = cv2.getNumThreads(), torch.get_num_threads() if torch else 1
    limits = threadpool_limits(1)
    limits.__enter__()  # only its end lets another thread set OpenBLAS again
    cv2.setNumThreads(0)  # none beside the calling one; 1 would wait for a pool's threads, which a fork leaves behind
    if torch:
        torch.set_num_threads(1)

    def give_back() -> None:
        limits.__exit__(None, None, None)
        cv2.setNumThreads(opencv)
        if torch:
            torch.set_num_threads(pytorch)

    return give_back


@contextmanager
def one_thread() -> Iterator[None]:
    """`use_one_thread` for a while."""
    give_back = use_one_thread()
    try:
        yield
    finally:
        give_back()


def choose_device(wanted: str, setting: str = "device") -> str:
    """The device to compute on: cpu or cuda.

    Args:
        wanted: cpu, cuda (or Lightning's gpu), or auto: a GPU where PyTorch finds one.
        setting: what holds `wanted`, for the message.
    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted != "auto":
        raise UserError(f"{setting} is {wanted}, and PyTorch finds no usable GPU: set it to auto or cpu.")
    return "cpu"


def cpu_count() -> int:
    """The processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, len(affinity(0)) if affinity else (os.cpu_count() or 1))
