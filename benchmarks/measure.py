"""What the benchmarks share: rounds in turn, medians with their range, a table of them."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfdetect.runtime.threads import cpu_count

ROUNDS = 3
# What is quick is measured more often, until this many seconds or rounds.
ENOUGH_S, MOST_ROUNDS = 10.0, 25


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    figure: str
    ratio: str
    aim: str


def spread(values: list[float], unit: str = "s") -> str:
    """Median and range."""
    middle, low, high = (
        f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
        for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} {unit} ({low} to {high})"


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(
    a: Callable[[], object], b: Callable[[], object], rounds: int = ROUNDS, most: int = MOST_ROUNDS
) -> tuple[list[float], list[float]]:
    """Seconds of two functions, called in turn after one call each that does not count.

    Args:
        rounds: calls of each that are made at least; more follow while all has taken less than ENOUGH_S.
        most: calls that are made at most.
    """
    times: tuple[list[float], list[float]] = ([], [])
    seconds(a)
    seconds(b)
    while len(times[0]) < rounds or (len(times[0]) < most and sum(map(sum, times)) < ENOUGH_S):
        for function, into in zip((a, b), times, strict=True):
            into.append(seconds(function))
    return times


def ratio(a: list[float], b: list[float]) -> str:
    """Median of the paired ratios, with their range."""
    pairs = [x / y for x, y in zip(a, b, strict=True)]
    return f"{statistics.median(pairs):.2f} x ({min(pairs):.2f} to {max(pairs):.2f})"


def peak_mb() -> float:
    """This process's own peak memory so far (MB): ru_maxrss starts at that of the process which started it."""
    (peak,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(peak) / 1024


def machine() -> str:
    """What was measured on, in a line."""
    return f"{cpu_count()} processors ({platform.machine()}), Python {platform.python_version()}."


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of a Markdown table."""
    lines = ["| what | measured | ratio | aim |", "|---|---|---|---|"]
    return [*lines, *(f"| {row.what} | {row.figure} | {row.ratio} | {row.aim} |" for row in rows)]
