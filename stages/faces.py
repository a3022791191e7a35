"""python -m stages.faces [--dataset NAME]: the main face in sampled frames of each video."""

from __future__ import annotations

from dfdetect.arguments import chosen_datasets
from dfdetect.errors import run_cli
from dfdetect.faces.extraction import crop_video, summarise, weights_of
from dfdetect.io.schemas import FACES
from dfdetect.runtime.video_stage import VideoStage, run_stage

STAGE = VideoStage(
    "faces",
    FACES,
    code=(
        "dfdetect/faces/crop.py",
        "dfdetect/faces/detectors.py",
        "dfdetect/faces/extraction.py",
        "dfdetect/faces/identity.py",
        "dfdetect/faces/landmarks.py",
        "dfdetect/faces/main_track.py",
        "dfdetect/faces/mtcnn.py",
        "dfdetect/faces/networks.py",
        "dfdetect/faces/orientation.py",
        "dfdetect/faces/packages.py",
        "dfdetect/faces/retinaface.py",
        "dfdetect/io/pretrained.py",
        "dfdetect/media/containers.py",
        "dfdetect/media/decoders.py",
        "dfdetect/media/frames.py",
        "dfdetect/media/image.py",
        "dfdetect/media/tracks.py",
        "dfdetect/media/video.py",
    ),
    work=crop_video,
    good=frozenset({"ok", "truncated"}),  # a truncated video that shows a face serves like any other
    weights=weights_of,
    summarise=summarise,
    coverage=True,
)


def main() -> None:
    """Read the params, bring one dataset's faces up to date or those of all of run.datasets."""
    params, names = chosen_datasets("stages.faces", __doc__)
    for name in names:
        metrics = run_stage(STAGE, name, params.faces_of(name), params.runtime)
        statuses = ", ".join(f"{status} {count}" for status, count in metrics["status"].items())
        print(f"faces {name}: {metrics['rows']} crops of {metrics['frames_asked']} frames asked; {statuses}")


if __name__ == "__main__":
    run_cli(main)
