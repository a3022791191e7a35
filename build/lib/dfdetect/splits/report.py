"""The splits and their audit as a page for people: metrics/<dataset>/audit.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dfdetect.datasets.layout import NOTES
from dfdetect.splits.leaks import BOUNDARIES, KINDS, Overlap

_CLASSES = {"label": "", "visual_label": "picture "}
_LISTED = 20  # examples per overlap


def report(
    dataset: str,
    warnings: Sequence[str],
    details: Mapping[str, Any],
    layout_notes: Mapping[str, Any],
    overlaps: Sequence[Overlap],
) -> str:
    """The audit of a dataset in Markdown.

    Args:
        warnings: of the splits and the audit.
        details: metrics/<dataset>/details/splits.json.
        layout_notes: what the layout found against the official lists, as in metrics/<dataset>/download.json.
        overlaps: what splits share.
    """
    policy = details["policy"]
    lines = [f"# Splits of {dataset}", "", f"Test: {policy['test']}. Validation: {policy['val']}.", ""]
    lines += [f"**{warning}**\n" for warning in warnings] + [f"{note}\n" for note in details["notes"]]
    lines += _counts(details["splits"]) + _official(details["official"]) + _layout(layout_notes) + _leaks(overlaps)
    return "\n".join(lines) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return [line(header), line(["---"] + ["---:"] * (len(header) - 1)), *map(line, rows), ""]


def _counts(splits: Mapping[str, Any]) -> list[str]:
    names = [name for name in ("train", "val", "test") if name in splits]
    rows: list[list[Any]] = [[key, *(splits[name][key] for name in names)] for key in ("videos", "identities")]
    shares = [splits[name]["fake_fraction"] for name in names]
    rows.append(["share of fakes", *("-" if share is None else f"{share:.1%}" for share in shares)])
    for column in ("label", "visual_label", "category", "method", "compression"):
        values = sorted({value for name in names for value in splits[name][column]})
        for value in values if values != ["null"] else []:
            rows.append([_value(column, value), *(splits[name][column].get(value, 0) for name in names)])
    return ["## Counts", "", *_table(["", *names], rows)]


def _value(column: str, value: str) -> str:
    """A row's name: `picture fake`, `category FaceSwap`, `method unknown`."""
    if column in _CLASSES:
        return _CLASSES[column] + {"0": "real", "1": "fake"}.get(value, "unknown")
    return f"{column} {'unknown' if value == 'null' else value}"


def _official(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for part in parts:
        missing = part["expected"] - part["found"]
        verdict = "complete" if part["whole"] else (f"{missing} missing" if missing > 0 else f"{-missing} more")
        rows.append([" ".join(map(str, part["where"].values())), part["expected"], part["found"], verdict])
    return ["## Against the official counts", "", *_table(["part", "official", "here", ""], rows)] if rows else []


def _layout(notes: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, value in notes.items():
        examples = ""
        name = NOTES.get(key, key)
        if isinstance(value, Mapping):
            examples = ", ".join(f"`{example}`" for example in value.get("examples", [])[:3])
            value = value.get("count", sum(count for count in value.values() if isinstance(count, int)))
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        rows.append([name, "none" if value in ("", None) else value, examples])
    head = ["## What the layout found", "", "The same is under `layout` in download.json."]
    return [*head, "", *_table(["", "", "such as"], rows)] if rows else []


def _leaks(overlaps: Sequence[Overlap]) -> list[str]:
    found = {(overlap.kind, overlap.stays): overlap for overlap in overlaps}
    names = [f"{stays} with {' and '.join(gives)}" for gives, stays in BOUNDARIES]
    rows = [
        [kind, *(f"{o.shared} of {o.total}" if (o := found.get((kind, stays))) else 0 for _, stays in BOUNDARIES)]
        for kind in KINDS
    ]
    lines = ["## What splits share", "", "leaks.parquet has every video.", "", *_table(["", *names], rows)]
    for overlap in overlaps:
        lines += [f"### {overlap.kind}: {overlap.stays} with {' and '.join(overlap.gives)}", ""]
        listed = [[f"`{text}`" for text in (x.video_id, x.other_id, x.shared)] for x in overlap.leaks[:_LISTED]]
        lines += _table(["gives way", "stays", "shared"], listed)
    return lines
