"""Following the main face through a video: synthetic people, pictures on the wall, passers-by and cuts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.faces.detectors import Detections
from dfdetect.faces.main_track import MAX_DESCRIBED, Place, choose_main_face, follow

Face = tuple[str, float, float, float]  # who, centre x, centre y, side


def frame(faces: Sequence[Face], score: float = 0.99) -> Detections:
    boxes = [(x - side / 2, y - side / 2, x + side / 2, y + side / 2) for _, x, y, side in faces]
    count = len(faces)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(count, score, np.float32),
        np.zeros((count, 5, 2), np.float32),
    )


def chosen_people(video: Sequence[Sequence[Face]], *, known: bool = True) -> list[str | None]:
    """Who is chosen in each frame.

    Faces of one name look the same, and those whose names share the first letter are one person's. Without `known`, no
    two tracks are told to be one person's.
    """

    def name(place: Place) -> str:
        return video[place[0]][place[1]][0]

    def distance(a: Place, b: Place) -> float:
        return 0.5 if known and name(a)[0] == name(b)[0] else 1.5

    rows = choose_main_face([frame(faces) for faces in video], lambda a, b: name(a) == name(b), distance)
    return [None if row is None else video[i][row][0] for i, row in enumerate(rows)]


def test_nobody_at_all() -> None:
    for video in ([], [[]] * 3):
        assert chosen_people(video) == [None] * len(video)


def test_a_single_face_is_followed_through_gaps() -> None:
    video: list[list[Face]] = [[("a", 100 + 4 * i, 100, 60)] if i not in (3, 4, 9) else [] for i in range(12)]
    assert chosen_people(video) == ["a" if i not in (3, 4, 9) else None for i in range(12)]


def test_a_picture_on_the_wall_never_takes_over() -> None:
    picture: Face = ("p", 400, 80, 50)
    video = [[("a", 150, 150, 120), picture] if i % 3 else [picture] for i in range(12)]
    assert chosen_people(video) == ["a" if i % 3 else None for i in range(12)]
    assert chosen_people([faces[::-1] for faces in video]) == ["a" if i % 3 else None for i in range(12)]


def test_a_flickering_picture_never_fills_the_gaps() -> None:
    picture: Face = ("p", 400, 80, 60)
    video: list[list[Face]] = []
    for i in range(20):
        faces: list[Face] = [] if 8 <= i < 14 else [("a", 150, 150, 100)]
        video.append([*faces, picture] if i in (1, 9, 10, 17) else faces)
    expected = [None if 8 <= i < 14 else "a" for i in range(20)]
    assert chosen_people(video) == expected
    assert chosen_people(video, known=False) == expected


def test_a_passer_by_close_to_the_camera_is_not_the_main_face() -> None:
    video: list[list[Face]] = [[("a", 200, 200, 100)] for _ in range(22)]
    video[10] = [("z", 500, 300, 300), ("a", 200, 200, 100)]
    video[11] = [("z", 300, 300, 300)]
    assert chosen_people(video) == [None if i == 11 else "a" for i in range(22)]


def test_two_people_who_cross_are_told_apart_by_size() -> None:
    video: list[list[Face]] = [[("a", 100 + 20 * i, 200, 120), ("b", 320 - 20 * i, 190, 60)] for i in range(12)]
    assert chosen_people(video) == ["a"] * 12


def test_the_main_face_is_found_again_after_a_cut() -> None:
    first: list[Face] = [("a", 100, 100, 100)]
    other: list[Face] = [("x", 500, 100, 100), ("y", 300, 100, 80)]
    again: list[Face] = [("y", 90, 100, 90), ("a2", 420, 120, 70)]
    video = [first] * 8 + [other] * 6 + [again] * 6
    assert chosen_people(video) == ["a"] * 8 + [None] * 6 + ["a2"] * 6
    assert chosen_people(video, known=False) == ["a"] * 8 + [None] * 12


def test_another_person_in_the_same_place_after_a_cut_is_not_the_main_face() -> None:
    video: list[list[Face]] = [[("a", 200, 200, 100)]] * 7 + [[("b", 205, 203, 98)]] * 5
    assert chosen_people(video) == ["a"] * 7 + [None] * 5


def test_two_people_who_swap_sides_at_a_cut_are_told_apart() -> None:
    """In the same place, in the same light, each exactly where the other was."""
    before: list[Face] = [("a", 150, 200, 100), ("b", 450, 200, 96)]
    after: list[Face] = [("b2", 150, 200, 96), ("a2", 450, 200, 100)]
    assert chosen_people([before] * 10 + [after] * 10) == ["a"] * 10 + ["a2"] * 10
    assert chosen_people([before] * 10 + [after] * 10, known=False) == ["a"] * 10 + [None] * 10


def test_a_person_seen_in_many_short_shots_outweighs_one_in_a_longer_shot() -> None:
    video: list[list[Face]] = []
    for shot in range(4):
        video += [[(f"a{shot}", 100 + 120 * shot, 200, 100)]] * 3 + [[("b", 700, 200, 100)]] * (5 if shot == 1 else 0)
    assert chosen_people(video) == [None if faces[0][0] == "b" else faces[0][0] for faces in video]


def test_a_portrait_of_the_main_person_on_the_wall_is_another_face() -> None:
    """It is seen beside the person, so it is not the person where it is seen alone."""
    picture: Face = ("a2", 400, 80, 60)
    video = [[("a", 150, 150, 100), picture]] * 6 + [[picture]] * 4 + [[("a", 150, 150, 100)]] * 4
    assert chosen_people(video) == ["a"] * 6 + [None] * 4 + ["a"] * 4


def test_a_face_goes_to_the_person_whom_it_is_most_like() -> None:
    """After a cut the other one stands elsewhere, and is a little like the main one, too."""
    video = [[("a", 150, 150, 120), ("b", 400, 80, 60)]] * 6 + [[("b2", 500, 300, 90)]] * 4

    def distance(a: Place, b: Place) -> float:
        return 0.3 if video[a[0]][a[1]][0][0] == video[b[0]][b[1]][0][0] else 0.9

    alike = {("a", "a"), ("b", "b"), ("b2", "b2")}
    rows = choose_main_face(
        [frame(faces) for faces in video],
        lambda a, b: (video[a[0]][a[1]][0], video[b[0]][b[1]][0]) in alike,
        distance,
    )
    assert rows == [0] * 6 + [None] * 4


def test_a_face_that_moves_too_fast_to_look_the_same_goes_on_by_its_place() -> None:
    """Of many short tracks only the heaviest are compared; the others continue where one ended in the frame before."""
    video: list[list[Face]] = [[(f"a{i}", 100 + 20 * i, 200, 50)] for i in range(12)]
    video += [[(f"{who}{i}", 700 - 90 * k, 500, 80) for k, who in enumerate("wxyz")] for i in range(2)]
    assert chosen_people(video, known=False) == [f"a{i}" for i in range(12)] + [None] * 2


def test_few_faces_are_described_however_many_there_are() -> None:
    described: set[Place] = set()

    def distance(a: Place, b: Place) -> float:
        described.update((a, b))
        return 2.0

    video = [frame([("a", 100, 100, 100)])] * 3 + [frame([("c", 300 * i, 900, 40)]) for i in range(40)]
    choose_main_face(video, lambda _, __: False, distance)
    assert len(described) <= MAX_DESCRIBED


def test_nothing_is_described_where_one_face_looks_the_same_all_along() -> None:
    def distance(_: Place, __: Place) -> float:
        raise AssertionError("nobody asked")

    alone = [frame([("a", 100 + i, 100, 100)]) for i in range(20)]
    together = [frame([("a", 100 + i, 100, 100), ("b", 400, 100, 80)]) for i in range(20)]
    for video in (alone, together):
        assert choose_main_face(video, lambda a, b: a[1] == b[1], distance) == [0] * 20


PEOPLE = st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 800), st.floats(20, 70)), max_size=4)


@settings(max_examples=80, deadline=None)
@given(st.lists(PEOPLE, min_size=5, max_size=25), st.data())
def test_a_large_steady_face_wins_whatever_else_appears(
    others: list[list[tuple[float, float, float]]], data: st.DataObject
) -> None:
    """The main face, twice as large as anyone and always there, is chosen in every frame."""
    drift = data.draw(st.floats(-30, 30))
    video = []
    for i, people in enumerate(others):
        faces: list[Face] = [("a", 500 + drift * i, 400, 150), *(("z", x, y, side) for x, y, side in people)]
        order = data.draw(st.permutations(range(len(faces))))
        video.append([faces[k] for k in order])
    assert chosen_people(video) == ["a"] * len(video)


@settings(max_examples=60, deadline=None)
@given(st.lists(PEOPLE, min_size=1, max_size=15), st.data())
def test_tracks_hold_every_detection_once(people: list[list[tuple[float, float, float]]], data: st.DataObject) -> None:
    found = [frame([("x", *face) for face in faces]) for faces in people]
    looks = {(i, f): data.draw(st.integers(0, 1)) for i, faces in enumerate(people) for f in range(len(faces))}
    tracks = follow(found, lambda a, b: looks[a] == looks[b])
    assert sorted(place for track in tracks for place in track.places) == sorted(looks)
    for track in tracks:
        frames = [number for number, _ in track.places]
        assert all(later > earlier for earlier, later in pairwise(frames))
        assert len({looks[place] for place in track.places}) == 1
        assert track.best in track.places
        assert (
            track.before is None
            or track.before.places[-1][0] == frames[0] - 1
            or track.before.places[-1][0] >= frames[0]
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(PEOPLE, min_size=2, max_size=15), st.floats(0.3, 4.0))
def test_the_choice_does_not_depend_on_the_frames_scale(
    people: list[list[tuple[float, float, float]]], factor: float
) -> None:
    def rows(scale: float) -> list[int | None]:
        found = [frame([("x", x * scale, y * scale, s * scale) for x, y, s in f]) for f in people]
        return choose_main_face(found, lambda _, __: True, lambda _, __: 2.0)

    power = 2.0 ** round(np.log2(factor))  # exact in floating point
    assert rows(1.0) == rows(power)


@pytest.mark.parametrize("score", [0.91, 1.0])
def test_equal_faces_are_chosen_the_same_way_every_time(score: float) -> None:
    faces: list[Face] = [("a", 100, 100, 60), ("b", 400, 100, 60)]
    video = [frame(faces, score)] * 6
    assert choose_main_face(video, lambda a, b: a[1] == b[1], lambda _, __: 2.0) == [0] * 6
