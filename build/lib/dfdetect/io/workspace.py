"""Where relative paths start, also when DVC runs an experiment in a temporary copy of the project."""

from __future__ import annotations

from pathlib import Path

# Below the project's root: `dvc exp run --queue` and `--temp` make a folder of their own in it for each experiment.
_TEMPORARY = (".dvc", "tmp", "exps")


def project_root() -> Path:
    """The folder that the user runs DVC in: the current one, unless it is DVC's temporary copy of the project."""
    here = Path.cwd()
    parts = here.parts
    for level in range(1, len(parts)):
        if parts[level : level + len(_TEMPORARY)] == _TEMPORARY:
            return Path(*parts[:level])
    return here


def resolve(path: Path) -> Path:
    """A path that the user gave: as it is if it is there, else from the project's root.

    DVC's temporary copy holds what git tracks and lies elsewhere, so that `../videos` and files that git ignores (data,
    fetched weights) are only found from the root.

    Returns:
        The path as it was given wherever nothing else is there, so that messages name it.
    """
    path = path.expanduser()
    if path.exists() or path.is_absolute():
        return path
    from_root = project_root() / path
    return from_root if from_root.exists() else path


def from_where(path: Path) -> str:
    """For messages about a path that is not there: where a relative one was looked for, if that is not obvious."""
    if path.is_absolute() or project_root() == Path.cwd():
        return ""
    return f" in {project_root()}, nor in DVC's temporary copy of it that this experiment runs in"
