"""Measure the pipeline and write docs/benchmarks.md: `make bench`, or `bench.py --clips DIR --only faces`.

Each figure is a median of several rounds with its smallest and largest value. What matters is the ratio to the floor
that was measured in the same rounds, in turn with it: a machine's absolute times mean nothing on another.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pyarrow as pa

from scripts.measure import ROUNDS, Row, in_turn, machine, peak_mb, ratio, spread, table
from stages.datasets.generator import GenerateSource, generate
from stages.engine import run as run_engine
from stages.errors import MediaError
from stages.host import cpu_count
from stages.media.video import probe
from stages.params import EngineParams, Params, load
from stages.per_video import Video, run_room
from stages.schema import VIDEOS
from stages.store import from_rows, write_table

DOCUMENT = Path("docs/benchmarks.md")


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
        look="street",
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
    """The floor of faces: OpenCV reads the clip to its end and retrieves as many frames."""
    capture = cv2.VideoCapture(str(path))
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = {(2 * part + 1) * total // (2 * count) for part in range(count)}
    for index in range(10**9):
        if not capture.grab():
            break
        if index in wanted:
            capture.retrieve()
    capture.release()


def as_videos(clips: list[Path]) -> list[Video]:
    """As a worker gets them."""
    return [Video(clip.name, clip, clip.name, True, None) for clip in clips]


def bench_faces(clips: list[Path], params: Params, label: str, aim: str) -> list[Row]:
    """faces against decoding alone, one worker's share: one thread each."""
    import torch

    from stages.faces.extraction import crop_video

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = []
    for finder in ("mtcnn", "retinaface-mobilenet0.25", "retinaface-resnet50"):
        if not (finder == "mtcnn" or Path(f"models/weights/{finder}.pth").exists()):
            if finder != "retinaface-resnet50":
                rows.append(Row(f"faces, {finder}, {label}", "not measured: no weights in models/weights", "", aim))
            continue
        settings = params.faces.model_copy(update={"detector": finder})
        videos = as_videos(clips)

        def work(settings: object = settings, videos: list[Video] = videos) -> None:
            for video in videos:
                crop_video(video, None, settings)  # type: ignore[arg-type]

        def floor() -> None:
            for clip in clips:
                decode_alone(clip, params.faces.frames_per_video)

        times, floors = in_turn(work, floor)
        each = [value / len(clips) for value in times]
        rows.append(Row(f"faces, {finder}, {label}", spread(each) + " a clip", ratio(times, floors) + " decoding", aim))
    return rows


def playable(folder: Path) -> list[Path]:
    """The files of a folder, and of those in it, that are films."""
    films = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            info = probe(path)
        except MediaError as error:
            print(f"{path}: left out: {error.reason}", file=sys.stderr)
            continue
        if info.duration_s:
            films.append(path)
    return films


def bench_sound(clips: list[Path], params: Params, label: str) -> list[Row]:
    """mels against decoding the track alone, and against real time; clips without sound are left out."""
    from stages.media.audio import decode_audio
    from stages.mels.spectrogram import mel_video

    clips = [clip for clip in clips if probe(clip).has_audio]
    if not clips:
        return []
    seconds = sum(decode_audio(clip, params.mels.sample_rate).duration_s for clip in clips)

    def work() -> None:
        for video in as_videos(clips):
            mel_video(video, params.mels)

    def floor() -> None:
        for clip in clips:
            decode_audio(clip, params.mels.sample_rate)

    times, floors = in_turn(work, floor)
    real = [seconds / value for value in times]
    against = ratio(times, floors) + " audio decoding"
    return [Row(f"mels, {label}", spread(real, "x real time"), against, "350 x real time; 1.3 x")]


def bench_masks(clips: list[Path], params: Params, label: str) -> list[Row]:
    """Crops a second of the masks stage on one core."""
    from stages.faces.extraction import crop_video
    from stages.masks.crops import mask_video

    settings = params.faces.model_copy(update={"detector": "mtcnn"})
    tables: list[tuple[Video, pa.Table]] = [(v, crop_video(v, None, settings).table) for v in as_videos(clips)]
    count = sum(table.num_rows for _, table in tables)
    if not count:
        return []
    times, _ = in_turn(lambda: [mask_video(v, table, params.masks) for v, table in tables], lambda: None)
    return [Row(f"masks, {label}", spread([count / value for value in times], "crops a second"), "", "150 on one core")]


def _decode_task(path: Path) -> int:
    from stages.faces.extraction import crop_video

    settings = load().faces.model_copy(update={"detector": "mtcnn"})
    return crop_video(as_videos([path])[0], None, settings).table.num_rows


def bench_workers(clips: list[Path]) -> list[Row]:
    """The same clips through the engine with one and with two workers, start-up included."""
    tasks = clips * 2

    def through(workers: int) -> None:
        for outcome in run_engine(_decode_task, tasks, EngineParams(workers=workers), label=f"{workers} workers"):
            assert outcome.status == "ok", outcome

    one, two = in_turn(lambda: through(1), lambda: through(2), rounds=2)
    return [Row("faces, one worker against two", spread(one), ratio(one, two), "1.8 x")]


def link_dataset(folder: Path, heads: list[Path], count: int) -> None:
    """A dataset of so many videos in `folder`: links to a few files, each with a content of its own by its hash."""
    raw = folder / "data" / "set" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        name = f"clip{number:05d}.mp4"
        if not (raw / name).exists():
            (raw / name).symlink_to(heads[number % len(heads)])
        digest = hashlib.sha256(name.encode()).hexdigest()
        rows.append({"video_id": name, "path": name, "sha256": digest, "status": "ok"})
    write_table(folder / "data" / "set" / "videos.parquet", from_rows(rows, VIDEOS), VIDEOS)


def print_stage(folder: Path) -> None:
    """Run the faces stage with two workers; print this process's and its largest worker's peak memory (MB)."""
    from stages.faces.__main__ import ROOM

    settings = load().faces.model_copy(update={"detector": "mtcnn"})
    os.chdir(folder)
    run_room(ROOM, "set", settings, EngineParams(workers=2))
    print(peak_mb(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


def timed_stage(folder: Path) -> tuple[float, float, float]:
    """Seconds of the faces stage as a process, and the peak memory of it and of its largest worker (MB)."""
    start = time.perf_counter()
    command = [sys.executable, __file__, "--stage", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    main, worker = map(float, done.stdout.split())
    return time.perf_counter() - start, main, worker


def bench_scaling(folder: Path, counts: tuple[int, int] = (50, 500), rounds: int = ROUNDS) -> list[Row]:
    """The faces stage over few and many videos of 3 s with two workers, and over one more than it knows already."""
    heads = sorted((folder / "heads").rglob("*.mp4"))
    rows: list[Row] = []
    each: list[list[float]] = []
    for count in counts:
        place = folder / f"set{count}"
        link_dataset(place, heads, count)
        seconds, main, worker = timed_stage(place)
        each.append([seconds / count])
        slower = ratio(each[-1], each[0]).split(" (")[0] + f" that of {counts[0]}" if len(each) > 1 else ""
        rows.append(Row(f"faces, {count} videos of 3 s, two workers", f"{seconds / count:.3g} s a video", slower, ""))
        memory = f"main {main:.0f} MB, worker {worker:.0f} MB"
        rows.append(Row(f"memory of faces, {count} videos", memory, "", "flat; 600 MB and 1,500 MB"))
    added, alone = [], []
    for number in range(1, rounds + 1):
        link_dataset(place, heads, count + number)
        added.append(timed_stage(place)[0])
        link_dataset(folder / f"alone{number}", heads, 1)
        alone.append(timed_stage(folder / f"alone{number}")[0])
    what = f"faces, one video added to {count}, start-up included"
    return [*rows, Row(what, spread(added), ratio(added, alone) + " one alone", "3 x")]


def print_predict(clip: str) -> None:
    """Print the seconds of predict and of its parts, faces and the network, in turn; without a face nothing."""
    from stages.faces.extraction import crop_video
    from stages.predict import load_detector

    detector = load_detector()
    path = Path(clip)
    _, prepared = detector.inspect(path)
    if prepared is None:
        return
    index = detector.index([prepared])

    def parts() -> None:
        crop_video(as_videos([path])[0], None, detector.preparation.faces)
        detector.scorer.score(index)

    for times in in_turn(lambda: detector.predict(path), parts, rounds=2):
        print(*times)


def bench_predict(clip: Path) -> list[Row]:
    """predict against its parts, in a process of its own with all threads; and a whole command for one still."""
    from stages.bundle import FOLDER

    aim = "2 x the faces stage and the forward passes"
    if not FOLDER.exists():
        return [Row("predict, 10 s 1080p", "not measured: run `make repro` first", "", aim)]
    command = [sys.executable, __file__, "--predict", str(clip)]
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
        done = subprocess.run([sys.executable, "-m", "stages.predict", str(still)], capture_output=True, check=False)
        if done.returncode not in (0, 3):  # 3: no face in the still
            raise RuntimeError(done.stderr.decode())

    times, _ = in_turn(whole, lambda: None, rounds=2)
    return [*rows, Row("predict, one 1080p still, start-up included", spread(times), "", "start-up under 6 s")]


def bench_repro() -> list[Row]:
    """`dvc repro` with nothing to do against `dvc status`."""
    if not Path("dvc.lock").exists() or not Path("models/detector").exists():
        return [Row("dvc repro, nothing changed", "not measured: run `make repro` first", "", "1.5 x dvc status")]
    dvc = str(Path(sys.executable).parent / "dvc")

    def call(*words: str) -> None:
        subprocess.run([dvc, *words], check=True, capture_output=True)

    times, floors = in_turn(lambda: call("repro"), lambda: call("status"), rounds=2)
    return [Row("dvc repro, nothing changed", spread(times), ratio(times, floors) + " dvc status", "1.5 x")]


def document(rows: list[Row]) -> str:
    """The page."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; medians with their range over several rounds. Each ratio is of two measurements made",
        "in turn in the same run, so that it holds when the machine's speed drifts. A process has a thread a library.",
        "",
        machine(),
        "",
        *table(rows),
        "",
    ]
    return "\n".join(lines)


SECTIONS = ("faces", "mels", "masks", "workers", "scaling", "predict", "repro")


def main() -> None:
    """Make clips, measure, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, help="measure faces, mels and masks on this folder's films too")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--stage", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--predict", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print_stage(options.stage)
        return
    if options.predict:
        print_predict(options.predict)
        return
    params = load()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = make_clips(folder, 4, seconds=10, width=1920, height=1080)
        small = make_clips(folder, 4, seconds=10, width=640, height=360)
        own = playable(options.clips) if options.clips else []
        label = f"{len(own)} clips of {options.clips.name}" if own else ""
        if "faces" in options.only:
            rows += bench_faces(large, params, "10 s 1080p", "1.6 x")
            rows += bench_faces(small, params, "10 s 360p", "3 x")
            rows += bench_faces(own, params, label, "") if own else []
        sections: dict[str, Callable[[], list[Row]]] = {
            "mels": lambda: bench_sound(large, params, "10 s") + bench_sound(own, params, label),
            "masks": lambda: bench_masks(small, params, "10 s 360p") + bench_masks(own, params, label),
            "workers": lambda: bench_workers(large),
            "scaling": lambda: bench_scaling(folder),
            "predict": lambda: bench_predict(large[0]),
            "repro": bench_repro,
        }
        for section, measure in sections.items():
            if section in options.only:
                rows += measure()
    text = document(rows)
    print(text)
    if set(options.only) == set(SECTIONS):
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
