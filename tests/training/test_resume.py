"""An interrupted training reaches the weights of an uninterrupted one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dfdetect.config.params import load
from dfdetect.errors import UserError
from dfdetect.inference import saved_model
from dfdetect.training import resume
from dfdetect.training.module import Training
from dfdetect.training.run import train
from tests.training import tiny  # noqa: F401  # registers the detector

Write = Callable[..., Path]
ROOT = Path(__file__).parents[2]
STEPS = [{"name": "HorizontalFlip"}, {"name": "ColorJitter"}]
RECIPE = {
    "epochs": 4,
    "transforms": STEPS,
    "lr_scheduler": "cosine",
    "warmup_epochs": 1,
    "frames_per_video": 4,
    "gradient_clip_val": 1.0,
}


class Killed(BaseException):
    """Stands for a power cut: nothing is cleaned up, only the disk remains."""


def outputs(project: Path) -> tuple[bytes, bytes]:
    """The weights' and the metrics' bytes."""
    weights, metrics = "models/detector/model.safetensors", "metrics/details/train.json"
    return (project / weights).read_bytes(), (project / metrics).read_bytes()


def kill_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """The training dies at the end of its n-th batch, counted from now."""
    original, seen = Training.on_train_batch_end, [0]

    def dying(self: Training, *args: Any) -> None:
        seen[0] += 1
        if seen[0] == batches:
            raise Killed
        original(self, *args)

    monkeypatch.setattr(Training, "on_train_batch_end", dying)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"checkpoint_steps": 1},
        {"checkpoint_steps": 1, "accumulate_grad_batches": 2},
        {"ema_decay": 0.9, "checkpoint_steps": 1},
    ],
    ids=["epochs", "steps", "accumulated", "ema"],
)
def test_killed_training_reaches_the_same_weights(
    project: Path, write_params: Write, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    path = write_params(**RECIPE, **changes)
    train(load(path))
    whole = outputs(project)
    for batches in (2, 5, 8, 15):
        with monkeypatch.context() as patched:
            kill_after(patched, batches)
            with pytest.raises(Killed):
                train(load(path))
        train(load(path))
        weights, metrics = outputs(project)
        assert weights == whole[0], f"killed after {batches} batches"
        assert metrics == whole[1], f"killed after {batches} batches"


def test_killed_again_and_again(project: Path, write_params: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_params(**RECIPE, checkpoint_steps=1)
    train(load(path))
    whole = outputs(project)
    finished = False
    for _ in range(20):
        with monkeypatch.context() as patched:
            kill_after(patched, 2)  # one batch of progress a life
            try:
                train(load(path))
                finished = True
                break
            except Killed:
                pass
    assert finished
    assert outputs(project) == whole


def test_killed_between_last_epoch_and_result(
    project: Path, write_params: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_params(**RECIPE, early_stop={"patience": 1, "min_delta": 0.5})
    train(load(path))
    whole = outputs(project)
    with monkeypatch.context() as patched:
        patched.setattr("dfdetect.training.run.write_result", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train(load(path))
    capsys.readouterr()
    train(load(path))
    said = capsys.readouterr()
    assert "resuming" in said.out
    assert "epoch" not in said.err
    assert outputs(project) == whole


def test_changed_params_start_anew_and_say_so(
    project: Path, write_params: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_params(**RECIPE, lr=0.02)
    train(load(path))
    whole = outputs(project)
    with monkeypatch.context() as patched:
        kill_after(patched, 5)
        with pytest.raises(Killed):
            train(load(write_params(**RECIPE)))
    capsys.readouterr()
    train(load(write_params(**RECIPE, lr=0.02)))
    assert "starting anew" in (said := capsys.readouterr().out)
    assert "recipe.lr (0.01 -> 0.02)" in said
    assert outputs(project) == whole


def test_changed_code_starts_anew(
    write_params: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_params(**RECIPE)
    with monkeypatch.context() as patched:
        kill_after(patched, 5)
        with pytest.raises(Killed):
            train(load(path))
    capsys.readouterr()
    monkeypatch.setattr("dfdetect.training.run.code_hash", lambda _: "changed")
    train(load(path))
    assert "differs in code" in capsys.readouterr().out


def test_code_is_what_the_pipeline_lists() -> None:
    listed = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train"]["deps"]
    code = {name for name in listed if name.startswith("dfdetect/")}
    own = "dfdetect/detectors/xception.py"
    assert {*resume.code_of("xception"), "dfdetect/detectors/${train.detector}.py"} == code | {own}


def test_starting_weights(project: Path, write_params: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_params(epochs=1, settings={"width": 6})
    first = train(load(path))
    raw = yaml.safe_load(path.read_text())
    raw["train"]["init_checkpoint"] = "models/detector"
    raw["recipes"]["smoke"]["detector_overrides"] = {"tiny": {"width": 6, "drop_rate": 0.1}}
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError, match=r"lies in models/detector.*cp -r models/detector models/earlier"):
        train(load(path))
    shutil.copytree(project / "models/detector", project / "models/earlier")
    raw["train"]["init_checkpoint"] = "models/earlier"
    path.write_text(yaml.safe_dump(raw))
    capsys.readouterr()
    again = train(load(path))
    assert first is not None
    assert again is not None
    assert again["best"] != first["best"]
    said = capsys.readouterr().out
    assert "recipe smoke sets tiny.drop_rate 0.1 instead of 0.2" in said
    assert "width" not in said
    info = saved_model.read_info(project / "models/detector")
    assert len(info.data["models/earlier/model.safetensors"]) == 64
    assert info.trained_on == 2 * saved_model.read_info(project / "models/earlier").trained_on


def test_what_changes_no_result_does_not_start_anew(
    write_params: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        kill_after(patched, 5)
        with pytest.raises(Killed):
            train(load(write_params(**RECIPE)))
    capsys.readouterr()
    train(load(write_params(**RECIPE, prefetch_factor=3, checkpoint_steps=7)))
    assert "resuming the interrupted training" in capsys.readouterr().out


def test_sigterm_saves_and_says_how_to_go_on(
    project: Path, write_params: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_params(**RECIPE)
    train(load(path))
    whole = outputs(project)
    original, seen = Training.training_step, [0]

    def terminated(self: Training, *args: Any) -> Any:
        seen[0] += 1
        if seen[0] == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "training_step", terminated)
        with pytest.raises(UserError, match=r"interrupted; its state is in .*last\.ckpt.*same command"):
            train(load(path))
    assert seen[0] == 6
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    train(load(path))
    assert outputs(project) == whole


def test_a_checkpoint_runs_no_code(write_params: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_params(**RECIPE)
    with monkeypatch.context() as patched:
        kill_after(patched, 5)
        with pytest.raises(Killed):
            train(load(path))
    (last,) = Path(".cache/train").glob("*/last.ckpt")
    state = torch.load(last, weights_only=True)
    state["callbacks"]["harmful"] = Path("/")  # any object that is no tensor
    torch.save(state, last)
    with pytest.raises(UserError, match=r"last\.ckpt cannot be read.*[Rr]emove"):
        train(load(path))


def test_differences_are_named() -> None:
    before, after = {"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1, "c": 3}, "d": [1], "e": "new"}
    assert resume.differences(before, after) == ["a.c (2 -> 3)", 'e (null -> "new")']


def test_hashes_follow_the_content(tmp_path: Path) -> None:
    folder, cache = tmp_path / "faces", tmp_path / "hashes.json"
    folder.mkdir()
    (folder / "a").write_bytes(b"one")
    (folder / "b").write_bytes(b"two")
    single = tmp_path / "splits"
    single.write_bytes(b"three")
    first = resume.hash_files([folder, single], cache)
    assert resume.hash_files([folder, single], cache) == first
    (folder / "b").write_bytes(b"twa")
    os.utime(folder / "b", ns=(1, 1))
    second = resume.hash_files([folder, single], cache)
    assert second[str(folder)] != first[str(folder)]
    assert second[str(single)] == first[str(single)]
    (folder / "b").rename(folder / "c")
    assert resume.hash_files([folder, single], cache)[str(folder)] != second[str(folder)]


@pytest.mark.slow
def test_kill_9_of_the_command(project: Path, write_params: Write) -> None:
    write_params(**RECIPE, tracker="dvclive", checkpoint_steps=1)
    code = (
        "import os, signal, sys; from tests.training import tiny; from dfdetect.training.module import Training;"
        "from stages.train import main; step = Training.training_step; count = [0]; at = int(sys.argv.pop())\n"
        "def dying(self, *a):\n"
        "    count[0] += 1\n"
        "    if count[0] == at: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return step(self, *a)\n"
        "Training.training_step = dying; main()"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def run(at: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", code, str(at)], cwd=project, env=env, capture_output=True, text=True
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    def curves() -> dict[str, bytes]:
        folder = project / "metrics/plots/train"
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.tsv")}

    assert run(0) == 0
    whole, drawn = outputs(project), curves()
    assert len(drawn["plots/metrics/val_auc.tsv"].splitlines()) == 5
    assert run(7) == -signal.SIGKILL
    assert run(0) == 0
    assert outputs(project) == whole
    assert curves() == drawn
