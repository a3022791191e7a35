"""DFDC: training parts with a metadata.json each, a test set with labels.csv, and Kaggle's test videos without labels.

The unit of a split is the original: a fake goes where its original goes. Who is seen is not published, so `identity` is
null. A fake may be fake only in its voice and the lists do not say which: `visual_label` equals `label`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dfdetect.datasets.layout import Clip, Index, OfficialPart, noted
from dfdetect.datasets.lists import Lookup, fold, read_csv, read_json_file, stop_on_conflicts
from dfdetect.datasets.tree import Tree, stored
from dfdetect.errors import UserError

if TYPE_CHECKING:
    from dfdetect.config.params import DatasetParams

METADATA = "metadata.json"
LABELS = "labels.csv"
HOLDS = f"dfdc_train_part_N/ with {METADATA}, train_sample_videos/, test_videos/, or a test set with {LABELS}"
OFFICIAL = (
    OfficialPart({"official_split": "test", "category": "real"}, 2500, {"test": 2500}),
    OfficialPart({"official_split": "test", "category": "fake"}, 2500, {"test": 2500}),
)

_LABELS = {"REAL": 0, "FAKE": 1}
_CATEGORY = {0: "real", 1: "fake", None: "unlabelled"}
_SAMPLE = "train_sample_videos"


@dataclass(frozen=True)
class _Entry:
    """What the lists say of one file; `split` is train or test."""

    label: int
    split: str
    original: str | None  # path


@dataclass
class _Lists:
    videos: Lookup
    entries: dict[str, _Entry] = field(default_factory=dict)  # by path on disk
    missing: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    absent_originals: set[str] = field(default_factory=set)


def index(tree: Tree, _entry: DatasetParams, /) -> Index:
    """List the clips of a DFDC tree.

    A video that a metadata.json lists is training data, one that labels.csv lists is the official test; any other gets
    no label and goes to the test split, where it is scored without metrics. A video of train_sample_videos/ that a full
    part holds too is listed once.

    Raises:
        UserError: no list and no video, a label that is neither REAL nor FAKE, or lists that contradict each other.
    """
    lists = _Lists(Lookup(tree.videos))
    found = {name: [p for p in tree.files if fold(p.rpartition("/")[2]) == name] for name in (METADATA, LABELS)}
    for path in found[METADATA]:
        _read_metadata(tree.root / path, path[: -len(METADATA)], lists)
    for path in found[LABELS]:
        _read_labels(tree.root / path, path[: -len(LABELS)], lists)
    in_parts = {path.rpartition("/")[2] for path in lists.entries if _SAMPLE not in path.split("/")}
    copies = {p for p in lists.entries if _SAMPLE in p.split("/") and p.rpartition("/")[2] in in_parts}
    notes = {
        "missing": noted(lists.missing),
        "list_duplicates": noted(lists.repeated),
        "duplicates": noted(copies),
        "unlabelled": noted(path for path in tree.videos if path not in lists.entries),
        "absent_originals": noted(lists.absent_originals),
    }
    clips = [_clip(path, lists.entries.get(path)) for path in tree.videos if path not in copies]
    return Index(clips, notes, lists=[*found[METADATA], *found[LABELS]], counted=copies)


def _clip(path: str, said: _Entry | None) -> Clip:
    label = said.label if said else None
    return Clip(
        path=path,
        video_id=stored(path),
        label=label,
        visual_label=label,
        category=_CATEGORY[label],
        method="real" if label == 0 else None,
        original_id=stored(said.original) if said and said.original else None,
        official_split=said.split if said else "test",
    )


def _read_metadata(path: Path, beside: str, lists: _Lists) -> None:
    """One metadata.json: the files beside it. One without any label (the test set has such a one) says nothing."""
    content = read_json_file(path)
    if not isinstance(content, dict) or not all(isinstance(said, dict) for said in content.values()):
        raise UserError(f"{stored(str(path))} is not a DFDC list: it must map each file's name to its label.")
    if not any("label" in said for said in content.values()):
        return
    conflicts = []
    for name, said in content.items():
        label = _LABELS.get(str(said.get("label")).upper())
        original = said.get("original") or None
        if label is None:
            raise UserError(
                f"{stored(str(path))}: {stored(name)} has the label {said.get('label')!r}, not REAL or FAKE."
            )
        if label == 0 and original not in (None, name):
            conflicts.append(f"{stored(name)} is REAL and has an original, {stored(original)}")
        found = lists.videos.find(beside + name)
        if found is None:
            lists.missing.append(beside + name)
            continue
        source = None
        if label and original:  # one that is not there keeps its name, since its fakes still belong together
            source = lists.videos.find(beside + original) or beside + original
            if source not in lists.videos:
                lists.absent_originals.add(source)
        lists.entries[found] = _Entry(label, "train", source)
    stop_on_conflicts(path, conflicts, "A real video has no original; fetch the file again.")


def _read_labels(path: Path, beside: str, lists: _Lists) -> None:
    """One labels.csv (filename,label; 1 is fake): files beside it or in a folder below."""
    by_name = {fold(p.rpartition("/")[2]): p for p in reversed(lists.videos.paths) if p.startswith(beside)}
    rows = list(read_csv(path))
    if not rows or [cell.casefold() for cell in rows[0][1][:2]] != ["filename", "label"]:
        raise UserError(f"{stored(str(path))}, line 1: the header must be `filename,label`.")
    conflicts = []
    for line, cells in rows[1:]:
        if len(cells) < 2 or cells[1] not in {"0", "1"}:
            raise UserError(
                f"{stored(str(path))}, line {line}: `{stored(','.join(cells))}` is not `filename,0` or `filename,1`."
            )
        name, label = cells[0], int(cells[1])
        found = lists.videos.find(beside + name) or by_name.get(fold(name))
        if found is None:
            lists.missing.append(beside + name)
            continue
        before = lists.entries.get(found)
        if before is not None and before.label != label:
            conflicts.append(f"line {line}: {stored(found)} has the label {label}, and {before.label} in another list")
        elif before is not None and before.split == "test":
            lists.repeated.append(found)
        lists.entries[found] = _Entry(label, "test", before.original if before else None)
    stop_on_conflicts(path, conflicts, "Here 1 means fake and 0 real.")
