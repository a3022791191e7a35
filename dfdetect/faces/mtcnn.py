"""MTCNN: three small networks, each refining what the former proposes.

Source: Zhang et al. 2016 (arXiv 1604.02878); weights and constants as in the package facenet-pytorch. Restated for
speed: frames of a batch share every network call, crops are cut with OpenCV, the input's normalisation is part of the
first convolution, and all that is per box is NumPy. The package itself is not imported (it brings torchvision along).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dfdetect.errors import UserError
from dfdetect.faces.detectors import Detections, FinderSettings, Floats, by_size, suppress_each
from dfdetect.media.frames import Rgb
from dfdetect.runtime.threads import choose_device

PYRAMID_FACTOR = 0.709
PROPOSAL_SCORE, REFINED_SCORE = 0.6, 0.7
SAME_FACE_IOU = 0.8  # after the second network: only near copies are dropped
# A first search looks for faces of twice the smallest size asked for. Where every face that it finds has three times
# that size, smaller ones are not looked for.
LARGE_FACES, CLEAR_FACES = 2, 3
STRIDE, CELL = 2, 12  # of the proposal network (px)
CROP_PIXELS = 64 * 24 * 24  # of a call's crops: what they become stays in the processor's cache


def _convolve(x: Tensor, state: dict[str, Tensor], number: int) -> Tensor:
    """Convolution `number` and PReLU."""
    x = F.conv2d(x, state[f"conv{number}.weight"], state[f"conv{number}.bias"])
    return F.prelu(x, state[f"prelu{number}.weight"])


def pool2(x: Tensor) -> Tensor:
    """The largest of 2 x 2, every 2 px; the last window may be partial."""
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


def pool3(x: Tensor) -> Tensor:
    """The largest of 3 x 3, every 2 px; the last window may be partial.

    As max_pool2d, which takes three times as long: it also notes where each value came from.
    """
    for _ in range(2):  # down the rows, then across
        even, odd = x[:, :, 0::2], x[:, :, 1::2]
        best = torch.maximum(even[:, :, : odd.shape[2]], odd)
        third = even[:, :, 1 : odd.shape[2] + 1]
        inner = best[:, :, : third.shape[2]]
        torch.maximum(inner, third, out=inner)
        x = best.transpose(2, 3)
    return x


def _dense(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return F.linear(x, state[f"dense{name}.weight"], state[f"dense{name}.bias"])


def _face_score(logits: Tensor) -> Tensor:
    """The second of two softmax outputs (dim 1)."""
    return torch.sigmoid(logits[:, 1] - logits[:, 0])


def propose(x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W) to face scores (B, h, w) and box corrections (B, 4, h, w), one place every 2 px."""
    x = pool2(_convolve(x, state, 1))
    x = _convolve(_convolve(x, state, 2), state, 3)
    logits = F.conv2d(x, state["conv4_1.weight"], state["conv4_1.bias"])
    return _face_score(logits), F.conv2d(x, state["conv4_2.weight"], state["conv4_2.bias"])


def refine(x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(N, 3, 24, 24) to face scores (N,) and box corrections (N, 4)."""
    x = pool3(_convolve(x, state, 1))
    x = pool3(_convolve(x, state, 2))
    x = _convolve(x, state, 3)  # (N, 64, 3, 3)
    x = x.permute(0, 3, 2, 1).flatten(1)  # the weights' order: column, row, channel
    x = F.prelu(_dense(x, state, "4"), state["prelu4.weight"])
    return _face_score(_dense(x, state, "5_1")), _dense(x, state, "5_2")


def finish(x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 3, 48, 48) to face scores (N,), box corrections (N, 4) and keypoints, five x then five y (N, 10)."""
    x = pool3(_convolve(x, state, 1))
    x = pool3(_convolve(x, state, 2))
    x = pool2(_convolve(x, state, 3))
    x = _convolve(x, state, 4)  # (N, 128, 3, 3)
    x = x.permute(0, 3, 2, 1).flatten(1)
    x = F.prelu(_dense(x, state, "5"), state["prelu5.weight"])
    return _face_score(_dense(x, state, "6_1")), _dense(x, state, "6_2"), _dense(x, state, "6_3")


def _take_raw_pixels(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fold the normalisation (x - 127.5) / 128 into the first convolution, which has no padding."""
    weight = state["conv1.weight"] / 128
    bias = state["conv1.bias"] - 127.5 * weight.sum(dim=(1, 2, 3))
    return {**state, "conv1.weight": weight, "conv1.bias": bias}


def _widen(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the first convolution channels of zeros, up to a multiple of 16: pooling what does not fill a vector of the
    processor takes twice as long."""
    more = -len(state["conv1.bias"]) % 16
    wider = {name: F.pad(state[name], (0, more)) for name in ("conv1.bias", "prelu1.weight")}
    wider["conv1.weight"] = F.pad(state["conv1.weight"], (0, 0) * 3 + (0, more))
    wider["conv2.weight"] = F.pad(state["conv2.weight"], (0, 0) * 2 + (0, more))
    return {**state, **wider}


def pyramid(height: int, width: int, min_face: float) -> list[float]:
    """Scales at which a face of `min_face` px and larger ones fill the proposal network's 12 px."""
    scale = CELL / min_face
    scales = []
    while min(height, width) * scale >= CELL:
        scales.append(scale)
        scale *= PYRAMID_FACTOR
    return scales


def squared(boxes: Floats) -> Floats:
    """Boxes made square around their centres, by the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def corrected(boxes: Floats, shifts: Floats) -> Floats:
    """Boxes moved by the networks' corrections, which are fractions of the box's sides."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    return np.asarray(boxes + shifts * sides, np.float32)


class MtcnnFinder:
    """See Finder."""

    batch_size = 32

    def __init__(
        self, settings: FinderSettings, pnet: dict[str, Tensor], rnet: dict[str, Tensor], onet: dict[str, Tensor]
    ) -> None:
        self._settings = settings
        self._device = choose_device(settings.device, "faces.device")
        if "conv4_2.bias" not in pnet or "dense5_2.bias" not in rnet or "dense6_3.bias" not in onet:
            raise UserError("The MTCNN weights do not fit: they must be facenet-pytorch's pnet, rnet and onet.")
        self._nets = [
            {name: _placed(value, self._device) for name, value in _take_raw_pixels(state).items()}
            for state in (_widen(pnet), rnet, onet)
        ]

    def find(self, frames: Sequence[Rgb], *, thorough: bool = False) -> list[Detections]:
        """See Finder."""
        return by_size(frames, self.batch_size, self._find_all if thorough else self._find)

    def _find_all(self, frames: list[Rgb]) -> list[Detections]:
        return self._search(halved(frames), self._smallest(frames))

    def _smallest(self, frames: list[Rgb]) -> float:
        return max(CELL, self._settings.min_face_ratio * max(frames[0].shape[:2]))

    def _find(self, frames: list[Rgb]) -> list[Detections]:
        """Large faces first, a quarter of the work; all sizes where that leaves a doubt."""
        levels = halved(frames)
        smallest = self._smallest(frames)
        found = [replace(each, thorough=False) for each in self._search(levels, LARGE_FACES * smallest)]
        clear = CLEAR_FACES * smallest
        doubtful = [index for index, each in enumerate(found) if not len(each) or _shortest(each) < clear]
        if doubtful:
            parts = [[level[index] for index in doubtful] for level in levels]
            for index, each in zip(doubtful, self._search(parts, smallest), strict=True):
                found[index] = each
        return found

    @torch.inference_mode()
    def _search(self, levels: list[list[Rgb]], min_face: float) -> list[Detections]:
        boxes, owner = self._proposals(levels, min_face)
        boxes, owner = self._second(levels, boxes, owner)
        return self._third(levels, boxes, owner)

    def _proposals(self, levels: list[list[Rgb]], min_face: float) -> tuple[Floats, NDArray[np.intp]]:
        """Square boxes of all frames [shape=(N, 4)] and the frame that each is of [shape=(N,)]."""
        height, width = levels[0][0].shape[:2]
        found, owners = [np.zeros((0, 9), np.float32)], [np.zeros(0, np.intp)]
        for scale in pyramid(height, width, min_face):
            size = (int(width * scale + 1), int(height * scale + 1))
            small = np.stack([_resize(frame, size) for frame in levels[int(_level(1 / scale, len(levels)))]])
            scores, shifts = (_array(each) for each in propose(self._tensor(small), self._nets[0]))
            owner, rows, columns = np.nonzero(scores >= PROPOSAL_SCORE)
            score = scores[owner, rows, columns]
            corner = np.stack([columns, rows], axis=1) * STRIDE
            cell = np.floor(np.concatenate([corner + 1, corner + CELL], axis=1) / scale).astype(np.float32)
            kept = suppress_each(cell, score, owner, 0.5)
            # box (4), score (1), corrections (4)
            found.append(np.column_stack([cell, score, shifts[owner, :, rows, columns]])[kept])
            owners.append(owner[kept])
        places, owner = np.concatenate(found), np.concatenate(owners)
        kept = suppress_each(places[:, :4], places[:, 4], owner, 0.7)
        places, owner = places[kept], owner[kept]
        sides = np.tile(places[:, 2:4] - places[:, :2], 2)
        return squared(places[:, :4] + places[:, 5:] * sides), owner

    def _second(
        self, levels: list[list[Rgb]], boxes: Floats, owner: NDArray[np.intp]
    ) -> tuple[Floats, NDArray[np.intp]]:
        boxes, owner, crops = cut(levels, boxes, owner, 24)
        scores, shifts = self._run(refine, 1, crops)
        good = scores > REFINED_SCORE
        boxes, owner, scores, shifts = boxes[good], owner[good], scores[good], shifts[good]
        # Corrected before they are compared (the original compares first): what converges on one face is finished once.
        boxes = squared(corrected(boxes, shifts))
        kept = suppress_each(boxes, scores, owner, SAME_FACE_IOU)
        return boxes[kept], owner[kept]

    def _third(self, levels: list[list[Rgb]], boxes: Floats, owner: NDArray[np.intp]) -> list[Detections]:
        boxes, owner, crops = cut(levels, boxes, owner, 48)
        scores, shifts, points = self._run(finish, 2, crops)
        good = scores >= self._settings.score_threshold
        boxes, owner, scores, shifts, points = boxes[good], owner[good], scores[good], shifts[good], points[good]
        sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        # fractions of the box before its correction, five x then five y, to (N, 5, 2)
        keypoints = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides + boxes[:, None, :2] - 1
        found = Detections(corrected(boxes, shifts), scores, np.asarray(keypoints, np.float32))
        kept = suppress_each(found.boxes, scores, owner, 0.7, of_smaller=True)
        return [found.take(kept[owner[kept] == index]) for index in range(len(levels[0]))]

    def _run(
        self, network: Callable[[Tensor, dict[str, Tensor]], tuple[Tensor, ...]], number: int, crops: NDArray[np.uint8]
    ) -> tuple[Floats, ...]:
        """A network over all crops, some a call."""
        most = CROP_PIXELS // (crops.shape[1] * crops.shape[2])
        starts = range(0, max(1, len(crops)), most)
        parts = [network(self._tensor(crops[i : i + most]), self._nets[number]) for i in starts]
        return tuple(_array(torch.cat(each)) for each in zip(*parts, strict=True))

    def _tensor(self, pixels: NDArray[np.uint8]) -> Tensor:
        """(B, H, W, 3) uint8 to (B, 3, H, W) float, channels last in memory: pooling is far faster that way."""
        return torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).float()


def halved(frames: list[Rgb]) -> list[list[Rgb]]:
    """The frames, and those of half, quarter, ... the size: shrinking further from these costs a fraction."""
    levels = [frames]
    while min(levels[-1][0].shape[:2]) >= 4 * CELL:
        height, width = levels[-1][0].shape[:2]
        levels.append([_resize(frame, (width // 2, height // 2)) for frame in levels[-1]])
    return levels


def _level(shrinking: ArrayLike, levels: int) -> NDArray[np.intp]:
    """The smallest level that is still 1.5 times the size that is wanted: the exponent of two in shrinking / 1.5."""
    return np.clip(np.frexp(np.asarray(shrinking) / 1.5)[1].astype(np.intp) - 1, 0, levels - 1)


def cut(
    levels: list[list[Rgb]], boxes: Floats, owner: NDArray[np.intp], side: int
) -> tuple[Floats, NDArray[np.intp], NDArray[np.uint8]]:
    """The part of each box that lies in its frame, resized to a square; boxes outside are left out.

    Args:
        levels: the frames at full size, half, ... [see halved].
        boxes: x0, y0, x1, y1, pixels counted from 1 as in the original [shape=(N, 4)].
        owner: the frame of each [shape=(N,)].
        side: of the crops (px).
    Returns:
        the boxes [shape=(K, 4)] and owners [shape=(K,)] that remain, and their crops [shape=(K, side, side, 3)].
    """
    height, width = levels[0][0].shape[:2]
    corners = np.trunc(boxes).astype(np.int64)
    corners[:, :2] = np.maximum(corners[:, :2], 1) - 1
    corners[:, 2:] = np.minimum(corners[:, 2:], (width, height))
    inside = np.flatnonzero((corners[:, 2:] > corners[:, :2]).all(axis=1))
    boxes, owner, corners = boxes[inside], owner[inside], corners[inside]
    level = _level(np.min(corners[:, 2:] - corners[:, :2], axis=1) / side, len(levels))[:, None]
    low, high = corners[:, :2] >> level, (corners[:, 2:] + (1 << level) - 1) >> level
    crops = np.empty((len(inside), side, side, 3), np.uint8)
    places = np.hstack([level, owner[:, None], low, high]).tolist()
    for crop, (shrunk, frame, x0, y0, x1, y1) in zip(crops, places, strict=True):
        cv2.resize(levels[shrunk][frame][y0:y1, x0:x1], (side, side), crop, interpolation=cv2.INTER_AREA)
    return boxes, owner, crops


def _shortest(found: Detections) -> float:
    """The longer side of the smallest face (px)."""
    return float(np.max(found.boxes[:, 2:] - found.boxes[:, :2], axis=1).min())


def _resize(frame: Rgb, size: tuple[int, int]) -> Rgb:
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _placed(value: Tensor, device: str) -> Tensor:
    value = value.to(device)
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def _array(values: Tensor) -> Floats:
    return values.cpu().numpy()
