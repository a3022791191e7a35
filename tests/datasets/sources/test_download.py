from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from dfdetect.config.params import DatasetParams, RuntimeParams
from dfdetect.datasets.sources import probe
from dfdetect.datasets.sources.cache import Cache, State
from dfdetect.datasets.sources.index import download, told
from dfdetect.datasets.tree import on_disk
from dfdetect.errors import MediaError, UserError
from dfdetect.io.schemas import VIDEOS
from dfdetect.io.tables import read_table
from dfdetect.media.decoders import folder_frames
from dfdetect.runtime.video_stage import media_root
from tests.datasets.sources.media import mp4

RUNTIME = RuntimeParams(num_workers=2, timeout_s=20)
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project to work in, beside a folder of videos."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def videos(root: Path, names: list[str], *, bad: bool = False) -> Path:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no video" if bad else mp4(number % 3, sound=number % 2 == 0))
    return root


def entry(root: Path, **settings: object) -> DatasetParams:
    return DatasetParams.model_validate(
        {"layout": "folder", "source": {"kind": "directory", "path": str(root)}, **settings}
    )


def table(dataset: str = "mine") -> list[dict[str, object]]:
    return read_table(Path("data") / dataset / "videos.parquet", VIDEOS).to_pylist()


def test_every_column_is_filled(project: Path) -> None:
    root = videos(project / "v", ["real/a.mp4", "fake/b.mp4"])
    metrics = download("mine", entry(root), RUNTIME)
    fake, real = table()
    assert (fake["video_id"], fake["label"], real["label"]) == ("fake/b.mp4", 1, 0)
    assert {name: fake[name] for name in ("width", "height", "fps", "rotation_deg", "has_audio", "status")} == {
        "width": 64,
        "height": 48,
        "fps": 25.0,
        "rotation_deg": 0,
        "has_audio": False,
        "status": "ok",
    }
    assert real["has_audio"] is True
    assert real["size_bytes"] == len(mp4(0, sound=True))
    assert len(str(real["sha256"])) == 64
    assert metrics["videos"] == 2
    assert metrics["label"] == {"0": 1, "1": 1}
    assert json.loads(Path("metrics/mine/download.json").read_text()) == metrics
    assert media_root("mine") == root


def test_what_cannot_be_probed_is_a_row_with_its_reason(project: Path) -> None:
    root = videos(project / "v", ["real/a.mp4", "fake/b.mp4", "fake/c.mp4"])
    (root / "fake/empty.mp4").write_bytes(b"")
    (root / "fake/text.avi").write_text("hello")
    (root / "fake/gone.mp4").symlink_to(root / "nowhere.mp4")
    metrics = download("mine", entry(root), RUNTIME)
    rows = {row["video_id"]: row for row in table()}
    assert metrics["failed"] == 3
    assert {name for name, row in rows.items() if row["status"] != "ok"} == {
        "fake/empty.mp4",
        "fake/text.avi",
        "fake/gone.mp4",
    }
    assert all(row["reason"] for row in rows.values() if row["status"] != "ok")
    assert rows["fake/gone.mp4"]["sha256"] is None
    assert rows["fake/text.avi"]["sha256"] is not None
    assert str(project) not in Path("metrics/mine/download.json").read_text()


def test_too_many_failures_stop_after_the_table_is_written(project: Path) -> None:
    root = videos(project / "v", ["real/a.mp4", "fake/b.mp4", "fake/c.mp4"], bad=True)
    with pytest.raises(
        UserError, match=r"3 of 3 files cannot be probed, more than datasets\.mine\.max_failed_fraction"
    ):
        download("mine", entry(root), RUNTIME)
    assert len(table()) == 3
    download("mine", entry(root, max_failed_fraction=1.0), RUNTIME)


def test_the_bytes_are_the_same_for_any_number_of_workers_and_after_a_rerun(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "FILES_A_TASK", 3)
    root = videos(project / "v", [f"{c}/{n:02d}.mp4" for c in ("real", "fake") for n in range(10)])
    (root / "fake/bad.mp4").write_bytes(b"x")
    results = []
    for dataset, workers in (("one", 1), ("two", 2), ("two", 2)):
        download(dataset, entry(root), RuntimeParams(num_workers=workers))
        results.append(Path(f"data/{dataset}/videos.parquet").read_bytes())
        results.append(Path(f"metrics/{dataset}/download.json").read_bytes())
    assert results[0::2] == [results[0]] * 3
    assert results[1::2] == [results[1]] * 3


def test_an_unchanged_file_is_not_read_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = videos(project / "v", ["real/a.mp4", "real/b.mp4", "fake/c.mp4"])
    monkeypatch.setattr("dfdetect.datasets.sources.cache.SETTLED_NS", 0)
    download("mine", entry(root), RUNTIME)
    before = Path("data/mine/videos.parquet").read_bytes()
    read: list[str] = []
    original = probe.run

    def spy(work: object, tasks: list[object], *rest: object, **named: object) -> object:
        read.extend(path for task in tasks for path in task.paths)  # type: ignore[attr-defined]
        return original(work, tasks, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(probe, "run", spy)
    download("mine", entry(root), RUNTIME)
    assert read == []
    assert Path("data/mine/videos.parquet").read_bytes() == before
    (root / "real/b.mp4").write_bytes(mp4(7))
    download("mine", entry(root), RUNTIME)
    assert read == ["real/b.mp4"]
    assert Path("data/mine/videos.parquet").read_bytes() != before


def test_a_damaged_cache_is_read_as_far_as_it_goes(project: Path) -> None:
    path, state = Path("cache.jsonl"), State(1, 2, 3)
    with Cache(path, project) as cache:
        for name in ("a", "b", "c"):
            cache.put(name, state, {"sha256": name, "status": "ok"})
    whole = path.read_bytes()
    damages = {
        whole[:-10]: "ab",
        whole + b"\xff\xfe{": "abc",
        b"[]\n" + whole: "abc",
        whole.replace(b'"sha256": "b"', b'"sha256": ?b"'): "ac",
        b"": "",
        whole + b'["a", 1]\n': "abc",
    }
    for damaged, left in damages.items():
        path.write_bytes(damaged)
        for _ in range(2):  # and once more, after the file has been put right
            with Cache(path, project) as cache:
                assert "".join(name for name in "abc" if cache.get(name, state)) == left
                assert cache.get("a", State(1, 2, 4)) is None
    with Cache(path, project / "elsewhere") as cache:
        assert cache.get("a", state) is None


def test_a_file_changed_a_moment_ago_is_not_remembered(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfdetect.datasets.sources.cache.SETTLED_NS", 10**12)
    root = videos(project / "v", ["real/a.mp4", "fake/c.mp4"])
    download("mine", entry(root), RUNTIME)
    assert not Path(".cache/download/mine.jsonl").read_bytes().strip()


def _crash_on_c(path: Path) -> object:
    if path.name == "c.mp4":
        os._exit(11)
    if path.name == "hang.mp4":
        import time

        time.sleep(60)
    if path.name == "odd.mp4":
        raise ValueError("unforeseen")
    raise MediaError("not looked at", "odd")


@pytest.mark.slow
def test_a_crash_or_a_hang_costs_only_its_own_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"real/{n}.mp4" for n in range(8)] + ["fake/c.mp4", "fake/hang.mp4", "fake/odd.mp4"]
    root = videos(project / "v", names)
    with Cache(Path("cache.jsonl"), root) as cache:
        monkeypatch.setattr(probe, "_read_files", _files)
        monkeypatch.setattr(probe, "_read_alone", _alone)
        facts = probe.inspect_files(str(root), names, cache, RuntimeParams(num_workers=2, timeout_s=6), label="test")
    status = {name: fact["status"] for name, fact in facts.items()}
    assert {status[f"real/{n}.mp4"] for n in range(8)} == {"odd"}
    assert (status["fake/c.mp4"], status["fake/hang.mp4"], status["fake/odd.mp4"]) == ("crashed", "timeout", "failed")
    assert all(fact["sha256"] for fact in facts.values())
    assert "unforeseen" in facts["fake/odd.mp4"]["reason"]


def _files(files: probe._Files) -> object:
    probe.probe = _crash_on_c  # type: ignore[assignment]
    return probe._read_files(files)


def _alone(files: probe._Files) -> object:
    probe.probe = _crash_on_c  # type: ignore[assignment]
    return probe._read_alone(files)


def test_odd_names_are_read(project: Path) -> None:
    names = ['real/it\'s "a" clip.mp4', "real/new\nline.mp4", os.fsdecode(b"fake/caf\xe9.mp4"), "fake/back\\slash.MP4"]
    root = videos(project / "v", names)
    download("mine", entry(root), RUNTIME)
    rows = table()
    assert {row["status"] for row in rows} == {"ok"}
    assert {on_disk(str(row["path"])) for row in rows} == set(names)


def test_a_folder_of_frames_is_read_in_the_order_of_its_numbers(project: Path) -> None:
    """998, 999, 1000 without zeros in front; as text 1000 would come first."""
    for number, grey in ((998, 10), (999, 120), (1000, 230)):
        for name in ("real/r0", "fake/f0"):
            (project / "v" / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(project / "v" / name / f"{number}.png"), np.full((20, 30, 3), grey, np.uint8))
    metrics = download("mine", entry(project / "v"), RUNTIME)
    assert [(row["path"], row["method"], row["declared_frames"]) for row in table()] == [
        ("fake/f0", None, 3),
        ("real/r0", "real", 3),
    ]
    assert told(metrics["layout"]) == [
        "2 folders of numbered images, each taken as one video (or set frame_folders: false): fake/f0, real/r0"
    ]
    assert folder_frames(project / "v" / "real/r0") == ["998.png", "999.png", "1000.png"]


def test_what_was_left_out_is_said_on_the_terminal(project: Path) -> None:
    root = videos(project / "v", ["Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4", "other/c.mp4"])
    for name in ("@eaDir/x.jpg", "Celeb-real/.DS_Store", "a.txt", "b.txt", "c.txt", "d.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    text = yaml.safe_load((ROOT / "params.yaml").read_text())
    text["datasets"]["mine"] = {"layout": "celebdf", "source": {"kind": "directory", "path": str(root)}}
    Path("params.yaml").write_text(yaml.safe_dump(text))
    command = [sys.executable, "-m", "stages.download", "--dataset", "mine"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == [
        "download mine: 2 videos, 0 of them cannot be probed",
        "  no list of the set is here: what only it says, such as an official split, is not known",
        "  1 parts that are not here: YouTube-real",
        "  1 videos outside of the folders that count: other/c.mp4",
        "  4 files of other kinds: a.txt, b.txt, c.txt, ...",
        "  2 hidden, or left behind by unpackers, recycle bins and network disks: @eaDir/, Celeb-real/.DS_Store",
    ]


def test_a_folder_of_frames_is_one_video(project: Path) -> None:
    folder = project / "v" / "frames" / "a"
    folder.mkdir(parents=True)
    for number in (10, 2, 1):
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.full((20, 30, 3), number, np.uint8))
    (folder / "notes.txt").write_text("x")
    listed = {"label": "real", "frames": [f"frames/a/{n:03d}.png" for n in (1, 2, 10)]}
    (project / "v" / "list.json").write_text(json.dumps({"D": {"real": {"train": {"a": listed}}}}))
    download("bench", entry(project / "v", layout="deepfakebench", cropped=True), RUNTIME)
    (row,) = table("bench")
    assert (row["path"], row["declared_frames"], row["width"], row["height"], row["status"]) == (
        "frames/a",
        3,
        30,
        20,
        "ok",
    )
    before = row["sha256"]
    (folder / "002.png").write_bytes((folder / "001.png").read_bytes())
    download("bench", entry(project / "v", layout="deepfakebench", cropped=True), RUNTIME)
    assert table("bench")[0]["sha256"] != before


@pytest.mark.parametrize(("name", "value"), [("methods", ["FaceSwap"]), ("compression", "c23")])
def test_a_selection_that_the_layout_does_not_make_is_refused(project: Path, name: str, value: object) -> None:
    """Before anything is fetched; faceforensics selects by both."""
    root = videos(project / "v", ["real/071.mp4", "FaceSwap/071_054.mp4"])
    with pytest.raises(
        UserError, match=rf"datasets\.mine\.{name} has no effect in layout `folder`, only in faceforensics"
    ):
        download("mine", entry(root, **{name: value}), RUNTIME)
    assert not Path("data").exists()
    assert download("mine", entry(root, layout="faceforensics", **{name: value}), RUNTIME)["videos"] == 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{kind: directory, path: null}", "datasets.mine.source.path is null"),
        ("{kind: directory, path: nowhere}", "nowhere does not exist"),
        ("{kind: ftp}", "datasets.mine.source"),
    ],
)
def test_the_command_line_ends_in_one_message(source: str, said: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["datasets"]["mine"] = {"layout": "folder", "source": yaml.safe_load(source)}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.download", "--dataset", "mine"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
