"""dfdetect demo: serve the page on this machine alone."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dfdetect.demo import app
from dfdetect.demo.precheck import MAX_MB
from dfdetect.errors import UserError
from dfdetect.inference.saved_model import FOLDER, read_info

# Nothing is sent or fetched: no statistics, no browser opened, no address but the loopback's.
FLAGS = {
    "server.address": "127.0.0.1",
    "server.headless": "true",
    "server.maxUploadSize": str(MAX_MB),
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "browser.serverAddress": "127.0.0.1",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "type",
}


def command(port: int) -> list[str]:
    """What starts the server."""
    flags = [f"--{name}={value}" for name, value in {**FLAGS, "server.port": str(port)}.items()]
    return [sys.executable, "-m", "streamlit", "run", app.__file__, *flags]


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="dfdetect demo", description=__doc__)
    parser.add_argument("--model", type=Path, default=FOLDER, help="the detector's folder (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="datasets to pick clips from (%(default)s)")
    parser.add_argument("--port", type=int, default=8501)
    asked = parser.parse_args(arguments)
    if importlib.util.find_spec("streamlit") is None:
        raise UserError("the page needs Streamlit, which is not installed here: run `make demo`.")
    read_info(asked.model)
    root = Path(app.__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, app.MODEL: str(asked.model), app.DATA: str(asked.data), "PYTHONPATH": path}
    print(f"open http://127.0.0.1:{asked.port} in a browser; Ctrl-C ends it", file=sys.stderr, flush=True)
    os.execve(sys.executable, command(asked.port), environment)  # this process, so that what ends it ends the server
