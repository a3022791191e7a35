"""python -m stages.mels [--dataset NAME]: a log-mel spectrogram of each video's audio."""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.audio.mels import GOOD, summarise, work
from dfdetect.errors import run_cli
from dfdetect.io.schemas import MELS
from dfdetect.runtime.video_stage import VideoStage, run_stage

STAGE = VideoStage(
    "mels",
    MELS,
    code=(
        "dfdetect/audio",
        "dfdetect/media/audio.py",
        "dfdetect/media/containers.py",
        "dfdetect/media/tracks.py",
    ),
    work=work,
    good=GOOD,
    summarise=summarise,
)


def main() -> None:
    """Read the params, bring one dataset's mels up to date or those of all of run.datasets."""
    params, names = chosen_datasets("stages.mels", __doc__)
    for name in names:
        metrics = run_stage(STAGE, name, params.mels, params.runtime)
        print(f"mels {name}: " + ", ".join(f"{status} {count}" for status, count in metrics["status"].items()))


if __name__ == "__main__":
    run_cli(main)
