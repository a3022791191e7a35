"""One process a stage and dataset: the second refuses, and what a killed one left half-written is removed by the next.

The locks are the system's own on open files: they go with the process that holds them, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dfdetect.errors import UserError
from dfdetect.io.tables import sweep, writing
from dfdetect.io.workspace import project_root

ROOT = Path(".cache/locks")


@contextmanager
def exclusive(stage: str, dataset: str, *outs: Path) -> Iterator[None]:
    """Be the only process that brings one stage of one dataset up to date.

    Args:
        outs: files and folders that the stage writes; leftovers of earlier writers of them are removed.
    Raises:
        UserError: another process is at it; or the lock cannot be written.
    """
    path = ROOT / f"{dataset}.{stage}.lock"
    with _opened(path) as file:
        if not _try(file):
            raise UserError(
                f"{path} is held: {stage} of {dataset} is being run by {_holder(path)}. "
                f"Run the same command again when that has ended, or end it (`kill`) first: what it finished is kept."
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        file.flush()
        sweep(*outs)
        yield


@contextmanager
def in_turn(name: str) -> Iterator[None]:
    """Do something that another process may be doing, too: wait until that one has ended."""
    with _opened(project_root() / ROOT / f"{name}.lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Use a folder that several processes write whole files to.

    The first and the last of them remove what killed ones, or killed workers, left half-written.
    """
    path = folder.with_name(f"{folder.name}.lock")
    with _opened(path) as file:
        if _try(file):
            sweep_all(folder)
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
        if _try(file):
            sweep_all(folder)


def sweep_all(folder: Path) -> None:
    """Remove every temporary file in a folder and in those below it."""
    for left in folder.rglob(".*.tmp"):
        left.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    with file:
        yield file


def _try(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"
