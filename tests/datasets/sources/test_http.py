"""Fetching from a local server that does what servers do."""

from __future__ import annotations

import gzip
import hashlib
import io
import threading
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from dfdetect.config.params import HttpSource
from dfdetect.datasets.sources.http import fetch_all, list_items
from dfdetect.errors import FetchError, UserError
from dfdetect.io.fetch import Fetcher, FetchPolicy
from tests.small_disk import small_disk

__all__ = ["small_disk"]

DATA = bytes((i * i + i // 251) % 253 for i in range(700_000))
SHA = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves DATA under any name; what it does wrong is asked for in the path: /<behaviour>/<name>."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: Counter[str] = Counter()
        self.ranges: defaultdict[str, list[str | None]] = defaultdict(list)
        self.files = {"": DATA}
        self.tag = '"one"'

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        asked = self.headers.get("Range")
        self.server.ranges[self.path].append(asked)
        times = self.server.requests[self.path]
        behaviour = self.path.split("/")[1]
        data = self.server.files.get(self.path, DATA)
        if behaviour.isdigit() and (times < 3 or int(behaviour) < 500):
            self.send_error(int(behaviour))
            return
        if behaviour == "elsewhere":
            self.send_response(302)
            self.send_header("Location", f"{self.server.base}/ok/a.mp4")
            self.end_headers()
            return
        if behaviour == "busy" and times == 1:
            self.send_response(503)
            self.send_header("Retry-After", formatdate(time.time() + 1.5, usegmt=True))
            self.end_headers()
            return
        if behaviour == "wrong":
            data = b"<html>sign in</html>"
        start = 0
        if asked and behaviour != "no-range" and self.headers.get("If-Range", self.server.tag) == self.server.tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if behaviour != "no-tag":
            self.send_header("ETag", self.server.tag)
        if behaviour == "packed":  # as servers say of .tar.gz files, whatever was asked for
            self.send_header("Content-Encoding", "gzip")
        if behaviour != "endless":
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        drops = behaviour in ("drop", "no-range", "no-tag", "change") and times == 1
        self.wfile.write(data[start : start + 300_000 if drops else None])
        if behaviour == "change":
            self.server.tag = '"two"'
            self.server.files[self.path] = DATA[::-1]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def source(**settings: object) -> HttpSource:
    usual = {"kind": "http", "pause_s": 0.01, "retries": 3, "timeout_s": 5, "allow_http": True}
    return HttpSource.model_validate({**usual, **settings})


def fetch(made: HttpSource, folder: Path) -> dict[str, bytes]:
    items = list_items(made, "datasets.x.source")
    return {name: path.read_bytes() for name, path in fetch_all(items, made, folder, label="test").items()}


def manifest(path: Path, *rows: str) -> Path:
    path.write_text("url,path,sha256\n" + "".join(f"{row}\n" for row in rows))
    return path


def test_many_files_come_whole_and_only_once(server: Server, tmp_path: Path) -> None:
    urls = [f"{server.base}/ok/{n}.mp4" for n in range(9)]
    assert fetch(source(urls=urls), tmp_path) == {f"{n}.mp4": DATA for n in range(9)}
    assert fetch(source(urls=urls), tmp_path) == {f"{n}.mp4": DATA for n in range(9)}
    assert set(server.requests.values()) == {1}


def test_a_file_with_two_places_is_fetched_once(server: Server, tmp_path: Path) -> None:
    url = f"{server.base}/ok/a.mp4"
    listed = manifest(tmp_path / "m.csv", *(f"{url},real/{n}.mp4," for n in range(6)))
    assert fetch(source(manifest=str(listed)), tmp_path / "cache") == {f"real/{n}.mp4": DATA for n in range(6)}
    assert server.requests["/ok/a.mp4"] == 1


@pytest.mark.parametrize("behaviour", ["drop", "no-tag"])
def test_a_dropped_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path, behaviour: str) -> None:
    assert fetch(source(urls=[f"{server.base}/{behaviour}/a.mp4"]), tmp_path) == {"a.mp4": DATA}
    assert server.ranges[f"/{behaviour}/a.mp4"] == [None, "bytes=300000-"]


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    assert fetch(source(urls=[f"{server.base}/no-range/a.mp4"]), tmp_path) == {"a.mp4": DATA}


def test_a_file_that_changes_halfway_is_begun_anew(server: Server, tmp_path: Path) -> None:
    assert fetch(source(urls=[f"{server.base}/change/a.mp4"]), tmp_path) == {"a.mp4": DATA[::-1]}


def test_an_interrupted_run_is_continued(server: Server, tmp_path: Path) -> None:
    urls = [f"{server.base}/drop/a.mp4", f"{server.base}/ok/b.mp4"]
    with pytest.raises(UserError, match=r"1 of 2 files .*\n.*the connection broke: .*300000 bytes read, 400000 more"):
        fetch(source(urls=urls, retries=0), tmp_path)
    assert fetch(source(urls=urls, retries=0), tmp_path) == {"a.mp4": DATA, "b.mp4": DATA}
    assert server.ranges["/drop/a.mp4"][-1] == "bytes=300000-"
    assert server.requests["/ok/b.mp4"] == 1


def test_404_is_told_at_once_and_the_others_are_kept(server: Server, tmp_path: Path) -> None:
    urls = [f"{server.base}/404/a.mp4", f"{server.base}/ok/b.mp4"]
    with pytest.raises(UserError, match=r"1 of 2 files could not be fetched.*\n  http\S+/404/a\.mp4: .*answers 404"):
        fetch(source(urls=urls), tmp_path)
    assert server.requests["/404/a.mp4"] == 1
    assert fetch(source(urls=urls[1:]), tmp_path) == {"b.mp4": DATA}
    assert server.requests["/ok/b.mp4"] == 1


@pytest.mark.parametrize("code", ["500", "503"])
def test_500_is_tried_again(server: Server, tmp_path: Path, code: str) -> None:
    assert fetch(source(urls=[f"{server.base}/{code}/a.mp4"]), tmp_path) == {"a.mp4": DATA}
    assert server.requests[f"/{code}/a.mp4"] == 3


def test_500_that_stays_is_an_error(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"answers 500 .*\(2 tries\)"):
        fetch(source(urls=[f"{server.base}/500/a.mp4"], retries=1), tmp_path)


def test_wrong_bytes_are_never_kept(server: Server, tmp_path: Path) -> None:
    listed = manifest(tmp_path / "m.csv", f"{server.base}/wrong/a.mp4,real/a.mp4,{SHA}")
    with pytest.raises(UserError, match=f"sent other bytes: sha256 [0-9a-f]+ instead of {SHA}"):
        fetch(source(manifest=str(listed)), tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if not path.suffix]


def test_a_partial_file_of_another_version_does_not_spoil_the_whole(server: Server, tmp_path: Path) -> None:
    listed = manifest(tmp_path / "m.csv", f"{server.base}/no-tag/a.mp4,real/a.mp4,{SHA}")
    made = source(manifest=str(listed), retries=0)
    with pytest.raises(UserError):
        fetch(made, tmp_path / "cache")
    (part,) = (tmp_path / "cache").glob("*.part")
    part.write_bytes(b"?" * part.stat().st_size)
    assert fetch(source(manifest=str(listed)), tmp_path / "cache") == {"real/a.mp4": DATA}


def test_a_full_disk_is_told_and_not_tried_again(server: Server, small_disk: Path) -> None:
    with pytest.raises(UserError, match=r"\.part cannot be written: No space left on device"):
        fetch(source(urls=[f"{server.base}/ok/a.mp4"]), small_disk / "cache")
    assert server.requests["/ok/a.mp4"] == 1


def test_no_server_is_an_error_and_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the connection failed: .*refused"):
        fetch(source(urls=["http://127.0.0.1:9/a.mp4"], retries=1), tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "set `urls`, or `manifest`"),
        ({"urls": ["ftp://x/a.mp4"]}, "is not an http or https URL"),
        ({"urls": ["file:///etc/passwd"]}, "is not an http or https URL"),
        ({"urls": ["http://x/"]}, "does not end in a file's name"),
        ({"urls": ["http://x/a.mp4", "http://y/a.mp4"]}, "would both be stored as a.mp4"),
        ({"manifest": "gone.csv"}, "gone.csv is not there"),
    ],
)
def test_a_source_that_cannot_be_is_named(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        list_items(source(**settings), "datasets.x.source")


def test_what_is_not_encrypted_is_fetched_only_where_that_is_allowed(server: Server, tmp_path: Path) -> None:
    plain = f"{server.base}/ok/a.mp4"
    listed = manifest(tmp_path / "m.csv", f"{plain},real/a.mp4,{SHA}")
    for settings in ({"urls": [plain]}, {"manifest": str(listed)}):
        with pytest.raises(UserError, match=r"is not https.*datasets\.x\.source\.allow_http to true"):
            list_items(source(**settings, allow_http=False), "datasets.x.source")
    assert not server.requests
    assert [item.url for item in list_items(source(urls=["https://x/a.mp4"], allow_http=False), "k")]


class Disguised(HTTPAdapter):
    """Asks the local server for what https://here has."""

    def __init__(self, base: str, **settings: int) -> None:
        super().__init__(**settings)
        self.base = base

    def send(self, request: requests.PreparedRequest, **settings: object) -> requests.Response:
        request.url = str(request.url).replace("https://here", self.base)
        return super().send(request, **settings)


def test_a_server_cannot_lead_away_from_https(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfdetect.io.fetch.HTTPAdapter", partial(Disguised, server.base))
    with pytest.raises(UserError, match=r"leads to http://.*, which is not https"):
        fetch(source(urls=["https://here/elsewhere/a.mp4"], allow_http=False), tmp_path)
    assert server.requests == {"/elsewhere/a.mp4": 1}
    assert fetch(source(urls=["https://here/elsewhere/a.mp4"]), tmp_path) == {"a.mp4": DATA}
    assert fetch(source(urls=["https://here/ok/b.mp4"], allow_http=False), tmp_path) == {"b.mp4": DATA}


def test_the_bytes_are_those_that_the_server_has(server: Server, tmp_path: Path) -> None:
    server.files["/packed/a.csv.gz"] = packed = gzip.compress(DATA)
    listed = manifest(tmp_path / "m.csv", f"{server.base}/packed/a.csv.gz,,{hashlib.sha256(packed).hexdigest()}")
    assert fetch(source(manifest=str(listed)), tmp_path / "cache") == {"a.csv.gz": packed}


def test_a_busy_server_is_given_the_time_it_asks_for(server: Server, tmp_path: Path) -> None:
    began = time.monotonic()
    assert fetch(source(urls=[f"{server.base}/busy/a.mp4"]), tmp_path) == {"a.mp4": DATA}
    assert time.monotonic() - began > 0.4  # the date has whole seconds; without it the pause is 0.01 s


def test_ctrl_c_ends_all_fetches_and_the_rerun_goes_on(server: Server, tmp_path: Path) -> None:
    policy = FetchPolicy(10**9, "the test", allow_http=True)
    stop = threading.Event()

    with tqdm(disable=True) as bar, pytest.raises(FetchError, match="interrupted"):
        bar.update = lambda _: stop.set()  # type: ignore[method-assign]  # as if it came after the first block
        Fetcher(policy, bar, stop).fetch(f"{server.base}/ok/a.mp4", tmp_path / "a")
    have = (tmp_path / "a.part").stat().st_size
    assert 0 < have < len(DATA)
    with tqdm(disable=True) as bar:
        Fetcher(policy, bar).fetch(f"{server.base}/ok/a.mp4", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA
    assert server.ranges["/ok/a.mp4"] == [None, f"bytes={have}-"]


@pytest.mark.parametrize("behaviour", ["ok", "endless"])
def test_a_file_larger_than_allowed_is_refused_and_not_kept(server: Server, tmp_path: Path, behaviour: str) -> None:
    url = f"{server.base}/{behaviour}/a.mp4"
    with pytest.raises(UserError, match=r"larger than 500,000 bytes, which max_file_gb = 0\.0005 of the source allows"):
        fetch(source(urls=[url], max_file_gb=0.0005), tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".json"]
    assert server.requests[f"/{behaviour}/a.mp4"] == 1
    assert fetch(source(urls=[url], max_file_gb=0.001), tmp_path) == {"a.mp4": DATA}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("http://x/a.mp4,../a.mp4,", "leads out of the folder"),
        ("http://x/a.mp4,a.mp4,abc", "is not a sha256"),
        ("nothing,a.mp4,", "is not an http or https URL"),
    ],
)
def test_a_bad_line_of_a_manifest_is_named(tmp_path: Path, row: str, said: str) -> None:
    listed = manifest(tmp_path / "m.csv", "http://x/ok.mp4,,", row)
    with pytest.raises(UserError, match=rf"m\.csv, line 3: .*{said}"):
        list_items(source(manifest=str(listed)), "datasets.x.source")


def test_archives_come_in_too(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dfdetect.config.params import DatasetParams, RuntimeParams
    from dfdetect.datasets.sources.sources import bring

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("real/a.mp4", b"a")
    server.files["/ok/set.zip"] = buffer.getvalue()
    monkeypatch.chdir(tmp_path)
    entry = DatasetParams.model_validate(
        {
            "layout": "folder",
            "source": source(urls=[f"{server.base}/ok/set.zip", f"{server.base}/ok/b.mp4"]).model_dump(),
        }
    )
    root = bring("x", entry, Path("data/x/raw"), RuntimeParams(num_workers=1))
    assert {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()} == {
        "real/a.mp4": 1,
        "b.mp4": len(DATA),
    }
    assert [path.name for path in Path("data/x").iterdir()] == ["raw"]
