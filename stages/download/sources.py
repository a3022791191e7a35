"""Where a dataset comes from: each kind of source brings it to data/<dataset>/raw/ or says where it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

from stages.datasets import registry
from stages.datasets.generator import GenerateSource, generate
from stages.datasets.tree import stored
from stages.download.progress import progress_bar
from stages.engine import worker_count
from stages.errors import UserError
from stages.params import DatasetParams, DirectorySource, EngineParams
from stages.store import write_json


def bring(dataset: str, entry: DatasetParams, raw: Path, engine: EngineParams) -> Path:
    """Make the dataset's files available and return the folder that holds them.

    Args:
        raw: data/<dataset>/raw, which is rebuilt.
    Raises:
        UserError: the source is not there or not what it should be.
    """
    source = entry.source
    if isinstance(source, DirectorySource):
        return _directory(dataset, entry, source, raw)
    _clear(raw)
    _generated(dataset, entry, source, raw, engine)
    return raw


def _generated(dataset: str, entry: DatasetParams, source: GenerateSource, raw: Path, engine: EngineParams) -> None:
    """Draw the sample; the bytes depend on the source's settings alone."""
    with progress_bar(f"generate {dataset}", "clip") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        generate(raw, layout=entry.layout, source=source, workers=worker_count(engine), progress=show)


def _clear(raw: Path) -> None:
    try:
        if raw.is_symlink() or raw.is_file():
            raw.unlink()
        elif raw.exists():
            shutil.rmtree(raw)
        raw.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{raw} cannot be rebuilt: {error.strerror}. Change permissions there.") from None


def _directory(dataset: str, entry: DatasetParams, source: DirectorySource, raw: Path) -> Path:
    """A folder that exists already is read in place: raw/ holds only source.json with its path."""
    key = f"datasets.{dataset}.source.path"
    holds = registry.get(entry.layout).HOLDS
    if source.path is None:
        raise UserError(f"{key} is null: set it in params.yaml to the folder that holds {holds}.")
    root = source.path.expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise UserError(f"{key}: {stored(str(root))} {what}: set it to the folder that holds {holds}.")
    if raw.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{key}: {root} holds this project's own data/: give the folder of the dataset itself.")
    _clear(raw)
    write_json(raw / "source.json", {"root": str(root)})
    return root
