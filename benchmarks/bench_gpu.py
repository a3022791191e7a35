"""Measure training and inference on a GPU and write docs/benchmarks-gpu.md: `make bench-gpu`.

`attention_network` at 299 px, recipe `large_gpu`, from crops in Parquet, against the same model in plain float32 eager
mode on data that lies on the GPU already, in the same run. A training step is the recipe's loading, transforms,
precision, compiled network, clipping and optimizer; averaged weights, Lightning's loop, the schedule and figures are
left out, and the page says so. `--smoke` runs it all at a tiny size on a CPU and writes nothing.
"""

from __future__ import annotations

import copy
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from benchmarks.bench_loading import write_crops
from dfdetect.arguments import parser
from dfdetect.config.params import PATH
from dfdetect.config.recipe import Recipe
from dfdetect.data.batches import make_loader, to_inputs
from dfdetect.data.crops import CropDataset, RawBatch
from dfdetect.data.device import DeviceAugmentation
from dfdetect.data.index import load_crops, load_videos
from dfdetect.data.sampler import SamplerSettings, TrainSampler
from dfdetect.detectors import registry
from dfdetect.detectors.base import Detector
from dfdetect.errors import UserError, run_cli
from dfdetect.runtime.threads import cpu_count
from dfdetect.training.failures import out_of_memory
from dfdetect.training.optim import gradient_norm, make_optimizer
from dfdetect.training.setup import loader_settings, packages, prepare_torch

DOCUMENT = Path("docs/benchmarks-gpu.md")
DETECTOR, RECIPE = "attention_network", "large_gpu"
SOURCE_BATCH, SOURCE_RATE = 12, 610  # source 000: images a second of inference on an H100
AUTOCAST = {"32": None, "16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


@dataclass(frozen=True)
class Scale:
    """How large the measurement is."""

    device: str
    seconds: float  # of each measurement, after its warm-up
    warm_up: int  # steps that do not count
    videos: int
    crops: int
    inference: tuple[int, ...]  # batch sizes


FULL = Scale("cuda", 15.0, 8, videos=128, crops=22, inference=(1, 12, 64, 256, 1024))
SMOKE = Scale("cpu", 0.0, 1, videos=4, crops=4, inference=(3,))


def load_setup(*, smoke: bool) -> tuple[Recipe, dict[str, Any]]:
    """The recipe and the detector's settings of params.yaml; tiny ones for a smoke run."""
    raw = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    recipe = Recipe.model_validate(raw["recipes"][RECIPE]).for_detector(DETECTOR)
    settings = raw["detectors"][DETECTOR]
    if smoke:
        small = registry.settings_class(DETECTOR).small  # type: ignore[attr-defined]
        recipe = recipe.model_copy(update={"batch_size": 4, "num_workers": 1, "accelerator": "cpu"})
        settings = {**settings, "fusion_width": 16, "graph_width": 16, "fusion_blocks": 1, **small}
    return recipe, settings


def rate(step: Callable[[], int], scale: Scale) -> float:
    """Samples a second of a step that returns how many it did."""
    for _ in range(scale.warm_up):
        step()
    synchronise(scale)
    count, start = 0, time.perf_counter()
    while True:
        count += step()
        if time.perf_counter() - start >= scale.seconds:
            break
    synchronise(scale)
    return count / (time.perf_counter() - start)


def synchronise(scale: Scale) -> None:
    """Wait until the GPU has done all that it was given."""
    if scale.device == "cuda":
        torch.cuda.synchronize()


def batches(folder: Path, detector: Detector, recipe: Recipe) -> Iterator[RawBatch]:
    """Training batches of a folder without end."""
    index = load_crops(folder, load_videos(folder, detector.target, {"train"}), masks=False)
    settings = SamplerSettings(batch_size=int(recipe.batch_size), seed=0)
    sampler = TrainSampler(index.video, index.labels, index.phash, settings)
    loader = make_loader(CropDataset(index, detector.image_size), sampler, loader_settings(recipe))
    epoch = 0
    while True:
        sampler.set_epoch(epoch)
        for raw in loader:
            if len(raw["rows"]) < settings.batch_size:
                raise UserError(f"{len(index)} drawn crops give no batch of {settings.batch_size}: draw more videos.")
            yield raw
        epoch += 1


class Trained:
    """A detector in training as the recipe says but for `ema_decay` and the schedule, one step at a time."""

    def __init__(self, detector: Detector, recipe: Recipe, scale: Scale) -> None:
        prepare_torch(recipe)
        torch.backends.cudnn.benchmark = recipe.cudnn_benchmark
        self.device, self.recipe = scale.device, recipe
        layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.detector = copy.deepcopy(detector).to(scale.device, memory_format=layout).train()
        self.run = compiled(self.detector, scale) if recipe.compile else self.detector
        self.optimizer = make_optimizer(self.detector, recipe)
        where = f"recipes.{RECIPE}.transforms"
        look = {"mean": detector.mean, "std": detector.std}
        self.augment = DeviceAugmentation(recipe.transforms, detector.image_size, where=where, **look)
        self.random = np.random.default_rng(0)

    def step(self, raw: RawBatch) -> int:
        """One optimizer step on a batch as the loader gives it."""
        pixels = {name: raw[name].to(self.device, non_blocking=True) for name in ("image", "label")}
        inputs = to_inputs(
            self.augment(pixels, self.random), self.device, mean=self.detector.mean, std=self.detector.std
        )
        kind = AUTOCAST[self.recipe.precision]
        with torch.autocast(self.device, dtype=kind, enabled=kind is not None):
            loss = self.detector.loss(self.run(inputs), inputs)["loss"]
        loss.backward()
        gradient_norm(self.detector, self.recipe.gradient_clip_val)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return len(inputs["label"])


def from_stream(trained: Trained, stream: Iterator[RawBatch]) -> int:
    """One optimizer step on the next batch."""
    return trained.step(next(stream))


def compiled(detector: Detector, scale: Scale) -> Callable[..., Any]:
    """torch.compile; a smoke run only traces."""
    return torch.compile(detector) if scale.device == "cuda" else torch.compile(detector, backend="eager")


def plain_training(detector: Detector, scale: Scale, batch: int) -> float:
    """Images a second of a plain training loop: float32, eager, data on the GPU already."""
    plain_float32()
    model = copy.deepcopy(detector).to(scale.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    inputs = {name: value.to(scale.device) for name, value in detector.example_batch(batch).items()}

    def step() -> int:
        loss = model.loss(model(inputs), inputs)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return batch

    return rate(step, scale)


def plain_float32() -> None:
    """PyTorch as it is, without TF32."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False


def inference(detector: Detector, recipe: Recipe, scale: Scale, batch: int, *, plain: bool) -> float:
    """Scores a second of pictures that lie on the device as 8-bit pixels."""
    model = copy.deepcopy(detector).to(scale.device).eval()
    run: Callable[..., Any] = model
    kind = None
    if plain:
        plain_float32()
    else:
        prepare_torch(recipe)
        torch.backends.cudnn.benchmark = recipe.cudnn_benchmark
        model = model.to(memory_format=torch.channels_last)
        kind, run = AUTOCAST[recipe.precision], compiled(model, scale)
    side = detector.image_size
    pixels = torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8, device=scale.device).permute(0, 3, 1, 2)

    def step() -> int:
        with torch.inference_mode(), torch.autocast(scale.device, dtype=kind, enabled=kind is not None):
            inputs = to_inputs({"image": pixels}, scale.device, mean=detector.mean, std=detector.std)
            scores: Tensor = model.score(run(inputs))
        return len(scores)

    return rate(step, scale)


def halving(measure: Callable[[int], float], batch: int) -> tuple[float, int]:
    """A measurement at the largest of batch, batch / 2, ... that fits the memory."""
    while True:
        try:
            return measure(batch), batch
        except RuntimeError as error:
            if not out_of_memory(error) or batch == 1:
                raise
            torch.cuda.empty_cache()
            batch //= 2


def measure(recipe: Recipe, settings: dict[str, Any], scale: Scale) -> list[str]:
    """All figures, as lines of the page."""
    torch.manual_seed(0)
    detector = registry.build(DETECTOR, settings)
    size = int(recipe.batch_size)
    with tempfile.TemporaryDirectory() as name:
        write_crops(Path(name), side=round(detector.image_size * 317 / 299), videos=scale.videos, crops=scale.crops)
        trained = Trained(detector, recipe, scale)
        stream = batches(Path(name), detector, recipe)
        held = {key: value.to(scale.device) for key, value in next(stream).items()}
        alone = rate(partial(trained.step, held), scale)
        loaded = rate(partial(from_stream, trained, stream), scale)
    del trained, stream, held
    plain, plain_size = halving(lambda batch: plain_training(detector, scale, batch), size)
    waiting = max(0.0, 1.0 - loaded / alone)
    lines = [
        "Training steps, without averaged weights (`ema_decay`), Lightning's loop, schedule and figures:",
        "",
        "| training | images a second | |",
        "|---|---|---|",
        f"| recipe `{RECIPE}`, batch {size}, from Parquet | {loaded:.0f} | {loaded / plain:.1f} x plain (aim 4 x) |",
        f"| the same on one batch held on the device | {alone:.0f} | waits for data {waiting:.1%} (aim under 5 %) |",
        f"| plain float32, eager, batch {plain_size}, data on the device | {plain:.0f} | |",
        "",
        f"| inference, batch | `{RECIPE}`'s precision, compiled | plain float32, eager | ratio |",
        "|---|---|---|---|",
    ]
    for batch in scale.inference:
        ours, theirs = (inference(detector, recipe, scale, batch, plain=plain) for plain in (False, True))
        lines.append(f"| {batch} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.1f} |")
    return [*lines, "", f"Source 000 gives {SOURCE_RATE} images a second at batch {SOURCE_BATCH} on an H100."]


def document(lines: list[str], device: str) -> str:
    """The page."""
    versions = ", ".join(f"{name} {version}" for name, version in packages().items())
    head = [
        "# Benchmarks on a GPU",
        "",
        f"Written by `make bench-gpu`: `{DETECTOR}` at its full size on drawn crops of 317 px.",
        "",
        f"{device}, {cpu_count()} processors ({platform.machine()}); {versions}.",
        "",
    ]
    return "\n".join([*head, *lines, ""])


def main() -> None:
    """Measure and write the page."""
    arguments = parser("benchmarks.bench_gpu", __doc__)
    arguments.add_argument(
        "--smoke", action="store_true", help="run all of it at a tiny size on the CPU; write nothing"
    )
    options = arguments.parse_args()
    if not options.smoke and not torch.cuda.is_available():
        raise UserError("no usable GPU is found here, and these figures mean nothing without: --smoke tries the code.")
    recipe, settings = load_setup(smoke=options.smoke)
    lines = measure(recipe, settings, SMOKE if options.smoke else FULL)
    text = document(lines, "a CPU, tiny" if options.smoke else torch.cuda.get_device_name())
    print(text)
    if not options.smoke:
        DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_cli(main)
