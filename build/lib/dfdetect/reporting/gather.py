"""What the stages wrote about a dataset and about the training, read for the page."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from dfdetect.config.params import EvaluateParams
from dfdetect.errors import UserError
from dfdetect.evaluation.predictions import EvaluatedVideos, read_predictions, select
from dfdetect.io.tables import read_json

STAGES = ("download", "faces", "masks", "mouths", "mels")
# Where dvc.yaml has the sections of the page; one file a dataset.
SECTIONS = Path("data/report")


@dataclass(frozen=True)
class DatasetFacts:
    """One dataset's metrics and predictions."""

    name: str
    figures: dict[str, Any]
    table: pa.Table
    evaluated: EvaluatedVideos
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    splits: dict[str, Any] = field(default_factory=dict)
    robustness: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """One dataset's part of the page, with what the rest of the page says of it.

    Fields:
        name: the dataset. figures: its evaluate.json. mean_auc_drop: of its robustness.json.
        warnings: of the splits' audit. html: the part itself.
        code: sha256 of the code that evaluated. packages: versions that evaluated.
    """

    name: str
    figures: dict[str, Any]
    mean_auc_drop: float | None
    warnings: list[str]
    html: str
    code: str
    packages: dict[str, str]


def gather(name: str, params: EvaluateParams, root: Path = Path()) -> DatasetFacts:
    """Read the metrics and predictions of a dataset.

    Args:
        name: the dataset.
        params: which videos are evaluated.
        root: where data/ and metrics/ are.
    Raises:
        UserError: it has not been evaluated, or a file is damaged.
    """
    metrics = root / "metrics" / name
    audit = metrics / "details" / "splits.json", metrics / "audit.json"
    table = read_predictions(root / "data" / name / "predictions.parquet")
    return DatasetFacts(
        name=name,
        figures=read_json(metrics / "details" / "evaluate.json"),
        table=table,
        evaluated=select(table, params),
        stages={stage: read_json(path) for stage in STAGES if (path := metrics / f"{stage}.json").exists()},
        splits={key: value for path in audit if path.exists() for key, value in read_json(path).items()},
        robustness=read_json(path) if (path := metrics / "details" / "robustness.json").exists() else {},
    )


def read_section(name: str, root: Path = Path()) -> Section:
    """A section that write_section left.

    Raises:
        UserError: it is missing or damaged.
    """
    path = root / SECTIONS / f"{name}.json"
    if not path.exists():
        raise UserError(
            f"{path} is missing: run `dvc repro report`, or `python -m stages.report --section {name}` by hand."
        )
    return Section(**read_json(path))


def read_curves(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """dvclive's curves: name -> (epoch, value)."""
    curves = {}
    for path in sorted(folder.glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        curves[path.stem] = [(float(row["step"]), float(row[path.stem])) for row in rows]
    return curves
