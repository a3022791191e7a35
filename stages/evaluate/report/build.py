"""Write metrics/generalisation.json and metrics/report.html."""

from __future__ import annotations

from pathlib import Path

from stages import bundle
from stages.evaluate.generalisation import generalisation
from stages.evaluate.report.crops import explained, most_confident, sample_crops
from stages.evaluate.report.gather import gather
from stages.evaluate.report.page import Pictures, render
from stages.params import Params
from stages.scoring import Scorer
from stages.store import write_bytes, write_json


def write_report(params: Params, model: Path = bundle.FOLDER, root: Path = Path()) -> Path:
    """Build the page from what the stages wrote, and explain a few videos with the detector.

    Args:
        params: run.datasets and evaluate.
        model: the detector's folder.
        root: where data/ and metrics/ are.
    Returns:
        The page's path.
    Raises:
        UserError: a dataset has not been evaluated, or an artifact is damaged.
    """
    facts = gather(params, model, root)
    evaluated = {each.name: each.figures for each in facts.datasets}
    table = generalisation(facts.info.detector, facts.trained_on, evaluated)
    write_json(root / "metrics" / "generalisation.json", table)
    info, detector = bundle.load(model)
    scorer = Scorer(detector, info, device=params.evaluate.device)
    pictures = {}
    for each in facts.datasets:
        folder = root / "data" / each.name
        wrong, right = most_confident(each, params.evaluate.explained)
        shown = explained(folder, each, scorer, [*wrong, *right])
        pictures[each.name] = Pictures(sample_crops(folder, each), shown[: len(wrong)], shown[len(wrong) :])
    path = root / "metrics" / "report.html"
    write_bytes(path, render(facts, table, pictures).encode())
    return path
