"""In DVC's temporary copies of the project, what lies beside the project or is ignored by git is still found."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from dfdetect.config.params import DatasetParams, RuntimeParams
from dfdetect.datasets.sources.sources import bring
from dfdetect.errors import UserError
from dfdetect.io import pretrained as weights
from dfdetect.io.workspace import project_root, resolve
from dfdetect.runtime.video_stage import media_root

RAW = Path("data/x/raw")


@pytest.fixture(params=["tmpk2x9", "standalone/tmp_7a"])
def copy(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is such a copy of `tmp_path`/project; returns `tmp_path`."""
    here = tmp_path / "project" / ".dvc" / "tmp" / "exps" / request.param
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    return tmp_path


def entry(**source: object) -> DatasetParams:
    return DatasetParams.model_validate({"layout": "folder", "source": source})


def test_relative_paths_start_at_the_project(copy: Path) -> None:
    assert project_root() == copy / "project"
    for name in ("beside", "project/ignored", "project/tracked"):
        (copy / name).mkdir()
    Path("tracked").mkdir()
    assert resolve(Path("../beside")) == copy / "project" / ".." / "beside"
    assert resolve(Path("ignored")) == copy / "project" / "ignored"
    assert resolve(Path("tracked")) == Path("tracked")  # what git brought belongs to the experiment
    assert resolve(Path("nowhere")) == Path("nowhere")


@pytest.mark.parametrize("path", ["../clips", "clips"])
def test_a_folder_of_videos_is_found_by_download_and_by_the_stages_after_it(copy: Path, path: str) -> None:
    place = copy / "project" / path
    place.mkdir()
    root = bring("x", entry(kind="directory", path=path), RAW, RuntimeParams())
    assert root.resolve() == media_root("x").resolve() == place.resolve()
    # What is written is the same in the project itself, so that DVC's cache serves both.
    assert (RAW / "source.json").read_text() == f'{{\n  "root": "{path}"\n}}\n'


def test_a_folder_that_is_nowhere_says_where_it_was_looked_for(copy: Path) -> None:
    said = rf"\.\./clips does not exist in {copy}/project, nor in DVC's temporary copy"
    with pytest.raises(UserError, match=said):
        bring("x", entry(kind="directory", path="../clips"), RAW, RuntimeParams())
    (copy / "clips").mkdir()
    bring("x", entry(kind="directory", path="../clips"), RAW, RuntimeParams())
    (copy / "clips").rmdir()
    with pytest.raises(UserError, match=rf"source\.json, is not there in {copy}/project, nor in"):
        media_root("x")


def test_archives_and_manifests_are_found(copy: Path) -> None:
    with zipfile.ZipFile(copy / "set.zip", "w") as archive:
        archive.writestr("real/a.mp4", b"x")
    root = bring("x", entry(kind="archive", paths=["../set.zip"]), RAW, RuntimeParams())
    assert (root / "real/a.mp4").read_bytes() == b"x"
    (copy / "project" / "list.csv").write_text("url\nftp://x/a.mp4\n")
    with pytest.raises(UserError, match=r"list\.csv, line 2: `ftp://x/a\.mp4` is not an http"):
        bring("x", entry(kind="http", manifest="list.csv"), RAW, RuntimeParams())


def test_weights_are_found_where_the_user_put_them(copy: Path) -> None:
    folder = copy / "project" / "models" / "weights"
    folder.mkdir(parents=True)
    (folder / "retinaface-mobilenet0.25.safetensors").write_bytes(b"x")
    assert weights.locate("retinaface-mobilenet0.25") == folder / "retinaface-mobilenet0.25.safetensors"


def test_weights_are_fetched_to_where_they_stay(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[Path] = []
    monkeypatch.setattr(weights, "fetch", lambda _, target, *__: fetched.append(target))
    weights.locate("retinaface-mobilenet0.25")
    assert fetched == [copy / "project" / "models" / "weights" / "retinaface-mobilenet0.25.pth"]
