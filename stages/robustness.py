"""python -m stages.robustness [--dataset NAME]: the AUC of corrupted test crops."""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.errors import run_cli


def main() -> None:
    """Read the params, measure robustness on one dataset or on all of run.datasets."""
    params, names = chosen_datasets("stages.robustness", __doc__)
    from dfdetect.inference.predict_dataset import measure_robustness
    from dfdetect.runtime.threads import tune_allocator

    tune_allocator()
    for name in names:
        measured = measure_robustness(name, params.predict, params.robustness)
        if measured.clean is None or measured.mean_auc_drop is None:
            print(f"robustness {name}: undefined: {measured.undefined[0]['reason']}")
        else:
            print(f"robustness {name}: clean AUC {measured.clean:.3f}, mean AUC drop {measured.mean_auc_drop:.3f}")


if __name__ == "__main__":
    run_cli(main)
