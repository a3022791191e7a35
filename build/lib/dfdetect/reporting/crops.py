"""The examples that the predict stage has stored, as the page embeds them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Example:
    """One video with its images as data addresses: name -> address."""

    row: dict[str, Any]
    pictures: dict[str, str]


@dataclass(frozen=True)
class Examples:
    """Of one dataset: crops with masks, and the most confident mistakes and successes."""

    samples: list[Example] = field(default_factory=list)
    mistakes: list[Example] = field(default_factory=list)
    successes: list[Example] = field(default_factory=list)


def as_address(jpeg: bytes) -> str:
    """A JPEG inside a data address."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def read_examples(examples: pa.Table, predictions: pa.Table) -> Examples:
    """Put stored images and their videos' predictions together.

    Args:
        examples: of schemas.EXAMPLES.
        predictions: of schemas.PREDICTIONS, with the videos of the examples.
    """
    rows = {row["video_id"]: row for row in predictions.to_pylist()}
    kinds: dict[str, dict[int, Example]] = {"sample": {}, "mistake": {}, "success": {}}
    for item in examples.to_pylist():
        example = kinds[item["kind"]].setdefault(item["position"], Example(rows[item["video_id"]], {}))
        example.pictures[item["name"]] = as_address(item["image"])
    return Examples(*(list(shown.values()) for shown in kinds.values()))
