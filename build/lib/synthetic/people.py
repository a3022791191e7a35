"""What makes one person: the geometry and colours of a face, and a voice. Numbers only; nothing is painted here.

Lengths are in face units: half the width of an average face is 1, the eyes lie at y = 0, y points down.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from synthetic.painting import Rgb

GENDERS = ("men", "women")
# FakeAVCeleb's folders of people, with the darkest and the lightest skin drawn for each.
RACES: dict[str, tuple[Rgb, Rgb]] = {
    "African": ((92, 60, 44), (150, 104, 78)),
    "Asian (East)": ((214, 172, 140), (240, 206, 178)),
    "Asian (South)": ((150, 106, 78), (200, 154, 120)),
    "Caucasian (American)": ((206, 160, 132), (240, 202, 178)),
    "Caucasian (European)": ((218, 176, 152), (246, 214, 196)),
}
_DARK_HAIR = ((30, 24, 22), (44, 32, 26), (24, 22, 26))
_FAIR_HAIR = ((86, 56, 34), (122, 84, 48), (176, 138, 84), (134, 66, 36), (138, 134, 130))
_DARK_EYES = ((62, 40, 26), (82, 54, 32), (50, 34, 26))
_FAIR_EYES = ((84, 118, 142), (92, 112, 78), (112, 128, 132))
_HAIR_STYLES = {
    "men": ("short", "short", "side", "curly", "bald", "back"),
    "women": ("long", "long", "bob", "bun", "side", "curly"),
}
_BEARDS = {"men": ("none", "none", "stubble", "stubble", "moustache", "full"), "women": ("none",)}


def between(default: tuple[float, float], **others: tuple[float, float]) -> Any:
    """A dataclass field that `draw_fields` draws evenly from a range, which may differ for some variants."""
    return field(metadata={"": default, **others})


def draw_fields(kind: type, rng: np.random.Generator, variant: str) -> dict[str, Any]:
    """Values for those fields of a dataclass that have a range."""
    return {f.name: float(rng.uniform(*f.metadata.get(variant, f.metadata[""]))) for f in fields(kind) if f.metadata}


@dataclass(frozen=True, kw_only=True)
class Face:
    """Geometry in face units, colours in RGB 0..255; cheek, freckles and wrinkles are strengths 0..1."""

    gender: str
    skin: Rgb
    hair: Rgb
    iris: Rgb
    lip: Rgb
    hair_style: str
    beard: str
    glasses: bool
    freckles: float
    width: float = between((0.95, 1.05), women=(0.91, 1.01))
    jaw: float = between((0.93, 1.07), women=(0.84, 0.96))
    chin_width: float = between((0.88, 1.12), women=(0.76, 0.96))
    chin_y: float = between((1.29, 1.43), women=(1.24, 1.36))
    forehead_y: float = between((-0.85, -0.71))
    eye_x: float = between((0.39, 0.44))
    eye_half_width: float = between((0.185, 0.225))
    eye_up: float = between((0.072, 0.100), women=(0.082, 0.114))
    eye_low: float = between((0.042, 0.062))
    eye_tilt: float = between((-0.02, 0.035))
    brow_y: float = between((-0.275, -0.225), women=(-0.31, -0.26))
    brow_thick: float = between((0.058, 0.098), women=(0.038, 0.062))
    brow_arch: float = between((0.024, 0.056), women=(0.042, 0.098))
    brow_tilt: float = between((-0.03, 0.04))
    nose_y: float = between((0.44, 0.52))
    nose_width: float = between((0.16, 0.22), women=(0.143, 0.197))
    nose_bridge: float = between((0.14, 0.26))
    mouth_y: float = between((0.793, 0.867))
    mouth_half_width: float = between((0.29, 0.37))
    lip_up: float = between((0.051, 0.085), women=(0.064, 0.106))
    lip_low: float = between((0.074, 0.116), women=(0.09, 0.14))
    cheek: float = between((0.3, 1.0))
    wrinkles: float = between((0.1, 1.0))
    hair_volume: float = between((0.88, 1.12))
    hair_part: float = between((-0.45, 0.45))


@dataclass(frozen=True, kw_only=True)
class Voice:
    """f0_hz: mean pitch; formants: factor on an average tract's formants; rate: syllables a second; the rest 0..1."""

    f0_hz: float = between((85, 150), women=(165, 245))
    f0_swing: float = between((0.06, 0.16))
    formants: float = between((0.90, 1.06), women=(1.08, 1.24))
    rate: float = between((3.4, 5.2))
    breath: float = between((0.02, 0.10))
    tilt: float = between((0.0, 1.0))


@dataclass(frozen=True)
class Person:
    """One person of the dataset; name as in the official layouts (`id00076`), index within the dataset."""

    index: int
    name: str
    race: str
    gender: str
    face: Face
    voice: Voice


def _pick(rng: np.random.Generator, options: tuple[Rgb, ...], spread: float) -> Rgb:
    """One of some colours, darker or brighter by up to `spread`."""
    red, green, blue = np.array(options[rng.integers(len(options))]) * rng.uniform(1 - spread, 1 + spread)
    return float(red), float(green), float(blue)


def random_face(rng: np.random.Generator, race: str, gender: str) -> Face:
    """A face whose every feature varies about an average head."""
    low, high = np.array(RACES[race])
    red, green, blue = (low + (high - low) * rng.uniform() + rng.uniform(-5, 5, 3)).tolist()
    fair = race.startswith("Caucasian")
    redness = rng.uniform(0.50, 0.62) if gender == "women" else rng.uniform(0.60, 0.72)
    return Face(
        gender=gender,
        skin=(red, green, blue),
        hair=_pick(rng, _DARK_HAIR + _FAIR_HAIR * fair, 0.15),
        iris=_pick(rng, _DARK_EYES + _FAIR_EYES * fair, 0.12),
        lip=(red * rng.uniform(0.80, 0.90), green * redness, blue * (redness + 0.04)),
        hair_style=str(rng.choice(_HAIR_STYLES[gender])),
        beard=str(rng.choice(_BEARDS[gender])),
        glasses=bool(rng.uniform() < 0.2),
        freckles=float(rng.uniform(0.3, 1.0)) if rng.uniform() < 0.25 else 0.0,
        **draw_fields(Face, rng, gender),
    )
