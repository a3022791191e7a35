"""Write a planned data set: render every clip in worker processes, then the layout's lists."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from dfdetect.errors import UserError
from dfdetect.runtime.threads import one_thread
from synthetic import GenerateSource
from synthetic.anatomy import Identity
from synthetic.layouts import WRITERS
from synthetic.plan import ClipPlan


def write_dataset(
    root: Path,
    *,
    layout: str,
    source: GenerateSource,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
    keep: bool = False,
) -> int:
    """See synthetic.generate."""
    if layout not in WRITERS:
        raise UserError(f"layout {layout!r} cannot be generated: choose one of {', '.join(sorted(WRITERS))}")
    writer = WRITERS[layout]
    plan = writer.plan(source)
    paths = writer.paths(plan)
    jobs = []
    for clip, relative in zip(plan.clips, paths, strict=True):
        named = {index for index in (clip.identity, clip.face_donor, clip.voice_donor) if index is not None}
        people = {index: plan.identities[index] for index in sorted(named)}
        jobs.append((clip, people, root / relative, writer.crops))
    for _, _, path, _ in jobs:
        path.parent.mkdir(parents=True, exist_ok=True)
    total = len(jobs)
    if keep and not writer.crops:  # a folder of crops may be there in part
        jobs = [job for job in jobs if not job[2].exists()]
    kept = total - len(jobs)
    if progress and kept:
        progress(kept, total)
    if not jobs:
        pass
    elif workers <= 1:
        for done, job in enumerate(jobs, kept + 1):
            _render(*job)
            if progress:
                progress(done, total)
    else:
        context = multiprocessing.get_context("spawn")
        at_once = (signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker in the middle of a clip
        with ProcessPoolExecutor(min(workers, len(jobs)), context, signal.signal, at_once) as pool:
            futures = [pool.submit(_render, *job) for job in jobs]
            try:
                for done, future in enumerate(as_completed(futures), kept + 1):
                    future.result()
                    if progress:
                        progress(done, total)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    writer.lists(root, plan, paths)
    return total


def _render(clip: ClipPlan, people: dict[int, Identity], path: Path, crops: int) -> None:
    from synthetic.clip import write_clip, write_crops

    with one_thread():
        if crops:
            write_crops(clip, people, path, count=crops, size=256)
        else:
            write_clip(clip, people, path)
