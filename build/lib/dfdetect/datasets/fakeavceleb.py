"""FakeAVCeleb v1.2: four category folders, then <race>/<gender>/<id>/, and meta_data.csv.

The list's header ends in a comma: `path` holds the file's name and an unnamed tenth column its folder. Copies exist
with `filename,path` and another prefix. The same base name occurs in several categories: a file is known by its path.
There is no official split.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dfdetect.datasets.layout import Clip, Index, OfficialPart, find_list, noted, official_videos
from dfdetect.datasets.lists import Lookup, fold, read_csv, stop_on_conflicts
from dfdetect.datasets.tree import Tree, stem, stored
from dfdetect.errors import UserError

if TYPE_CHECKING:
    from dfdetect.config.params import DatasetParams

# category -> (letter in the list, label, visual label)
CATEGORIES = {
    "RealVideo-RealAudio": ("A", 0, 0),
    "RealVideo-FakeAudio": ("B", 1, 0),
    "FakeVideo-RealAudio": ("C", 1, 1),
    "FakeVideo-FakeAudio": ("D", 1, 1),
}
REAL = "RealVideo-RealAudio"
LIST = "meta_data.csv"
HOLDS = ", ".join(f"{name}/" for name in CATEGORIES) + f" and {LIST}"
OFFICIAL = tuple(
    OfficialPart({"category": name}, videos) for name, videos in zip(CATEGORIES, (500, 500, 9709, 10835), strict=True)
)

_BY_FOLDED = {name.casefold(): name for name in CATEGORIES}
_COLUMNS = ("source", "target1", "method", "category", "type", "path")


@dataclass(frozen=True)
class _Row:
    """What a line of the list says of a file."""

    path: str  # from the category folder on
    method: str
    source: str
    target: str | None


@dataclass
class _List:
    rows: dict[str, _Row] = field(default_factory=dict)  # by folded path
    lines: int = 0
    duplicates: list[str] = field(default_factory=list)


def index(tree: Tree, _entry: DatasetParams, /) -> Index:
    """List the clips of a FakeAVCeleb tree.

    `label` is 1 when either part is fake, `visual_label` when the picture is. `identity` is the list's `source` (the id
    folder where the list lacks the file), `source_identity` its `target1`, `original_id` the real clip it was made of.

    Raises:
        UserError: no category folder, or a line of the list contradicts the folder of its file.
    """
    base, files = official_videos(tree, CATEGORIES, f"no folder of FakeAVCeleb ({HOLDS})")
    place = find_list(tree, base, LIST)
    listed = _read_list(tree.root / place) if place else _List()
    clips = [_clip(path, short, listed.rows.get(fold(short))) for short, path in files.items()]
    on_disk, present = Lookup(files), {clip.category for clip in clips}
    notes = {
        "list_lines": listed.lines,
        "list_duplicates": noted(listed.duplicates),
        "missing": noted(row.path for row in listed.rows.values() if on_disk.find(row.path) is None),
        "extra": noted(short for short in files if place and fold(short) not in listed.rows),
        "absent_parts": [name for name in CATEGORIES if name not in present],
    }
    return Index(_with_originals(clips), notes, lists=[place] if place else [])


def _clip(path: str, short: str, row: _Row | None) -> Clip:
    parts = short.split("/")
    category = _BY_FOLDED[parts[0].casefold()]
    _, label, visual_label = CATEGORIES[category]
    folder_id = stored(parts[3]) if len(parts) == 5 else None
    return Clip(
        path=path,
        video_id=stored(short),
        label=label,
        visual_label=visual_label,
        category=category,
        method=row.method if row else ("real" if category == REAL else None),
        identity=row.source if row else folder_id,
        source_identity=row.target if row else None,
    )


def _with_originals(clips: list[Clip]) -> list[Clip]:
    """Link each fake to the real clip whose name its own begins with, in the same race, gender and id folder."""
    real: dict[str, dict[str, str]] = defaultdict(dict)
    for clip in clips:
        if clip.category == REAL:
            real[_place(clip.video_id)][stem(clip.video_id)] = clip.video_id
    return [
        clip
        if clip.category == REAL
        else replace(clip, original_id=real[_place(clip.video_id)].get(stem(clip.video_id).split("_", 1)[0]))
        for clip in clips
    ]


def _place(video_id: str) -> str:
    return video_id.split("/", 1)[1].rpartition("/")[0]


def _read_list(path: Path) -> _List:
    """Read meta_data.csv.

    Raises:
        UserError: its header lacks a column, a line lacks cells or names no category, or contradicts its folder.
    """
    listed = _List()
    conflicts: list[str] = []
    at: dict[str, int] = {}
    for line, cells in read_csv(path):
        where = f"{stored(str(path))}, line {line}"
        if not at:
            at = {name.casefold(): number for number, name in enumerate(cells) if name}
            if lacking := [name for name in _COLUMNS if name not in at]:
                raise UserError(f"{where}: the header lacks {', '.join(lacking)}.")
            at = {**at, "name": at.get("filename", at["path"]), "folder": at["path"] + ("filename" not in at)}
            continue
        if len(cells) <= max(at.values()):
            raise UserError(f"{where}: {len(cells)} columns, fewer than its header names.")
        listed.lines += 1
        parts = [part for part in cells[at["folder"]].replace("\\", "/").split("/") if part]
        start = next((number for number, part in enumerate(parts) if part.casefold() in _BY_FOLDED), None)
        if start is None:
            raise UserError(f"{where}: `{stored(cells[at['folder']])}` names none of the category folders.")
        name = "/".join(parts[start:] if parts[-1] == cells[at["name"]] else [*parts[start:], cells[at["name"]]])
        target = cells[at["target1"]]
        row = _Row(name, cells[at["method"]], cells[at["source"]], target if target not in ("", "-") else None)
        if said := _contradictions(row, _BY_FOLDED[parts[start].casefold()], cells[at["category"]], cells[at["type"]]):
            conflicts.append(f"line {line}: {stored(name)} is listed with {', '.join(said)}")
        if fold(name) in listed.rows:
            listed.duplicates.append(name)
        listed.rows.setdefault(fold(name), row)
    stop_on_conflicts(path, conflicts, "Its columns type, category and method must fit the folder of the file.")
    return listed


def _contradictions(row: _Row, folder: str, letter: str, kind: str) -> list[str]:
    """Where a line's own words contradict the category folder that it puts the file in."""
    expected = CATEGORIES[folder][0]
    found = [f"type {kind}"] if kind.casefold() != folder.casefold() else []
    if letter.upper() != expected:
        found.append(f"category {letter} (the folder's is {expected})")
    if (row.method.casefold() == "real") != (folder == REAL):
        found.append(f"method {row.method}")
    return found
