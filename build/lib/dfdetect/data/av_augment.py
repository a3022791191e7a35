"""Augmentation of audio-visual sequences: one change a clip, the same for all of its crops, or all of its sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dfdetect.data.transforms import Augmentation

Augment = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
_DB = np.log(10.0) / 10.0  # the mels are natural logarithms of power


@dataclass(frozen=True)
class SoundChanges:
    """What is changed in a clip's log-mels. A change never moves sound in time: lips and voice stay together.

    Args:
        gain_db: the level goes up or down by at most this (dB).
        masks: bands of neighbouring mels that are hidden, set to the clip's mean.
        mask_width: mels of the widest band.

    Source: Park et al., SpecAugment (2019), its frequency masks.
    """

    gain_db: float = 0.0
    masks: int = 0
    mask_width: int = 12

    def __call__(self, mels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Changed copy of a clip's stretches of sound [shape=(C, n_mels, T)]."""
        changed = mels + np.float32(random.uniform(-self.gain_db, self.gain_db) * _DB)
        mean, bands = changed.mean(), mels.shape[1]
        for _ in range(self.masks):
            width = int(random.integers(0, min(self.mask_width, bands) + 1))
            first = int(random.integers(0, bands - width + 1))
            changed[:, first : first + width] = mean
        return changed


class SequenceAugmentation:
    """Changes of training sequences; picklable.

    Args:
        pictures: a recipe's transforms for mouth crops; None: resize alone.
        sound: what happens to the mels.
    """

    def __init__(self, pictures: Augmentation | None, sound: SoundChanges) -> None:
        self.pictures, self.sound = pictures, sound

    def seeded(self, seed: int) -> Augment:
        """The change of one batch's sequences, clip after clip.

        It takes a clip's mouth crops [uint8, shape=(F, S, S, 3)], of the size that the detector reads, and its mels
        [float32, shape=(C, n_mels, T)], and returns both changed.
        """
        random = np.random.default_rng([seed, 1])
        if self.pictures is not None:
            self.pictures.seeded(seed)

        def augment(mouths: np.ndarray, mels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if self.pictures is not None:
                mouths = self.pictures.of_clip(mouths)
            return mouths, self.sound(mels, random)

        return augment
