"""python -m stages.predict [--dataset NAME]: score the test split with the saved model predict.model."""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.errors import run_cli


def main() -> None:
    """Read the params, score one dataset's test split or those of all of run.datasets."""
    params, names = chosen_datasets("stages.predict", __doc__)
    from dfdetect.inference.predict_dataset import predict_dataset
    from dfdetect.runtime.threads import tune_allocator

    tune_allocator()
    for name in names:
        table = predict_dataset(name, params.predict)
        scored = table.num_rows - table.column("score").null_count
        print(f"predict {name}: {scored} of {table.num_rows} test videos scored")


if __name__ == "__main__":
    run_cli(main)
