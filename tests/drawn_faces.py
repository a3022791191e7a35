"""Faces drawn by the sample's generator, with the places of their features known."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from synthetic.anatomy import GENDERS, RACES, draw_face
from synthetic.features import MovingParts
from synthetic.head import Light, draw_head


@dataclass(frozen=True)
class DrawnFace:
    """A picture of one face, and its eyes' centres and mouth corners.

    image: RGB uint8 [shape=(S, S, 3)]. eyes: left, right [shape=(2, 2)]. mouth: corners [shape=(2, 2)]. keypoints: the
    five points as a detector gives them [shape=(5, 2)].
    """

    image: np.ndarray
    eyes: np.ndarray
    mouth: np.ndarray
    keypoints: np.ndarray

    @property
    def grey(self) -> np.ndarray:
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY))

    @property
    def eye_distance(self) -> float:
        return float(np.linalg.norm(self.eyes[1] - self.eyes[0]))


def drawn_face(seed: int, *, size: int = 320, tilt_deg: float = 0.0, opening: float = 0.3) -> DrawnFace:
    """Draw one face, tilted clockwise about the picture's middle, in a picture of `size` pixels a side."""
    rng = np.random.default_rng(seed)
    face = draw_face(rng, RACES[seed % len(RACES)], GENDERS[seed % 2])
    unit = 0.24 * size
    head = draw_head(face, Light(0.3, -0.4, 0.5, 0.2, 0.35, (1.0, 1.0, 1.0)), unit, rng)
    picture = MovingParts(head).texture(opening, 0.0, 0.0, (0.0, 0.0)).astype(np.float32)
    middle = head.canvas.pixels(np.array([(0.0, 0.35)]))[0]
    place = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), -tilt_deg, 1.0)
    place[:, 2] += size / 2 - middle
    layer = cv2.warpAffine(picture, place, (size, size), flags=cv2.INTER_LINEAR)  # colours multiplied by alpha
    ground = np.full((size, size, 3), rng.uniform(70, 180, 3))
    image = np.clip(layer[..., :3] + ground * (1 - layer[..., 3:] / 255) + rng.normal(0, 2, ground.shape), 0, 255)
    points = [(-face.eye_x, 0), (face.eye_x, 0), (0, face.nose_y)]
    points += [(-face.mouth_half_width, face.mouth_y), (face.mouth_half_width, face.mouth_y)]
    five = head.canvas.pixels(np.array(points)) @ place[:, :2].T + place[:, 2]
    return DrawnFace(image.astype(np.uint8), five[:2], five[3:], five)
