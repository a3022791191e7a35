"""Datasets under URLs that fsspec opens: `memory://` and `file://` stand for s3:// and its like."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import fsspec
import pytest

from dfdetect.config.params import DatasetParams, RuntimeParams
from dfdetect.datasets.sources.sources import bring
from dfdetect.errors import UserError

STORE = fsspec.filesystem("memory")


@pytest.fixture(autouse=True)
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    STORE.pipe({"/bucket/set/real/a.mp4": b"one", "/bucket/set/fake/b.mp4": b"two", "/bucket/other.mp4": b"no"})
    yield
    STORE.store.clear()


def brought(url: str | None = "memory://bucket/set", **settings: object) -> dict[str, bytes]:
    source = {"kind": "remote", "url": url, **settings}
    entry = DatasetParams.model_validate({"layout": "folder", "source": source})
    raw = bring("mine", entry, Path("data/mine/raw"), RuntimeParams())
    return {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.rglob("*") if path.is_file()}


def test_all_files_under_the_url_are_brought_under_their_names() -> None:
    assert brought() == {"real/a.mp4": b"one", "fake/b.mp4": b"two"}
    assert brought("memory://bucket/set/") == {"real/a.mp4": b"one", "fake/b.mp4": b"two"}


def test_a_rerun_fetches_only_what_is_new_or_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    brought()
    fetched = []
    whole = type(STORE).get_file

    def noted(self: object, path: str, *rest: object, **more: object) -> None:
        fetched.append(path)
        whole(self, path, *rest, **more)

    monkeypatch.setattr(type(STORE), "get_file", noted)
    STORE.pipe({"/bucket/set/real/a.mp4": b"ONE", "/bucket/set/real/c.mp4": b"three"})
    assert brought() == {"real/a.mp4": b"ONE", "real/c.mp4": b"three", "fake/b.mp4": b"two"}
    assert sorted(fetched) == ["/bucket/set/real/a.mp4", "/bucket/set/real/c.mp4"]


def test_archives_are_unpacked_unless_they_are_wanted_whole() -> None:
    STORE.rm("/bucket/set", recursive=True)
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("real/a.mp4", "one")
    STORE.pipe("/bucket/set/clips.zip", data.getvalue())
    assert brought() == {"real/a.mp4": b"one"}
    assert brought("memory://bucket/set/clips.zip", unpack=False) == {"clips.zip": data.getvalue()}


def test_a_local_url_works_and_its_files_are_not_changed(tmp_path: Path) -> None:
    (tmp_path / "there" / "real").mkdir(parents=True)
    (tmp_path / "there" / "real" / "a.mp4").write_bytes(b"one")
    assert brought(f"file://{tmp_path}/there") == {"real/a.mp4": b"one"}
    assert (tmp_path / "there" / "real" / "a.mp4").read_bytes() == b"one"


def test_a_file_that_comes_in_part_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(_: object, path: str, local: str, **__: object) -> None:
        Path(local).write_bytes(STORE.cat(path)[:-1])

    with monkeypatch.context() as patched:
        patched.setattr(type(STORE), "get_file", short)
        with pytest.raises(UserError, match=r"b\.mp4 cannot be fetched \(OSError: 2 bytes came instead of 3\)"):
            brought(parallel=1)
    assert not [name for name in os.listdir(".cache/download/mine/remote") if not name.startswith(".")]
    assert brought() == {"real/a.mp4": b"one", "fake/b.mp4": b"two"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, r"datasets\.mine\.source\.url is null"),
        ("memory://bucket/nothing", "there is no file under memory://bucket/nothing"),
        ("nonsense://x", "nonsense://x cannot be fetched .*Protocol not known"),
    ],
)
def test_each_mistake_is_one_line_that_names_the_key(url: str | None, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        brought(url)
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = sys.modules["fsspec.registry"]
    monkeypatch.setattr(registry, "_registry", {})
    known = {"s3": {"class": "no_such_package.S3", "err": "Install s3fs"}}
    monkeypatch.setattr(registry, "known_implementations", known)
    with pytest.raises(UserError, match=r"s3://bucket needs another package \(Install s3fs\)"):
        brought("s3://bucket")
