"""What an epoch holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.data.sampler import EvalSampler, SamplerSettings, TrainSampler, evenly, group_duplicates


def sampler(
    reals: int, fakes: int, frames: int = 4, *, rank: int = 0, world: int = 1, **options: object
) -> TrainSampler:
    labels = np.repeat([0] * reals + [1] * fakes, frames)
    video = np.repeat(np.arange(reals + fakes), frames)
    phash = np.random.default_rng(0).integers(2**63, size=len(video)).astype(np.uint64)
    return TrainSampler(video, labels, phash, SamplerSettings(**options), rank=rank, world=world)


@given(count=st.integers(1, 300), wanted=st.integers(1, 300), phase=st.floats(0, 0.999))
def test_evenly_takes_one_of_each_equal_part(count: int, wanted: int, phase: float) -> None:
    chosen = evenly(count, wanted, phase)
    assert len(chosen) == min(count, wanted)
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < count
    if wanted < count:
        assert (np.floor((chosen + 1e-9) * wanted / count) <= np.arange(wanted)).all()
        assert ((chosen + 1) * wanted / count > np.arange(wanted)).all()


def test_near_duplicates_are_grouped() -> None:
    base = 0b1111_0000
    phash = np.array([base, base ^ 0b1, base ^ 0xFFFF_FFFF, base ^ 0b11], dtype=np.uint64)
    assert [group.tolist() for group in group_duplicates(phash, 3)] == [[0, 1, 3], [2]]
    assert [group.tolist() for group in group_duplicates(phash, 2)] == [[0, 1], [2], [3]]
    assert len(group_duplicates(phash, 0)) == 4


def test_duplicates_take_turns() -> None:
    phash = np.array([7, 7, 7, 2**60 - 1], dtype=np.uint64)
    made = TrainSampler(np.zeros(4, int), np.zeros(4, int), phash, SamplerSettings(dedup_threshold=10))
    epochs = [sorted(made.epoch_rows(epoch).tolist()) for epoch in range(30)]
    assert all(len(rows) == 2 and rows[1] == 3 for rows in epochs)
    assert {rows[0] for rows in epochs} == {0, 1, 2}


def test_rotation_balances_and_uses_everything_before_repeating() -> None:
    made = sampler(3, 10, class_balance="undersample", batch_size=4)
    seen: list[int] = []
    for epoch in range(10):
        rows = made.epoch_rows(epoch)
        fakes = [row for row in rows.tolist() if row >= 12]
        assert len(fakes) == 12
        assert sorted(row for row in rows.tolist() if row < 12) == list(range(12))
        seen += fakes
    assert sorted(seen) == sorted(list(range(12, 52)) * 3)  # 10 epochs x 12 = 3 times through 40


def test_oversampling_repeats_evenly() -> None:
    rows = sampler(2, 5, class_balance="oversample").epoch_rows(0)
    counts = np.bincount(rows, minlength=28)
    assert counts[:8].sum() == counts[8:].sum() == 20
    assert set(counts[:8].tolist()) == {2, 3}


def test_cap_and_frames() -> None:
    rows = sampler(4, 4, frames=10, frames_per_video=3, max_samples_per_class=7).epoch_rows(0)
    assert len(rows) == 14
    rows = sampler(4, 4, frames=10, num_candidates=2).epoch_rows(5)
    assert sorted(rows.tolist()) == sorted(10 * v + at for v in range(8) for at in (2, 7))


def test_frames_differ_between_epochs_but_cover_the_clip() -> None:
    made = sampler(1, 1, frames=20, frames_per_video=4)
    epochs = [tuple(sorted(row for row in made.epoch_rows(e).tolist() if row < 20)) for e in range(20)]
    assert len(set(epochs)) == 5
    for rows in epochs:
        assert [row // 5 for row in rows] == [0, 1, 2, 3]


def test_same_seed_same_batches() -> None:
    one, two = sampler(5, 7, seed=3, batch_size=8), sampler(5, 7, seed=3, batch_size=8)
    assert one.plans(4) == two.plans(4)
    assert one.plans(4) != one.plans(5)
    assert one.plans(4) != sampler(5, 7, seed=4, batch_size=8).plans(4)


def test_resumed_epoch_gives_the_rest() -> None:
    made = sampler(5, 5, batch_size=8)
    made.set_epoch(2)
    whole = list(made)
    made.set_epoch(2, start_batch=2)
    assert list(made) == whole[2:]
    assert len(made) == len(whole)


@settings(max_examples=60)
@given(
    reals=st.integers(1, 9),
    fakes=st.integers(1, 9),
    world=st.integers(1, 4),
    batch=st.integers(1, 9),
    drop=st.booleans(),
    class_balance=st.sampled_from(["undersample", "oversample", "none"]),
)
def test_processes_share_an_epoch(reals: int, fakes: int, world: int, batch: int, drop: bool, class_balance: str) -> None:
    options = {"batch_size": batch, "drop_last": drop, "class_balance": class_balance}
    single = sampler(reals, fakes, batch_size=batch * world, drop_last=drop, class_balance=class_balance)
    parts = [sampler(reals, fakes, rank=rank, world=world, **options) for rank in range(world)]
    plans = [part.plans(1) for part in parts]
    assert len({len(p) for p in plans}) == 1
    assert all(len(part) == len(p) for part, p in zip(parts, plans, strict=True))
    for number, whole in enumerate(single.plans(1)):
        rows = [row for p in plans for row in p[number].rows]
        assert set(whole.rows) <= set(rows)
        assert len(rows) - len(whole.rows) < world  # padded so that no process waits for another
        assert len({len(p[number].rows) for p in plans}) == 1


@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_scores_each_row_once(world: int) -> None:
    video = np.repeat(np.arange(7), 5)
    parts = [EvalSampler(video, frames_per_video=3, batch_size=4, rank=r, world=world) for r in range(world)]
    rows = [row for part in parts for plan in part for row in plan.rows]
    assert sorted(rows) == sorted(5 * v + at for v in range(7) for at in (0, 2, 4))
