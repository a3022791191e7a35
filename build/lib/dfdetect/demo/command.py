"""dfdetect demo: serve the page on this machine alone."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dfdetect.arguments import add_model, parser
from dfdetect.errors import UserError

# Nothing is sent or fetched: no statistics, no browser opened, no address but the loopback's.
FLAGS = {
    "server.address": "127.0.0.1",
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "browser.serverAddress": "127.0.0.1",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "type",
}


def command(port: int) -> list[str]:
    """What starts the server."""
    from dfdetect.demo import app
    from dfdetect.demo.precheck import MAX_MB

    options = {**FLAGS, "server.port": port, "server.maxUploadSize": MAX_MB}
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", app.__file__, *flags]


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    options = parser("dfdetect demo", __doc__)
    add_model(options)
    options.add_argument("--data", type=Path, default=Path("data"), help="datasets to pick clips from (%(default)s)")
    options.add_argument("--port", type=int, default=8501)
    asked = options.parse_args(arguments)
    from dfdetect.demo import app
    from dfdetect.inference.saved_model import read_info

    if importlib.util.find_spec("streamlit") is None:
        raise UserError("the page needs Streamlit, which is not installed here: run `make demo`.")
    read_info(asked.model)
    root = Path(app.__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, app.MODEL: str(asked.model), app.DATA: str(asked.data), "PYTHONPATH": path}
    print(f"open http://127.0.0.1:{asked.port} in a browser; Ctrl-C ends it", file=sys.stderr, flush=True)
    os.execve(sys.executable, command(asked.port), environment)  # this process, so that what ends it ends the server
