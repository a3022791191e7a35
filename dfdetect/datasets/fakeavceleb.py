"""FakeAVCeleb v1.2: four category folders, then <race>/<gender>/<id>/, and meta_data.csv.

The list's header ends in a comma: `path` holds the file's name and an unnamed tenth column its folder. Copies exist
with `filename,path` and another prefix. The same base name occurs in several categories: a file is known by its path.
There is no official split.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfdetect.datasets.layout import Clip, Index, OfficialPart, noted
from dfdetect.datasets.lists import Lookup, read_csv, stop_on_conflicts
from dfdetect.datasets.tree import Tree, find_base, is_video, stem, stored, walk
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


@dataclass(frozen=True)
class _Row:
    """A line of the list: where the file is from the category folder on, and what it says of it."""

    path: str
    method: str
    source: str
    target: str | None


@dataclass
class _List:
    rows: dict[str, _Row] = field(default_factory=dict)  # by path, letter case folded
    lines: int = 0
    duplicates: list[str] = field(default_factory=list)


def index(root: Path, _entry: DatasetParams, /) -> Index:
    """List the clips of a FakeAVCeleb tree.

    `label` is 1 when either part is fake, `visual_label` when the picture is. `identity` is the list's `source` (the id
    folder where the list lacks the file), `source_identity` its `target1`, `original_id` the real clip it was made of.

    Raises:
        UserError: no category folder, or a line of the list contradicts the folder of its file.
    """
    tree = walk(root)
    base = find_base(tree, lambda name: name.casefold() in _BY_FOLDED)
    if base is None:
        found = ", ".join(tree.names_at_root()[:20]) or "nothing"
        raise UserError(f"{stored(str(root))} holds no folder of FakeAVCeleb ({HOLDS}); it holds {found}.")
    files = {path[len(base) :]: path for path in tree.videos if path.startswith(base)}
    files = {short: path for short, path in files.items() if short.split("/", 1)[0].casefold() in _BY_FOLDED}
    listed = _read_list(tree, base)
    clips = [_clip(path, short, listed.rows.get(short.casefold())) for short, path in files.items()]
    return Index(_with_originals(clips), _notes(tree, files, listed))


def _clip(path: str, short: str, row: _Row | None) -> Clip:
    parts = short.split("/")
    category = _BY_FOLDED[parts[0].casefold()]
    _, label, visual_label = CATEGORIES[category]
    folder_id = parts[3] if len(parts) == 5 else None
    return Clip(
        path=path,
        video_id=stored(short),
        label=label,
        visual_label=visual_label,
        category=category,
        method=row.method if row else ("real" if category == REAL else None),
        identity=row.source if row else (stored(folder_id) if folder_id else None),
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


def _read_list(tree: Tree, base: str) -> _List:
    """Read meta_data.csv from where the official tree starts; without one there is nothing listed."""
    place = next((path for path in tree.files if path.casefold() == f"{base}{LIST}".casefold()), None)
    listed = _List()
    if place is None:
        return listed
    path = tree.root / place
    conflicts: list[str] = []
    columns: dict[str, int] = {}
    for line, cells in read_csv(path):
        if not columns:
            columns = _columns(path, line, cells)
            continue
        listed.lines += 1
        row, category = _row(path, line, cells, columns)
        conflicts += _conflicts(line, row, category, cells, columns)
        key = row.path.casefold()
        if key in listed.rows:
            listed.duplicates.append(row.path)
        else:
            listed.rows[key] = row
    stop_on_conflicts(path, conflicts, "Its columns type, category and method must fit the folder of the file.")
    return listed


def _columns(path: Path, line: int, header: list[str]) -> dict[str, int]:
    """Where each column is; `name` and `folder` are those of the file, in either variant of the header."""
    at = {name.casefold(): number for number, name in enumerate(header) if name}
    lacking = [name for name in ("source", "target1", "method", "category", "type", "path") if name not in at]
    if lacking:
        raise UserError(f"{stored(str(path))}, line {line}: the header lacks {', '.join(lacking)}.")
    if "filename" in at:
        return {**at, "name": at["filename"], "folder": at["path"]}
    return {**at, "name": at["path"], "folder": at["path"] + 1}


def _row(path: Path, line: int, cells: list[str], columns: dict[str, int]) -> tuple[_Row, str]:
    """One line, and the category folder in its path."""
    if len(cells) <= max(columns.values()):
        raise UserError(f"{stored(str(path))}, line {line}: {len(cells)} columns, fewer than its header names.")
    name, folder = cells[columns["name"]], cells[columns["folder"]].replace("\\", "/")
    parts = [part for part in folder.split("/") if part]
    start = next((i for i, part in enumerate(parts) if part.casefold() in _BY_FOLDED), None)
    if start is None:
        raise UserError(f"{stored(str(path))}, line {line}: `{stored(folder)}` names none of the category folders.")
    if parts[-1] != name:
        parts.append(name)
    target = cells[columns["target1"]]
    row = _Row("/".join(parts[start:]), cells[columns["method"]], cells[columns["source"]], _known(target))
    return row, _BY_FOLDED[parts[start].casefold()]


def _known(value: str) -> str | None:
    return value if value not in {"", "-"} else None


def _conflicts(line: int, row: _Row, category: str, cells: list[str], columns: dict[str, int]) -> list[str]:
    """Where the line's own words contradict the folder that it puts the file in."""
    letter = CATEGORIES[category][0]
    said_letter, said_type = cells[columns["category"]].upper(), cells[columns["type"]]
    found = []
    if said_type.casefold() != category.casefold():
        found.append(f"type {said_type}")
    if said_letter != letter:
        found.append(f"category {said_letter} (the folder's is {letter})")
    if (row.method.casefold() == "real") != (category == REAL):
        found.append(f"method {row.method}")
    return [f"line {line}: {stored(row.path)} is listed with {', '.join(found)}"] if found else []


def _notes(tree: Tree, files: dict[str, str], listed: _List) -> dict[str, Any]:
    on_disk = Lookup(files)
    notes: dict[str, Any] = {"list": LIST if listed.lines else None, "list_lines": listed.lines}
    if listed.lines:
        notes["list_duplicates"] = noted(listed.duplicates)
        notes["missing"] = noted(row.path for row in listed.rows.values() if on_disk.find(row.path) is None)
        notes["extra"] = noted(short for short in files if short.casefold() not in listed.rows)
    present = {_BY_FOLDED[short.split("/", 1)[0].casefold()] for short in files}
    notes["absent_parts"] = [name for name in CATEGORIES if name not in present]
    notes["outside"] = noted(set(tree.videos) - set(files.values()))
    notes["ignored"] = noted(p for p in tree.files if not is_video(p) and p.rpartition("/")[2].casefold() != LIST)
    return notes
