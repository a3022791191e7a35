"""One dataset's section of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfdetect.evaluation.caveats import reasons
from dfdetect.evaluation.evaluate import CROSSED
from dfdetect.reporting.charts import accuracy_by_threshold, performance_charts, robustness_charts, score_strips
from dfdetect.reporting.html import fill

if TYPE_CHECKING:
    from dfdetect.reporting.crops import Examples
    from dfdetect.reporting.gather import DatasetFacts

FIGURES = {
    "auc": "AUC",
    "ap": "average precision",
    "eer": "EER",
    "tpr_at_1pct_fpr": "TPR at 1 % FPR",
    "tpr_at_0p1pct_fpr": "TPR at 0.1 % FPR",
    "acc": "accuracy",
    "balanced_acc": "balanced accuracy",
    "sensitivity": "sensitivity (recall of fakes)",
    "specificity": "specificity (recall of reals)",
    "fake_precision": "precision of fakes",
    "fake_f1": "F1 of fakes",
    "real_precision": "precision of reals",
    "real_f1": "F1 of reals",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "expected calibration error",
}
GROUPS = ("category", "method", "compression")


def render_section(facts: DatasetFacts, pictures: Examples, *, anomaly: bool) -> str:
    """All that is known of the detector on one dataset, as HTML.

    Args:
        facts: what the stages wrote.
        pictures: of its videos.
        anomaly: whether the detector is an anomaly detector, trained on reals only.
    """
    figures, evaluated = facts.figures, facts.evaluated
    threshold = figures["threshold"]
    score = "calibrated anomaly score" if anomaly else "probability of fake"
    return fill(
        "section.html",
        facts=facts,
        pictures=pictures,
        anomaly=anomaly,
        names=FIGURES,
        crossed=CROSSED,
        why=reasons(figures),
        performance=performance_charts(evaluated, threshold, figures["video"]["confusion"]),
        groups={
            name: score_strips(evaluated, name, threshold, title=score)
            for name in GROUPS
            if len(figures[f"by_{name}"]) > 1
        },
        thresholds=accuracy_by_threshold(evaluated.videos, threshold) if evaluated.labels.size else None,
        robustness=robustness_charts(facts.robustness) if facts.robustness.get("auc") else [],
    )
