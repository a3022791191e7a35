from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from dfdetect.datasets.sources import archive as module
from dfdetect.datasets.sources.archive import check_sha256, group, unpack_all
from dfdetect.datasets.sources.unpack import UnpackLimits
from dfdetect.errors import UserError

LIMITS = UnpackLimits(10_000_000, 50.0)


def zipped(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "suffixes",
    [
        ("001", "002", "003"),
        ("00", "01", "02"),
        ("aa", "ab", "ac"),
        ("part1", "part2", "part3"),
        ("PART-1", "part-2", "part-3"),
    ],
)
def test_pieces_are_joined_in_order(tmp_path: Path, suffixes: tuple[str, ...]) -> None:
    data = zipped({f"real/{n}.mp4": bytes((n + i * i) % 251 for i in range(5000)) for n in range(5)})
    third = len(data) // 3 + 1
    pieces = [write(tmp_path / f"set.zip.{s}", data[n * third : (n + 1) * third]) for n, s in enumerate(suffixes)]
    (whole,) = group(pieces[::-1])
    assert whole.pieces == tuple(pieces)
    unpack_all([whole], tmp_path / "staging", LIMITS, label="test")
    assert names(tmp_path / "staging/files") == {f"real/{n}.mp4" for n in range(5)}


@pytest.mark.parametrize(
    ("suffixes", "such_as"),
    [(("001", "003"), ".002"), (("002", "003"), ".001"), (("ab", "ac"), ".aa"), (("aa", "ac"), "")],
)
def test_a_missing_piece_is_named(tmp_path: Path, suffixes: tuple[str, ...], such_as: str) -> None:
    pieces = [write(tmp_path / f"set.tar.gz.{suffix}", b"x") for suffix in suffixes]
    with pytest.raises(UserError, match=rf"set\.tar\.gz: pieces are missing .*{such_as}"):
        group(pieces)


@pytest.mark.parametrize(("name", "said"), [("set.rar", "is no archive"), ("set.z01", "zip -s 0")])
def test_what_cannot_be_unpacked_is_named(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        group([write(tmp_path / name, b"x")])
    with pytest.raises(UserError, match=r"gone\.zip is not there"):
        group([tmp_path / "gone.zip"])


def test_sha256_is_checked(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.zip", b"a"), write(tmp_path / "b.zip", b"b")]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    check_sha256(paths, [], "datasets.x.source")
    check_sha256(paths, [digests[0].upper(), digests[1]], "datasets.x.source")
    with pytest.raises(
        UserError, match=r"a\.zip has the sha256 ca978112.*, and datasets\.x\.source\.sha256 says 3e23e816"
    ):
        check_sha256(paths, digests[::-1], "datasets.x.source")
    with pytest.raises(UserError, match="has 1 entries for 2 paths"):
        check_sha256(paths, digests[:1], "datasets.x.source")


def test_a_rerun_goes_on_after_the_last_whole_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write(tmp_path / "a.zip", zipped({"real/a.mp4": b"a"}))
    data = zipped({"fake/b.mp4": b"b" * 5000})
    bad = write(tmp_path / "b.zip", data[:-30])
    with pytest.raises(UserError, match=r"b\.zip is damaged"):
        unpack_all(group([good, bad]), tmp_path / "staging", LIMITS, label="test")
    assert names(tmp_path / "staging/files") == {"real/a.mp4"}
    assert not (tmp_path / "staging/unpacking").exists()
    bad.write_bytes(data)
    seen: list[str] = []
    unpack = module.unpack
    monkeypatch.setattr(module, "unpack", lambda file, name, *rest: (seen.append(name), unpack(file, name, *rest)))
    unpack_all(group([good, bad]), tmp_path / "staging", LIMITS, label="test")
    assert seen == ["b.zip"]
    assert names(tmp_path / "staging/files") == {"real/a.mp4", "fake/b.mp4"}


def test_archives_without_a_folder_do_not_overwrite_each_others_lists(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / f"dfdc_train_part_{n}.zip", zipped({"metadata.json": b"{}", f"{n}.mp4": b"x"}))
        for n in range(2)
    ]
    unpack_all(group(parts), tmp_path / "staging", LIMITS, label="test")
    assert names(tmp_path / "staging/files") == {
        f"dfdc_train_part_{n}/{name}" for n in range(2) for name in ("metadata.json", f"{n}.mp4")
    }


def test_archives_with_folders_are_merged(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"part{n}.zip", zipped({f"set/real/{n}.mp4": b"x"})) for n in range(2)]
    unpack_all(group(parts), tmp_path / "staging", LIMITS, label="test")
    assert names(tmp_path / "staging/files") == {"set/real/0.mp4", "set/real/1.mp4"}
