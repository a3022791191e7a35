"""Loaders that train, evaluate and predict share, and the step from a worker's bytes to what a detector reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dfdetect.data.crops import RawBatch
from dfdetect.data.sampler import BatchPlan

# Not read by a detector: what a batch says about itself.
ABOUT = ("rows", "skipped")


@dataclass(frozen=True)
class LoaderSettings:
    """How a loader works; changes no result.

    Args:
        workers: processes that decode; 0: this one.
        prefetch: batches that each worker prepares ahead.
        persistent: keep the workers from one epoch to the next.
        pin_memory: hand over page-locked memory, from which a GPU copies faster.
    """

    workers: int = 0
    prefetch: int = 2
    persistent: bool = False
    pin_memory: bool = False


def make_loader(
    dataset: Dataset[RawBatch], plans: Iterable[BatchPlan], settings: LoaderSettings
) -> DataLoader[RawBatch]:
    """A loader of RawBatches.

    Args:
        dataset: a CropDataset or a SequenceDataset.
        plans: a TrainSampler or an EvalSampler.
        settings: processes and memory.
    """
    many = settings.workers > 0
    return DataLoader(
        dataset,
        batch_sampler=plans,  # type: ignore[arg-type]  # the dataset takes plans where torch expects lists of rows
        num_workers=settings.workers,
        collate_fn=_as_is,  # type: ignore[arg-type]  # the dataset makes whole batches
        prefetch_factor=settings.prefetch if many else None,
        persistent_workers=settings.persistent and many,
        pin_memory=settings.pin_memory,
        worker_init_fn=_prepare_worker,
        generator=torch.Generator().manual_seed(0),  # or each epoch would draw from the global random state
    )


def _as_is(batch: RawBatch) -> RawBatch:
    return batch


def _prepare_worker(_: int) -> None:
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def to_inputs(
    raw: RawBatch,
    device: torch.device | str,
    *,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Move a batch to a device and normalise it there, once for all its pictures.

    Args:
        raw: from a loader.
        device: where the detector is.
        mean, std: the detector's, per RGB channel, of values in [0, 1].
        dtype: of pictures and masks.
    Returns:
        A Batch as dfdetect/detectors/base.py says; without rows and skipped.
    """
    batch: dict[str, Tensor] = {}
    for name, tensor in raw.items():
        if name in ABOUT:
            continue
        moved = tensor.to(device, non_blocking=True)
        if name in ("image", "mouths"):
            batch[name] = normalise(moved, mean, std, dtype)
        elif name == "mask":
            batch[name] = moved.to(dtype).div_(255.0)
        else:
            batch[name] = moved
    return batch


def normalise(
    pixels: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float], dtype: torch.dtype
) -> Tensor:
    """8-bit pixels (..., 3, H, W) to floats, per channel (x / 255 - mean) / std; keeps the memory layout.

    Where channels lie last in memory, as the loaders hand them over, rows of W x 3 values are scaled at once, on a CPU
    picture by picture while it is in the cache: four times as fast there, and the same numbers.
    """
    device = pixels.device
    scale = torch.tensor([1.0 / (255.0 * s) for s in std], device=device)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
    last = pixels.movedim(-3, -1)  # (..., H, W, 3)
    if not last.is_contiguous():
        return pixels.float().mul(scale.view(3, 1, 1)).add_(shift.view(3, 1, 1)).to(dtype)
    rows = last.reshape(-1, last.shape[-3], last.shape[-2] * 3)  # (N, H, W 3), a view
    scale, shift = scale.repeat(last.shape[-2]), shift.repeat(last.shape[-2])
    done = torch.empty(rows.shape, device=device)
    for source, target in zip(rows, done, strict=True) if device.type == "cpu" else [(rows, done)]:
        target.copy_(source).mul_(scale).add_(shift)
    return done.view(last.shape).movedim(-1, -3).to(dtype)
