"""Talking heads for the sample data sets: drawn, voiced, forged and written as real mp4 files in an official layout.

No photograph and no recording goes in. `generate` plans every clip from the seed, then renders the clips in worker
processes; each clip depends on its plan alone, so the files are the same bytes for any number of workers.

plan.py      which clips there are          anatomy.py   what makes one identity      paint.py    drawing primitives
head.py      skin, nose, brows, light       hair.py      hair and beards              features.py eyes and mouth
scene.py     background, body, camera       motion.py    pose, blinks, gaze           speech.py   voice and mouth track
forgery.py   the fakes                      clip.py      one clip from its plan       encode.py   mp4
layouts.py   the official trees and lists
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class GenerateSource(BaseModel):
    """Source of a data set that is drawn instead of downloaded (`datasets.<name>.source` with `kind: generate`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["generate"] = "generate"
    seed: int = Field(ge=0, description="everything follows from it; another seed gives other people")
    identities: int = Field(ge=2, description="people in the set; each occurs equally often in every category")
    clips_per_category: int = Field(ge=1, description="clips of each identity in each category")
    real_clips: int | None = Field(
        default=None, ge=1, description="real clips of each identity, if not as many; at least clips_per_category"
    )
    clip_s: float = Field(gt=0.2, le=60, description="mean length of a clip in seconds; clips vary by 5 %")
    fps: float = Field(gt=1, le=120, description="frames a second")
    size: int = Field(ge=160, le=1024, multiple_of=2, description="side of the square frame in pixels")
    look: Literal["studio", "street"] = Field(
        description="background, light, camera, sound rate and strength of the fakes"
    )
    crf: int = Field(ge=0, le=51, description="H.264 constant rate factor: 18 visually lossless, 40 heavily compressed")
    scale: int = Field(default=1, ge=1, description="makes the set this many times larger: multiplies identities")

    @model_validator(mode="after")
    def _enough_real_clips(self) -> GenerateSource:
        if self.real_clips is not None and self.real_clips < self.clips_per_category:
            raise ValueError(f"real_clips {self.real_clips} is less than clips_per_category {self.clips_per_category}")
        return self


def generate(
    root: Path,
    *,
    layout: str,
    source: GenerateSource,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
    keep: bool = False,
) -> int:
    """Write a whole data set in an official layout.

    Args:
        root: folder to fill; made if absent. Existing files of the same names are replaced.
        layout: a layout with a writer in layouts.py, such as `fakeavceleb` or `dfdc`.
        source: how much of what to draw.
        workers: processes, >= 1; never changes a byte of the result.
        progress: called with (clips written, clips in all) after each clip.
        keep: leave films alone that are there already (an interrupted run of the same settings wrote them, each whole).
    Returns:
        Number of clips written.
    Raises:
        UserError: no writer for this layout.
    """
    from synthetic.write import write_dataset

    return write_dataset(root, layout=layout, source=source, workers=workers, progress=progress, keep=keep)
