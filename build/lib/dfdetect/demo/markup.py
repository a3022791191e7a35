"""The page's content as HTML: no script, no outside address, readable in light and in dark mode.

The timeline is HTML and not a chart of reporting.charts, because Streamlit's st.html removes every <svg>
(streamlit/streamlit pull request 8366). Not named html: Streamlit puts the folder of its script first on the path.
"""

from __future__ import annotations

import base64
from html import escape

import cv2

from dfdetect.demo.view import Face, PredictionView
from dfdetect.inference.prediction import Prediction
from dfdetect.inference.saved_model import SYNTHETIC_WARNING
from dfdetect.media.frames import Rgb

# Of one lightness that stands out on white and on black. Every label is also a word and a shape.
STYLE = """<style>
.dd{--fake:#d9622b;--real:#3b82c4;--line:rgba(128,128,128,.35);line-height:1.45}
.dd .warning{border:2px solid #b58900;border-radius:4px;padding:.3rem .8rem;font-weight:600}
.dd h3{font-size:1.05rem;margin:1.6rem 0 .5rem;padding:0}
.dd .verdict{border-left:6px solid var(--line);padding:.2rem 0 .2rem 1rem;margin:.5rem 0 1rem;overflow-wrap:anywhere}
.dd .verdict.fake{border-color:var(--fake)}.dd .verdict.real{border-color:var(--real)}
.dd .word{font-size:2rem;font-weight:700;line-height:1.2}
.dd .fake .word{color:var(--fake)}.dd .real .word{color:var(--real)}
.dd .word small{font-size:1rem;font-weight:400;opacity:.85;color:inherit;white-space:nowrap}
.dd .name{font-size:.85rem;opacity:.75}
.dd .meter{position:relative;height:14px;border-radius:7px;background:var(--line);margin:.6rem 0 1.5rem;max-width:30rem}
.dd .meter i{display:block;height:100%;border-radius:7px;background:currentColor}
.dd .meter b{position:absolute;top:-4px;bottom:-4px;width:2px;background:currentColor}
.dd .meter span{position:absolute;top:17px;font-size:.75rem;opacity:.8}
.dd .time{position:relative;height:170px;margin:0 .6rem 1.6rem 2.6rem;border:solid var(--line);border-width:1px 0}
.dd .time .dot{position:absolute;width:11px;height:11px;margin:-5.5px;box-sizing:border-box;border-radius:50%}
.dd .dot.fake{background:var(--fake);border-radius:2px}.dd .dot.real{border:3px solid var(--real)}
.dd .time .level{position:absolute;left:0;right:0;border-top:1.5px dashed currentColor;opacity:.7}
.dd .time .y{position:absolute;right:100%;margin-right:.5rem;transform:translateY(-50%);font-size:.75rem;opacity:.8}
.dd .time .x{position:absolute;top:100%;margin-top:.35rem;font-size:.75rem;opacity:.8}
.dd .key{font-size:.8rem;opacity:.85;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:.2rem 0 .8rem}
.dd .key .dot{display:inline-block;width:11px;height:11px;border-radius:50%;box-sizing:border-box;margin-right:.4em}
.dd .key .dot.fake{border-radius:2px}
.dd .faces{display:grid;grid-template-columns:repeat(auto-fill,minmax(max(150px,30%),1fr));gap:.9rem}
.dd figure{margin:0}.dd figcaption{font-size:.8rem;opacity:.85;margin-top:.25rem}
.dd .pair{display:flex;gap:2px}.dd .pair img{width:100%;min-width:0;flex:1;border-radius:4px}
.dd ul{margin:.2rem 0 0 1.1rem;padding:0;font-size:.92rem}.dd li{margin:.25rem 0}
</style>"""
WORDS = {"fake": "Fake", "real": "Real", None: "Not scored"}


def verdict(view: PredictionView) -> str:
    """The label with its confidence and what the detector was trained on, or why there is none."""
    prediction, info = view.prediction, view.prediction.info
    warning = f'<div class="warning" role="alert">{escape(SYNTHETIC_WARNING)}</div>' if info.synthetic else ""
    level, confidence = "", ""
    if view.confidence is not None:
        known = view.confidence.level
        level = f" <small>{known} confidence</small>" if known else ""
        start = f"Confidence is {known}: " if known else "How sure this is cannot be told: "
        confidence = f"<p>{escape(start + view.confidence.reason)}.</p>"
    meter = "" if prediction.score is None else _meter(prediction)
    return (
        f'{STYLE}<div class="dd" data-verdict="{prediction.label or "not scored"}">{warning}'
        f'<div class="verdict {prediction.label or ""}"><div class="word">{WORDS[prediction.label]}{level}</div>'
        f'<div class="name">{escape(view.name)}</div>'
        f'<div class="name">{escape(info.detector)}, trained on {escape(info.trained_on_text)}</div></div>'
        f"<p>{escape(view.text)}</p>{meter}{confidence}</div>"
    )


def evidence(view: PredictionView) -> str:
    """What the label rests on, and what it does not cover; empty without a score."""
    parts = []
    if len(view.prediction.frames) > 1:
        parts.append(_timeline(view.prediction))
    if view.faces:
        parts.append(_faces(view.faces))
    if view.caveats:
        caveats = "".join(f"<li>{escape(text)}</li>" for text in view.caveats)
        parts.append(f"<h3>Caveats</h3><ul>{caveats}</ul>")
    return f'{STYLE}<div class="dd" data-evidence>{"".join(parts)}</div>' if parts else ""


def _meter(prediction: Prediction) -> str:
    score, level = 100 * (prediction.score or 0.0), 100 * prediction.threshold
    colour = f"color:var(--{prediction.label})"
    return (
        f'<div class="meter"><i style="width:{score:.1f}%;{colour}"></i><b style="left:{level:.1f}%"></b>'
        f'<span style="left:0">real</span><span style="right:0">fake</span>'
        f'<span style="left:{min(max(level, 16), 76):.1f}%">threshold</span></div>'
    )


def _timeline(prediction: Prediction) -> str:
    times = [frame.time_s or 0.0 for frame in prediction.frames]
    first, span = times[0], max(times[-1] - times[0], 1e-9)
    points = [
        (100 * (time_s - first) / span, 100 * (1 - frame.score))
        for time_s, frame in zip(times, prediction.frames, strict=True)
    ]
    dots = "".join(
        f'<span class="dot {"fake" if frame.score >= prediction.threshold else "real"}" '
        f'style="left:{x:.2f}%;top:{y:.2f}%" '
        f'title="{time_s:.2f} s, frame {frame.frame_index}: {frame.score:.3f}"></span>'
        for (x, y), time_s, frame in zip(points, times, prediction.frames, strict=True)
    )
    level = 100 * (1 - prediction.threshold)
    middle = f'<span class="x" style="left:50%;transform:translateX(-50%)">{first + span / 2:.1f} s</span>'
    return (
        '<h3>Score over time</h3><div class="key"><span><span class="dot fake"></span>'
        'frame above the threshold</span><span><span class="dot real"></span>frame below it</span></div>'
        f'<div class="time"><span class="level" style="top:{level:.2f}%"></span>{dots}'
        '<span class="y" style="top:0">1</span><span class="y" style="top:100%">0</span>'
        f'<span class="y" style="top:{min(max(level, 10), 90):.2f}%">{prediction.threshold:.2f}</span>'
        f'<span class="x" style="left:0">{first:.1f} s</span>{middle}'
        f'<span class="x" style="right:0">{times[-1]:.1f} s</span></div>'
    )


def _faces(faces: list[Face]) -> str:
    heatmaps = faces[0].overlay is not None
    title = 'The faces with the highest scores, and the evidence for "fake" in them' if heatmaps else "The face"
    note = (
        "Right: Grad-CAM of the last feature maps, scaled within each crop: a bright spot does not by itself mean fake."
        if heatmaps
        else "This detector scores mouth and voice together, so there is no heatmap of the picture."
    )
    return (
        f'<h3>{title}</h3><div class="faces">{"".join(_figure(face) for face in faces)}</div><p class="name">{note}</p>'
    )


def _figure(face: Face) -> str:
    time = "" if face.time_s is None else f"{face.time_s:.2f} s"
    score = "" if face.score is None else f"score {face.score:.2f}"
    caption = " · ".join(part for part in (time, score) if part)
    pictures = [("face", face.crop)] + ([] if face.overlay is None else [("heatmap", face.overlay)])
    images = "".join(f'<img alt="{name}" src="{_data(picture)}">' for name, picture in pictures)
    return f'<figure><div class="pair">{images}</div><figcaption>{caption}</figcaption></figure>'


def _data(picture: Rgb) -> str:
    encoded, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not encoded:
        raise ValueError("a crop cannot be encoded as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
