"""A drawn miniature of every layout, through download and splits: real files in official trees."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from stages.download.table import download
from stages.params import DatasetParams, EngineParams, SplitsParams
from stages.schema import SPLITS, VIDEOS
from stages.splits.build import build
from stages.store import read_table

PEOPLE = 8
SOURCE = {
    "kind": "generate", "seed": 5, "identities": PEOPLE, "clips_per_category": 1,
    "clip_s": 0.3, "fps": 25, "size": 160, "look": "studio", "crf": 23,
}  # fmt: skip
# layout -> videos by category
EXPECTED = {
    "fakeavceleb": dict.fromkeys(
        ("RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio"), PEOPLE
    ),
    "dfdc": {"real": PEOPLE, "fake": 2 * PEOPLE},
    "celebdf": {"Celeb-real": 6, "Celeb-synthesis": 6, "YouTube-real": 2},
    "faceforensics": dict.fromkeys(("youtube", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"), PEOPLE),
    "folder": {"real": PEOPLE, "fake": 2 * PEOPLE},
    "deepfakebench": {"CelebDFv2_real": 8, "CelebDFv2_fake": 6},
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", EXPECTED)
def test_a_miniature_is_indexed_probed_and_split(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = DatasetParams.model_validate({"layout": layout, "source": SOURCE, "cropped": layout == "deepfakebench"})
    metrics = download("mini", entry, EngineParams(workers=2))
    rows = read_table(Path("data/mini/videos.parquet"), VIDEOS).to_pylist()
    assert Counter(row["category"] for row in rows) == EXPECTED[layout]
    assert {row["status"] for row in rows} == {"ok"}
    assert all(row["width"] and row["sha256"] for row in rows)
    assert metrics["failed"] == 0
    assert metrics["layout"].get("missing", {"count": 0})["count"] == 0
    audit = build("mini", entry, SplitsParams())
    splits = read_table(Path("data/mini/splits.parquet"), SPLITS).to_pylist()
    assert [row["video_id"] for row in splits] == [row["video_id"] for row in rows]
    assert {(row["split"], row["label"]) for row in splits} >= {
        (split, label) for split in ("train", "test") for label in (0, 1)
    }
    assert audit["duplicate_files"]["groups"] == 0
    assert audit["people"]["train-val"]["identities"] == 0
