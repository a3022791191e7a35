from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from dfdetect.config.params import DatasetParams, RuntimeParams
from dfdetect.datasets.registry import build_index
from dfdetect.datasets.sources.sources import bring
from dfdetect.errors import UserError
from tests.datasets.trees import CASES

RUNTIME = RuntimeParams(num_workers=1)
RAW = Path("data/x/raw")
CLIPS = {"seed": 1, "identities": 3, "clips_per_category": 1, "clip_s": 1, "fps": 20, "size": 160, "crf": 23}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project to work in."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def entry(**source: object) -> DatasetParams:
    return DatasetParams.model_validate({"layout": "folder", "source": source})


def archive(path: Path, content: dict[str, bytes]) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in content.items():
            made.writestr(name, data)
    path.write_bytes(buffer.getvalue())
    return path


def test_a_directory_is_read_in_place(project: Path) -> None:
    (project / "videos/real").mkdir(parents=True)
    root = bring("x", entry(kind="directory", path=str(project / "videos")), RAW, RUNTIME)
    assert root == project / "videos"
    assert json.loads((RAW / "source.json").read_text()) == {"root": str(project / "videos")}
    assert [path.name for path in RAW.iterdir()] == ["source.json"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (None, "datasets.x.source.path is null: set it in params.yaml to the folder that holds real/ and fake/"),
        ("nowhere", "datasets.x.source.path: nowhere does not exist"),
        ("file.txt", "is a file, not a folder"),
        ("data", "holds this project's own data/"),
    ],
)
def test_a_directory_that_cannot_be_is_named(path: str | None, said: str) -> None:
    Path("file.txt").write_text("x")
    RAW.mkdir(parents=True)
    with pytest.raises(UserError, match=said):
        bring("x", entry(kind="directory", path=path), RAW, RUNTIME)


def test_a_new_source_replaces_what_was_there(project: Path) -> None:
    old = archive(project / "old.zip", {"real/old.mp4": b"x"})
    new = archive(project / "new.zip", {"real/new.mp4": b"x"})
    for path in (old, new):
        bring("x", entry(kind="archive", paths=[str(path)]), RAW, RUNTIME)
    assert [path.name for path in RAW.rglob("*.mp4")] == ["new.mp4"]
    assert [path.name for path in RAW.parent.iterdir()] == ["raw"]


def test_a_damaged_archive_leaves_what_was_there(project: Path) -> None:
    good = archive(project / "good.zip", {"real/a.mp4": b"x"})
    bring("x", entry(kind="archive", paths=[str(good)]), RAW, RUNTIME)
    bad = archive(project / "bad.zip", {"real/b.mp4": b"x" * 5000, "fake/c.mp4": b"y" * 5000})
    bad.write_bytes(bad.read_bytes()[:6000])
    with pytest.raises(UserError, match=r"bad\.zip is damaged"):
        bring("x", entry(kind="archive", paths=[str(bad)]), RAW, RUNTIME)
    assert [path.name for path in RAW.rglob("*.mp4")] == ["a.mp4"]


def test_files_of_an_abandoned_attempt_do_not_come_back(project: Path) -> None:
    first = archive(project / "first.zip", {"real/first.mp4": b"x"})
    bad = project / "bad.zip"
    bad.write_bytes(b"no zip")
    with pytest.raises(UserError):
        bring("x", entry(kind="archive", paths=[str(first), str(bad)]), RAW, RUNTIME)
    second = archive(project / "second.zip", {"real/second.mp4": b"x"})
    bring("x", entry(kind="archive", paths=[str(second)]), RAW, RUNTIME)
    assert [path.name for path in RAW.rglob("*.mp4")] == ["second.mp4"]


def test_no_archives_named_is_an_error() -> None:
    with pytest.raises(UserError, match=r"datasets\.x\.source\.paths is empty"):
        bring("x", entry(kind="archive"), RAW, RUNTIME)


def test_a_kill_just_after_the_files_became_raw_starts_anew(project: Path) -> None:
    """Archives that are marked as unpacked are so no longer: their files were moved."""
    source = entry(kind="archive", paths=[str(archive(project / "a.zip", {"real/1.mp4": b"one"}))])
    real = shutil.rmtree

    def killed(path: Path, ignore_errors: bool = False) -> None:
        if path.name == "raw.partial" and (path / "done").exists():
            raise KeyboardInterrupt
        real(path, ignore_errors)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        bring("set", source, Path("raw"), RuntimeParams())
    assert Path("raw.partial").exists()
    real("raw")  # as `dvc repro` does before it runs the stage again
    bring("set", source, Path("raw"), RuntimeParams())
    assert Path("raw/real/1.mp4").read_bytes() == b"one"
    assert not Path("raw.partial").exists()


def test_a_layout_that_cannot_be_generated_is_named_with_its_key() -> None:
    dataset = {"layout": "faceforensics", "source": {"kind": "generate", "real_clips": 2, "style": "studio", **CLIPS}}
    with pytest.raises(UserError, match=r"datasets\.set\.source: real_clips 2: layout faceforensics"):
        bring("set", DatasetParams.model_validate(dataset), Path("raw"), RuntimeParams())


def test_the_sample_goes_on_from_the_clips_that_were_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Path] = []

    def draw(_clip: object, path: Path, _crops: int) -> None:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(path)
        path.write_bytes(b"a video")

    monkeypatch.setattr("synthetic.generate.write_clip", draw)
    source = entry(kind="generate", style="studio", **CLIPS)
    with pytest.raises(KeyboardInterrupt):
        bring("set", source, Path("raw"), RuntimeParams(num_workers=1))
    assert not Path("raw").exists()
    first, drawn[:] = list(drawn), [Path()] * 9
    bring("set", source, Path("raw"), RuntimeParams(num_workers=1))
    assert len(set(drawn[9:]) & set(first)) == 0
    clips = list(Path("raw").rglob("*.mp4"))
    assert len(clips) == len(first) + len(drawn[9:]) > 2
    assert not Path("raw.partial").exists()


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not here")
@pytest.mark.parametrize(
    ("name", "layout", "found"),
    [
        ("plain.tar.gz", "folder", ["fake/b.mp4", "real/a.mp4"]),
        ("mac.zip", "folder", ["fake/b.mp4", "real/a.mp4"]),
        ("zip_in_zip.zip", "celebdf", ["Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4"]),
    ],
)
def test_made_cases_of_archives(name: str, layout: str, found: list[str]) -> None:
    source = {"kind": "archive", "paths": [str(CASES / "archives" / name)]}
    made = DatasetParams.model_validate({"layout": layout, "source": source})
    index = build_index("x", made, bring("x", made, RAW, RUNTIME))
    assert [clip.video_id for clip in index.clips] == found
