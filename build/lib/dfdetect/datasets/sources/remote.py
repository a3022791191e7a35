"""Source kind `remote`: the files under a URL that fsspec can open (s3://, gs://, az://, sftp://, file:// and more).

They are fetched once, into .cache/download/, where each has a name made of its URL, its size and what the store says of
its content, so that a rerun fetches what is new or changed. Credentials are the store's own, from the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dfdetect.config.params import RemoteSource
from dfdetect.datasets.sources.unpack import inside
from dfdetect.errors import UserError
from dfdetect.io.hashes import short_sha256
from dfdetect.io.tables import atomic_path
from dfdetect.runtime.progress import progress_bar


def fetch(source: RemoteSource, folder: Path, key: str, *, label: str) -> dict[str, Path]:
    """Fetch what is under the URL into `folder`; what is there already is not fetched again.

    Args:
        key: of the source in params.yaml, for messages.
        label: of the progress bar, which counts bytes.
    Returns:
        Where the file is under the URL -> the file, in the order of the names.
    Raises:
        UserError: no URL, a kind that needs another package, nothing there, or the store refused; what has been
            fetched is kept.
    """
    import fsspec

    if source.url is None:
        raise UserError(f"{key}.url is null: set it in params.yaml to the folder that holds the dataset, as s3://...")
    with _told(key, source.url):
        store, root = fsspec.core.url_to_fs(source.url, **source.options)
        listed: Mapping[str, Mapping[str, Any]] = store.find(root, detail=True)
        marks = {path: store.checksum(path) for path in listed}
    found: dict[str, tuple[str, Mapping[str, Any], Path]] = {}
    for path, info in sorted(listed.items()):
        name = inside(path[len(root) :].lstrip("/") or path.rpartition("/")[2], f"{key}.url")
        found[name] = (path, info, folder / short_sha256(source.url, name, info.get("size"), marks[path]))
    if not found:
        raise UserError(f"{key}.url: there is no file under {source.url}.")
    wanted = [each for each in found.values() if not each[2].exists()]
    with progress_bar(label, total=sum(info.get("size") or 0 for _, info, _ in wanted)) as bar:

        def bring(each: tuple[str, Mapping[str, Any], Path]) -> int:
            path, info, goal = each
            with atomic_path(goal) as part, _told(key, f"{source.url}: {path}"):
                store.get_file(path, str(part))
                if (size := part.stat().st_size) != (info.get("size") or size):
                    raise OSError(f"{size:,} bytes came instead of {info['size']:,}")
            return size

        with ThreadPoolExecutor(source.parallel) as pool:
            try:
                for size in pool.map(bring, wanted):
                    bar.update(size)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return {name: goal for name, (_, _, goal) in found.items()}


@contextmanager
def _told(key: str, what: str) -> Iterator[None]:
    """Put a store's trouble into one line.

    Each kind of store raises errors of its own, without a common base; whatever it is ends the stage, with its kind and
    words in the message and itself as the cause.
    """
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(
            f"{key}: {what} needs another package ({error}): add it with `.venv/bin/uv pip install`."
        ) from None
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise UserError(
            f"{key}: {what} cannot be fetched ({type(error).__name__}: {said}). What was fetched is kept, and the same "
            f"command goes on."
        ) from error
