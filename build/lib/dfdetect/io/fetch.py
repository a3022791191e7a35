"""Fetch files by URL: tried again, continued where a connection broke, limited in size, verified before use."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import tenacity
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from tqdm import tqdm

from dfdetect.errors import FetchError
from dfdetect.io.hashes import file_sha256
from dfdetect.io.tables import writing

_BLOCK = 256 * 1024
_LONGEST_PAUSE_S = 60.0
# Unpacked on the way, a file would have another length and another sha256 than the server says.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "deepfake-detection-pipeline"}
# Answers that another try may change.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHANGED = "the server has another file than before"


class _PassingError(Exception):
    """Something that may pass; pause_s is how long the server asks to wait, if it does (s)."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


@dataclass(frozen=True)
class FetchPolicy:
    """How files are fetched."""

    max_bytes: int  # a larger file is refused
    limit: str  # what sets max_bytes, for the message
    retries: int = 3  # after a failure that may pass
    pause_s: float = 1.0  # before the first retry, then doubled up to a minute; a server's Retry-After goes before
    timeout_s: float = 30.0  # without a byte
    allow_http: bool = False  # also fetch what is not encrypted, which anyone on the way can exchange
    parallel: int = 1  # threads that share one Fetcher


class _NotEncrypted(BaseAdapter):
    """Stands for http: whatever leads there, the first address or a redirect, ends here."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Refuse the request."""
        raise FetchError(f"the server leads to {request.url}, which is not https")

    def close(self) -> None:
        """Nothing is open."""


class Fetcher:
    """Fetches files, in one thread or several.

    Args:
        bar: its total and count grow by the bytes that are to come and that came.
        stop: set to end all fetches and pauses; partial files are kept.
    """

    def __init__(self, policy: FetchPolicy, bar: tqdm[Any], stop: threading.Event | None = None) -> None:
        self._policy, self._bar, self._stop = policy, bar, stop or threading.Event()
        self._lock = threading.Lock()
        self._session = requests.Session()
        self._session.headers.update(_HEADERS)
        web = HTTPAdapter(pool_maxsize=policy.parallel)
        self._session.mount("https://", web)
        self._session.mount("http://", web if policy.allow_http else _NotEncrypted())

    def fetch(self, url: str, target: Path, sha256: str | None = None) -> None:
        """Bring one file to `target`, whole and verified; one that is there is taken as it is.

        What came before a failure stays beside it in `target`.part, and the next call goes on from there if the
        server's file is still the same: by its tag or date, else by its length.

        Args:
            sha256: in lower-case hex; None where nobody says.
        Raises:
            FetchError: it cannot be had.
            UserError: it cannot be written.
        """
        if target.exists():
            return
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            stop=tenacity.stop_after_attempt(self._policy.retries + 1) | tenacity.stop_when_event_set(self._stop),
            wait=self._pause_s,
            sleep=tenacity.sleep_using_event(self._stop),
            reraise=True,
        )
        try:
            retrying(self._attempt, url, target, sha256)
        except _PassingError as error:
            raise FetchError(f"{error} ({retrying.statistics['attempt_number']} tries)") from None

    def _pause_s(self, state: tenacity.RetryCallState) -> float:
        asked = getattr(state.outcome and state.outcome.exception(), "pause_s", None)
        return min(
            self._policy.pause_s * 2.0 ** (state.attempt_number - 1) if asked is None else asked, _LONGEST_PAUSE_S
        )

    def _attempt(self, url: str, target: Path, sha256: str | None) -> None:
        """One request: all of the file, or the rest of it."""
        part = target.with_name(f"{target.name}.part")
        have = part.stat().st_size if part.exists() else 0
        mark, length = _read_version(part) if have else (None, None)
        headers = {}
        if have and (mark or length is not None or sha256):
            headers = {"Range": f"bytes={have}-", **({"If-Range": mark} if mark else {})}
        with self._open(url, headers) as response:
            answer = f"the server answers {response.status_code} {response.reason}"
            if response.status_code == 416:  # the partial file is not the beginning of what is there now
                _remove(part)
                raise _PassingError(_CHANGED)
            if response.status_code in _PASSING:
                with suppress(urllib3.exceptions.InvalidHeader):
                    raise _PassingError(answer, urllib3.Retry().get_retry_after(response.raw))
                raise _PassingError(answer)
            if not response.ok:
                raise FetchError(answer)
            start, total = _extent(response)
            if start and (start != have or length not in (None, total)):
                _remove(part)
                raise _PassingError(_CHANGED)
            self._receive(response, part, start, total)
        if sha256 is not None and (found := file_sha256(part)) != sha256:
            _remove(part)
            said = f"the server sent other bytes: sha256 {found} instead of {sha256}"
            raise _PassingError(said) if start else FetchError(said)  # continued, it may be of two versions
        with writing(target):
            part.replace(target)
            _remove(part)

    def _open(self, url: str, headers: dict[str, str]) -> requests.Response:
        try:
            return self._session.get(url, headers=headers, stream=True, timeout=self._policy.timeout_s)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _PassingError(f"the connection failed: {_cause(error)}") from None
        except requests.RequestException as error:
            raise FetchError(f"it cannot be asked for: {error}") from None

    def _receive(self, response: requests.Response, part: Path, start: int, total: int | None) -> None:
        """Append to the partial file, or begin it anew when the server sends all."""
        self._check_size(part, total or 0)
        with self._lock:
            self._bar.total = (self._bar.total or 0) + (total or start) - start
            self._bar.refresh()
        tag = response.headers.get("ETag", "W/")  # a weak tag does not promise equal bytes
        version = (response.headers.get("Last-Modified") if tag.startswith("W/") else tag, total)
        size = start
        with writing(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            _version_file(part).write_text(json.dumps(version))
            with part.open("ab" if start else "wb") as file:
                for block in _blocks(response):
                    if self._stop.is_set():
                        raise FetchError("interrupted")
                    file.write(block)
                    size += len(block)
                    self._check_size(part, size)
                    with self._lock:
                        self._bar.update(len(block))
                file.flush()
                os.fsync(file.fileno())
        if total is not None and size != total:
            raise _PassingError(f"{size:,} bytes came instead of {total:,}")

    def _check_size(self, part: Path, size: int) -> None:
        if size > self._policy.max_bytes:
            _remove(part)
            raise FetchError(f"it is larger than {self._policy.max_bytes:,} bytes, which {self._policy.limit} allows")


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """The body as it is sent; trouble with the connection is told apart from trouble with the disk."""
    try:
        yield from response.raw.stream(_BLOCK, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _PassingError(f"the connection broke: {_cause(error)}") from None


def _cause(error: BaseException) -> str:
    """What lies under the layers of a library's exceptions, in words."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """The first byte of an answer and the length of the whole file, where it is said."""
    if response.status_code == 206:  # Content-Range: bytes 100-199/200
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if found is None:
            raise FetchError("the server sends a part of the file and does not say which")
        return int(found[1]), int(found[2]) if found[2] != "*" else None
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _version_file(part: Path) -> Path:
    return part.with_suffix(".json")


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def _read_version(part: Path) -> tuple[str | None, int | None]:
    """Tag or date, and length, of the file that a partial one is the beginning of; what is not known is None."""
    try:
        mark, length = json.loads(_version_file(part).read_text())
    except (OSError, ValueError, TypeError):  # none, or cut short when this machine went down
        return None, None
    return mark, length
