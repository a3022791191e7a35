"""The synthetic datasets: plans, official trees and their lists, files, and bytes that depend on the seed alone."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dfdetect.config.params import DatasetParams
from dfdetect.datasets import registry
from dfdetect.datasets.tree import walk
from synthetic.clip import render_clip
from synthetic.generate import generate
from synthetic.layouts import LAYOUTS
from synthetic.plan import CATEGORIES, FAKE_AUDIO, FAKE_VIDEO, METHODS, ClipPlan, make_plan, random_people
from synthetic.settings import GenerateSource, SettingsError
from synthetic.write import write_clip


def source(**changes: object) -> GenerateSource:
    """A tiny set: two people, clips of half a second."""
    tiny: dict[str, object] = {
        "seed": 5,
        "identities": 2,
        "clips_per_category": 1,
        "clip_s": 0.5,
        "fps": 12.5,
        "size": 160,
        "style": "studio",
        "crf": 24,
    }
    return GenerateSource.model_validate({**tiny, **changes})


def digests(root: Path) -> dict[str, str]:
    """sha256 of every file below a folder."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def counts(plan: list[ClipPlan]) -> Counter[tuple[int, str]]:
    return Counter((clip.person.index, clip.category) for clip in plan)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 24), st.integers(1, 3), st.integers(0, 1000))
def test_every_person_has_every_category_equally_often(people: int, per: int, seed: int) -> None:
    plan = make_plan(source(identities=people, clips_per_category=per, seed=seed))
    assert len({clip.person.name for clip in plan}) == people
    assert counts(plan) == {(k, category): per for k in range(people) for category in CATEGORIES}
    for clip in plan:
        assert clip.method in METHODS[clip.category]
        assert (clip.category in FAKE_AUDIO) == (clip.voice_donor is not None)
        assert clip.face_donor is None or clip.category in FAKE_VIDEO
        assert clip.person not in (clip.face_donor, clip.voice_donor)


def test_no_unforged_picture_occurs_twice_and_every_forged_one_has_its_unforged_take() -> None:
    plan = make_plan(source(identities=5, clips_per_category=2))
    unforged = [clip.take_seed for clip in plan if clip.category not in FAKE_VIDEO]
    assert len(unforged) == len(set(unforged))
    assert {clip.take_seed for clip in plan if clip.category in FAKE_VIDEO} == set(unforged)


@pytest.mark.parametrize("per", [1, 2])
@pytest.mark.parametrize("layout", ["fakeavceleb", "dfdc"])
def test_more_real_clips_come_on_top_and_change_no_other(layout: str, per: int) -> None:
    few_source, many_source = (source(identities=4, clips_per_category=per, real_clips=n) for n in (None, 6))
    few = [replace(clip, source=many_source) for clip in LAYOUTS[layout].plan(few_source)]
    many = LAYOUTS[layout].plan(many_source)
    added = [clip for clip in many if clip not in few]
    assert [clip for clip in many if clip in few] == few
    assert Counter((clip.person.index, clip.fake) for clip in added) == {(k, False): 6 - per for k in range(4)}
    assert len({clip.take_seed for clip in added}) == len(added)
    assert {clip.take_seed for clip in added}.isdisjoint(clip.take_seed for clip in few)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_no_two_clips_share_a_path(layout: str) -> None:
    real_clips = None if layout == "faceforensics" else 40
    wanted = source(identities=11, clips_per_category=3, real_clips=real_clips)
    assert len(LAYOUTS[layout].files(wanted)) == len(LAYOUTS[layout].plan(wanted))


def test_a_number_of_real_clips_that_cannot_be_is_named() -> None:
    with pytest.raises(ValidationError, match="real_clips 1 is less than clips_per_category 2"):
        source(clips_per_category=2, real_clips=1)
    with pytest.raises(SettingsError, match="real_clips 3: layout faceforensics"):
        LAYOUTS["faceforensics"].plan(source(real_clips=3))


def test_another_seed_gives_other_people() -> None:
    one, two = random_people(source()), random_people(source(seed=6))
    assert {p.name for p in one}.isdisjoint(p.name for p in two)
    assert one[0].face != two[0].face
    assert make_plan(source()) == make_plan(source())


def test_unknown_setting_is_named() -> None:
    with pytest.raises(ValidationError, match="clips_per_identity"):
        source(clips_per_identity=3)
    with pytest.raises(ValidationError, match="style"):
        source(style="beach")


def test_unknown_layout_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'celeb'.*celebdf.*fakeavceleb"):
        generate(tmp_path, layout="celeb", source=source(), workers=1)


def test_same_bytes_for_any_number_of_workers(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    one = generate(
        tmp_path / "one", layout="dfdc", source=source(), workers=1, progress=lambda *done: seen.append(done)
    )
    assert generate(tmp_path / "two", layout="dfdc", source=source(), workers=3) == one == 6
    assert seen == [(k, one) for k in range(1, one + 1)]
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert len(set(digests(tmp_path / "one").values())) == len(digests(tmp_path / "one"))


@pytest.fixture(scope="module")
def fakeavceleb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fakeavceleb")
    assert generate(root, layout="fakeavceleb", source=source(), workers=1) == 8
    return root


def test_fakeavceleb_list_fits_the_files(fakeavceleb: Path) -> None:
    text = (fakeavceleb / "meta_data.csv").read_text()
    assert text.splitlines()[0] == "source,target1,target2,method,category,type,race,gender,path,"
    rows = list(csv.reader(text.splitlines()))[1:]
    listed = {f"{row[9].removeprefix('FakeAVCeleb/')}/{row[8]}": row for row in rows}
    assert set(listed) == {str(p.relative_to(fakeavceleb)) for p in fakeavceleb.rglob("*.mp4")}
    for path, row in listed.items():
        category, race, gender, person, _ = path.split("/")
        assert row[5:8] == [category, race, gender]
        assert row[4] == "ABCD"[CATEGORIES.index(category)]
        assert row[3] in METHODS[category]
        assert row[0] == person != row[1]
    by_category = Counter(path.split("/")[0] for path in listed)
    assert by_category == dict.fromkeys(CATEGORIES, 2)


def test_files_are_h264_and_aac_with_picture_and_sound_equally_long(fakeavceleb: Path) -> None:
    for path in fakeavceleb.rglob("*.mp4"):
        with av.open(str(path)) as box:
            video, audio = box.streams.video[0], box.streams.audio[0]
            assert (video.codec.name, video.pix_fmt, audio.codec.name) == ("h264", "yuv420p", "aac")
            assert (video.width, video.height, audio.rate, audio.channels) == (160, 160, 16000, 1)
            assert float(video.average_rate) == 12.5
            frames = sum(1 for _ in box.decode(video))
        assert 5 <= frames <= 7
        with av.open(str(path)) as box:
            samples = sum(frame.samples for frame in box.decode(audio=0))
        assert 0 <= samples - frames / 12.5 * 16000 < 2048  # the last AAC frame is filled up
        assert b"Lavf" not in path.read_bytes()  # no encoder version in the container


@pytest.mark.parametrize("style", ["studio", "street"])
def test_the_sound_of_a_file_starts_with_its_picture(style: str, tmp_path: Path) -> None:
    """An encoder puts 1024 samples before the first: players skip them only if the file says so."""
    clip = make_plan(source(clip_s=2, style=style))[0]
    write_clip(clip, tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as box:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in box.decode(audio=0)])
    spoken = render_clip(clip).samples / 32768
    parts = np.lib.stride_tricks.sliding_window_view(heard, len(spoken) // 2)[:2000]
    assert int(np.argmax(parts @ spoken[: len(spoken) // 2])) == 0


def test_picture_and_sound_lie_beside_each_other_in_a_long_file(tmp_path: Path) -> None:
    """The muxer's own limit of 10 s would write the sound first, since it is encoded first."""
    write_clip(make_plan(source(clip_s=14))[0], tmp_path / "long.mp4")
    at = {"video": 0.0, "audio": 0.0}
    with av.open(str(tmp_path / "long.mp4")) as box:
        for packet in box.demux():
            if packet.dts is not None:
                at[packet.stream.type] = float(packet.dts * packet.time_base)
                assert abs(at["video"] - at["audio"]) < 1
    assert at["video"] > 12


def test_dfdc_lists_fit_the_files(tmp_path: Path) -> None:
    generate(tmp_path, layout="dfdc", source=source(identities=5), workers=1)
    labels = dict(line.split(",") for line in (tmp_path / "test/labels.csv").read_text().splitlines()[1:])
    assert set(labels) == {p.name for p in (tmp_path / "test").glob("*.mp4")}
    assert Counter(labels.values()) == {"0": 3, "1": 6}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dfdc_train_part_0", "dfdc_train_part_1", "test"]
    for part in tmp_path.glob("dfdc_train_part_*"):
        rows = json.loads((part / "metadata.json").read_text())
        assert set(rows) == {p.name for p in part.glob("*.mp4")}
        for row in rows.values():
            assert row["split"] == "train"
            assert row["label"] == ("FAKE" if "original" in row else "REAL")
            assert "original" not in row or rows[row["original"]]["label"] == "REAL"


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_is_read_back_by_its_adapter(layout: str, tmp_path: Path) -> None:
    settings_ = source(identities=4, style="street", clip_s=0.3)
    made = generate(tmp_path, layout=layout, source=settings_, workers=1)
    files = LAYOUTS[layout].files(settings_)
    entry = DatasetParams.model_validate({"layout": layout, "source": settings_.model_dump()})
    index = registry.get(layout).index(walk(tmp_path), entry)
    assert made == len(index.clips) == len(files)
    by_path = {clip.path: clip for clip in index.clips}
    for path, clip in files.items():
        found = by_path[path]
        assert (found.label, found.visual_label) == (int(clip.fake), int(clip.category in FAKE_VIDEO))
    for note in ("missing", "extra", "outside", "ignored", "odd_names"):
        assert index.notes.get(note, {"count": 0})["count"] == 0, note


def test_deepfakebench_crops_show_the_face(tmp_path: Path) -> None:
    generate(tmp_path, layout="deepfakebench", source=source(identities=2, clip_s=1.0), workers=1)
    listed = json.loads((tmp_path / "Celeb-DF-v2.json").read_text())["Celeb-DF-v2"]
    frames = [f for label in listed.values() for s in label.values() for row in s.values() for f in row["frames"]]
    assert frames
    assert {cv2.imread(str(tmp_path / frame)).shape for frame in frames} == {(256, 256, 3)}


def test_faceforensics_has_no_sound_and_refuses_four_digits(tmp_path: Path) -> None:
    generate(tmp_path, layout="faceforensics", source=source(clip_s=0.3), workers=1)
    for path in tmp_path.rglob("*.mp4"):
        with av.open(str(path)) as box:
            assert not box.streams.audio
    with pytest.raises(SettingsError, match="1002 are more than 1000"):
        LAYOUTS["faceforensics"].plan(source(identities=1002))
