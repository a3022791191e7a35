"""Which clips a data set has: who appears, who lends a face or a voice, and the seeds everything is drawn from.

Planning is pure and takes no time; rendering a clip needs its plan and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synthetic import GenerateSource
from synthetic.anatomy import GENDERS, RACES, Identity, draw_face, draw_voice

CATEGORIES = ("RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio")
REAL, FAKE_SOUND, FAKE_PICTURE, FAKE_BOTH = CATEGORIES
VISUALLY_FAKE = frozenset({FAKE_PICTURE, FAKE_BOTH})
AUDIBLY_FAKE = frozenset({FAKE_SOUND, FAKE_BOTH})


@dataclass(frozen=True)
class Forgery:
    """What a method does to the picture. swap: puts another face in; redraw: makes a new mouth; gan: a generator with
    a finer result and a stronger grid than an autoencoder's.
    """

    swap: bool = False
    redraw: bool = False
    gan: bool = False


# By the data sets' names: FakeAVCeleb (Khalid et al. 2021), then FaceForensics++ (Roessler et al. 2019).
FORGERIES: dict[str, Forgery] = {
    "real": Forgery(),
    "rtvc": Forgery(),
    "faceswap": Forgery(swap=True),
    "fsgan": Forgery(swap=True, gan=True),
    "wav2lip": Forgery(redraw=True),
    "faceswap-wav2lip": Forgery(swap=True, redraw=True),
    "fsgan-wav2lip": Forgery(swap=True, redraw=True, gan=True),
    "Deepfakes": Forgery(swap=True),
    "Face2Face": Forgery(redraw=True),
    "FaceSwap": Forgery(swap=True),
    "NeuralTextures": Forgery(redraw=True, gan=True),
}
# FakeAVCeleb's methods by category; the identities get a category's methods in turn.
METHODS: dict[str, tuple[str, ...]] = {
    REAL: ("real",),
    FAKE_SOUND: ("rtvc",),
    FAKE_PICTURE: ("faceswap", "fsgan", "wav2lip"),
    FAKE_BOTH: ("faceswap-wav2lip", "wav2lip", "fsgan-wav2lip"),
}


@dataclass(frozen=True)
class ClipPlan:
    """One clip. identity, face_donor and voice_donor index the plan's identities; a donor is None where none is used.

    take_seed draws the filmed scene, forge_seed the forgery: a fake and its original share the take.
    """

    category: str
    method: str
    identity: int
    take: int
    face_donor: int | None
    voice_donor: int | None
    take_seed: tuple[int, ...]
    forge_seed: tuple[int, ...]
    frames: int
    fps: float
    size: int
    crf: int
    look: str
    sound: bool = True

    @property
    def forgery(self) -> Forgery:
        """What the method does to the picture."""
        return FORGERIES[self.method]

    @property
    def visually_fake(self) -> bool:
        """Whether the picture is forged."""
        return self.category in VISUALLY_FAKE

    @property
    def audibly_fake(self) -> bool:
        """Whether the sound is forged."""
        return self.category in AUDIBLY_FAKE

    @property
    def fake(self) -> bool:
        """Whether anything is forged."""
        return self.visually_fake or self.audibly_fake


@dataclass(frozen=True)
class Plan:
    """All people and clips of a data set, in a fixed order."""

    identities: tuple[Identity, ...]
    clips: tuple[ClipPlan, ...]


def make_plan(
    source: GenerateSource,
    categories: tuple[str, ...] = CATEGORIES,
    *,
    methods: Mapping[str, tuple[str, ...]] = METHODS,
    shared_takes: bool = False,
) -> Plan:
    """Plan a data set: every identity has `clips_per_category` clips in every category.

    A take is one filmed scene. The fakes of the picture are made from takes whose picture also occurs unforged, so that
    real and fake pictures differ in nothing but the forgery; no two clips show the same unforged picture.

    Args:
        source: how much of what.
        categories: those to make, a subset of CATEGORIES.
        methods: the methods of each category, which the identities get in turn.
        shared_takes: make every fake from one of the real clips (for layouts that name a fake's original).
    """
    identities = draw_identities(source)
    donors = _donors(identities)
    per = source.clips_per_category
    clips = []
    for index in range(len(identities)):
        for category in categories:
            for k in range(per):
                second = category in AUDIBLY_FAKE and not shared_takes
                names = methods[category]
                method = names[(index * per + k) % len(names)]
                clips.append(plan_clip(source, index, category, method, k + (per if second else 0), donors))
        first = per if shared_takes else 2 * per  # takes that no fake has
        for k in range((source.real_clips or per) - per):
            clips.append(plan_clip(source, index, REAL, methods[REAL][0], first + k, donors))
    return Plan(identities, tuple(clips))


def plan_clip(
    source: GenerateSource, index: int, category: str, method: str, take: int, donors: tuple[int, ...]
) -> ClipPlan:
    """Plan one clip. donors: who lends each identity a face [len = number of identities]."""
    take_seed = (source.seed, 1, index, take)
    rng = np.random.default_rng(take_seed)
    frames = max(2, round(source.clip_s * source.fps * rng.uniform(0.95, 1.05)))
    voice = (index + 1 + int(rng.integers(len(donors) - 1))) % len(donors)
    return ClipPlan(
        category=category,
        method=method,
        identity=index,
        take=take,
        face_donor=donors[index] if FORGERIES[method].swap else None,
        voice_donor=voice if category in AUDIBLY_FAKE else None,
        take_seed=take_seed,
        forge_seed=(source.seed, 2, index, take, list(FORGERIES).index(method)),
        frames=frames,
        fps=source.fps,
        size=source.size,
        crf=source.crf,
        look=source.look,
    )


def draw_identities(source: GenerateSource) -> tuple[Identity, ...]:
    """Draw people spread evenly over the folders' races and genders."""
    count = source.identities * source.scale
    rng = np.random.default_rng((source.seed, 0))
    numbers = np.sort(rng.choice(max(10000, 10 * count), count, replace=False))
    people = []
    for k in range(count):
        race, gender = RACES[(k // len(GENDERS)) % len(RACES)], GENDERS[k % len(GENDERS)]
        own = np.random.default_rng((source.seed, 3, k))
        face, voice = draw_face(own, race, gender), draw_voice(own, gender)
        people.append(Identity(f"id{int(numbers[k]):05d}", race, gender, face, voice))
    return tuple(people)


def _donors(identities: tuple[Identity, ...]) -> tuple[int, ...]:
    """Who lends a face to whom: of the same gender, the person whose skin is nearest, as swaps choose look-alikes."""
    count = len(identities)
    chosen = []
    for index, person in enumerate(identities):
        tone = np.array(person.face.skin)
        costs = []
        for other, candidate in enumerate(identities):
            if other != index:
                distance = float(np.sqrt(((np.array(candidate.face.skin) - tone) ** 2).sum()))
                costs.append((candidate.gender != person.gender, distance, (other - index) % count, other))
        chosen.append(min(costs)[3])
    return tuple(chosen)
