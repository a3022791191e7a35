"""The page in a real browser: a file is uploaded, scored and forgotten, and nothing outside is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import av
import numpy as np
import pytest

from benchmarks.demo_picture import chromium, opened, served, wait_for_prediction
from tests.evaluation.saved_models import save_model

MISSING = [name for name in ("streamlit", "playwright") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason="streamlit and playwright are optional: make browser-setup"),
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed"),
]
# Whole pictures are taken as face crops, so that noise can be scored.
FACES = {"face_detector": "mtcnn", "frames_per_video": 3, "image_size": 96, "cropped": True}
PHONE = {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "a <b>.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (8, 96, 96, 3), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=8)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        for picture in noise:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def address(page_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    save_model(folder / "model", "xception", preprocess={"faces": FACES})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(page_folder))
        with served("--model", str(folder / "model"), "--data", str(folder / "data")) as found:
            yield found


def test_a_clip_is_scored_and_forgotten_and_a_broken_one_refused(address: str, clip: Path, page_folder: Path) -> None:
    with opened(address, viewport=PHONE) as (page, asked):
        chooser = page.locator("input[type=file]")
        chooser.set_input_files(str(clip))
        wait_for_prediction(page)
        assert page.locator("[data-verdict]").get_attribute("data-verdict") in ("fake", "real")
        assert page.locator(".dd .name").first.inner_text() == clip.name
        assert page.get_by_text("trained on made").count() == 1
        assert page.locator(".dd .time .dot").count() == 3
        assert page.locator(".dd .faces img").count() == 6
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        chooser.set_input_files([{"name": "broken.mp4", "mimeType": "video/mp4", "buffer": b"no video"}])
        page.locator("[data-verdict='not scored']").wait_for()
        assert page.locator("[data-evidence]").count() == 0
        page.get_by_role("button", name="JSON").wait_for()
        chooser.set_input_files([{"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"}])
        page.get_by_text("broken.png").last.wait_for()
        page.locator("[data-verdict='not scored'] .name", has_text="broken.png").wait_for()
        assert page.locator("[data-testid=stException]").count() == 0
        assert page.locator("[data-testid=stImage], video").count() == 0
    outside = {urlsplit(url).hostname for url in asked if url.startswith(("http", "ws"))} - {"127.0.0.1"}
    assert outside == set()
    assert list(page_folder.glob("demo-*")) == []
