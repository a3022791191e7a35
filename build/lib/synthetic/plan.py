"""Which clips a dataset has: who appears, who lends a face or a voice, and the seeds that everything follows from.

Planning takes no time; rendering a clip needs its plan and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synthetic.people import GENDERS, RACES, Person, Voice, draw_fields, random_face
from synthetic.settings import GenerateSource

CATEGORIES = ("RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio")
REAL, FAKE_SOUND, FAKE_PICTURE, FAKE_BOTH = CATEGORIES
FAKE_AUDIO, FAKE_VIDEO = {FAKE_SOUND, FAKE_BOTH}, {FAKE_PICTURE, FAKE_BOTH}

Methods = Mapping[str, Mapping[str, str]]
# FakeAVCeleb's methods (Khalid et al. 2021) by category, and what each does to the picture. swap: puts another face in;
# redraw: makes a new mouth; gan: a generator whose result is finer and whose grid is stronger than an autoencoder's.
METHODS: Methods = {
    REAL: {"real": ""},
    FAKE_SOUND: {"rtvc": ""},
    FAKE_PICTURE: {"faceswap": "swap", "fsgan": "swap gan", "wav2lip": "redraw"},
    FAKE_BOTH: {"faceswap-wav2lip": "swap redraw", "wav2lip": "redraw", "fsgan-wav2lip": "swap redraw gan"},
}


@dataclass(frozen=True)
class ClipPlan:
    """One clip.

    forgery: what the method does to the picture, in the words of METHODS. take: the number of the person's scene; a
    fake shares it with the clip that it is made from. face_donor, voice_donor: who lends a face or a voice, if any.
    """

    source: GenerateSource
    category: str
    method: str
    forgery: str
    person: Person
    take: int
    face_donor: Person | None
    voice_donor: Person | None
    frames: int
    has_sound: bool = True

    @property
    def fake(self) -> bool:
        """Whether anything is forged."""
        return self.category != REAL

    @property
    def take_seed(self) -> tuple[int, ...]:
        """What the scene follows from."""
        return self.source.seed, 1, self.person.index, self.take


def make_plan(
    source: GenerateSource, methods: Methods = METHODS, *, shared_takes: bool = False, in_pairs: bool = False
) -> list[ClipPlan]:
    """Plan a dataset: every person has `clips_per_category` clips of every category in `methods`.

    The fakes of the picture are made from takes whose picture also occurs unforged, so that real and fake pictures
    differ in nothing but the forgery; no two clips show the same unforged picture.

    Args:
        source: how much of what.
        methods: the categories to make and their methods, which people get in turn.
        shared_takes: make every fake from one of the real clips (for layouts that name a fake's original).
        in_pairs: people lend each other their faces, and every clip is forged by every method; else a look-alike does.
    """
    people, per = random_people(source), source.clips_per_category
    clips = []
    for person in people:
        wanted = []
        for category, names in methods.items():
            first = per if category in FAKE_AUDIO and not shared_takes else 0
            for k in range(per):
                turn = (person.index * per + k) % len(names)
                wanted += [(category, name, first + k) for name in (names if in_pairs else [list(names)[turn]])]
        first = per if shared_takes else 2 * per
        wanted += [(REAL, "real", first + k) for k in range((source.real_clips or per) - per)]
        lender = people[(person.index ^ 1) % len(people)] if in_pairs else _look_alike(person, people)
        for category, method, take in wanted:
            rng = np.random.default_rng((source.seed, 1, person.index, take))
            frames = max(2, round(source.clip_s * source.fps * rng.uniform(0.95, 1.05)))
            other = people[(person.index + int(rng.integers(1, len(people)))) % len(people)]
            forgery = methods[category][method]
            donors = lender if "swap" in forgery else None, other if category in FAKE_AUDIO else None
            clips.append(ClipPlan(source, category, method, forgery, person, take, *donors, frames))
    return clips


def random_people(source: GenerateSource) -> list[Person]:
    """People spread evenly over the folders' races and genders."""
    count = source.identities
    numbers = np.random.default_rng((source.seed, 0)).choice(max(10000, 10 * count), count, replace=False)
    people = []
    for index, number in enumerate(sorted(numbers.tolist())):
        gender, race = GENDERS[index % len(GENDERS)], list(RACES)[index // len(GENDERS) % len(RACES)]
        rng = np.random.default_rng((source.seed, 3, index))
        face, voice = random_face(rng, race, gender), Voice(**draw_fields(Voice, rng, gender))
        people.append(Person(index, f"id{number:05d}", race, gender, face, voice))
    return people


def _look_alike(person: Person, people: list[Person]) -> Person:
    """Of the same gender, the person whose skin is nearest, as those who swap faces choose."""

    def unlike(other: Person) -> tuple[bool, float, int]:
        tones = np.subtract(person.face.skin, other.face.skin)
        return person.gender != other.gender, float(np.linalg.norm(tones)), (other.index - person.index) % len(people)

    return min((other for other in people if other is not person), key=unlike)
