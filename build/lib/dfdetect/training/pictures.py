"""What people look at: the faces as the detector sees them, each epoch, and the whole training's curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from dfdetect.data.batches import to_inputs
from dfdetect.data.crops import CropDataset
from dfdetect.data.sampler import BatchPlan
from dfdetect.detectors.base import Detector
from dfdetect.io.tables import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TILE_PX = 128
EACH = 2  # faces of either class
DPI = 110
# Title -> the figures drawn together, where they are there.
PANELS = {
    "loss": ("train_loss", "val_loss"),
    "accuracy": ("train_acc", "val_acc", "val_frame_acc"),
    "area under the ROC": ("val_auc", "val_frame_auc"),
    "log-probability of real clips": ("val_log_prob",),
    "learning rate": ("lr_backbone", "lr_head"),
    "gradient norm": ("grad_norm",),
    "bandpass widths (px)": ("sigma_low", "delta", "sigma_high"),
}


def shown_rows(dataset: CropDataset) -> tuple[int, ...]:
    """The first crop of the first videos of each class: the same in every epoch."""
    index = dataset.index
    videos, first = np.unique(index.video, return_index=True)
    labels = index.videos.labels[videos]
    return tuple(int(row) for label in (0, 1) for row in first[labels == label][:EACH])


def show(detector: Detector, dataset: CropDataset, device: torch.device | str, path: Path) -> None:
    """Save what `detector.pictures` says of a few validation faces, one row a face; nothing where it says nothing.

    Args:
        detector: on `device`; whether it trains stays as it is.
        dataset: of validation.
        device: where the detector is.
        path: of the JPEG.
    """
    if type(detector).pictures is Detector.pictures:
        return
    modes = [(module, module.training) for module in detector.modules()]
    raw = dataset.__getitems__(BatchPlan(shown_rows(dataset), 0))
    inputs = to_inputs(raw, device, mean=detector.mean, std=detector.std)
    detector.eval()
    with torch.no_grad():
        found = detector.pictures(inputs, detector(inputs))
    for module, training in modes:
        module.training = training
    if found:
        shown = cv2.cvtColor(tile(found), cv2.COLOR_RGB2BGR)
        write_bytes(path, cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def tile(found: dict[str, Tensor]) -> np.ndarray:
    """Pictures side by side, one row a sample: name -> (B, 3 or 1, H, W) in [0, 1] to RGB uint8 (B TILE, K TILE, 3)."""
    columns = []
    for pictures in found.values():
        shaped = pictures.float().clamp(0.0, 1.0).mul(255.0).round().byte().cpu()
        shaped = shaped.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)  # (B, H, W, 3)
        small = [cv2.resize(one, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA) for one in shaped.numpy()]
        columns.append(np.concatenate(small))
    return np.concatenate(columns, axis=1)


def draw_curves(path: Path, history: Sequence[dict[str, float]]) -> None:
    """The figures of all epochs as one PNG; the same figures give the same bytes.

    Args:
        path: of the PNG.
        history: one row an epoch.
    """
    import io

    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {title: [n for n in names if any(n in row for row in history)] for title, names in PANELS.items()}
    panels = {title: names for title, names in panels.items() if names}
    style: dict[Any, Any] = {"font.family": "DejaVu Sans", "font.size": 8, "legend.frameon": False}
    with rc_context({**style, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(2.9 * len(panels), 2.6), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (title, names) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
            _draw(axes, title, names, history)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def _draw(axes: Axes, title: str, names: Sequence[str], history: Sequence[dict[str, float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for name in names:
        points = [(epoch, row[name]) for epoch, row in enumerate(history, start=1) if name in row]
        axes.plot(*zip(*points, strict=True), label=name, marker=".", markersize=4, linewidth=1.2)
    axes.set_title(title, loc="left", fontweight="bold", fontsize=8)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#e2e5e9", linewidth=0.6)
    axes.legend()
