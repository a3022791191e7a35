"""The data stages' bytes do not depend on workers, folder, listing order, locale, time zone or hash seed.

The quick form of `make determinism`: its two extremes, on the stages that need no PyTorch.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.determinism import ODD, PLAIN, artifacts, differing

STAGES = ("download", "faces", "mels")


def test_circumstances_do_not_reach_the_bytes(tmp_path: Path) -> None:
    plain = artifacts(tmp_path / "a", PLAIN, STAGES, people=2, cropped=True)
    odd = artifacts(tmp_path / "b" / "deeper", ODD, STAGES, people=2, cropped=True)
    assert {"data/trial/faces/part-00000.parquet", "data/trial/mels/part-00000.parquet"} <= plain.keys()
    assert differing(odd, plain) == []
