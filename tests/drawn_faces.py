"""Faces drawn by the sample's generator, with the places of their features known."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from synthetic.head import Head
from synthetic.people import GENDERS, RACES, random_face
from synthetic.scene import Shot


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
    face = random_face(rng, list(RACES)[seed % len(RACES)], GENDERS[seed % 2])
    side = 2 * round(0.55 * size)
    light = {"light_x": 0.3, "light_y": -0.4, "key": 0.5, "fill": 0.2, "ambient": 0.35, "warmth": 0.0}
    camera = {"zoom": 1.0, "unit": 0.24 * size / side, "centre_x": 0.5, "centre_y": 0.5, "noise": 0.0, "blur": 0.0}
    shot = Shot(size=side, **camera, **light, shake=0.0, liveliness=0.0, strength=1.0)
    picture = Head(face, shot, rng).picture(np.array([opening, 0.0]), np.zeros(3)).astype(np.float32)
    middle = shot.canvas.pixels([(0.0, 0.35)])[0]
    place = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), -tilt_deg, 1.0)
    place[:, 2] += size / 2 - middle
    layer = cv2.warpAffine(picture, place, (size, size), flags=cv2.INTER_LINEAR)  # colours multiplied by alpha
    ground = np.full((size, size, 3), rng.uniform(70, 180, 3))
    image = np.clip(layer[..., :3] + ground * (1 - layer[..., 3:] / 255) + rng.normal(0, 2, ground.shape), 0, 255)
    points = [(-face.eye_x, 0), (face.eye_x, 0), (0, face.nose_y)]
    points += [(-face.mouth_half_width, face.mouth_y), (face.mouth_half_width, face.mouth_y)]
    five = shot.canvas.pixels(points) @ place[:, :2].T + place[:, 2]
    return DrawnFace(image.astype(np.uint8), five[:2], five[3:], five)
