"""How every command line ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "flushed while it runs": "for _ in range(3): print('x' * 100_000, flush=True)",
    "flushed at its end": "print('x')",
}


@pytest.mark.parametrize("body", COMMANDS.values(), ids=list(COMMANDS))
def test_a_reader_that_is_gone_ends_a_command_without_a_traceback(body: str) -> None:
    """As `| head` does once it has enough."""
    read, write = os.pipe()
    os.close(read)
    code = f"from dfdetect.errors import run_cli\ndef main():\n    {body}\nrun_cli(main)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 141  # as a shell shows a filter that SIGPIPE ended


def test_a_command_runs_without_standard_output() -> None:
    code = "import sys\nfrom dfdetect.errors import run_cli\nrun_cli(lambda: print(sys.stdout.isatty()) or 3)\n"
    command = ["sh", "-c", '"$0" -c "$1" >&-', sys.executable, code]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (3, b"")


def test_another_broken_pipe_is_no_silent_end() -> None:
    code = "from dfdetect.errors import run_cli\ndef main():\n    raise BrokenPipeError('to a server')\nrun_cli(main)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"to a server" in done.stderr
