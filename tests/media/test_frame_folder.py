"""A folder of frames is a video without times and without sound."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dfdetect.errors import MediaError
from dfdetect.media.audio import decode_audio
from dfdetect.media.image import encode
from dfdetect.media.video import Limits, VideoInfo, centres, frames_at_times, probe, sample_frames
from tests.media.video_files import numbered, numbers

FRAMES = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Numbered pictures, written backwards; among them what is no frame."""
    place = tmp_path / "id0_0000"
    place.mkdir()
    for index in reversed(range(FRAMES)):
        (place / f"{index:03d}.png").write_bytes(encode(numbered(index), kind="png"))
    (place / "landmarks.npy").write_bytes(b"x")
    (place / "._000.png").write_bytes(b"what a Mac leaves behind")
    return place


@pytest.mark.parametrize("count", [1, 4, 22, 30, 50])
def test_frames_are_the_centres_of_equal_parts_in_the_order_of_names(folder: Path, count: int) -> None:
    sample = sample_frames(folder, count)
    expected = centres(FRAMES, count)
    assert numbers(sample.frames) == [frame.index for frame in sample.frames] == expected
    assert {frame.time_s for frame in sample.frames} == {None}
    assert (sample.decoded.frames, sample.decoded.status, sample.decoded.reason) == (FRAMES, "ok", None)


def test_names_are_ordered_by_their_numbers(tmp_path: Path) -> None:
    for number in (1000, 998, 999):
        (tmp_path / f"frame_{number}.png").write_bytes(encode(numbered(number - 990), kind="png"))
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(encode(numbered(20), kind="png"))
    assert numbers(sample_frames(tmp_path, 100).frames) == [8, 9, 10, 20]


def test_the_probe_says_what_is_known(folder: Path) -> None:
    assert probe(folder) == VideoInfo(None, None, 128, 96, 0, FRAMES, False, None)


def test_frames_that_cannot_be_read_are_passed_over_and_counted(folder: Path) -> None:
    (folder / "000.png").write_bytes(b"no picture")
    sample = sample_frames(folder, 100)
    assert numbers(sample.frames) == list(range(1, FRAMES))
    assert [frame.index for frame in sample.frames] == list(range(FRAMES - 1))
    assert sample.decoded.status == "ok"
    for number in range(5):
        (folder / f"{number:03d}.png").write_bytes((folder / f"{number:03d}.png").read_bytes()[:60])
    decoded = sample_frames(folder, 3).decoded
    assert (decoded.frames, decoded.status) == (25, "truncated")
    assert decoded.reason == "30 frames are stored, 25 decode"


def test_there_is_no_time_to_ask_for_and_no_sound(folder: Path) -> None:
    with pytest.raises(MediaError, match="neither timestamps nor a frame rate") as caught:
        frames_at_times(folder, [0.0, 1.0])
    assert caught.value.status == "no_times"
    with pytest.raises(MediaError, match="a folder of frames has no audio") as caught:
        decode_audio(folder, 16000)
    assert caught.value.status == "no_audio"


@pytest.mark.parametrize(
    ("limits", "status"), [(Limits(max_frames=FRAMES - 1), "too_long"), (Limits(max_pixels=1000), "too_large")]
)
def test_limits_are_refused(folder: Path, limits: Limits, status: str) -> None:
    with pytest.raises(MediaError) as caught:
        sample_frames(folder, 3, limits=limits)
    assert caught.value.status == status


def test_a_folder_without_a_frame_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for look in (probe, lambda path: sample_frames(path, 3)):
        with pytest.raises(MediaError, match="the folder holds no images"):
            look(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match="no frame decodes"):
        sample_frames(tmp_path, 3)


def test_pictures_of_several_sizes_are_kept_as_they_are(folder: Path) -> None:
    (folder / "007.png").write_bytes(encode(np.zeros((20, 30, 3), np.uint8), kind="png"))
    sizes = {(frame.width, frame.height) for frame in sample_frames(folder, 100).frames}
    assert sizes == {(128, 96), (30, 20)}
