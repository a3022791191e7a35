"""Is one detector really better than another? A paired bootstrap over the videos that both have scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dfdetect.config.params import EvaluateParams
from dfdetect.errors import UserError
from dfdetect.evaluation.bootstrap import MIN_VIDEOS, distribution, interval, p_value, separated
from dfdetect.evaluation.caveats import too_few
from dfdetect.evaluation.metrics import Figures, Sample, undefined
from dfdetect.evaluation.predictions import read_predictions, select

FIGURES = ("auc", "ap", "eer", "acc", "balanced_acc", "tpr_at_1pct_fpr", "log_loss", "brier", "ece")


def compare_files(first: Path, second: Path, params: EvaluateParams) -> dict[str, Any]:
    """Compare two predictions.parquet; see `compare`."""
    found = compare(read_predictions(first), read_predictions(second), params)
    return {"a": str(first), "b": str(second), **found}


def compare(first: pa.Table, second: pa.Table, params: EvaluateParams) -> dict[str, Any]:
    """Differences B - A of the video figures, with interval and p-value.

    The same resamples of videos serve both detectors, so what makes a video hard for both cancels. Videos without a
    score are treated as `evaluate.on_missing` says, by each side. Where both part the classes wholly, the AUC's
    interval is made of the two bounds of bootstrap.separated; where one alone does, its AUC counts as known, and the
    interval is that much too narrow. Below MIN_VIDEOS of a class there are no intervals and no p-values.

    Args:
        first, second: predictions A and B on one dataset, each with its own threshold.
        params: n_bootstrap, seed, confidence, n_bins, and what becomes of videos without a score.
    Returns:
        `videos` compared; `left_out`: how many labelled videos of A and of B are not among them; and a row a figure: a,
        b, difference, low, high, p; None where undefined.
    Raises:
        UserError: no labelled video was scored by both, or their labels differ; or a labelled video has no score and
            `evaluate.on_missing` is `error`.
    """
    tables = (first, second)
    rows = [{row["video_id"]: row for row in select(table, params).rows} for table in tables]
    both = [video_id for video_id in rows[0] if video_id in rows[1]]
    if not both:
        raise UserError("no labelled video was scored in both predictions: are they of the same dataset?")
    differ = [video_id for video_id in both if rows[0][video_id]["label"] != rows[1][video_id]["label"]]
    if differ:
        raise UserError(
            f"the predictions disagree on the label of {differ[0]} ({len(differ)} in all): the detectors are evaluated "
            "against different labels (picture alone, or picture and sound) and cannot be compared."
        )
    labels = np.array([rows[0][video_id]["label"] for video_id in both])
    counts = [int((labels == label).sum()) for label in (0, 1)]
    few = any(0 < count < MIN_VIDEOS for count in counts)
    sides = []
    for side in rows:
        scores = np.array([side[video_id]["score"] for video_id in both])
        sides.append(Figures(Sample.of(labels, scores), side[both[0]]["threshold"], params.n_bins))
    drawn = [distribution(side, len(both), len(both), resamples=params.n_bootstrap, seed=params.seed) for side in sides]
    values = [side.values() for side in sides]
    return {
        "videos": len(both),
        "left_out": {
            side: len(table) - table.column("label").null_count - len(both)
            for side, table in zip("ab", tables, strict=True)
        },
        "detectors": [next(iter(side.values()))["detector"] for side in rows],
        "confidence": params.confidence,
        "resamples": params.n_bootstrap,
        "no_interval": f"fewer than {MIN_VIDEOS} videos of a class are too few for intervals" if few else None,
        "too_few": too_few(*counts),
        "figures": {
            name: _row(
                name, values[0][name], values[1][name], None if few else _drawn(name, drawn), min(counts), params
            )
            | ({"reason": undefined(name, sides[0].cells(), "video")} if np.isnan(values[0][name]) else {})
            for name in FIGURES
        },
    }


def _drawn(name: str, drawn: list[dict[str, np.ndarray]]) -> np.ndarray:
    return drawn[1][name] - drawn[0][name]


def _row(
    name: str, a: float, b: float, differences: np.ndarray | None, pairs: int, params: EvaluateParams
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("a", "b", "difference", "low", "high", "p"))
    if np.isnan(a) or np.isnan(b):
        return row
    row |= {"a": a, "b": b, "difference": b - a}
    if differences is None:
        return row
    row["low"], row["high"] = interval(differences, params.confidence) or (None, None)
    row["p"] = p_value(differences)
    if name == "auc":  # each bound may fail half as often, so that both hold as often as one alone
        sides = [separated(value, pairs, (1 + params.confidence) / 2) for value in (a, b)]
        if sides[0] is not None and sides[1] is not None:
            row["low"], row["high"] = sides[1][0] - sides[0][1], sides[1][1] - sides[0][0]
    return row


def in_words(found: dict[str, Any]) -> str:
    """The comparison as a table for a terminal."""
    (a, b), left_out = found["detectors"], found["left_out"]
    lines = [
        f"A: {a}  {found.get('a', '')}",
        f"B: {b}  {found.get('b', '')}",
        f"{found['videos']} videos of both; left out: {left_out['a']} of A's, {left_out['b']} of B's labelled videos; "
        f"{found['resamples']} resamples",
        *([found["too_few"]] if found["too_few"] else []),
        "",
        f"{'figure':18}{'A':>9}{'B':>9}{'B - A':>9}   {found['confidence']:.0%} interval       p",
    ]
    for name, row in found["figures"].items():
        if row["a"] is None:
            lines.append(f"{name:18}{'undefined: ' + row['reason']:>30}")
            continue
        bounds = "undefined" if found["no_interval"] else "undefined in most resamples"
        if row["low"] is not None:
            bounds = f"[{row['low']:+.4f}, {row['high']:+.4f}]"
        p = "" if row["p"] is None else f"{row['p']:.4f}"
        lines.append(f"{name:18}{row['a']:9.4f}{row['b']:9.4f}{row['difference']:+9.4f}   {bounds:20}{p:>7}")
    lines += [f"undefined: {found['no_interval']}"] if found["no_interval"] else []
    return "\n".join(lines)
