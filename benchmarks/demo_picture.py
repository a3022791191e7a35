"""Photograph the web page for README: `make demo-picture`, after `make repro`. Needs Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfdetect.arguments import parser

if TYPE_CHECKING:
    from playwright.sync_api import Page

OUT = Path("docs/pictures/demo.png")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
PATIENCE_MS = 180_000


def chromium() -> str | None:
    """Where Chromium is, if it is here."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The page on a free port: its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dfdetect.demo", "--port", str(port), *arguments]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stderr=log, stdout=log)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.2)
                if server.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(f"the page ended: {log.read().decode()[-2000:]}")
            yield address
        finally:
            server.terminate()
            server.wait(timeout=60)


@contextmanager
def opened(address: str, **context: Any) -> Iterator[tuple[Page, list[str]]]:
    """The page in a fresh Chromium, and the addresses that it asked for, as they come.

    Args:
        address: of the page.
        context: viewport, color_scheme and the like.
    """
    from playwright.sync_api import sync_playwright

    sandbox = hasattr(os, "geteuid") and os.geteuid() != 0  # it does not work for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS, chromium_sandbox=sandbox)
        page = browser.new_page(**context)
        page.set_default_timeout(PATIENCE_MS)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_text("Is this face real?").first.wait_for()
        yield page, asked
        browser.close()


def pick(page: Page, words: str) -> None:
    """Choose a clip by a part of its name, and wait for the verdict."""
    box = page.get_by_role("combobox")
    box.click()
    box.fill(words)
    page.get_by_role("option").first.click()
    wait_for_prediction(page)


def wait_for_prediction(page: Page) -> None:
    """Wait for the verdict, and for the pictures to be there."""
    page.locator("[data-verdict]").wait_for()
    page.wait_for_timeout(1500)


def main() -> None:
    """Write the picture."""
    arguments = parser("benchmarks.demo_picture", __doc__)
    arguments.add_argument("--clip", default="FakeVideo-FakeAudio 1", help="part of the clip's name (%(default)s)")
    arguments.add_argument("--out", type=Path, default=OUT)
    arguments.add_argument("--width", type=int, default=1000)
    arguments.add_argument("--height", type=int, default=1700)
    arguments.add_argument("--dark", action="store_true")
    asked = arguments.parse_args()
    if chromium() is None:
        raise SystemExit(f"error: none of {', '.join(NAMES)} is on PATH: install Chromium to photograph the page.")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    size = {"width": asked.width, "height": asked.height}
    with (
        served() as address,
        opened(address, viewport=size, color_scheme="dark" if asked.dark else "light") as (page, _),
    ):
        pick(page, asked.clip)
        page.screenshot(path=str(asked.out))
    print(asked.out)


if __name__ == "__main__":
    main()
