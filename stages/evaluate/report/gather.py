"""What the stages wrote about a run, read once for the page."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages import bundle
from stages.bundle import BundleInfo
from stages.evaluate.predictions import Judged, read_predictions, select
from stages.params import Params
from stages.store import read_json

STAGES = ("download", "faces", "masks", "mouths", "mels")
CODE = Path(__file__).parents[2]


@dataclass(frozen=True)
class DatasetFacts:
    """One dataset's metrics and predictions."""

    name: str
    figures: dict[str, Any]
    table: pa.Table
    judged: Judged
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    splits: dict[str, Any] = field(default_factory=dict)
    robustness: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFacts:
    """All that the page shows; `code` is a hash of the stages' source files."""

    info: BundleInfo
    trained_on: str
    datasets: list[DatasetFacts]
    curves: dict[str, list[tuple[float, float]]]
    code: str


def gather(params: Params, model: Path = bundle.FOLDER, root: Path = Path()) -> RunFacts:
    """Read the metrics and predictions of run.datasets.

    Args:
        params: which datasets.
        model: the detector's folder.
        root: where data/ and metrics/ are.
    Raises:
        UserError: a dataset has not been evaluated, or a file is damaged.
    """
    info = bundle.read_info(model)
    datasets = [_dataset(name, params, root) for name in params.run.datasets]
    curves = read_curves(root / "metrics/plots/train/plots/metrics")
    return RunFacts(info, str(info.train["params"]["dataset"]), datasets, curves, code_hash())


def _dataset(name: str, params: Params, root: Path) -> DatasetFacts:
    metrics = root / "metrics" / name
    table = read_predictions(root / "data" / name / "predictions.parquet")
    return DatasetFacts(
        name=name,
        figures=read_json(metrics / "evaluate.json"),
        table=table,
        judged=select(table, params.evaluate),
        stages={stage: read_json(path) for stage in STAGES if (path := metrics / f"{stage}.json").exists()},
        splits=read_json(path) if (path := metrics / "splits.json").exists() else {},
        robustness=read_json(path) if (path := metrics / "robustness.json").exists() else {},
    )


def read_curves(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """dvclive's curves: name -> (epoch, value)."""
    curves = {}
    for path in sorted(folder.glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        curves[path.stem] = [(float(row["step"]), float(row[path.stem])) for row in rows]
    return curves


def code_hash(folder: Path = CODE) -> str:
    """sha256 over the source files' names and contents: the same code has the same hash, committed or not."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return whole.hexdigest()
