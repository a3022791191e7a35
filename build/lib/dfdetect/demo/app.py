"""The page itself, run by Streamlit anew at every click: `make demo`."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dfdetect.inference.saved_model import FOLDER

if TYPE_CHECKING:
    from dfdetect.inference.predictor import Predictor

MODEL, DATA = "DEMO_MODEL", "DEMO_DATA"  # environment variables: Streamlit's scripts take no arguments
KINDS = ["mp4", "mov", "mkv", "webm", "avi", "m4v", "mpg", "jpg", "jpeg", "png", "webp"]
PREVIEW_MB = 50  # Streamlit keeps what it shows in memory


def show() -> None:
    """Draw the page."""
    import streamlit as st

    from dfdetect.demo.examples import test_clips
    from dfdetect.demo.precheck import MAX_MB, MAX_S
    from dfdetect.errors import UserError

    st.set_page_config(page_title="Is this face real?", layout="centered")
    st.title("Is this face real?", anchor=False)
    try:
        predictor, turn = st.cache_resource(show_spinner="Reading the detector")(_detector)()
    except UserError as error:
        st.error(str(error))
        return
    info = predictor.info
    st.markdown(f"A trained `{info.detector}` looks at the faces in a video or picture. Nothing leaves this machine.")
    upload = st.file_uploader(
        f"A video or picture (up to {MAX_MB} MB and {MAX_S // 60} minutes)", type=KINDS, max_upload_size=MAX_MB
    )
    clips = test_clips(Path(os.environ.get(DATA, "data")))
    picked = st.selectbox(
        "Or a clip that the detector was not trained on", list(clips), index=None, disabled=upload is not None
    )
    if upload is not None:
        with tempfile.TemporaryDirectory(prefix="demo-") as folder:
            path = Path(folder) / f"upload{Path(upload.name).suffix.lower()}"
            path.write_bytes(upload.getbuffer())
            _show_file(path, upload.name, None, predictor, turn)
    elif picked is not None:
        _show_file(clips[picked].path, picked, clips[picked].dataset, predictor, turn)


def _show_file(path: Path, name: str, dataset: str | None, predictor: Predictor, turn: threading.Lock) -> None:
    import streamlit as st

    from dfdetect.demo.markup import evidence, verdict
    from dfdetect.demo.view import predict_file
    from dfdetect.inference.prediction import to_json_line

    left, right = st.columns([2, 3], gap="medium")  # one above the other on a phone
    with right:
        waiting = "Another file is being scored" if turn.locked() else "Looking for the face and scoring it"
        with st.spinner(waiting), turn:
            view = predict_file(path, predictor, name=name, dataset=dataset)
        st.html(verdict(view))
    with left:  # nothing that was not decoded is shown, and a picture as it was decoded
        if view.preview is not None:
            st.image(view.preview)
        elif view.readable and path.stat().st_size <= PREVIEW_MB * 1e6:
            st.video(path.read_bytes())
    if text := evidence(view):
        st.html(text)
    st.download_button(
        "All figures as JSON",
        to_json_line(view.prediction.to_dict()),
        file_name=f"{Path(name).stem}.json",
        mime="application/json",
        on_click="ignore",  # or the file would be scored again
    )


def _detector() -> tuple[Predictor, threading.Lock]:
    """Loaded once for all visitors, who take turns: one file at a time."""
    from dfdetect.demo.view import page_predictor

    predictor = page_predictor(os.environ.get(MODEL, FOLDER))
    _ = predictor.scorer
    return predictor, threading.Lock()


if __name__ == "__main__":
    show()
