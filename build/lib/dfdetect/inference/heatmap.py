"""Where a detector looks: Grad-CAM, and the reconstruction error of detectors that reconstruct their input."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfdetect.data.batches import to_inputs
from dfdetect.data.crops import CropDataset
from dfdetect.data.index import CropIndex
from dfdetect.data.sampler import BatchPlan
from dfdetect.detectors.base import Detector
from dfdetect.inference.scoring import Scorer


def grad_cam(detector: Detector, batch: dict[str, Tensor]) -> Tensor:
    """Where a picture holds evidence for "fake".

    The map is that of last_map: its channels weighed by the mean gradient of the log-odds of fake, the negative part
    cut off, scaled to a maximum of 1 (0 everywhere without evidence for "fake").

    Args:
        detector: in evaluation mode; a classifier of pictures.
        batch: its inputs, without label.
    Returns:
        [shape=(B, H, W)] in [0, 1], of the pictures' size.
    Source: Selvaraju et al., Grad-CAM (ICCV 2017).
    """
    _, maps, slope = last_map(detector, batch)
    weights = slope.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
    cam = F.relu((weights * maps).sum(dim=1, keepdim=True)).detach()  # (B, 1, h, w)
    cam = F.interpolate(cam, size=batch["image"].shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    return cam / cam.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(cam.dtype).tiny)


def last_map(detector: Detector, batch: dict[str, Tensor]) -> tuple[str, Tensor, Tensor]:
    """The last convolution of the backbone that the score depends on and that still has a height and a width.

    Of a detector without such a backbone it is the last of all: side branches, which may come later, see less.

    Args:
        detector, batch: as of grad_cam.
    Returns:
        the convolution's name, its output and the gradient of the log-odds of fake by it, each [shape=(B, C, h, w)].
    """
    names, seen = list[str](), list[Tensor]()

    def keep(name: str, output: Tensor) -> None:
        if output.ndim == 4 and min(output.shape[-2:]) > 1 and output.shape[0] == len(batch["image"]):
            names.append(name)
            seen.append(output)

    frozen = {name: parameter.requires_grad for name, parameter in detector.named_parameters()}
    with ExitStack() as hooks, torch.enable_grad():
        for name, module in detector.named_modules():
            if isinstance(module, nn.Conv2d):
                hook = module.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
                hooks.callback(hook.remove)
        for parameter in detector.parameters():
            parameter.requires_grad_(True)  # or a map of a frozen detector would have no gradient
        output = detector({name: value.clone() for name, value in batch.items()})
        logits = output["logits"].float()
        odds = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        gradients = torch.autograd.grad(odds.sum(), seen, allow_unused=True)
    for name, parameter in detector.named_parameters():
        parameter.requires_grad_(frozen[name])
    found = [each for each in zip(names, seen, gradients, strict=True) if each[2] is not None]
    return ([each for each in found if each[0].startswith(detector.backbone_prefixes)] or found)[-1]


def explain(scorer: Scorer, index: CropIndex, rows: list[int]) -> list[dict[str, np.ndarray]]:
    """Pictures that explain some crops.

    Args:
        scorer: of a classifier of pictures.
        index: the crops.
        rows: which of them.
    Returns:
        Of each readable row, by name: `picture` RGB uint8 [shape=(S, S, 3)], `heat` and, of detectors that reconstruct,
        `residual` [shape=(S, S)] in [0, 1]; unreadable rows give an empty dict.
    """
    found: list[dict[str, np.ndarray]] = []
    dataset = CropDataset(index, scorer.info.image_size)
    for row in rows:  # one at a time: a few pictures, and memory for gradients
        raw = dataset.__getitems__(BatchPlan((row,), 0))
        if not len(raw["rows"]):
            found.append({})
            continue
        pictures = {name: tensor for name, tensor in raw.items() if name != "label"}
        batch = to_inputs(pictures, scorer.device, mean=scorer.info.mean, std=scorer.info.std)
        shown = {
            "picture": raw["image"][0].permute(1, 2, 0).numpy(),
            "heat": grad_cam(scorer.detector, batch)[0].cpu().numpy(),
        }
        with torch.inference_mode():
            more = scorer.detector.pictures(batch, scorer.detector(batch))
        if "residual" in more:
            residual = more["residual"][0].mean(dim=0)
            shown["residual"] = (residual / residual.max().clamp(min=1e-6)).cpu().numpy()
        found.append(shown)
    return found
