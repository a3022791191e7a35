"""Charts as inline SVG: they scale with the page and take its colours, light or dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

# Drawn in these units; the page scales them.
WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 42
Point = tuple[float, float]


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
    title: str
    place: Callable[[float], float] = float

    def share(self, value: float) -> float:
        """Where a value lies between the ends, in [0, 1]."""
        low, high = self.place(self.low), self.place(self.high)
        return 0.5 if high == low else min(1.0, max(0.0, (self.place(value) - low) / (high - low)))


def unit_axis(title: str) -> Axis:
    """From 0 to 1."""
    return Axis(0.0, 1.0, [(tick / 4, f"{tick / 4:g}") for tick in range(5)], title)


def number_axis(values: Sequence[float], title: str) -> Axis:
    """From the least to the greatest value, which are its marks."""
    low, high = min(values), max(values)
    return Axis(low, high, [(low, f"{low:.3g}"), (high, f"{high:.3g}")] if high > low else [(low, f"{low:.3g}")], title)


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)


def _frame(x: Axis, y: Axis) -> list[str]:
    parts = []
    right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
    for value, text in y.marks:
        level = _y(y, value)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{level + 3.5:.1f}" text-anchor="end">{escape(text)}</text>')
    for value, text in x.marks:
        place = _x(x, value)
        parts.append(f'<text class="tick" x="{place:.1f}" y="{floor + 15}" text-anchor="middle">{escape(text)}</text>')
    middle = (LEFT + right) / 2
    parts.append(f'<text class="title" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x.title)}</text>')
    centre = (TOP + floor) / 2
    turned = f'transform="rotate(-90 11 {centre})"'
    parts.append(f'<text class="title" x="11" y="{centre}" text-anchor="middle" {turned}>{escape(y.title)}</text>')
    return parts


def _svg(parts: Sequence[str], label: str) -> str:
    inner = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label, quote=True)}">{inner}</svg>'


def line_chart(
    lines: Sequence[Line], x: Axis, y: Axis, *, label: str, diagonal: bool = False, dots: bool = False
) -> str:
    """Curves over two axes. `diagonal` draws the line of chance or of honesty, `dots` the points themselves."""
    parts = _frame(x, y)
    if diagonal:
        ends = f'x1="{_x(x, x.low)}" y1="{_y(y, y.low)}" x2="{_x(x, x.high)}" y2="{_y(y, y.high)}"'
        parts.append(f'<line class="chance" {ends}/>')
    for line in lines:
        places = " ".join(f"{_x(x, px):.1f},{_y(y, py):.1f}" for px, py in line.points)
        parts.append(f'<polyline class="curve {line.css}" points="{places}"/>')
        if dots:
            parts += [
                f'<circle class="dot {line.css}" cx="{_x(x, px):.1f}" cy="{_y(y, py):.1f}" r="2.2"/>'
                for px, py in line.points
            ]
    return _svg(parts, label) + legend(lines)


def legend(lines: Sequence[Line]) -> str:
    """Names beside their colours, as text that wraps."""
    items = "".join(f'<span class="key {line.css}">{escape(line.name)}</span>' for line in lines if line.name)
    return f'<p class="legend">{items}</p>' if items else ""


def histogram_chart(rows: Sequence[dict[str, float | str]], threshold: float, *, label: str) -> str:
    """Shares of a class by score: reals upwards, fakes downwards."""
    top = max((float(row["share"]) for row in rows), default=1.0)
    y = Axis(-top, top, [(-top, f"{top:.0%}"), (0, "0"), (top, f"{top:.0%}")], "share of the class")
    x = unit_axis("probability of fake")
    parts = _frame(x, y)
    for name, sign in (("real", 1), ("fake", -1)):
        own = [row for row in rows if row["class"] == name]
        width = (WIDTH - LEFT - RIGHT) / max(1, len(own))
        for row in own:
            far, zero = _y(y, sign * float(row["share"])), _y(y, 0)
            box = f'x="{_x(x, float(row["score"])) - width / 2:.1f}" width="{width * 0.92:.1f}"'
            parts.append(f'<rect class="bar {name}" {box} y="{min(far, zero):.1f}" height="{abs(far - zero):.1f}"/>')
    place = _x(x, threshold)
    parts.append(f'<line class="threshold" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    names = [Line([], "real", "real, upwards"), Line([], "fake", "fake, downwards"), Line([], "ink", "threshold")]
    return _svg(parts, label) + legend(names)


def timeline(points: Sequence[Point], threshold: float) -> str:
    """A small curve of scores over time, with the threshold."""
    if len(points) < 2:
        return ""
    low, high = points[0][0], points[-1][0]
    span = high - low or 1.0
    places = " ".join(f"{(x - low) / span * 200:.1f},{40 - y * 40:.1f}" for x, y in points)
    level = 40 - threshold * 40
    rule = f'<line class="threshold" x1="0" x2="200" y1="{level:.1f}" y2="{level:.1f}"/>'
    curve = f'<polyline class="curve ink" points="{places}"/>'
    return f'<svg class="timeline" viewBox="0 -2 200 44" role="img" aria-label="score over time">{rule}{curve}</svg>'
