"""A recipe: how a detector is trained, as one flat entry of `recipes:` in params.yaml."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dfdetect.errors import UserError, unknown

# dataset: its own fakes; self_blended: made on the fly from real crops; both: these and the dataset's
Fakes = Literal["dataset", "self_blended", "both"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TransformStep(_Strict):
    """One transform by its albumentations name, as the attention network repository has it (docs/sources.md)."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class EarlyStop(_Strict):
    """When to stop before the last epoch. `auto`: val_auc, or for detectors that train on reals alone val_log_prob.

    The checkpoint is the epoch with the best val_auc; of detectors that train on reals alone that with the best
    val_log_prob, or with the lowest val_loss where this is the metric.
    """

    metric: Literal["auto", "val_auc", "val_frame_auc", "val_log_prob", "val_loss"] = "auto"
    mode: Literal["max", "min"] = "max"
    patience: int = Field(default=8, ge=1)  # epochs without a gain of min_delta
    min_delta: float = Field(default=0.001, ge=0.0)

    @model_validator(mode="after")
    def _direction(self) -> EarlyStop:
        if (self.mode == "min") != (self.metric == "val_loss"):
            raise ValueError("val_loss goes with mode min, all other metrics with mode max")
        return self


Count = Annotated[int, Field(ge=1)]


class Recipe(_Strict):
    """How to train. `overrides` replaces any of the fields for one detector."""

    # What changes no result: neither a resumed training nor its fingerprint minds.
    not_results: ClassVar[frozenset[str]] = frozenset(
        {
            "num_workers",
            "persistent_workers",
            "prefetch_factor",
            "pin_memory",
            "checkpoint_steps",
            "tracker",
            "comet_project",
        }
    )

    epochs: Count = 50
    batch_size: Count | Literal["auto"] = 16  # of one process; auto: the largest that fits the GPU
    eval_batch_size: Count = 32
    accumulate_grad_batches: Count = 1  # batches a step of the optimizer
    image_size: Annotated[int, Field(ge=64)] | None = None  # px; null: the detector's own

    optimizer: Literal["adam", "adamw"] = "adamw"  # fused on a GPU
    lr: float = Field(default=1e-3, gt=0.0)
    backbone_lr: Annotated[float, Field(ge=0.0)] | None = None  # null: lr
    weight_decay: float = Field(default=1e-4, ge=0.0)
    betas: tuple[float, float] = (0.9, 0.999)
    lr_scheduler: Literal["cosine", "step", "constant"] = "cosine"
    warmup_epochs: float = Field(default=0.0, ge=0.0)  # the rate rises linearly from 0
    step_epochs: Count = 10  # lr_scheduler step: the rate is multiplied by step_gamma every so many epochs
    step_gamma: float = Field(default=0.1, gt=0.0, le=1.0)
    gradient_clip_val: Annotated[float, Field(gt=0.0)] | None = None  # largest norm of the gradient
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = (
        None  # decay of averaged weights, which are then the result
    )
    early_stop: EarlyStop | None = EarlyStop()

    precision: Literal["32", "16-mixed", "bf16-mixed"] = "32"
    channels_last: bool = True
    tf32: bool = False
    cudnn_benchmark: bool = False
    compile: bool = False  # torch.compile
    gradient_checkpointing: bool = False
    deterministic: bool = True
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Count | Literal["auto"] = 1
    num_nodes: Count = 1
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto"
    sync_batchnorm: bool = False

    num_workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"  # auto: one a CPU core and process, up to 16
    persistent_workers: bool = True
    prefetch_factor: Count = 2  # batches a worker holds ready
    pin_memory: bool = False

    frames_per_video: Count | None = None  # crops a training video gives an epoch; null: all candidates
    val_frames_per_video: Count | None = None  # null: all
    num_candidates: Count | None = 22  # crops of a training video that are considered, evenly spaced
    dedup_threshold: int = Field(default=0, ge=0, le=64)  # an epoch draws one of crops with fewer differing hash bits
    class_balance: Literal["undersample", "oversample", "none"] = "undersample"  # see dfdetect/data/sampler.py
    max_samples_per_class: Count | None = None  # in an epoch
    drop_last: bool = True
    transforms: list[TransformStep] = Field(default_factory=list)
    gpu_transforms: bool = False  # flips, colour, blur and noise on the GPU, without albumentations

    chunk_s: float = Field(default=0.64, gt=0.0)  # audio-visual: length of a stretch of sound (s)
    mel_gain_db: float = Field(default=0.0, ge=0.0)  # audio-visual: a training clip's level changes by up to this
    mel_masks: int = Field(default=0, ge=0)  # audio-visual: bands of mels hidden in a training clip (SpecAugment)
    mel_mask_width: Count = 12  # the widest of them (mels)
    trim_leading_silence: bool = False  # audio-visual: no stretch begins before the sound does

    checkpoint_steps: Count | None = None  # also save for resuming every so many optimizer steps; null: every epoch
    tracker: Literal["dvclive", "none"] = "dvclive"  # none: for machines without DVC; only the JSON is written
    comet_project: str | None = None  # also log to Comet; offline into .cache/comet/ unless COMET_API_KEY is set

    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    # Settings of detectors (keys of detectors.<name>) that this recipe replaces, such as a smaller encoder.
    detector_overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("precision", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        """`-S recipes.full.precision=32` gives a number."""
        return str(value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _overrides(self) -> Recipe:
        for name, override in self.overrides.items():
            unknown = sorted(set(override) - (set(type(self).model_fields) - {"overrides", "detector_overrides"}))
            if unknown:
                raise ValueError(f"overrides.{name}: unknown key {', '.join(unknown)}")
            self.for_detector(name)
        return self

    def for_detector(self, name: str) -> Recipe:
        """The recipe with the overrides for one detector applied and `overrides` empty."""
        if not self.overrides:
            return self
        values = self.model_dump(exclude={"overrides"})
        return Recipe.model_validate({**values, **self.overrides.get(name, {})})

    def detector_settings(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a detector under this recipe: its entry of `detectors:` with what the recipe replaces.

        Args:
            name: of the detector.
            entry: `detectors.<name>`.
        """
        size = {} if self.image_size is None else {"image_size": self.image_size}
        return {**entry, **self.detector_overrides.get(name, {}), **size}

    def fingerprint(self) -> dict[str, Any]:
        """All that changes a result, as plain values."""
        return self.model_dump(mode="json", exclude=set(self.not_results) | {"overrides"})


def check_overrides(recipes: Mapping[str, Recipe], detectors: Collection[str]) -> None:
    """Whether the recipes override detectors that exist.

    Raises:
        UserError: one names another.
    """
    for name, recipe in recipes.items():
        for section, overrides in (("overrides", recipe.overrides), ("detector_overrides", recipe.detector_overrides)):
            for detector in overrides:
                if detector not in detectors:
                    raise UserError(
                        f"params.yaml: recipes.{name}.{section}.{detector}: {unknown('detector', detector, detectors)}"
                    )
