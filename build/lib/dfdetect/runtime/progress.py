"""The progress bar of work that is counted in bytes or clips: live on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(label: str, unit: str = "B", *, total: int | None = None) -> tqdm[Any]:
    """A bar on standard error, with rate and time left; bytes are counted in k, M and G."""
    live = sys.stderr.isatty()
    style: dict[str, Any] = {"dynamic_ncols": True} if live else {"mininterval": 10, "ascii": True, "ncols": 100}
    return tqdm(total=total, desc=label, unit=unit, unit_scale=unit == "B", unit_divisor=1024, file=sys.stderr, **style)
