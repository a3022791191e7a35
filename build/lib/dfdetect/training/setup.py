"""What is made ready before training: torch's switches, the detector, the augmentation, the loaders' settings."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

from dfdetect.config.params import Params
from dfdetect.config.recipe import Recipe, check_overrides
from dfdetect.data.av_augment import SequenceAugmentation, SoundChanges
from dfdetect.data.batches import LoaderSettings
from dfdetect.data.device import DeviceAugmentation
from dfdetect.data.transforms import Augmentation
from dfdetect.detectors import registry
from dfdetect.detectors.base import Detector
from dfdetect.errors import UserError
from dfdetect.inference import saved_model
from dfdetect.runtime.threads import choose_device, cpu_count

# Those whose version can change a trained detector.
_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "albumentations",
    "opencv-python-headless",
    "numpy",
    "pyarrow",
)
# More loader workers than this feed no GPU faster.
MAX_WORKERS = 16


def is_first_process() -> bool:
    """Of the processes of one training, the others write nothing. Known before a trainer is there."""
    return getattr(rank_zero_only, "rank", 0) == 0


def chosen_recipe(params: Params) -> Recipe:
    """The recipe that params.train names, with its overrides for the detector.

    Raises:
        UserError: there is no such recipe, or one names a detector that does not exist.
    """
    detector = params.train.detector
    check_overrides(params.recipes, {*registry.names(), detector})  # the latter is checked when it is built
    return params.recipe(params.train.recipe).for_detector(detector)


def on_gpu(recipe: Recipe) -> bool:
    """Whether the recipe's accelerator comes out as a CUDA device here.

    Raises:
        UserError: it asks for a GPU and there is none.
    """
    return device_of(recipe) == "cuda"


def device_of(recipe: Recipe) -> str:
    """cuda or cpu, as the recipe's accelerator comes out here.

    Raises:
        UserError: it asks for a GPU and there is none.
    """
    return choose_device(recipe.accelerator, "the recipe's accelerator")


def prepare_torch(recipe: Recipe) -> None:
    """Set what holds for the whole process: matrix precision, and no filling of fresh memory in deterministic mode."""
    torch.set_float32_matmul_precision("high" if recipe.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = recipe.tf32
    # Filling fresh memory in deterministic mode costs time, and nothing here reads such memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def override_lines(params: Params, recipe: Recipe) -> list[str]:
    """What the recipe sets otherwise than `detectors:` does, a line each."""
    name = params.train.detector
    plain = registry.check_settings(name, params.detectors.get(name, {}))
    return [
        f"recipe {params.train.recipe} sets {name}.{key} {value} instead of {getattr(plain, key)}"
        for key, value in recipe.detector_settings(name, {}).items()
        if value != getattr(plain, key)
    ]


def start_weights(start: Path) -> Path:
    """The weights file that train.init_checkpoint means."""
    return start / saved_model.WEIGHTS if start.is_dir() else start


def weight_files(params: Params, detector: Detector) -> list[Path]:
    """The files that a training's first weights come from, which its result depends on."""
    if params.train.init_checkpoint is not None:
        return [start_weights(params.train.init_checkpoint)]
    read = (getattr(module, "weights_file", None) for module in detector.modules())  # set by make_backbone
    return sorted({path for path in read if path is not None})


def check_early_stop(recipe: Recipe, detector: Detector, val_labels: np.ndarray) -> None:
    """Stop before training when early stopping watches a figure that this training will not have.

    Args:
        val_labels: of the validation samples [shape=(N,)].
    Raises:
        UserError: it does.
    """
    if recipe.early_stop is None:
        return
    metric, anomaly = recipe.early_stop.metric, detector.trains_on == "real"
    both = {0, 1} <= set(np.unique(val_labels).tolist())
    if (metric == "val_log_prob" and not anomaly) or (metric in ("val_auc", "val_frame_auc") and not both):
        why = "trains on both classes" if not anomaly else "is validated on one class alone here"
        raise UserError(
            f"early_stop.metric: {metric} does not exist for {detector.name}, which {why}: set it to auto or val_loss."
        )


def build_detector(params: Params, recipe: Recipe) -> Detector:
    """The detector that params.train names, with the recipe's image size and, if asked for, an earlier one's weights.

    Raises:
        UserError: unknown name or settings, or weights that cannot be had or do not fit.
    """
    name, start = params.train.detector, params.train.init_checkpoint
    settings = recipe.detector_settings(name, params.detectors.get(name, {}))
    if start is not None and "pretrained" in settings:
        settings["pretrained"] = False  # all weights come from the earlier detector
    detector = registry.build(name, settings)
    mels = getattr(detector.settings, "n_mels", None)
    if mels not in (None, params.mels.n_mels):
        raise UserError(
            f"params.yaml: detectors.{name}.n_mels is {mels} and mels.n_mels, with which the mels stage runs, is "
            f"{params.mels.n_mels}: set both to one value."
        )
    if start is not None:
        path = start_weights(start)
        saved_model.load_strictly(detector, saved_model.load_weights(path), path)
    if recipe.channels_last and detector.channels_last:
        detector.to(memory_format=torch.channels_last)
    if recipe.gradient_checkpointing:
        detector.set_gradient_checkpointing(True)
    return detector


def augmentation(
    params: Params, recipe: Recipe, detector: Detector
) -> Augmentation | DeviceAugmentation | SequenceAugmentation | None:
    """The recipe's transforms for what the detector reads, for the loader's workers or for the device; None: no step.

    Raises:
        UserError: the list names what does not exist, or is to be done on the GPU for an audio-visual detector.
    """
    where = f"recipes.{params.train.recipe}.transforms"
    size, values = detector.image_size, {"mean": detector.mean, "std": detector.std}
    if "image" in detector.inputs:
        if not recipe.transforms:
            return None
        kind = DeviceAugmentation if recipe.gpu_transforms else Augmentation
        return kind(recipe.transforms, size, where=where, **values)
    if recipe.transforms and recipe.gpu_transforms:
        raise UserError(
            f"{where}: gpu_transforms changes face crops, and {detector.name} reads none; set "
            f"`overrides.{detector.name}.gpu_transforms: false`."
        )
    sound = SoundChanges(recipe.mel_gain_db, recipe.mel_masks, recipe.mel_mask_width)
    if not (recipe.transforms or sound.gain_db or sound.masks):
        return None
    mouths = Augmentation(recipe.transforms, size, where=where, **values) if recipe.transforms else None
    return SequenceAugmentation(mouths, sound)


def loader_settings(recipe: Recipe) -> LoaderSettings:
    """How batches are loaded on this machine. Without a GPU, `auto` workers are none: training needs all cores."""
    gpu = on_gpu(recipe)
    if recipe.num_workers != "auto":
        workers = recipe.num_workers
    elif gpu:
        local = torch.cuda.device_count() if recipe.devices == "auto" else recipe.devices
        workers = min(MAX_WORKERS, max(1, cpu_count() // max(1, local)))
    else:
        workers = 0
    return LoaderSettings(workers, recipe.prefetch_factor, recipe.persistent_workers, recipe.pin_memory and gpu)


def packages() -> dict[str, str]:
    """Versions of Python and of what shapes a training; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def artifact_files(folder: Path, names: list[str]) -> list[Path]:
    """splits.parquet, leaks.parquet and the folders of some stages' tables."""
    return [folder / "splits.parquet", folder / "leaks.parquet", *(folder / name for name in names)]
