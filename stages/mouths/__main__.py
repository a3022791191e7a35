"""python -m stages.mouths [--dataset NAME]: crops of the subject's mouth at even times over each clip."""

from __future__ import annotations

import argparse

from stages.errors import run_cli
from stages.mouths.crops import GOOD, crop_mouths, summarise, weights_of
from stages.params import load
from stages.per_video import Room, run_room
from stages.schema import MOUTHS

ROOM = Room(
    "mouths",
    MOUTHS,
    code=(
        "mouths",
        "media/containers.py",
        "media/decoders.py",
        "media/frames.py",
        "media/image.py",
        "media/landmarks.py",
        "media/video.py",
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
