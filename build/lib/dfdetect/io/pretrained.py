"""Where pretrained weights come from: a file in models/weights/, a package that saved models them, or a pinned address.

Weights are data, never code: safetensors or PyTorch's `weights_only` loader, and nothing else, read them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfdetect.errors import FetchError, UserError
from dfdetect.io.hashes import file_sha256
from dfdetect.io.tables import atomic_path
from dfdetect.io.workspace import project_root, resolve
from dfdetect.runtime.locks import in_turn

if TYPE_CHECKING:
    from torch import Tensor

    from dfdetect.io.fetch import FetchPolicy

FOLDER = Path("models/weights")
SUFFIXES = (".safetensors", ".pth", ".pt", ".dat")


@dataclass(frozen=True)
class Weights:
    """One known weights file.

    Args:
        licence: of the weights, as their publisher states it.
        suffix: of the file in models/weights/.
        package, resource: the installed package that saved models it, and the path inside it.
        url: where it is published (https).
        sha256: hex digest of the published file, or its first digits where only those are known; of a zip archive,
            either of the archive or of its one member.
        max_bytes: a larger download is refused.
    """

    licence: str
    suffix: str = ".pth"
    package: str | None = None
    resource: str | None = None
    url: str | None = None
    sha256: str | None = None
    max_bytes: int = 0


WEIGHTS: dict[str, Weights] = {
    # The release's hash is published only in the file's name, as nine digits.
    "retinaface-resnet50": Weights(
        licence="MIT",
        url="https://github.com/ternaus/retinaface/releases/download/0.01/retinaface_resnet50_2020-07-20-f168fae3c.zip",
        sha256="f168fae3c",
        max_bytes=160_000_000,
    ),
    "retinaface-mobilenet0.25": Weights(
        licence="MIT",
        url="https://raw.githubusercontent.com/m2man/Pytorch_Retinaface/aa00934b860abc93fcdbc3bccfa0fd4260c2fd2c"
        "/weights/mobilenet0.25_Final.pth",
        sha256="38ec7bb3c9cbfe2f40edabc05fab970a6d648747cbc534092be85d5eb9b37ed0",
        max_bytes=4_000_000,
    ),
    "mtcnn-pnet": Weights("MIT", ".pt", package="facenet_pytorch", resource="data/pnet.pt"),
    "mtcnn-rnet": Weights("MIT", ".pt", package="facenet_pytorch", resource="data/rnet.pt"),
    "mtcnn-onet": Weights("MIT", ".pt", package="facenet_pytorch", resource="data/onet.pt"),
    "dlib-face-resnet": Weights(
        "public domain (CC0)",
        ".dat",
        package="face_recognition_models",
        resource="models/dlib_face_recognition_resnet_model_v1.dat",
    ),
    "dlib-68": Weights(
        "trained on iBUG 300-W: non-commercial use",
        ".dat",
        package="face_recognition_models",
        resource="models/shape_predictor_68_face_landmarks.dat",
    ),
}


def locate(name: str, folder: Path | None = None) -> Path:
    """The weights file of a name: the user's own in `folder`, a bundled one, or one fetched into `folder` and checked.

    Args:
        name: a key of WEIGHTS.
        folder: where the user's and the fetched files are; None takes the project's models/weights, also in a temporary
            copy that DVC makes of the project for an experiment.
    Raises:
        UserError: the name is unknown, or the file is nowhere and cannot be fetched; says what to put where.
    """
    if name not in WEIGHTS:
        raise UserError(f"No weights are known as {name!r}; known are {', '.join(sorted(WEIGHTS))}.")
    known = WEIGHTS[name]
    for suffix in SUFFIXES:
        if (path := resolve((folder or FOLDER) / f"{name}{suffix}")).is_file():
            return path
    target = (folder or project_root() / FOLDER) / f"{name}{known.suffix}"
    if known.package is not None:
        return _bundled(name, known, target)
    if known.url is None or known.sha256 is None:
        raise UserError(f"{target} is missing: put the weights there.")
    from dfdetect.io.fetch import FetchPolicy  # only now: most runs fetch nothing

    fetch(
        known.url, target, known.sha256, FetchPolicy(known.max_bytes, f"the entry {name} of dfdetect/io/pretrained.py")
    )
    return target


def fingerprint(*names: str, folder: Path | None = None) -> str:
    """A hash of the weights files that the names stand for, in the order given; of one file its SHA-256 (hex)."""
    digests = []
    for name in names:
        path = locate(name, folder)
        stat = path.stat()
        digests.append(_digest(path, stat.st_size, stat.st_mtime_ns))
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


@lru_cache(maxsize=32)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    """SHA-256 of a file; size and time are in the arguments so that a changed file is read anew."""
    return file_sha256(path)


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict onto the CPU; a `module.` before every key is taken off.

    Raises:
        UserError: the file is damaged, or holds anything but tensors and plain containers (a pickle that runs code).
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} is refused: it is damaged, or holds Python objects besides tensors, which could run code "
            "when read. Save only the state dict (`torch.save(model.state_dict(), ...)` or safetensors)."
        ) from None
    except Exception as error:  # safetensors, zip and torch raise many kinds for a damaged file
        raise UserError(
            f"{path} cannot be read as weights ({type(error).__name__}): remove it and run again."
        ) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path} holds no state dict (a mapping of names to tensors).")
    prefix = "module."
    if all(key.startswith(prefix) for key in state):
        state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def _bundled(name: str, known: Weights, target: Path) -> Path:
    """A file inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(str(known.package))
    roots = list(spec.submodule_search_locations or []) if spec is not None else []
    for root in roots:
        if (path := Path(root) / str(known.resource)).is_file():
            return path
    raise UserError(
        f"The weights {name} come with the package {known.package}, which is not installed: "
        f"run `make setup`, or put the file at {target}."
    )


def fetch(url: str, target: Path, sha256: str, policy: FetchPolicy) -> None:
    """Fetch a pinned file, which is checked before it gets its name; a zip archive with one member is unpacked.

    Args:
        sha256: hex digest, or its first digits, that the file (or a zip's member) must have.
    Raises:
        UserError: it cannot be fetched, or is another file; says which file to put where.
    """
    from dfdetect.io.fetch import Fetcher
    from dfdetect.runtime.progress import progress_bar

    published = target.with_name(f"{target.name}.published")
    try:
        with in_turn(f"weights.{target.name}"):
            if target.exists():  # another process has fetched it in the meantime
                return
            with progress_bar(f"fetching {target.name}", total=0) as bar:
                Fetcher(policy, bar).fetch(url, published)
            _accept(published, target, sha256)
    except FetchError as error:
        raise UserError(
            f"{target} is missing and could not be fetched ({error}). On a machine with internet access download\n"
            f"  {url}\n  sha256 {'begins with ' if len(sha256) < 64 else ''}{sha256}\n"
            f"and put it{' (unpacked)' if url.endswith('.zip') else ''} at {target.absolute()}."
        ) from None
    finally:
        published.unlink(missing_ok=True)


def _accept(published: Path, target: Path, sha256: str) -> None:
    """Put the file, or the one member of a zip, at `target` if the digest is that of either.

    Raises:
        FetchError: it is another file.
    """
    digest = file_sha256(published)
    with atomic_path(target) as temporary:
        if not _extract_single_member(published, temporary):
            shutil.copyfile(published, temporary)
        elif not digest.startswith(sha256):
            digest = file_sha256(temporary)
        if not digest.startswith(sha256):
            raise FetchError(f"its sha256 is {digest}, not {sha256}: another file was served")


def _extract_single_member(path: Path, target: Path) -> bool:
    """Unpack a zip with a single file; False for anything else (PyTorch's own format is a zip of many).

    Raises:
        FetchError: it unpacks to far more than its size, or is damaged.
    """
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            files = [i for i in archive.infolist() if not i.is_dir() and not i.filename.startswith("__MACOSX/")]
            if len(files) != 1:
                return False
            if files[0].file_size > 4 * path.stat().st_size + 1_000_000:
                raise FetchError(f"its archive unpacks to {files[0].file_size} bytes")
            with archive.open(files[0]) as member, target.open("wb") as file:
                shutil.copyfileobj(member, file)
            return True
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error) as error:
        raise FetchError(f"its archive cannot be unpacked: {error}") from None
