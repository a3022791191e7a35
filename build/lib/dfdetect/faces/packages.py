"""The face detectors' networks as their packages have them, prepared for export and for a GPU. Imports torch."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from numpy.typing import NDArray
from retinaface.box_utils import decode, decode_landm
from retinaface.net import FPN, SSH, conv_bn, conv_dw
from retinaface.network import RetinaFace
from torch import Tensor, nn

from dfdetect.errors import UserError
from dfdetect.io import pretrained as weights

Array = NDArray[Any]
Network = Callable[..., list[Array]]

VARIANCES = [0.1, 0.2]
# What each RetinaFace was trained on: RGB less ImageNet's mean, divided by its deviation; BGR less a mean.
IMAGENET_MEAN, IMAGENET_STD = (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)
BGR_MEAN = (104.0, 117.0, 123.0)


class MtcnnInput(nn.Module):
    """One of MTCNN's networks: RGB of 0 to 255 [shape=(N, H, W, 3)] to its own outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        for name, module in list(network.named_children()):
            if isinstance(module, nn.PReLU):
                setattr(network, name, FastPReLU(module))

    def forward(self, images: Tensor) -> Any:
        return self.network((images.permute(0, 3, 1, 2) - 127.5) * 0.0078125)


class FastPReLU(nn.Module):
    """PReLU from operators that onnxruntime has vectorised: its own takes two to three times as long."""

    def __init__(self, module: nn.PReLU) -> None:
        super().__init__()
        self.weight = module.weight

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.reshape(-1, 1, 1) if x.ndim == 4 else self.weight
        return weight * x + (1 - weight) * torch.relu(x)


class RetinaFaceDecoded(nn.Module):
    """RetinaFace with the package's decoding behind it, of the anchors that pass a score.

    Forward takes an image, RGB of 0 to 255 [uint8, shape=(H, W, 3)], the anchors of its size [shape=(A, 4)] and the
    lowest score [shape=()], and gives scores [shape=(K,)], boxes [shape=(K, 4)] and keypoints [shape=(K, 10)] in
    fractions of the image's sides.
    """

    def __init__(self, network: nn.Module, *, bgr: bool) -> None:
        super().__init__()
        self.network, self.bgr = network, bgr
        self.mean = nn.Parameter(torch.tensor(BGR_MEAN if bgr else IMAGENET_MEAN).reshape(3, 1, 1))
        self.scale = nn.Parameter(torch.tensor(IMAGENET_STD).reshape(3, 1, 1))

    def forward(self, image: Tensor, anchors: Tensor, score_threshold: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = image.permute(2, 0, 1)  # first of all: what follows is five times as slow along the last axis
        x = x.flip(0).float() - self.mean if self.bgr else (x.float() - self.mean) / self.scale
        offsets, logits, points = self.network(x[None])  # (1, A, 4), (1, A, 2), (1, A, 10)
        scores = torch.softmax(logits[0], dim=-1)[:, 1]
        rows = torch.nonzero(scores >= score_threshold)[:, 0]
        prior = anchors[rows]
        return scores[rows], decode(offsets[0][rows], prior, VARIANCES), decode_landm(points[0][rows], prior, VARIANCES)


class MobileNet(nn.Module):
    """MobileNetV1 of quarter width: maps of strides 8, 16, 32 with 64, 128, 256 channels."""

    def __init__(self) -> None:
        super().__init__()
        first = [conv_dw(8, 16, 1), conv_dw(16, 32, 2), conv_dw(32, 32, 1), conv_dw(32, 64, 2), conv_dw(64, 64, 1)]
        self.stage1 = nn.Sequential(conv_bn(3, 8, 2, leaky=0.1), *first)
        self.stage2 = nn.Sequential(conv_dw(64, 128, 2), *(conv_dw(128, 128, 1) for _ in range(5)))
        self.stage3 = nn.Sequential(conv_dw(128, 256, 2), conv_dw(256, 256, 1))

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        maps = OrderedDict()
        for number, stage in enumerate((self.stage1, self.stage2, self.stage3)):
            maps[str(number)] = x = stage(x)
        return maps


class MobileNetRetinaFace(RetinaFace):
    """The package's RetinaFace on the backbone that it lacks, under the key names of m2man/Pytorch_Retinaface."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.body = MobileNet()
        self.fpn = FPN([64, 128, 256], 64)
        self.ssh1, self.ssh2, self.ssh3 = SSH(64, 64), SSH(64, 64), SSH(64, 64)
        self.ClassHead = self._make_class_head(3, 64)
        self.BboxHead = self._make_bbox_head(3, 64)
        self.LandmarkHead = self._make_landmark_head(3, 64)


def build(name: str) -> nn.Module:
    """A network with its weights, ready for inference.

    Raises:
        UserError: the weights are nowhere or do not fit.
    """
    network: nn.Module
    if name == "retinaface-resnet50":
        layers = {"layer2": 1, "layer3": 2, "layer4": 3}
        network = RetinaFace("Resnet50", pretrained=False, in_channels=256, return_layers=layers, out_channels=256)
    elif name == "retinaface-mobilenet0.25":
        network = MobileNetRetinaFace()
    else:
        network = {"mtcnn-pnet": PNet, "mtcnn-rnet": RNet, "mtcnn-onet": ONet}[name](pretrained=False)
    path = weights.locate(name)
    try:
        network.load_state_dict(weights.load_state(path))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"{path} holds other weights than {name}'s: {first}") from None
    if isinstance(network, RetinaFace):
        network = RetinaFaceDecoded(network, bgr=isinstance(network, MobileNetRetinaFace))
    else:
        network = MtcnnInput(network)
    return network.eval().requires_grad_(requires_grad=False)


def export(name: str, path: Path) -> None:
    """Write a network as ONNX; the sizes of images and the numbers of crops and anchors stay open.

    Raises:
        UserError: the weights are nowhere or do not fit.
    """
    network = build(name)
    if isinstance(network, RetinaFaceDecoded):
        sizes = {"image": {0: "height", 1: "width"}, "anchors": {0: "anchors"}}
        example: tuple[Tensor, ...] = (torch.zeros(64, 96, 3, dtype=torch.uint8), torch.rand(252, 4), torch.tensor(0.0))
        inputs = ["image", "anchors", "score_threshold"]
    else:
        side = 24 if name == "mtcnn-rnet" else 48
        sizes = {"images": {0: "images", **({1: "height", 2: "width"} if name == "mtcnn-pnet" else {})}}
        example, inputs = (torch.zeros(2, side, side, 3),), ["images"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of itself, and that traced sizes may be constants: tests say not
        torch.onnx.export(
            network, example, str(path), input_names=inputs, dynamic_axes=sizes, opset_version=17, dynamo=False
        )


def on_gpu(name: str, device: str = "cuda") -> Network:
    """A network as a function of arrays, run by PyTorch on a GPU."""
    network = build(name).to(device)

    @torch.inference_mode()
    def run(*inputs: Array) -> list[NDArray[np.float32]]:
        outputs = network(*(torch.as_tensor(each, device=device) for each in inputs))
        return [each.cpu().numpy() for each in outputs]

    return run
