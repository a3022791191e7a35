"""What a run came to and where its files are: `make repro` ends with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfdetect.arguments import parser
from dfdetect.evaluation.caveats import lines

if TYPE_CHECKING:
    from dfdetect.config.params import Params

METRICS = Path("metrics")


def summary(params: Params) -> str:
    """The text: figures of each dataset with their intervals and caveats, then where to look.

    Raises:
        UserError: a dataset of params.run has not been evaluated.
    """
    from dfdetect.io.tables import read_json

    found = {name: read_json(METRICS / name / "details" / "evaluate.json") for name in params.run.datasets}
    first = next(iter(found))
    places = {
        "models/detector/": "the trained detector; README.md in it is its model card",
        f"metrics/{first}/details/evaluate.json": "all figures; one such file per dataset",
        f"metrics/{first}/roc.png": "ROC and confusion as a picture",
        f"data/{first}/predictions.parquet": "the score of every test video and frame",
        f"metrics/{first}/faces.json": "what each data stage could not use, and why",
    }
    if (METRICS / "report.html").exists():
        places = {"metrics/report.html": "all of it on one page: open it in a browser", **places}
    width = max(len(place) for place in places)
    return "\n".join(
        [
            "",
            f"{params.train.detector} trained on {params.train.dataset} ({params.train.recipe}): "
            f"test videos, {100 * found[first]['ci']['level']:g} % intervals over videos",
            *(f"  {line}" for name, figures in found.items() for line in lines(name, figures)),
            "",
            "Where the results are",
            *(f"  {place:<{width}}  {what}" for place, what in places.items()),
            "",
            "Compare runs: dvc metrics diff   Show curves: dvc plots show",
            "Score a file: dfdetect predict FILE",
            "",
            rounding_note(),
        ]
    )


def rounding_note() -> str:
    """Why figures may differ from the committed ones, and where to see by how much."""
    return "Training rounds differently on another kind of processor: `git diff` shows by how much figures moved."


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the summary."""
    parser("dfdetect summary", __doc__).parse_args(arguments)
    from dfdetect.config.params import load

    print(summary(load()))
