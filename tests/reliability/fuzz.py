"""python -m tests.reliability.fuzz: every mutation and every awkward file through the stages; a table of the outcomes.

Exit code 1 if a file crashed, hung or outgrew a worker, got no row, or a row that makes no sense.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

from dfdetect.arguments import parser
from dfdetect.config.params import RuntimeParams
from tests.reliability.gauntlet import STAGES, Found, run_gauntlet
from tests.reliability.mutations import Case, cases
from tests.reliability.seeds import make_seeds

AWKWARD = Path(__file__).parents[2].parent / "shared" / "media" / "awkward"
# Sterner than the pipeline's own limits: what needs more than this of a small file is a defect.
RUNTIME = RuntimeParams(num_workers=2, timeout_s=60.0, memory_limit_mb=2500)
LIBRARIES_MB = 1500  # code and read-only data of the libraries, which the limit does not count


def main() -> int:
    """Run, print the table, say what is wrong."""
    arguments = parser("tests.reliability.fuzz", __doc__)
    arguments.add_argument("--only", default="", help="only cases whose name holds this text")
    arguments.add_argument("--also", type=Path, default=AWKWARD, help="a folder of further files (%(default)s)")
    asked = arguments.parse_args()
    only, also = asked.only, asked.also
    begun = time.monotonic()
    chosen = [case for case in cases(make_seeds()) if only in case.name]
    awkward = sorted(path for path in also.glob("*") if only in path.name)
    with tempfile.TemporaryDirectory() as folder:
        found = run_gauntlet([*write(chosen, Path(folder, "made")), *awkward], Path(folder, "project"), RUNTIME)
    print(table(chosen, [path.name for path in awkward], found))
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if peak_mb > RUNTIME.memory_limit_mb + LIBRARIES_MB:
        found.violations.append(f"a worker took {peak_mb:.0f} MB")
    print(
        f"\n{len(chosen)} mutations and {len(awkward)} awkward files in {time.monotonic() - begun:.0f} s; "
        f"the largest worker took {peak_mb:.0f} MB; {len(found.violations)} violations"
    )
    for line in found.violations:
        print(f"  {line}")
    return 1 if found.violations else 0


def write(chosen: list[Case], folder: Path) -> list[Path]:
    """The cases as files."""
    folder.mkdir(parents=True)
    for case in chosen:
        (folder / case.name).write_bytes(case.data)
    return [folder / case.name for case in chosen]


def table(chosen: list[Case], awkward: list[str], found: Found) -> str:
    """Markdown: per whole file the number of cases, and per stage how many ended in which way."""
    sources = {case.name: case.source for case in chosen} | dict.fromkeys(awkward, "awkward files")
    lines = [f"| made from | cases | {' | '.join(STAGES)} |", "|---|---|" + "---|" * len(STAGES)]
    for source in dict.fromkeys(sources.values()):
        names = [name for name, its in sources.items() if its == source]
        cells = [_outcomes(found.rows[stage].get(name, "no row") for name in names) for stage in STAGES]
        lines.append(f"| {source} | {len(names)} | {' | '.join(cells)} |")
    total = [_outcomes(found.rows[stage].get(name, "no row") for name in sources) for stage in STAGES]
    return "\n".join([*lines, f"| **all** | {len(sources)} | {' | '.join(total)} |"])


def _outcomes(statuses: object) -> str:
    return ", ".join(f"{status} {count}" for status, count in Counter(statuses).most_common())  # type: ignore[call-overload]


if __name__ == "__main__":
    raise SystemExit(main())
