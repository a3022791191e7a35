from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.datasets.sources import unpack as module
from dfdetect.datasets.sources.unpack import Budget, inside, unpack
from dfdetect.errors import UserError

LIMITS = (10_000_000, 50.0)
CONTENT = {
    "real/a.mp4": b"a" * 3000,
    "real/deep/b.mp4": b"bb" * 40,
    "list.txt": b"1 real/a.mp4\n",
    "fake/empty.mp4": b"",
}


def make_zip(content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def make_tar(content: dict[str, bytes], mode: str = "w", extra: list[tarfile.TarInfo] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra or []:
            archive.addfile(info)
    return buffer.getvalue()


KINDS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "x.zip": make_zip,
    "x.tar": make_tar,
    "x.tar.gz": lambda content: make_tar(content, "w:gz"),
    "x.TGZ": lambda content: make_tar(content, "w:gz"),
    "x.tar.bz2": lambda content: make_tar(content, "w:bz2"),
    "x.tar.xz": lambda content: make_tar(content, "w:xz"),
    "x.tar.zst": lambda content: pa.compress(make_tar(content), codec="zstd", asbytes=True),
}


def run(data: bytes, name: str, target: Path, limits: tuple[int, float] = LIMITS) -> None:
    unpack(io.BytesIO(data), name, target, Budget(len(data), *limits))


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_comes_out_as_it_went_in(name: str, tmp_path: Path) -> None:
    run(KINDS[name](CONTENT), name, tmp_path / "out")
    assert tree(tmp_path / "out") == CONTENT


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("cut", [0.3, 0.85])
def test_an_archive_cut_short_is_an_error(name: str, cut: float, tmp_path: Path) -> None:
    noise = {f"{n}.mp4": bytes((n * 7 + i * i) % 251 for i in range(4000)) for n in range(8)}
    data = KINDS[name](noise)
    with pytest.raises(UserError, match="damaged or cut short"):
        run(data[: int(len(data) * cut)], name, tmp_path / "out")


@pytest.mark.parametrize("name", KINDS)
def test_whatever_is_damaged_ends_in_one_message(name: str, tmp_path: Path) -> None:
    random, whole = Random(name), KINDS[name](CONTENT)
    refused = 0
    for number in range(100):
        data = bytearray(whole)
        for _ in range(random.choice((1, 3, 10))):
            data[random.randrange(len(data))] = random.randrange(256)
        try:
            run(bytes(data), name, tmp_path / str(number))
        except UserError as error:
            refused += str(error).startswith(name)
    assert refused > 20
    at = whole.rfind(b"PK\5\6") + 16  # where a zip says that its directory begins
    if name == "x.zip":
        with pytest.raises(UserError, match="damaged or cut short"):
            run(whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :], name, tmp_path / "far")


def test_a_tar_cut_between_two_members_is_an_error(tmp_path: Path) -> None:
    data = make_tar(CONTENT)
    with pytest.raises(UserError, match="damaged or cut short"):
        run(data[: 512 + 3072], "x.tar", tmp_path / "out")


def test_a_flipped_byte_is_an_error(tmp_path: Path) -> None:
    data = bytearray(make_zip(CONTENT, zipfile.ZIP_STORED))
    data[100] ^= 1
    with pytest.raises(UserError, match="damaged"):
        run(bytes(data), "x.zip", tmp_path / "out")


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
@pytest.mark.parametrize(
    "member", ["../escape.mp4", "a/../../escape.mp4", "/absolute.mp4", "..\\escape.mp4", "C:\\escape.mp4", "a/.."]
)
def test_names_that_lead_out_are_refused(name: str, member: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leads out of the folder"):
        run(KINDS[name]({"ok.mp4": b"x", member: b"y"}), name, tmp_path / "deep" / "out")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["ok.mp4"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b.mp4", "..", ".", "", "c d", "\\", "x\\..\\y"]), min_size=1, max_size=6))
def test_a_name_that_passes_stays_inside(parts: list[str]) -> None:
    name = "/".join(parts)
    try:
        relative = inside(name, "x.zip")
    except UserError:
        return
    assert not relative.startswith("/")
    assert ".." not in relative.split("/")
    assert (Path("/base") / relative).resolve().is_relative_to("/base")


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "../../secret"),
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "../secret"),
        (tarfile.LNKTYPE, "/etc/passwd"),
    ],
)
def test_links_that_leave_the_tree_are_refused(kind: bytes, target: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    data = make_tar({"real/a.mp4": b"a"}, extra=[member("real/link.mp4", kind, target)])
    with pytest.raises(UserError, match=r"its link real/link\.mp4 leaves the tree"):
        run(data, "x.tar", tmp_path / "out")
    assert not (tmp_path / "out/real/link.mp4").exists()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member("door", tarfile.SYMTYPE, str(outside)))
        info = tarfile.TarInfo("door/planted.mp4")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(UserError, match="leaves the tree"):
        run(buffer.getvalue(), "x.tar", tmp_path / "out")
    assert list(outside.iterdir()) == []


def test_a_chain_of_links_cannot_climb_out(tmp_path: Path) -> None:
    links = [
        member("a/b/up", tarfile.SYMTYPE, "../.."),
        member("a/b/further", tarfile.SYMTYPE, "up/.."),
        member("a/b/out", tarfile.SYMTYPE, "further/.."),
    ]
    with pytest.raises(UserError, match="leaves the tree"):
        run(make_tar({"a/b/file.mp4": b"x"}, extra=links), "x.tar", tmp_path / "x" / "out")


def test_links_inside_the_tree_become_files(tmp_path: Path) -> None:
    links = [
        member("real/second.mp4", tarfile.SYMTYPE, "third.mp4"),
        member("real/third.mp4", tarfile.SYMTYPE, "../fake/a.mp4"),
        member("hard.mp4", tarfile.LNKTYPE, "fake/a.mp4"),
        member("dangling.mp4", tarfile.SYMTYPE, "nothing.mp4"),
    ]
    run(make_tar({"fake/a.mp4": b"abc"}, extra=links), "x.tar", tmp_path / "out")
    names = ("fake/a.mp4", "real/second.mp4", "real/third.mp4", "hard.mp4")
    assert tree(tmp_path / "out") == dict.fromkeys(names, b"abc")
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("target", ["../../secret", "/etc/passwd"])
def test_links_in_a_zip_are_checked_too(target: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("link.mp4")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, target)
    with pytest.raises(UserError, match="leaves the tree"):
        run(buffer.getvalue(), "x.zip", tmp_path / "out")


def test_a_link_is_no_way_out_for_what_comes_later(tmp_path: Path) -> None:
    """A folder's link first, then a file below that name: tarfile's own filter would write through it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member("real/sub", tarfile.SYMTYPE, "../fake"))
        for name in ("fake/a.mp4", "real/sub/b.mp4"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(UserError, match="cannot be unpacked"):  # the name is a folder already: never a mixture
        run(buffer.getvalue(), "x.tar", tmp_path / "out")
    assert set(tree(tmp_path / "out")) == {"fake/a.mp4", "real/sub/b.mp4"}


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_would_fill_the_memory_is_refused(kind: bytes, tmp_path: Path) -> None:
    info = member("x", kind)
    info.size = 2_000_000_000
    with pytest.raises(UserError, match=r"a header of 2,000,000,000 bytes"):
        run(info.tobuf() + bytes(1024), "x.tar", tmp_path / "out")


def test_a_damaged_header_in_the_middle_is_an_error(tmp_path: Path) -> None:
    data = bytearray(make_tar(CONTENT))
    data[512 + 3072 + 10] ^= 0xFF  # in the second member's header
    with pytest.raises(UserError, match=r"damaged or cut short \(bad checksum\)"):
        run(bytes(data), "x.tar", tmp_path / "out")


def test_permissions_of_strangers_are_not_taken_over(tmp_path: Path) -> None:
    info = member("real", tarfile.DIRTYPE)
    info.mode = 0
    tool = member("tool", tarfile.REGTYPE)
    tool.mode = 0o6777
    run(make_tar({"real/a.mp4": b"x"}, extra=[info, tool]), "x.tar", tmp_path / "out")
    assert tree(tmp_path / "out") == {"real/a.mp4": b"x", "tool": b""}
    assert not (tmp_path / "out/tool").stat().st_mode & 0o6111


def test_another_kind_than_the_name_says(tmp_path: Path) -> None:
    """Servers and browsers unpack .gz on the way and keep the name."""
    run(make_tar(CONTENT), "x.tar.gz", tmp_path / "out")
    run(make_tar(CONTENT, "w:xz"), "x.tar", tmp_path / "again")
    assert tree(tmp_path / "out") == tree(tmp_path / "again") == CONTENT


@pytest.mark.parametrize("flagged", [True, False])
def test_names_of_a_zip_are_utf_8_with_and_without_the_flag(tmp_path: Path, flagged: bool) -> None:
    data = make_zip({"real/Zoë.mp4": b"x"})
    if not flagged:
        for at, mark in ((6, b"PK\x03\x04"), (8, b"PK\x01\x02")):
            start = data.find(mark) + at
            data = data[:start] + b"\0\0" + data[start + 2 :]
    run(data, "x.zip", tmp_path / "out")
    assert tree(tmp_path / "out") == {"real/Zoë.mp4": b"x"}


@pytest.mark.parametrize(("name", "packed"), [("a.csv.gz", gzip), ("a.csv.bz2", bz2), ("A.CSV.XZ", lzma)])
def test_a_single_packed_file_is_unpacked_under_its_name(
    name: str, packed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = packed.compress(b"filename,label\n" * 100)
    run(data, name, tmp_path / "out")
    assert tree(tmp_path / "out") == {name[: name.rindex(".")]: b"filename,label\n" * 100}
    with pytest.raises(UserError, match="damaged or cut short"):
        run(data[:-9], name, tmp_path / "cut")
    monkeypatch.setattr(module, "FREE_BYTES", 100_000)
    with pytest.raises(UserError, match="unpacked it is larger than"):
        run(packed.compress(bytes(6_000_000)), name, tmp_path / "bomb")
    assert not sum(len(content) for content in tree(tmp_path / "bomb").values()) > 1_100_000


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_refused(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a device, a pipe or a socket"):
        run(make_tar({}, extra=[member("dev", kind)]), "x.tar", tmp_path / "out")


@pytest.mark.parametrize("name", KINDS)
def test_a_bomb_is_refused_before_it_fills_the_disk(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FREE_BYTES", 100_000)
    data = KINDS[name]({"bomb.mp4": bytes(6_000_000)})
    if name == "x.tar":
        limits = (1_000_000, 50.0)
    else:
        limits = LIMITS
        assert len(data) * 50 < 6_000_000
    with pytest.raises(UserError, match=r"unpacked it is larger than .* raise max_unpacked_gb or max_expansion"):
        run(data, name, tmp_path / "out", limits)
    assert sum(len(content) for content in tree(tmp_path / "out").values()) <= 1_100_000


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FREE_BYTES", 100_000)
    data = bytearray(make_zip({"bomb.mp4": bytes(6_000_000)}))
    true_size = (6_000_000).to_bytes(4, "little")
    while (at := data.find(true_size)) >= 0:
        data[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(UserError):
        run(bytes(data), "x.zip", tmp_path / "out")
    assert sum(len(content) for content in tree(tmp_path / "out").values()) <= 1_100_000


def test_an_encrypted_zip_says_what_to_do(tmp_path: Path) -> None:
    data = bytearray(make_zip({"a.mp4": b"x" * 50}, zipfile.ZIP_STORED))
    data[6] |= 1  # the flag in the local header
    data[data.find(b"PK\x01\x02") + 8] |= 1  # and in the directory
    with pytest.raises(UserError, match="is encrypted: unpack it by hand"):
        run(bytes(data), "x.zip", tmp_path / "out")


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_something_else_under_the_name_of_an_archive(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{name} is damaged"):
        run(b"<html>please sign in</html>", name, tmp_path / "out")
