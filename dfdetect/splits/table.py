"""splits.parquet: the official split where there is one, else ours; validation never touches test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dfdetect.config.params import SplitsParams
from dfdetect.splits.assign import hold_out
from dfdetect.splits.units import make_units

SPLITS = ("train", "val", "test")
# Fewer units than this cannot be parted into three.
FEWEST_UNITS = 3
Row = Mapping[str, Any]


@dataclass
class Assignment:
    """video_id -> split, how it came about, and what the user should know."""

    split: dict[str, str] = field(default_factory=dict)
    policy: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def assign(rows: Sequence[Row], params: SplitsParams) -> Assignment:
    """Give every row of videos.parquet its split.

    A video without a label goes to test, where it is scored without metrics. Where labelled videos have an official
    test split, the official splits stand; else test is chosen by unit (make_units) from all that is not official
    validation. Videos outside the official splits of a set that has some are parted among themselves. Where there is
    no official validation, it is chosen by unit from train.

    Returns:
        An Assignment with one entry a row; independent of the rows' order.
    """
    done = Assignment()
    labelled = [row for row in rows if row["label"] is not None]
    done.split.update({row["video_id"]: "test" for row in rows if row["label"] is None})
    official = {row["video_id"]: row["official_split"] for row in labelled if row["official_split"] is not None}
    has_test, has_val = (name in official.values() for name in ("test", "val"))
    train: list[Row] = []
    loose: list[Row] = []
    for row in labelled:
        said = official.get(row["video_id"])
        if said in ("val", "test"):
            done.split[row["video_id"]] = said
        else:
            (train if said == "train" and has_test else loose).append(row)
    done.policy["test"] = "official" if has_test else "by unit"
    done.policy["val"] = "official" if has_val else "by unit"
    if loose:
        train += _choose_test(loose, params, done)
        if has_test:
            done.policy["test"] = "official, and by unit where the official lists say nothing"
    for row in train:
        done.split[row["video_id"]] = "train"
    if not has_val and train:
        _choose_val(train, params, done)
    _warn(rows, done)
    return done


def _choose_test(rows: list[Row], params: SplitsParams, done: Assignment) -> list[Row]:
    """Part rows without an official split into test and the rest, which is returned."""
    units = make_units(rows)
    if len(units) < FEWEST_UNITS:
        done.split.update({row["video_id"]: "test" for row in rows})
        done.warnings.append(f"{len(units)} independent units are too few to part: all their videos are in test")
        return []
    chosen = hold_out(units, params.test_fraction, seed=params.seed, keep=2)
    test = {video_id for unit in units if unit.name in chosen for video_id in unit.video_ids}
    done.split.update(dict.fromkeys(test, "test"))
    return [row for row in rows if row["video_id"] not in test]


def _choose_val(train: list[Row], params: SplitsParams, done: Assignment) -> None:
    units = make_units(train)
    if len(units) < FEWEST_UNITS - 1:
        done.warnings.append("train has one independent unit only: there is no validation")
        return
    chosen = hold_out(units, params.val_fraction, seed=params.seed, keep=1)
    done.split.update({video_id: "val" for unit in units if unit.name in chosen for video_id in unit.video_ids})


def _warn(rows: Sequence[Row], done: Assignment) -> None:
    """Say which split lacks which class: its figures are undefined, or nothing can be learned."""
    counts = Counter((done.split[row["video_id"]], row["label"]) for row in rows)
    for split in SPLITS:
        absent = [name for name, label in (("real", 0), ("fake", 1)) if not counts[split, label]]
        if absent:
            done.warnings.append(f"{split} has no {' and no '.join(absent)} videos")
