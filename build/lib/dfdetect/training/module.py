"""The training loop's content for Lightning: steps, validation, figures of each epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics.classification import BinaryAccuracy

from dfdetect.config.recipe import Recipe
from dfdetect.data.batches import ABOUT, LoaderSettings, make_loader, to_inputs
from dfdetect.data.crops import CropDataset, RawBatch
from dfdetect.data.device import DeviceAugmentation
from dfdetect.detectors.base import Detector
from dfdetect.errors import UserError
from dfdetect.training.data import TrainData
from dfdetect.training.failures import LossWatch
from dfdetect.training.optim import gradient_norm, make_optimizer, make_schedule
from dfdetect.training.pictures import show
from dfdetect.training.progress import ProgressLines
from dfdetect.training.tracking import Tracker
from dfdetect.training.validation import ACCURACY_THRESHOLD, Scored, figures, selection, weighted_means


@dataclass
class Prepared:
    """A batch on the detector's device, its pictures still in 8 bits."""

    pixels: dict[str, Tensor]
    rows: Tensor  # (B,) on the CPU
    skipped: Tensor  # (K,) on the CPU


class Meter:
    """Running sums of named values, kept on their device so that adding waits for nothing."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        """Add one step's values, each a scalar."""
        for name, value in values.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name].to(value.device) + value if name in self.sums else value
        self.count += 1

    def means(self) -> dict[str, float]:
        """The mean of each value since the last reset."""
        return {name: float(value) / self.count for name, value in self.sums.items()}

    def reset(self) -> None:
        """Begin again."""
        self.sums, self.count = {}, 0

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sums": {name: value.cpu() for name, value in self.sums.items()}, "count": self.count}

    def load(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.sums, self.count = dict(state["sums"]), int(state["count"])


class Clock:
    """How fast an epoch's training is, validation apart, and how much memory it takes."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin to count."""
        self.samples, self._began, self._took_s = 0, time.monotonic(), 0.0

    def stop(self) -> None:
        """The epoch's training is over."""
        self._took_s = time.monotonic() - self._began

    def costs(self, device: torch.device, world: int) -> dict[str, float]:
        """Images a second of all processes; on a GPU also the largest memory of this one (MB) since the last call."""
        found = {"images_per_s": self.samples * world / max(self._took_s, 1e-9)}
        if device.type == "cuda":
            found["gpu_memory_mb"] = torch.cuda.max_memory_allocated(device) / 2**20
            torch.cuda.reset_peak_memory_stats(device)
        return found


class Training(L.LightningModule):
    """Trains one detector; keeps one row of figures an epoch in `history`.

    Randomness (dropout, noise) is seeded anew for every batch from the seed, the epoch, the batch and the process, so
    that a resumed training continues with the very numbers that an uninterrupted one draws.

    Args:
        detector: what is trained.
        data: what it is trained and validated on.
        recipe: how; its batch_size is a number.
        batch_size: of one process.
        loader: how batches are loaded.
        seed: of everything random.
        on_device: transforms of training batches on the detector's device.
    """

    def __init__(
        self,
        detector: Detector,
        data: TrainData,
        recipe: Recipe,
        *,
        batch_size: int,
        loader: LoaderSettings,
        seed: int,
        on_device: DeviceAugmentation | None = None,
    ) -> None:
        super().__init__()
        self.on_device = on_device
        self.pictures: Path | None = None  # folder for a picture of each epoch, where the detector has any to show
        self.detector, self.data, self.recipe = detector, data, recipe
        self.batch_size, self.loader_settings, self.seed = batch_size, loader, seed
        self.anomaly = detector.trains_on == "real"
        # Compiled for training alone; in a tuple, or its parameters would be registered twice.
        self._trained: tuple[Callable[..., Any]] = (torch.compile(detector) if recipe.compile else detector,)
        self.watch = LossWatch()
        self.meter, self.norms, self.val_meter = Meter(), Meter(), Meter()
        # Of the epoch's training crops, as augmented and with dropout. Without checks, which would wait for the GPU.
        self.accuracy = BinaryAccuracy(validate_args=False)
        self.history: list[dict[str, float]] = []
        self.costs: list[dict[str, float]] = []  # of each epoch, on this machine
        self._clock = Clock()
        self.skipped: dict[str, set[int]] = {"train": set(), "val": set()}
        self.trackers: list[Tracker] = []
        self.finished = False
        self.lines = ProgressLines()
        self._scored: list[tuple[np.ndarray, np.ndarray]] = []
        self._val_figures: dict[str, float] = {}
        self._rates: dict[str, float] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What a copy holds: averaged weights are kept in one, which needs no data and must not touch open trackers."""
        left_out = {"data", "trackers", "lines", "watch", "_trained"}
        return {name: value for name, value in super().__getstate__().items() if name not in left_out}

    # data

    def train_dataloader(self) -> DataLoader[RawBatch]:
        """Batches of this process; a resumed epoch begins where it was left."""
        self.sampler = self.data.train_sampler(self.batch_size, self.global_rank, self.trainer.world_size)
        fit = self.trainer.fit_loop
        done = fit.epoch_loop.batch_progress.current.ready
        self.sampler.set_epoch(
            fit.epoch_progress.current.processed,  # type: ignore[attr-defined]
            done if done < len(self.sampler) else 0,
        )
        return make_loader(self.data.train, self.sampler, self.loader_settings)

    def val_dataloader(self) -> DataLoader[RawBatch]:
        """This process's part of the validation samples."""
        plans = self.data.val_sampler(self.recipe.eval_batch_size, self.global_rank, self.trainer.world_size)
        return make_loader(self.data.val, plans, self.loader_settings)

    def transfer_batch_to_device(self, batch: RawBatch, device: torch.device, dataloader_idx: int) -> Any:  # noqa: ARG002
        """A batch to the device, as it is."""
        pixels = {name: v.to(device, non_blocking=True) for name, v in batch.items() if name not in ABOUT}
        return Prepared(pixels, batch["rows"], batch["skipped"])

    def _inputs(self, pixels: dict[str, Tensor]) -> dict[str, Tensor]:
        return to_inputs(pixels, self.device, mean=self.detector.mean, std=self.detector.std)

    # training

    def on_train_epoch_start(self) -> None:
        """Choose the epoch's samples."""
        self.sampler.set_epoch(self.current_epoch)
        self.meter.reset()
        self.accuracy.reset()
        self._clock.start()

    def on_train_batch_start(self, batch: Prepared, batch_idx: int) -> None:  # noqa: ARG002
        """Seed what the detector draws in this batch."""
        parts = np.random.SeedSequence([self.seed, self.current_epoch, batch_idx, self.global_rank])
        torch.manual_seed(int(parts.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def training_step(self, batch: Prepared, batch_idx: int) -> Tensor:
        """One batch's loss.

        Raises:
            UserError: no picture of it can be read, or an earlier loss is not finite.
        """
        self.skipped["train"].update(batch.skipped.tolist())
        self._clock.samples += len(batch.rows)
        if len(batch.rows) == 0:
            listed = self.data.train.describe(batch.skipped[:3])
            raise UserError(
                f"none of the {len(batch.skipped)} samples of a batch can be read, such as {listed}: the "
                "shards are damaged; `dvc checkout` restores them, `dvc repro -f` rebuilds them."
            )
        progress = (self.current_epoch + batch_idx / max(1, len(self.sampler))) / self.recipe.epochs
        pixels = batch.pixels
        if self.on_device is not None:
            key = [self.seed, self.current_epoch, batch_idx, self.global_rank]
            pixels = self.on_device(pixels, np.random.default_rng(key))
        inputs = self._inputs(pixels)
        output = self._trained[0](inputs)
        parts = self.detector.loss(output, inputs, progress=progress)
        self.watch.add(parts, self.current_epoch, batch_idx, self._video_ids(batch.rows))
        self.meter.add(parts)
        if not self.anomaly:
            predicted = self.detector.score(output).detach() >= ACCURACY_THRESHOLD
            self.accuracy.update(predicted.long(), inputs["label"])
        self.log("loss", parts["loss"].detach(), prog_bar=True, logger=False, batch_size=len(batch.rows))
        return parts["loss"]

    def _video_ids(self, rows: Tensor) -> list[str]:
        return [sample["video_id"] for sample in self.data.train.describe(rows)]

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Measure the gradient's norm and note the rates of this step, and clip where the recipe says so.

        Steps whose norm is not finite, which 16-bit precision skips, are counted and not averaged.
        """
        norm = gradient_norm(self.detector, self.recipe.gradient_clip_val)
        taken = torch.isfinite(norm)
        self.norms.add({"grad_norm": torch.where(taken, norm, 0.0), "taken": taken})
        groups = self.trainer.optimizers[0].param_groups
        self._rates = {f"lr_{group['name']}": float(group["lr"]) for group in groups}

    def _step_figures(self) -> dict[str, float]:
        """Of the epoch's optimizer steps: the last one's learning rates, the mean norm, how many were skipped."""
        means = self.norms.means()
        taken = means["taken"]
        found = {**self._rates}
        if taken > 0:
            found["grad_norm"] = means["grad_norm"] / taken
        if self.recipe.precision == "16-mixed":
            found["skipped_steps"] = float(round((1 - taken) * self.norms.count))
        return found

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer and schedule, stepped with each optimizer step."""
        optimizer = make_optimizer(self.detector, self.recipe)
        batches = len(self.data.train_sampler(self.batch_size, 0, self.trainer.world_size))
        steps = -(-batches // self.recipe.accumulate_grad_batches)
        schedule = make_schedule(optimizer, self.recipe, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # validation

    def on_validation_epoch_start(self) -> None:
        """Begin to collect."""
        self._clock.stop()
        self._scored = []
        self.val_meter.reset()

    def validation_step(self, batch: Prepared, batch_idx: int) -> None:  # noqa: ARG002
        """Score one batch."""
        self.skipped["val"].update(batch.skipped.tolist())
        if len(batch.rows) == 0:
            return
        inputs = self._inputs(batch.pixels)
        output = self.detector(inputs)
        scores = self.detector.score(output)
        self._scored.append((batch.rows.numpy(), scores.float().cpu().numpy()))
        # An anomaly detector's loss is the mean over the batch's real clips, of which there may be none.
        weight = float((inputs["label"] == 0).sum()) if self.anomaly else float(len(batch.rows))
        parts = self.detector.loss(output, inputs, progress=1.0)
        self.val_meter.add({name: value * weight for name, value in parts.items()} | {"n": torch.tensor(weight)})

    def on_validation_epoch_end(self) -> None:
        """Figures over all processes' scores."""
        scored = Scored.gather(self._gathered(self._scored))
        if len(scored.rows) == 0:
            raise UserError(
                "none of the validation samples can be read: the shards are damaged; `dvc checkout` restores them, "
                "`dvc repro -f` rebuilds them."
            )
        index = self.data.val.index
        found = figures(scored, index.video, index.videos.labels, anomaly=self.anomaly)
        self._val_figures = {**found, **weighted_means(self._gathered([self.val_meter.state()["sums"]]))}
        stop = self.recipe.early_stop
        select = selection(self._val_figures, by_loss=stop is not None and stop.metric == "val_loss")
        for name, value in {**self._val_figures, "val_select": select}.items():
            self.log(name, value, prog_bar=name in ("val_auc", "val_log_prob"), logger=False, batch_size=1)

    def _gathered(self, parts: list[Any]) -> list[Any]:
        """The same list of every process, put together."""
        if self.trainer.world_size == 1:
            return parts
        everyone: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(everyone, parts)
        return [part for one in everyone for part in one]

    def _averaged(self, values: dict[str, float]) -> dict[str, float]:
        """Mean over the processes."""
        if self.trainer.world_size == 1:
            return values
        everyone = self._gathered([values])
        return {name: sum(one[name] for one in everyone) / len(everyone) for name in values}

    # figures

    def on_train_start(self) -> None:
        """Hand the epochs before an interruption to the trackers."""
        self._clock.start()  # an epoch that is resumed in its middle has no start of its own
        self.replay()

    def replay(self) -> None:
        """Hand all epochs so far to the trackers, whose outputs DVC removed."""
        for epoch in range(len(self.history)):
            self._track(epoch)

    def gather_skipped(self) -> None:
        """Put together which samples the processes could not read."""
        for split, rows in self.skipped.items():
            self.skipped[split] = set(self._gathered(sorted(rows)))

    def on_train_end(self) -> None:
        """Before the processes part."""
        self.gather_skipped()

    def _track(self, epoch: int) -> None:
        for tracker in self.trackers:  # the first process alone has any
            tracker.log(epoch + 1, self.history[epoch], self.costs[epoch])

    def on_train_epoch_end(self) -> None:
        """Add the epoch's row to the history."""
        self.watch.flush()
        train = self._averaged({f"train_{name}": value for name, value in self.meter.means().items()})
        if not self.anomaly:
            train["train_acc"] = float(self.accuracy.compute())  # over all processes
        row = {**train, **self._val_figures, **self._step_figures(), **self.detector.epoch_report()}
        self.history.append(row)
        self.costs.append(self._clock.costs(self.device, self.trainer.world_size))
        self.norms.reset()
        self._track(len(self.history) - 1)
        if self.pictures is not None and isinstance(self.data.val, CropDataset):
            show(self.detector, self.data.val, self.device, self.pictures / f"epoch{len(self.history):03d}.jpg")
        if self.trainer.is_global_zero:
            samples = len(self.sampler) * self.batch_size * self.trainer.world_size
            self.lines.epoch_line(self.trainer, row, samples)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of."""
        checkpoint["figures"] = {
            "history": self.history,
            "costs": self.costs,
            "meter": self.meter.state(),
            "norms": self.norms.state(),
            "accuracy": {name: torch.as_tensor(count).cpu() for name, count in self.accuracy.metric_state.items()},
            "skipped": {split: sorted(rows) for split, rows in self.skipped.items()},
            "finished": self.finished,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up again."""
        state = checkpoint["figures"]
        self.history, self.costs = list(state["history"]), list(state["costs"])
        self.meter.load(state["meter"])
        self.norms.load(state["norms"])
        for name, count in state["accuracy"].items():
            setattr(self.accuracy, name, count.to(self.accuracy.device))
        self.skipped = {split: set(rows) for split, rows in state["skipped"].items()}
