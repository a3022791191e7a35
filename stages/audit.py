"""python -m stages.audit [--dataset NAME]: find what leaks between a dataset's splits, and act on it.

Reads splits.parquet and the face crops; writes data/<dataset>/leaks.parquet, metrics/<dataset>/audit.json and, for
people, metrics/<dataset>/audit.md. splits.on_leak says whether leaks are only told, left out of training, or an error.
"""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.errors import run_cli


def main() -> None:
    """Read the params, audit one dataset or all of run.datasets, print what leaks."""
    params, names = chosen_datasets("stages.audit", __doc__)
    from dfdetect.splits.audit import audit

    for name in names:
        metrics = audit(name, params.dataset(name), params.splits)
        print(f"audit {name}: {metrics['leaking_videos']} videos leak, {metrics['dropped_videos']} of them left out")
        for warning in metrics["warnings"]:
            print(f"audit {name}: warning: {warning}")


if __name__ == "__main__":
    run_cli(main)
