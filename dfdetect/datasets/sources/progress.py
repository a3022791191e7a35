"""The progress bars of the download stage: rate and time left; live on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(label: str, unit: str, *, total: int | None = None, scaled: bool = False) -> tqdm[Any]:
    """A bar on standard error.

    Args:
        scaled: count in k, M and G (bytes).
    """
    live = sys.stderr.isatty()
    style: dict[str, Any] = {"dynamic_ncols": True} if live else {"mininterval": 10, "ascii": True, "ncols": 100}
    return tqdm(total=total, desc=label, unit=unit, unit_scale=scaled, unit_divisor=1024, file=sys.stderr, **style)
