"""python -m stages.splits [--dataset NAME]: split a dataset into train, val and test."""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.errors import run_cli


def main() -> None:
    """Read the params, split one dataset or all of run.datasets, say how many went where and what to beware of."""
    params, names = chosen_datasets("stages.splits", __doc__)
    from dfdetect.splits.build import build

    for name in names:
        metrics = build(name, params.dataset(name), params.splits)
        print(f"splits {name}: " + ", ".join(f"{split} {metrics[split]}" for split in ("train", "val", "test")))
        for note in metrics["notes"]:
            print(f"splits {name}: note: {note}")
        for warning in metrics["warnings"]:
            print(f"splits {name}: warning: {warning}")


if __name__ == "__main__":
    run_cli(main)
