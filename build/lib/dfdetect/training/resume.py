"""Interrupted trainings go on: checkpoints under .cache/train/, named by all that the result depends on.

The folder lies outside the stage's outs, which DVC removes before a stage runs. Checkpoints are written atomically and
read with weights_only, so a file found there can run no code.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from dfdetect.detectors import registry
from dfdetect.errors import UserError
from dfdetect.io.hashes import file_sha256
from dfdetect.io.tables import atomic_path, read_json, write_json

ROOT = Path(".cache/train")
LAST, BEST = "last.ckpt", "best.ckpt"
# Workspaces of other params that are kept, newest first.
KEPT = 4
# As in dvc.yaml; the trained detector's own file comes on top.
CODE = (
    "dfdetect/config/recipe.py",
    "dfdetect/data",
    "dfdetect/detectors/base.py",
    "dfdetect/detectors/calibration.py",
    "dfdetect/detectors/layers",
    "dfdetect/detectors/losses.py",
    "dfdetect/detectors/pretrained.py",
    "dfdetect/detectors/registry.py",
    "dfdetect/detectors/settings.py",
    "dfdetect/inference/aggregation.py",
    "dfdetect/inference/saved_model.py",
    "dfdetect/inference/scoring.py",
    "dfdetect/io/schemas.py",
    "dfdetect/io/tables.py",
    "dfdetect/runtime/threads.py",
    "dfdetect/training",
)


def hash_files(paths: list[Path], cache: Path | None = None) -> dict[str, str]:
    """sha256 of files by path; remembered by size and time of change.

    Args:
        paths: files, or folders whose files are hashed together in order of name.
        cache: where to remember; None takes the root's.
    """
    cache = ROOT / "hashes.json" if cache is None else cache
    known: dict[str, str] = read_json(cache) if cache.exists() else {}
    fresh: dict[str, str] = {}
    found = {}
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        whole = hashlib.sha256()
        for file in files:
            status = file.stat()
            key = f"{file}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
            if key not in known:
                known[key] = file_sha256(file)
            fresh[key] = known[key]
            whole.update(f"{file.relative_to(path) if file != path else ''} {known[key]}\n".encode())
        found[str(path)] = whole.hexdigest() if path.is_dir() else known[next(iter(reversed(fresh)))]
    write_json(cache, fresh)
    return found


def code_of(detector: str) -> tuple[str, ...]:
    """The code that decides what a training gives: what dvc.yaml lists for train.

    A detector that is registered from elsewhere has no file there.
    """
    own = (f"dfdetect/detectors/{detector}.py",) if detector in registry.names() else ()
    return (*CODE, *own)


def fingerprint(inputs: dict[str, Any]) -> str:
    """A short hex name for everything that a training depends on."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


class Workspace:
    """The folder of one training's checkpoints.

    Args:
        inputs: all that the result depends on, as plain values.
        root: of all workspaces; None: .cache/train.
    """

    def __init__(self, inputs: dict[str, Any], root: Path | None = None) -> None:
        self.root = ROOT if root is None else root
        self.inputs = json.loads(json.dumps(inputs))
        self.folder = self.root / fingerprint(inputs)
        self.last, self.best = self.folder / LAST, self.folder / BEST

    def open(self) -> str | None:
        """Make the folder. Returns what to tell the user about trainings that were interrupted, if there were any."""
        message = None
        if self.last.exists():
            message = f"resuming the interrupted training of {self.folder}"
        elif other := self._newest_other():
            before = read_json(other / "inputs.json")
            message = (
                f"starting anew: the training interrupted in {other} (kept) differs in "
                f"{', '.join(differences(before, self.inputs)) or 'nothing that is known'}"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "inputs.json", self.inputs)
        self._prune()
        return message

    def _others(self) -> list[Path]:
        found = [path.parent for path in self.root.glob(f"*/{LAST}") if path.parent != self.folder]
        return sorted(found, key=lambda path: (path / LAST).stat().st_mtime, reverse=True)

    def _newest_other(self) -> Path | None:
        return next((path for path in self._others() if (path / "inputs.json").exists()), None)

    def _prune(self) -> None:
        for path in self._others()[KEPT:]:
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder: the training is finished and its result written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """The keys at which two nested mappings differ, dotted, with both values where they are short."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(set(before) | set(after))
        return [found for key in keys for found in differences(before.get(key), after.get(key), f"{where}.{key}")]
    if before == after:
        return []
    name, old, new = where.lstrip("."), json.dumps(before), json.dumps(after)
    return [f"{name} ({old} -> {new})" if len(old) + len(new) < 60 else name]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint as tensors and plain values; no code in the file is run.

    Raises:
        UserError: it is damaged, or holds anything else.
    """
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = next(
            (line for line in str(error).splitlines() if "Unsupported" in line), str(error).partition("\n")[0]
        )
        raise UserError(f"{path} cannot be read as a checkpoint ({reason.strip()}): remove it to train anew.") from None


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are whole or absent, also after a power cut, and that run no code when read."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write to a temporary file beside `path`, flush it to disk, rename it."""
        if storage_options is not None:
            raise TypeError("storage_options are not supported")
        with atomic_path(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:  # noqa: ARG002
        """Read tensors and plain values; anything else in the file is refused."""
        if weights_only is False:
            raise ValueError("checkpoints are read with weights_only")
        return read_checkpoint(Path(path))


class Interrupted(BaseException):
    """The training was asked to stop and has saved where it is."""


class Signals:
    """SIGTERM and the first Ctrl-C ask for a stop after the current step; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.received: int | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals within the block (in the main thread)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        os.write(2, b"\nstopping after this step; the training can be resumed\n")


class LastCheckpoint(Checkpoint):
    """Saves where the training is: after each epoch, every so many optimizer steps, and when asked to stop.

    Args:
        path: of the checkpoint.
        every_steps: optimizer steps; None: only after epochs.
        signals: asks for a stop.
    """

    def __init__(self, path: Path, every_steps: int | None, signals: Signals) -> None:
        self.path, self.every_steps, self.signals = path, every_steps, signals
        self._saved_step = -1

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Refuse, in every process, a training that only some of the processes would resume."""
        here = self.path.exists()
        strategy = trainer.strategy
        if not strategy.reduce_boolean_decision(here == strategy.broadcast(here), all=True):
            raise UserError(
                f"{self.path}, where an interrupted training stopped, is not there for every process: "
                "all nodes need the project in a folder that they share."
            )

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Save inside an epoch. The epoch's last batch is left to the epoch's end."""
        step, progress = trainer.global_step, trainer.fit_loop.epoch_loop.batch_progress
        whole = progress.current.ready % trainer.accumulate_grad_batches == 0
        if progress.is_last_batch or not whole or step == self._saved_step:
            return
        due = self.every_steps is not None and step % self.every_steps == 0
        stop = self.signals.received is not None
        if due or stop:
            self._save(trainer, pl_module)
        if stop:
            raise Interrupted

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save after validation, early stopping and the best checkpoint have had their turn."""
        over = trainer.should_stop or trainer.current_epoch + 1 >= (trainer.max_epochs or 0)
        pl_module.finished = over  # type: ignore[assignment]
        self._save(trainer, pl_module)
        if self.signals.received is not None:
            raise Interrupted

    def _save(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        watch = getattr(pl_module, "watch", None)
        if watch is not None:
            watch.flush()  # a loss that is not finite must never be resumed from
        trainer.save_checkpoint(self.path)
        self._saved_step = trainer.global_step
