"""Pieces of the page: numbers, tables, figures, videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from dfdetect.evaluation.caveats import in_brackets
from dfdetect.reporting.crops import Example
from dfdetect.reporting.svg import timeline

UNDEFINED = "–"
CAPTIONS = {
    "crop": "crop",
    "mask": "attention mask",
    "heat": "evidence for fake",
    "residual": "reconstruction error",
    "mouth": "mouth at that moment",
}


def number(value: Any, digits: int = 3) -> str:
    """A figure for people; a dash where it is undefined."""
    if value is None:
        return UNDEFINED
    return f"{value:.{digits}f}" if isinstance(value, float) else escape(str(value))


def between(value: Any, interval: list[float] | None, why: str | None = None, few: str | None = None) -> str:
    """A figure with its interval beside it, or why it has none; and that its videos are too few, if they are."""
    beside = in_brackets(interval) or (f"no interval: {why}" if why else "")
    shown = f'<span class="between">{escape(beside)}</span>' if beside else ""
    return (
        number(value)
        + shown
        + (f'<span class="between below">{escape(few)}</span>' if few and value is not None else "")
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, name: str, wrap: int | None = None) -> str:
    """A table that scrolls sideways on a phone; cells are HTML already, and the first of a row names it.

    Args:
        head: of the columns.
        rows: of cells.
        name: what it shows, for those who hear it.
        wrap: a column of longer text.
    """
    top = "".join(f'<th scope="col"{_class(n == wrap)}>{escape(text)}</th>' for n, text in enumerate(head))
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f"<td{_class(n == wrap)}>{cell}</td>" for n, cell in enumerate(rest, 1))
        + "</tr>"
        for first, *rest in rows
    )
    region = f'role="region" tabindex="0" aria-label="{escape(name, quote=True)}"'
    return f'<div class="scroll" {region}><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _class(wraps: bool) -> str:
    return ' class="wrap"' if wraps else ""


def figure(caption: str, inner: str) -> str:
    """A chart with its caption."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{inner}</figure>"


def grid(items: Iterable[str], css: str = "") -> str:
    """Cards or charts side by side, as many as fit; nothing of none."""
    inner = "".join(items)
    return f'<div class="grid {css}">{inner}</div>' if inner else ""


def details(summary: str, inner: str) -> str:
    """What most readers need not see, one click away."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def stats(pairs: Iterable[tuple[str, str]]) -> str:
    """A few figures with their names."""
    inner = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f'<dl class="stats">{inner}</dl>'


def verdict(row: dict[str, Any], threshold: float) -> str:
    """What the detector said of a video, and whether it was right."""
    if row["score"] is None:
        return f'<span class="tag">no score: {escape(row["reason"] or row["status"])}</span>'
    said = row["score"] >= threshold
    value = f"<b>{row['score']:.0%} fake</b>"
    if row["label"] is None:
        return f'<span class="tag">predicted {"fake" if said else "real"}</span>{value}'
    words = {
        (True, 1): "true positive",
        (False, 0): "true negative",
        (False, 1): "false negative",
        (True, 0): "false positive",
    }
    css = "right" if said == bool(row["label"]) else "wrong"
    return f'<span class="tag {css}">{words[said, row["label"]]}</span>{value}'


def example(found: Example, threshold: float, *, over_time: bool = True) -> str:
    """A video: prediction, pictures, scores over time if wanted, where it comes from."""
    row = found.row
    shown = escape(str(row["video_id"]), quote=True)
    pictures = "".join(
        f'<figure><img src="{data}" alt="{CAPTIONS[name]} of {shown}" width="160" height="160">'
        f"<figcaption>{CAPTIONS[name]}</figcaption></figure>"
        for name, data in found.pictures.items()
    )
    parts = [f'<div class="verdict">{verdict(row, threshold)}</div>']
    parts += [f'<div class="pictures">{pictures}</div>'] if pictures else []
    if over_time:
        moments = zip(row["frame_time_s"] or [], row["frame_score"] or [], strict=False)
        parts.append(timeline([(float(t), float(score)) for t, score in moments if t is not None], threshold))
    kind = " · ".join(escape(row[key]) for key in ("category", "method") if row[key])
    parts.append(f'<div class="file"><code>{shown}</code><br>{kind}</div>')
    return f'<article class="card">{"".join(parts)}</article>'
