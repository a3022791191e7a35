"""python -m stages.inputs [--dataset NAME]: hashes of the tables that the chosen detector reads."""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.errors import run_cli


def main() -> None:
    """Read the params, write data/<dataset>/inputs.json of one dataset or of all of run.datasets."""
    params, names = chosen_datasets("stages.inputs", __doc__)
    from dfdetect.data.inputs import write_inputs

    for name in names:
        print(f"inputs {name}: {', '.join(write_inputs(name, params))}")


if __name__ == "__main__":
    run_cli(main)
