"""Pieces of the page: numbers, tables, figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from stages.evaluate.report.crops import Example
from stages.evaluate.report.svg import timeline

UNDEFINED = "–"


def number(value: Any, digits: int = 3) -> str:
    """A figure for people; a dash where it is undefined."""
    if value is None:
        return UNDEFINED
    return f"{value:.{digits}f}" if isinstance(value, float) else escape(str(value))


def bounds(value: Sequence[float] | None) -> str:
    """An interval, or nothing."""
    return "" if value is None else f"[{value[0]:.3f}, {value[1]:.3f}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, wrap: int | None = None) -> str:
    """A table that scrolls sideways on a phone; cells are HTML already. `wrap`: a column of longer text."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td{_class(n == wrap)}>{cell}</td>" for n, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _class(wraps: bool) -> str:
    return ' class="wrap"' if wraps else ""


def figure(caption: str, inner: str) -> str:
    """A chart with its caption."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{inner}</figure>"


def card(title: str, value: str, note: str) -> str:
    """One number to look at first."""
    head = f'<div class="muted">{escape(title)}</div><div class="big">{value}</div>'
    return f'<div class="card">{head}<div class="muted">{escape(note)}</div></div>'


def example(found: Example, threshold: float) -> str:
    """A video: its pictures, verdict, truth and scores over time."""
    row: dict[str, Any] = found.row
    pictures = "".join(
        f'<div><img src="{data}" alt="{name}" width="96" height="96"><span>{name}</span></div>'
        for name, data in found.pictures.items()
    )
    parts = [f'<div class="pictures">{pictures}</div>'] if pictures else []
    if row["score"] is not None and row["label"] is not None:
        said, true = ("fake" if row["score"] >= threshold else "real"), ("fake" if row["label"] else "real")
        verdict = f'called <b class="{said}">{said}</b> ({row["score"]:.0%} fake), is <b class="{true}">{true}</b>'
        parts.append(f"<div>{verdict}</div>")
    method = f" · {escape(row['method'])}" if row["method"] else ""
    parts.append(f'<div class="name muted">{escape(row["video_id"])}{method}</div>')
    times, scores = row["frame_time_s"] or [], row["frame_score"] or []
    points = [(float(t), float(s)) for t, s in zip(times, scores, strict=False) if t is not None]
    return f'<div class="card">{"".join(parts)}{timeline(points, threshold)}</div>'
