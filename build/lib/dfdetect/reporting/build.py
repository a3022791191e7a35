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
from dfdetect.inference import saved_model
from dfdetect.io.schemas import EXAMPLES
from dfdetect.io.tables import read_table, write_bytes, write_json
from dfdetect.reporting.crops import read_examples
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


def write_section(name: str, params: Params, root: Path = Path()) -> Path:
    """Write a dataset's section of the report.

    Args:
        name: the dataset, evaluated before.
        params: predict and evaluate.
        root: where data/, models/ and metrics/ are.
    Returns:
        The path of data/report/<dataset>.json.
    Raises:
        UserError: the dataset has not been evaluated, or an artifact is damaged.
    """
    from dfdetect.reporting.section import render_section

    facts = gather(name, params.evaluate, root)
    info = saved_model.read_info(root / params.predict.model)
    stored = read_table(root / "data" / name / "examples.parquet", EXAMPLES)
    examples = read_examples(stored, facts.table)
    section = Section(
        name=name,
        figures=facts.figures,
        mean_auc_drop=facts.robustness.get("mean_auc_drop"),
        warnings=facts.splits.get("warnings", []),
        html=render_section(facts, examples, anomaly=info.calibration is not None),
        code=code_hash((*CODE, f"dfdetect/detectors/{info.detector}.py")),
        packages=_versions(info.packages),
    )
    path = root / SECTIONS / f"{name}.json"
    write_json(path, asdict(section))
    return path


def write_report(params: Params, root: Path = Path()) -> Path:
    """Put the sections of run.datasets together on the page.

    Args:
        params: run.datasets and predict.
        root: where data/, models/ and metrics/ are.
    Returns:
        The page's path.
    Raises:
        UserError: a section is missing, or an artifact is damaged.
    """
    info = saved_model.read_info(root / params.predict.model)
    sections = [read_section(name, root) for name in params.run.datasets]
    trained_on = str(info.train["params"]["dataset"])
    table = cross_dataset(info.detector, trained_on, {each.name: each.figures for each in sections})
    write_json(root / "metrics" / "cross_dataset.json", table)
    run = Run(info, trained_on, sections, read_curves(root / CURVES), table)
    path = root / "metrics" / "report.html"
    write_bytes(path, render(run).encode())
    return path
