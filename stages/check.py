"""python -m stages.check: whether all of params.yaml is valid. The first stage: every other one depends on its output.

DVC removes a stage's outputs before it looks for what the stage depends on: without this stage a misspelt name in
params.yaml would cost the trained detector before anything could say so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfdetect.arguments import parser
from dfdetect.errors import UserError, run_cli, unknown

if TYPE_CHECKING:
    from dfdetect.config.params import Params
    from dfdetect.config.recipe import Recipe

# Always the same, so that nothing runs again after it. A dot is in no dataset's name, whose folders stand beside it.
OUTPUT, CONTENT = Path("data/params.ok"), "params.yaml is valid.\n"
# What the train stage writes, and predict reads where no other model is named.
TRAINED = Path("models/detector")


def check(params: Params) -> None:
    """Look at what the models of params.yaml leave open: names that must exist, and settings that others check.

    Raises:
        UserError: lists all that is wrong.
    """
    found = []
    for look in _looks(params):
        try:
            look()
        except UserError as error:
            found.append(str(error))
    if found:
        raise UserError("\n  ".join(dict.fromkeys(found)))


def _looks(params: Params) -> Iterator[Callable[[], object]]:
    """Each part of the check, as a function that raises what is wrong."""
    from dfdetect.config.recipe import check_overrides
    from dfdetect.datasets import registry as layouts
    from dfdetect.detectors import registry as detectors

    for name, dataset in params.datasets.items():
        yield partial(layouts.check, name, dataset)
    yield partial(_training_set, params)
    for name in params.detectors:
        yield partial(_settings, params, name)
    yield partial(_detector, params)
    yield partial(check_overrides, params.recipes, detectors.names())
    for entry, recipe in params.recipes.items():
        for name in sorted({*recipe.detector_overrides, *recipe.overrides} & {*detectors.names()}):
            yield partial(_settings, params, name, recipe, f"recipes.{entry}.detector_overrides.{name}")
        yield partial(_transforms, recipe, f"recipes.{entry}.transforms")
        for name, override in recipe.overrides.items():
            if {"transforms", "gpu_transforms"} & set(override):
                yield partial(_transforms, recipe.for_detector(name), f"recipes.{entry}.overrides.{name}.transforms")
    yield partial(_chosen, params)


def _training_set(params: Params) -> None:
    name = params.train.dataset
    if name not in params.datasets:
        raise UserError(f"params.yaml, train.dataset: {unknown('dataset', name, params.datasets)}")
    if name not in params.run.datasets and not Path("data", name, "splits.parquet").exists():
        raise UserError(
            f"params.yaml, train.dataset: `{name}` is not among run.datasets, and data/{name} has not been built: "
            "add it to run.datasets."
        )


def _detector(params: Params) -> None:
    name = params.train.detector
    if name not in params.detectors:
        from dfdetect.detectors import registry

        if name in registry.names():
            raise UserError(f"params.yaml, train.detector: `{name}` has no entry under detectors: add `{name}: {{}}`.")
        raise UserError(f"params.yaml, train.detector: {unknown('detector', name, registry.names())}")


def _settings(params: Params, name: str, recipe: Recipe | None = None, section: str = "") -> Any:
    """A detector's entry, checked; then the same with what a recipe replaces, which stands in a section of its own."""
    from dfdetect.detectors import registry

    if name not in registry.names():
        raise UserError(f"params.yaml, detectors.{name}: {unknown('detector', name, registry.names())}")
    entry = params.detectors.get(name, {})
    checked = registry.check_settings(name, entry)
    if recipe is not None:
        checked = registry.check_settings(name, recipe.for_detector(name).detector_settings(name, entry), section)
    return checked


def _chosen(params: Params) -> None:
    """The recipe and the detector that are trained, and the files that it starts from."""
    if params.train.recipe not in params.recipes:
        raise UserError(f"params.yaml, train.recipe: {unknown('recipe', params.train.recipe, params.recipes)}")
    files = {"train.init_checkpoint": params.train.init_checkpoint}
    if params.predict.model != TRAINED:
        files["predict.model"] = params.predict.model / "detector.json"
    if params.train.detector in params.detectors:
        settings = _settings(params, params.train.detector, params.recipes[params.train.recipe])
        given = settings.model_dump().get("pretrained")
        each = given.items() if isinstance(given, dict) else [("", given)]
        where = f"detectors.{params.train.detector}.pretrained"
        files |= {
            f"{where}.{key}".rstrip("."): Path(path)
            for key, path in each
            if isinstance(path, str) and path != "package"
        }
    for key, path in files.items():
        if path is not None and not path.exists():
            raise UserError(f"params.yaml, {key}: {path} does not exist.")


def _transforms(recipe: Recipe, where: str) -> None:
    """A recipe's transforms, built without the pictures that they are for."""
    from dfdetect.data.device import build_step as on_device
    from dfdetect.data.transforms import build_step, known_transforms

    with _absent("torch", "huggingface_hub"):  # albumentations loads them if they are there, which takes seconds
        known_transforms()
    for step in recipe.transforms:
        if step.name not in ("Resize", "Normalize"):  # which are compared with the detector's own when it is trained
            (on_device if recipe.gpu_transforms else build_step)(step, where)


@contextmanager
def _absent(*packages: str) -> Iterator[None]:
    """Let packages that are not loaded yet look as if they were not installed."""
    hidden: dict[str, Any] = {name: None for name in packages if name not in sys.modules}
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def main() -> None:
    """Check params.yaml, and leave a file that says so."""
    parser("stages.check", __doc__).parse_args()
    from dfdetect.config.params import load

    check(load())
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(CONTENT, encoding="utf-8")
    print(CONTENT, end="")


if __name__ == "__main__":
    run_cli(main)
