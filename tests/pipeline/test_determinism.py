"""The data stages' bytes do not depend on workers, folder, listing order, locale, time zone or hash seed.

The quick form of `make determinism`: its two extremes, on the stages that need no PyTorch.
"""

from __future__ import annotations

from pathlib import Path

from scripts.determinism import ODD, PLAIN, SOURCE, artifacts, differing

STAGES = ("download", "faces", "mels")


def test_circumstances_do_not_reach_the_bytes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(SOURCE, "identities", 2)
    plain = artifacts(tmp_path / "a", PLAIN, STAGES, cropped=True)
    odd = artifacts(tmp_path / "b" / "deeper", ODD, STAGES, cropped=True)
    assert {"data/trial/faces/part-00000.parquet", "data/trial/mels/part-00000.parquet"} <= plain.keys()
    assert differing(odd, plain) == []
