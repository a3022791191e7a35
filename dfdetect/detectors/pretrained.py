"""Backbones from timm: untrained, with ImageNet weights from timm's hub, or from a local file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dfdetect.errors import UserError

Backbone = Any  # a timm model: an nn.Module whose attributes nn.Module's typing does not know
_HEADS = ("fc.", "classifier.", "head.", "last_linear.")  # the ImageNet classifier, which no detector uses


def make_backbone(model: str, pretrained: bool | str, *, in_chans: int = 3) -> Backbone:
    """A timm model without its classifier.

    Args:
        model: timm's name.
        pretrained: True: ImageNet weights from timm's hub; a path: from that file; False: none.
        in_chans: channels of the input.
    Raises:
        UserError: the hub cannot be reached, or the file is missing, unreadable or of another model.
    """
    if pretrained is True:
        try:
            return timm.create_model(model, pretrained=True, num_classes=0, in_chans=in_chans)
        except Exception as error:  # whatever the hub's clients raise: no network, no such host, a proxy's page...
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise UserError(
                f"ImageNet weights of {model} cannot be downloaded ({reason}). Get the file on a machine that can "
                f"(python -c \"import timm, torch; torch.save(timm.create_model('{model}', pretrained=True)"
                f".state_dict(), '{model}.pth')\"), and set detectors.<name>.pretrained to its path; or to false."
            ) from error
    backbone = timm.create_model(model, pretrained=False, num_classes=0, in_chans=in_chans)
    if isinstance(pretrained, str):
        _load_file(backbone, model, Path(pretrained))
    return backbone


def _load_file(backbone: nn.Module, model: str, path: Path) -> None:
    state = {key: value for key, value in read_weights(path).items() if not key.startswith(_HEADS)}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        detail = " ".join(" ".join(str(error).splitlines()[1:3]).split())
        raise UserError(f"{path} holds no weights of timm's {model}: {detail}") from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a safetensors file or a PyTorch weights-only file; no code in the file is run.

    Raises:
        UserError: the file is missing, unreadable, or holds anything but tensors.
    """
    if not path.is_file():
        raise UserError(f"{path} (pretrained weights) is not there: give a file, true (download) or false (none).")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} cannot be read as weights ({reason}).") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} holds no mapping of names to tensors.")
    return state
