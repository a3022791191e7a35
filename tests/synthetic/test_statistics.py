"""No trivial statistic of a generated file separates real from fake: each alone has an AUC near 0.5."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from synthetic.generate import generate
from synthetic.layouts import LAYOUTS
from synthetic.plan import FAKE_VIDEO
from synthetic.settings import GenerateSource

# 24 people, 96 clips. An AUC of 48 against 48 independent clips strays from 0.5 by 0.059 (one deviation), of 24 against
# 72 by 0.068; the band is about three deviations, as sixteen statistics are looked at twice.
BAND = 0.2
SOURCE = GenerateSource(
    seed=3, identities=24, clips_per_category=1, clip_s=1.2, fps=10, size=192, style="studio", crf=21
)


def auc(labels: np.ndarray, values: np.ndarray) -> float:
    """Share of (fake, real) pairs in which the fake's value is higher; ties count half."""
    fake, real = values[labels == 1][:, None], values[labels == 0][None, :]
    return float(((fake > real) + 0.5 * (fake == real)).mean())


def statistics(path: Path) -> dict[str, float]:
    """What can be said of a file without looking for a face."""
    with av.open(str(path)) as box:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in box.decode(video=0)])
    with av.open(str(path)) as box:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in box.decode(audio=0)]).astype(np.float64)
        rate = box.streams.audio[0].rate
    with av.open(str(path)) as box:
        bytes_ = {"video": 0, "audio": 0}
        for packet in box.demux():
            bytes_[packet.stream.type] += packet.size
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    envelope = np.sqrt(np.convolve(sound**2, np.ones(160) / 160, "same"))
    loud = np.flatnonzero(envelope > 0.1 * envelope.max())
    values = {f"mean {name}": float(frames[..., k].mean()) for k, name in enumerate(("red", "green", "blue"))}
    values |= {f"std {name}": float(frames[..., k].std()) for k, name in enumerate(("red", "green", "blue"))}
    return values | {
        "file size": float(path.stat().st_size),
        "video bit rate": bytes_["video"] / len(frames),
        "audio bit rate": bytes_["audio"] / len(sound),
        "frame count": float(len(frames)),
        "clip length": len(sound) / rate,
        "leading silence": loud[0] / rate,
        "loudness": float(np.sqrt(np.mean(sound**2))),
        "peak": float(np.abs(sound).max()),
        "sharpness": float(np.mean([cv2.Laplacian(image, cv2.CV_64F).var() for image in grey])),
        "frame difference": float(np.abs(np.diff(frames.astype(np.int16), axis=0)).mean()),
    }


@pytest.mark.slow
def test_no_trivial_statistic_separates_the_classes(tmp_path: Path) -> None:
    generate(tmp_path, layout="fakeavceleb", source=SOURCE, workers=1)
    files = LAYOUTS["fakeavceleb"].files(SOURCE)
    rows = [statistics(tmp_path / path) for path in files]
    targets = {
        "picture": np.array([int(clip.category in FAKE_VIDEO) for clip in files.values()]),
        "any": np.array([int(clip.fake) for clip in files.values()]),
    }
    too_good = {
        f"{name} against {target}": round(auc(labels, np.array([row[name] for row in rows])), 3)
        for target, labels in targets.items()
        for name in rows[0]
        if abs(auc(labels, np.array([row[name] for row in rows])) - 0.5) >= BAND
    }
    assert not too_good


def test_the_band_would_notice_a_separating_statistic() -> None:
    labels = np.repeat([0, 1], 48)
    rng = np.random.default_rng(0)
    assert abs(auc(labels, rng.normal(size=96)) - 0.5) < BAND
    assert abs(auc(labels, rng.normal(size=96) + labels) - 0.5) > BAND
