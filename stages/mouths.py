"""python -m stages.mouths [--dataset NAME]: crops of the main face's mouth at even times over each clip."""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.errors import run_cli
from dfdetect.faces.mouth_crops import GOOD, crop_mouths, summarise, weights_of
from dfdetect.io.schemas import MOUTHS
from dfdetect.runtime.video_stage import VideoStage, run_stage

STAGE = VideoStage(
    "mouths",
    MOUTHS,
    code=(
        "dfdetect/faces/landmarks.py",
        "dfdetect/faces/mouth_crops.py",
        "dfdetect/faces/mouth_track.py",
        "dfdetect/media/containers.py",
        "dfdetect/media/decoders.py",
        "dfdetect/media/frames.py",
        "dfdetect/media/image.py",
        "dfdetect/media/tracks.py",
        "dfdetect/media/video.py",
    ),
    work=crop_mouths,
    reads_faces=True,
    good=GOOD,
    weights=weights_of,
    summarise=summarise,
)


def main() -> None:
    """Read the params, bring one dataset's mouth crops up to date or those of all of run.datasets."""
    params, names = chosen_datasets("stages.mouths", __doc__)
    for name in names:
        metrics = run_stage(STAGE, name, params.mouths, params.runtime)
        print(f"mouths {name}: {metrics['crops']} crops, {metrics['times_without_crop']} times without a face")


if __name__ == "__main__":
    run_cli(main)
