"""How a detector trained on one dataset performs on the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfdetect.evaluation.caveats import reasons, too_few

FIGURES = ("auc", "ap", "eer", "acc", "balanced_acc")
DIGITS = 6


def cross_dataset(detector: str, trained_on: str, evaluated: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The table of metrics/cross_dataset.json.

    Args:
        detector: registered name.
        trained_on: dataset whose train split it saw.
        evaluated: dataset -> what its evaluate.json says.
    Returns:
        A row per dataset: whether the detector was trained on its train split, the number of evaluated videos, video
        figures, `auc_drop` (the in-domain AUC minus this one) and, of fewer than MIN_CLASS_VIDEOS videos of a class,
        `too_few` in words. Undefined figures are None, with the reason under
        `undefined`. `by_method` has AUC and accuracy per forgery method, of datasets that name more than one.
    """
    own = evaluated.get(trained_on)
    own_auc = own["video"]["auc"] if own else None
    rows: dict[str, dict[str, Any]] = {}
    by_method: dict[str, dict[str, dict[str, Any]]] = {}
    undefined: list[dict[str, str]] = []
    for name, found in evaluated.items():
        video, covered = found["video"], found["coverage"]
        auc = video["auc"]
        rows[name] = {
            "in_domain": name == trained_on,
            "videos": covered["videos"],
            "evaluated": covered["evaluated"],
            "too_few": too_few(covered["real"], covered["fake"]),
            **{figure: video[figure] for figure in FIGURES},
            "ci": {"auc": found["ci"]["video"]["auc"], "auc_method": found["ci"]["auc_method"]["video"]},
            "auc_drop": None if auc is None or own_auc is None else round(own_auc - auc, DIGITS),
        }
        why = reasons(found)
        undefined += [
            {"figure": f"tested_on.{name}.{figure}", "reason": why[f"video.{figure}"]}
            for figure in FIGURES
            if video[figure] is None
        ]
        if rows[name]["auc_drop"] is None:
            reason = why.get("video.auc") or _no_reference(trained_on, own)
            undefined.append({"figure": f"tested_on.{name}.auc_drop", "reason": reason})
        if methods := _by_method(found):
            by_method[name] = methods
        paths = {"ci.video.auc": f"tested_on.{name}.ci.auc"}
        paths |= {f"by_method.{method}.ci.auc": f"by_method.{name}.{method}.ci.auc" for method in methods}
        undefined += [{"figure": path, "reason": why[own_path]} for own_path, path in paths.items() if own_path in why]
    return {
        "detector": detector,
        "trained_on": trained_on,
        "tested_on": rows,
        "by_method": by_method,
        "undefined": undefined,
    }


def _no_reference(trained_on: str, own: Mapping[str, Any] | None) -> str:
    if own is None:
        return f"{trained_on}, which it was trained on, is not among run.datasets"
    return f"the AUC on {trained_on} is undefined"


def _by_method(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Forgery methods only: reals are what they are set against."""
    fakes = {name: row for name, row in found["by_method"].items() if row["fake"]}
    if len(fakes) < 2:
        return {}
    return {name: {key: row[key] for key in ("videos", "auc", "ci", "acc", "too_few")} for name, row in fakes.items()}
