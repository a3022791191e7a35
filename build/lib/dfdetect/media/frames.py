"""One decoded frame: converted to RGB late, and only as much of it as is asked for.

A 1080p frame costs 9 ms to convert whole, 2 ms to convert shrunk to 640 pixels and 2 ms to cut a face out of; so the
decoder's planes are kept instead, at half the memory of RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Box = tuple[int, int, int, int]

# Bit-exact flags: swscale then computes the same bytes with every instruction set.
_EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_SAME_SIZE = Interpolation.BILINEAR | _EXACT
_SHRINK = Interpolation.AREA | _EXACT
_ENLARGE = Interpolation.BICUBIC | _EXACT
# Formats whose three planes can be cut before conversion; all else is converted whole.
_PLANAR_420 = frozenset({"yuv420p", "yuvj420p"})
# Chroma interpolation looks this far across the border of a cut (px, even).
_MARGIN = 4


@dataclass(frozen=True)
class Orientation:
    """How stored pixels become displayed ones: rows and columns are swapped, then x and y run the other way.

    Each of the eight ways to lay an image on its sides is one of these.
    """

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def rotation_deg(self) -> int:
        """The turn in it, clockwise; 0 for a mirror image that stands upright or on its head."""
        if self.transposed:
            return 270 if self.flip_y else 90
        return 180 if self.flip_x and self.flip_y else 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Displayed width and height of stored ones, or the other way round."""
        return (height, width) if self.transposed else (width, height)

    def upright(self, pixels: Rgb) -> Rgb:
        """Stored pixels as displayed [shape=(H, W, 3) -> (H', W', 3)]."""
        if self == UPRIGHT:
            return pixels
        turned = pixels.swapaxes(0, 1) if self.transposed else pixels
        return np.ascontiguousarray(turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])

    def stored(self, box: Box, width: int, height: int) -> Box:
        """A displayed box in stored pixels.

        Args:
            box: x0, y0, x1, y1 as displayed (px).
            width, height: of the whole, as displayed (px).
        """
        x0, y0, x1, y1 = box
        if self.flip_x:
            x0, x1 = width - x1, width - x0
        if self.flip_y:
            y0, y1 = height - y1, height - y0
        return (y0, x0, y1, x1) if self.transposed else (x0, y0, x1, y1)


UPRIGHT = Orientation()


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Args:
        index: 0 is the first frame that decodes.
        time_s: s since the first frame that decodes; None where neither timestamps nor a frame rate are known.
        picture: its pixels as displayed.
    """

    index: int
    time_s: float | None
    picture: RgbPicture | DecodedPicture

    @property
    def width(self) -> int:
        """As displayed (px)."""
        return self.picture.size[0]

    @property
    def height(self) -> int:
        """As displayed (px)."""
        return self.picture.size[1]

    @property
    def rgb(self) -> Rgb:
        """The whole frame, converted anew at each call [shape=(H, W, 3)]."""
        return self.picture.rgb()

    def patch(self, box: Box) -> Rgb:
        """A part of the frame [shape=(y1-y0, x1-x0, 3)].

        Args:
            box: x0, y0, x1, y1 in px, inside the frame and not empty.
        Raises:
            ValueError: it is not.
        """
        self._check(box)
        return self.picture.patch(box)

    def resized(self, box: Box, width: int, height: int) -> Rgb:
        """A part of the frame at another size, shrunk by area averaging or enlarged by cubic interpolation.

        Args:
            box: x0, y0, x1, y1 in px, inside the frame and not empty. Even corners are fastest.
            width, height: of the result (px).
        Returns:
            RGB [shape=(height, width, 3)].
        Raises:
            ValueError: the box is empty or leaves the frame.
        """
        self._check(box)
        return self.picture.resized(box, width, height)

    def _check(self, box: Box) -> None:
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height):
            raise ValueError(f"box {box} is empty or leaves the frame of {self.width}x{self.height}")

    def shrunk(self, long_side: int) -> Rgb:
        """The frame with its long side at most `long_side` px, never enlarged; its proportions kept to the pixel."""
        width, height = shrunk_size(self.width, self.height, long_side)
        if (width, height) == self.picture.size:
            return self.rgb
        return self.picture.resized((0, 0, self.width, self.height), width, height)


def shrunk_size(width: int, height: int, long_side: int) -> tuple[int, int]:
    """Width and height with the longer at most `long_side` (px); the shorter is rounded, at least 1."""
    longest = max(width, height)
    if longest <= long_side:
        return width, height
    return max(1, round(width * long_side / longest)), max(1, round(height * long_side / longest))


class RgbPicture:
    """A frame that is RGB already (an image file)."""

    def __init__(self, pixels: Rgb) -> None:
        self._pixels = pixels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height (px)."""
        return self._pixels.shape[1], self._pixels.shape[0]

    def rgb(self) -> Rgb:
        """The pixels themselves, not a copy."""
        return self._pixels

    def patch(self, box: Box) -> Rgb:
        """A view of a part."""
        x0, y0, x1, y1 = box
        return self._pixels[y0:y1, x0:x1]

    def resized(self, box: Box, width: int, height: int) -> Rgb:
        """A part at another size."""
        return _resize(self.patch(box), width, height)


class DecodedPicture:
    """A frame as FFmpeg decoded it.

    Args:
        frame: from PyAV.
        orientation: what displays it upright.
    """

    def __init__(self, frame: VideoFrame, orientation: Orientation) -> None:
        self._frame, self._orientation = frame, orientation

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as displayed (px)."""
        return self._orientation.size(self._frame.width, self._frame.height)

    def rgb(self) -> Rgb:
        """The whole frame."""
        return self._orientation.upright(self._convert((0, 0, self._frame.width, self._frame.height)))

    def patch(self, box: Box) -> Rgb:
        """A part, cut from the planes before conversion where the format allows it."""
        return self._orientation.upright(self._convert(self._orientation.stored(box, *self.size)))

    def resized(self, box: Box, width: int, height: int) -> Rgb:
        """A part at another size; cut, converted and resized in one step where the format and the box allow it."""
        stored = self._orientation.stored(box, *self.size)
        if not self._cuttable() or any(corner % 2 for corner in stored):
            return _resize(self.patch(box), width, height)
        width, height = self._orientation.size(width, height)
        whole = stored == (0, 0, self._frame.width, self._frame.height)
        part = self._frame if whole else _cut(self._frame, stored)
        shrinks = width < part.width or height < part.height
        return self._orientation.upright(_reformat(part, _SHRINK if shrinks else _ENLARGE, width, height))

    def _cuttable(self) -> bool:
        frame = self._frame
        even = frame.width % 2 == 0 and frame.height % 2 == 0
        return frame.format.name in _PLANAR_420 and even and frame.planes[0].line_size > 0

    def _convert(self, box: Box) -> Rgb:
        frame = self._frame
        x0, y0, x1, y1 = box
        if not self._cuttable():
            return np.ascontiguousarray(_reformat(frame, _SAME_SIZE)[y0:y1, x0:x1])
        left, top = max(0, x0 - _MARGIN) & ~1, max(0, y0 - _MARGIN) & ~1
        right, bottom = min(frame.width, x1 + _MARGIN + 1) & ~1, min(frame.height, y1 + _MARGIN + 1) & ~1
        pixels = _reformat(_cut(frame, (left, top, right, bottom)), _SAME_SIZE)
        return np.ascontiguousarray(pixels[y0 - top : y1 - top, x0 - left : x1 - left])


# One converter a thread would be faster still; making one costs microseconds against milliseconds of conversion.
def _reformat(frame: VideoFrame, how: Interpolation, width: int | None = None, height: int | None = None) -> Rgb:
    small = VideoReformatter().reformat(frame, width=width, height=height, format="rgb24", interpolation=how, threads=1)
    return np.asarray(small.to_ndarray(), np.uint8)


def _resize(pixels: Rgb, width: int, height: int) -> Rgb:
    shrinks = width < pixels.shape[1] or height < pixels.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)


def _cut(frame: VideoFrame, box: Box) -> VideoFrame:
    """A part of a 4:2:0 frame; the box has even corners. Colour tags are carried over.

    The siting of the chroma samples cannot be, so that even the whole frame goes through here: a patch then has the
    bytes that the whole has at the same place.
    """
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    packed = np.empty((height * 3 // 2, width), np.uint8)
    packed[:height] = _plane(frame, 0)[y0:y1, x0:x1]
    chroma = packed[height:].reshape(2, height // 2, width // 2)
    for index in (0, 1):
        chroma[index] = _plane(frame, 1 + index)[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2]
    part = VideoFrame.from_ndarray(packed, format=frame.format.name)
    part.colorspace, part.color_range = frame.colorspace, frame.color_range
    return part


def _plane(frame: VideoFrame, index: int) -> NDArray[np.uint8]:
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
