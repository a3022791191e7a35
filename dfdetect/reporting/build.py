"""Write the sections of the page, one a dataset, and from them metrics/cross_dataset.json and metrics/report.html.

In two steps, so that DVC makes a dataset's section anew only when that dataset's results have changed.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dfdetect.config.params import Params
from dfdetect.evaluation.cross_dataset import cross_dataset
from dfdetect.inference import saved_model as bundle
from dfdetect.io.tables import write_bytes, write_json
from dfdetect.reporting.gather import SECTIONS, Section, gather, read_curves, read_section
from dfdetect.reporting.page import Run, render
from dfdetect.runtime.cache import code_hash

CURVES = Path("metrics/plots/train/plots/metrics")
# What decides a score and the figures made of it; the detector's own file comes on top.
CODE = (
    "dfdetect/data",
    "dfdetect/detectors/base.py",
    "dfdetect/detectors/calibration.py",
    "dfdetect/detectors/layers",
    "dfdetect/evaluation",
    "dfdetect/inference/saved_model.py",
    "dfdetect/inference/scoring.py",
)


def _versions(names: Iterable[str]) -> dict[str, str]:
    """Versions here of the packages by which the training is recorded."""
    found = {"python": platform.python_version()}
    for name in names:
        with suppress(PackageNotFoundError):
            found.setdefault(name, version(name))
    return found


def write_section(name: str, params: Params, model: Path = bundle.FOLDER, root: Path = Path()) -> Path:
    """Explain some of a dataset's videos with the detector and write its section.

    Args:
        name: the dataset, evaluated before.
        params: evaluate.
        model: the detector's folder.
        root: where data/ and metrics/ are.
    Returns:
        The path of data/report/<dataset>.json.
    Raises:
        UserError: the dataset has not been evaluated, or an artifact is damaged.
    """
    from dfdetect.inference.scoring import Scorer
    from dfdetect.reporting.crops import explained, most_confident, sample_crops
    from dfdetect.reporting.section import Pictures, render_section

    facts = gather(name, params.evaluate, root)
    info, detector = bundle.load(model)
    scorer = Scorer(detector, info, device=params.evaluate.device)
    folder = root / "data" / name
    wrong, right = most_confident(facts, params.evaluate.explained)
    shown = explained(folder, facts, scorer, [*wrong, *right])
    pictures = Pictures(sample_crops(folder, facts), shown[: len(wrong)], shown[len(wrong) :])
    section = Section(
        name=name,
        figures=facts.figures,
        mean_auc_drop=facts.robustness.get("mean_auc_drop"),
        warnings=facts.splits.get("warnings", []),
        html=render_section(facts, pictures, anomaly=info.calibration is not None),
        code=code_hash((*CODE, f"dfdetect/detectors/{info.detector}.py")),
        packages=_versions(info.packages),
    )
    path = root / SECTIONS / f"{name}.json"
    write_json(path, asdict(section))
    return path


def write_report(params: Params, model: Path = bundle.FOLDER, root: Path = Path()) -> Path:
    """Put the sections of run.datasets together on the page.

    Args:
        params: run.datasets.
        model: the detector's folder.
        root: where data/ and metrics/ are.
    Returns:
        The page's path.
    Raises:
        UserError: a section is missing, or an artifact is damaged.
    """
    info = bundle.read_info(model)
    sections = [read_section(name, root) for name in params.run.datasets]
    trained_on = str(info.train["params"]["dataset"])
    table = cross_dataset(info.detector, trained_on, {each.name: each.figures for each in sections})
    write_json(root / "metrics" / "cross_dataset.json", table)
    run = Run(info, trained_on, sections, read_curves(root / CURVES), table)
    path = root / "metrics" / "report.html"
    write_bytes(path, render(run).encode())
    return path
