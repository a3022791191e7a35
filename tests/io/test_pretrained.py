"""Weights: found where the user or a package put them, fetched only as pinned, read only as tensors."""

from __future__ import annotations

import hashlib
import io
import pickle
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import tenacity
import torch
from safetensors.torch import save_file

from dfdetect.errors import UserError
from dfdetect.io.fetch import FetchPolicy
from dfdetect.io.pretrained import WEIGHTS, fetch, fingerprint, load_state, locate

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2)}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", [name for name, known in WEIGHTS.items() if known.package])
def test_bundled_weights_are_there_without_an_import(name: str, tmp_path: Path) -> None:
    path = locate(name, tmp_path)
    assert path.is_file()
    assert fingerprint(name, folder=tmp_path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_users_file_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "mtcnn-pnet.pth"
    torch.save(STATE, own)
    assert locate("mtcnn-pnet", tmp_path) == own
    before = fingerprint("mtcnn-pnet", folder=tmp_path)
    torch.save({**STATE, "more": torch.zeros(1)}, own)
    assert fingerprint("mtcnn-pnet", folder=tmp_path) != before
    assert fingerprint("mtcnn-pnet", "mtcnn-rnet", folder=tmp_path) != fingerprint(
        "mtcnn-rnet", "mtcnn-pnet", folder=tmp_path
    )


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'yolo'.*mtcnn-onet.*retinaface-resnet50"):
        locate("yolo", tmp_path)


def test_every_address_is_pinned() -> None:
    for name, known in WEIGHTS.items():
        assert known.licence, name
        assert (known.package is None) != (known.url is None), name
        if known.url is not None:
            assert known.url.startswith("https://")
            assert known.sha256 is not None
            assert int(known.sha256, 16) >= 0
            assert 0 < known.max_bytes < 1_000_000_000


@pytest.mark.parametrize("name", ["state.pth", "state.safetensors"])
def test_a_state_dict_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    save_file(STATE, path) if name.endswith("safetensors") else torch.save(STATE, path)
    assert same(load_state(path), STATE)


def test_wrappings_are_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({f"module.{key}": value for key, value in STATE.items()}, path)
    assert same(load_state(path), STATE)
    torch.save({"epoch": 3, "state_dict": STATE}, path)
    assert same(load_state(path), STATE)


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("how", ["torch", "torch_old", "pickle"])
def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, how: str) -> None:
    mark, path = tmp_path / "ran", tmp_path / "w.pth"
    bad = {**STATE, "x": Malicious(mark)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(bad))
    else:
        torch.save(bad, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(UserError, match=r"w\.pth is refused"):
        load_state(path)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x80rubbish" * 50)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load_state(path)


@pytest.mark.parametrize("value", [{}, [1, 2], {"a": 3}, torch.ones(3)])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "w.pth"
    torch.save(value, path)
    with pytest.raises(UserError, match="no state dict"):
        load_state(path)


class Server:
    """A small server: each path answers with what `answers` says, first entry first."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes, int | None]] = []
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                status, body, length = outer.answers[min(outer.asked, len(outer.answers)) - 1]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/w.pth"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


def get(server: Server, target: Path, data: bytes, *, sha256: str | None = None, max_bytes: int = 10_000) -> None:
    digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
    fetch(server.url, target, digest, FetchPolicy(max_bytes, "the test", pause_s=0.01, allow_http=True))


def test_a_pinned_file_is_fetched(server: Server, tmp_path: Path) -> None:
    data, target = b"weights" * 100, tmp_path / "models" / "w.pth"
    server.answers = [(200, data, None)]
    get(server, target, data)
    assert target.read_bytes() == data
    assert [path.name for path in target.parent.iterdir()] == ["w.pth"]


def test_another_file_is_refused_at_once(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "w.pth"
    server.answers = [(200, b"something else", None)]
    with pytest.raises(UserError, match="another file was served"):
        get(server, target, b"weights")
    assert not list(tmp_path.iterdir())
    assert server.asked == 1


def test_a_broken_connection_is_tried_again(server: Server, tmp_path: Path) -> None:
    data = b"weights" * 100
    server.answers = [(503, b"", None), (200, data[:50], len(data)), (200, data, None)]
    get(server, tmp_path / "w.pth", data)
    assert (tmp_path / "w.pth").read_bytes() == data
    assert server.asked == 3


def test_a_file_too_large_is_refused(server: Server, tmp_path: Path) -> None:
    data = b"x" * 5000
    server.answers = [(200, data, None)]
    with pytest.raises(UserError, match="larger than 4,999 bytes, which the test allows"):
        get(server, tmp_path / "w.pth", data, max_bytes=4999)
    assert not list(tmp_path.iterdir())


def test_a_missing_file_names_all_that_helps(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "w.pth"
    server.answers = [(404, b"", None)]
    with pytest.raises(UserError) as caught:
        get(server, target, b"weights")
    message = str(caught.value)
    assert all(part in message for part in ("404", server.url, str(target), hashlib.sha256(b"weights").hexdigest()))
    assert server.asked == 1


def zipped(*members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for index, member in enumerate(members):
            archive.writestr(f"{index}.pth", member)
    return buffer.getvalue()


@pytest.mark.parametrize("of_member", [True, False])
def test_a_zip_is_unpacked_whichever_digest_is_known(server: Server, tmp_path: Path, of_member: bool) -> None:
    member = b"weights" * 10
    archive = zipped(member)
    digest = hashlib.sha256(member if of_member else archive).hexdigest()[:9]
    server.answers = [(200, archive, None)]
    get(server, tmp_path / "w.pth", b"", sha256=digest)
    assert (tmp_path / "w.pth").read_bytes() == member


def test_pytorchs_own_zip_stays_as_it_is(server: Server, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "source.pth")
    data = (tmp_path / "source.pth").read_bytes()
    server.answers = [(200, data, None)]
    get(server, tmp_path / "w.pth", data)
    assert same(load_state(tmp_path / "w.pth"), STATE)


def test_a_zip_bomb_is_refused(server: Server, tmp_path: Path) -> None:
    archive = zipped(b"\0" * 20_000_000)
    server.answers = [(200, archive, None)]
    with pytest.raises(UserError, match="unpacks to 20000000 bytes"):
        get(server, tmp_path / "w.pth", archive, max_bytes=100_000)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.org/w.pth", "not https"),
        ("file:///etc/hostname", "No connection adapters"),
        ("ftp://example.org/w", "No connection adapters"),
    ],
)
def test_only_https_is_opened(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        fetch(url, tmp_path / "w.pth", "0" * 64, FetchPolicy(10, "the test", pause_s=0.0))
    assert not list(tmp_path.iterdir())


def test_an_interrupted_download_goes_on(server: Server, tmp_path: Path) -> None:
    """The first part stays; a server that cannot continue sends all again, and the digest decides."""
    data, target = b"weights" * 1000, tmp_path / "w.pth"
    server.answers = [(200, data[:3000], len(data))]
    policy = FetchPolicy(10_000, "the test", retries=0, allow_http=True)
    with pytest.raises(UserError, match="the connection broke"):
        fetch(server.url, target, hashlib.sha256(data).hexdigest(), policy)
    assert (tmp_path / "w.pth.published.part").read_bytes() == data[:3000]
    server.answers = [(200, data, None)]
    fetch(server.url, target, hashlib.sha256(data).hexdigest(), policy)
    assert target.read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_offline_the_message_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests.Session, "get", unreachable)
    monkeypatch.setattr(tenacity, "sleep_using_event", lambda _: lambda _: None)
    with pytest.raises(UserError) as caught:
        locate("retinaface-mobilenet0.25", tmp_path)
    message = str(caught.value)
    known = WEIGHTS["retinaface-mobilenet0.25"]
    assert all(part in message for part in ("no network", str(known.url), str(known.sha256)))
    assert str(tmp_path / "retinaface-mobilenet0.25.pth") in message
