"""Celeb-DF v2: three folders of clips and List_of_testing_videos.txt.

A line of the list is `<label> <folder>/<file>`, and there 1 means real and 0 fake; a list that has been issued
elsewhere inverts it, so every label is checked against its folder. A synthesis is named target_source_clip: the target
is the person of the clip, the source lends the face. Identities of the test list also occur in train; the audit counts
them, and no disjointness is claimed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfdetect.datasets.layout import Clip, Index, OfficialPart, noted
from dfdetect.datasets.lists import Lookup, read_text, stop_on_conflicts
from dfdetect.datasets.tree import Tree, find_base, is_video, stem, stored, walk
from dfdetect.errors import UserError

if TYPE_CHECKING:
    from dfdetect.config.params import DatasetParams

# folder -> label
FOLDERS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}
LIST = "List_of_testing_videos.txt"
HOLDS = ", ".join(f"{name}/" for name in FOLDERS) + f" and {LIST}"
OFFICIAL = (
    OfficialPart({"category": "Celeb-real"}, 590, {"train": 482, "test": 108}),
    OfficialPart({"category": "YouTube-real"}, 300, {"train": 230, "test": 70}),
    OfficialPart({"category": "Celeb-synthesis"}, 5639, {"train": 5299, "test": 340}),
)

_BY_FOLDED = {name.casefold(): name for name in FOLDERS}
_REAL = re.compile(r"(id\d+)_\d+")
_FAKE = re.compile(r"(id\d+)_(id\d+)_(\d+)")


@dataclass
class _List:
    test: dict[str, int] = field(default_factory=dict)  # path from where the official tree starts -> line
    duplicates: list[str] = field(default_factory=list)
    found: bool = False


def people(name: str) -> tuple[str | None, str | None]:
    """Who is seen and whose face was put in, from a file's name without its extension: id0_id1_0000, id0_0000."""
    if fake := _FAKE.fullmatch(name):
        return fake[1], fake[2]
    real = _REAL.fullmatch(name)
    return (real[1] if real else None), None


def original_name(name: str) -> str | None:
    """The name of the clip that a synthesis was made of: id0_0000 of id0_id1_0000."""
    fake = _FAKE.fullmatch(name)
    return f"{fake[1]}_{fake[3]}" if fake else None


def index(root: Path, _entry: DatasetParams, /) -> Index:
    """List the clips of a Celeb-DF tree; what the list does not name is official training data.

    Raises:
        UserError: no folder of the set, a line that cannot be read, or labels that contradict their folders.
    """
    tree = walk(root)
    base = find_base(tree, lambda name: name.casefold() in _BY_FOLDED)
    if base is None:
        found = ", ".join(tree.names_at_root()[:20]) or "nothing"
        raise UserError(f"{stored(str(root))} holds no folder of Celeb-DF ({HOLDS}); it holds {found}.")
    files = {path[len(base) :]: path for path in tree.videos if path.startswith(base)}
    files = {short: path for short, path in files.items() if short.split("/", 1)[0].casefold() in _BY_FOLDED}
    listed = _read_list(tree, base)
    on_disk = Lookup(files)
    test = {on_disk.find(name) for name in listed.test} - {None}
    ids = {stored(short) for short in files}
    clips = []
    for short, path in files.items():
        split = ("test" if short in test else "train") if listed.found else None
        clips.append(_clip(path, short, split, ids))
    return Index(clips, _notes(tree, files, listed, on_disk))


def _clip(path: str, short: str, split: str | None, ids: set[str]) -> Clip:
    folder = _BY_FOLDED[short.split("/", 1)[0].casefold()]
    label = FOLDERS[folder]
    name = stem(short)
    identity, source_identity = people(name)
    original = f"Celeb-real/{original_name(name)}.mp4" if label else None
    return Clip(
        path=path,
        video_id=stored(short),
        label=label,
        visual_label=label,
        category=folder,
        method="faceswap" if label else "real",
        identity=identity,
        source_identity=source_identity,
        original_id=original if original in ids else None,
        official_split=split,
    )


def _read_list(tree: Tree, base: str) -> _List:
    place = next((path for path in tree.files if path.casefold() == f"{base}{LIST}".casefold()), None)
    listed = _List(found=place is not None)
    if place is None:
        return listed
    path = tree.root / place
    conflicts, lines = [], 0
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        lines += 1
        said, _, name = line.strip().partition(" ")
        name = name.strip()
        folder = _BY_FOLDED.get(name.split("/", 1)[0].casefold())
        if said not in {"0", "1"} or folder is None:
            raise UserError(
                f"{stored(str(path))}, line {number}: `{stored(line.strip())}` is no `<0 or 1> <folder>/<file>` "
                f"with one of the folders {', '.join(FOLDERS)}."
            )
        if (said == "1") != (FOLDERS[folder] == 0):
            conflicts.append(f"line {number}: {stored(name)} has the label {said}")
        if name in listed.test:
            listed.duplicates.append(name)
        listed.test.setdefault(name, number)
    inverted = " All labels are the other way round: this list has been inverted." if len(conflicts) == lines else ""
    stop_on_conflicts(path, conflicts, f"In it 1 means real and 0 fake.{inverted} Fetch the official list again.")
    return listed


def _notes(tree: Tree, files: dict[str, str], listed: _List, on_disk: Lookup) -> dict[str, Any]:
    present = {_BY_FOLDED[short.split("/", 1)[0].casefold()] for short in files}
    return {
        "list": LIST if listed.found else None,
        "list_lines": len(listed.test) + len(listed.duplicates),
        "list_duplicates": noted(listed.duplicates),
        "missing": noted(name for name in listed.test if on_disk.find(name) is None),
        "odd_names": noted(
            short for short in files if short.casefold().startswith("celeb") and people(stem(short))[0] is None
        ),
        "absent_parts": [name for name in FOLDERS if name not in present],
        "outside": noted(set(tree.videos) - set(files.values())),
        "ignored": noted(
            p for p in tree.files if not is_video(p) and p.rpartition("/")[2].casefold() != LIST.casefold()
        ),
    }
