"""The mutations themselves: enough of each kind, the same at every call, and what they claim to be."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from dfdetect.errors import MediaError
from dfdetect.media.containers import open_container
from dfdetect.media.video import probe, sample_frames
from tests.reliability import ebml, mp4
from tests.reliability.mutations import Case, cases
from tests.reliability.seeds import FRAMES, SIDE, make_seeds

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seeds() -> dict[str, bytes]:
    return make_seeds()


@pytest.fixture(scope="module")
def made(seeds: dict[str, bytes]) -> list[Case]:
    return cases(seeds)


def test_there_are_enough_of_each_kind_and_each_is_another(made: list[Case], seeds: dict[str, bytes]) -> None:
    assert len(made) >= 500
    assert len({case.data for case in made}) == len({case.name for case in made}) == len(made)
    counts = Counter(case.source for case in made)
    assert set(counts) == set(seeds)
    assert min(counts.values()) >= 30
    operations = Counter(case.operation for case in made)
    for operation in ("bit flips", "byte runs", "truncations", "splices", "header lies", "sizes that lie"):
        assert operations[operation] >= 40, operation
    for operation in ("boxes removed", "boxes doubled", "boxes swapped", "element lies", "huge dimensions"):
        assert operations[operation] >= 10, operation
    assert operations["image bombs"] == 4


def test_the_same_files_give_the_same_cases_in_another_process(made: list[Case], seeds: dict[str, bytes]) -> None:
    assert cases(seeds) == made
    code = (
        "import hashlib; from tests.reliability.mutations import cases; from tests.reliability.seeds import make_seeds;"
        "print(hashlib.sha256(b''.join(case.data for case in cases(make_seeds()))).hexdigest())"
    )
    command, environment = [sys.executable, "-c", code], {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert other.strip() == hashlib.sha256(b"".join(case.data for case in made)).hexdigest()


def test_the_whole_files_are_whole(seeds: dict[str, bytes], tmp_path: Path) -> None:
    for name, data in seeds.items():
        path = tmp_path / name
        path.write_bytes(data)
        if name.endswith(".wav"):
            with open_container(path) as container:
                assert container.streams.audio
            continue
        info, sample = probe(path), sample_frames(path, FRAMES)
        assert (info.width, info.height) == (SIDE, SIDE), name
        assert (sample.decoded.status, len(sample.frames)) == ("ok", 1 if name.startswith("face.") else FRAMES), name


def test_mp4_and_ebml_are_read_as_they_are_written(seeds: dict[str, bytes]) -> None:
    for name in ("h264.mp4", "mjpeg.mov"):
        assert mp4.join(mp4.parse(seeds[name])) == seeds[name]
    for name in ("vp9.webm", "h264.mkv"):
        names = Counter(element.name for element in ebml.walk(seeds[name], 0, len(seeds[name])))
        assert names["18538067"] == names["1654ae6b"] == 1
        assert names["a3"] + names["a0"] >= FRAMES


def test_dimensions_are_huge_in_the_stream_itself(made: list[Case], tmp_path: Path) -> None:
    """Not only the container says so: the decoder is asked for the frame, and we refuse it."""
    refused = set()
    for case in made:
        if case.operation == "huge dimensions" and case.source.endswith((".mp4", ".webm")):
            path = tmp_path / case.name
            path.write_bytes(case.data)
            try:
                sample_frames(path, 1)
            except MediaError as error:
                if error.status == "too_large":
                    refused.add((case.source, error.reason.split()[0]))
    assert refused == {(name, "16000x16000") for name in ("h264.mp4", "vp8.webm", "vp9.webm")}


def test_bombs_are_small_and_unpack_to_much(made: list[Case]) -> None:
    bombs = [case.data for case in made if case.operation == "image bombs"]
    assert max(map(len, bombs)) < 200_000
    Image.MAX_IMAGE_PIXELS, before = None, Image.MAX_IMAGE_PIXELS
    try:
        assert Image.open(io.BytesIO(bombs[0])).size == (30000, 30000)
    finally:
        Image.MAX_IMAGE_PIXELS = before
