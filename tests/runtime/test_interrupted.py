"""A stage as its own process: Ctrl-C, a second run beside it, and what a killed one leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dfdetect.errors import UserError
from dfdetect.io.schemas import VIDEOS
from dfdetect.io.tables import from_rows, write_table
from dfdetect.runtime.locks import exclusive, shared

ROOT = Path(__file__).parents[2]
# A stage whose videos each take a minute, and which says when it has begun with one.
STAGE = """
import time
from pathlib import Path

from dfdetect.errors import run_cli
from dfdetect.config.params import RuntimeParams, MouthsParams
from dfdetect.runtime.video_stage import VideoStage, run_stage
from dfdetect.io.schemas import MOUTHS


def work(video, faces, params):
    Path("begun").touch()
    time.sleep(60)


def main():
    stage = VideoStage("mouths", MOUTHS, ("dfdetect/runtime/cache.py",), work)
    run_stage(stage, "set", MouthsParams(), RuntimeParams(num_workers=2))


if __name__ == "__main__":
    run_cli(main)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "slow_stage.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_ctrl_c_stops_at_once_and_a_second_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "slow_stage.py").write_text(STAGE)
    raw = tmp_path / "data/set/raw"
    raw.mkdir(parents=True)
    rows = [{"video_id": name, "path": name, "sha256": name, "status": "ok"} for name in "abcd"]
    for row in rows:
        (raw / str(row["path"])).touch()
    write_table(raw.parent / "videos.parquet", from_rows(rows, VIDEOS), VIDEOS)
    first = start(tmp_path)
    try:
        deadline = time.monotonic() + 90
        while not (tmp_path / "begun").exists():
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        second = start(tmp_path)
        _, said = second.communicate(timeout=60)
        assert second.returncode == 2
        assert f"set.mouths.lock is held: mouths of set is being run by process {first.pid} on " in said
        os.killpg(first.pid, signal.SIGINT)
        _, said = first.communicate(timeout=5)
    finally:
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()
    assert first.returncode == 130
    assert "interrupted: finished videos are kept; run the same command again to go on." in said
    assert "Traceback" not in said
    assert not (tmp_path / "data/set/mouths").exists()


def test_a_lock_goes_with_its_process_and_its_leftovers_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("data/set/faces")
    code = (
        "import os, signal; from pathlib import Path; from dfdetect.runtime.locks import exclusive, shared;"
        "from dfdetect.io.tables import temporary_folder\n"
        "with exclusive('faces', 'set', Path('data/set/faces')), shared(Path('.cache/results/faces')):\n"
        "    temporary_folder(Path('data/set/faces')); Path('.cache/results/faces/ab').mkdir(parents=True)\n"
        "    Path('.cache/results/faces/ab/.entry.parquet.x.tmp').touch(); print('held', flush=True); input()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"by process {holder.pid} on "), exclusive("faces", "set", out):
        pass
    with exclusive("masks", "set"), exclusive("faces", "other"), shared(Path(".cache/results/faces")):
        pass  # another stage or dataset may run, and leaves alone what is being written
    assert len(list(Path(".cache/results/faces/ab").iterdir())) == 1
    assert len(list(out.parent.glob(".faces.*.tmp"))) == 1
    holder.kill()
    holder.communicate()
    with exclusive("faces", "set", out), shared(Path(".cache/results/faces")):
        assert list(out.parent.iterdir()) == []
        assert list(Path(".cache/results/faces/ab").iterdir()) == []


def test_a_lock_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".cache").write_text("a file in the way")
    with pytest.raises(UserError, match=r"set\.faces\.lock cannot be written"), exclusive("faces", "set"):
        pass
