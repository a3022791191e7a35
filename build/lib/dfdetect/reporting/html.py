"""Templates as HTML: everything is escaped, and a name that a template misspells is an error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dfdetect.reporting.charts import Chart, score_over_time

CAPTIONS = {
    "crop": "crop",
    "mask": "attention mask",
    "heat": "evidence for fake",
    "residual": "reconstruction error",
    "mouth": "mouth at that moment",
}


def fill(template: str, **values: Any) -> str:
    """The HTML of a file of templates/ with these values."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dfdetect.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "over_time": over_time}
    environment.globals["captions"] = CAPTIONS
    return environment


def number(value: Any) -> str:
    """Three digits of a fraction, all of a count, a dash of what is undefined."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def percent(value: float | None) -> str:
    """A fraction in whole percent, a dash where it is undefined."""
    return "–" if value is None else f"{value:.0%}"


def over_time(row: Mapping[str, Any], threshold: float) -> Chart | None:
    """The scores of a video of predictions.parquet over its time."""
    moments = zip(row["frame_time_s"] or [], row["frame_score"] or [], strict=False)
    points = [(float(time_s), float(score)) for time_s, score in moments if time_s is not None]
    return score_over_time(points, threshold)
