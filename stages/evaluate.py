"""python -m stages.evaluate [--dataset NAME]: figures and plots of predictions.parquet; runs no network."""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.errors import run_cli


def main() -> None:
    """Read the params, evaluate one dataset's predictions or those of all of run.datasets."""
    params, names = chosen_datasets("stages.evaluate", __doc__)
    from dfdetect.evaluation.caveats import lines
    from dfdetect.evaluation.evaluate_dataset import evaluate_dataset

    for name in names:
        print("evaluate " + "\n".join(lines(name, evaluate_dataset(name, params.evaluate, params.predict))))


if __name__ == "__main__":
    run_cli(main)
