"""Which samples make up an epoch, and in which batches: a function of the seed and the epoch's number alone.

Nothing is drawn from a running random state, so a resumed training, another number of workers and another number of
processes see the same samples in the same order with the same augmentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

Balance = Literal["undersample", "oversample", "none"]
# Parts of the random state that are drawn apart from one another.
_ORDER, _DRAW, _CLASS, _AUGMENT = range(4)


@dataclass(frozen=True)
class BatchPlan:
    """One batch as the loader's workers receive it: rows of the index, and the seed of its augmentation."""

    rows: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class SamplerSettings:
    """How an epoch is drawn.

    Args:
        frames_per_video: crops a video gives an epoch; None: all candidates.
        num_candidates: crops of a video that are considered at all, evenly spaced; None: all.
        dedup_threshold: crops of one video whose hashes differ in fewer bits than this are near-duplicates, of which an
            epoch draws one; 0: none are.
        class_balance: undersample: each class gives as many samples as the smallest, and a larger class is gone through in turn
            over the epochs, so that nothing is thrown away for good; oversample: the smaller classes are repeated up to
            the largest; none.
        max_samples_per_class: of one epoch; gone through in turn likewise.
        batch_size: samples of one batch of one process.
        halves: each class gives as many samples as the smallest, and each batch of each process holds as many of either
            class (one more of one, where its size is odd).
        drop_last: leave out a last, smaller batch (its samples come up in other epochs).
        seed: of everything.
    """

    frames_per_video: int | None = None
    num_candidates: int | None = None
    dedup_threshold: int = 0
    class_balance: Balance = "none"
    max_samples_per_class: int | None = None
    batch_size: int = 16
    halves: bool = False
    drop_last: bool = True
    seed: int = 0


def evenly(count: int, wanted: int, phase: float = 0.5) -> np.ndarray:
    """Positions of `wanted` out of `count` things, evenly spaced: one in each of `wanted` equal parts.

    Args:
        count: how many there are.
        wanted: how many are taken; all of them when there are fewer.
        phase: where in its part each lies, in [0, 1).
    Returns:
        Ascending, distinct positions [shape=(min(count, wanted),)].
    """
    if wanted >= count:
        return np.arange(count)
    return np.floor((np.arange(wanted) + phase) * count / wanted).astype(np.int64)


def group_duplicates(phash: np.ndarray, threshold: int) -> list[np.ndarray]:
    """Group the crops of one video: each joins the first group whose first member's hash is within the threshold.

    Args:
        phash: uint64, in time order [shape=(N,)].
        threshold: crops that differ in fewer bits are near-duplicates; 0: every crop is a group of its own.
    Returns:
        Positions of the members of each group, in order of the first members.
    """
    if threshold <= 0:
        return [np.array([i]) for i in range(len(phash))]
    leaders: list[int] = []
    members: list[list[int]] = []
    for position, value in enumerate(phash):
        if leaders:
            distance = np.bitwise_count(phash[leaders] ^ value)
            near = np.flatnonzero(distance < threshold)
            if len(near):
                members[near[0]].append(position)
                continue
        leaders.append(position)
        members.append([position])
    return [np.array(group) for group in members]


class _Slots:
    """The slots of one class: a slot is the n-th frame that a video gives an epoch. In flat arrays: there are millions.

    Args:
        groups: for each video the rows of each of its groups of near-duplicates.
        frames_per_video: slots of a video; None: one a group.
    """

    def __init__(self, groups: list[list[np.ndarray]], frames_per_video: int | None) -> None:
        flat = [group for video in groups for group in video]
        self._sizes = np.array([len(group) for group in flat], dtype=np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._rows = np.concatenate(flat)
        self._counts = np.array([len(video) for video in groups], dtype=np.int64)  # groups of each video
        self._first = np.cumsum(self._counts) - self._counts
        self._taken = self._counts if frames_per_video is None else np.minimum(self._counts, frames_per_video)
        self._video = np.repeat(np.arange(len(groups)), self._taken)
        self._number = np.arange(len(self._video)) - np.repeat(np.cumsum(self._taken) - self._taken, self._taken)

    def __len__(self) -> int:
        return len(self._video)

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """One row for each slot: evenly spaced groups with a phase of each video's own, a member of each by chance."""
        phase = random.random(len(self._counts))[self._video]
        spacing = self._counts[self._video] / self._taken[self._video]
        group = self._first[self._video] + np.floor((self._number + phase) * spacing).astype(np.int64)
        member = np.floor(random.random(len(group)) * self._sizes[group]).astype(np.int64)
        return self._rows[self._starts[group] + member]


class TrainSampler:
    """Batches of an epoch for one of `world` processes.

    Args:
        video: the video of each row of the index [shape=(N,)], rows of one video together.
        labels: 0 or 1 each row [shape=(N,)].
        phash: uint64 each row [shape=(N,)].
        settings: how an epoch is drawn.
        rank, world: this process and how many there are; each gets another part of every global batch.
    """

    def __init__(
        self,
        video: np.ndarray,
        labels: np.ndarray,
        phash: np.ndarray,
        settings: SamplerSettings,
        *,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.settings, self.rank, self.world = settings, rank, world
        self.epoch = 0
        self.start_batch = 0  # batches of this epoch that a resumed training has done already
        groups: dict[int, list[list[np.ndarray]]] = {}
        for rows in np.split(np.arange(len(video)), np.flatnonzero(np.diff(video)) + 1):
            if len(rows):
                groups.setdefault(int(labels[rows[0]]), []).append(self._candidates(rows, phash))
        self._slots = {label: _Slots(groups[label], settings.frames_per_video) for label in sorted(groups)}
        self._counts = self._count()

    def _candidates(self, rows: np.ndarray, phash: np.ndarray) -> list[np.ndarray]:
        if self.settings.num_candidates is not None:
            rows = rows[evenly(len(rows), self.settings.num_candidates)]
        return [rows[group] for group in group_duplicates(phash[rows], self.settings.dedup_threshold)]

    def _count(self) -> dict[int, int]:
        """Samples of each class in an epoch; the same in every epoch."""
        sizes = {label: len(slots) for label, slots in self._slots.items()}
        if self.settings.class_balance == "undersample" or (self.settings.halves and self.settings.class_balance == "none"):
            sizes = dict.fromkeys(sizes, min(sizes.values()))
        elif self.settings.class_balance == "oversample":
            sizes = dict.fromkeys(sizes, max(sizes.values()))
        cap = self.settings.max_samples_per_class
        return sizes if cap is None else {label: min(size, cap) for label, size in sizes.items()}

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *key])

    def epoch_rows(self, epoch: int) -> np.ndarray:
        """The rows of one epoch, over all processes, in order [shape=(M,)]."""
        taken = []
        for label, slots in self._slots.items():
            drawn = slots.draw(self._random(_DRAW, epoch, label))
            taken.append(drawn[self._rotate(label, len(slots), self._counts[label], epoch)])
        if self.settings.halves:
            return self._in_halves(taken, epoch)
        rows = np.concatenate(taken)
        return rows[self._random(_ORDER, epoch).permutation(len(rows))]

    def _in_halves(self, classes: list[np.ndarray], epoch: int) -> np.ndarray:
        """Classes of equal size, mixed such that every process finds them in turn."""
        mixed = [rows[self._random(_ORDER, epoch, n).permutation(len(rows))] for n, rows in enumerate(classes)]
        whole = len(mixed[0]) // self.world * self.world
        in_turn = np.stack([rows[:whole].reshape(-1, self.world) for rows in mixed], axis=1)  # (steps, classes, world)
        return np.concatenate([in_turn.ravel(), *(rows[whole:] for rows in mixed)])

    def _rotate(self, label: int, size: int, count: int, epoch: int) -> np.ndarray:
        """`count` of `size` positions, such that consecutive epochs go through all of them before any comes again.

        The walk is over a shuffled order that lasts for a cycle; a count over the size repeats evenly.
        """
        walk = np.arange(epoch * count, (epoch + 1) * count)
        cycles = walk // size
        positions = [
            self._random(_CLASS, label, int(cycle)).permutation(size)[walk[cycles == cycle] % size]
            for cycle in np.unique(cycles)
        ]
        return np.concatenate(positions)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Choose the epoch that iteration gives, and how many of its batches to pass over."""
        self.epoch, self.start_batch = epoch, start_batch

    def plans(self, epoch: int) -> list[BatchPlan]:
        """All batches of one epoch of this process."""
        rows = self.epoch_rows(epoch)
        size = self.settings.batch_size * self.world
        whole = len(rows) // size
        if self.settings.drop_last and whole:
            rows = rows[: whole * size]
        elif len(rows) % self.world:  # every process must have as much: the first ones come twice
            rows = np.concatenate([rows, np.resize(rows, self.world - len(rows) % self.world)])
        batches = [rows[start : start + size][self.rank :: self.world] for start in range(0, len(rows), size)]
        seeds = self._random(_AUGMENT, epoch, self.rank).integers(2**31, size=len(batches))
        return [BatchPlan(tuple(b.tolist()), int(seed)) for b, seed in zip(batches, seeds, strict=True)]

    def __iter__(self) -> Iterator[BatchPlan]:
        return iter(self.plans(self.epoch)[self.start_batch :])

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        count, size = sum(self._counts.values()), self.settings.batch_size * self.world
        return count // size if self.settings.drop_last and count >= size else -(-count // size)


class EvalSampler:
    """Every chosen row once, in order; with several processes, each row in exactly one of them.

    Args:
        video: the video of each row of the index [shape=(N,)], rows of one video together.
        frames_per_video: evenly spaced rows of each video; None: all.
        batch_size: samples of one batch.
        rank, world: this process and how many there are.
    """

    def __init__(
        self, video: np.ndarray, *, frames_per_video: int | None, batch_size: int, rank: int = 0, world: int = 1
    ) -> None:
        bounds = np.flatnonzero(np.diff(video)) + 1
        chosen = [
            rows if frames_per_video is None else rows[evenly(len(rows), frames_per_video)]
            for rows in np.split(np.arange(len(video)), bounds)
        ]
        rows = np.concatenate(chosen)
        self.rows = rows
        mine = rows[rank::world]
        self._plans = [BatchPlan(tuple(mine[i : i + batch_size].tolist()), 0) for i in range(0, len(mine), batch_size)]

    def __iter__(self) -> Iterator[BatchPlan]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)
