"""FaceForensics++: originals from YouTube (and actors), manipulations by method and compression, splits as pairs.

Official: original_sequences/<youtube or actors>/<compression>/videos/, manipulated_sequences/<method>/<compression>/
videos/ and splits/{train,val,test}.json. Flat: real/ (or original/) and one folder a method. A manipulation is named
target_source; a pair [a, b] of the lists gives a_b and b_a. The clips have no sound.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfdetect.datasets.layout import Clip, Index, OfficialPart, noted
from dfdetect.datasets.lists import read_json_file, stop_on_conflicts
from dfdetect.datasets.tree import Tree, find_base, is_video, stem, stored, walk
from dfdetect.errors import UserError

if TYPE_CHECKING:
    from dfdetect.config.params import DatasetParams

# Made from the 1,000 YouTube originals; DeepFakeDetection is made from those of actors.
YOUTUBE_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
ACTORS_METHOD = "DeepFakeDetection"
METHODS = (*YOUTUBE_METHODS, ACTORS_METHOD)
ORIGINALS = ("youtube", "actors")
COMPRESSIONS = {"c0": "c0", "raw": "c0", "c23": "c23", "c40": "c40"}
HOLDS = "original_sequences/ and manipulated_sequences/, or real/, Deepfakes/, Face2Face/, ...; and splits/test.json"

SELECTS = ("methods", "compression")

_SPLIT = {"train": 720, "val": 140, "test": 140}
OFFICIAL = tuple(
    OfficialPart({"category": category, "compression": compression}, videos, splits)
    for compression in ("c0", "c23", "c40")
    for category, videos, splits in (
        ("youtube", 1000, _SPLIT),
        *((method, 1000, _SPLIT) for method in YOUTUBE_METHODS),
        ("actors", 363, {}),
        (ACTORS_METHOD, 3068, {}),
    )
)

_FLAT_REAL = frozenset({"real", "original", "originals", "youtube"})
_BY_FOLDED = {name.casefold(): name for name in (*METHODS, *ORIGINALS)}
_PAIR = re.compile(r"(\d{3})_(\d{3})")
_ACTORS = re.compile(r"(\d{2})(?:_(\d{2}))?__(.+)")


@dataclass(frozen=True)
class _File:
    """A video by what its folders say."""

    path: str
    part: str  # youtube, actors, or a method
    compression: str | None


@dataclass
class _Lists:
    split: dict[str, str] = field(default_factory=dict)  # "071" and "071_054" -> split
    found: list[str] = field(default_factory=list)


def people(name: str) -> tuple[str | None, str | None]:
    """Who is seen and whose face or expression was put in: 071, 071_054, 01__scene, 01_02__scene__XYZ."""
    if pair := _PAIR.fullmatch(name):
        return pair[1], pair[2]
    if actors := _ACTORS.fullmatch(name):
        return f"actor_{actors[1]}", f"actor_{actors[2]}" if actors[2] else None
    return (name if re.fullmatch(r"\d{3}", name) else None), None


def index(root: Path, entry: DatasetParams, /) -> Index:
    """List the clips of the selected methods and compression.

    `entry.methods` null takes every method that is there; originals of actors come with DeepFakeDetection. The unit of
    identity is the YouTube video, or the actor.

    Raises:
        UserError: an unknown method or compression, nothing selected, or split lists that contradict each other.
    """
    tree = walk(root)
    base, files = _classify(tree)
    if not files:
        found = ", ".join(tree.names_at_root()[:20]) or "nothing"
        raise UserError(f"{stored(str(root))} holds no videos of FaceForensics++ ({HOLDS}); it holds {found}.")
    parts = _selected_parts(entry, {file.part for file in files})
    compression = _selected_compression(entry)
    # A flat tree does not say its compression: it has the one that the params name.
    files = [replace(file, compression=file.compression or compression) for file in files]
    chosen = [file for file in files if file.part in parts and compression in (None, file.compression)]
    if not chosen:
        there = sorted({f"{file.part} {file.compression or ''}".strip() for file in files})
        raise UserError(
            f"{stored(str(root))} holds nothing of the methods and compression asked for; there is {there}."
        )
    lists = _read_lists(tree)
    originals = {
        (stem(file.path), file.compression): stored(file.path[len(base) :]) for file in chosen if file.part in ORIGINALS
    }
    clips = [_clip(file, base, lists, originals) for file in chosen]
    return Index(clips, _notes(files, chosen, lists, parts, tree))


def _classify(tree: Tree) -> tuple[str, list[_File]]:
    """Where the official tree starts, and its videos: official folders where there are any, else flat ones."""
    sequences = find_base(tree, lambda name: name.casefold() in {"original_sequences", "manipulated_sequences"})
    base = find_base(tree, lambda name: name.casefold() in _BY_FOLDED) if sequences is None else sequences
    if base is None:
        return "", []
    place = _flat_place if sequences is None else _official_place
    found = []
    for path in tree.videos:
        where = place(path[len(base) :].split("/")) if path.startswith(base) else None
        if where is not None:
            found.append(_File(path, *where))
    return base, found


def _official_place(parts: list[str]) -> tuple[str, str] | None:
    """Part and compression from original_sequences/youtube/c23/videos/071.mp4."""
    if len(parts) < 4 or not parts[0].casefold().endswith("_sequences"):
        return None
    part, compression = _BY_FOLDED.get(parts[1].casefold()), COMPRESSIONS.get(parts[2].casefold())
    return (part, compression) if part and compression else None  # masks/ may stand where a compression does


def _flat_place(parts: list[str]) -> tuple[str, str | None] | None:
    """Part and compression from real/071.mp4 or Deepfakes/c23/videos/071_054.mp4."""
    if len(parts) < 2 or "masks" in parts:
        return None
    name = parts[0].casefold()
    part = "youtube" if name in _FLAT_REAL else _BY_FOLDED.get(name)
    compression = next((COMPRESSIONS[p.casefold()] for p in parts[1:-1] if p.casefold() in COMPRESSIONS), None)
    return (part, compression) if part else None


def _selected_parts(entry: DatasetParams, there: set[str]) -> set[str]:
    if entry.methods is None:
        return there
    methods = set()
    for name in entry.methods:
        known = _BY_FOLDED.get(name.casefold())
        if known not in METHODS:
            raise UserError(f"params.yaml: FaceForensics++ has no method `{name}`; it has {', '.join(METHODS)}.")
        methods.add(known)
    actors = {"actors"} if ACTORS_METHOD in methods else set()
    youtube = {"youtube"} if methods - {ACTORS_METHOD} else set()
    return methods | actors | youtube


def _selected_compression(entry: DatasetParams) -> str | None:
    if entry.compression is None:
        return None
    if entry.compression.casefold() not in COMPRESSIONS:
        known = ", ".join(COMPRESSIONS)
        raise UserError(f"params.yaml: FaceForensics++ has no compression `{entry.compression}`; it has {known}.")
    return COMPRESSIONS[entry.compression.casefold()]


def _clip(file: _File, base: str, lists: _Lists, originals: dict[tuple[str, str | None], str]) -> Clip:
    name = stem(file.path)
    label = int(file.part in METHODS)
    identity, source_identity = people(name)
    return Clip(
        path=file.path,
        video_id=stored(file.path[len(base) :]),
        label=label,
        visual_label=label,
        category=file.part,
        method=file.part if label else "real",
        compression=file.compression,
        identity=identity,
        source_identity=source_identity,
        original_id=originals.get((original_name(name), file.compression)) if label else None,
        official_split=lists.split.get(name) if file.part not in ("actors", ACTORS_METHOD) else None,
    )


def original_name(name: str) -> str:
    """The name of the clip that a manipulation was made of: 071 of 071_054, 01__scene of 01_02__scene__XYZ."""
    if actors := _ACTORS.fullmatch(name):
        return f"{actors[1]}__{actors[3].rpartition('__')[0]}"
    return name.split("_", 1)[0]


def _read_lists(tree: Tree) -> _Lists:
    """train.json, val.json and test.json, in splits/ or where the tree starts; what is not there is not known."""
    lists = _Lists()
    for place in tree.files:
        folder, _, file = place.rpartition("/")
        name = file.removesuffix(".json")
        if file.endswith(".json") and name in ("train", "val", "test") and folder.count("/") <= 2:
            _read_pairs(tree.root / place, name, lists)
            lists.found.append(place)
    return lists


def _read_pairs(path: Path, split: str, lists: _Lists) -> None:
    content = read_json_file(path)
    conflicts = []
    if not isinstance(content, list):
        raise UserError(f"{stored(str(path))} is no split list: it must be a list of pairs of video numbers.")
    for number, pair in enumerate(content, 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(str(name).isdigit() for name in pair):
            raise UserError(f"{stored(str(path))}, pair {number}: {pair!r} is no pair of video numbers.")
        first, second = (str(name).zfill(3) for name in pair)
        for name in (first, second, f"{first}_{second}", f"{second}_{first}"):
            before = lists.split.setdefault(name, split)
            if before != split:
                conflicts.append(f"pair {number}: {name} is in {before}.json too")
    stop_on_conflicts(path, conflicts, "A video belongs to one split; fetch the official lists again.")


def _notes(files: list[_File], chosen: list[_File], lists: _Lists, asked: set[str], tree: Tree) -> dict[str, Any]:
    selected = set(chosen)
    notes: dict[str, Any] = {
        "lists": noted(lists.found),
        "not_selected": _by_part(file for file in files if file not in selected),
        "absent_parts": sorted(asked - {file.part for file in chosen}),
    }
    if lists.split:
        there: dict[tuple[str, str | None], set[str]] = defaultdict(set)
        for file in chosen:
            there[file.part, file.compression].add(stem(file.path))
        missing, extra = [], []
        for (part, compression), names in sorted(there.items(), key=str):
            if part not in ("actors", ACTORS_METHOD):
                expected = {name for name in lists.split if ("_" in name) == (part in METHODS)}
                place = "/".join(filter(None, (part, compression)))
                missing += [f"{place}/{name}" for name in expected - names]
                extra += [f"{place}/{name}" for name in names - expected]
        notes |= {"missing": noted(missing), "extra": noted(extra)}
    notes["outside"] = noted(set(tree.videos) - {file.path for file in files})
    lists_files = set(lists.found)
    notes["ignored"] = noted(path for path in tree.files if not is_video(path) and path not in lists_files)
    return notes


def _by_part(files: Iterable[_File]) -> dict[str, int]:
    return dict(sorted(Counter("/".join(filter(None, (file.part, file.compression))) for file in files).items()))
