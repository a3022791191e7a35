"""Charts as inline SVG: they scale with the page and take its colours, light or dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]
# A box over the middle half of fewer videos would say nothing.
FEWEST_IN_BOX = 4


@dataclass(frozen=True)
class Canvas:
    """Units that a chart is drawn in; the page scales them. The last four are the room for marks and titles."""

    width: float = 360
    height: float = 300
    left: float = 46
    right: float = 12
    top: float = 12
    bottom: float = 42

    @property
    def floor(self) -> float:
        """Where the horizontal axis lies."""
        return self.height - self.bottom

    def x(self, axis: Axis, value: float) -> float:
        """A value's place from the left."""
        return self.left + axis.share(value) * (self.width - self.left - self.right)

    def y(self, axis: Axis, value: float) -> float:
        """A value's place from the top."""
        return self.floor - axis.share(value) * (self.floor - self.top)


LARGE = Canvas()
SMALL = Canvas(200, 142, 30, 8, 8, 24)


@dataclass(frozen=True)
class Line:
    """A curve: its points, the CSS class that colours it, and its name in the legend."""

    points: Sequence[Point]
    css: str
    name: str = ""


@dataclass(frozen=True)
class Axis:
    """One axis: its ends, its marks (value, text), and its title. `place` maps a value before it is drawn."""

    low: float
    high: float
    marks: Sequence[tuple[float, str]]
    title: str = ""
    place: Callable[[float], float] = float

    def share(self, value: float) -> float:
        """Where a value lies between the ends, in [0, 1]."""
        low, high = self.place(self.low), self.place(self.high)
        return 0.5 if high == low else min(1.0, max(0.0, (self.place(value) - low) / (high - low)))


def unit_axis(title: str = "", parts: int = 4) -> Axis:
    """From 0 to 1."""
    return Axis(0.0, 1.0, [(tick / parts, f"{tick / parts:g}") for tick in range(parts + 1)], title)


def number_axis(values: Sequence[float], title: str) -> Axis:
    """Round numbers around the values: 1, 2 or 5 times a power of ten apart."""
    low, high = min(values), max(values)
    rough = (high - low) / 4 or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [(n * step, f"{n * step:.6g}") for n in range(first, max(last, first + 1) + 1)]
    return Axis(marks[0][0], marks[-1][0], marks, title)


def count_axis(values: Sequence[float], title: str) -> Axis:
    """Whole numbers, such as epochs: from the least to the greatest, a few of them marked."""
    low, high = math.floor(min(values)), math.ceil(max(values))
    step = max(1, math.ceil((high - low) / 8))
    return Axis(low, high, [(float(n), str(n)) for n in range(low, high + 1, step)], title)


def _frame(x: Axis, y: Axis, canvas: Canvas) -> list[str]:
    parts = []
    right, floor = canvas.width - canvas.right, canvas.floor
    for value, text in y.marks:
        level = canvas.y(y, value)
        parts.append(f'<line class="rule" x1="{canvas.left}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}"/>')
        place = f'x="{canvas.left - 6}" y="{level + 3.5:.1f}"'
        parts.append(f'<text class="tick" {place} text-anchor="end">{escape(text)}</text>')
    for value, text in x.marks:
        place = f'x="{canvas.x(x, value):.1f}" y="{floor + 15:.1f}"'
        parts.append(f'<text class="tick" {place} text-anchor="middle">{escape(text)}</text>')
    if x.title:
        place = f'x="{(canvas.left + right) / 2:.1f}" y="{canvas.height - 6}"'
        parts.append(f'<text class="title" {place} text-anchor="middle">{escape(x.title)}</text>')
    if y.title:
        centre = (canvas.top + floor) / 2
        place = f'x="11" y="{centre:.1f}" transform="rotate(-90 11 {centre:.1f})"'
        parts.append(f'<text class="title" {place} text-anchor="middle">{escape(y.title)}</text>')
    return parts


def drawing(parts: Sequence[str], label: str, width: float, height: float, css: str = "") -> str:
    """The SVG element around shapes, with words for those who cannot see it."""
    kind = f' class="{css}"' if css else ""
    head = f'<svg{kind} viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label, quote=True)}">'
    return head + "".join(parts) + "</svg>"


def line_chart(
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    label: str,
    diagonal: bool = False,
    dots: bool = False,
    level: float | None = None,
    canvas: Canvas = LARGE,
) -> str:
    """Curves over two axes.

    Args:
        lines: the curves; names go to a legend below.
        x, y: the axes.
        label: what it shows, in words.
        diagonal: draw the diagonal: chance in a ROC, calibrated in a reliability curve.
        dots: mark the points themselves.
        level: a height to compare with, drawn as a dashed line.
        canvas: its size.
    """
    parts = _frame(x, y, canvas)
    right = canvas.width - canvas.right
    if diagonal:
        ends = f'x1="{canvas.left}" y1="{canvas.floor}" x2="{right}" y2="{canvas.top}"'
        parts.append(f'<line class="chance" {ends}/>')
    if level is not None:
        at = f"{canvas.y(y, level):.1f}"
        parts.append(f'<line class="chance" x1="{canvas.left}" x2="{right}" y1="{at}" y2="{at}"/>')
    for line in lines:
        places = [(canvas.x(x, px), canvas.y(y, py)) for px, py in line.points]
        joined = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
        parts.append(f'<polyline class="curve {line.css}" points="{joined}"/>')
        if dots or len(places) == 1:
            parts += [f'<circle class="dot {line.css}" cx="{px:.1f}" cy="{py:.1f}" r="2.6"/>' for px, py in places]
    return drawing(parts, label, canvas.width, canvas.height) + legend(lines)


def legend(lines: Sequence[Line]) -> str:
    """Names beside their colours, as text that wraps."""
    items = "".join(f'<span class="key {line.css}">{escape(line.name)}</span>' for line in lines if line.name)
    return f'<p class="legend">{items}</p>' if items else ""


def histogram_chart(rows: Sequence[dict[str, float | str]], threshold: float, *, label: str) -> str:
    """Fractions of a class by score: reals upwards, fakes downwards."""
    top = max((float(row["fraction"]) for row in rows), default=1.0)
    y = Axis(-top, top, [(-top, f"{top:.0%}"), (0, "0"), (top, f"{top:.0%}")], "fraction of the class")
    x = unit_axis("probability of fake")
    parts = _frame(x, y, LARGE)
    for name, sign in (("real", 1), ("fake", -1)):
        own = [row for row in rows if row["class"] == name]
        width = (LARGE.width - LARGE.left - LARGE.right) / max(1, len(own))
        for row in own:
            far, zero = LARGE.y(y, sign * float(row["fraction"])), LARGE.y(y, 0)
            box = f'x="{LARGE.x(x, float(row["score"])) - width / 2:.1f}" width="{width * 0.92:.1f}"'
            height = abs(far - zero)
            parts.append(f'<rect class="bar {name}" {box} y="{min(far, zero):.1f}" height="{height:.1f}"/>')
    parts.append(_threshold(LARGE.x(x, threshold), LARGE.top, LARGE.floor))
    names = [Line([], "real", "real, upwards"), Line([], "fake", "fake, downwards"), Line([], "ink", "threshold")]
    return drawing(parts, label, LARGE.width, LARGE.height) + legend(names)


def _threshold(place: float, top: float, floor: float) -> str:
    return f'<line class="threshold" x1="{place:.1f}" x2="{place:.1f}" y1="{top:.1f}" y2="{floor:.1f}"/>'


@dataclass(frozen=True)
class Strip:
    """Scores of one group: every video a dot; `middle` are its quartiles (25 %, 50 %, 75 %)."""

    name: str
    css: str
    scores: Sequence[float]
    middle: tuple[float, float, float]


def strip_chart(strips: Sequence[Strip], threshold: float, *, label: str, title: str) -> str:
    """Scores of groups, one below the other: dots on three levels, with a box over the middle half."""
    row, head = 44.0, 15.0
    canvas = Canvas(440, row * len(strips) + 44, 10, 10, 4, 40)
    x = unit_axis(title)
    parts = _frame(x, Axis(0, 1, []), canvas)
    parts.append(_threshold(canvas.x(x, threshold), canvas.top, canvas.floor))
    for n, strip in enumerate(strips):
        top = canvas.top + n * row
        name = f"{strip.name} ({len(strip.scores)})"
        parts.append(f'<text class="name {strip.css}" x="{canvas.left}" y="{top + head - 3:.1f}">{escape(name)}</text>')
        if len(strip.scores) >= FEWEST_IN_BOX:
            parts += _box(canvas, x, strip, top + head + 1)
        for k, score in enumerate(strip.scores):
            place = f'cx="{canvas.x(x, score):.1f}" cy="{top + head + 5 + 6 * (k % 3):.1f}"'
            parts.append(f'<circle class="spot {strip.css}" {place} r="2.4"/>')
    return drawing(parts, label, canvas.width, canvas.height)


def _box(canvas: Canvas, x: Axis, strip: Strip, top: float) -> list[str]:
    """The middle half of a group, and its median."""
    low, median, high = (canvas.x(x, value) for value in strip.middle)
    place = f'x="{low:.1f}" y="{top:.1f}" width="{max(1.0, high - low):.1f}" height="20"'
    tall = f'y1="{top:.1f}" y2="{top + 20:.1f}"'
    return [
        f'<rect class="box {strip.css}" rx="3" {place}/>',
        f'<line class="median {strip.css}" x1="{median:.1f}" x2="{median:.1f}" {tall}/>',
    ]


def confusion_chart(cells: Mapping[str, int], *, label: str) -> str:
    """Two by two: rows are actual classes, columns predicted ones."""
    parts = []
    names = (("real", ("tn", "fp")), ("fake", ("fn", "tp")))
    for row, (true, keys) in enumerate(names):
        total = sum(cells[key] for key in keys)
        y = 38 + row * 122
        turned = f'transform="rotate(-90 24 {y + 58})"'
        parts.append(
            f'<text class="name {true}" x="24" y="{y + 58}" text-anchor="middle" {turned}>actual {true}</text>'
        )
        for column, key in enumerate(keys):
            x = 40 + column * 156
            share = cells[key] / total if total else 0.0
            good = "right" if row == column else "wrong"
            box = f'x="{x}" y="{y}" width="150" height="116" rx="8"'
            parts.append(f'<rect class="cell {good}" {box} fill-opacity="{0.06 + 0.4 * share:.2f}"/>')
            at = f'x="{x + 75}" text-anchor="middle"'
            parts.append(f'<text class="count" {at} y="{y + 60}">{cells[key]}</text>')
            parts.append(f'<text class="share" {at} y="{y + 82}">{share:.0%} of {total}</text>')
    for column, said in enumerate(("real", "fake")):
        at = f'x="{115 + column * 156}" y="26" text-anchor="middle"'
        parts.append(f'<text class="name {said}" {at}>predicted {said}</text>')
    return drawing(parts, label, 360, 290)


def interval_chart(value: float, bounds: Sequence[float] | None, *, label: str) -> str:
    """A figure in [0, 1] on a line, with its interval as a band."""
    axis, canvas = unit_axis(), Canvas(240, 30, 6, 6, 0, 0)
    parts = ['<line class="track" x1="6" x2="234" y1="9" y2="9"/>']
    half = canvas.x(axis, 0.5)
    parts.append(f'<line class="chance" x1="{half}" x2="{half}" y1="2" y2="16"/>')
    if bounds is not None:
        low, high = (canvas.x(axis, bound) for bound in bounds)
        parts.append(f'<line class="band" x1="{low:.1f}" x2="{high:.1f}" y1="9" y2="9"/>')
    parts.append(f'<circle class="dot ink" cx="{canvas.x(axis, value):.1f}" cy="9" r="5"/>')
    for mark, text in ((0.0, "0"), (0.5, "chance 0.5"), (1.0, "1")):
        at = f'x="{canvas.x(axis, mark):.1f}" y="28" text-anchor="middle"'
        parts.append(f'<text class="tick" {at}>{text}</text>')
    return drawing(parts, label, 240, 32, "gauge")


def timeline(points: Sequence[Point], threshold: float) -> str:
    """Scores over the time of a video, with the threshold; nothing of fewer than two moments."""
    if len(points) < 2:
        return ""
    canvas = Canvas(400, 84, 18, 4, 6, 20)
    first, last = points[0][0], points[-1][0]
    x = Axis(first, last, [(first, f"{first:.1f} s"), (last, f"{last:.1f} s")])
    y = Axis(0.0, 1.0, [(0.0, "0"), (1.0, "1")])
    *parts, end = _frame(x, y, canvas)
    parts.append(end.replace('"middle"', '"end"'))  # or the last mark would be cut off
    level = f"{canvas.y(y, threshold):.1f}"
    parts.append(f'<line class="threshold" x1="18" x2="396" y1="{level}" y2="{level}"/>')
    joined = " ".join(f"{canvas.x(x, px):.1f},{canvas.y(y, py):.1f}" for px, py in points)
    parts.append(f'<polyline class="curve ink" points="{joined}"/>')
    highest = max(score for _, score in points)
    label = f"scores over time, {first:.1f} to {last:.1f} s: highest {highest:.2f}, threshold {threshold:.2f}"
    return drawing(parts, label, 400, 84)
