from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from dfdetect.datasets.sources import archive as module
from dfdetect.datasets.sources.archive import check_sha256, group, local_archives, unpack_all
from dfdetect.errors import UserError

LIMITS = (10_000_000, 50.0)


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
    (whole,) = local_archives(pieces[::-1])
    assert whole.pieces == tuple(pieces)
    unpack_all([whole], tmp_path / "staging", *LIMITS, label="test")
    assert names(tmp_path / "staging/files") == {f"real/{n}.mp4" for n in range(5)}


@pytest.mark.parametrize(
    ("suffixes", "number"),
    [(("001", "003"), 2), (("002", "003"), 1), (("ab", "ac"), 0), (("aa", "ac"), 1)],
)
def test_a_missing_piece_is_named(tmp_path: Path, suffixes: tuple[str, ...], number: int) -> None:
    pieces = [write(tmp_path / f"set.tar.gz.{suffix}", b"x") for suffix in suffixes]
    with pytest.raises(UserError, match=rf"set\.tar\.gz: pieces are missing .*number {number}, counted"):
        local_archives(pieces)
    with pytest.raises(UserError, match="are the same piece"):
        local_archives([*pieces, write(tmp_path / f"set.tar.gz.part{suffixes[0]}", b"x")])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("set.rar", "is not an archive"),
        ("set.z01", "zip -s 0"),
        ("set.zip.asc", "is not an archive"),
        ("x.tar.lz", "or all pieces"),
    ],
)
def test_what_cannot_be_unpacked_is_named(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        local_archives([write(tmp_path / name, b"x")])
    with pytest.raises(UserError, match=r"gone\.zip is not there"):
        local_archives([tmp_path / "gone.zip"])


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
        unpack_all(local_archives([good, bad]), tmp_path / "staging", *LIMITS, label="test")
    assert names(tmp_path / "staging/files") == {"real/a.mp4"}
    assert not (tmp_path / "staging/unpacking").exists()
    bad.write_bytes(data)
    seen: list[str] = []
    unpack = module.unpack
    monkeypatch.setattr(module, "unpack", lambda file, name, *rest: (seen.append(name), unpack(file, name, *rest)))
    unpack_all(local_archives([good, bad]), tmp_path / "staging", *LIMITS, label="test")
    assert seen == ["b.zip"]
    assert names(tmp_path / "staging/files") == {"real/a.mp4", "fake/b.mp4"}


def test_archives_without_a_folder_do_not_overwrite_each_others_lists(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / f"dfdc_train_part_{n}.zip", zipped({"metadata.json": b"{}", f"{n}.mp4": b"x"}))
        for n in range(2)
    ]
    unpack_all(local_archives(parts), tmp_path / "staging", *LIMITS, label="test")
    assert names(tmp_path / "staging/files") == {
        f"dfdc_train_part_{n}/{name}" for n in range(2) for name in ("metadata.json", f"{n}.mp4")
    }


def test_archives_with_folders_are_merged(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"part{n}.zip", zipped({f"set/real/{n}.mp4": b"x"})) for n in range(2)]
    unpack_all(local_archives(parts), tmp_path / "staging", *LIMITS, label="test")
    assert names(tmp_path / "staging/files") == {"set/real/0.mp4", "set/real/1.mp4"}


def test_pieces_are_told_from_other_files_by_their_numbers() -> None:
    """A compressed tar is whole, a signature beside an archive is not a piece of it."""
    names = ["a.tar.gz", "b/b.tar.xz", "c.tgz", "d.zip.aa", "d.zip.ab", "d.zip.md5", "d.zip.asc", "e.zip.002", "f.mp4"]
    names += ["e.zip.001", "g.tar.zst", "h.csv.gz", "i.tar.sig", "i.tar.asc"]
    archives, others = group({name: Path(f"/{name}") for name in names})
    assert [(str(archive.name), len(archive.pieces)) for archive in archives] == [
        *(("a.tar.gz", 1), ("b/b.tar.xz", 1), ("c.tgz", 1), ("d.zip", 2)),
        *(("e.zip", 2), ("g.tar.zst", 1), ("h.csv.gz", 1)),
    ]
    assert set(others) == {"d.zip.asc", "d.zip.md5", "f.mp4", "i.tar.sig", "i.tar.asc"}


def unpacked(path: Path, staging: Path, limits: tuple[int, float] = LIMITS) -> set[str]:
    unpack_all(local_archives([path]), staging, *limits, label="test")
    return names(staging / "files")


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_a_compressed_tar_is_no_piece_of_one(tmp_path: Path, mode: str) -> None:
    path = tmp_path / f"set.v1.tar.{mode[2:]}"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo("./real/a.mp4")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    assert unpacked(path, tmp_path / "staging") == {"real/a.mp4"}


def test_archives_in_an_archive_are_unpacked_where_they_lie(tmp_path: Path) -> None:
    split = zipped({"fake/b.mp4": b"b" * 90})
    inner = {
        "set/part1.zip": zipped({"real/a.mp4": b"a", "more.zip": zipped({"real/deep.mp4": b"d"})}),
        "set/part2.zip.001": split[:50],
        "set/part2.zip.002": split[50:],
        "set/labels.csv.gz": gzip.compress(b"filename,label\n"),
        "__MACOSX/set/._part1.zip": b"\0\5\26\7",
        "set/@eaDir/part1.zip": b"no archive",
    }
    assert unpacked(write(tmp_path / "set.zip", zipped(inner)), tmp_path / "staging") == {
        *("set/real/a.mp4", "set/real/deep.mp4", "set/fake/b.mp4", "set/labels.csv"),
        *("__MACOSX/set/._part1.zip", "set/@eaDir/part1.zip"),
    }
    assert [path.name for path in (tmp_path / "staging").iterdir()] == ["files", "done"]


def test_a_damaged_archive_in_an_archive_is_named_with_both_names(tmp_path: Path) -> None:
    path = write(tmp_path / "set.zip", zipped({"set/part1.zip": zipped({"real/a.mp4": b"a" * 99})[:-30]}))
    with pytest.raises(UserError, match=r"set\.zip, in it part1\.zip is damaged"):
        unpacked(path, tmp_path / "staging")
    assert names(tmp_path / "staging") == set()


def test_bombs_in_bombs_share_one_limit(tmp_path: Path) -> None:
    """Each of the inner archives is within the limit; all together are not."""
    inner = {f"set/{number}.zip": zipped({f"{number}.mp4": bytes(1_000_000)}) for number in range(12)}
    path = write(tmp_path / "set.zip", zipped(inner))
    with pytest.raises(UserError, match=r"set\.zip, in it 7\.zip: unpacked it is larger than 10,000,000 bytes"):
        unpacked(path, tmp_path / "staging")
    for _ in range(module.MAX_DEPTH + 2):
        path.write_bytes(zipped({"deeper.zip": path.read_bytes()}))
    assert unpacked(path, tmp_path / "deep", (10**9, 1e9)) == {"deeper.zip"}
