"""68 facial landmarks by dlib's predictor, started from a detector's five points instead of dlib's own face box.

The predictor moves a mean shape, placed in a box, to the image; it was trained on the upright square boxes of dlib's
HOG face detector. Other detectors' boxes are taller, tighter or, for a tilted head, turned: with MTCNN's boxes the mean
error on annotated faces is 0.089 eye distances and one face in six is lost. Here the face is first brought into a
canonical picture, level and of fixed size, by the similarity that carries the five points onto where they lie in the
mean shape; the box is then the same constant every time. Where the landmarks then show that the box was off, another
pass starts from them (one face in five). Measured on 43 annotated faces, most of them small: 0.037 with MTCNN and with
RetinaFace alike, 0.1 at worst.

Source: Kazemi and Sullivan, "One millisecond face alignment with an ensemble of regression trees" (CVPR 2014). The
model file is dlib's, trained on 300-W, whose licence excludes commercial use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import dlib
import numpy as np

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)  # as seen in the picture
NOSE, MOUTH = slice(27, 36), slice(48, 68)

# Between the eyes' centres in the predictor's mean shape, in box sides: the eye distance of a face seen from the front.
# It follows the whole face's size, where the distance between the two eyes shrinks as the head turns.
EYE_DISTANCE = 0.411
# Where detectors put left eye, right eye, nose and mouth corners, in the predictor's box (0 to 1): measured on
# annotated faces, made symmetric; between MTCNN's places and RetinaFace's, which differ by up to 0.03.
DETECTOR_POINTS = np.array([[0.2956, 0.3228], [0.7044, 0.3228], [0.5000, 0.5525], [0.3200, 0.7505], [0.6800, 0.7505]])
# The canonical picture: the box, and around it space for pixels that the predictor looks at and for a box that is off.
BOX_PX, BORDER_PX = 176, 64
# Another pass from a box that moved by less, in box sides, changes the landmarks by 0.012 eye distances: their tremble.
_SETTLED = 0.07
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
# The same for the HOG detector, whose window is 80 pixels wide.
_CHECK_BOX_PX, _CHECK_BORDER_PX = 96, 32


@dataclass(frozen=True)
class Face:
    """68 landmarks of one face.

    Attributes:
        points: x, y in pixels of the image [float64, shape=(68, 2)].
        placement: similarity from the predictor's box (0 to 1) to the image, least squares over all points
            [float64, shape=(2, 3)]; steadier than any two of the points.
    """

    points: np.ndarray
    placement: np.ndarray

    @property
    def five(self) -> np.ndarray:
        """Left eye, right eye, nose tip, mouth corners, as detectors give them [float64, shape=(5, 2)]."""
        return five_points(self.points)

    @property
    def scale_px(self) -> float:
        """Side of the predictor's box in pixels: the face's size, whatever way it looks."""
        return float(np.hypot(self.placement[0, 0], self.placement[1, 0]))

    @property
    def eye_distance_px(self) -> float:
        """Distance between the eyes' centres in pixels; shrinks as the head turns."""
        return float(np.linalg.norm(self.five[1] - self.five[0]))

    @property
    def eye_angle_deg(self) -> float:
        """Angle of the line from the left to the right eye, in degrees; positive when the right eye is lower."""
        x, y = self.five[1] - self.five[0]
        return float(np.degrees(np.arctan2(y, x)))

    def shifted(self, shift: np.ndarray) -> Face:
        """In a picture whose corner lies elsewhere [shape=(2,)]."""
        return Face(self.points + shift, shifted(self.placement, shift))


def five_points(points: np.ndarray) -> np.ndarray:
    """The detectors' five points from 68 landmarks [shape=(68, 2)] -> [shape=(5, 2)]."""
    return np.stack([points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0), points[30], points[48], points[54]])


def fit_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation, uniform scale and shift that carry `source` onto `target` with the least squared error.

    Args:
        source: [shape=(N, 2)], not all equal.
        target: [shape=(N, 2)].
    Returns:
        [float64, shape=(2, 3)].
    """
    source_mean, target_mean = source.mean(0), target.mean(0)
    s, t = source - source_mean, target - target_mean
    a = (s * t).sum()
    b = (s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()
    turn = np.array([[a, -b], [b, a]]) / (s * s).sum()
    return np.hstack([turn, (target_mean - turn @ source_mean)[:, None]])


def turn_points(points: np.ndarray, turns: int, width: int, height: int) -> np.ndarray:
    """Carry points along when a picture is turned clockwise by quarter turns.

    Args:
        points: x, y in px, counted from the pixels' centres [shape=(N, 2)].
        turns: quarter turns clockwise; negative ones turn back.
        width, height: of the picture before it is turned (px).
    """
    for _ in range(turns % 4):
        points = np.stack([height - 1 - points[:, 1], points[:, 0]], axis=1)
        width, height = height, width
    return points


def shifted(affine: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The same 2x3 matrix with its result shifted."""
    return np.hstack([affine[:, :2], affine[:, 2:] + shift[:, None]])


def apply_affine(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Carry points [shape=(N, 2)] through a 2x3 matrix."""
    return points @ affine[:, :2].T + affine[:, 2]


class Landmarker:
    """dlib's shape predictor with its mean shape. Load once a process: `load_landmarker`."""

    def __init__(self, model: Path) -> None:
        self._predict: Callable[..., dlib.full_object_detection] = dlib.shape_predictor(str(model))
        self._detect: Callable[..., list[dlib.rectangle]] = dlib.get_frontal_face_detector()
        self.mean_shape = read_mean_shape(model)  # (68, 2), in the box
        self._box = dlib.rectangle(BORDER_PX, BORDER_PX, BORDER_PX + BOX_PX, BORDER_PX + BOX_PX)

    def from_keypoints(self, gray: np.ndarray, keypoints: np.ndarray, *, passes: int) -> Face | None:
        """Landmarks of the face whose five points a detector found.

        Args:
            gray: uint8 [shape=(H, W)].
            keypoints: left eye, right eye, nose, mouth corners in pixels of `gray` [shape=(5, 2)].
            passes: at most this many, >= 1; each after the first starts from the landmarks of the one before.
        Returns:
            None when the keypoints are no face: not finite, or all within a pixel or so.
        """
        keypoints = np.asarray(keypoints, dtype=np.float64)
        if not np.isfinite(keypoints).all() or np.ptp(keypoints, axis=0).max() < 2.0:
            return None
        return self.from_placement(gray, fit_similarity(DETECTOR_POINTS, keypoints), passes=passes)

    def from_placement(self, gray: np.ndarray, placement: np.ndarray, *, passes: int) -> Face:
        """Landmarks from a similarity that places the predictor's box in the image (see `Face.placement`)."""
        points = np.zeros((0, 2))
        for _ in range(passes):
            canonical, to_image = canonical_picture(gray, placement, BOX_PX, BORDER_PX)
            shape = self._predict(canonical, self._box)
            points = apply_affine(to_image, np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64))
            before, placement = placement, fit_similarity(self.mean_shape, points)
            moved_px = np.linalg.norm(apply_affine(before, _CORNERS) - apply_affine(placement, _CORNERS), axis=1).max()
            if moved_px < _SETTLED * np.hypot(placement[0, 0], placement[1, 0]):
                break
        return Face(points, placement)

    def confirms(self, gray: np.ndarray, face: Face) -> bool:
        """Whether dlib's HOG detector, too, sees a face where the landmarks are: the predictor alone finds 68 points in
        anything. It knows faces turned by less than about 40 degrees.
        """
        return self._nearest(gray, face.placement, _CHECK_BORDER_PX)[0] < 0.25

    def search(self, gray: np.ndarray, placement: np.ndarray, *, around: float, passes: int) -> Face | None:
        """Landmarks of the face nearest to a place, of about its size and tilt, that dlib's HOG detector sees.

        Args:
            gray: uint8 [shape=(H, W)].
            placement: similarity from the predictor's box (0 to 1) to where a face is expected.
            around: how far around that box to look, in box sides.
            passes: as in `from_keypoints`.
        """
        found = self._nearest(gray, placement, round(around * _CHECK_BOX_PX))[1]
        return None if found is None else self.from_placement(gray, found, passes=passes)

    def _nearest(self, gray: np.ndarray, placement: np.ndarray, border_px: int) -> tuple[float, np.ndarray | None]:
        """Of the faces about as large as a box that HOG sees around it: how far the nearest one's middle is, in box
        sides, and the box to start its landmarks from.
        """
        canonical, to_image = canonical_picture(gray, placement, _CHECK_BOX_PX, border_px)
        middle = border_px + _CHECK_BOX_PX / 2
        nearest, found = np.inf, None
        for box in self._detect(canonical, 0):
            centre, size = box.dcenter(), box.width() / _CHECK_BOX_PX
            offset = max(abs(centre.x - middle), abs(centre.y - middle)) / _CHECK_BOX_PX
            if 0.7 < size < 1.4 and offset < nearest:
                nearest = offset
                found = shifted(to_image[:, :2] @ _placement_of(box), to_image[:, 2])
        return nearest, found

    def detect(self, gray: np.ndarray, *, passes: int) -> list[Face]:
        """Landmarks of the faces that dlib's HOG detector finds, largest first: for pictures without keypoints.

        Args:
            gray: uint8 [shape=(H, W)]; upright faces of 80 pixels and more are found.
            passes: as in `from_keypoints`.
        """
        boxes = sorted(self._detect(gray, 0), key=lambda box: (-box.area(), box.left(), box.top()))
        return [self.from_placement(gray, _placement_of(box), passes=passes) for box in boxes]


def _placement_of(box: dlib.rectangle) -> np.ndarray:
    """As a similarity from the predictor's box (0 to 1)."""
    return np.array([[box.width(), 0.0, box.left()], [0.0, box.width(), box.top()]], dtype=np.float64)


def canonical_picture(
    gray: np.ndarray, placement: np.ndarray, box_px: int, border_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the face out, level, with the predictor's box at its constant place.

    Args:
        gray: uint8 [shape=(H, W)].
        placement: similarity from the predictor's box (0 to 1) to the image.
        box_px: side of the box in the picture.
        border_px: pixels around it.
    Returns:
        The picture [uint8, shape=(S, S)], S = box_px + 2 * border_px, and the similarity from its pixels back to the
        image's [shape=(2, 3)].
    """
    side = box_px + 2 * border_px
    to_image = placement / box_px
    to_image[:, 2] = placement[:, 2] - to_image[:, :2].sum(1) * border_px
    from_image, shrink = to_image, int(np.hypot(to_image[0, 0], to_image[1, 0]))
    if shrink >= 2:  # the warp samples points: average first, or detail turns into noise
        gray = cv2.resize(gray, None, fx=1.0 / shrink, fy=1.0 / shrink, interpolation=cv2.INTER_AREA)
        from_image = to_image / shrink
        from_image[:, 2] += 0.5 / shrink - 0.5  # pixels are counted from their centres
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(gray, from_image, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE), to_image


def read_mean_shape(model: Path) -> np.ndarray:
    """The shape that the predictor starts from, in its box: the first matrix of dlib's model file.

    Returns:
        [float64, shape=(68, 2)].
    Raises:
        ValueError: the file is no shape predictor of 68 points.
    Source: dlib's serialisation: an integer is one byte (sign bit, number of bytes) and its bytes, lowest first; a
        float is a mantissa and an exponent of two; a matrix is its two sizes, negated, and its values.
    """
    with model.open("rb") as file:

        def read(count: int) -> bytes:
            data = file.read(count)
            if len(data) < count:
                raise ValueError(f"{model} ends too early for a shape predictor")
            return data

        def integer() -> int:
            head = read(1)[0]
            value = int.from_bytes(read(head & 0x0F), "little")
            return -value if head & 0x80 else value

        if (integer(), abs(integer()), abs(integer())) != (1, 136, 1):  # version, rows, columns
            raise ValueError(f"{model} is no shape predictor of 68 points")
        return np.array([integer() * 2.0 ** integer() for _ in range(136)]).reshape(68, 2)


@functools.cache
def load_landmarker(model: Path) -> Landmarker:
    """The landmarker of a model file, loaded once a process (0.5 s, 100 MB)."""
    return Landmarker(model)
