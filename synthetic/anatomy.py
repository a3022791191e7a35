"""What makes one identity: the geometry and colours of a face, and a voice. Numbers only; nothing is drawn here.

Lengths are in face units: half the width of an average face is 1, the eyes lie at y = 0, y points down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthetic.paint import Rgb

RACES = ("African", "Asian (East)", "Asian (South)", "Caucasian (American)", "Caucasian (European)")
GENDERS = ("men", "women")

# Ranges of skin tone (darker, lighter) and hair colours for each of the layout's `race` folders.
_SKIN: dict[str, tuple[Rgb, Rgb]] = {
    "African": ((92, 60, 44), (150, 104, 78)),
    "Asian (East)": ((214, 172, 140), (240, 206, 178)),
    "Asian (South)": ((150, 106, 78), (200, 154, 120)),
    "Caucasian (American)": ((206, 160, 132), (240, 202, 178)),
    "Caucasian (European)": ((218, 176, 152), (246, 214, 196)),
}
_DARK_HAIR: tuple[Rgb, ...] = ((30, 24, 22), (44, 32, 26), (24, 22, 26))
_ANY_HAIR: tuple[Rgb, ...] = (
    *_DARK_HAIR,
    (86, 56, 34),
    (122, 84, 48),
    (176, 138, 84),
    (134, 66, 36),
    (138, 134, 130),
)
_DARK_EYES: tuple[Rgb, ...] = ((62, 40, 26), (82, 54, 32), (50, 34, 26))
_ANY_EYES: tuple[Rgb, ...] = (*_DARK_EYES, (84, 118, 142), (92, 112, 78), (112, 128, 132))
_MEN_HAIR = ("short", "short", "side", "curly", "bald", "back")
_WOMEN_HAIR = ("long", "long", "bob", "bun", "side", "curly")


@dataclass(frozen=True)
class Face:
    """Geometry in face units, colours in RGB 0..255."""

    skin: Rgb
    hair: Rgb
    iris: Rgb
    lip: Rgb
    hair_style: str
    women: bool
    width: float
    jaw: float
    chin_width: float
    chin_y: float
    forehead_y: float
    eye_x: float
    eye_half_width: float
    eye_up: float
    eye_low: float
    eye_tilt: float
    brow_y: float
    brow_thick: float
    brow_arch: float
    brow_tilt: float
    nose_y: float
    nose_width: float
    nose_bridge: float
    mouth_y: float
    mouth_half_width: float
    lip_up: float
    lip_low: float
    cheek: float
    freckles: float
    wrinkles: float
    beard: str
    glasses: bool
    hair_volume: float
    hair_part: float


@dataclass(frozen=True)
class Voice:
    """f0_hz: mean pitch; formants: factor on an average tract's formants; rate: syllables a second; the rest 0..1."""

    f0_hz: float
    f0_swing: float
    formants: float
    rate: float
    breath: float
    tilt: float


@dataclass(frozen=True)
class Identity:
    """One person of the data set; name as in the official layouts (`id00076`)."""

    name: str
    race: str
    gender: str
    face: Face
    voice: Voice


def _pick(rng: np.random.Generator, options: tuple[Rgb, ...], spread: float) -> Rgb:
    base = options[int(rng.integers(len(options)))]
    factor = rng.uniform(1 - spread, 1 + spread)
    return (base[0] * factor, base[1] * factor, base[2] * factor)


def _colours(rng: np.random.Generator, race: str, women: bool) -> dict[str, Rgb]:
    low, high = _SKIN[race]
    t = rng.uniform()
    skin = [a + (b - a) * t + rng.uniform(-5, 5) for a, b in zip(low, high, strict=True)]
    caucasian = race.startswith("Caucasian")
    redness = rng.uniform(0.50, 0.62) if women else rng.uniform(0.60, 0.72)
    return {
        "skin": (skin[0], skin[1], skin[2]),
        "hair": _pick(rng, _ANY_HAIR if caucasian else _DARK_HAIR, 0.15),
        "iris": _pick(rng, _ANY_EYES if caucasian else _DARK_EYES, 0.12),
        "lip": (skin[0] * rng.uniform(0.80, 0.90), skin[1] * redness, skin[2] * (redness + 0.04)),
    }


def draw_face(rng: np.random.Generator, race: str, gender: str) -> Face:
    """Draw a face's parameters; every feature varies about an average head."""
    women = gender == "women"

    def vary(mean: float, spread: float) -> float:
        return float(mean * rng.uniform(1 - spread, 1 + spread))

    beard = "none"
    if not women:
        beard = ("none", "none", "stubble", "stubble", "moustache", "full")[int(rng.integers(6))]
    styles = _WOMEN_HAIR if women else _MEN_HAIR
    return Face(
        **_colours(rng, race, women),
        hair_style=styles[int(rng.integers(len(styles)))],
        women=women,
        width=vary(0.96 if women else 1.0, 0.05),
        jaw=vary(0.90 if women else 1.0, 0.07),
        chin_width=vary(0.86 if women else 1.0, 0.12),
        chin_y=vary(1.30 if women else 1.36, 0.05),
        forehead_y=vary(-0.78, 0.09),
        eye_x=vary(0.415, 0.06),
        eye_half_width=vary(0.205, 0.10),
        eye_up=vary(0.098 if women else 0.086, 0.16),
        eye_low=vary(0.052, 0.20),
        eye_tilt=float(rng.uniform(-0.02, 0.035)),
        brow_y=vary(-0.285 if women else -0.25, 0.10),
        brow_thick=vary(0.050 if women else 0.078, 0.25),
        brow_arch=vary(0.07 if women else 0.04, 0.4),
        brow_tilt=float(rng.uniform(-0.03, 0.04)),
        nose_y=vary(0.48, 0.08),
        nose_width=vary(0.17 if women else 0.19, 0.16),
        nose_bridge=vary(0.20, 0.3),
        mouth_y=vary(0.83, 0.045),
        mouth_half_width=vary(0.33, 0.12),
        lip_up=vary(0.085 if women else 0.068, 0.25),
        lip_low=vary(0.115 if women else 0.095, 0.22),
        cheek=float(rng.uniform(0.3, 1.0)),
        freckles=float(rng.uniform(0.3, 1.0)) if rng.uniform() < 0.25 else 0.0,
        wrinkles=float(rng.uniform(0.1, 1.0)),
        beard=beard,
        glasses=bool(rng.uniform() < 0.2),
        hair_volume=vary(1.0, 0.12),
        hair_part=float(rng.uniform(-0.45, 0.45)),
    )


def draw_voice(rng: np.random.Generator, gender: str) -> Voice:
    """Draw a voice: women's pitch and formants lie higher on average, as in speech."""
    women = gender == "women"
    return Voice(
        f0_hz=float(rng.uniform(165, 245) if women else rng.uniform(85, 150)),
        f0_swing=float(rng.uniform(0.06, 0.16)),
        formants=float(rng.uniform(1.08, 1.24) if women else rng.uniform(0.90, 1.06)),
        rate=float(rng.uniform(3.4, 5.2)),
        breath=float(rng.uniform(0.02, 0.10)),
        tilt=float(rng.uniform(0.0, 1.0)),
    )
