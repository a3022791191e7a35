"""Batches of face crops: bytes from Parquet to uint8 tensors, decoded and augmented in the loader's workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from dfdetect.data.blend import self_blend
from dfdetect.data.images import decode, decode_mask, resize
from dfdetect.data.index import UNKNOWN, CropIndex
from dfdetect.data.sampler import BatchPlan

RawBatch = dict[str, Tensor]
"""What a worker hands over, by key:
    image (B, 3, H, W), mask (B, 1, H, W): uint8, stored channels last.
    label (B,): int64; -1 unknown.
    rows (B,): int64, rows of the index.
    skipped (K,): int64, rows of the index whose picture cannot be read.
"""

Augment = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray | None]]


def shared_empty(*shape: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    """An uninitialised tensor; in a loader's worker in shared memory, so that it reaches the parent without a copy."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    size = int(np.prod(shape)) * torch.empty((), dtype=dtype).element_size()
    storage = torch.UntypedStorage._new_shared(size)
    strides = torch.empty(shape, device="meta").stride()
    return torch.empty(0, dtype=dtype).set_(storage, 0, shape, strides)


class CropDataset(Dataset[RawBatch]):
    """Whole batches of an index's crops: `dataset.__getitems__(plan)`.

    Args:
        index: the crops.
        image_size: side of the pictures handed over (px).
        augment: seed -> transform of a picture and its mask to image_size; None: resize alone, as evaluation does.
    """

    def __init__(self, index: CropIndex, image_size: int, augment: Callable[[int], Augment] | None = None) -> None:
        self.index, self.image_size, self.augment = index, image_size, augment

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, row: int) -> RawBatch:
        return self.__getitems__(BatchPlan((row,), 0))

    def __getitems__(self, plan: BatchPlan) -> RawBatch:
        """Read, decode and transform one batch.

        Returns:
            A RawBatch of the readable pictures; the others' rows are under `skipped`, as are forgeries that would be
            no different from their real crop.
        """
        count, side = len(plan.rows), self.image_size
        images = shared_empty(count, side, side, 3)
        masks = shared_empty(count, side, side, 1) if self.index.masks is not None else None
        transform = self.augment(plan.seed) if self.augment is not None else self._plain
        read: list[int] = []
        skipped: list[int] = []
        for row in plan.rows:
            pair = self._read(row, plan.seed)
            if pair is None:
                skipped.append(row)
                continue
            image, mask = transform(*pair)
            images[len(read)] = torch.from_numpy(image)
            if masks is not None and mask is not None:
                masks[len(read), :, :, 0] = torch.from_numpy(mask)
            read.append(row)
        batch = {
            "image": images[: len(read)].permute(0, 3, 1, 2),  # (B, 3, H, W), channels last in memory
            "label": torch.from_numpy(self.index.labels[np.array(read, dtype=np.int64)]),
            "rows": torch.tensor(read, dtype=torch.int64),
            "skipped": torch.tensor(skipped, dtype=torch.int64),
        }
        if masks is not None:
            batch["mask"] = masks[: len(read)].permute(0, 3, 1, 2)  # (B, 1, H, W)
        return batch

    def _plain(self, image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        return resize(image, self.image_size), None if mask is None else resize(mask, self.image_size)

    def _read(self, row: int, seed: int) -> tuple[np.ndarray, np.ndarray | None] | None:
        """One picture and its mask; None when either cannot be read, or a forgery changes nothing: it would be a real
        crop labelled fake (its landmarks lie outside). A forgery depends on seed and row alone.
        """
        image = decode(self.index.images.get(row))
        if image is not None and self.index.points is not None and self.index.points_row is not None:
            place = int(self.index.points_row[row])
            if place != UNKNOWN:
                points = self.index.points[place].astype(np.float32)
                real, (image, _) = image, self_blend(image, points, np.random.default_rng([seed, row]))
                if np.array_equal(real, image):
                    return None
        if image is None or self.index.masks is None:
            return None if image is None else (image, None)
        mask = decode_mask(self.index.masks.get(row))
        if mask is None:
            return None
        if mask.shape != image.shape[:2]:
            mask = resize(mask, image.shape[0])
        return image, mask

    def describe(self, rows: Tensor) -> list[dict[str, Any]]:
        """Rows in words: video_id and frame_index."""
        index = self.index
        return [
            {"video_id": index.videos.ids[index.video[row]], "frame_index": int(index.frame_index[row])}
            for row in rows.tolist()
        ]
