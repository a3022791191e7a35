"""FaceForensics++: originals from YouTube (and actors), manipulations by method and compression, splits as pairs.

Official: original_sequences/<youtube or actors>/<compression>/videos/, manipulated_sequences/<method>/<compression>/
videos/ and splits/{train,val,test}.json. Flat: real/ (or original/) and one folder per method. A manipulation is named
target_source; a pair [a, b] of the lists gives a_b and b_a. The clips have no sound.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dfdetect.datasets.layout import Clip, Index, OfficialPart, not_found, noted
from dfdetect.datasets.lists import read_json_file, stop_on_conflicts
from dfdetect.datasets.tree import Tree, find_base, stem, stored
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
_UNLISTED = ("actors", ACTORS_METHOD)  # the split lists name only YouTube's videos
_PAIR = re.compile(r"(\d{3})_(\d{3})")
_ACTORS = re.compile(r"(\d{2})(?:_(\d{2}))?__(.+)")


@dataclass(frozen=True)
class _File:
    """A video by what its folders say."""

    path: str
    part: str  # youtube, actors, or a method
    compression: str | None

    @property
    def place(self) -> str:
        """Its part of the set, for people."""
        return "/".join(filter(None, (self.part, self.compression)))


def people(name: str) -> tuple[str | None, str | None]:
    """Who is seen and whose face or expression was put in: 071, 071_054, 01__scene, 01_02__scene__XYZ."""
    if pair := _PAIR.fullmatch(name):
        return pair[1], pair[2]
    if actors := _ACTORS.fullmatch(name):
        return f"actor_{actors[1]}", f"actor_{actors[2]}" if actors[2] else None
    return (name if re.fullmatch(r"\d{3}", name) else None), None


def index(tree: Tree, entry: DatasetParams, /) -> Index:
    """List the clips of the selected methods and compression.

    `entry.methods` null takes every method that is there; originals of actors come with DeepFakeDetection. The unit of
    identity is the YouTube video, or the actor.

    Raises:
        UserError: an unknown method or compression, nothing selected, or split lists that contradict each other.
    """
    base, files = _classify(tree)
    if not files:
        raise not_found(tree, f"no videos of FaceForensics++ ({HOLDS})")
    parts = {file.part for file in files} if entry.methods is None else _with_originals(entry.methods)
    compression = entry.compression and COMPRESSIONS.get(entry.compression.casefold())
    if compression is None and entry.compression is not None:
        known = ", ".join(COMPRESSIONS)
        raise UserError(f"params.yaml: FaceForensics++ has no compression `{entry.compression}`; it has {known}.")
    # A flat tree does not say its compression: it has the one that the params name.
    files = [replace(file, compression=file.compression or compression) for file in files]
    chosen = [file for file in files if file.part in parts and compression in (None, file.compression)]
    if not chosen:
        there = ", ".join(sorted({file.place for file in files}))
        root = stored(str(tree.root))
        raise UserError(f"{root} holds nothing of the methods and compression asked for; there is {there}.")
    lists = [place for place in tree.files if _split_of(place)]
    splits = _read_splits(tree, lists)
    originals = {
        (stem(file.path), file.compression): stored(file.path[len(base) :]) for file in chosen if file.part in ORIGINALS
    }
    left_out = set(files) - set(chosen)
    notes = {
        "not_selected": dict(sorted(Counter(file.place for file in left_out).items())),
        "absent_parts": sorted(parts - {file.part for file in chosen}),
        **(_against_lists(chosen, splits) if splits else {}),
    }
    clips = [_clip(file, base, splits, originals) for file in chosen]
    return Index(clips, notes, lists=lists, counted={file.path for file in left_out})


def _classify(tree: Tree) -> tuple[str, list[_File]]:
    """Where the official tree starts, and its videos: official folders where there are any, else flat ones."""
    sequences = find_base(tree, lambda name: name.casefold() in {"original_sequences", "manipulated_sequences"})
    base = find_base(tree, lambda name: name.casefold() in _BY_FOLDED) if sequences is None else sequences
    if base is None:
        return "", []
    place = _flat_place if sequences is None else _official_place
    found = [(path, place(path[len(base) :].split("/"))) for path in tree.videos if path.startswith(base)]
    return base, [_File(path, *where) for path, where in found if where]


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


def _with_originals(names: Iterable[str]) -> set[str]:
    """The parts that the params' methods stand for, letter case aside."""
    methods = set()
    for name in names:
        if (known := _BY_FOLDED.get(name.casefold())) not in METHODS:
            raise UserError(f"params.yaml: FaceForensics++ has no method `{name}`; it has {', '.join(METHODS)}.")
        methods.add(known)
    actors = {"actors"} if ACTORS_METHOD in methods else set()
    youtube = {"youtube"} if methods - {ACTORS_METHOD} else set()
    return methods | actors | youtube


def _clip(file: _File, base: str, splits: dict[str, str], originals: dict[tuple[str, str | None], str]) -> Clip:
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
        official_split=splits.get(name) if file.part not in _UNLISTED else None,
    )


def original_name(name: str) -> str:
    """The name of the clip that a manipulation was made of: 071 of 071_054, 01__scene of 01_02__scene__XYZ."""
    if actors := _ACTORS.fullmatch(name):
        return f"{actors[1]}__{actors[3].rpartition('__')[0]}"
    return name.split("_", 1)[0]


def _split_of(place: str) -> str | None:
    """The split that a file lists: train.json, val.json and test.json, in splits/ or where the tree starts."""
    folder, _, file = place.rpartition("/")
    name, _, kind = file.casefold().rpartition(".")
    return name if kind == "json" and name in _SPLIT and folder.count("/") <= 2 else None


def _read_splits(tree: Tree, lists: Iterable[str]) -> dict[str, str]:
    """The lists' pairs as "071" -> split and "071_054" -> split."""
    splits: dict[str, str] = {}
    for place in lists:
        path, split = tree.root / place, str(_split_of(place))
        content = read_json_file(path)
        conflicts = []
        if not isinstance(content, list):
            raise UserError(f"{stored(str(path))} is not a split list: it must be a list of pairs of video numbers.")
        for number, pair in enumerate(content, 1):
            if not isinstance(pair, list) or len(pair) != 2 or not all(str(name).isdigit() for name in pair):
                raise UserError(f"{stored(str(path))}, pair {number}: {pair!r} is not a pair of video numbers.")
            first, second = (str(name).zfill(3) for name in pair)
            for name in (first, second, f"{first}_{second}", f"{second}_{first}"):
                if (before := splits.setdefault(name, split)) != split:
                    conflicts.append(f"pair {number}: {name} is in {before}.json too")
        stop_on_conflicts(path, conflicts, "A video belongs to one split; fetch the official lists again.")
    return splits


def _against_lists(chosen: list[_File], splits: Mapping[str, str]) -> dict[str, Any]:
    """What the split lists name and the disk lacks, and the other way round, in each part that is there."""
    there: dict[tuple[str, bool], set[str]] = defaultdict(set)
    for file in chosen:
        if file.part not in _UNLISTED:
            there[file.place, file.part in METHODS].add(stem(file.path))
    missing, extra = [], []
    for (place, made), names in there.items():
        expected = {name for name in splits if ("_" in name) == made}
        missing += [f"{place}/{name}" for name in expected - names]
        extra += [f"{place}/{name}" for name in names - expected]
    return {"missing": noted(missing), "extra": noted(extra)}
