"""Give every video its split: the official one where there is one, else one disjoint by identity and original."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

from dfdetect.config.params import SplitsParams

SPLITS = ("train", "val", "test")
BY_GROUP = "by identity group"
# Fewer identity groups than this cannot be split into train, val and test.
FEWEST_GROUPS = 3
# Source identities join groups only while no group holds more of the videos than this: the face swaps of most datasets
# link nearly everybody with everybody, those of FaceForensics++ only pairs.
LARGEST_GROUP = 0.25
# The finest share that folds can express: 1 in 20.
MAX_FOLDS = 20
Row = Mapping[str, Any]


@dataclass
class Assignment:
    """video_id -> split, how test and val came about, and what the user should know."""

    split: dict[str, str] = field(default_factory=dict)
    policy: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def assign(rows: Sequence[Row], params: SplitsParams) -> Assignment:
    """Give every row of videos.parquet its split.

    A video without a label goes to test, where it is scored without metrics. Where labelled videos have an official
    test split, the official splits stand; otherwise test is chosen by identity group from all that is not official
    validation. Videos that the official lists of a dataset leave out are split among themselves. Where there is no
    official validation, it is chosen by identity group from train.

    Returns:
        An Assignment with one entry per row; independent of the order of the rows.
    """
    done = Assignment(split={row["video_id"]: "test" for row in rows if row["label"] is None})
    labelled = [row for row in rows if row["label"] is not None]
    has_test, has_val = (any(row["official_split"] == name for row in labelled) for name in ("test", "val"))
    train: list[Row] = []
    unlisted: list[Row] = []
    for row in labelled:
        if row["official_split"] in ("val", "test"):
            done.split[row["video_id"]] = row["official_split"]
        else:
            (train if row["official_split"] == "train" and has_test else unlisted).append(row)
    done.policy = {"test": "official" if has_test else BY_GROUP, "val": "official" if has_val else BY_GROUP}
    if unlisted:
        train += _choose_test(unlisted, params, done)
        if has_test:
            done.policy["test"] = f"official, and {BY_GROUP} where the official lists say nothing"
    done.split.update({row["video_id"]: "train" for row in train})
    if not has_val and train:
        _choose_val(train, params, done)
    done.warnings += _absent_classes(rows, done.split)
    return done


def _choose_test(rows: list[Row], params: SplitsParams, done: Assignment) -> list[Row]:
    """Choose the test videos among rows without an official split; returns the other rows."""
    count = len(set(identity_groups(rows).tolist()))
    if count < FEWEST_GROUPS:
        done.split.update({row["video_id"]: "test" for row in rows})
        done.warnings.append(
            f"{count} identity groups are too few to split: all their {len(rows)} videos are in test. Add videos of "
            "other people, or make the split yourself with folders."
        )
        return []
    test = hold_out(rows, params.test_fraction, seed=params.seed, keep=2)
    done.split.update(dict.fromkeys(test, "test"))
    return [row for row in rows if row["video_id"] not in test]


def _choose_val(train: list[Row], params: SplitsParams, done: Assignment) -> None:
    if len(set(identity_groups(train).tolist())) < FEWEST_GROUPS - 1:
        done.warnings.append("train has only one identity group: there is no validation")
        return
    done.split.update(dict.fromkeys(hold_out(train, params.val_fraction, seed=params.seed, keep=1), "val"))


def _absent_classes(rows: Sequence[Row], split: Mapping[str, str]) -> list[str]:
    """Which split lacks which class: its metrics are undefined, or nothing can be learned."""
    counts = Counter((split[row["video_id"]], row["label"]) for row in rows)
    found = []
    for name in SPLITS:
        absent = [word for word, label in (("real", 0), ("fake", 1)) if not counts[name, label]]
        if absent:
            found.append(f"{name} has no {' and no '.join(absent)} videos")
    return found


def identity_groups(rows: Sequence[Row]) -> NDArray[np.int64]:
    """Number the groups of videos that have to stay together.

    Videos of one identity belong together, and so do an original, its forgeries and its frames. Source identities
    (whose face or voice was put in) link too, unless a group would then hold more than LARGEST_GROUP of the videos; the
    audit then tells what splits share through them.

    Args:
        rows: of videos.parquet.
    Returns:
        The number of each row's group [shape=(N,)].
    """
    linked = _components(rows, sources=True)
    whole = np.bincount(linked).max() > LARGEST_GROUP * len(rows)
    return _components(rows, sources=False) if whole else linked


def _components(rows: Sequence[Row], *, sources: bool) -> NDArray[np.int64]:
    """Connected components of the graph whose edges join a video to its people and to its original."""
    nodes: dict[tuple[str, str], int] = {}
    starts, ends = [], []
    for number, row in enumerate(rows):
        keys = [("video", row["video_id"]), ("video", row["original_id"]), ("person", row["identity"])]
        keys += [("person", row["source_identity"])] if sources else []
        for kind, name in keys:
            if name is not None:
                starts.append(number)
                ends.append(nodes.setdefault((kind, name), len(rows) + len(nodes)))
    size = len(rows) + len(nodes)
    graph = coo_array((np.ones(len(starts), np.int8), (starts, ends)), shape=(size, size))
    found: NDArray[np.int64] = connected_components(graph, directed=False)[1][: len(rows)].astype(np.int64)
    return found


def hold_out(rows: Sequence[Row], fraction: float, *, seed: int, keep: int) -> set[str]:
    """Choose about a fraction of the videos by whole identity groups, stratified by category.

    scikit-learn's StratifiedGroupKFold makes the folds. Small datasets get fewer and larger ones, until a fold and the
    rest both have every class.

    Args:
        rows: of videos.parquet; at least two identity groups.
        fraction: 0 to 0.5.
        keep: groups of each class that the rest must keep, where the class has more than that.
    Returns:
        The video_ids; independent of the order of the rows.
    """
    rows = sorted(rows, key=lambda row: row["video_id"])
    groups = identity_groups(rows)
    strata = np.array([str(row["label"] if row["category"] is None else row["category"]) for row in rows])
    labels = np.array([row["label"] for row in rows])
    share = Fraction(fraction).limit_denominator(MAX_FOLDS)
    most = min(share.denominator, len(set(groups.tolist())), max(Counter(strata.tolist()).values()))
    for count in range(most, 1, -1):
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "The least populated class", UserWarning
            )  # a rare category may go anywhere
            folds = [held for _, held in splitter.split(strata, strata, groups)]
        taken = max(1, round(share * count))
        for first in range(count):
            chosen = np.concatenate([folds[(first + step) % count] for step in range(taken)])
            if _has_classes(chosen, groups, labels, keep):
                return {rows[place]["video_id"] for place in chosen.tolist()}
    splitter = GroupShuffleSplit(1, test_size=fraction, random_state=seed)
    return {rows[place]["video_id"] for place in next(splitter.split(strata, strata, groups))[1].tolist()}


def _has_classes(chosen: NDArray[np.int64], groups: NDArray[np.int64], labels: NDArray[np.int64], keep: int) -> bool:
    """Whether the chosen videos and the rest both have groups of each class, as far as there are enough."""
    inside = np.zeros(len(labels), np.bool_)
    inside[chosen] = True
    for label in (0, 1):
        total = len(set(groups[labels == label].tolist()))
        held = len(set(groups[inside & (labels == label)].tolist()))
        if total - held < min(total, max(1, min(keep, total - 1))) or (total > 1 and not held):
            return False
    return True
