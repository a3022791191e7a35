"""The forgeries: face swaps, re-drawn mouths, and the traces that a generator's upsampling leaves.

A forgery is made in face coordinates, as real ones are made on an aligned crop, and blended into rendered frames: what
it replaces loses the camera's noise and detail and gains the generator's grid; a swap also brings another's colours.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from synthetic.head import Head
from synthetic.painting import Array, curve, mirrored, to_bytes
from synthetic.people import Face

# What a swap takes over from the target when it aligns the donor's face to the target's landmarks.
_ALIGNED = ("width", "jaw", "chin_width", "chin_y", "forehead_y", "eye_x", "nose_y", "mouth_y", "glasses")


def fit_donor(donor: Face, target: Face) -> Face:
    """The donor's features at the target's places."""
    return replace(donor, hair_style="bald", **{name: getattr(target, name) for name in _ALIGNED})


def _replaced(face: Face, *, swap: bool) -> Array:
    """What is replaced: by a swap brows to chin, inside the face; by a new mouth the lower half of the face."""
    w, j, chin = face.width, face.width * face.jaw, face.chin_y
    if swap:
        right = [(0.0, face.brow_y - 0.16), (0.55 * w, face.brow_y - 0.14), (0.78 * w, -0.05), (0.74 * j, 0.62)]
        right += [(0.48 * j, 1.0), (0.20, chin - 0.12), (0.0, chin - 0.09)]
    else:
        right = [(0.0, face.nose_y - 0.10), (0.45 * j, face.nose_y - 0.14), (0.74 * j, 0.55), (0.55 * j, 1.0)]
        right += [(0.22, chin - 0.10), (0.0, chin - 0.07)]
    return curve(mirrored(right))


class Forger:
    """Turns the clean picture of a forged head into what is blended into the frames.

    Args:
        forged: whose picture it will be: the donor's fitted head, or the target's own.
        target: the head that is forged.
        forgery: what the method does, in the words of plan.METHODS.
        strength: of the traces; 1 is the sample's, lower is harder to see.
        rng: draws how the generator falls short.
    """

    def __init__(self, forged: Head, target: Head, forgery: str, strength: float, rng: np.random.Generator) -> None:
        swap, gan = "swap" in forgery, "gan" in forgery
        autoencoder = swap and not gan
        feather = rng.uniform(0.05, 0.09) if autoencoder else rng.uniform(0.07, 0.12)
        outline = _replaced(target.face, swap=swap)
        self.window, canvas = target.still.canvas.part(outline, 3 * feather)
        mask = canvas.mask(outline, blur=feather)
        self._mask = to_bytes(255 * mask)
        self._shape = target.still.canvas.shape
        # The generator's output is smaller than the face; sharpening hides the loss.
        scale = rng.uniform(0.40, 0.48) if gan else rng.uniform(0.34, 0.42)
        self._small = (max(8, 2 * round(mask.shape[1] * scale / 2)), max(8, 2 * round(mask.shape[0] * scale / 2)))
        self._sharpen = np.float32(rng.uniform(0.9, 1.4))
        # Its upsampling leaves a grid: a fine grey checkerboard and a coarse coloured one, in grey levels.
        rows, columns = np.indices(self._small[::-1])
        fine, coarse = (np.where((rows // size + columns // size) % 2, -1.0, 1.0)[..., None] for size in (1, 2))
        red, height = rng.uniform(0.7, 1.0), rng.uniform(19.0, 23.0) if swap else rng.uniform(22.0, 26.0)
        tint = np.array([red, -0.45 * red, 0.9 - 1.4 * red])
        self._grid = ((0.3 * fine + coarse * tint) * height * strength).astype(np.float32)
        # Colours are brought near the target's, but not onto them, and an error stays.
        match = rng.uniform(0.72, 0.88) if autoencoder else rng.uniform(0.80, 0.92)
        cast = rng.uniform(-1, 1, 3) * (5.0 if swap else 3.0) * strength
        ours, theirs = (head.still.rgb[self.window][mask > 0.9] for head in (forged, target))
        spread = np.clip(theirs.std(axis=0) / np.maximum(1, ours.std(axis=0)), 0.6, 1.6)
        self._gain = (1 + match * (spread - 1)).astype(np.float32)
        goal = ours.mean(axis=0) + match * (theirs.mean(axis=0) - ours.mean(axis=0)) + cast
        self._offset = (goal - self._gain * ours.mean(axis=0)).astype(np.float32)

    def forge(self, picture: Array) -> Array:
        """The forged face and its mask, uint8 [shape=(H, W, 4)], from the forged head's picture."""
        face = to_bytes(picture[self.window][..., :3] * self._gain + self._offset)
        small = cv2.resize(face, self._small, interpolation=cv2.INTER_LINEAR).astype(np.float32)
        sharp = small + self._sharpen * (small - cv2.GaussianBlur(small, (3, 3), 0.8)) + self._grid
        out = np.zeros((*self._shape, 4), np.uint8)
        out[self.window][..., :3] = cv2.resize(to_bytes(sharp), self._mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
        out[self.window][..., 3] = self._mask
        return out
