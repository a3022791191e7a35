"""evaluate.json: what it says of odd datasets, of groups, and of videos without a score."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dfdetect.errors import UserError
from dfdetect.evaluation.evaluate import evaluate_predictions
from dfdetect.evaluation.predictions import check_scores, select
from tests.evaluation.tables import QUICK, random_table, row, table


def run(made, params=QUICK, validation=None):  # type: ignore[no-untyped-def]
    figures = evaluate_predictions(made, threshold=0.5, aggregation="mean", params=params, validation=validation)
    json.dumps(figures, allow_nan=False)  # null, never NaN
    return figures


def reason(figures: dict, figure: str) -> str:
    """Why a figure is undefined; there must be exactly one reason."""
    (found,) = [item["reason"] for item in figures["undefined"] if item["figure"] == figure]
    return str(found)


def test_video_and_frame_figures_with_intervals_around_them() -> None:
    made = random_table()
    figures = run(made)
    labels, scores = made.column("label").to_numpy(), made.column("score").to_numpy()
    assert figures["video"]["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    assert figures["coverage"]["frames"] == 100
    for name in ("video", "frame"):
        for key, bounds in figures["ci"][name].items():
            assert bounds is not None, key
            assert bounds[0] < bounds[1]
            assert bounds[0] <= figures[name][key] <= bounds[1] or key in ("tpr_at_0p1pct_fpr", "ece"), key
    assert figures["undefined"] == [
        item for item in figures["undefined"] if item["figure"].startswith(("calibrated", "by_"))
    ]


def test_parted_classes_have_an_exact_interval() -> None:
    """Ten pairs, all right: an AUC under 0.05 ** (1/10) would give that in fewer than 5 % of samples."""
    made = table(*(row(f"v{i}", i % 2, 0.2 + 0.6 * (i % 2)) for i in range(20)))
    figures = run(made)
    found = figures["ci"]
    for name in ("video", "frame"):  # frames of ten videos are no more than ten pairs
        assert found[name]["auc"] == [round(0.05**0.1, 6), 1.0]
        assert found[name]["eer"] is None
        assert reason(figures, f"ci.{name}.eer") == "the resamples hardly vary"
    assert found["auc_method"] == {"video": "exact", "frame": "exact"}
    swap = figures["by_method"]["swap"]
    assert swap["ci"] == {"auc": [round(0.05**0.1, 6), 1.0], "auc_method": "exact"}
    turned = run(table(*(row(f"v{i}", i % 2, 0.8 - 0.6 * (i % 2)) for i in range(20))))
    assert turned["ci"]["video"]["auc"] == [0.0, round(1 - 0.05**0.1, 6)]
    assert run(random_table())["ci"]["auc_method"]["video"] == "bootstrap"


def test_too_few_videos_of_a_class_have_no_interval() -> None:
    figures = run(table(*(row(f"v{i}", int(i < 4), 0.3 + 0.01 * i) for i in range(30))))
    assert set(figures["ci"]["video"].values()) == {None}
    assert figures["ci"]["auc_method"]["video"] is None
    assert reason(figures, "ci.video.acc") == "4 fake videos; 5 are needed"
    assert figures["by_method"]["swap"]["ci"] == {"auc": None, "auc_method": None}
    assert reason(figures, "by_method.swap.ci.auc") == "4 fake videos; 5 are needed"


def test_each_kind_of_fake_is_set_against_all_reals() -> None:
    made = random_table()
    figures = run(made)
    rows = made.to_pylist()
    for method in ("swap", "wave"):
        kept = [r for r in rows if r["label"] == 0 or r["method"] == method]
        expected = roc_auc_score([r["label"] for r in kept], [r["score"] for r in kept])
        found = figures["by_method"][method]
        assert found["auc"] == pytest.approx(expected, abs=1e-6)
        assert found["videos"] == found["fake"] == 15
        own = [r["score"] >= 0.5 for r in rows if r["method"] == method]
        assert found["acc"] == pytest.approx(np.mean(own), abs=1e-6)
    assert figures["by_method"]["swap"]["auc"] > figures["by_method"]["wave"]["auc"]
    assert figures["by_method"]["real"]["auc"] is None
    assert reason(figures, "by_method.real.auc") == "there is no fake video"
    assert figures["by_compression"]["c23"]["auc"] == figures["video"]["auc"]  # both classes: evaluated by itself


def test_each_method_under_each_compression_is_set_against_the_reals_under_the_same() -> None:
    rows = [row(f"r{i}{c}", 0, s, compression=c) for i in range(3) for c, s in (("c23", 0.1), ("c40", 0.6))]
    rows += [row(f"f{m}{c}", 1, 0.5, method=m, compression=c) for m in ("swap", "wave") for c in ("c23", "c40")]
    found = evaluate_predictions(table(*rows), threshold=0.55, aggregation="mean", params=QUICK, validation=None)
    crossed = found["by_method_and_compression"]
    assert {name: each["auc"] for name, each in crossed.items()} == {
        **{"real c23": None, "real c40": None},
        **{"swap c23": 1.0, "swap c40": 0.0, "wave c23": 1.0, "wave c40": 0.0},
    }
    assert found["by_method"]["swap"]["auc"] == 0.5
    assert crossed["real c40"]["acc"] == 0.0
    alone = evaluate_predictions(random_table(), threshold=0.5, aggregation="mean", params=QUICK, validation=None)
    assert "by_method_and_compression" not in alone


def test_identities_name_the_worst() -> None:
    rows = [row(f"a{i}", 1, 0.9, identity="easy") for i in range(4)] + [row("b", 0, 0.8, identity="hard")]
    found = run(table(*rows))["identities"]
    assert found["count"] == 2
    assert found["acc_mean"] == 0.5
    assert found["worst"][0] == {"identity": "hard", "videos": 1, "acc": 0.0}


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone(label: int) -> None:
    figures = run(table(row("a", label, 0.2), row("b", label, 0.7)))
    assert figures["video"]["auc"] is None
    assert reason(figures, "video.auc") == f"there is no {'fake' if label == 0 else 'real'} video"
    assert figures["video"]["acc"] == 0.5
    assert figures["ci"]["video"]["auc"] is None


def test_one_video() -> None:
    figures = run(table(row("a", 1, 0.7)))
    assert figures["video"]["acc"] == 1.0
    assert figures["video"]["auc"] is None


def test_no_face_anywhere() -> None:
    figures = run(table(row("a", 1, None), row("b", 0, None)))
    assert figures["coverage"]["scored"] == 0
    assert figures["coverage"]["scored_fraction"] == 0.0
    assert figures["coverage"]["status"] == {"no_face": 2}
    assert figures["coverage"]["not_scored"][0] == {
        "video_id": "a",
        "status": "no_face",
        "reason": "no face in 22 frames",
    }
    assert figures["video"]["acc"] is None
    assert reason(figures, "video.acc") == "no labelled video was scored"


def test_no_video() -> None:
    figures = run(table())
    assert figures["coverage"]["videos"] == 0
    assert figures["coverage"]["scored_fraction"] is None
    assert figures["video"]["auc"] is None


def test_unlabelled_videos_are_scored_without_metrics() -> None:
    figures = run(table(row("a", None, 0.9), row("b", None, 0.1)))
    assert figures["coverage"]["scored"] == 2
    assert figures["coverage"]["labelled"] == figures["coverage"]["evaluated"] == 0
    assert reason(figures, "video.auc") == "no labelled video was scored"


def test_ties_everywhere_give_chance() -> None:
    figures = run(table(*(row(f"v{i}", i % 2, 0.5) for i in range(10))))
    assert figures["video"]["auc"] == 0.5
    assert figures["video"]["eer"] == 0.5


def test_missing_videos_are_left_out_counted_or_an_error() -> None:
    made = table(row("a", 1, 0.9), row("b", 0, 0.1), row("c", 1, None))
    left_out = run(made)
    assert left_out["video"]["acc"] == 1.0
    assert left_out["coverage"] | {"scored": 2, "evaluated": 2, "on_missing": "exclude"} == left_out["coverage"]
    counted = run(made, QUICK.model_copy(update={"on_missing": "score", "missing_fill": 0.3}))
    assert counted["video"]["acc"] == pytest.approx(2 / 3, abs=1e-6)
    assert counted["coverage"]["evaluated"] == 3
    assert counted["coverage"]["scored"] == 2
    with pytest.raises(UserError, match=r"1 of 3 labelled test videos have no score.*\n  c: no_face"):
        run(made, QUICK.model_copy(update={"on_missing": "error"}))


@pytest.mark.parametrize("bad", [float("nan"), 1.5, -0.1])
def test_a_score_that_is_no_probability_names_the_video(bad: float) -> None:
    with pytest.raises(UserError, match="video b has the score"):
        check_scores(table(row("a", 1, 0.5), row("b", 0, 0.5, frame_score=[0.5, bad])), "here")


def test_picture_detectors_are_also_set_against_any_fake() -> None:
    same = run(random_table())
    assert "video_any_fake" not in same
    voice = row("v", 0, 0.1, any_fake=1)
    figures = run(table(row("a", 1, 0.9), row("b", 0, 0.05), voice))
    assert figures["video"]["acc"] == 1.0
    assert figures["video_any_fake"]["acc"] == pytest.approx(2 / 3, abs=1e-6)


def test_temperature_from_validation_mends_overconfidence() -> None:
    rng = np.random.default_rng(3)
    calibrated = 1 / (1 + np.exp(-rng.normal(0, 1.5, 400)))
    labels = (rng.random(400) < calibrated).astype(int)
    rash = 1 / (1 + np.exp(-4 * np.log(calibrated / (1 - calibrated))))
    rows = [row(f"v{i}", int(label), float(score)) for i, (label, score) in enumerate(zip(labels, rash, strict=True))]
    figures = run(table(*rows[:200]), validation=select(table(*rows[200:]), QUICK))
    assert figures["calibrated"]["temperature"] == pytest.approx(4, rel=0.3)
    for name in ("log_loss", "brier", "ece"):
        assert figures["calibrated"][name] < figures["video"][name]
    without = run(table(*rows[:200]))
    assert without["calibrated"]["temperature"] is None
    assert "no scores of its validation" in reason(without, "calibrated.temperature")


def test_leading_silence_is_reported_where_it_was_scored() -> None:
    assert "leading_silence" not in run(random_table())
    rows = [row(f"v{i}", i % 2, 0.4, score_trimmed=0.5, score_untrimmed=0.2 + 0.6 * (i % 2)) for i in range(6)]
    assert run(table(*rows))["leading_silence"] == {"auc_trimmed": 0.5, "auc_untrimmed": 1.0}


def test_the_same_table_gives_the_same_json() -> None:
    assert json.dumps(run(random_table(5))) == json.dumps(run(random_table(5)))
