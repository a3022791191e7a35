"""Write a whole dataset of rendered clips, in worker processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path

import cv2

from synthetic.layouts import LAYOUTS
from synthetic.settings import GenerateSource, SettingsError
from synthetic.write import write_clip


def generate(
    root: Path,
    *,
    layout: str,
    source: GenerateSource,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
    keep: bool = False,
) -> int:
    """Write a whole dataset in an official layout.

    Args:
        root: folder to fill; made if absent. Existing files of the same names are replaced.
        layout: one of those in layouts.py, such as `fakeavceleb` or `dfdc`.
        source: how much of what to render.
        workers: processes, >= 1; never changes a byte of the result.
        progress: called with (clips written, clips in all) after each clip.
        keep: leave videos alone that an interrupted run of the same settings has written.
    Returns:
        Number of clips written.
    Raises:
        SettingsError: the layout cannot be generated, or not with these settings.
    """
    if layout not in LAYOUTS:
        raise SettingsError(f"layout {layout!r} cannot be generated: choose one of {', '.join(sorted(LAYOUTS))}")
    crops = LAYOUTS[layout].crops
    files = {root / path: clip for path, clip in LAYOUTS[layout].files(source).items()}
    # A video under its own name is whole; a folder of crops may be there in part.
    missing = {path: clip for path, clip in files.items() if not keep or crops or not path.exists()}
    for path in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    pool: Executor = ProcessPoolExecutor(workers, spawn, _start_worker) if workers > 1 else ThreadPoolExecutor(1)
    try:
        jobs = [pool.submit(write_clip, clip, path, crops) for path, clip in missing.items()]
        for done, job in enumerate(as_completed(jobs), len(files) - len(missing) + 1):
            job.result()
            if progress:
                progress(done, len(files))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    for name, text in LAYOUTS[layout].lists(LAYOUTS[layout].files(source)).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8", newline="")
    return len(files)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker in the middle of a clip
    cv2.setNumThreads(1)
