"""What a sample dataset is rendered from. Imports no drawing library, so that params.yaml is read quickly."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SettingsError(ValueError):
    """What is asked for cannot be generated in this layout."""


class GenerateSource(BaseModel):
    """Source of a dataset that is rendered instead of downloaded (`datasets.<name>.source` with `kind: generate`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["generate"] = "generate"
    seed: int = Field(ge=0, description="everything follows from it; another seed gives other people")
    identities: int = Field(ge=2, description="people in the dataset; each occurs equally often in every category")
    clips_per_category: int = Field(ge=1, description="clips of each identity in each category")
    real_clips: int | None = Field(
        default=None, ge=1, description="real clips of each identity, if not as many; at least clips_per_category"
    )
    clip_s: float = Field(gt=0.2, le=60, description="mean length of a clip in seconds; clips vary by 5 %")
    fps: float = Field(gt=1, le=120, description="frames per second")
    size: int = Field(ge=160, le=1024, multiple_of=2, description="side of the square frame in pixels")
    style: Literal["studio", "street"] = Field(
        description="background, light, camera, sound rate and strength of the fakes"
    )
    crf: int = Field(ge=0, le=51, description="H.264 constant rate factor: 18 visually lossless, 40 heavily compressed")

    @model_validator(mode="after")
    def _enough_real_clips(self) -> GenerateSource:
        if self.real_clips is not None and self.real_clips < self.clips_per_category:
            raise ValueError(f"real_clips {self.real_clips} is less than clips_per_category {self.clips_per_category}")
        return self
