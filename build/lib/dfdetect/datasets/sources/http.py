"""Source kind `http`: what is to be fetched, by URLs or a manifest, and fetching it in parallel into a cache.

Files are kept under .cache/download/ by URL and sha256, so that a rerun fetches only what is missing.
"""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from dfdetect.config.params import HttpSource
from dfdetect.datasets.lists import read_csv
from dfdetect.datasets.sources.unpack import inside
from dfdetect.datasets.tree import stored
from dfdetect.errors import FetchError, UserError
from dfdetect.io.fetch import Fetcher, FetchPolicy
from dfdetect.io.hashes import short_sha256
from dfdetect.io.workspace import resolve
from dfdetect.runtime.progress import progress_bar

SHOWN_FAILURES = 5


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
        return short_sha256(self.url, self.sha256 or "")


def list_items(source: HttpSource, key: str) -> list[Item]:
    """What is to be fetched, by `urls` and the manifest.

    Args:
        key: of the source in params.yaml, for messages.
    Raises:
        UserError: nothing to fetch, a bad URL or path, one that is not encrypted, or two files under one path.
    """
    items = [_item(url, "", "", f"{key}.urls") for url in source.urls]
    if source.manifest is not None:
        items += _read_manifest(resolve(source.manifest), key)
    if not items:
        raise UserError(f"{key}: set `urls`, or `manifest` to a CSV file with the columns url, path, sha256.")
    seen: dict[str, str] = {}
    for item in items:
        if not (source.allow_http or item.url.lower().startswith("https://")):
            raise UserError(
                f"{key}: {item.url} is not https, and anyone on the way could exchange the file: give an https URL, or "
                f"set {key}.allow_http to true."
            )
        if seen.setdefault(item.path, item.url) != item.url:
            raise UserError(f"{key}: {item.url} and {seen[item.path]} would both be stored as {item.path}.")
    return list(dict.fromkeys(items))


def _read_manifest(manifest: Path, key: str) -> list[Item]:
    if not manifest.is_file():
        raise UserError(f"{key}.manifest: {stored(str(manifest))} is not there.")
    names: list[str] = []
    items = []
    for line, cells in read_csv(manifest):
        if not names:
            names = [cell.casefold() for cell in cells]
            if "url" not in names:
                raise UserError(f"{stored(str(manifest))}, line {line}: the header must name url (and path, sha256).")
            continue
        row = dict(zip(names, cells, strict=False))
        where = f"{stored(str(manifest))}, line {line}"
        items.append(_item(row.get("url", ""), row.get("path", ""), row.get("sha256", ""), where))
    return items


def _item(url: str, path: str, sha256: str, where: str) -> Item:
    parsed = urllib.parse.urlsplit(url)
    if parsed.scheme not in ("http", "https") or not parsed.netloc:
        raise UserError(f"{where}: `{url}` is not an http or https URL.")
    name = inside(path or urllib.parse.unquote(parsed.path.rpartition("/")[2]), where)
    if not name:
        raise UserError(f"{where}: `{url}` does not end in a file's name: use a manifest with the column path.")
    digest = sha256.lower()
    if digest and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
        raise UserError(f"{where}: `{sha256}` is not a sha256 (64 hex digits).")
    return Item(url, name, digest or None)


def fetch_all(items: Sequence[Item], source: HttpSource, folder: Path, *, label: str) -> dict[str, Path]:
    """Fetch every item into `folder`, those first that are not there yet.

    Returns:
        Where it goes in the dataset -> its whole, verified file.
    Raises:
        UserError: some could not be fetched; all others are kept, and a rerun goes on.
    """
    policy = FetchPolicy(
        max_bytes=int(source.max_file_gb * 1e9),
        limit=f"max_file_gb = {source.max_file_gb:g} of the source",
        retries=source.retries,
        pause_s=source.pause_s,
        timeout_s=source.timeout_s,
        allow_http=source.allow_http,
        parallel=source.parallel,
    )
    stop = threading.Event()
    failures: list[str] = []
    with progress_bar(label, total=0) as bar, ThreadPoolExecutor(source.parallel) as pool:
        fetcher = Fetcher(policy, bar, stop)
        try:
            once = {item.key: item for item in items}  # one file may have several places in the dataset
            futures = {
                pool.submit(fetcher.fetch, item.url, folder / key, item.sha256): item for key, item in once.items()
            }
            for future in as_completed(futures):
                try:
                    future.result()
                except FetchError as error:
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
    return {item.path: folder / item.key for item in items}
