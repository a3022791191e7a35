"""What leaks from one split into another: people, originals, videos, files and face crops that both of them have."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from dfdetect.config.params import LeakKind
from dfdetect.datasets.tree import is_image
from dfdetect.splits.near import Frames, nearest

Row = Mapping[str, Any]
Split = Mapping[str, str]
KINDS: tuple[LeakKind, ...] = get_args(LeakKind)
# Between which splits nothing may be shared; the former give way: a test video is never the one that is taken out.
BOUNDARIES: tuple[tuple[tuple[str, ...], str], ...] = ((("train", "val"), "test"), (("train",), "val"))
# What is counted of each kind, and what leaks; {gives} and {stays} are the splits.
_SENTENCES: dict[LeakKind, str] = {
    "identity": "{count} identities in {stays} are also in {gives}",
    "source_identity": "{count} people in {stays} are also in {gives} by a swapped face or voice (source identity)",
    "original": "{count} originals in {stays}, or forgeries of them, are also in {gives}",
    "video": "{count} videos with frames in {stays} also have frames in {gives}",
    "file": "{count} files in {stays} are also in {gives}, byte for byte",
    "frame": "{count} videos in {stays} have face crops that are nearly equal to some in {gives}",
}


@dataclass(frozen=True)
class Leak:
    """One video that shares something with a split that it must not share with.

    Args:
        video_id, split: the video that has to give way.
        shared: who or what: an identity, the video_id of an original, a sha256, a pair of frames.
        other_id, other_split: the first video that has the same.
        official: whether the dataset's own split puts both videos where they are.
    """

    video_id: str
    split: str
    kind: LeakKind
    shared: str
    other_id: str
    other_split: str
    official: bool


@dataclass(frozen=True)
class Overlap:
    """What a split shares with those that training uses before it, of one kind.

    Args:
        stays: the split whose videos stay where they are.
        shared: how many of its identities, originals, ... are also in the other splits.
        total: how many it has.
        videos: how many of its videos have them.
        leaks: one per video of the other splits that has them.
    """

    kind: LeakKind
    stays: str
    shared: int
    total: int
    videos: int
    leaks: list[Leak]

    @property
    def gives(self) -> dict[str, int]:
        """How many videos of which split have to give way."""
        return dict(Counter(leak.split for leak in self.leaks))

    def warning(self, *, from_names: bool) -> str:
        """The overlap as a sentence with its counts and an example.

        Args:
            from_names: people and originals are known from file names, and the given split is that of the folders.
        """
        count = f"all {self.total}" if self.shared == self.total else f"{self.shared} of {self.total}"
        said = _SENTENCES[self.kind].format(count=count, gives=" or ".join(self.gives), stays=self.stays)
        names = ", going by file names" if from_names and self.kind not in ("file", "frame") else ""
        counts = ", ".join(f"{videos} {split} videos" for split, videos in self.gives.items())
        official = sum(leak.official for leak in self.leaks)
        part = "" if official == len(self.leaks) else f" for {official} of the {len(self.leaks)} videos"
        owner = "the folders' own" if from_names else "the official split's own"
        origin = f"; this overlap is {owner}{part}" if official else ""
        example = self.leaks[0]
        pair = f"{example.video_id} and {example.other_id}"
        return f"{said}{names} ({counts} and {self.videos} {self.stays} videos, such as {pair}){origin}"


Keys = Callable[[Row], Iterable[tuple[str, str]]]


def _known(role: str, *values: str | None) -> list[tuple[str, str]]:
    return [(role, value) for value in values if value is not None]


def _identity(row: Row) -> list[tuple[str, str]]:
    return _known("", row["identity"])


def _original(row: Row) -> list[tuple[str, str]]:
    return _known("", row["original_id"] or row["video_id"])


def _video(row: Row) -> list[tuple[str, str]]:
    """The clip that an image is a frame of; forgeries of one clip are told apart by their method."""
    return _known(f"{row['label']} {row['method']}", row["original_id"] if is_image(row["path"]) else None)


def _file(row: Row) -> list[tuple[str, str]]:
    """Files that cannot be opened do not count: nothing is learned from them."""
    return _known("", row["sha256"] if row["status"] == "ok" else None)


# What a video of the split that gives way shares, and what one of the other split offers: (role, name). The two differ
# for source identities, where a person seen in both is an identity and not counted again.
_TABLE: dict[LeakKind, tuple[Keys, Keys]] = {
    "identity": (_identity, _identity),
    "source_identity": (
        lambda row: [*_known("seen", row["source_identity"]), *_known("lent", row["source_identity"], row["identity"])],
        lambda row: [*_known("seen", row["identity"]), *_known("lent", row["source_identity"])],
    ),
    "original": (_original, _original),
    "video": (_video, _video),
    "file": (_file, _file),
}


def table_overlaps(rows: Sequence[Row], split: Split) -> list[Overlap]:
    """What splits share by videos.parquet: everything but nearly equal face crops.

    Args:
        rows: of videos.parquet.
        split: video_id -> split.
    Returns:
        The overlaps that are not empty, in the order of kinds and BOUNDARIES.
    """
    found = []
    for kind, (asks, offers) in _TABLE.items():
        for gives, stays in BOUNDARIES:
            holders: dict[tuple[str, str], list[Row]] = defaultdict(list)
            for row in rows:
                if split[row["video_id"]] == stays:
                    for key in offers(row):
                        holders[key].append(row)
            leaks, hit = [], set()
            for row in rows:
                keys = [key for key in asks(row) if key in holders] if split[row["video_id"]] in gives else []
                if keys:
                    hit.update(keys)
                    leaks.append(_leak(kind, row, keys[0][1], holders[keys[0]][0], split))
            if leaks:
                videos = {row["video_id"] for key in hit for row in holders[key]}
                shared, total = ({name for _, name in keys} for keys in (hit, holders))
                found.append(Overlap(kind, stays, len(shared), len(total), len(videos), _in_order(leaks)))
    return found


def _leak(kind: LeakKind, row: Row, shared: str, other: Row, split: Split) -> Leak:
    given = (row["official_split"], other["official_split"])
    official = None not in given and given[0] != given[1]
    ids = row["video_id"], other["video_id"]
    return Leak(ids[0], split[ids[0]], kind, shared, ids[1], split[ids[1]], official)


def _in_order(leaks: list[Leak]) -> list[Leak]:
    """Those of train first; within a split in the order of videos.parquet."""
    return sorted(leaks, key=lambda leak: leak.split != "train")


def frame_overlaps(rows: Sequence[Row], split: Split, frames: Frames, bits: int) -> list[Overlap]:
    """Nearly equal face crops in different splits.

    Args:
        rows: of videos.parquet.
        split: video_id -> split.
        frames: hashes of the face crops, by place in `rows`.
        bits: crops whose 64-bit perceptual hashes differ in at most so many bits are nearly equal.
    Returns:
        The overlaps that are not empty, in the order of BOUNDARIES.
    """
    names = np.array([split[row["video_id"]] for row in rows])
    found = []
    for gives, stays in BOUNDARIES:
        left, right = (frames.of(np.flatnonzero(np.isin(names, part))) for part in (gives, (stays,)))
        near, distance, hit = nearest(left.phash, right.phash, bits)
        leaks = []
        at = np.flatnonzero(near >= 0)
        videos, firsts = np.unique(left.video[at], return_index=True)
        for video, place in zip(videos.tolist(), at[firsts].tolist(), strict=True):
            match = int(near[place])
            shared = f"frames {left.frame_index[place]} and {right.frame_index[match]} differ in {distance[place]} bits"
            leaks.append(_leak("frame", rows[video], shared, rows[int(right.video[match])], split))
        if leaks:
            counts = len(np.unique(right.video[hit])), len(np.unique(right.video))
            found.append(Overlap("frame", stays, *counts, counts[0], _in_order(leaks)))
    return found
