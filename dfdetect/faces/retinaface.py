"""RetinaFace with a ResNet-50 or a MobileNet-0.25 backbone.

Source: Deng et al. 2020 (arXiv 1905.00641); pyramid and context modules from the package retinaface-pytorch. The
backbones and heads are restated here under the weights' key names, because the package takes them from torchvision,
whose import costs a worker five seconds. Batch normalisation is folded into the convolutions, anchors are computed once
a frame size, and only anchors that pass the score are decoded.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from retinaface.net import FPN, SSH, conv_bn, conv_dw
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dfdetect.errors import UserError
from dfdetect.faces.detectors import Detections, FinderSettings, Floats, by_size, suppress
from dfdetect.media.frames import Rgb
from dfdetect.runtime.threads import choose_device

STEPS = (8, 16, 32)
MIN_SIZES = ((16, 32), (64, 128), (256, 512))
VARIANCES = (0.1, 0.2)
ANCHORS = 2  # a place
# Only the best anchors are decoded: a face gives a few dozen.
MAX_CANDIDATES = 2000
# Pixels that go through the network at once on a CPU. Small frames gain by larger batches (8 of 160 x 90 px take two
# thirds of the time of 2, four times); large ones only take memory.
PIXELS_AT_ONCE = 2 * 640 * 640
# A face with a longer side of this many px in a shrunk frame needs no larger one. On real clips the largest face's box
# agrees with that of a search at 1280 px to IoU 0.90 on average (0.92 from 640 px), for a fifth of the time.
CLEAR_FACE = 40


class _Bottleneck(nn.Module):
    """ResNet's block of three convolutions (stride on the 3x3)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + self.downsample(x))


class _ResNet50(nn.Module):
    """Maps of strides 8, 16, 32 with 512, 1024, 2048 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._layer(64, 64, 3, 1)
        self.layer2 = self._layer(256, 128, 4, 2)
        self.layer3 = self._layer(512, 256, 6, 2)
        self.layer4 = self._layer(1024, 512, 3, 2)

    @staticmethod
    def _layer(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
        first = _Bottleneck(inputs, width, stride)
        return nn.Sequential(first, *(_Bottleneck(4 * width, width, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        x = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))  # (B, 256, H/4, W/4)
        maps = OrderedDict()
        for number, layer in enumerate((self.layer2, self.layer3, self.layer4)):
            maps[str(number)] = x = layer(x)
        return maps


class _MobileNet(nn.Module):
    """MobileNetV1 of quarter width: maps of strides 8, 16, 32 with 64, 128, 256 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            conv_bn(3, 8, 2, leaky=0.1),
            conv_dw(8, 16, 1),
            conv_dw(16, 32, 2),
            conv_dw(32, 32, 1),
            conv_dw(32, 64, 2),
            conv_dw(64, 64, 1),
        )
        self.stage2 = nn.Sequential(conv_dw(64, 128, 2), *(conv_dw(128, 128, 1) for _ in range(5)))
        self.stage3 = nn.Sequential(conv_dw(128, 256, 2), conv_dw(256, 256, 1))

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        maps = OrderedDict()
        for number, stage in enumerate((self.stage1, self.stage2, self.stage3)):
            maps[str(number)] = x = stage(x)
        return maps


class _Head(nn.Module):
    """A 1x1 convolution that gives `values` numbers an anchor."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(channels, ANCHORS * values, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1x1(x).permute(0, 2, 3, 1)  # (B, h, w, anchors * values)
        return y.reshape(len(y), -1, self.values)  # (B, h * w * anchors, values)


class RetinaFace(nn.Module):
    """The network: an image batch to class logits, box offsets and keypoint offsets of every anchor."""

    def __init__(self, body: nn.Module, channels: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.body = body
        self.fpn = FPN(list(channels), width)
        self.ssh1, self.ssh2, self.ssh3 = SSH(width, width), SSH(width, width), SSH(width, width)
        self.ClassHead = nn.ModuleList(_Head(width, 2) for _ in STEPS)
        self.BboxHead = nn.ModuleList(_Head(width, 4) for _ in STEPS)
        self.LandmarkHead = nn.ModuleList(_Head(width, 10) for _ in STEPS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) to (B, A, 2), (B, A, 4), (B, A, 10)."""
        maps = self.fpn(self.body(x))
        maps = [self.ssh1(maps[0]), self.ssh2(maps[1]), self.ssh3(maps[2])]
        logits, offsets, points = (
            torch.cat([head(each) for head, each in zip(heads, maps, strict=True)], dim=1)
            for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)
        )
        return logits, offsets, points


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy for inference in which every batch normalisation right after a convolution is part of it."""
    module = copy.deepcopy(module).eval()
    for parent in module.modules():
        children = list(parent.named_children())
        for (name, child), (next_name, following) in pairwise(children):
            if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(child, following))
                setattr(parent, next_name, nn.Identity())
    return module


@lru_cache(maxsize=8)
def anchors(height: int, width: int) -> Floats:
    """Centre x, y and side of every anchor, in the order of the network's outputs (px) [shape=(A, 3)]."""
    parts = []
    for step, sizes in zip(STEPS, MIN_SIZES, strict=True):
        rows, columns = -(-height // step), -(-width // step)
        y, x, size = np.meshgrid(np.arange(rows), np.arange(columns), sizes, indexing="ij")
        parts.append(np.stack([(x + 0.5) * step, (y + 0.5) * step, size], axis=-1).reshape(-1, 3))
    return np.concatenate(parts).astype(np.float32)


def decode(prior: Floats, offsets: Floats, points: Floats) -> tuple[Floats, Floats]:
    """Boxes [shape=(N, 4)] and keypoints [shape=(N, 5, 2)] in px from anchors and the network's offsets."""
    place, side = prior[:, :2], prior[:, 2:]
    centre = place + offsets[:, :2] * VARIANCES[0] * side
    half = side * np.exp(offsets[:, 2:] * VARIANCES[1]) / 2
    keypoints = place[:, None] + points.reshape(-1, 5, 2) * VARIANCES[0] * side[:, None]
    return np.concatenate([centre - half, centre + half], axis=1), keypoints


class _RetinaFaceFinder:
    """Common to both backbones: `_mean` and `_scale` (RGB) and whether the weights expect BGR."""

    _mean: tuple[float, float, float]
    _scale: tuple[float, float, float]
    _bgr: bool

    def __init__(self, settings: FinderSettings, network: RetinaFace, state: dict[str, Tensor]) -> None:
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise UserError(f"The RetinaFace weights do not fit {type(self).__name__}: {first}") from None
        self._settings = settings
        self._device = choose_device(settings.device, "faces.device")
        self._dtype = torch.float16 if self._device == "cuda" else torch.float32
        self.batch_size = 32 if self._device == "cuda" else 8
        folded = fold_batch_norm(network)
        if self._bgr:  # the first convolution takes RGB then, and no image needs turning
            first_conv = next(m for m in folded.modules() if isinstance(m, nn.Conv2d))
            first_conv.weight.data = first_conv.weight.data.flip(1)
        self._network = folded.to(self._device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        shape = (1, 3, 1, 1)
        self._shift = torch.tensor(self._mean, device=self._device).view(shape)
        self._factor = (1 / torch.tensor(self._scale, device=self._device)).view(shape)

    def find(self, frames: Sequence[Rgb], *, thorough: bool = False) -> list[Detections]:
        """See Finder."""
        return by_size(frames, self.batch_size, self._search if thorough else self._find)

    def _find(self, frames: list[Rgb]) -> list[Detections]:
        """A quarter of the size first, a sixteenth of the work; larger where that leaves a doubt."""
        height, width = frames[0].shape[:2]
        found = [Detections.none()] * len(frames)
        doubtful = list(range(len(frames)))
        for shrink in (4, 2, 1):
            size = (width // shrink, height // shrink)
            if shrink > 1 and min(size) < CLEAR_FACE:
                continue
            small = [frames[i] if shrink == 1 else _resize(frames[i], size) for i in doubtful]
            scale = np.array([width / size[0], height / size[1]], np.float32)
            for index, each in zip(doubtful, self._search(small), strict=True):
                found[index] = replace(each.scaled(scale), thorough=shrink == 1)
            doubtful = [index for index in doubtful if not _clear(found[index], shrink)]
            if not doubtful:
                break
        return found

    def _search(self, frames: list[Rgb]) -> list[Detections]:
        """Faces of all sizes that the frames' own size shows, as many frames at once as fit."""
        height, width = frames[0].shape[:2]
        most = len(frames) if self._device == "cuda" else max(1, PIXELS_AT_ONCE // (height * width))
        return [found for start in range(0, len(frames), most) for found in self._pass(frames[start : start + most])]

    @torch.inference_mode()
    def _pass(self, frames: list[Rgb]) -> list[Detections]:
        batch = torch.from_numpy(np.stack(frames)).to(self._device).permute(0, 3, 1, 2)  # (B, 3, H, W)
        x = ((batch.float() - self._shift) * self._factor).to(self._dtype)
        logits, offsets, points = self._network(x)
        scores = torch.sigmoid((logits[..., 1] - logits[..., 0]).float())  # softmax of two, (B, A)
        height, width = frames[0].shape[:2]
        return [self._select(s, o, p, height, width) for s, o, p in zip(scores, offsets, points, strict=True)]

    def _select(self, scores: Tensor, offsets: Tensor, points: Tensor, height: int, width: int) -> Detections:
        rows = torch.nonzero(scores >= self._settings.score_threshold).flatten()
        if len(rows) > MAX_CANDIDATES:
            rows = rows[torch.argsort(scores[rows], descending=True, stable=True)[:MAX_CANDIDATES]]
        prior = anchors(height, width)[rows.cpu().numpy()]
        boxes, keypoints = decode(prior, _array(offsets[rows]), _array(points[rows]))
        found = Detections(boxes, _array(scores[rows]), keypoints)
        found = found.take(suppress(found.boxes, found.scores, self._settings.nms_threshold))
        sides = np.max(found.boxes[:, 2:] - found.boxes[:, :2], axis=1, initial=0)
        return found.take(sides >= self._settings.min_face_ratio * max(height, width))


def _clear(found: Detections, shrink: int) -> bool:
    """Is every face of a search in a shrunk frame large there, so that a larger frame would not find it better?"""
    sides = np.max(found.boxes[:, 2:] - found.boxes[:, :2], axis=1, initial=0)
    return len(found) > 0 and bool(np.all(sides >= shrink * CLEAR_FACE))


def _resize(frame: Rgb, size: tuple[int, int]) -> Rgb:
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _array(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()


class ResNet50Finder(_RetinaFaceFinder):
    """The larger one: RGB, normalised as for ImageNet."""

    _mean = (0.485 * 255, 0.456 * 255, 0.406 * 255)
    _scale = (0.229 * 255, 0.224 * 255, 0.225 * 255)
    _bgr = False

    def __init__(self, settings: FinderSettings, state: dict[str, Tensor]) -> None:
        super().__init__(settings, RetinaFace(_ResNet50(), (512, 1024, 2048), 256), state)


class MobileNetFinder(_RetinaFaceFinder):
    """The small one: BGR minus a mean, not divided."""

    _mean = (123.0, 117.0, 104.0)
    _scale = (1.0, 1.0, 1.0)
    _bgr = True

    def __init__(self, settings: FinderSettings, state: dict[str, Tensor]) -> None:
        super().__init__(settings, RetinaFace(_MobileNet(), (64, 128, 256), 64), state)
