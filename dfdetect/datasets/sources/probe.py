"""Hash and probe files in worker processes, many small files a task; one that crashes or hangs costs only itself."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfdetect.config.params import EngineParams
from dfdetect.datasets.sources.cache import Cache, State
from dfdetect.datasets.tree import stored
from dfdetect.errors import MediaError
from dfdetect.media.decoders import folder_frames
from dfdetect.media.video import VideoInfo, probe
from dfdetect.runtime.executor import run

# A task is this many files or bytes: the cost of handing one over vanishes, and the bar still moves.
FILES_A_TASK = 64
BYTES_A_TASK = 64 * 1024 * 1024
# Files of a task that takes longer are tried again one at a time, each with the engine's own limit.
TASK_TIMEOUT_S = 60.0

# Columns of videos.parquet that come from the probe; VideoInfo's attributes have the same names.
PROBED = ("duration_s", "fps", "width", "height", "rotation_deg", "declared_frames", "has_audio")
Facts = dict[str, Any]


@dataclass(frozen=True)
class _Files:
    """Some files of one root, to be read in one task."""

    root: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class _Read:
    """What was found of one file, the state it had before, and when that was looked at."""

    state: State | None
    seen_ns: int
    facts: Facts


def inspect_files(root: str, paths: list[str], cache: Cache, engine: EngineParams, *, label: str) -> dict[str, Facts]:
    """Find sha256, size and probe of each file: from the cache where nothing changed, else by reading it.

    Args:
        root: the dataset's folder.
        paths: relative to it.
        cache: open; what is read now is put into it, except what another run may find otherwise (a crash, a timeout).
        label: of the progress bar.
    Returns:
        path -> columns of videos.parquet: sha256, size_bytes, status, reason and those of PROBED.
    """
    found: dict[str, Facts] = {}
    changed: list[tuple[str, int]] = []
    for path in paths:
        state = _state(root, path)
        known = cache.get(path, state) if state else None
        if known is not None:
            found[path] = known
        else:
            changed.append((path, state.size if state else 0))
    alone: list[_Files] = []
    limit_s = min(TASK_TIMEOUT_S, engine.timeout_s)
    tasks = list(_tasks(root, changed))
    for outcome in run(_read_files, tasks, engine, label=label, timeout_s=limit_s, videos=lambda task: len(task.paths)):
        for path, result in zip(outcome.task.paths, outcome.value or [None] * len(outcome.task.paths), strict=True):
            if result is None:
                alone.append(_Files(root, (path,)))
            else:
                found[path] = _keep(cache, path, result)
        cache.flush()
    for single in run(_read_alone, alone, engine, label=f"{label}, again"):
        (path,) = single.task.paths
        if single.value is not None:
            found[path] = _keep(cache, path, single.value)
        else:
            found[path] = {**_hash_only(os.path.join(root, path)), "status": single.status, "reason": single.reason}
    return found


def _state(root: str, path: str) -> State | None:
    try:
        return State.of(os.path.join(root, path))
    except OSError:
        return None


def _tasks(root: str, files: list[tuple[str, int]]) -> Iterator[_Files]:
    """Group files up to a number and a sum of bytes."""
    group: list[str] = []
    total = 0
    for path, size in files:
        if group and (len(group) == FILES_A_TASK or total + size > BYTES_A_TASK):
            yield _Files(root, tuple(group))
            group, total = [], 0
        group.append(path)
        total += size
    if group:
        yield _Files(root, tuple(group))


def _keep(cache: Cache, path: str, read: _Read) -> Facts:
    if read.state is not None and read.state.settled(read.seen_ns):
        cache.put(path, read.state, read.facts)
    return read.facts


def _read_files(files: _Files) -> list[_Read | None]:
    """In a worker: one result a file; None where something unforeseen happened, so that the file is tried alone."""
    results: list[_Read | None] = []
    for path in files.paths:
        try:
            results.append(_read(files.root, path))
        except Exception:  # the file is read again on its own, and what happens there is put into words by the engine
            results.append(None)
    return results


def _read_alone(files: _Files) -> _Read:
    return _read(files.root, files.paths[0])


def _read(root: str, path: str) -> _Read:
    """Hash and probe one file. The state is taken first: a file that changes meanwhile is read again next time."""
    full = os.path.join(root, path)
    seen_ns, state = time.time_ns(), _state(root, path)
    facts = _hash_only(full)
    if facts["sha256"] is None:
        return _Read(None, seen_ns, facts)
    try:
        facts.update(_columns(probe(Path(full))), status="ok", reason=None)
    except MediaError as error:
        # The message must not depend on where the dataset lies: it ends in videos.parquet.
        reason = stored(error.reason.replace(full, path))
        facts.update(status=error.status, reason=reason)
    return _Read(state, seen_ns, facts)


def _hash_only(full: str) -> Facts:
    """sha256 and size; what cannot be read says why. A folder is hashed as the names and hashes of its frames."""
    try:
        if not os.path.isdir(full):
            return dict(zip(("sha256", "size_bytes"), _digest(full), strict=True))
        total, whole = 0, hashlib.sha256()
        for frame in folder_frames(Path(full)):
            digest, size = _digest(os.path.join(full, frame))
            whole.update(os.fsencode(frame) + b"\0" + digest.encode() + b"\n")
            total += size
        return {"sha256": whole.hexdigest(), "size_bytes": total}
    except OSError as error:
        return {"sha256": None, "size_bytes": None, "status": "unreadable", "reason": error.strerror}
    except MediaError as error:
        return {"sha256": None, "size_bytes": None, "status": error.status, "reason": error.reason}


def _digest(full: str) -> tuple[str, int]:
    with open(full, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def _columns(info: VideoInfo) -> Facts:
    values = {name: getattr(info, name) for name in PROBED}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
