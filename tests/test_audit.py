"""The audit of the packages: what was not looked up is never called sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import audit

SOUND: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
SKIPPED: dict[str, Any] = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (2)"}
AFFECTED: dict[str, Any] = {
    "name": "c",
    "version": "3",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["4"]}],
}


def stand_in(path: Path, answers: dict[str, Any]) -> Path:
    """A program in pip-audit's place: it answers by service; text goes to the error output."""
    script = (
        f"#!{sys.executable}\nimport json, sys\n"
        f"answer = {answers!r}[sys.argv[sys.argv.index('--vulnerability-service') + 1]]\n"
        "assert '--require-hashes' in sys.argv and 'requirements.txt' in sys.argv\n"
        "if isinstance(answer, str):\n    sys.exit(answer)\n"
        "print(json.dumps({'dependencies': answer, 'fixes': []}))\n"
    )
    path.write_text(script)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ({"pypi": [SOUND, SOUND]}, 0, "2 of 2 packages looked up, 0 known"),
        ({"pypi": [SOUND, AFFECTED]}, 1, "c 3: PYSEC-1 CVE-1; mended in 4"),
        ({"pypi": [SKIPPED, AFFECTED]}, 1, "not audited: 1 packages"),
        ({"pypi": [SOUND, SKIPPED], "osv": [SOUND, SOUND]}, 0, "osv: 2 of 2"),
        ({"pypi": [SKIPPED, SKIPPED], "osv": "no such host"}, 2, "0 of 2 packages looked up"),
        ({"pypi": "no such host", "osv": "no such host"}, 2, "osv: no answer: no such host"),
        ({"pypi": [], "osv": []}, 2, "0 of 0"),
    ],
)
def test_the_exit_code_says_what_is_known(
    answers: dict[str, Any],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["audit.py", str(stand_in(tmp_path / "pip-audit", answers))])
    assert audit.main() == code
    out = capsys.readouterr()
    assert said in out.out
    assert ("could not all be audited" in out.err) == (code == audit.UNKNOWN)


def test_every_list_of_pinned_packages_is_audited() -> None:
    root = Path(__file__).parents[1]
    lists = {"requirements.txt", *(f"requirements/{path.name}" for path in (root / "requirements").glob("*.txt"))}
    others = {"requirements/in.txt", "requirements/overrides.txt", "requirements/audit.txt"}
    assert set(audit.FILES) == lists - others
