"""Where pretrained weights come from: a file in models/weights/, a package that bundles them, or a pinned address.

Weights are data, never code: safetensors or PyTorch's `weights_only` loader alone reads them.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import io
import pickle
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tqdm import tqdm

from dfdetect.errors import UserError
from dfdetect.io.tables import atomic_path

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = Path("models/weights")
SUFFIXES = (".safetensors", ".pth", ".pt", ".dat")
ATTEMPTS = 4
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Weights:
    """One known weights file.

    Args:
        licence: of the weights, as their publisher states it.
        suffix: of the file in models/weights/.
        package, resource: the installed package that bundles it, and the path inside it.
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
    # The release's hash is published in the file's name alone, as nine digits.
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

Opener = Callable[[str], AbstractContextManager[Any]]


def locate(name: str, folder: Path | None = None) -> Path:
    """The weights file of a name: the user's own in `folder`, a bundled one, or one fetched into `folder` and checked.

    Args:
        name: a key of WEIGHTS.
        folder: where the user's and the fetched files are; None takes models/weights.
    Raises:
        UserError: the name is unknown, or the file is nowhere and cannot be fetched; says what to put where.
    """
    folder = FOLDER if folder is None else folder
    if name not in WEIGHTS:
        raise UserError(f"No weights are known as {name!r}; known are {', '.join(sorted(WEIGHTS))}.")
    known = WEIGHTS[name]
    for suffix in SUFFIXES:
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    target = folder / f"{name}{known.suffix}"
    if known.package is not None:
        return _bundled(name, known, target)
    if known.url is None or known.sha256 is None:
        raise UserError(f"{target} is missing: put the weights there.")
    fetch(known.url, target, sha256=known.sha256, max_bytes=known.max_bytes)
    return target


def fingerprint(*names: str, folder: Path | None = None) -> str:
    """SHA-256 (hex) over the weights files that the names stand for, in the order given."""
    digests = []
    for name in names:
        path = locate(name, folder)
        stat = path.stat()
        digests.append(_digest(path, stat.st_size, stat.st_mtime_ns))
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


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
            "when read. Save the state dict alone (`torch.save(model.state_dict(), ...)` or safetensors)."
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


@lru_cache(maxsize=32)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    """SHA-256 of a file; size and time are in the arguments so that a changed file is read anew."""
    del size, mtime_ns
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Follow redirects to https alone."""
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"redirected to {newurl.split(':', 1)[0]}, not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open_https(url: str) -> AbstractContextManager[Any]:
    if not url.startswith("https://"):
        raise urllib.error.URLError("only https addresses are fetched")
    request = urllib.request.Request(url, headers={"User-Agent": "python"})
    answer: AbstractContextManager[Any] = urllib.request.build_opener(_HttpsOnly).open(request, timeout=TIMEOUT_S)
    return answer


class _RefusedError(Exception):
    """What came is not what was asked for; asking again would not help."""


def fetch(
    url: str, target: Path, *, sha256: str, max_bytes: int, opener: Opener = _open_https, wait_s: float = 1.0
) -> None:
    """Fetch a pinned file: checked before it gets its name, retried on network trouble, never larger than `max_bytes`.

    A zip archive with one member is unpacked.

    Args:
        sha256: hex digest, or its first digits, that the file (or a zip's member) must have.
        opener: opens the address; returns a context manager with read() and headers.
        wait_s: pause before the second attempt (s); doubled each time.
    Raises:
        UserError: it cannot be fetched, or is another file; says which file to put where.
    """
    trouble = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(wait_s * 2 ** (attempt - 1))
        try:
            data = _read_limited(url, opener, max_bytes, target.name)
            with atomic_path(target) as temporary:
                temporary.write_bytes(_checked(data, sha256))
            return
        except _RefusedError as error:
            trouble = str(error)
            break
        except urllib.error.HTTPError as error:
            trouble = f"the server answered {error.code}"
            if error.code in (401, 403, 404, 410):
                break
        except urllib.error.URLError as error:
            trouble = str(error.reason)
        except (OSError, http.client.HTTPException) as error:
            trouble = str(error) or type(error).__name__
    raise UserError(
        f"{target} is missing and could not be fetched ({trouble}). On a machine with internet access download\n"
        f"  {url}\n  sha256 {'begins with ' if len(sha256) < 64 else ''}{sha256}\n"
        f"and put it{' (unpacked)' if url.endswith('.zip') else ''} at {target.absolute()}."
    )


def _read_limited(url: str, opener: Opener, max_bytes: int, label: str) -> bytes:
    """The whole body; a short one is an OSError (try again), a long one is refused."""
    buffer = io.BytesIO()
    with opener(url) as answer:
        length = answer.headers.get("Content-Length")
        expected = int(length) if length and length.isdigit() else None
        with tqdm(total=expected, desc=f"fetching {label}", unit="B", unit_scale=True, file=sys.stderr) as bar:
            while chunk := answer.read(1 << 18):
                buffer.write(chunk)
                bar.update(len(chunk))
                if buffer.tell() > max_bytes:
                    raise _RefusedError(f"it is larger than {max_bytes} bytes")
    if expected is not None and buffer.tell() < expected:
        raise OSError(f"the connection ended after {buffer.tell()} of {expected} bytes")
    return buffer.getvalue()


def _checked(data: bytes, sha256: str) -> bytes:
    """The file, or the one member of a zip around it, whichever the digest belongs to; a zip is unpacked."""
    whole = hashlib.sha256(data).hexdigest()
    member = _single_member(data)
    if whole.startswith(sha256):
        return data if member is None else member
    if member is not None and hashlib.sha256(member).hexdigest().startswith(sha256):
        return member
    raise _RefusedError(f"its sha256 is {whole}, not {sha256}: another file was served")


def _single_member(data: bytes) -> bytes | None:
    """The content of a zip with a single file; None for anything else (PyTorch's own format is a zip of many)."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
        if len(files) != 1:
            return None
        if files[0].file_size > 4 * len(data) + 1_000_000:
            raise _RefusedError(f"its archive unpacks to {files[0].file_size} bytes")
        member: IO[bytes]
        with archive.open(files[0]) as member:
            return member.read()
