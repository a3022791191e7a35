"""python -m stages.download [--dataset NAME]: bring, list, hash and probe a dataset."""

from __future__ import annotations

import argparse

from dfdetect.config.params import load
from dfdetect.datasets.sources.index import download
from dfdetect.errors import run_cli


def main() -> None:
    """Read the params, download one dataset or all of run.datasets, say what came."""
    parser = argparse.ArgumentParser(prog="python -m stages.download", description=__doc__)
    parser.add_argument("--dataset", help="a name under `datasets` in params.yaml; all of run.datasets by default")
    wanted = parser.parse_args().dataset
    params = load()
    for name in [wanted] if wanted else params.run.datasets:
        metrics = download(name, params.dataset(name), params.engine)
        print(f"download {name}: {metrics['videos']} videos, {metrics['failed']} of them cannot be probed")


if __name__ == "__main__":
    run_cli(main)
