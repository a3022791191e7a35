"""Where an epoch's figures go: dvclive's curves, and Comet where asked for.

Figures that depend on the machine and the hour (speed, memory) are kept apart from what a training always gives: they
go to a folder outside the stage's outputs, or every run would change what git and DVC keep.

Not Lightning's loggers: a resumed training replays its finished epochs, whose curves DVC removed, also when no epoch is
left to train and no Trainer runs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Protocol

from dfdetect.config.recipe import Recipe
from dfdetect.errors import UserError
from dfdetect.training.pictures import draw_curves

CURVES = Path("metrics/plots/train")
COSTS = Path(".cache/train_costs")
COMET = Path(".cache/comet")


class Tracker(Protocol):
    """Takes the figures of each epoch in turn, from epoch 1 on, also when a training is resumed."""

    def log(self, epoch: int, row: dict[str, float], costs: dict[str, float]) -> None:
        """One epoch's figures, and what it cost on this machine."""

    def close(self, pictures: Path) -> None:
        """No more will come; `pictures` is a folder of pictures of the epochs, if there are any."""


class Curves:
    """dvclive: one TSV a figure under <folder>/plots/metrics/, which dvc.yaml lists as plots, and curves.png.

    Speed and memory go the same way to a folder of their own.
    """

    def __init__(self, folder: Path, costs: Path) -> None:
        self.folder = folder
        self._history: list[dict[str, float]] = []
        self._live, self._costs = _live(folder), _live(costs)

    def log(self, epoch: int, row: dict[str, float], costs: dict[str, float]) -> None:
        """Append a point to each curve."""
        self._history.append(row)
        for live, values in ((self._live, row), (self._costs, costs)):
            live.step = epoch
            for name, value in values.items():
                live.log_metric(name, value, timestamp=False)
            live.next_step()

    def close(self, pictures: Path) -> None:
        """Write the summary, the curves as one picture, and the pictures of the epochs."""
        self._live.end()
        self._costs.end()
        draw_curves(self.folder / "curves.png", self._history)
        if pictures.is_dir():
            shutil.copytree(pictures, self.folder / "pictures", dirs_exist_ok=True)


def _live(folder: Path) -> Any:
    try:
        from dvclive.live import Live
        from scmrepo.exceptions import SCMError
    except ImportError:
        raise UserError("dvclive is not installed here: set the recipe's `tracker: none`.") from None
    try:
        return Live(str(folder), dvcyaml=False, save_dvc_exp=False)
    except SCMError as error:
        raise UserError(
            f"dvclive cannot read this git repository ({error}): make a first commit, or set `tracker: none`."
        ) from None


class Comet:
    """Comet ML; offline into .cache/comet/ unless COMET_API_KEY is set, as `--offline` of the ADDNet repository."""

    def __init__(self, project: str, params: dict[str, Any]) -> None:
        try:
            import comet_ml
        except ImportError:
            raise UserError(
                "recipe key comet_project needs the package comet_ml, which is not installed: "
                "`.venv/bin/uv pip install comet_ml`, or set comet_project: null."
            ) from None
        key = os.environ.get("COMET_API_KEY")
        quiet = {"log_code": False, "auto_output_logging": False, "auto_param_logging": False}
        if key:
            self._experiment = comet_ml.Experiment(api_key=key, project_name=project, **quiet)
        else:
            COMET.mkdir(parents=True, exist_ok=True)
            self._experiment = comet_ml.OfflineExperiment(project_name=project, offline_directory=str(COMET), **quiet)
        self._experiment.log_parameters(flat(params))

    def log(self, epoch: int, row: dict[str, float], costs: dict[str, float]) -> None:
        """Send the epoch's figures."""
        self._experiment.log_metrics({**row, **costs}, step=epoch, epoch=epoch)

    def close(self, pictures: Path) -> None:
        """Send the pictures and finish the experiment."""
        for path in sorted(pictures.glob("*.jpg")):
            self._experiment.log_image(str(path), name=path.stem)
        self._experiment.end()


def flat(params: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Nested params under dotted names."""
    found: dict[str, Any] = {}
    for name, value in params.items():
        found.update(flat(value, f"{where}{name}.") if isinstance(value, dict) else {f"{where}{name}": value})
    return found


def make_trackers(recipe: Recipe, params: dict[str, Any], folder: Path = CURVES, costs: Path = COSTS) -> list[Tracker]:
    """The trackers that a recipe asks for.

    Raises:
        UserError: one of them is not installed, or dvclive meets a repository without a commit.
    """
    made: list[Tracker] = []
    if recipe.tracker == "dvclive":
        made.append(Curves(folder, costs))
    if recipe.comet_project is not None:
        made.append(Comet(recipe.comet_project, params))
    return made
