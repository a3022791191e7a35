"""python -m stages.evaluate [--dataset NAME | --section NAME | --report]: evaluate, or report."""

from __future__ import annotations

from dfdetect.arguments import parser
from dfdetect.errors import run_cli


def main() -> None:
    """Evaluate on one dataset or on all of run.datasets; or write the report."""
    arguments = parser("stages.evaluate", __doc__)
    what = arguments.add_mutually_exclusive_group()
    what.add_argument("--dataset", help="a name under `datasets` in params.yaml; all of run.datasets by default")
    what.add_argument("--section", metavar="NAME", help="write a dataset's section of the report, after --dataset")
    what.add_argument(
        "--report", action="store_true", help="write metrics/cross_dataset.json and report.html from the sections"
    )
    asked = arguments.parse_args()
    from dfdetect.config.params import load

    params = load()
    if asked.section:
        from dfdetect.reporting.build import write_section

        params.dataset(asked.section)
        print(f"section: {write_section(asked.section, params)}")
        return
    if asked.report:
        from dfdetect.reporting.build import write_report

        print(f"report: {write_report(params)}")
        return
    from dfdetect.evaluation.caveats import lines
    from dfdetect.evaluation.score_dataset import evaluate
    from dfdetect.runtime.threads import tune_allocator

    tune_allocator()
    if asked.dataset:
        params.dataset(asked.dataset)
    for name in [asked.dataset] if asked.dataset else params.run.datasets:
        print("evaluate " + "\n".join(lines(name, evaluate(name, params.evaluate))))


if __name__ == "__main__":
    run_cli(main)
