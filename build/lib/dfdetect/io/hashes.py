"""SHA-256, for all who need it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

_BLOCK = 1024 * 1024


def file_sha256(path: Path | str, progress: Callable[[int], object] | None = None) -> str:
    """The SHA-256 of a file's bytes, in hex.

    Args:
        progress: called with the size of each block that has been read (bytes).
    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        if progress is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            digest.update(block)
            progress(len(block))
        return digest.hexdigest()


def short_sha256(*parts: object) -> str:
    """24 hex digits that stand for some values, told apart by their texts: for names of files in a cache."""
    text = "\0".join(map(str, parts))
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).hexdigest()[:24]
