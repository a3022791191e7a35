"""What the benchmarks measure with: rounds in turn, medians of paired ratios, drawn data that fills batches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import bench, bench_gpu, bench_scale, measure
from benchmarks.bench_loading import write_crops
from benchmarks.measure import in_turn, ratio, spread
from dfdetect.config.recipe import Recipe
from dfdetect.errors import UserError
from dfdetect.runtime.pool import Outcome
from dfdetect.runtime.video_stage import Video


def test_a_ratio_is_the_median_of_rounds_not_of_sums() -> None:
    assert ratio([2.0, 30.0, 4.0], [1.0, 10.0, 2.0]) == "2.00 x (2.00 to 3.00)"
    assert spread([0.5, 0.25, 1.0]) == "0.5 s (0.25 to 1)"
    assert spread([1030.4, 987.0, 12000.0], "crops a second") == "1,030 crops a second (987 to 12,000)"


def test_two_functions_are_called_in_turn_after_one_call_each_that_does_not_count() -> None:
    calls: list[str] = []
    a, b = in_turn(lambda: calls.append("a"), lambda: calls.append("b"), rounds=2, most=4)
    assert calls == ["a", "b"] * 5
    assert len(a) == len(b) == 4


def test_what_takes_long_is_called_no_more_often_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "seconds", lambda _: measure.ENOUGH_S / 2)
    a, b = in_turn(lambda: None, lambda: None, rounds=2)
    assert len(a) == len(b) == 2


def test_each_clip_is_measured_in_turn_with_its_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Path]] = []

    def seconds(function: Callable[[], object]) -> float:
        function()
        return measure.ENOUGH_S if calls[-1][0] == "work" else measure.ENOUGH_S / 4

    monkeypatch.setattr(measure, "seconds", seconds)
    videos = [Video(name, Path(name), name, True, duration_s) for name, duration_s in (("a", 20.0), ("b", 40.0))]
    times, floors, speeds = bench.against_floor(
        videos, lambda video: calls.append(("work", video.path)), lambda path: calls.append(("floor", path))
    )
    rounds = 1 + measure.ROUNDS  # the first does not count
    assert calls == [(what, video.path) for video in videos for _ in range(rounds) for what in ("work", "floor")]
    assert [x / y for x, y in zip(times, floors, strict=True)] == [4.0] * (2 * measure.ROUNDS)
    assert speeds == [20.0 / measure.ENOUGH_S] * measure.ROUNDS + [40.0 / measure.ENOUGH_S] * measure.ROUNDS


def test_the_gpu_benchmark_draws_crops_that_fill_its_batches(tmp_path: Path) -> None:
    recipe, settings = bench_gpu.load_setup(smoke=True)
    detector = bench_gpu.registry.build(bench_gpu.DETECTOR, settings)
    write_crops(tmp_path, side=32, videos=4, crops=4)
    batch = next(bench_gpu.batches(tmp_path, detector, recipe))
    assert len(batch["rows"]) == recipe.batch_size
    larger = Recipe.model_validate({**recipe.model_dump(), "batch_size": 64})
    with pytest.raises(UserError, match="16 drawn crops give no batch of 64"):
        next(bench_gpu.batches(tmp_path, detector, larger))


def test_a_start_up_ends_where_the_first_video_would_begin_if_all_were_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench_scale.Timed(8.5, 200.0, 700.0)

    def stage(name: str, folder: Path, workers: int) -> bench_scale.Timed:
        assert workers == 1
        # the first video takes 5 s, of which a second one needs 2
        (folder / f"{name}.notes").write_text("7 1001 1006\n7 1006 1008\n")
        return whole

    monkeypatch.setattr(bench_scale, "timed_stage", stage)
    monkeypatch.setattr(bench_scale.time, "time", lambda: 1000.0)
    seconds, run = bench_scale.start_up("faces", tmp_path)
    assert seconds == 4.0
    assert run is whole


def test_a_noted_work_writes_down_each_of_its_calls(tmp_path: Path) -> None:
    noted = bench_scale.Noted(lambda a, b: a + b, tmp_path / "notes")
    assert [noted(1, 2), noted(3, 4)] == [3, 7]
    (mine, begun, done), (again, begun_again, done_again) = bench_scale.read_notes(tmp_path / "notes")
    assert mine == again == os.getpid()
    assert begun <= done <= begun_again <= done_again


def test_the_pace_of_two_workers_is_the_sum_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(noted: bench_scale.Noted, tasks: list[str], *_: object, **__: object) -> list[Outcome[str, None]]:
        # worker 1: a task every 2 s from 12 on; worker 2, which comes late: one every 4 s from 16 on
        ends = [(1, 12), (1, 14), (2, 16), (1, 16), (1, 18), (2, 20)]
        noted.notes.write_text("".join(f"{pid} {end - 1} {end}\n" for pid, end in ends))
        return [Outcome(task, None, "ok") for task in tasks]

    monkeypatch.setattr(bench_scale, "run", run)
    assert bench_scale.pace(time.sleep, ["a"] * 6, 2) == pytest.approx(1 / 2 + 1 / 4)


def test_the_pace_counts_no_task_that_failed() -> None:
    with pytest.raises(RuntimeError, match="never: failed"):
        bench_scale.pace(time.sleep, ["never"], 1)
