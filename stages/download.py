"""python -m stages.download [--dataset NAME]: bring, list, hash and probe a dataset."""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.errors import run_cli


def main() -> None:
    """Read the params, download one dataset or all of run.datasets, say what came."""
    params, names = chosen_datasets("stages.download", __doc__)
    from dfdetect.datasets.sources.index import download, told

    for name in names:
        metrics = download(name, params.dataset(name), params.runtime)
        print(f"download {name}: {metrics['videos']} videos, {metrics['failed']} of them cannot be probed")
        for line in told(metrics["layout"]):
            print(f"  {line}")


if __name__ == "__main__":
    run_cli(main)
