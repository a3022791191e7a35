"""python -m stages.mouths [--dataset NAME]: crops of the subject's mouth at even times over each clip."""

from __future__ import annotations

import argparse

from dfdetect.config.params import load
from dfdetect.errors import run_cli
from dfdetect.faces.mouth_crops import GOOD, crop_mouths, summarise, weights_of
from dfdetect.io.schemas import MOUTHS
from dfdetect.runtime.video_stage import Room, run_room

ROOM = Room(
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
    parser = argparse.ArgumentParser(prog="python -m stages.mouths", description=__doc__)
    parser.add_argument("--dataset", help="a name under `datasets` in params.yaml; all of run.datasets by default")
    wanted = parser.parse_args().dataset
    params = load()
    for name in [wanted] if wanted else params.run.datasets:
        metrics = run_room(ROOM, name, params.mouths, params.engine)
        print(f"mouths {name}: {metrics['crops']} crops, {metrics['times_without_crop']} times without a face")


if __name__ == "__main__":
    run_cli(main)
