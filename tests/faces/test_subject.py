"""Following one subject through a video: synthetic people, pictures on the wall, passers-by and cuts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfdetect.faces.detectors import Detections
from dfdetect.faces.main_track import choose_subject, find_cuts, follow

Face = tuple[str, float, float, float]  # who, centre x, centre y, side


def frame(faces: Sequence[Face], score: float = 0.99) -> Detections:
    boxes = [(x - side / 2, y - side / 2, x + side / 2, y + side / 2) for _, x, y, side in faces]
    count = len(faces)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(count, score, np.float32),
        np.zeros((count, 5, 2), np.float32),
    )


def chosen_people(
    video: Sequence[Sequence[Face]], cuts: Sequence[bool] | None = None, *, identities: bool = True
) -> list[str | None]:
    """Who is chosen in each frame; faces are told apart by the first letter of a name."""

    def distance(a: tuple[int, int], b: tuple[int, int]) -> float:
        return 0.5 if video[a[0]][a[1]][0][0] == video[b[0]][b[1]][0][0] else 1.5

    rows = choose_subject([frame(faces) for faces in video], cuts, distance if identities else None)
    return [None if row is None else video[i][row][0] for i, row in enumerate(rows)]


def test_nobody_at_all() -> None:
    assert choose_subject([]) == []
    assert choose_subject([Detections.none()] * 3) == [None] * 3


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
    assert chosen_people(video, identities=False) == expected


def test_a_passer_by_close_to_the_camera_is_not_the_subject() -> None:
    video: list[list[Face]] = [[("a", 200, 200, 100)] for _ in range(22)]
    video[10] = [("z", 500, 300, 300), ("a", 200, 200, 100)]
    video[11] = [("z", 300, 300, 300)]
    assert chosen_people(video) == [None if i == 11 else "a" for i in range(22)]


def test_two_people_who_cross_are_told_apart_by_size() -> None:
    video: list[list[Face]] = [[("a", 100 + 20 * i, 200, 120), ("b", 320 - 20 * i, 190, 60)] for i in range(12)]
    assert chosen_people(video) == ["a"] * 12


def test_the_subject_is_found_again_after_a_cut() -> None:
    first: list[Face] = [("a", 100, 100, 100)]
    other: list[Face] = [("x", 500, 100, 100), ("y", 300, 100, 80)]
    again: list[Face] = [("y", 90, 100, 90), ("a", 420, 120, 70)]
    video = [first] * 8 + [other] * 6 + [again] * 6
    cuts = [i in (8, 14) for i in range(20)]
    assert chosen_people(video, cuts) == ["a"] * 8 + [None] * 6 + ["a"] * 6
    assert chosen_people(video, cuts, identities=False) == ["a"] * 8 + [None] * 12


def test_another_person_in_the_same_place_after_a_cut_is_not_the_subject() -> None:
    video: list[list[Face]] = [[("a", 200, 200, 100)]] * 7 + [[("b", 205, 203, 98)]] * 5
    assert chosen_people(video, [i == 7 for i in range(12)]) == ["a"] * 7 + [None] * 5


def test_a_picture_is_known_by_its_place_though_it_looks_like_the_subject() -> None:
    """A portrait of the subject on the wall, and a false cut while the subject is away."""
    picture: Face = ("a2", 400, 80, 60)
    video = [[("a", 150, 150, 100), picture]] * 6 + [[picture]] * 4 + [[("a", 150, 150, 100)]] * 4
    for cuts in ([False] * 14, [i in (6, 10) for i in range(14)]):
        assert chosen_people(video, cuts) == ["a"] * 6 + [None] * 4 + ["a"] * 4


def test_a_rival_who_looks_a_little_like_the_subject_stays_a_rival() -> None:
    """After a cut the rival stands elsewhere; it is nearer to itself than to the subject."""
    video = [[("a", 150, 150, 100), ("b", 400, 80, 60)]] * 6 + [[("b", 500, 300, 90)]] * 4

    def distance(a: tuple[int, int], b: tuple[int, int]) -> float:
        return 0.3 if video[a[0]][a[1]][0] == video[b[0]][b[1]][0] else 0.9

    rows = choose_subject([frame(faces) for faces in video], [i == 6 for i in range(10)], distance)
    assert rows == [0] * 6 + [None] * 4


def test_few_comparisons_are_made_however_many_faces() -> None:
    calls = 0

    def distance(_: tuple[int, int], __: tuple[int, int]) -> float:
        nonlocal calls
        calls += 1
        return 2.0

    video = [frame([("a", 100, 100, 100)])] * 3 + [frame([("c", 300 * i, 900, 40)]) for i in range(40)]
    choose_subject(video, None, distance)
    assert calls <= 10


PEOPLE = st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 800), st.floats(20, 70)), max_size=4)


@settings(max_examples=80, deadline=None)
@given(st.lists(PEOPLE, min_size=5, max_size=25), st.data())
def test_a_large_steady_face_wins_whatever_else_appears(
    others: list[list[tuple[float, float, float]]], data: st.DataObject
) -> None:
    """The subject, twice as large as anyone and always there, is chosen in every frame."""
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
    cuts = data.draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found)))
    tracks = follow(found, cuts)
    places = [place for track in tracks for place in zip(track.frames, track.faces, strict=True)]
    assert sorted(places) == [(i, f) for i, faces in enumerate(people) for f in range(len(faces))]
    shots = np.cumsum(cuts)
    for track in tracks:
        assert all(later > earlier for earlier, later in zip(track.frames, track.frames[1:], strict=False))
        assert len({shots[i] for i in track.frames}) == 1
        assert track.best in zip(track.frames, track.faces, strict=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(PEOPLE, min_size=2, max_size=15), st.floats(0.3, 4.0))
def test_the_choice_does_not_depend_on_the_frames_scale(
    people: list[list[tuple[float, float, float]]], factor: float
) -> None:
    def rows(scale: float) -> list[int | None]:
        return choose_subject([frame([("x", x * scale, y * scale, s * scale) for x, y, s in f]) for f in people])

    power = 2.0 ** round(np.log2(factor))  # exact in floating point
    assert rows(1.0) == rows(power)


def test_cuts_are_seen_and_camera_noise_is_not() -> None:
    rng = np.random.default_rng(1)
    x = np.linspace(0, 200, 80)
    dark = np.tile(np.stack([x * 0.3, x * 0.2, x * 0.4], 1), (45, 1, 1))
    light = np.tile(np.stack([250 - x, 200 - x * 0.5, x], 1), (45, 1, 1))
    shots = [dark] * 5 + [light] * 4 + [dark] * 2
    noisy = [
        np.clip(np.roll(s, k, axis=1) + rng.normal(0, 3, s.shape), 0, 255).astype(np.uint8) for k, s in enumerate(shots)
    ]
    assert find_cuts(noisy) == [i in (5, 9) for i in range(11)]
    assert find_cuts([]) == []
    assert find_cuts(noisy[:1]) == [False]


@pytest.mark.parametrize("score", [0.91, 1.0])
def test_equal_faces_are_chosen_the_same_way_every_time(score: float) -> None:
    faces: list[Face] = [("a", 100, 100, 60), ("b", 400, 100, 60)]
    video = [frame(faces, score)] * 6
    assert choose_subject(video) == choose_subject(list(video)) == [0] * 6
