"""What the detectors of a run read of a dataset, as hashes in one small file.

train and predict depend on this file instead of on every table, so that a table that no detector reads makes neither
stale. DVC cannot choose dependencies by the detector's name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from dfdetect.config.params import Params, dataset_folder
from dfdetect.detectors import registry
from dfdetect.inference.saved_model import INFO, read_info
from dfdetect.io.hashes import file_sha256
from dfdetect.io.tables import write_json

NAME = "inputs.json"
TRAINED = Path("models/detector")


def tables_read(params: Params) -> list[str]:
    """The stages whose tables the detector to train reads, and those of the released model that scores, if any."""
    reads = [*registry.settings_class(params.train.detector).reads]
    if params.train.fakes != "dataset" and "faces" in reads:
        reads.append("masks")  # self-blended fakes need landmarks
    model = params.predict.model
    if model != TRAINED and (model / INFO).exists():
        reads += registry.settings_class(read_info(model).detector).reads
    return sorted(set(reads))


def write_inputs(dataset: str, params: Params) -> dict[str, str]:
    """Hash what is read of one dataset; writes data/<dataset>/inputs.json.

    Returns:
        Name of each table -> SHA-256 of its files' names and contents.
    """
    folder = dataset_folder(dataset)
    hashes = {name: _sha256(folder / name) for name in ("splits.parquet", "leaks.parquet", *tables_read(params))}
    write_json(folder / NAME, hashes)
    return hashes


def _sha256(path: Path) -> str:
    if path.is_file():
        return file_sha256(path)
    digest = hashlib.sha256()
    for part in sorted(path.glob("part-*.parquet")):
        digest.update(f"{part.name} {file_sha256(part)}\n".encode())
    return digest.hexdigest()
