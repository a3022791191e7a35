"""python -m stages.splits [--dataset NAME]: split a dataset into train, val and test."""

from __future__ import annotations

import argparse

from dfdetect.config.params import load
from dfdetect.errors import run_cli
from dfdetect.splits.build import build


def main() -> None:
    """Read the params, split one dataset or all of run.datasets, say how many went where and what to beware of."""
    parser = argparse.ArgumentParser(prog="python -m stages.splits", description=__doc__)
    parser.add_argument("--dataset", help="a name under `datasets` in params.yaml; all of run.datasets by default")
    chosen = parser.parse_args().dataset
    params = load()
    for name in [chosen] if chosen else params.run.datasets:
        metrics = build(name, params.dataset(name), params.splits)
        print(f"splits {name}: " + ", ".join(f"{split} {metrics[split]}" for split in ("train", "val", "test")))
        for note in metrics["notes"]:
            print(f"splits {name}: note: {note}")
        for warning in metrics["warnings"]:
            print(f"splits {name}: warning: {warning}")


if __name__ == "__main__":
    run_cli(main)
