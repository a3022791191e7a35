"""What a detector trained on one dataset is worth on the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIGURES = ("auc", "ap", "eer", "acc", "balanced_acc")
DIGITS = 6


def generalisation(detector: str, trained_on: str, evaluated: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The table of metrics/generalisation.json.

    Args:
        detector: registered name.
        trained_on: dataset whose train split it saw.
        evaluated: dataset -> what its evaluate.json says.
    Returns:
        A row a dataset: whether its train split was seen, how many videos were judged, video figures, and `auc_drop`:
        the AUC on the own dataset's test split minus this one. Undefined figures are None, with the reason under
        `undefined`. `by_method` has AUC and accuracy a forgery method, of datasets that name more than one.
    """
    own = evaluated.get(trained_on)
    own_auc = own["video"]["auc"] if own else None
    rows: dict[str, dict[str, Any]] = {}
    undefined: list[dict[str, str]] = []
    for name, found in evaluated.items():
        video, covered = found["video"], found["coverage"]
        auc = video["auc"]
        bounds = next(value for key, value in found.items() if key.startswith("interval_"))
        rows[name] = {
            "seen": name == trained_on,
            "videos": covered["videos"],
            "judged": covered["judged"],
            **{figure: video[figure] for figure in FIGURES},
            "auc_interval": bounds["video"]["auc"],
            "auc_interval_method": bounds["auc_interval_method"]["video"],
            "auc_drop": None if auc is None or own_auc is None else round(own_auc - auc, DIGITS),
        }
        reasons = {item["figure"]: item["reason"] for item in found["undefined"]}
        undefined += [
            {"figure": f"tested_on.{name}.{figure}", "reason": reasons.get(f"video.{figure}", "unknown")}
            for figure in FIGURES
            if video[figure] is None
        ]
        if rows[name]["auc_drop"] is None:
            why = reasons.get("video.auc") or _no_reference(trained_on, own)
            undefined.append({"figure": f"tested_on.{name}.auc_drop", "reason": why})
    return {
        "detector": detector,
        "trained_on": trained_on,
        "tested_on": rows,
        "by_method": {name: methods for name, found in evaluated.items() if (methods := _by_method(found))},
        "undefined": undefined,
    }


def _no_reference(trained_on: str, own: Mapping[str, Any] | None) -> str:
    if own is None:
        return f"{trained_on}, which it was trained on, is not among run.datasets"
    return f"the AUC on {trained_on} is undefined"


def _by_method(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Forgery methods alone: reals are what they are set against."""
    fakes = {name: row for name, row in found["by_method"].items() if row["fake"]}
    if len(fakes) < 2:
        return {}
    return {name: {key: row[key] for key in ("videos", "auc", "acc")} for name, row in fakes.items()}
