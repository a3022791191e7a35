"""Figures of merit against scikit-learn, and against cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from dfdetect.evaluation.metrics import FPR_LIMITS, Figures, Ranking, Sample, equal_error_rate, tpr_at_fpr, undefined


def figures(labels: list[int], scores: list[float], threshold: float = 0.5) -> dict[str, float]:
    return Figures(Sample.of(np.array(labels), np.array(scores)), threshold, 10).values()


def curve(labels: list[int], scores: list[float]) -> tuple[np.ndarray, np.ndarray]:
    sample = Sample.of(np.array(labels), np.array(scores))
    return Ranking.of(sample).counts(np.ones((1, sample.n_videos), np.int32))


@st.composite
def samples(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Both classes, and scores on a coarse grid half of the time, so that ties are common."""
    count = draw(st.integers(2, 60))
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    labels[:2] = [0, 1]
    steps = draw(st.sampled_from([4, 10**6]))
    scores = np.array(draw(st.lists(st.integers(0, steps), min_size=count, max_size=count))) / steps
    return labels, scores


@settings(max_examples=60, deadline=None)
@given(samples())
def test_agrees_with_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = case
    said = (scores >= 0.5).astype(int)
    ours = figures(labels.tolist(), scores.tolist())
    theirs = {
        "auc": sk.roc_auc_score(labels, scores),
        "ap": sk.average_precision_score(labels, scores),
        "acc": sk.accuracy_score(labels, said),
        "balanced_acc": sk.balanced_accuracy_score(labels, said),
        "sensitivity": sk.recall_score(labels, said),
        "specificity": sk.recall_score(labels, said, pos_label=0),
        "log_loss": sk.log_loss(labels, scores, labels=[0, 1]),
        "brier": sk.brier_score_loss(labels, scores),
    }
    for name, label in (("real", 0), ("fake", 1)):
        given_ = {"pos_label": label, "zero_division": np.nan}
        theirs[f"{name}_precision"] = sk.precision_score(labels, said, **given_)
        theirs[f"{name}_recall"] = sk.recall_score(labels, said, **given_)
        theirs[f"{name}_f1"] = sk.f1_score(labels, said, pos_label=label)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name
    cells = Figures(Sample.of(labels, scores), 0.5, 10).cells()
    assert list(cells.values()) == sk.confusion_matrix(labels, said, labels=[0, 1]).ravel().tolist()


@settings(max_examples=60, deadline=None)
@given(samples(), st.floats(0.0, 1.0))
def test_points_of_the_roc_agree_with_scikit_learn(case: tuple[np.ndarray, np.ndarray], limit: float) -> None:
    labels, scores = case
    fpr, tpr, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
    tp, fp = curve(labels.tolist(), scores.tolist())
    assert tpr_at_fpr(tp, fp, limit)[0] == pytest.approx(tpr[fpr <= limit + 1e-9].max())
    rate = equal_error_rate(tp, fp)[0]
    # On the polyline through scikit-learn's points the misses at that false-alarm rate span the rate itself.
    jump = np.isclose(fpr, rate, atol=1e-9)
    high = 1 - (tpr[jump].min() if jump.any() else np.interp(rate, fpr, tpr))
    low = 1 - (tpr[jump].max() if jump.any() else np.interp(rate, fpr, tpr))
    assert low - 1e-9 <= rate <= high + 1e-9


@settings(max_examples=60, deadline=None)
@given(samples(), st.integers(0, 2**31))
def test_a_weight_counts_as_so_many_copies(case: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    """What the bootstrap computes from weights is what the repeated items would give."""
    labels, scores = case
    rng = np.random.default_rng(seed)
    videos = np.sort(rng.integers(0, 5, labels.size))
    sample = Sample(labels.astype(np.int8), scores, videos, 5)
    weights = rng.integers(0, 4, (3, 5))
    together = Figures(sample, 0.5, 10)(weights)
    for row, weight in enumerate(weights):
        copies = np.repeat(np.arange(labels.size), weight[videos])
        if copies.size == 0:
            continue
        alone = figures(labels[copies].tolist(), scores[copies].tolist())
        for name, value in alone.items():
            assert together[name][row] == pytest.approx(value, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 0.0),
        ([0, 0, 1, 1], [0.8, 0.9, 0.1, 0.2], 1.0),
        # one of two fakes below one of two reals: at the threshold between, 1/2 false alarms and 1/2 misses
        ([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], 0.5),
        # reals .1 .2 .6, fakes .4 .7 .8: calling from .6 on fake: 1/3 false alarms, 1/3 misses
        ([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.4, 0.7, 0.8], 1 / 3),
        # one tie: the ROC is the diagonal
        ([0, 1], [0.5, 0.5], 0.5),
        # reals .1 .5, fakes .5 .9: from (0, 1/2) straight to (1/2, 1): fpr = 1 - tpr at 1/4
        ([0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9], 0.25),
        # one real .5 among fakes .4 .6 .7: vertical to (0, 2/3), then to (1, 2/3): crossing on the level at fpr 1/3
        ([0, 1, 1, 1], [0.5, 0.4, 0.6, 0.7], 1 / 3),
    ],
)
def test_eer_by_hand(labels: list[int], scores: list[float], expected: float) -> None:
    assert figures(labels, scores)["eer"] == pytest.approx(expected)


def test_tpr_at_fpr_by_hand() -> None:
    # 100 reals at 0.00 ... 0.99; fakes above the highest, the second and the third highest real, and one at the bottom
    labels = [0] * 100 + [1] * 4
    scores = [i / 100 for i in range(100)] + [0.995, 0.985, 0.975, 0.0]
    found = figures(labels, scores)
    assert found["tpr_at_1pct_fpr"] == 0.5  # one false alarm allowed: 0.99; fakes at 0.995 and 0.985
    assert found["tpr_at_0p1pct_fpr"] == 0.25  # none allowed
    tp, fp = curve(labels, scores)
    assert tpr_at_fpr(tp, fp, 0.02)[0] == 0.75
    assert tpr_at_fpr(tp, fp, 1.0)[0] == 1.0


def test_tpr_at_fpr_does_not_part_ties() -> None:
    """A fake that ties with a real is not found while no false alarm is allowed."""
    tp, fp = curve([0, 1, 1], [0.7, 0.7, 0.9])
    assert tpr_at_fpr(tp, fp, 0.0)[0] == 0.5


def test_calibration_by_hand() -> None:
    # bin 0.2-0.3: two items at .25, one fake: gap .25 each; bin 0.9-1.0: one real at .95: gap .95
    found = figures([1, 0, 0], [0.25, 0.25, 0.95])
    assert found["ece"] == pytest.approx((2 * 0.25 + 0.95) / 3)
    assert found["brier"] == pytest.approx((0.75**2 + 0.25**2 + 0.95**2) / 3)
    assert figures([0, 1], [0.0, 1.0])["log_loss"] == pytest.approx(0.0, abs=1e-12)
    assert math.isfinite(figures([1, 0], [0.0, 1.0])["log_loss"])


@pytest.mark.parametrize(("label", "word"), [(0, "fake"), (1, "real")])
def test_one_class_leaves_ranks_undefined(label: int, word: str) -> None:
    found = Figures(Sample.of(np.full(5, label), np.linspace(0.1, 0.9, 5)), 0.5, 10)
    values = found.values()
    for name in ("auc", "ap", "eer", "balanced_acc", *FPR_LIMITS):
        assert math.isnan(values[name]), name
        assert undefined(name, found.cells(), "video") == f"there is no {word} video"
    assert values["acc"] == pytest.approx(0.4 if label == 0 else 0.6)
    assert math.isfinite(values["log_loss"])


def test_no_item_leaves_all_undefined() -> None:
    found = Figures(Sample.of(np.zeros(0, int), np.zeros(0)), 0.5, 10)
    assert all(math.isnan(value) for value in found.values().values())
    assert undefined("acc", found.cells(), "frame") == "no labelled frame was scored"


def test_precision_of_a_class_never_called_is_undefined() -> None:
    found = Figures(Sample.of(np.array([0, 1]), np.array([0.1, 0.2])), 0.5, 10)
    assert math.isnan(found.values()["fake_precision"])
    assert undefined("fake_precision", found.cells(), "video") == "no video was predicted fake"
    assert found.values()["fake_f1"] == 0.0


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.1, float("inf")])
def test_scores_must_be_probabilities(bad: float) -> None:
    with pytest.raises(ValueError, match="no probability"):
        Sample.of(np.array([0, 1]), np.array([0.5, bad]))


def test_labels_must_be_known() -> None:
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        Sample.of(np.array([0, -1]), np.array([0.5, 0.5]))
