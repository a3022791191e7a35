"""How far the training is: Lightning's bar on a terminal, and lines for a log, which Lightning has none of."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, TQDMProgressBar

# Seconds between two lines within an epoch.
EVERY_S = 30.0
_SHOWN = (
    "train_loss",
    "val_loss",
    "train_acc",
    "val_acc",
    "val_frame_acc",
    "val_auc",
    "val_frame_auc",
    "val_log_prob",
)


class ProgressLines(Callback):
    """One line an epoch with its figures, speed and time left, and one every EVERY_S seconds within it."""

    def __init__(self) -> None:
        self._began = self._said = self._first = 0.0
        self._epochs_timed = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Start the clock; an epoch that is resumed in its middle has no start of its own."""
        self._first = self._began = self._said = time.monotonic()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Start the epoch's clock."""
        self._began = self._said = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        """Say how far the epoch is, if it has been long."""
        now = time.monotonic()
        if now - self._said < EVERY_S or not trainer.is_global_zero:
            return
        self._said, done, total = now, int(args[2]) + 1, int(trainer.num_training_batches)
        speed = done / (now - self._began)
        print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: batch {done} of {total}, "
            f"{speed * _samples(pl_module):.0f} samples/s, {(total - done) / speed:.0f} s left of the epoch",
            file=sys.stderr,
            flush=True,
        )

    def epoch_line(self, trainer: L.Trainer, row: dict[str, float], samples: int) -> None:
        """The figures of a finished epoch."""
        now = time.monotonic()
        self._epochs_timed += 1
        took, left = now - self._began, (trainer.max_epochs or 0) - trainer.current_epoch - 1
        figures = ", ".join(f"{name} {row[name]:.4f}" for name in _SHOWN if name in row)
        each = (now - self._first) / self._epochs_timed
        print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {figures}; {took:.1f} s, {samples / took:.0f} "
            f"samples/s, at most {each * left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )


def _samples(pl_module: L.LightningModule) -> int:
    return int(getattr(pl_module, "batch_size", 1)) * pl_module.trainer.world_size


def progress_bar() -> list[Callback]:
    """A live bar where there is a terminal to draw it on."""
    return [TQDMProgressBar()] if sys.stderr.isatty() else []
