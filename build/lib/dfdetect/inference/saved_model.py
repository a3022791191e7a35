"""A saved model: weights as safetensors, all that is needed to use them as JSON, and a model card.

models/detector/ holds model.safetensors, detector.json, README.md and validation.parquet (the scores that the threshold
was chosen on); nothing in it is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dfdetect.config.params import describe
from dfdetect.errors import UserError
from dfdetect.io.schemas import PREDICTIONS
from dfdetect.io.tables import replace_folder, temporary_folder, write_table, writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from torch import Tensor

    from dfdetect.detectors.base import Detector

FOLDER = Path("models/detector")
WEIGHTS, INFO, CARD, VALIDATION = "model.safetensors", "detector.json", "README.md", "validation.parquet"
VERSION = 2
SYNTHETIC_WARNING = "Trained on rendered heads: not for real videos."
_PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
# How the scores of a video's frames become the video's; top_k: the mean of the k highest.
Aggregation = Literal["mean", "median", "max", "top_k"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Threshold(_Part):
    """From which score on a video counts as fake, and what that gave on the videos it was chosen on."""

    value: float
    split: Literal["val"] = "val"
    level: Literal["video"] = "video"
    criterion: str = "balanced_accuracy"
    achieved: float


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """The score from which on a video counts as fake: the one of the best balanced accuracy.

    All thresholds between two neighbouring scores are equally good: of the best such gaps the widest is taken, and its
    middle, as the furthest from any video seen. Where the classes are parted, that lies half way between the highest
    real and the lowest fake score.

    Args:
        labels: 0 or 1 [shape=(V,)], both present.
        scores: in [0, 1], higher = more likely fake [shape=(V,)].
    Returns:
        The threshold, and the balanced accuracy it gives on these videos.
    """
    values = np.unique(scores)
    low, high = np.concatenate([[0.0], values]), np.concatenate([values, [1.0]])  # gap i: low < threshold <= high
    middle = low + (high - low) / 2
    middle = np.where(middle > low, middle, high)  # between neighbouring floats there is no middle
    if middle[-1] <= values[-1]:
        middle[-1] = np.nextafter(values[-1], np.inf)  # the highest score is 1: above it nothing is fake
    middle[0] = min(middle[0], values[0])
    hit = 1.0 - np.searchsorted(np.sort(scores[labels == 1]), middle) / (labels == 1).sum()
    passed = np.searchsorted(np.sort(scores[labels == 0]), middle) / (labels == 0).sum()
    balanced = (hit + passed) / 2
    best = np.flatnonzero(balanced >= balanced.max() - 1e-12)
    chosen = best[np.argmax((high - low)[best])]
    return float(middle[chosen]), float(balanced[chosen])


class Evaluation(_Part):
    """How a picture or a clip becomes the detector's input; no randomness."""

    frames_per_video: int | None = None  # evenly spaced crops that are scored; null: all stored
    aggregation: Aggregation = "mean"  # of the frames' scores to a video's
    sequence: dict[str, Any] | None = None  # dfdetect.data.av.SequenceSettings, for audio-visual detectors


class VideoCounts(_Part):
    """Videos of each class that were used."""

    real: int
    fake: int


class TrainingData(_Part):
    """One dataset that a detector was trained on.

    Fields:
        dataset: its name in params.yaml, or what a released detector's authors call it.
        layout, source: its layout and the kind of its source there; None where they are not known.
        synthetic: its videos are rendered by this project, not recorded.
        train, val: videos that were used; None where their number is not known.
    """

    dataset: str
    synthetic: bool
    layout: str | None = None
    source: str | None = None
    train: VideoCounts | None = None
    val: VideoCounts | None = None


class SavedModelInfo(_Part):
    """detector.json: what a user of the weights must know.

    Fields:
        version: of this file's layout.
        detector, settings: registered name, and its entry of `detectors:` as it was built.
        image_size: side of its input (px). inputs, target: as in dfdetect/detectors/base.py.
        parameters: how many it has. input_shapes, output_shapes: of one sample, by key, without the batch axis. Null or
            empty in models that were saved before these were recorded.
        mean, std: normalisation per RGB channel of values in [0, 1].
        classes: what scores near 0 and near 1 mean.
        calibration: maps an anomaly detector's score to [0, 1]; null for classifiers.
        preprocess: the params of faces, masks, mouths and mels that made the training data.
        trained_on: datasets in the order of the trainings; the threshold was chosen on validation videos of the last.
        model_sha256: of the weights' file; `save` fills it in.
        packages: versions that trained it. data: sha256 of each artifact read. train: a summary of the training.
    """

    version: int = VERSION
    detector: str
    settings: dict[str, Any]
    image_size: int
    inputs: list[str]
    parameters: int | None = None
    input_shapes: dict[str, list[int]] = Field(default_factory=dict)
    output_shapes: dict[str, list[int]] = Field(default_factory=dict)
    target: Literal["label", "visual_label"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, str] = ("real", "fake")
    threshold: Threshold
    calibration: dict[str, Any] | None = None
    evaluation: Evaluation = Evaluation()
    preprocess: dict[str, dict[str, Any]]
    trained_on: list[TrainingData] = Field(min_length=1)
    model_sha256: str = ""
    packages: dict[str, str]
    data: dict[str, str] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """Whether the last training's videos are rendered, so that nothing is known of the detector on real ones."""
        return self.trained_on[-1].synthetic

    @property
    def trained_on_text(self) -> str:
        """The datasets in words, such as `celebdf, then sample (synthetic)`."""
        return ", then ".join(data.dataset + " (synthetic)" * data.synthetic for data in self.trained_on)


def save(
    folder: Path, weights: Mapping[str, Tensor], info: SavedModelInfo, card: str, *, validation: pa.Table | None = None
) -> None:
    """Write a saved model; the folder is replaced whole, or left as it was.

    The earlier one is moved aside, to a hidden folder beside, until the new one is in its place: a crash in between
    leaves it there.

    Args:
        folder: models/detector.
        weights: the detector's state dict.
        info: goes to detector.json.
        card: goes to README.md.
        validation: predictions of the validation videos (schema.PREDICTIONS), which go to validation.parquet.
    Raises:
        UserError: the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in weights.items()}
    temporary = temporary_folder(folder)
    try:
        with writing(folder):
            try:
                save_file(tensors, temporary / WEIGHTS)
            except SafetensorError as error:  # its word for what the system says
                raise OSError(str(error)) from None
            info = info.model_copy(update={"model_sha256": _sha256(temporary / WEIGHTS)})
            text = json.dumps(info.model_dump(mode="json"), indent=2, allow_nan=False, ensure_ascii=False)
            (temporary / INFO).write_text(text + "\n", encoding="utf-8")
            (temporary / CARD).write_text(card, encoding="utf-8")
        if validation is not None:
            write_table(temporary / VALIDATION, validation, PREDICTIONS)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_info(folder: Path) -> SavedModelInfo:
    """Read detector.json only; imports no torch.

    Raises:
        UserError: there is no saved model, or it is damaged or of another release.
    """
    path = folder / INFO
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: train a detector (`dvc repro`), or fetch one (`dvc pull`).") from None
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it with `dvc checkout`.") from None
    version = raw.get("version") if isinstance(raw, dict) else None
    if version != VERSION:
        raise UserError(f"{path} is of version {version!r}, this release reads version {VERSION}: train it again.")
    try:
        return SavedModelInfo.model_validate(raw)
    except ValidationError as error:
        raise UserError(describe(error, str(path))) from None


def load(folder: Path) -> tuple[SavedModelInfo, Detector]:
    """Build a saved model's detector with its weights, in evaluation mode on the CPU.

    Raises:
        UserError: there is no saved model, it is damaged, or weights and settings do not belong together.
    """
    from dfdetect.detectors import registry

    info = read_info(folder)
    weights = load_weights(folder / WEIGHTS)
    if _sha256(folder / WEIGHTS) != info.model_sha256:
        raise UserError(
            f"{folder / WEIGHTS} is damaged, or not the file that {INFO} beside it describes: restore both with "
            "`dvc checkout`."
        )
    settings = {**info.settings, "pretrained": False} if "pretrained" in info.settings else info.settings
    detector = registry.build(info.detector, settings)
    load_strictly(detector, weights, folder / WEIGHTS)
    return info, detector.eval()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        UserError: the file is missing or damaged, or a pickle, which could run code.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix in _PICKLES:
        raise UserError(f"{path} is a pickle, which can run code when opened: give a .safetensors file.")
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: train a detector (`dvc repro`), or fetch one (`dvc pull`).") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as safetensors ({error}): restore it with `dvc checkout`.") from None


def load_strictly(detector: Detector, weights: Mapping[str, Tensor], path: Path) -> None:
    """Put weights into a detector; every name and shape must agree.

    Raises:
        UserError: they do not; the message lists the first differences.
    """
    own = detector.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in weights]
    wrong += [f"{name} is unknown" for name in weights if name not in own]
    wrong += [
        f"{name} is {tuple(weights[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if wrong:
        raise UserError(f"{path} does not fit {type(detector).__name__}: {'; '.join(wrong[:5])} ({len(wrong)} in all).")
    detector.load_state_dict(dict(weights))
