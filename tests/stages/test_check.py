"""The check of params.yaml: whatever would stop a later stage is named, with what looks like it."""

from __future__ import annotations

import subprocess
import sys
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from dfdetect.config.params import FaceDetector, validate
from dfdetect.errors import UserError
from dfdetect.faces.detectors import FACE_DETECTORS
from stages.check import CONTENT, OUTPUT, check

ROOT = Path(__file__).parents[2]
FLIP = {"name": "HorizontalFlp", "params": {"p": 0.5}}


def changed(key: str, value: Any) -> dict[str, Any]:
    """The project's params with one value set; a dotted key."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    *path, last = key.split(".")
    reduce(dict.__getitem__, path, raw)[last] = value
    return raw


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("train.detector", "xceptoin", "train.detector: there is no detector `xceptoin`. Did you mean `xception`?"),
        ("train.recipe", "smok", "train.recipe: there is no recipe `smok`. Did you mean `smoke`? Known recipes: full"),
        ("train.dataset", "sampel", "train.dataset: there is no dataset `sampel`. Did you mean `sample`?"),
        ("train.dataset", "celebdf", "train.dataset: `celebdf` is not among run.datasets, and data/celebdf has not"),
        ("train.init_checkpoint", "models/erlier", "train.init_checkpoint: models/erlier does not exist"),
        (
            "train.init_checkpoint",
            "models/detector",
            "train.init_checkpoint: lies in models/detector, which `dvc repro` removes",
        ),
        ("predict.model", "models/detctor", "predict.model: models/detctor/detector.json does not exist"),
        ("run.datasets", ["sampel"], "run.datasets: there is no dataset `sampel`. Did you mean `sample`?"),
        ("datasets.mine.layout", "foldr", "datasets.mine.layout: there is no layout `foldr`. Did you mean `folder`?"),
        ("datasets.sample.face_detector", "mtcn", "datasets.sample.face_detector: Input should be"),
        ("faces.face_detector", "mtcn", "(given: 'mtcn'; did you mean mtcnn?)"),
        ("faces.frames_per_vidoe", 3, "faces.frames_per_vidoe: unknown key (given: 3; did you mean frames_per_video?)"),
        ("datasets.sample.source.sed", 3, "datasets.sample.source.sed: unknown key (given: 3; did you mean seed?)"),
        ("recipes.smoke.early_stop.metrc", "auto", "recipes.smoke.early_stop.metrc: unknown key (given: 'auto'; did"),
        ("recipes.smoke.overrides.xcepton", {}, "recipes.smoke.overrides.xcepton: there is no detector `xcepton`."),
        (
            "recipes.smoke.detector_overrides.addnet",
            {"image_sise": 64},
            "recipes.smoke.detector_overrides.addnet.image_sise: unknown key",
        ),
        ("recipes.full.transforms", [FLIP], "recipes.full.transforms: there is no transform 'HorizontalFlp'. Did you"),
        ("recipes.full.overrides.addnet.transforms", [FLIP], "recipes.full.overrides.addnet.transforms: there is"),
        (
            "recipes.large_gpu.transforms",
            [{"name": "CLAHE"}],
            "recipes.large_gpu.transforms: gpu_transforms has no CLAHE",
        ),
        ("recipes.full.transforms", [{"name": "Rotate", "params": {"p": 2}}], "transforms: Rotate with {'p': 2}:"),
        ("detectors.mynet", {}, "detectors.mynet: there is no detector `mynet`."),
        ("detectors.xception.num_classes", 3, "detectors.xception.num_classes: Input should be 1 or 2 (given: 3)"),
        ("detectors.av_transformer.heads", 7, "detectors.av_transformer: d_model 256 must be a multiple of 2 x heads"),
        ("detectors.attention_network.pretrained", "w.pth", "attention_network.pretrained: w.pth does not exist"),
    ],
)
def test_what_is_wrong_is_named(
    key: str, value: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        check(validate(changed(key, value)))
    assert said in str(caught.value)


def test_a_detector_without_an_entry_is_asked_for() -> None:
    raw = changed("train.detector", "xception")
    del raw["detectors"]["xception"]
    with pytest.raises(UserError, match=r"`xception` has no entry under detectors: add `xception: \{\}`"):
        check(validate(raw))


def test_all_that_is_wrong_is_told_at_once() -> None:
    raw = changed("train.detector", "xceptoin")
    raw["train"]["recipe"] = "smok"
    raw["datasets"]["mine"]["layout"] = "foldr"
    with pytest.raises(UserError) as caught:
        check(validate(raw))
    assert [word in str(caught.value) for word in ("`xceptoin`", "`smok`", "`foldr`")] == [True] * 3
    assert len(str(caught.value).splitlines()) == 3


def test_a_training_set_that_was_built_before_needs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/celebdf").mkdir(parents=True)
    (tmp_path / "data/celebdf/splits.parquet").touch()
    check(validate(changed("train.dataset", "celebdf")))


def test_face_detectors_are_those_that_there_are() -> None:
    assert set(get_args(FaceDetector)) == set(FACE_DETECTORS)


def test_the_command_is_quick_and_leaves_the_same_file_each_time(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    code = (
        "import sys; from stages.check import main; main(); print(*{'torch', 'timm', 'lightning'} & set(sys.modules))"
    )
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [CONTENT.strip(), "", ""]  # none of them is loaded
    assert (tmp_path / OUTPUT).read_text(encoding="utf-8") == CONTENT
