"""Celeb-DF v2 and Celeb-DF++: three folders of clips and List_of_testing_videos.txt.

A line of the list is `<label> <folder>/<file>`, and there 1 means real and 0 fake; a list that has been issued
elsewhere inverts it, so every label is checked against its folder. A synthesis is named target_source_clip: the target
is the person of the clip, the source lends the face; one made from sound is named as its clip. Celeb-DF++ sorts its
syntheses into Celeb-synthesis/<kind>/<method>/. Identities of the test list also occur in train; the audit counts them,
and no disjointness is claimed.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from dfdetect.datasets.layout import Clip, Index, OfficialPart, find_list, noted, official_videos
from dfdetect.datasets.lists import Lookup, read_text, stop_on_conflicts
from dfdetect.datasets.tree import Tree, stem, stored
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
    OfficialPart({"category": "Celeb-synthesis", "method": "faceswap"}, 5639, {"train": 5299, "test": 340}),
)

_BY_FOLDED = {name.casefold(): name for name in FOLDERS}
_NAME = re.compile(r"(id\d+)(?:_(id\d+))?_(\d+)")
# As issued, or saved by another program: quoted, with a tab, comma or semicolon.
_LINE = re.compile(r"""["']?([01])["']?[\s,;|]+["']?(.+?)["']?""")


def people(name: str) -> tuple[str | None, str | None]:
    """Who is seen and whose face was put in, from a file's name without its extension: id0_id1_0000, id0_0000."""
    found = _NAME.fullmatch(name)
    return (found[1], found[2]) if found else (None, None)


def original_name(name: str) -> str | None:
    """The name of the clip that a synthesis was made of: id0_0000 of id0_id1_0000."""
    fake = _NAME.fullmatch(name)
    return f"{fake[1]}_{fake[3]}" if fake else None


def index(tree: Tree, _entry: DatasetParams, /) -> Index:
    """List the clips of a Celeb-DF tree; what the list does not name is official training data.

    Raises:
        UserError: no folder of the set, a line that cannot be read, or labels that contradict their folders.
    """
    base, files = official_videos(tree, FOLDERS, f"no folder of Celeb-DF ({HOLDS})")
    place = find_list(tree, base, LIST)
    listed = Counter(_read_list(tree.root / place) if place else ())
    on_disk = Lookup(files)
    test = {on_disk.find(name) for name in listed}
    clips = []
    for short, path in files.items():
        split = ("test" if short in test else "train") if place else None
        clips.append(_clip(path, short, split, on_disk))
    present = {clip.category for clip in clips}
    notes = {
        "list_lines": listed.total(),
        "list_duplicates": noted(name for name, lines in listed.items() if lines > 1),
        "missing": noted(name for name in listed if on_disk.find(name) is None),
        "odd_names": noted(s for s in files if not s.casefold().startswith("youtube") and people(stem(s))[0] is None),
        "absent_parts": [name for name in FOLDERS if name not in present],
    }
    return Index(clips, notes, lists=[place] if place else [])


def _clip(path: str, short: str, split: str | None, on_disk: Lookup) -> Clip:
    folder = _BY_FOLDED[short.split("/", 1)[0].casefold()]
    label = FOLDERS[folder]
    original = on_disk.find(f"Celeb-real/{original_name(stem(short))}.mp4") if label else None
    identity, source_identity = people(stem(short))
    return Clip(
        path=path,
        video_id=stored(short),
        label=label,
        visual_label=label,
        category=folder,
        method=_method(short.split("/")[1:-1]) if label else "real",
        identity=identity,
        source_identity=source_identity,
        original_id=stored(original) if original else None,
        official_split=split,
    )


def _method(folders: list[str]) -> str:
    """The method by the folders inside Celeb-synthesis; the clips of Celeb-DF itself are face swaps."""
    return "faceswap" if not folders or folders[-1].casefold().startswith("celeb-df") else stored(folders[-1])


def _read_list(path: Path) -> list[str]:
    """The videos that the list names, as paths from where the official tree starts."""
    names, conflicts = [], []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        parts = found[2].replace("\\", "/").split("/") if found else []
        start = next((level for level, part in enumerate(parts[:-1]) if part.casefold() in _BY_FOLDED), None)
        if found is None or start is None:
            raise UserError(
                f"{stored(str(path))}, line {number}: `{stored(line.strip())}` is not `<0 or 1> <folder>/<file>` "
                f"with one of the folders {', '.join(FOLDERS)}."
            )
        name = "/".join(parts[start:])
        if (found[1] == "1") != (FOLDERS[_BY_FOLDED[parts[start].casefold()]] == 0):
            conflicts.append(f"line {number}: {stored(name)} has the label {found[1]}")
        names.append(name)
    if not names:
        raise UserError(f"{stored(str(path))} is empty: fetch the official list again, or remove it.")
    inverted = (
        " All labels are the other way round: this list has been inverted." if len(conflicts) == len(names) else ""
    )
    stop_on_conflicts(path, conflicts, f"In it 1 means real and 0 fake.{inverted} Fetch the official list again.")
    return names
