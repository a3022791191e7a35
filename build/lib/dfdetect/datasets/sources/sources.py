"""Where a dataset comes from: each kind of source brings it to data/<dataset>/raw/ or says where it lies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from dfdetect.config.params import (
    ArchiveSource,
    DatasetParams,
    DirectorySource,
    HttpSource,
    KaggleSource,
    RemoteSource,
    RuntimeParams,
)
from dfdetect.datasets import registry
from dfdetect.datasets.sources import http, kaggle, remote
from dfdetect.datasets.sources.archive import Archive, check_sha256, group, local_archives, unpack_all
from dfdetect.datasets.tree import stored
from dfdetect.errors import UserError
from dfdetect.io.hashes import short_sha256
from dfdetect.io.tables import write_bytes, write_json
from dfdetect.io.workspace import from_where, project_root, resolve
from dfdetect.runtime.cache import code_hash
from dfdetect.runtime.executor import worker_count
from dfdetect.runtime.locks import in_turn
from dfdetect.runtime.progress import progress_bar
from synthetic.settings import GenerateSource, SettingsError

CACHE = Path(".cache/download")


def bring(dataset: str, entry: DatasetParams, raw: Path, runtime: RuntimeParams) -> Path:
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
        _generated(dataset, entry, source, raw, runtime)
        return raw
    archives, files = (
        _local(dataset, key, source) if isinstance(source, ArchiveSource) else _fetch(dataset, key, source)
    )
    staging = _begin(raw, [sorted(archive.mark() for archive in archives), sorted(files)])
    unpack_all(archives, staging, int(source.max_unpacked_gb * 1e9), source.max_expansion, label=f"unpack {dataset}")
    for name, path in files.items():
        goal = staging / "files" / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.unlink(missing_ok=True)
        try:
            os.link(path, goal)
        except OSError:  # another file system
            shutil.copyfile(path, goal)
    _publish(staging, raw)
    return raw


def _local(dataset: str, key: str, source: ArchiveSource) -> tuple[list[Archive], dict[str, Path]]:
    paths = [resolve(path) for path in source.paths]
    if not paths:
        raise UserError(f"{key}.paths is empty: list the archives of {dataset} there, as they were downloaded.")
    archives = local_archives(paths)
    check_sha256(paths, source.sha256, key)
    return archives, {}


def _fetch(
    dataset: str, key: str, source: HttpSource | RemoteSource | KaggleSource
) -> tuple[list[Archive], dict[str, Path]]:
    """Bring what lies elsewhere into the cache, which experiments in temporary copies of the project share.

    Returns:
        The archives, and the other files by their names in the dataset.
    """
    cache, label = project_root() / CACHE / dataset / source.kind, f"fetch {dataset}"
    with in_turn(f"{dataset}.fetch"):
        if isinstance(source, HttpSource):
            files = http.fetch_all(http.list_items(source, key), source, cache, label=label)
        elif isinstance(source, RemoteSource):
            files = remote.fetch(source, cache, key, label=label)
        else:
            files = kaggle.fetch(source, cache, key)
    return group(files) if isinstance(source, KaggleSource) or source.unpack else ([], files)


def _directory(key: str, entry: DatasetParams, source: DirectorySource, raw: Path) -> Path:
    """A folder that exists already is read in place: raw/ holds only source.json with its path."""
    holds = registry.get(entry.layout).HOLDS
    if source.path is None:
        raise UserError(f"{key}.path is null: set it in params.yaml to the folder that holds {holds}.")
    root = resolve(source.path)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else f"does not exist{from_where(root)}"
        raise UserError(f"{key}.path: {stored(str(root))} {what}: set it to the folder that holds {holds}.")
    if raw.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{key}.path: {stored(str(root))} holds this project's own data/: give the dataset's folder.")
    _clear(raw)
    write_json(raw / "source.json", {"root": str(source.path.expanduser())})
    return root


def _generated(dataset: str, entry: DatasetParams, source: GenerateSource, raw: Path, runtime: RuntimeParams) -> None:
    """Render the sample; its bytes depend on the source's settings only. Clips made before an interruption are kept."""
    from synthetic.generate import generate  # loads what draws

    plan = [entry.layout, source.model_dump(), code_hash(("synthetic",))]
    staging = _begin(raw, plan)
    with progress_bar(f"generate {dataset}", "clip") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            generate(
                staging / "files",
                layout=entry.layout,
                source=source,
                workers=worker_count(runtime),
                progress=show,
                keep=True,
            )
        except SettingsError as error:
            raise UserError(f"datasets.{dataset}.source: {error}") from None
    _publish(staging, raw)


def _begin(raw: Path, plan: list[Any]) -> Path:
    """The folder beside raw/ in whose `files` its content is gathered; what another plan gathered there is removed."""
    staging = raw.with_name("raw.partial")
    mark = short_sha256(plan)
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
