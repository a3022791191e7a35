"""python -m stages.splits [--dataset NAME]: part a dataset into train, val and test, and audit the parts."""

from __future__ import annotations

import argparse

from dfdetect.config.params import load
from dfdetect.errors import run_cli
from dfdetect.splits.build import build


def main() -> None:
    """Read the params, split one dataset or all of run.datasets, say how many went where."""
    parser = argparse.ArgumentParser(prog="python -m stages.splits", description=__doc__)
    parser.add_argument("--dataset", help="a name under `datasets` in params.yaml; all of run.datasets by default")
    wanted = parser.parse_args().dataset
    params = load()
    for name in [wanted] if wanted else params.run.datasets:
        metrics = build(name, params.dataset(name), params.splits)
        parts = ", ".join(f"{split} {counts['videos']}" for split, counts in metrics["splits"].items())
        print(f"splits {name}: {parts}")
        for warning in metrics["warnings"]:
            print(f"splits {name}: warning: {warning}")


if __name__ == "__main__":
    run_cli(main)
