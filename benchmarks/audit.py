"""Known vulnerabilities of the pinned packages, asked of a public service by pip-audit: `make audit`.

Exit code 0: every package was looked up and none is known to be vulnerable; 1: some are; 2: not every package could be
looked up, and why. pip-audit itself calls it a success when no package could be.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfdetect.arguments import parser

FILES = (
    "requirements.txt",
    "requirements/kaggle.txt",
    "requirements/demo.txt",
    "requirements/browser.txt",
)
TIMEOUT_S = 900
VULNERABLE, UNKNOWN = 1, 2


def ask(program: Path, files: Sequence[str], service: str) -> list[dict[str, Any]]:
    """What pip-audit says of each package.

    Raises:
        OSError: the service did not answer; says why.
    """
    command = [str(program), "--vulnerability-service", service, "--format", "json", "--progress-spinner", "off"]
    command += ["--disable-pip", "--require-hashes", *(part for file in files for part in ("-r", file))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise OSError(f"it did not answer within {TIMEOUT_S} s") from None
    try:
        return list(json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError):
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise OSError(said[-1][:300]) from None


def verdict(found: list[dict[str, Any]]) -> tuple[int, str]:
    """The exit code and what to say."""
    skipped = [package for package in found if "skip_reason" in package]
    affected = [(package, hole) for package in found for hole in package.get("vulns", [])]
    lines = [
        f"{package['name']} {package['version']}: {hole['id']} {' '.join(hole.get('aliases', []))}; mended in "
        f"{', '.join(hole.get('fix_versions', [])) or 'no version yet'}"
        for package, hole in affected
    ]
    lines.append(
        f"{len(found) - len(skipped)} of {len(found)} packages looked up, {len(affected)} known vulnerabilities"
    )
    if skipped:
        lines.append(f"not audited: {len(skipped)} packages; the first: {skipped[0]['skip_reason']}")
    return (VULNERABLE if affected else UNKNOWN if skipped or not found else 0), "\n".join(lines)


def main() -> int:
    """Ask one service after another until one knows every package."""
    arguments = parser("benchmarks.audit", __doc__)
    arguments.add_argument("program", type=Path, help="pip-audit")
    program, code = arguments.parse_args().program, UNKNOWN
    for service in ("pypi", "osv"):
        try:
            code, said = verdict(ask(program, FILES, service))
        except OSError as error:
            said = f"no answer: {error}"
        print(f"{service}: {said}")
        if code != UNKNOWN:
            return code
    print("error: the packages could not all be audited; try again where the service can be reached.", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
