"""Comparing two detectors' predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dfdetect.errors import UserError
from dfdetect.evaluation.compare import compare, compare_files, in_words
from dfdetect.io.schemas import PREDICTIONS
from dfdetect.io.tables import write_table
from tests.evaluation.tables import QUICK, random_table, row, table


def noisier(made: pa.Table, sigma: float, seed: int = 1) -> pa.Table:
    """The same predictions with noise on their logits."""
    rng = np.random.default_rng(seed)
    scores = made.column("score").to_numpy()
    latent = np.log(scores / (1 - scores)) + rng.normal(0, sigma, scores.size)
    place = made.column_names.index("score")
    return made.set_column(place, made.schema.field("score"), pa.array(1 / (1 + np.exp(-latent))))


def test_a_detector_does_not_differ_from_itself() -> None:
    found = compare(random_table(), random_table(), QUICK)
    auc = found["figures"]["auc"]
    assert (auc["difference"], auc["low"], auc["high"], auc["p"]) == (0.0, 0.0, 0.0, 1.0)
    assert found["videos"] == 50


def test_a_much_worse_detector_is_found_out() -> None:
    made = random_table(shift=3.0)
    auc = compare(made, noisier(made, 8.0), QUICK)["figures"]["auc"]
    assert auc["difference"] < 0
    assert auc["high"] < 0
    assert auc["p"] < 0.05


def test_pairing_narrows_the_interval() -> None:
    """A small difference on the same videos is seen, though each detector's own interval is far wider."""
    made = random_table(reals=100, fakes=100)
    pair = compare(made, noisier(made, 0.3), QUICK)["figures"]["auc"]
    other = compare(made, random_table(seed=9, reals=100, fakes=100), QUICK)["figures"]["auc"]
    assert pair["high"] - pair["low"] < 0.5 * (other["high"] - other["low"])


def test_only_videos_that_both_scored_are_compared() -> None:
    first = table(row("a", 1, 0.9), row("b", 0, 0.1), row("c", 0, 0.2), row("d", None, 0.2))
    second = table(row("a", 1, 0.8), row("b", 0, 0.1), row("c", 0, None), row("e", 1, 0.9))
    found = compare(first, second, QUICK)
    assert found["videos"] == 2
    assert found["left_out"] == {"a": 1, "b": 2}
    assert "left out: 1 of A's, 2 of B's labelled videos" in in_words(found)


def test_videos_without_a_score_are_treated_as_the_params_say() -> None:
    first = table(row("a", 1, 0.9), row("b", 0, 0.1), row("c", 0, 0.2))
    second = table(row("a", 1, 0.8), row("b", 0, 0.1), row("c", 0, None))
    counted = compare(first, second, QUICK.model_copy(update={"on_missing": "score", "missing_fill": 0.7}))
    assert counted["videos"] == 3
    assert counted["left_out"] == {"a": 0, "b": 0}
    assert counted["figures"]["acc"]["b"] == pytest.approx(2 / 3)
    with pytest.raises(UserError, match="1 of 3 labelled test videos have no score"):
        compare(first, second, QUICK.model_copy(update={"on_missing": "error"}))


def test_two_that_part_the_classes_may_still_differ() -> None:
    made = table(*(row(f"v{i}", i % 2, 0.2 + 0.6 * (i % 2)) for i in range(20)))
    auc = compare(made, made, QUICK)["figures"]["auc"]
    assert (auc["low"], auc["high"]) == pytest.approx((0.025**0.1 - 1, 1 - 0.025**0.1))
    assert auc["p"] == 1.0
    found = compare(made.slice(0, 8), made.slice(0, 8), QUICK)
    assert "undefined: fewer than 5 videos" in in_words(found)
    assert "too few test videos (4 real, 4 fake)" in in_words(found)
    few = found["figures"]["auc"]
    assert (few["difference"], few["low"], few["high"], few["p"]) == (0.0, None, None, None)


def test_each_keeps_its_own_threshold() -> None:
    first = table(row("a", 1, 0.9, threshold=0.5), row("b", 0, 0.1, threshold=0.5))
    second = table(row("a", 1, 0.3, threshold=0.2), row("b", 0, 0.1, threshold=0.2))
    acc = compare(first, second, QUICK)["figures"]["acc"]
    assert (acc["a"], acc["b"]) == (1.0, 1.0)


def test_undefined_figures_say_why(tmp_path: Path) -> None:
    made = table(row("a", 1, 0.9), row("b", 1, 0.1))
    write_table(tmp_path / "a.parquet", made, PREDICTIONS)
    found = compare_files(tmp_path / "a.parquet", tmp_path / "a.parquet", QUICK)
    assert found["figures"]["auc"]["a"] is None
    assert "undefined: there is no real video" in in_words(found)
    assert "acc" in in_words(found)


def test_unlike_predictions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no labelled video was scored in both"):
        compare(table(row("a", 1, 0.9)), table(row("b", 1, 0.9)), QUICK)
    with pytest.raises(UserError, match="disagree on the label of a"):
        compare(table(row("a", 1, 0.9)), table(row("a", 0, 0.9)), QUICK)
    with pytest.raises(UserError, match=r"none\.parquet is missing"):
        compare_files(tmp_path / "none.parquet", tmp_path / "none.parquet", QUICK)
