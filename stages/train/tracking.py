"""Where an epoch's figures go: dvclive's curves, Comet where asked for, and the terminal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from stages.errors import UserError
from stages.recipe import Recipe

CURVES = Path("metrics/plots/train")
COMET = Path(".cache/comet")


class Tracker(Protocol):
    """Takes the figures of each epoch in turn, from epoch 0 on, also when a training is resumed."""

    def log(self, epoch: int, row: dict[str, float]) -> None:
        """One epoch's figures."""

    def close(self) -> None:
        """No more will come."""


class Curves:
    """dvclive: one TSV a figure under metrics/plots/train/plots/metrics/, which dvc.yaml lists as plots."""

    def __init__(self, folder: Path) -> None:
        try:
            from dvclive import Live
            from scmrepo.exceptions import SCMError
        except ImportError:
            raise UserError("dvclive is not installed here: set the recipe's `tracker: none`.") from None
        try:
            self._live = Live(str(folder), dvcyaml=False, save_dvc_exp=False)
        except SCMError as error:
            raise UserError(
                f"dvclive cannot read this git repository ({error}): make a first commit, or set `tracker: none`."
            ) from None

    def log(self, epoch: int, row: dict[str, float]) -> None:
        """Append a point to each curve."""
        self._live.step = epoch
        for name, value in row.items():
            self._live.log_metric(name, value, timestamp=False)
        self._live.next_step()

    def close(self) -> None:
        """Write the summary."""
        self._live.end()


class Comet:
    """Comet ML; offline into .cache/comet/ unless COMET_API_KEY is set."""

    def __init__(self, project: str, params: dict[str, Any]) -> None:
        try:
            from lightning.pytorch.loggers import CometLogger

            online = bool(os.environ.get("COMET_API_KEY"))
            self._logger = CometLogger(project=project, online=online, offline_directory=str(COMET))
        except ModuleNotFoundError:
            raise UserError("recipe key comet_project needs the package comet_ml, which is not installed.") from None
        self._logger.log_hyperparams(params)

    def log(self, epoch: int, row: dict[str, float]) -> None:
        """Send the epoch's figures."""
        self._logger.log_metrics(row, step=epoch)

    def close(self) -> None:
        """Finish the experiment."""
        self._logger.finalize("success")


def make_trackers(recipe: Recipe, params: dict[str, Any], folder: Path = CURVES) -> list[Tracker]:
    """The trackers that a recipe asks for.

    Raises:
        UserError: one of them is not installed, or dvclive meets a repository without a commit.
    """
    made: list[Tracker] = []
    if recipe.tracker == "dvclive":
        made.append(Curves(folder))
    if recipe.comet_project is not None:
        made.append(Comet(recipe.comet_project, params))
    return made
