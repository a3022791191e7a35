"""Measure the pipeline and write docs/benchmarks.md: `make bench`, or `python -m benchmarks.bench --help`.

Each figure is a median of several rounds with its smallest and largest value. What matters is the ratio to the floor
that was measured in the same rounds, in turn with it: a machine's absolute times mean nothing on another.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from benchmarks.bench_choices import TRIED, agreement, choices, faces_task, has_weights
from benchmarks.bench_loading import bench_loading
from benchmarks.bench_scale import bench_memory, bench_scaling, bench_start_up, pace
from benchmarks.measure import ROUNDS, Row, in_turn, machine, ratio, spread, table
from dfdetect.arguments import parser
from dfdetect.config.params import Params, load
from dfdetect.errors import MediaError
from dfdetect.media.video import centres, probe
from dfdetect.runtime.threads import cpu_count, one_thread, tune_allocator
from dfdetect.runtime.video_stage import Video
from synthetic.generate import generate
from synthetic.settings import GenerateSource

DOCUMENT = Path("docs/benchmarks.md")
SCORED = 5  # videos that evaluate's measurement scores


def make_clips(folder: Path, count: int, *, seconds: int, width: int, height: int) -> list[Path]:
    """Generated talking heads, scaled and padded to a wide frame and encoded as H.264 with AAC."""
    import ffmpeg
    from imageio_ffmpeg import get_ffmpeg_exe

    source = GenerateSource(
        seed=5,
        identities=max(2, (count + 3) // 4),
        clips_per_category=1,
        clip_s=3,
        fps=30,
        size=480,
        style="street",
        crf=20,
    )
    generate(folder / "heads", layout="fakeavceleb", source=source, workers=cpu_count())
    clips = []
    for number, head in enumerate(sorted((folder / "heads").rglob("*.mp4"))[:count]):
        clip = folder / f"clip{number:02d}_{height}p.mp4"
        opened = ffmpeg.input(str(head), stream_loop=-1)
        picture = opened.video.filter("scale", -2, height).filter("pad", width, height, "(ow-iw)/3", 0)
        made = ffmpeg.output(picture, opened.audio, str(clip), t=seconds, vcodec="libx264", crf=21, acodec="aac")
        made.run(cmd=get_ffmpeg_exe(), quiet=True, overwrite_output=True)
        clips.append(clip)
    return clips


def decode_alone(path: Path, count: int) -> None:
    """The floor of faces: OpenCV reads the clip to its end on one thread, as a worker has, and retrieves as many
    frames."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = set(centres(total, count))
    for index in range(10**9):
        if not capture.grab():
            break
        if index in wanted:
            capture.retrieve()
    capture.release()


def as_videos(clips: list[Path]) -> list[Video]:
    """As a worker gets them."""
    return [Video(clip.name, clip, clip.name, True, probe(clip).duration_s) for clip in clips]


def against_floor(
    videos: list[Video], work: Callable[[Video], object], floor: Callable[[Path], object]
) -> tuple[list[float], list[float], list[float]]:
    """Seconds of each video's work and of its floor, the two in turn clip by clip: what slows the machine for a while
    slows both. Third, the work's speeds as multiples of real time."""
    times: list[float] = []
    floors: list[float] = []
    speeds: list[float] = []
    for video in videos:
        ours, alone = in_turn(lambda video=video: work(video), lambda video=video: floor(video.path), most=12)
        times, floors = times + ours, floors + alone
        speeds += [(video.duration_s or 0.0) / value for value in ours]
    return times, floors, speeds


def bench_faces(clips: list[Path], params: Params, label: str, aim: str) -> list[Row]:
    """faces against decoding alone, one worker's share: one thread each."""
    from dfdetect.faces.extraction import crop_video

    rows = []
    for name in ("mtcnn", "retinaface-mobilenet0.25", "retinaface-resnet50"):
        if not has_weights(name):
            if name != "retinaface-resnet50":
                rows.append(Row(f"faces, {name}, {label}", "not measured: no weights in models/weights", "", aim))
            continue
        settings = params.faces.model_copy(update={"face_detector": name})
        times, floors, speeds = against_floor(
            as_videos(clips),
            lambda video, settings=settings: crop_video(video, None, settings),  # type: ignore[misc]
            lambda path: decode_alone(path, params.faces.frames_per_video),
        )
        figure = f"{spread(times)} a clip, {statistics.median(speeds):.1f} x real time"
        rows.append(Row(f"faces, {name}, {label}", figure, ratio(times, floors) + " decoding", aim))
    return rows


def playable(folder: Path) -> list[Path]:
    """The files of a folder, and of those in it, that are videos."""
    videos = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            info = probe(path)
        except MediaError as error:
            print(f"{path}: left out: {error.reason}", file=sys.stderr)
            continue
        if info.duration_s:
            videos.append(path)
    return videos


def bench_sound(clips: list[Path], params: Params, label: str) -> list[Row]:
    """mels against decoding the track alone, and against real time; clips without sound are left out."""
    from dfdetect.audio.mels import mel_video
    from dfdetect.media.audio import decode_audio

    clips = [clip for clip in clips if probe(clip).has_audio]
    if not clips:
        return []
    times, floors, speeds = against_floor(
        as_videos(clips),
        lambda video: mel_video(video, params.mels),
        lambda path: decode_audio(path, params.mels.sample_rate),
    )
    against = ratio(times, floors) + " audio decoding"
    return [Row(f"mels, {label}", spread(speeds, "x real time"), against, "350 x real time; 1.3 x")]


def with_faces(clips: list[Path], params: Params) -> list[tuple[Video, pa.Table]]:
    """The clips in which there is a face, with their rows of the faces table."""
    from dfdetect.faces.extraction import crop_video

    settings = params.faces.model_copy(update={"face_detector": "mtcnn"})
    found = [(video, crop_video(video, None, settings).table) for video in as_videos(clips)]
    return [(video, table) for video, table in found if table.num_rows]


def bench_masks(clips: list[Path], params: Params, label: str) -> list[Row]:
    """Crops a second of the masks stage on one core."""
    from dfdetect.faces.mask_crops import mask_video

    found = with_faces(clips, params)
    if not found:
        return []
    count = sum(table.num_rows for _, table in found)
    times, _ = in_turn(lambda: [mask_video(video, table, params.masks) for video, table in found], lambda: None)
    return [Row(f"masks, {label}", spread([count / value for value in times], "crops a second"), "", "150 on one core")]


def bench_mouths(clips: list[Path], params: Params, label: str) -> list[Row]:
    """The mouths stage against decoding alone, one worker's share; clips without a face are left out."""
    from dfdetect.faces.mouth_crops import crop_mouths

    found = with_faces(clips, params)
    if not found:
        return []
    tables = {video.path: table for video, table in found}
    times, floors, speeds = against_floor(
        [video for video, _ in found],
        lambda video: crop_mouths(video, tables[video.path], params.mouths),
        lambda path: decode_alone(path, params.mouths.parts * params.mouths.frames_per_part),
    )
    figure = f"{spread(times)} a clip, {statistics.median(speeds):.1f} x real time"
    return [Row(f"mouths, {label}", figure, ratio(times, floors) + " decoding", "")]


def _decode_task(path: Path) -> None:
    decode_alone(path, load().faces.frames_per_video)


def bench_workers(clips: list[Path]) -> list[Row]:
    """Videos a second through the runtime with one and with two workers, of faces and of decoding alone."""
    rows = []
    for what, work, aim in (("faces", faces_task, "1.8 x"), ("decoding alone", _decode_task, "")):
        one, two = zip(*((pace(work, clips * 4, 1), pace(work, clips * 4, 2)) for _ in range(ROUNDS)), strict=True)
        label = f"{what}, 10 s 1080p, two workers; against one"
        rows.append(Row(label, spread(list(two), "videos a second"), ratio(list(two), list(one)), aim))
    return rows


def print_predict(clip: str) -> None:
    """Print the seconds of predict and of its parts, faces and the network, in turn; without a face nothing."""
    from dfdetect import load_detector
    from dfdetect.faces.extraction import crop_video

    detector = load_detector()
    path = Path(clip)
    (video,) = as_videos([path])
    _, prepared = detector.inspect(path)
    if prepared is None:
        return
    index = detector.index([prepared])

    def parts() -> None:
        crop_video(video, None, detector.preparation.faces)
        detector.scorer.score(index)

    for times in in_turn(lambda: detector.predict(path), parts, rounds=2):
        print(*times)


def bench_predict(clip: Path) -> list[Row]:
    """predict against its parts, in a process of its own with all threads; and a whole command for one still."""
    from dfdetect.inference.saved_model import FOLDER

    aim = "2 x the faces stage and the forward passes"
    if not FOLDER.exists():
        return [Row("predict, 10 s 1080p", "not measured: run `make repro` first", "", aim)]
    command = [sys.executable, "-m", "benchmarks.bench", "--predict", str(clip)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = [[float(value) for value in line.split()] for line in done.stdout.splitlines()]
    rows = [Row("predict, 10 s 1080p", "not measured: no face in the clip", "", aim)]
    if found:
        times, floors = found
        rows = [Row("predict, 10 s 1080p", spread(times), ratio(times, floors) + " faces and network", aim)]
    still = clip.with_suffix(".png")
    capture = cv2.VideoCapture(str(clip))
    cv2.imwrite(str(still), capture.read()[1])
    capture.release()

    def whole() -> None:
        done = subprocess.run(
            [sys.executable, "-m", "dfdetect", "predict", str(still)], capture_output=True, check=False
        )
        if done.returncode not in (0, 3):  # 3: no face in the still
            raise RuntimeError(done.stderr.decode())

    times, _ = in_turn(whole, lambda: None, rounds=2)
    return [*rows, Row("predict, one 1080p still, start-up included", spread(times), "", "start-up under 6 s")]


def bench_evaluate() -> list[Row]:
    """Scoring a test split against reading its crops' bytes, and against the network alone."""
    import torch

    from dfdetect.data.index import CropIndex, load_videos
    from dfdetect.inference import saved_model
    from dfdetect.inference.scoring import Scorer, load_index

    folder = Path("data/sample")
    if not (saved_model.FOLDER.exists() and (folder / "faces").exists()):
        return [Row("evaluate, scoring", "not measured: run `make repro` first", "", "")]
    info, detector = saved_model.load(saved_model.FOLDER)
    index = load_index(folder, load_videos(folder, info.target, {"test"}), info)
    if not isinstance(index, CropIndex):
        return [Row("evaluate, scoring", "not measured: models/detector reads no pictures", "", "")]
    index = index.of_videos(np.arange(len(index.videos)) < SCORED)
    scorer = Scorer(detector, info, device="cpu")
    batch = detector.example_batch(scorer.batch_size)

    def network() -> None:
        with torch.inference_mode():
            for _ in range(-(-len(index) // scorer.batch_size)):
                detector(batch)

    def read() -> None:
        for path in (folder / "faces").iterdir():  # of all videos
            path.read_bytes()

    times, passes = in_turn(lambda: scorer.score(index), network)
    _, floors = in_turn(lambda: None, read)
    against = (
        f"{ratio(times, passes)} the network; {statistics.median(times) / statistics.median(floors):.0f} x reading"
    )
    rate = [len(index) / value for value in times]
    return [Row(f"evaluate, scoring {len(index)} crops", spread(rate, "crops a second"), against, "")]


def bench_repro() -> list[Row]:
    """`dvc repro` with nothing to do against `dvc status`."""
    if not Path("dvc.lock").exists() or not Path("models/detector").exists():
        return [Row("dvc repro, nothing changed", "not measured: run `make repro` first", "", "1.5 x dvc status")]
    dvc = str(Path(sys.executable).parent / "dvc")

    def call(*words: str) -> None:
        subprocess.run([dvc, *words], check=True, capture_output=True)

    times, floors = in_turn(lambda: call("repro"), lambda: call("status"), rounds=2)
    return [Row("dvc repro, nothing changed", spread(times), ratio(times, floors) + " dvc status", "1.5 x")]


def document(rows: list[Row], kept: list[Row], dropped: list[Row]) -> str:
    """The page."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; medians with their range over several rounds. Each ratio is of two measurements made",
        "in turn in the same run, so that it holds when the machine's speed drifts. A process has a thread a library",
        "and keeps freed memory, as a worker does, and so has the decoding that faces is compared with.",
        "",
        machine(),
        "",
        *table(rows),
        "",
    ]
    if kept:
        lines += ["## What the choices gain", "", "How many times as long the other way takes.", ""]
        lines += [*pairs("used; not used", kept), "", "Tried and not used:", "", *pairs("used; tried", dropped), ""]
        lines += ["Tried once, by hand:", "", *(f"- {each}" for each in TRIED), ""]
    return "\n".join(lines)


def pairs(head: str, rows: list[Row]) -> list[str]:
    """A table of `one way; the other` and the ratio of their times."""
    return [f"| {head} | the other way takes |", "|---|---|", *(f"| {row.what} | {row.ratio} |" for row in rows)]


ALL_THREADS = {"evaluate"}  # of what runs in this process; all else is one worker's share
SECTIONS = (
    "faces",
    "mels",
    "masks",
    "mouths",
    "workers",
    "choices",
    "start-up",
    "scaling",
    "loading",
    "repro",
    "predict",
    "evaluate",
)


def main() -> None:
    """Make clips, measure, write the page."""
    arguments = parser("benchmarks.bench", __doc__)
    arguments.add_argument("--clips", type=Path, help="measure the data stages on this folder's videos too")
    arguments.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    arguments.add_argument("--predict", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.predict:
        print_predict(options.predict)
        return
    params = load()
    tune_allocator()  # as a worker does
    rows: list[Row] = []
    kept: list[Row] = []
    dropped: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = make_clips(folder, 4, seconds=10, width=1920, height=1080)
        small = make_clips(folder, 4, seconds=10, width=640, height=360)
        heads = sorted((folder / "heads").rglob("*.mp4"))
        own = playable(options.clips) if options.clips else []
        label = f"{len(own)} clips of {options.clips.name}" if own else ""
        sections: dict[str, Callable[[], list[Row]]] = {
            "faces": lambda: (
                bench_faces(large, params, "10 s 1080p", "1.6 x")
                + bench_faces(small, params, "10 s 360p", "3 x")
                + (bench_faces(own, params, label, "") if own else [])
                + agreement([*large, *small, *own], params, f"{len([*large, *small, *own])} clips")
            ),
            "mels": lambda: bench_sound(large, params, "10 s") + bench_sound(own, params, label),
            "masks": lambda: bench_masks(small, params, "10 s 360p") + bench_masks(own, params, label),
            "mouths": lambda: (
                bench_mouths(large, params, "10 s 1080p")
                + bench_mouths(small, params, "10 s 360p")
                + bench_mouths(own, params, label)
            ),
            "loading": bench_loading,
            "workers": lambda: bench_workers(large),
            "start-up": lambda: bench_start_up(folder, heads),
            "scaling": lambda: bench_scaling(folder, heads) + bench_memory(folder, heads),
            "evaluate": bench_evaluate,
            "predict": lambda: bench_predict(large[0]),
            "repro": bench_repro,
        }
        for section in [section for section in SECTIONS if section in options.only]:
            with nullcontext() if section in ALL_THREADS else one_thread():
                if section == "choices":
                    kept, dropped = choices(large, params)
                else:
                    rows += (found := sections[section]())
                    print(*found, sep="\n", file=sys.stderr, flush=True)
            if set(options.only) == set(SECTIONS):  # what is measured is not lost when the rest fails
                DOCUMENT.write_text(document(rows, kept, dropped), encoding="utf-8")
    print(document(rows, kept, dropped))


if __name__ == "__main__":
    main()
