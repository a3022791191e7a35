"""Where a dataset comes from: each kind of source brings it to data/<dataset>/raw/ or says where it lies."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dfdetect.config.params import (
    ArchiveSource,
    DatasetParams,
    DirectorySource,
    EngineParams,
    HttpSource,
    KaggleSource,
    RemoteSource,
)
from dfdetect.datasets import registry
from dfdetect.datasets.sources import http, kaggle, remote
from dfdetect.datasets.sources.archive import Archive, check_sha256, group, unpack_all
from dfdetect.datasets.sources.progress import progress_bar
from dfdetect.datasets.sources.unpack import UnpackLimits, is_archive
from dfdetect.datasets.tree import stored
from dfdetect.errors import UserError
from dfdetect.io.tables import write_bytes, write_json
from dfdetect.runtime.cache import code_hash
from dfdetect.runtime.executor import worker_count
from synthetic import GenerateSource, generate

CACHE = Path(".cache/download")


def bring(dataset: str, entry: DatasetParams, raw: Path, engine: EngineParams) -> Path:
    """Make the dataset's files available and return the folder that holds them.

    Args:
        raw: data/<dataset>/raw, which is rebuilt; it holds the whole dataset or, after an error, what it held before.
    Raises:
        UserError: the source is not there or not what it should be.
    """
    source, key = entry.source, f"datasets.{dataset}.source"
    if isinstance(source, DirectorySource):
        return _directory(key, entry, source, raw)
    if isinstance(source, GenerateSource):
        _generated(dataset, entry, source, raw, engine)
    elif isinstance(source, ArchiveSource):
        _from_archives(dataset, key, source, raw)
    elif isinstance(source, HttpSource):
        _from_http(dataset, key, source, raw)
    elif isinstance(source, RemoteSource):
        _from_remote(dataset, key, source, raw)
    else:
        _from_kaggle(dataset, key, source, raw)
    return raw


def _directory(key: str, entry: DatasetParams, source: DirectorySource, raw: Path) -> Path:
    """A folder that exists already is read in place: raw/ holds only source.json with its path."""
    holds = registry.get(entry.layout).HOLDS
    if source.path is None:
        raise UserError(f"{key}.path is null: set it in params.yaml to the folder that holds {holds}.")
    root = source.path.expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise UserError(f"{key}.path: {stored(str(root))} {what}: set it to the folder that holds {holds}.")
    if raw.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{key}.path: {stored(str(root))} holds this project's own data/: give the dataset's folder.")
    _clear(raw)
    write_json(raw / "source.json", {"root": str(root)})
    return root


def _generated(dataset: str, entry: DatasetParams, source: GenerateSource, raw: Path, engine: EngineParams) -> None:
    """Draw the sample; the bytes depend on the source's settings alone. Clips drawn before an interruption are kept."""
    plan = [entry.layout, source.model_dump(), code_hash(("synthetic",))]
    staging = _begin(raw, plan)
    with progress_bar(f"generate {dataset}", "clip") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        generate(
            staging / "files",
            layout=entry.layout,
            source=source,
            workers=worker_count(engine),
            progress=show,
            keep=True,
        )
    _publish(staging, raw)


def _from_archives(dataset: str, key: str, source: ArchiveSource, raw: Path) -> None:
    paths = [path.expanduser() for path in source.paths]
    if not paths:
        raise UserError(f"{key}.paths is empty: list the archives of {dataset} there, as they were downloaded.")
    archives = group(paths)
    check_sha256(paths, source.sha256, key)
    _assemble(raw, archives, {}, _limits(source), label=f"unpack {dataset}")


def _from_http(dataset: str, key: str, source: HttpSource, raw: Path) -> None:
    items = http.list_items(source, key)
    fetched = http.fetch_all(items, source, CACHE / dataset / "http", label=f"fetch {dataset}")
    _take(dataset, {item.path: path for item, path in fetched.items()}, source, raw, unpacked=source.unpack)


def _from_remote(dataset: str, key: str, source: RemoteSource, raw: Path) -> None:
    files = remote.fetch(source, CACHE / dataset / "remote", key, label=f"fetch {dataset}")
    _take(dataset, files, source, raw, unpacked=source.unpack)


def _from_kaggle(dataset: str, key: str, source: KaggleSource, raw: Path) -> None:
    files = kaggle.fetch(source, CACHE / dataset / "kaggle", key)
    _take(dataset, files, source, raw, unpacked=True)


def _take(
    dataset: str,
    files: Mapping[str, Path],
    source: HttpSource | KaggleSource | RemoteSource,
    raw: Path,
    *,
    unpacked: bool,
) -> None:
    """Put fetched files into raw/ under their names; archives among them are unpacked where they would have been.

    Args:
        files: name in the dataset -> fetched file.
    """
    names = raw.with_name("raw.names")  # the fetched files under the names by which archives and their pieces are known
    shutil.rmtree(names, ignore_errors=True)
    archives: list[Path] = []
    others: dict[str, Path] = {}
    for name, path in files.items():
        if unpacked and (is_archive(name) or is_archive(name.rpartition(".")[0])):
            (names / name).parent.mkdir(parents=True, exist_ok=True)
            (names / name).symlink_to(path.resolve())
            archives.append(names / name)
        else:
            others[name] = path
    placed = [
        replace(archive, folder=archive.pieces[0].parent.relative_to(names).as_posix()) for archive in group(archives)
    ]
    _assemble(raw, placed, others, _limits(source), label=f"unpack {dataset}")
    shutil.rmtree(names, ignore_errors=True)


def _limits(source: ArchiveSource | HttpSource | KaggleSource | RemoteSource) -> UnpackLimits:
    return UnpackLimits(int(source.max_unpacked_gb * 1e9), source.max_expansion)


def _assemble(
    raw: Path, archives: Sequence[Archive], files: Mapping[str, Path], limits: UnpackLimits, *, label: str
) -> None:
    """Build the tree beside raw/ and put it there when it is whole; after an interruption it goes on with the rest."""
    staging = _begin(raw, [sorted(archive.mark() for archive in archives), sorted(files)])
    unpack_all(archives, staging, limits, label=label)
    for name, path in files.items():
        goal = staging / "files" / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.unlink(missing_ok=True)
        try:
            os.link(path, goal)
        except OSError:  # another file system
            shutil.copyfile(path, goal)
    _publish(staging, raw)


def _begin(raw: Path, plan: list[Any]) -> Path:
    """The folder beside raw/ in whose `files` its content is gathered; what another plan gathered there is removed."""
    staging = raw.with_name("raw.partial")
    mark = hashlib.sha256(repr(plan).encode()).hexdigest()
    # Without files/ it was killed after they had become raw/: nothing that is marked as done there is still there.
    if not (staging / mark).exists() or not (staging / "files").exists():
        shutil.rmtree(staging, ignore_errors=True)
        write_bytes(staging / mark, b"")
        (staging / "files").mkdir()
    return staging


def _publish(staging: Path, raw: Path) -> None:
    """Put the gathered files in the place of raw/."""
    _clear(raw)
    raw.rmdir()
    (staging / "files").replace(raw)
    shutil.rmtree(staging)


def _clear(raw: Path) -> None:
    """An empty raw/."""
    try:
        if raw.is_symlink() or raw.is_file():
            raw.unlink()
        elif raw.exists():
            shutil.rmtree(raw)
        raw.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{raw} cannot be rebuilt: {error.strerror}. Change permissions there.") from None
