"""`batch_size: auto`: the largest batch that fits the GPU, found by trying."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch

from dfdetect.config.recipe import Recipe
from dfdetect.detectors.base import Batch, Detector
from dfdetect.errors import UserError
from dfdetect.io.tables import read_json, write_json
from dfdetect.training.failures import out_of_memory
from dfdetect.training.optim import make_optimizer
from dfdetect.training.setup import device_of

FILE = "batch_size.json"
LARGEST = 4096
# Of what was found to fit, what is used: the loop itself holds batches that are on their way, and memory fragments.
SHARE = 0.9
_AUTOCAST = {"32": None, "16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


def largest(fits: Callable[[int], bool], limit: int) -> int:
    """The largest size that fits, to within an eighth: doubled until one does not fit or the limit is reached, then
    halved towards it.

    Args:
        fits: whether a size does; whoever is larger than one that does not fit, fits neither.
        limit: the largest size of interest, >= 1.
    Returns:
        A size in [1, limit]; 0: not even 1 fits.
    """
    good, bad = 0, limit + 1
    size = 1
    while good < limit and fits(size):
        good, size = size, min(2 * size, limit)
    if good < limit:
        bad = size
    while bad - good > max(1, good // 8):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def chosen(detector: Detector, recipe: Recipe, *, samples: Callable[[], int], remembered: Path) -> int:
    """The recipe's batch size of one process, measured where it is `auto`.

    A resumed training takes the size that it began with.

    Args:
        detector: what will be trained; stays as it is.
        recipe: how.
        samples: counts those of an epoch; no batch is larger.
        remembered: folder of the training's checkpoints.
    Raises:
        UserError: `auto` without a GPU, on several devices, or not even one sample fits.
    """
    if recipe.batch_size != "auto":
        return recipe.batch_size
    file = remembered / FILE
    if file.exists():
        return int(read_json(file)["batch_size"])
    device = device_of(recipe)
    if device == "cpu":
        raise UserError(
            "batch_size: auto measures a GPU's memory, and the training runs on a CPU, where a larger batch is no "
            "faster: give a number."
        )
    if recipe.devices != 1 or recipe.num_nodes != 1:
        raise UserError(
            "batch_size: auto measures one GPU: with several, give a number (a training with devices: 1 writes what "
            "fits to metrics/details/train.json)."
        )
    limit = samples()
    found = largest(lambda size: fits(detector, recipe, size, device), max(1, min(LARGEST, limit)))
    if found == 0:
        raise UserError("batch_size: auto: not even one sample fits the GPU's memory: is something else using it?")
    size = found if found == limit else max(1, int(found * SHARE))
    write_json(file, {"batch_size": size})
    return size


def fits(detector: Detector, recipe: Recipe, size: int, device: str) -> bool:
    """Whether two optimizer steps of a copy of the detector with a batch of `size` fit the device's memory."""
    try:
        with torch.random.fork_rng():
            _steps(detector, recipe, size, device)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        if device == "cuda":
            torch.cuda.empty_cache()
    return True


def _steps(detector: Detector, recipe: Recipe, size: int, device: str) -> None:
    """Forward, backward and update, as training does; the second step has the optimizer's state in memory too."""
    trained = copy.deepcopy(detector).to(device).train()
    optimizer = make_optimizer(trained, recipe)
    kind = _AUTOCAST[recipe.precision]
    batch: Batch = {name: value.to(device) for name, value in detector.example_batch(size).items()}
    if recipe.channels_last and detector.channels_last:
        batch = {n: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v for n, v in batch.items()}
    for _ in range(2):
        with torch.autocast(device, dtype=kind, enabled=kind is not None):
            loss = trained.loss(trained(batch), batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
