"""A quick part of `make fuzz`: some of each kind of damage through the stages, in worker processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfdetect.config.params import RuntimeParams
from tests.reliability.fuzz import table, write
from tests.reliability.gauntlet import STAGES, Found, run_gauntlet
from tests.reliability.mutations import Case, cases
from tests.reliability.seeds import make_seeds

# What is dearest, and every so many of the others.
ALWAYS, EACH = frozenset({"image bombs", "samples that are no numbers"}), 35


@pytest.fixture(scope="module")
def chosen() -> list[Case]:
    every = cases(make_seeds())
    picked = {case.name: case for case in every[::EACH]} | {c.name: c for c in every if c.operation in ALWAYS}
    huge = {c.name: c for c in every if c.operation == "huge dimensions" and c.source.endswith((".mp4", ".webm"))}
    return list((picked | huge).values())


def test_every_hostile_file_ends_as_a_row_with_a_reason(chosen: list[Case], tmp_path: Path) -> None:
    assert len(chosen) >= 40
    runtime = RuntimeParams(num_workers=1, timeout_s=60.0, memory_limit_mb=2500)
    found = run_gauntlet(write(chosen, tmp_path / "made"), tmp_path, runtime)
    assert not found.violations
    statuses = {stage: set(rows.values()) for stage, rows in found.rows.items()}
    assert {"ok", "unreadable", "too_large"} <= statuses["faces"]
    assert {"ok", "unreadable", "no_audio"} <= statuses["mels"]
    assert {"ok", "unreadable", "too_large"} <= statuses["predict"]
    assert f"| **all** | {len(chosen)} |" in table(chosen, [], found)


def test_the_checks_find_what_is_wrong() -> None:
    found = Found()
    found.add("faces", "a.mp4", "ok", None, None)
    found.add("faces", "b.mp4", "unreadable", "the file is empty", None)
    assert not found.violations
    found.add("faces", "c.mp4", "crashed", "its worker process ended: signal SIGSEGV", None)
    found.add("faces", "d.mp4", "unreadable", None, None)
    found.add("mels", "e.mp4", "ok", None, "its spectrogram is not finite")
    assert [line.split(": ")[1][0] for line in found.violations] == ["c", "d", "e"]
    assert set(found.rows) == set(STAGES)
