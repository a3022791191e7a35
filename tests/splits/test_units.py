from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.splits.units import make_units
from tests.splits.tables import row


def test_a_fake_goes_with_its_original() -> None:
    rows = [
        row("o1"),
        row("f1", 1, original_id="o1"),
        row("f2", 1, original_id="o1"),
        row("o2"),
        row("f3", 1, original_id="gone"),
    ]
    units = {unit.name: unit.video_ids for unit in make_units(rows)}
    assert units == {"video:gone": ("f3",), "video:o1": ("f1", "f2", "o1"), "video:o2": ("o2",)}


def test_an_identity_is_one_unit_and_names_it() -> None:
    rows = [row("a", identity="x"), row("b", identity="x"), row("c", identity="y"), row("d", 1, original_id="c")]
    assert {unit.name: unit.video_ids for unit in make_units(rows)} == {
        "identity:x": ("a", "b"),
        "identity:y": ("c", "d"),
    }


def test_a_lent_face_links_nothing() -> None:
    rows = [row("a", identity="x"), row("b", 1, identity="y", source_identity="x")]
    assert len(make_units(rows)) == 2


def test_a_person_and_a_video_of_one_name_are_two_units() -> None:
    assert len({unit.name for unit in make_units([row("x"), row("y", identity="x")])}) == 2


ROWS = st.lists(
    st.tuples(st.sampled_from([None, "p", "q", "r"]), st.sampled_from([None, 0, 1, 2, 3])), min_size=1, max_size=9
)


@settings(deadline=None)
@given(ROWS, st.integers(0, 99))
def test_units_part_the_videos_and_do_not_depend_on_their_order(
    described: list[tuple[str | None, int | None]], seed: int
) -> None:
    rows = [
        row(f"v{number}", identity=identity, original_id=f"v{original}" if original is not None else None)
        for number, (identity, original) in enumerate(described)
    ]
    units = make_units(rows)
    placed = [video_id for unit in units for video_id in unit.video_ids]
    assert sorted(placed) == sorted(item["video_id"] for item in rows)
    of = {video_id: unit.name for unit in units for video_id in unit.video_ids}
    for first in rows:
        assert first["original_id"] not in of or of[first["original_id"]] == of[first["video_id"]]
        for second in rows:
            same = first["identity"] is not None and first["identity"] == second["identity"]
            assert not same or of[first["video_id"]] == of[second["video_id"]]
    random.Random(seed).shuffle(rows)
    assert make_units(rows) == units
