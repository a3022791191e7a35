"""Run one per-video stage over a dataset: look up what is known, compute the rest in workers, assemble the artifact.

faces, masks, mouths and mels are this function with another `VideoStage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from dfdetect.config.params import RuntimeParams, VideoStageParams, dataset_folder
from dfdetect.datasets.tree import below, stored
from dfdetect.errors import MediaError, UserError
from dfdetect.io.schemas import COVERAGE, FACES, VIDEOS
from dfdetect.io.tables import Shards, ShardWriter, conform, from_rows, read_json, read_table, write_json
from dfdetect.io.workspace import from_where, resolve
from dfdetect.runtime.cache import DamagedEntryError, ResultCache, code_hash, make_key
from dfdetect.runtime.executor import run
from dfdetect.runtime.locks import exclusive, shared
from dfdetect.runtime.pool import Outcome

# Failures listed by name in the metrics; the rest are counted, and all are in the results.
LISTED_FAILURES = 50
# A stage begins anew when an entry of its result cache turns out damaged; a disk that damages them each time is told.
ROUNDS = 3
# What the next run may not repeat: never remembered.
SKIPPED = "skipped"  # the faces stage has already counted this video as failed
_PASSING = frozenset({"timeout", "crashed", "failed", "out_of_memory"})


@dataclass(frozen=True)
class Video:
    """One row of videos.parquet as a worker needs it; `path` is where the file is."""

    video_id: str
    path: Path
    sha256: str | None
    has_audio: bool | None
    duration_s: float | None


@dataclass(frozen=True)
class Result:
    """What a stage computed of one video: rows, and a record with at least `status` (and `reason` unless ok)."""

    table: pa.Table
    record: dict[str, Any]


@dataclass(frozen=True)
class VideoStage:
    """A per-video stage.

    Args:
        name: the stage's name and its artifact's folder.
        schema: of its rows.
        code: files and folders under stages/ that decide its results: when their code changes (comments and docstrings
            aside), old result cache entries are not reused.
        work: (video, rows of faces or None, params) -> Result, run in a worker process.
        reads_faces: hand the video's face rows to `work`; a video without any is not given to it.
        good: statuses that are no failure.
        weights: params -> a hash of the model files that the result depends on.
        summarise: records -> further figures for the metrics.
        coverage: also write coverage.parquet, one row a video.
    """

    name: str
    schema: pa.Schema
    code: tuple[str, ...]
    work: Callable[[Video, pa.Table | None, Any], Result]
    reads_faces: bool = False
    good: frozenset[str] = frozenset({"ok"})
    weights: Callable[[Any], str] = field(default=lambda _: "")
    summarise: Callable[[list[dict[str, Any]]], dict[str, Any]] = field(default=lambda _: {})
    coverage: bool = False


@dataclass(frozen=True)
class _Job:
    video: Video
    key: str
    stage: str
    schema: pa.Schema
    work: Callable[[Video, pa.Table | None, Any], Result]
    params: VideoStageParams
    faces: Path | None


def load_videos(dataset: str) -> list[Video]:
    """The dataset's videos in stored order, with the place of each file."""
    folder = dataset_folder(dataset)
    table = read_table(folder / "videos.parquet", VIDEOS)
    root = media_root(dataset)
    columns = ("video_id", "path", "sha256", "has_audio", "duration_s")
    rows = zip(*(table.column(name).to_pylist() for name in columns), strict=True)
    return [
        Video(video_id, below(root, path), sha256, has_audio, duration_s)
        for video_id, path, sha256, has_audio, duration_s in rows
    ]


def media_root(dataset: str) -> Path:
    """The folder that videos.parquet's paths start from: raw/, or the user's own as raw/source.json says."""
    raw = dataset_folder(dataset) / "raw"
    source = raw / "source.json"
    if not source.exists():
        return raw
    root = resolve(Path(read_json(source)["root"]))
    if not root.is_dir():
        raise UserError(
            f"{root}, the root of dataset {dataset} in {source}, is not there{from_where(root)}: "
            f"mount it, or set its new path in params.yaml."
        )
    return root


def run_stage(stage: VideoStage, dataset: str, params: VideoStageParams, runtime: RuntimeParams) -> dict[str, Any]:
    """Bring the stage's artifact of one dataset up to date and write its metrics.

    Returns:
        The metrics that were written to metrics/<dataset>/<stage>.json.
    Raises:
        UserError: an input is missing, or more videos failed than params.max_failed_fraction allows (the metrics are
            written all the same, so that the reasons can be looked at); or another process runs this stage on it.
    """
    results = ResultCache(stage.name, stage.schema)
    metrics = Path("metrics") / dataset / f"{stage.name}.json"
    with exclusive(stage.name, dataset, dataset_folder(dataset) / stage.name, metrics), shared(results.folder):
        for _ in range(ROUNDS):
            try:
                return _bring_up_to_date(stage, dataset, params, runtime, results)
            except DamagedEntryError as error:  # removed by now: the next round computes it
                damaged = error
    raise UserError(
        f"{damaged} was damaged on the disk, as others in {ROUNDS} rounds: check the disk of {results.folder}."
    )


def _bring_up_to_date(
    stage: VideoStage, dataset: str, params: VideoStageParams, runtime: RuntimeParams, results: ResultCache
) -> dict[str, Any]:
    videos = load_videos(dataset)
    settled, jobs = _plan(stage, dataset, videos, params, results)
    gpu = getattr(params, "device", "cpu") != "cpu"
    crashed: list[_Job] = []
    for outcome in run(_compute, jobs, runtime, label=f"{stage.name} {dataset}", gpu=gpu):
        settled[outcome.task.video.video_id] = _settled(outcome)
        if outcome.status == "crashed":
            crashed.append(outcome.task)
    # Once more: a worker may have been killed for another's sake, by the system when memory ran out or by hand.
    for outcome in run(_compute, crashed, runtime, label=f"{stage.name} {dataset}, again", gpu=gpu):
        settled[outcome.task.video.video_id] = _settled(outcome)
    records = [{"video_id": video.video_id, **settled[video.video_id][1]} for video in videos]
    metrics, place = _metrics(stage, records), Path("metrics") / dataset / f"{stage.name}.json"
    if metrics["videos"] and metrics["failed_fraction"] > params.max_failed_fraction:
        write_json(place, metrics)
        raise UserError(_too_many_failed(stage, dataset, params, metrics, place))
    if runtime.executor == "ray":
        results.await_entries(key for key, _ in settled.values() if key is not None)
    coverage = _coverage(records, settled) if stage.coverage else None
    metrics["rows"] = _assemble(stage, dataset, videos, settled, results, coverage)
    write_json(place, metrics)
    return metrics


_Settled = dict[str, tuple[str | None, dict[str, Any]]]


def _plan(
    stage: VideoStage, dataset: str, videos: list[Video], params: VideoStageParams, results: ResultCache
) -> tuple[_Settled, list[_Job]]:
    """Part the videos into those whose result is known and those to compute."""
    settled: _Settled = {}
    jobs: list[_Job] = []
    common = {
        "stage": stage.name,
        "code": code_hash(stage.code),
        "params": params.fingerprint(),
        "weights": stage.weights(params),
    }
    upstream = _upstream(dataset) if stage.reads_faces else None
    for video in videos:
        if video.sha256 is None:
            settled[video.video_id] = (None, {"status": "unreadable", "reason": "the file cannot be read"})
            continue
        parts: dict[str, Any] = {**common, "video": video.sha256}
        if upstream is not None:
            state = upstream[video.video_id]
            if not state["frames_with_face"]:
                settled[video.video_id] = (None, {"status": SKIPPED, "reason": f"faces: {state['status']}"})
                continue
            parts["faces"] = state["key"]
        key = make_key(parts)
        record = results.find(key)
        if record is not None:
            settled[video.video_id] = (key, record)
        else:
            faces = dataset_folder(dataset) / "faces" if upstream is not None else None
            jobs.append(_Job(video, key, stage.name, stage.schema, stage.work, params, faces))
    return settled, jobs


def _upstream(dataset: str) -> Mapping[str, dict[str, Any]]:
    table = read_table(dataset_folder(dataset) / "faces" / "coverage.parquet", COVERAGE)
    return {row["video_id"]: row for row in table.to_pylist()}


@cache
def _faces(folder: Path) -> Shards:
    return Shards(folder, FACES)


def _compute(job: _Job) -> dict[str, Any]:
    """In a worker: compute one video's result and put it into the results. Returns its record."""
    results = ResultCache(job.stage, job.schema)
    known = results.find(job.key)
    if known is not None:  # a file of the same content came first
        return known
    rows = _faces(job.faces).read(job.video.video_id) if job.faces is not None else None
    try:
        result = job.work(job.video, rows, job.params)
    except OSError:
        _check_there(job.video.path)
        raise
    except MediaError as error:
        _check_there(job.video.path)
        result = Result(job.schema.empty_table(), {"status": error.status, "reason": error.reason})
    results.write(job.key, conform(result.table, job.schema), result.record)
    return result.record


def _check_there(path: Path) -> None:
    """A file that was there when the dataset was listed and is gone now is no result of its content to remember."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            path.open("rb").close()
    except OSError as error:
        raise UserError(
            f"{stored(str(path))} cannot be read ({error.strerror}) and could be when the dataset was listed: bring it "
            f"back and run the same command again, or list the dataset anew with `dvc repro -f` of its download stage."
        ) from None


def _settled(outcome: Outcome[_Job, dict[str, Any]]) -> tuple[str | None, dict[str, Any]]:
    if outcome.value is not None:
        return (outcome.task.key, outcome.value)
    if outcome.status not in _PASSING:
        raise UserError(f"{outcome.task.video.path}: {outcome.reason}")
    return (None, {"status": outcome.status, "reason": outcome.reason})


def _coverage(records: list[dict[str, Any]], settled: _Settled) -> pa.Table:
    rows = [
        {**{name: record.get(name) for name in COVERAGE.names}, "key": settled[record["video_id"]][0] or ""}
        for record in records
    ]
    return from_rows(rows, COVERAGE)


def _assemble(
    stage: VideoStage,
    dataset: str,
    videos: list[Video],
    settled: _Settled,
    results: ResultCache,
    coverage: pa.Table | None,
) -> int:
    count = 0
    with ShardWriter(dataset_folder(dataset) / stage.name, stage.schema) as writer:
        for video in videos:
            key = settled[video.video_id][0]
            if key is not None:
                table = results.table(key, video.video_id)
                writer.write(table)
                count += table.num_rows
        if coverage is not None:
            writer.add("coverage.parquet", coverage, COVERAGE)
    return count


def _metrics(stage: VideoStage, records: list[dict[str, Any]]) -> dict[str, Any]:
    failures = [record for record in records if record["status"] not in stage.good | {SKIPPED}]
    listed = [{name: record.get(name) for name in ("video_id", "status", "reason")} for record in failures]
    return {
        "videos": len(records),
        "status": dict(sorted(Counter(record["status"] for record in records).items())),
        "failed": len(failures),
        "failed_fraction": round(len(failures) / len(records), 6) if records else None,
        **stage.summarise(records),
        "failures": listed[:LISTED_FAILURES],
    }


def _too_many_failed(
    stage: VideoStage, dataset: str, params: VideoStageParams, metrics: dict[str, Any], place: Path
) -> str:
    first = "\n".join(f"  {f['video_id']}: {f['status']}: {f['reason']}" for f in metrics["failures"][:5])
    return (
        f"{stage.name}: {metrics['failed']} of {metrics['videos']} videos of {dataset} failed, more than "
        f"{stage.name}.max_failed_fraction = {params.max_failed_fraction:g} allows. {place} lists them; the first:\n"
        f"{first}\nMend or remove them, or raise {stage.name}.max_failed_fraction in params.yaml."
    )
