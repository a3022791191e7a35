"""What the choices in the data stages' code gain: each against the other way, in turn. A part of `make bench`.

A ratio above 1 is how many times as long the other way takes. Those that were tried and are not used stand below, so
that nobody has to try them again.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.bench_scale import pace
from benchmarks.measure import ROUNDS, Row, in_turn, ratio, seconds
from dfdetect.arguments import parser
from dfdetect.config.params import Params, load
from dfdetect.faces.detectors import iou
from dfdetect.faces.extraction import crop_video, face_detector
from dfdetect.media.frames import Rgb, RgbPicture
from dfdetect.media.video import centres, process_frames, sample_frames
from dfdetect.runtime.threads import cpu_count
from dfdetect.runtime.video_stage import Video

SMALL = "retinaface-mobilenet0.25"
# What was tried without staying in the code, with what came out then.
TRIED = (
    "mtcnn's boxes compared again before the third network (IoU over 0.8): half as many crops for it, 20 % less time; "
    "62 % of the boxes, instead of all, then have an IoU of more than 0.95 with facenet-pytorch's.",
    "RetinaFace's boxes taken from a quarter of the size: their IoU with those of the full size is 0.84 at the median.",
    "One converter to RGB kept from frame to frame: 0.06 of 0.60 ms a 360p frame.",
)
TRAINING_BATCH = 8


def compared(what: str, ours: Callable[[], object], other: Callable[[], object]) -> Row:
    """A row: how many times as long the other way takes."""
    times, others = in_turn(ours, other)
    return Row(what, "", ratio(others, times), "")


def seek_frames(path: Path, count: int) -> None:
    """The same number of frames by seeking to each."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    for index in centres(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), count):
        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        capture.read()
    capture.release()


def decode_all(path: Path, skip: str) -> None:
    """Decode a video with one thread, leaving out what `skip` says."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.skip_frame = skip
        for _ in container.decode(stream):
            pass


def convert(path: Path, params: Params, *, whole: bool) -> None:
    """Decode, and make of every chosen frame its shrunk copy and one part, from its planes or from the whole in RGB."""
    side = params.faces.detect_long_side
    for frame in sample_frames(path, params.faces.frames_per_video).frames:
        if whole:
            frame = replace(frame, picture=RgbPicture(frame.rgb))
        frame.shrunk(side)
        half = min(frame.width, frame.height) // 2 & ~1
        frame.resized((0, 0, half, half), params.faces.image_size, params.faces.image_size)


def decoding(clip: Path, params: Params) -> tuple[list[Row], list[Row]]:
    """Kept and dropped ways of getting at frames."""
    count = params.faces.frames_per_video
    kept = [
        compared(
            "decoded to the end; seeking to each frame",
            lambda: process_frames(clip, count, list),
            lambda: seek_frames(clip, count),
        ),
        compared(
            "parts of a frame's planes converted; whole frames to RGB first",
            lambda: convert(clip, params, whole=False),
            lambda: convert(clip, params, whole=True),
        ),
    ]
    dropped = [
        compared(
            "all frames decoded; without those that no other refers to (a damaged video's frames are then miscounted)",
            lambda: decode_all(clip, "DEFAULT"),
            lambda: decode_all(clip, "NONREF"),
        )
    ]
    return kept, dropped


def faces_task(path: Path) -> None:
    """The faces stage's work on one video, for a worker."""
    settings = load().faces.model_copy(update={"face_detector": "mtcnn"})
    crop_video(Video(path.name, path, path.name, True, None), None, settings)


def _crowded_task(path: Path) -> None:
    threadpool_limits(cpu_count())
    torch.set_num_threads(cpu_count())
    cv2.setNumThreads(cpu_count())
    faces_task(path)


def threads(clips: list[Path]) -> Row:
    """Two workers of faces, each library on one thread, against a thread a processor in each."""
    paces = [(pace(faces_task, clips * 4, 2), pace(_crowded_task, clips * 4, 2)) for _ in range(ROUNDS)]
    ours, crowded = map(list, zip(*paces, strict=True))
    return Row("faces, two workers of one thread; of a thread a processor", "", ratio(ours, crowded), "")


def has_weights(name: str) -> bool:
    """Whether a face detector's weights are here: those of mtcnn come with a package."""
    return name == "mtcnn" or (Path("models/weights") / f"{name}.pth").exists()


def searching(clip: Path, params: Params) -> list[Row]:
    """Ways of detecting faces."""
    decoded = sample_frames(clip, params.faces.frames_per_video).frames
    frames = [frame.shrunk(params.faces.detect_long_side) for frame in decoded]
    rows = []
    for name in ("mtcnn", SMALL) if has_weights(SMALL) else ("mtcnn",):
        detector: Any = face_detector(params.faces.model_copy(update={"face_detector": name, "device": "cpu"}))
        ratio_px = 2 * params.faces.min_face_ratio

        def over(images: list[Rgb], detect: Callable[..., object], ratio_px: float = ratio_px) -> None:
            for image in images:
                detect(image, min_face_px=ratio_px * max(image.shape))

        rows += [
            compared(
                f"{name}, large faces first; all sizes at once",
                lambda over=over, detector=detector: over(frames, detector.detect),  # type: ignore[misc]
                lambda over=over, detector=detector: over(frames, detector.search),  # type: ignore[misc]
            ),
            compared(
                f"{name} at {params.faces.detect_long_side} px; at full resolution",
                lambda over=over, detector=detector: over(frames, detector.detect),  # type: ignore[misc]
                lambda over=over, detector=detector: over([f.rgb for f in decoded], detector.detect),  # type: ignore[misc]
            ),
        ]
    return [*rows, *package(frames, params)]


def package(frames: list[Rgb], params: Params) -> list[Row]:
    """facenet-pytorch's own MTCNN, batched, against ours without large faces first: the same boxes come out."""
    from facenet_pytorch import MTCNN

    detector: Any = face_detector(params.faces.model_copy(update={"face_detector": "mtcnn", "device": "cpu"}))
    min_face_px = 2 * params.faces.min_face_ratio * max(frames[0].shape)
    theirs = MTCNN(keep_all=True, min_face_size=min_face_px, device="cpu")
    return [
        compared(
            "mtcnn, its networks in onnxruntime; facenet-pytorch's own loop",
            lambda: [detector.search(frame, min_face_px=min_face_px) for frame in frames],
            lambda: theirs.detect(np.stack(frames)),
        )
    ]


def sound(clip: Path, params: Params) -> tuple[list[Row], list[Row]]:
    """Kept and dropped ways of getting at sound."""
    from imageio_ffmpeg import get_ffmpeg_exe

    from dfdetect.media.audio import decode_audio

    rate = params.mels.sample_rate
    command = [get_ffmpeg_exe(), "-i", str(clip), *f"-v quiet -vn -ac 1 -ar {rate} -f f32le -".split()]

    def program() -> None:
        subprocess.run(command, check=True, capture_output=True)

    def open_only(**how: str) -> None:
        av.open(str(clip), options=how).close()

    kept = compared("sound decoded in the process; by the ffmpeg program", lambda: decode_audio(clip, rate), program)
    dropped = compared(
        "a file opened with a look at its first picture; without (start times are then lost in some files)",
        open_only,
        lambda: open_only(skip_frame="all", threads="1"),
    )
    return [kept], [dropped]


def print_time(work: str, clip: str, *, tuned: bool, channels_last: bool = False) -> None:
    """Print the seconds that some work takes; in a process of its own, as the allocator is the process's.

    Args:
        work: `faces` or `mels` of a clip, or `training`, a step of xception.
        clip: a video, for the first two.
        tuned: keep freed memory.
        channels_last: the memory layout of the training.
    """
    from dfdetect.audio.mels import mel_video
    from dfdetect.runtime.threads import one_thread, tune_allocator

    if tuned:
        tune_allocator()
    if work == "training":
        print(statistics.median(_steps(channels_last)[1:]))
        return
    params, path = load(), Path(clip)
    video = Video(path.name, path, path.name, True, None)
    do = (lambda: faces_task(path)) if work == "faces" else (lambda: mel_video(video, params.mels))
    with one_thread():
        print(statistics.median([seconds(do) for _ in range(4 if work == "faces" else 40)][1:]))


def _steps(channels_last: bool) -> list[float]:
    """Seconds of training steps."""
    from dfdetect.detectors import registry

    detector = registry.build("xception", {"pretrained": False})
    detector.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    batch = detector.example_batch(TRAINING_BATCH)

    def step() -> None:
        detector.loss(detector(batch), batch)["loss"].backward()
        detector.zero_grad(set_to_none=True)

    return [seconds(step) for _ in range(3)]


def in_processes(words: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Seconds that print_time prints for each way's words, in turn."""
    times: dict[str, list[float]] = {way: [] for way in words}
    for _ in range(rounds):
        for way, arguments in words.items():
            command = [sys.executable, "-m", "benchmarks.bench_choices", *arguments]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            times[way].append(float(done.stdout))
    return times


def allocation(clip: Path) -> list[Row]:
    """What it gains to keep freed memory, and what the memory layout gains a training step on a CPU."""
    rows = []
    for work in ("faces", "mels"):
        times = in_processes({"ours": [work, str(clip), "tuned"], "plain": [work, str(clip)]}, ROUNDS)
        what = f"{work} of a 1080p clip: freed memory kept; glibc's own thresholds"
        rows.append(Row(what, "", ratio(times["plain"], times["ours"]), ""))
    ways = {"ours": ["tuned", "last"], "plain": ["last"], "channels first": ["tuned"]}
    times = in_processes({way: ["training", str(clip), *words] for way, words in ways.items()}, 2)
    what = f"training step of xception, {TRAINING_BATCH} images: "
    return [
        *rows,
        Row(what + "freed memory kept; glibc's own thresholds", "", ratio(times["plain"], times["ours"]), ""),
        Row(what + "channels last; first", "", ratio(times["channels first"], times["ours"]), ""),
    ]


def agreement(clips: list[Path], params: Params, label: str) -> list[Row]:
    """The share of frames in which the main face's box is that of a search at full resolution (IoU over 0.7)."""
    rows = []
    for name in ("mtcnn", SMALL):
        if not has_weights(name):
            continue
        ours = params.faces.model_copy(update={"face_detector": name})
        full = ours.model_copy(update={"detect_long_side": 10_000})
        same = frames = 0
        for clip in clips:
            video = Video(clip.name, clip, clip.name, True, None)
            found, wanted = (
                {
                    row["frame_index"]: np.array(row["box"], np.float32)
                    for row in crop_video(video, None, each).table.to_pylist()
                }
                for each in (ours, full)
            )
            frames += len(wanted)
            same += sum(index in found and bool(iou(box, found[index][None])[0] > 0.7) for index, box in wanted.items())
        if frames:
            what = f"faces, {name}, {label}: the main face's box agrees with full resolution's"
            rows.append(Row(what, f"{same / frames:.1%} of {frames} frames", "", "98 %"))
    return rows


def choices(clips: list[Path], params: Params) -> tuple[list[Row], list[Row]]:
    """All rows: what is kept, what was dropped."""
    clip = clips[0]
    frames, sounds = decoding(clip, params), sound(clip, params)
    kept = [*frames[0], *searching(clip, params), threads(clips), *sounds[0], *allocation(clip)]
    return kept, [*frames[1], *sounds[1]]


if __name__ == "__main__":
    arguments = parser("benchmarks.bench_choices", __doc__)
    arguments.add_argument("work", choices=("faces", "mels", "training"))
    arguments.add_argument("clip", help="a video; of training: not read")
    arguments.add_argument("ways", nargs="*", choices=("plain", "tuned", "last"))
    given = arguments.parse_args()
    print_time(given.work, given.clip, tuned="tuned" in given.ways, channels_last="last" in given.ways)
