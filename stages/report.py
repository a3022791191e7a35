"""python -m stages.report [--section NAME]: the report of the whole run; with --section, one dataset's part of it.

A dataset's part is a stage of its own, so that it is made anew only when that dataset's results have changed.
"""

from __future__ import annotations

from dfdetect.arguments import parser
from dfdetect.errors import run_cli


def main() -> None:
    """Write data/report/<dataset>.json, or metrics/report.html and metrics/cross_dataset.json from these."""
    options = parser("stages.report", __doc__)
    options.add_argument("--section", metavar="NAME", help="a dataset that was evaluated: write its part")
    args = options.parse_args()
    from dfdetect.config.params import load
    from dfdetect.reporting.build import write_report, write_section

    params = load()
    if args.section is not None:
        params.dataset(args.section)
        print(f"section: {write_section(args.section, params)}")
    else:
        print(f"report: {write_report(params)}")


if __name__ == "__main__":
    run_cli(main)
