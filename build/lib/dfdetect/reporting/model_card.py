"""The model card: what a person should know before using the detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dfdetect.inference.saved_model import SYNTHETIC_WARNING, SavedModelInfo


def model_card(info: SavedModelInfo, metrics: dict[str, Any], *, parameters: int, warnings: Sequence[str]) -> str:
    """README.md of a saved model, from what is known of the training; the same inputs give the same text.

    Args:
        info: the saved model's detector.json.
        metrics: what metrics/details/train.json says.
        parameters: number of the detector's parameters.
        warnings: of the audit of the splits that it was trained and validated on.
    """
    best = metrics["best"]
    counts = metrics["data"]
    target = "the picture only (visual_label)" if info.target == "visual_label" else "picture and sound (label)"
    figures = "\n".join(
        f"| {name} | {value:.4f} |"
        for name, value in sorted(best.items())
        if name.startswith("val_") and value is not None
    )
    rows = "\n".join(
        f"| {split} | {counts[split]['videos']['real']} | {counts[split]['videos']['fake']} "
        f"| {counts[split]['samples']['real']} | {counts[split]['samples']['fake']} |"
        for split in ("train", "val")
    )
    score = "1 - P(real), mapped from the log-probability" if info.calibration else "probability of fake"
    packages = ", ".join(f"{name} {version}" for name, version in info.packages.items())
    forged = counts["train"].get("self_blended", {}).get("samples", 0)
    forgeries = (
        f"\nForgeries made on the fly took part: each of {forged} real training crops blended with an altered copy of "
        "itself.\n"
        if forged
        else ""
    )
    found = "\n".join(f"- {warning}" for warning in warnings) or "No leak between train, val and test was found."
    warning = f"\n**{SYNTHETIC_WARNING}**\n" if info.synthetic else ""
    return f"""# {info.detector}
{warning}
A deepfake detector of {parameters / 1e6:.1f} million parameters. It classifies {target}.

## Use
`dfdetect predict FILE...` with this folder as `models/detector/`. The score is the {score}; a video counts as
fake from {info.threshold.value:.4f} on.

## Input
{", ".join(info.inputs)} at {info.image_size} px, RGB, normalised with mean {list(info.mean)} and std {list(info.std)};
made by the pipeline's own stages with the settings in `detector.json` under `preprocess`.

## Training
Trained on {info.trained_on_text}, recipe `{metrics["recipe"]}`, seed {metrics["seed"]}: {metrics["epochs"]} epochs, of
which epoch {best["epoch"]} was the best by validation. The test split was not read.
{forgeries}
| split | real videos | fake videos | real samples | fake samples |
|---|---|---|---|---|
{rows}

## Validation
| figure | value |
|---|---|
{figures}
| {info.threshold.criterion} at the threshold | {info.threshold.achieved:.4f} |

The threshold was chosen on these same videos, so its own figure flatters. For unbiased figures see
`metrics/<dataset>/evaluate.json`.

## Audit of the splits
{found}

## Limits
Trained on the forgeries of one dataset. Forgeries of other kinds, other compression, other cameras and other groups of
people may be target wrongly and with confidence. A score is a hint for a person who looks, and no proof.

## Made with
{packages}.
"""
