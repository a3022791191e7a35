"""The audit as a table for people: metrics/<dataset>/audit.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfdetect.splits.audit import PAIRS

# The layouts' notes in words; a note of another name stands as it is.
_NOTES = {
    "list": "list read",
    "lists": "lists read",
    "list_lines": "lines in the list",
    "list_duplicates": "named more than once by a list",
    "missing": "named by a list, not here",
    "frames_missing": "frames named by a list, not here",
    "extra": "here, named by no list",
    "duplicates": "here in two parts, taken once",
    "unlabelled": "without a label",
    "absent_originals": "originals of fakes, not here",
    "absent_parts": "parts that are not here",
    "not_selected": "here, left out by the settings",
    "in_several_splits": "named in several splits by a list",
    "odd_names": "names that do not say who is seen",
    "outside": "outside of the folders that count",
    "ignored": "files of other kinds",
}
_CLASSES = {"label": "", "visual_label": "picture "}


def report(dataset: str, metrics: Mapping[str, Any]) -> str:
    """The metrics of the splits stage in Markdown."""
    lines = [f"# Splits of {dataset}", ""]
    lines += [f"Test: {metrics['policy']['test']}. Validation: {metrics['policy']['val']}.", ""]
    lines += [f"**{warning}**\n" for warning in metrics["warnings"]]
    lines += _counts(metrics["splits"])
    lines += _official(metrics["official"])
    lines += _lists(metrics["lists"])
    lines += _leaks(metrics)
    return "\n".join(lines) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return [line(header), line(["---"] + ["---:"] * (len(header) - 1)), *map(line, rows), ""]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _counts(splits: Mapping[str, Any]) -> list[str]:
    names = sorted(splits, key=lambda name: ["train", "val", "test", "excluded"].index(name))
    rows: list[list[Any]] = [["videos", *(splits[name]["videos"] for name in names)]]
    share = ["share of fakes", *(_percent(splits[name]["fake_share"]) for name in names)]
    rows += [share, ["identities", *(splits[name]["identities"] for name in names)]]
    for column in ("label", "visual_label", "category", "method", "compression"):
        values = sorted({value for name in names for value in splits[name][column]})
        if values != ["null"]:
            rows += [
                [_value(column, value), *(splits[name][column].get(value, 0) for name in names)] for value in values
            ]
    return ["## Counts", "", *_table(["", *names], rows)]


def _value(column: str, value: str) -> str:
    """A row's name: `picture fake`, `category FaceSwap`, `method unknown`."""
    if column in _CLASSES:
        return _CLASSES[column] + {"0": "real", "1": "fake"}.get(value, "unknown")
    return f"{column} {'unknown' if value == 'null' else value}"


def _official(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    if not parts:
        return []
    rows = []
    for part in parts:
        where = " ".join(str(value) for value in part["where"].values())
        missing = part["expected"] - part["found"]
        verdict = "whole" if part["whole"] else (f"{missing} missing" if missing > 0 else f"{-missing} more")
        rows.append([where, part["expected"], part["found"], verdict])
    return ["## Against the official counts", "", *_table(["part", "official", "here", ""], rows)]


def _lists(notes: Mapping[str, Any] | None) -> list[str]:
    if not notes:
        return []
    rows = []
    for key, value in notes.items():
        name = _NOTES.get(key, key)
        if isinstance(value, Mapping):
            examples = ", ".join(f"`{example}`" for example in value.get("examples", [])[:3])
            rows.append([name, value.get("count", sum(v for v in value.values() if isinstance(v, int))), examples])
        else:
            said = ", ".join(map(str, value)) if isinstance(value, list) else value
            rows.append([name, "none" if said in ("", None) else said, ""])
    return ["## What was found", "", *_table(["", "", "such as"], rows)]


def _leaks(metrics: Mapping[str, Any]) -> list[str]:
    people, files, frames = metrics["people"], metrics["duplicate_files"], metrics["near_duplicates"]
    header = ["", *(f"{first} and {second}" for first, second in PAIRS)]
    names = [f"{first}-{second}" for first, second in PAIRS]
    rows: list[list[Any]] = [
        ["identities in both", *(people[name]["identities"] for name in names)],
        ["share of the latter's identities", *(_percent(people[name]["share"]) for name in names)],
        ["videos of the latter with such a person", *(people[name]["videos"] for name in names)],
        ["the same, faces and voices lent counted too", *(people[name]["videos_by_any_role"] for name in names)],
        ["originals in both", *(people[name]["originals"] for name in names)],
    ]
    if frames is not None:
        rows.append([f"pairs of frames within {frames['bits']} bits", *(frames[name]["pairs"] for name in names)])
        latter = [frames[name][f"videos_in_{name.split('-')[1]}"] for name in names]
        rows.append(["videos of the latter with such a frame", *latter])
    lines = ["## What passes between splits", "", *_table(header, rows)]
    if frames is None:
        lines += ["Frames are not compared: the faces stage has not run.", ""]
    lines += [
        f"Videos whose identity is unknown: {people['unknown']}.",
        f"Groups of equal files: {files['groups']}, of these across splits {files['groups_across_splits']}, "
        f"with both labels {files['groups_with_both_labels']}.",
        f"Leaking videos: {metrics['leaks']['videos']}; taken out: {sum(metrics['leaks']['excluded'].values())} "
        f"(splits.on_leak: {metrics['leaks']['on_leak']}).",
    ]
    return lines
