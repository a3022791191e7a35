"""What can go wrong while training, in words that say what to do."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dfdetect.config.recipe import Recipe
from dfdetect.errors import UserError


@dataclass
class _Watched:
    epoch: int  # counted from 0, as Lightning does; messages count from 1
    batch: int
    names: list[str]
    values: Tensor
    videos: list[str]
    ready: torch.cuda.Event | None


class LossWatch:
    """Stops the training at the first loss that is not finite, and names the batch's videos.

    Lightning's EarlyStopping(check_finite=True) watches one logged metric and ends the training without an error.

    On a GPU the values arrive a few steps late, since waiting for each would hold the GPU up; `flush` waits for all.
    """

    def __init__(self) -> None:
        self._pending: deque[_Watched] = deque()

    def add(self, parts: dict[str, Tensor], epoch: int, batch: int, videos: list[str]) -> None:
        """Look at one step's loss parts.

        Raises:
            UserError: a part of this or of an earlier step is NaN or infinite.
        """
        values = torch.stack([part.detach().float().reshape(()) for part in parts.values()])
        ready = None
        if values.is_cuda:
            pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            pinned.copy_(values, non_blocking=True)
            values, ready = pinned, torch.cuda.Event()
            ready.record()
        self._pending.append(_Watched(epoch, batch, list(parts), values, videos, ready))
        while self._pending and (len(self._pending) > 2 or self._pending[0].ready is None):
            self._check(self._pending.popleft())

    def flush(self) -> None:
        """Look at all steps so far; before anything is saved."""
        while self._pending:
            self._check(self._pending.popleft())

    @staticmethod
    def _check(step: _Watched) -> None:
        if step.ready is not None:
            step.ready.synchronize()
        if bool(torch.isfinite(step.values).all()):
            return
        parts = ", ".join(f"{name} {value:g}" for name, value in zip(step.names, step.values.tolist(), strict=True))
        raise UserError(
            f"the loss is not finite in epoch {step.epoch + 1}, batch {step.batch + 1}: {parts}. Its videos: "
            f"{', '.join(dict.fromkeys(step.videos))}. Lower the learning rate (lr), clip gradients "
            "(gradient_clip_val: 1.0), or use precision 32 or bf16-mixed."
        )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or not."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text


@contextmanager
def explained(recipe: Recipe, name: str) -> Iterator[None]:
    """Turn an out-of-memory error into one that says what to lower.

    Args:
        recipe: whose sizes are named.
        name: of the recipe in params.yaml.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        now: dict[str, Any] = {
            "batch_size": recipe.batch_size,
            "eval_batch_size": recipe.eval_batch_size,
            "image_size": recipe.image_size or "the detector's own",
            "precision": recipe.precision,
            "gradient_checkpointing": str(recipe.gradient_checkpointing).lower(),
        }
        listed = ", ".join(f"{key} {value}" for key, value in now.items())
        raise UserError(
            f"out of memory with {listed}. In recipes.{name}: lower batch_size (and raise accumulate_grad_batches by "
            "as much), set gradient_checkpointing: true, or precision: bf16-mixed. Finished epochs are kept; such a "
            f"change starts anew. ({str(error).splitlines()[0][:200]})"
        ) from None
