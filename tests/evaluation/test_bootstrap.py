"""Intervals cover the truth as often as they say, resamples keep a video together, and the p-value is calibrated."""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.stats
from scipy.stats import norm

from dfdetect.config.params import EvaluateParams
from dfdetect.evaluation import bootstrap
from dfdetect.evaluation.evaluate import Reasons, intervals
from dfdetect.evaluation.metrics import Figures, Sample


def draw(rng: np.random.Generator, reals: int, fakes: int, frames: int = 1) -> Sample:
    """Scores whose true AUC is Phi(1 / sqrt(2)) = 0.7602; frames of one video share half of their variance."""
    labels = np.repeat([0, 1], [reals, fakes])
    videos = np.repeat(np.arange(reals + fakes), frames)
    latent = rng.normal(labels)[videos]
    if frames > 1:
        latent = labels[videos] + (rng.normal(size=reals + fakes)[videos] + rng.normal(size=videos.size)) / np.sqrt(2)
    return Sample(labels[videos].astype(np.int8), 1 / (1 + np.exp(-latent)), videos, reals + fakes)


TRUE_AUC = 0.760250


@pytest.mark.parametrize("frames", [1, 4])
def test_intervals_cover_the_truth(frames: int) -> None:
    """400 experiments: 95 % intervals should miss 20 times; 99.9 % of fair runs lie within 0.91 and 0.985."""
    rng = np.random.default_rng(7)
    hits = 0
    for number in range(400):
        sample = draw(rng, 60, 60, frames)
        compute = Figures(sample, 0.5, 10)
        found = bootstrap.distribution(compute, sample.n_videos, sample.scores.size, resamples=300, seed=number)
        low, high = bootstrap.interval(found["auc"], 0.95) or (1.0, 0.0)
        hits += low <= TRUE_AUC <= high
    assert 0.91 <= hits / 400 <= 0.985


@pytest.mark.parametrize(
    ("true", "videos", "least"),
    [(0.8, 20, 0.91), (0.95, 10, 0.94), (0.95, 20, 0.91), (0.995, 10, 0.95)],
)
def test_intervals_near_an_auc_of_one(true: float, videos: int, least: float) -> None:
    """What is reported, of few videos a class."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], videos)
    params, hits, parted = EvaluateParams(n_bootstrap=200), 0, 0
    for _ in range(300):
        latent = rng.normal(labels * np.sqrt(2) * norm.ppf(true))
        figures = Figures(Sample.of(labels, 1 / (1 + np.exp(-latent))), 0.5, 10)
        values = {"auc": figures.values()["auc"]}
        bounds = intervals(figures, values, params, "here", Reasons())["auc"]
        assert bounds is not None
        hits += bounds[0] <= true <= bounds[1]
        parted += values["auc"] == 1.0
    assert (parted > 0) == (true > 0.9)
    assert hits / 300 >= least


def test_the_corrected_interval_is_scipys() -> None:
    """Against scipy's BCa of a mean, from the same resamples."""
    rng = np.random.default_rng(1)
    data = rng.exponential(size=40)

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": weights @ data / weights.sum(axis=1)}

    expected = scipy.stats.bootstrap((data,), np.mean, n_resamples=20_000, method="BCa", rng=2).confidence_interval
    drawn = bootstrap.distribution(compute, 40, 40, resamples=20_000, seed=3)["mean"]
    without = bootstrap.jackknife(compute, 40, 40)["mean"]
    np.testing.assert_allclose(without, [np.delete(data, i).mean() for i in range(40)])
    found = bootstrap.accelerated(drawn, float(data.mean()), without, 0.95)
    assert found == pytest.approx(tuple(expected), abs=0.02)
    percentile = bootstrap.interval(drawn, 0.95)
    assert percentile is not None
    assert percentile[1] < found[1] - 0.01  # a skewed mean: the correction is not nothing


def test_the_bound_of_parted_classes_holds() -> None:
    """At an AUC of the bound itself, at most one sample in twenty is parted, and so would exclude it."""
    rng = np.random.default_rng(5)
    bound, one = bootstrap.separated(1.0, 6, 0.95) or (0.0, 0.0)
    assert (bound, one) == (pytest.approx(0.05 ** (1 / 6)), 1.0)
    assert bootstrap.separated(0.0, 6, 0.95) == (0.0, pytest.approx(1 - bound))
    assert bootstrap.separated(0.99, 6, 0.95) is None
    scores = rng.normal(size=(4000, 12))
    scores[:, 6:] += np.sqrt(2) * norm.ppf(bound)
    assert (scores[:, 6:].min(axis=1) > scores[:, :6].max(axis=1)).mean() <= 0.05


def test_resampling_frames_would_not_cover() -> None:
    """The same intervals from resampled frames are too narrow: why videos are what is resampled."""
    rng = np.random.default_rng(7)
    narrow = []
    for number in range(20):
        sample = draw(rng, 60, 60, frames=8)
        alone = Sample.of(sample.labels, sample.scores)
        widths = []
        for which in (sample, alone):
            found = bootstrap.distribution(Figures(which, 0.5, 10), which.n_videos, 960, resamples=200, seed=number)
            low, high = bootstrap.interval(found["auc"], 0.95) or (0.0, 0.0)
            widths.append(high - low)
        narrow.append(widths[1] / widths[0])
    assert np.mean(narrow) < 0.7


def test_resamples_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(bootstrap.resample(7, 50, 3, items=7)))
    monkeypatch.setattr(bootstrap, "CHUNK_ITEMS", 14)
    parts = list(bootstrap.resample(7, 50, 3, items=7))
    assert len(parts) > 1
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert (whole.sum(axis=1) == 7).all()
    assert not np.array_equal(whole, np.concatenate(list(bootstrap.resample(7, 50, 4, items=7))))


def test_leaving_videos_out_one_by_one_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = Figures(draw(np.random.default_rng(4), 6, 5, frames=3), 0.5, 10)
    whole = bootstrap.jackknife(figures, 11, 33)["auc"]
    rows: list[int] = []

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        rows.append(len(weights))
        return figures(weights)

    monkeypatch.setattr(bootstrap, "CHUNK_ITEMS", 66)  # two resamples of 33 frames
    np.testing.assert_array_equal(bootstrap.jackknife(compute, 11, 33)["auc"], whole)
    assert rows == [2, 2, 2, 2, 2, 1]


def test_an_interval_needs_a_figure_that_is_mostly_defined() -> None:
    assert bootstrap.interval(np.array([np.nan, np.nan, 0.5]), 0.95) is None
    assert bootstrap.interval(np.array([np.nan, 0.5, 0.5]), 0.95) == (0.5, 0.5)


def test_p_value_of_equal_detectors_is_uniform() -> None:
    """Two equally good, independent detectors: p is under 0.1 about one time in ten."""
    rng = np.random.default_rng(11)
    under = 0
    for number in range(200):
        first, second = draw(rng, 50, 50), draw(rng, 50, 50)
        pair = [
            bootstrap.distribution(Figures(s, 0.5, 10), 100, 100, resamples=300, seed=number)["auc"]
            for s in (first, second)
        ]
        p = bootstrap.p_value(pair[0] - pair[1])
        assert p is not None
        under += p < 0.1
    assert 0.03 <= under / 200 <= 0.19


def test_p_value_of_a_plain_difference_is_small_but_never_zero() -> None:
    assert bootstrap.p_value(np.full(999, 0.1)) == pytest.approx(0.002)
    assert bootstrap.p_value(np.zeros(999)) == 1.0
    assert bootstrap.p_value(np.full(10, np.nan)) is None


@pytest.mark.slow
def test_two_thousand_resamples_of_ten_thousand_videos() -> None:
    """CPU seconds, so that other processes do not count; about 0.6 s on one core of 2024."""
    sample = draw(np.random.default_rng(0), 5000, 5000)
    start = time.process_time()
    found = bootstrap.distribution(Figures(sample, 0.5, 15), 10_000, 10_000, resamples=2000, seed=0)
    assert time.process_time() - start < 10
    assert all(len(values) == 2000 for values in found.values())
