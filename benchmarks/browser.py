"""A headless Chromium, driven by the DevTools protocol over a pipe: for pictures of pages, and to test them.

Nothing but the standard library; the browser is the machine's own (`chromium`, `google-chrome`, or $CHROMIUM).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
TIMEOUT_S, END_S = 120.0, 10.0


def find_browser() -> str | None:
    """The path of a Chromium: $CHROMIUM, or the first that is on the path; None if there is none."""
    wanted = os.environ.get("CHROMIUM")
    return next((found for name in ([wanted] if wanted else NAMES) if (found := shutil.which(name))), None)


class Browser:
    """One page in a headless Chromium; a context manager.

    Attributes:
        requests: addresses that pages asked for.
        errors: what their consoles said and the exceptions that they threw.
    """

    def __init__(self, program: str) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._count, self._read, self._loaded = 0, b"", False
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        # Chromium reads commands from 3 and answers on 4; high copies first, so that neither is overwritten
        high_in, high_out = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (theirs_in, theirs_out))
        self._process = os.posix_spawn(
            program,
            [program, *OPTIONS, f"--user-data-dir={self._profile.name}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, high_in, 3),
                (os.POSIX_SPAWN_DUP2, high_out, 4),
            ],
        )
        for fd in (theirs_in, theirs_out, high_in, high_out):
            os.close(fd)
        self._in, self._out = ours_in, ours_out
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{part}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._out)  # it ends when its pipe does
        os.close(self._in)
        end = time.monotonic() + END_S
        while os.waitpid(self._process, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.kill(self._process, signal.SIGKILL)
            time.sleep(0.05)
        self._profile.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            RuntimeError: the browser refuses, or ends. TimeoutError: it does not answer.
        """
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def open(self, address: str, *, width: int, height: int, dark: bool = False) -> None:
        """Show a page at a width and height in CSS pixels, by day or by night, and wait until it has loaded."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded = False
        self.call("Page.navigate", url=address)
        while not self._loaded:
            self._next()

    def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']['text']}")
        return found["result"].get("value")

    def picture(self, *, top: float = 0, height: float | None = None) -> bytes:
        """A PNG of the page from a place down, the window's height or the height given."""
        size = self.call("Page.getLayoutMetrics")
        view, whole = size["cssLayoutViewport"], size["cssContentSize"]
        tall = min(height or view["clientHeight"], whole["height"] - top)
        clip = {"x": 0, "y": top, "width": view["clientWidth"], "height": tall, "scale": 1}
        found = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(found["data"])

    def _next(self) -> dict[str, Any]:
        """The next message; events are noted."""
        end = time.monotonic() + TIMEOUT_S
        while b"\0" not in self._read:
            if not select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the browser is silent for {TIMEOUT_S:g} s")
            data = os.read(self._in, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._read += data
        head, _, self._read = self._read.partition(b"\0")
        message: dict[str, Any] = json.loads(head)
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(json.dumps(params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Page.loadEventFired":
            self._loaded = True
        return message


def address(path: Path) -> str:
    """A file's address."""
    return path.resolve().as_uri()
