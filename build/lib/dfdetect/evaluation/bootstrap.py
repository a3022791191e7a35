"""Bootstrap over videos: intervals of the figures, and whether two detectors differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import norm

Compute = Callable[[np.ndarray], dict[str, np.ndarray]]
# Weights held at once, in items (resamples x frames): bounds the memory to some tens of MB.
CHUNK_ITEMS = 1_000_000
# An interval is given only if the figure is defined in this share of the resamples.
MIN_DEFINED = 0.5
# The interval of an AUC is corrected up to so many videos; of more, the correction is nothing and costs a pass a video.
MAX_CORRECTED = 2_000
# And only of a sample with so many videos of each class that is there.
MIN_VIDEOS = 5


def resample(n_videos: int, resamples: int, seed: int, items: int) -> Iterator[np.ndarray]:
    """How often each video is drawn in each resample, in chunks.

    Args:
        n_videos: V, drawn V times with replacement.
        resamples: R in total.
        seed: equal seeds give equal resamples, whatever the chunk.
        items: items the chunk's size is bounded by (frames, or videos).
    Yields:
        [shape=(r, V)], rows sum to V.
    """
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_ITEMS // max(items, n_videos, 1))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = np.stack([rng.integers(n_videos, size=n_videos) for _ in range(rows)])
        drawn += np.arange(rows)[:, None] * n_videos
        yield np.bincount(drawn.ravel(), minlength=rows * n_videos).reshape(rows, n_videos)


def distribution(compute: Compute, n_videos: int, items: int, *, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Each figure over the resamples [shape=(R,)]; NaN where a resample leaves it undefined."""
    parts = [compute(weights) for weights in resample(n_videos, resamples, seed, items)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(values: np.ndarray, confidence: float) -> tuple[float, float] | None:
    """The percentile interval of a bootstrap distribution; None where the figure is undefined too often."""
    tail = (1 - confidence) / 2
    return _between(values, tail, 1 - tail)


def _between(values: np.ndarray, low: float, high: float) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    if defined.size == 0 or defined.size < MIN_DEFINED * values.size:
        return None
    bounds = np.quantile(defined, [low, high])
    return (float(bounds[0]), float(bounds[1]))


def jackknife(compute: Compute, n_videos: int, items: int) -> dict[str, np.ndarray]:
    """Each figure without each of the videos [shape=(V,)]; `items` as in `resample`."""
    step = max(1, CHUNK_ITEMS // max(items, n_videos, 1))
    parts = []
    for start in range(0, n_videos, step):
        weights = np.ones((min(step, n_videos - start), n_videos), np.int64)
        weights[np.arange(len(weights)), np.arange(start, start + len(weights))] = 0
        parts.append(compute(weights))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def accelerated(
    values: np.ndarray, figure: float, without: np.ndarray, confidence: float
) -> tuple[float, float] | None:
    """The BCa interval: percentiles moved for the distribution's bias and for a spread that changes with the figure.

    The percentile interval of an AUC near 1 is too narrow: at 20 videos a class and a true AUC of 0.95 it held the
    truth in 90 % of 1,000 samples, this one in 96 %; at 50 and 0.99, 86 % and 92 % (both with `separated` for parted
    samples).

    Args:
        values: the figure over the resamples [shape=(R,)].
        figure: of the sample.
        without: of the sample without each of its videos [shape=(V,)].
        confidence: of the interval.
    Source: Efron 1987, Better Bootstrap Confidence Intervals (doi 10.1080/01621459.1987.10478410).
    """
    defined, left = values[~np.isnan(values)], without[~np.isnan(without)]
    spread = left.mean() - left if left.size else np.zeros(1)
    if not defined.size or not spread.any():
        return interval(values, confidence)
    share = (np.mean(defined < figure) + np.mean(defined <= figure)) / 2
    bias = norm.ppf(np.clip(share, 0.5 / defined.size, 1 - 0.5 / defined.size))
    acceleration = np.sum(spread**3) / (6 * np.sum(spread**2) ** 1.5)
    tail = norm.ppf((1 - confidence) / 2)
    moved = [bias + (bias + z) / (1 - acceleration * (bias + z)) for z in (tail, -tail)]
    return _between(values, *(float(norm.cdf(z)) for z in moved))


def separated(auc: float, pairs: int, confidence: float) -> tuple[float, float] | None:
    """The one-sided interval of the AUC of a sample whose classes are wholly parted; None of any other sample.

    Every resample of such a sample is parted too, so the bootstrap says nothing. But n real and n fake videos make n
    pairs without a video in common, in each of which the fake scores higher with probability AUC: were it below
    (1 - confidence)^(1/n), all n would come out right in fewer than 1 - confidence of all samples.

    Args:
        auc: of the sample.
        pairs: n, videos of the rarer class.
        confidence: of the interval.
    """
    bound = (1 - confidence) ** (1 / pairs)
    return {1.0: (bound, 1.0), 0.0: (0.0, 1 - bound)}.get(auc)


def p_value(differences: np.ndarray) -> float | None:
    """Two-sided p-value of "no difference" from a bootstrap distribution of differences.

    Twice the smaller share of resamples on either side of 0, each with one added, so that it is never 0.
    """
    defined = differences[~np.isnan(differences)]
    if defined.size == 0 or defined.size < MIN_DEFINED * differences.size:
        return None
    below, above = (defined <= 0).sum(), (defined >= 0).sum()
    return float(min(1.0, 2 * (min(below, above) + 1) / (defined.size + 1)))
