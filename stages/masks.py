"""python -m stages.masks [--dataset NAME]: 68 landmarks and an attention mask for each face crop."""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.errors import run_cli
from dfdetect.faces.mask_crops import mask_video, summarise, weights_of
from dfdetect.io.schemas import MASKS
from dfdetect.runtime.video_stage import VideoStage, run_stage

STAGE = VideoStage(
    "masks",
    MASKS,
    code=(
        "dfdetect/faces/attention_mask.py",
        "dfdetect/faces/landmarks.py",
        "dfdetect/faces/mask_crops.py",
        "dfdetect/media/image.py",
    ),
    work=mask_video,
    reads_faces=True,
    weights=weights_of,
    summarise=summarise,
)


def main() -> None:
    """Read the params, bring one dataset's masks up to date or those of all of run.datasets."""
    params, names = chosen_datasets("stages.masks", __doc__)
    for name in names:
        metrics = run_stage(STAGE, name, params.masks, params.runtime)
        crops = ", ".join(f"{status} {count}" for status, count in metrics["crops"].items())
        print(f"masks {name}: {metrics['rows']} crops: {crops}")


if __name__ == "__main__":
    run_cli(main)
