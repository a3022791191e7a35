"""Source kind `http`: fetch files in parallel, go on where an interruption left off, verify, retry.

Files are kept under .cache/download/ by URL, whole ones apart from partial ones, so that a rerun fetches only what is
missing. A partial file is continued when the server's file is still the same: by its tag or date, else by its length.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dfdetect.config.params import HttpSource
from dfdetect.datasets.lists import read_csv
from dfdetect.datasets.sources.archive import file_sha256
from dfdetect.datasets.sources.progress import progress_bar
from dfdetect.datasets.sources.unpack import inside
from dfdetect.datasets.tree import stored
from dfdetect.errors import UserError

_BLOCK = 256 * 1024
_LONGEST_PAUSE_S = 60.0
_AGENT = "deepfake-detection-pipeline"
SHOWN_FAILURES = 5
# Answers that another try may change.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Item:
    """One file to fetch.

    Args:
        url: http or https.
        path: where it goes, relative to the dataset's folder.
        sha256: hex, or None where nobody says.
    """

    url: str
    path: str
    sha256: str | None

    @property
    def key(self) -> str:
        """A name for the file in the cache."""
        return hashlib.sha256(f"{self.url}\0{self.sha256 or ''}".encode()).hexdigest()[:24]


class _TryAgainError(Exception):
    """Something that may pass.

    Args:
        pause_s: how long the server asks to wait, if it does.
    """

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class _OtherBytesError(Exception):
    """The file is whole and has another sha256."""


class _FinalError(Exception):
    """Something that trying again does not mend."""


def list_items(source: HttpSource, key: str) -> list[Item]:
    """What is to be fetched, by `urls` and the manifest.

    Args:
        key: of the source in params.yaml, for messages.
    Raises:
        UserError: nothing to fetch, a bad URL or path, one that is not encrypted, or two files under one path.
    """
    items = [_item(url, "", "", f"{key}.urls") for url in source.urls]
    if source.manifest is not None:
        items += _read_manifest(source.manifest, key)
    for item in items:
        if not (source.allow_http or _encrypted(item.url)):
            raise UserError(
                f"{key}: {item.url} is not https, and anyone on the way could exchange the file: give an https URL, or "
                f"set {key}.allow_http to true."
            )
    if not items:
        raise UserError(f"{key}: set `urls`, or `manifest` to a CSV file with the columns url, path, sha256.")
    seen: dict[str, str] = {}
    for item in items:
        if seen.setdefault(item.path, item.url) != item.url:
            raise UserError(f"{key}: {item.url} and {seen[item.path]} would both be stored as {item.path}.")
    return list(dict.fromkeys(items))


def _read_manifest(manifest: Path, key: str) -> list[Item]:
    if not manifest.is_file():
        raise UserError(f"{key}.manifest: {stored(str(manifest))} is not there.")
    columns: dict[str, int] = {}
    items = []
    for line, cells in read_csv(manifest):
        if not columns:
            columns = {name.casefold(): number for number, name in enumerate(cells)}
            if "url" not in columns:
                raise UserError(f"{stored(str(manifest))}, line {line}: the header must name url (and path, sha256).")
            continue
        values = [cells[at] if (at := columns.get(name, len(cells))) < len(cells) else "" for name in _COLUMNS]
        items.append(_item(values[0], values[1], values[2], f"{stored(str(manifest))}, line {line}"))
    return items


_COLUMNS = ("url", "path", "sha256")


def _item(url: str, path: str, sha256: str, where: str) -> Item:
    parsed = urllib.parse.urlsplit(url)
    if parsed.scheme not in ("http", "https") or not parsed.netloc:
        raise UserError(f"{where}: `{url}` is no http or https URL.")
    name = inside(path or urllib.parse.unquote(parsed.path.rpartition("/")[2]), where)
    if not name:
        raise UserError(f"{where}: `{url}` does not end in a file's name: use a manifest with the column path.")
    digest = sha256.lower()
    if digest and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
        raise UserError(f"{where}: `{sha256}` is no sha256 (64 hex digits).")
    return Item(url, name, digest or None)


def _encrypted(url: str) -> bool:
    return urllib.parse.urlsplit(url).scheme == "https"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address, if that is encrypted (or need not be)."""

    def __init__(self, allow_http: bool) -> None:
        self._allow_http = allow_http

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The request for the new address.

        Raises:
            _FinalError: it is not https.
        """
        if not (self._allow_http or _encrypted(newurl)):
            raise _FinalError(f"the server leads to {newurl}, which is not https (allow_http of the source allows it)")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch_all(items: Sequence[Item], source: HttpSource, folder: Path, *, label: str) -> dict[Item, Path]:
    """Fetch every item into `folder`, those first that are not there yet.

    Returns:
        item -> its whole, verified file.
    Raises:
        UserError: some could not be fetched; all others are kept, and a rerun goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    failures: list[str] = []
    with progress_bar(label, "B", total=0, scaled=True) as bar:
        fetcher = _Fetcher(source, folder, bar, stop)
        with ThreadPoolExecutor(source.parallel) as pool:
            try:
                futures = {pool.submit(fetcher.fetch, item): item for item in items}
                for future in as_completed(futures):
                    try:
                        future.result()
                    except _FinalError as error:
                        failures.append(f"{futures[future].url}: {error}")
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
    if failures:
        shown = "".join(f"\n  {line}" for line in sorted(failures)[:SHOWN_FAILURES])
        raise UserError(
            f"{len(failures)} of {len(items)} files could not be fetched; the others are kept, and the same command "
            f"goes on from here:{shown}"
        )
    return {item: folder / item.key for item in items}


class _Fetcher:
    """Fetches one item after another in each of several threads."""

    def __init__(self, source: HttpSource, folder: Path, bar: tqdm[Any], stop: threading.Event) -> None:
        self._source, self._folder, self._bar, self._stop = source, folder, bar, stop
        self._lock = threading.Lock()
        self._opener = urllib.request.build_opener(_Redirects(source.allow_http))
        self._most = int(source.max_file_gb * 1e9)

    def fetch(self, item: Item) -> None:
        """Bring one file here, whole and verified.

        Raises:
            _FinalError: it cannot be had, in words.
        """
        whole = self._folder / item.key
        if whole.exists():
            return
        mismatches = 0
        for attempt in range(self._source.retries + 1):
            try:
                self._attempt(item)
                self._verify(item, whole)
                return
            except _OtherBytesError as error:
                mismatches += 1
                if mismatches > 1:  # once may be a partial file of another version
                    raise _FinalError(str(error)) from None
            except _TryAgainError as error:
                if attempt == self._source.retries:
                    raise _FinalError(f"{error} ({attempt + 1} tries)") from None
                pause = error.pause_s if error.pause_s is not None else self._source.pause_s * 2**attempt
                self._stop.wait(min(pause, _LONGEST_PAUSE_S))
            if self._stop.is_set():
                raise _FinalError("interrupted")
        raise _FinalError("the server sent other bytes than the sha256 says")

    def _part(self, item: Item) -> Path:
        return self._folder / f"{item.key}.part"

    def _note(self, item: Item) -> Path:
        return self._folder / f"{item.key}.json"

    def _attempt(self, item: Item) -> None:
        """One request: all of the file, or the rest of it."""
        part = self._part(item)
        have = part.stat().st_size if part.exists() else 0
        note = _read_note(self._note(item)) if have else _Note()
        request = urllib.request.Request(item.url, headers={"Accept-Encoding": "identity", "User-Agent": _AGENT})
        if have and (note.mark or note.total is not None or item.sha256):
            request.add_header("Range", f"bytes={have}-")
            if note.mark:
                request.add_header("If-Range", note.mark)
        try:
            with self._opener.open(request, timeout=self._source.timeout_s) as response:
                self._receive(response, item, have, note)
        except urllib.error.HTTPError as error:
            self._refused(error, item)
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            reason = getattr(error, "reason", None) or error or type(error).__name__
            raise _TryAgainError(f"the connection failed: {reason}") from None

    def _refused(self, error: urllib.error.HTTPError, item: Item) -> None:
        with error:
            if error.code == 416:  # the partial file is no beginning of what is there now
                self._part(item).unlink(missing_ok=True)
                raise _TryAgainError("the server has another file than before")
            text = f"the server answers {error.code} {error.reason}"
            if error.code in _PASSING:
                raise _TryAgainError(text, _retry_after(error.headers.get("Retry-After")))
        raise _FinalError(text)

    def _receive(self, response: Any, item: Item, have: int, note: _Note) -> None:
        """Append to the partial file, or begin it anew when the server sends all."""
        start, total = _extent(response)
        if start and (start != have or (note.total is not None and total != note.total)):
            self._part(item).unlink(missing_ok=True)
            raise _TryAgainError("the server has another file than before")
        self._check_size(item, total or 0)
        with self._lock:
            self._bar.total = (self._bar.total or 0) + (total or start) - start
            self._bar.refresh()
        with _storing():
            self._note(item).write_text(json.dumps({"mark": _mark(response), "total": total}))
            file = self._part(item).open("ab" if start else "wb")
        written = start
        with file:
            while not self._stop.is_set() and (block := response.read(_BLOCK)):
                with _storing():
                    file.write(block)
                written += len(block)
                self._check_size(item, written)
                with self._lock:
                    self._bar.update(len(block))
            with _storing():
                file.flush()
                os.fsync(file.fileno())
        if self._stop.is_set():
            raise _FinalError("interrupted")
        if total is not None and written != total:
            raise _TryAgainError(f"the connection ended after {written:,} of {total:,} bytes")

    def _check_size(self, item: Item, size: int) -> None:
        if size > self._most:
            self._part(item).unlink(missing_ok=True)
            raise _FinalError(f"it is larger than max_file_gb = {self._source.max_file_gb:g} of the source allows")

    def _verify(self, item: Item, whole: Path) -> None:
        part = self._part(item)
        if item.sha256 is not None:
            found = file_sha256(part)
            if found != item.sha256:
                part.unlink()
                raise _OtherBytesError(f"the server sent other bytes: sha256 {found} instead of {item.sha256}")
        part.replace(whole)
        self._note(item).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Note:
    """What is known of the file that a partial one is the beginning of."""

    mark: str | None = None  # its ETag or date
    total: int | None = None  # bytes


def _read_note(path: Path) -> _Note:
    try:
        content = json.loads(path.read_text())
        return _Note(content["mark"], content["total"])
    except (OSError, ValueError, KeyError, TypeError):
        return _Note()


def _mark(response: Any) -> str | None:
    """A strong tag, else the date. A weak tag does not promise equal bytes."""
    tag = response.headers.get("ETag")
    mark = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    return str(mark) if mark else None


def _extent(response: Any) -> tuple[int, int | None]:
    """The first byte of an answer and the length of the whole file, where it is said."""
    if response.status == 206:  # Content-Range: bytes 100-199/200
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if found is None:
            raise _FinalError("the server sends a part of the file and does not say which")
        return int(found[1]), int(found[2]) if found[2] != "*" else None
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


@contextmanager
def _storing() -> Iterator[None]:
    """Trouble with this machine's disk is no trouble with the connection."""
    try:
        yield
    except OSError as error:
        raise _FinalError(f"cannot be stored here: {error.strerror}") from None


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header; a date is taken against now."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = time.mktime(time.strptime(value.strip(), "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    except ValueError:
        return None
    return max(0.0, moment - time.time())
