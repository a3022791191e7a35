"""Source kind `kaggle`: Kaggle's official client fetches, we unpack. The client is an optional extra."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from dfdetect.config.params import KaggleSource
from dfdetect.datasets.sources.unpack import inside
from dfdetect.errors import UserError
from dfdetect.io.hashes import short_sha256

INSTALL = "make kaggle"
# What the client looks for in its folders: a token, an older API key, what `kaggle auth login` leaves.
_CREDENTIALS = ("access_token", "access_token.txt", "kaggle.json", "credentials.json")


def fetch(source: KaggleSource, folder: Path, key: str) -> dict[str, Path]:
    """Let the client fetch the files into `folder`; those that are there already are not fetched again.

    The whole of a competition or data set, and each file of one, has a folder of its own there: what was fetched for
    another selection stays out of this one.

    Args:
        key: of the source in params.yaml, for messages.
    Returns:
        Where the file is in the data set -> the file, in the order of the names.
    Raises:
        UserError: nothing named, no client, no credentials, or the client failed; the message says what to do.
    """
    if (source.competition is None) == (source.dataset is None):
        raise UserError(f"{key}: give either `competition` or `dataset` (owner/name).")
    client = _client()
    if client is None:
        raise UserError(f"{key}: Kaggle's client is not installed. Install it with: {INSTALL}")
    if not has_credentials(os.environ):
        raise UserError(
            f"{key}: Kaggle wants credentials. At https://www.kaggle.com/settings/api choose Generate New Token, "
            "and put the token into ~/.kaggle/access_token (chmod 600) or the variable KAGGLE_API_TOKEN. An older "
            "kaggle.json in ~/.kaggle/ serves too, and so does: .venv/bin/kaggle auth login"
        )
    if source.competition is not None:
        command = [client, "competitions", "download", "-c", source.competition]
        page = f"https://www.kaggle.com/c/{source.competition}/rules"
    else:
        command = [client, "datasets", "download", "-d", str(source.dataset)]
        page = f"https://www.kaggle.com/datasets/{source.dataset}"
    found: dict[str, Path] = {}
    for name in source.files or [""]:
        place = PurePosixPath(inside(name, f"{key}.files")).parent  # the client stores a file without its folders
        chosen = [*command, *(["-f", name] if name else [])]
        own = folder / short_sha256(*chosen[1:])
        own.mkdir(parents=True, exist_ok=True)
        _run([*chosen, "-p", str(own)], key, page)
        fetched = {(place / path.relative_to(own)).as_posix(): path for path in own.rglob("*") if path.is_file()}
        if not fetched:
            raise UserError(f"{key}: Kaggle's client fetched nothing; look at {page}.")
        found |= fetched
    return dict(sorted(found.items()))


def _client() -> str | None:
    """The `kaggle` command of this environment, else of the PATH."""
    beside = Path(sys.executable).with_name("kaggle")
    return str(beside) if beside.is_file() else shutil.which("kaggle")


def has_credentials(environment: Mapping[str, str]) -> bool:
    """Whether the client will find credentials in one of the places it looks at; their content is not read."""
    if environment.get("KAGGLE_API_TOKEN") or (environment.get("KAGGLE_USERNAME") and environment.get("KAGGLE_KEY")):
        return True
    home = Path(environment.get("HOME") or Path.home())
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    folders = [home / ".kaggle", config / "kaggle"]
    if chosen := environment.get("KAGGLE_CONFIG_DIR"):
        folders.insert(0, Path(chosen))
    return any((folder / name).is_file() for folder in folders for name in _CREDENTIALS)


def _run(command: list[str], key: str, page: str) -> None:
    """Run the client; its progress bar is shown, its error ends up in ours."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=None, text=True, errors="replace", check=False)
    except OSError as error:
        raise UserError(
            f"{key}: Kaggle's client does not start: {error.strerror}. Install it anew: {INSTALL}"
        ) from None
    if done.returncode != 0:
        said = " ".join(done.stdout.split())[-400:] or f"exit code {done.returncode}"
        raise UserError(
            f"{key}: Kaggle's client failed: {said}. A 403 means that the rules are not accepted yet: {page}. "
            "What it has fetched is kept; the same command goes on."
        )
