"""params.yaml: what is wrong is named."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from pydantic import BaseModel

from dfdetect.config.params import Params, RobustnessParams, load, validate
from dfdetect.detectors import registry
from dfdetect.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def raw() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "params.yaml").read_text()))


def test_the_projects_own_file_is_valid(raw: dict[str, Any]) -> None:
    params = load(ROOT / "params.yaml")
    assert set(params.run.datasets) <= set(params.datasets)
    assert params.train.detector in params.detectors
    assert params.train.recipe in params.recipes
    assert params.train.dataset in params.run.datasets
    assert set(raw) == set(type(params).model_fields)


# Keys whose value in params.yaml is another than the one that a left-out key takes, on purpose.
OFF_UNLESS_LISTED = {f"robustness.{kind}" for kind in RobustnessParams.model_fields} - {"robustness.frames_per_video"}
NOT_A_SETTING = {"faces.cropped"}  # taken from the dataset's entry


def compared(model: type[BaseModel], values: dict[str, Any], place: str) -> Iterator[tuple[str, bool]]:
    """Each key of a section that has a default, and whether params.yaml has it with just that value."""
    given = model.model_validate(values)
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from compared(type(default), values[name], f"{place}.{name}")
        elif not field.is_required():
            yield f"{place}.{name}", name in values and getattr(given, name) == default


def test_a_left_out_key_means_what_the_file_says(raw: dict[str, Any]) -> None:
    """Or the same words in two files would mean two settings."""
    sections = ("runtime", "faces", "masks", "mouths", "mels", "splits", "train", "predict", "robustness", "evaluate")
    models: dict[str, Any] = {name: Params.model_fields[name].annotation for name in sections}
    found = [item for name, model in models.items() for item in compared(model, raw[name], name)]
    for name, values in raw["detectors"].items():
        found += compared(registry.settings_class(name), values, f"detectors.{name}")
    assert len(found) > 100
    assert {key for key, same in found if not same} == OFF_UNLESS_LISTED | NOT_A_SETTING


def overridden(override: str, folder: Path) -> str:
    """params.yaml after `dvc exp run -S override`."""
    varied = folder / "params.yaml"
    varied.write_bytes((ROOT / "params.yaml").read_bytes())
    apply_overrides(varied, [override])
    return varied.read_text(encoding="utf-8")


def test_the_file_is_as_dvc_writes_it(raw: dict[str, Any], tmp_path: Path) -> None:
    """DVC writes the whole file anew: lists become blocks, a list's anchor and the comment below it are lost, and of a
    mapping that stands under an anchor and an alias the alias undoes what is set."""
    seed = raw["train"]["seed"]
    assert overridden(f"train.seed={seed}", tmp_path) == (ROOT / "params.yaml").read_text(encoding="utf-8")
    events = yaml.parse((ROOT / "params.yaml").read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    assert not [event.start_mark.line for event in events if getattr(event, "anchor", None)]


@pytest.mark.parametrize(
    "override",
    [
        "train.seed=1",
        "train.detector=xception",
        "run.datasets=[sample]",
        "predict.batch_size=4",
        "recipes.full.precision=16-mixed",
        "recipes.smoke.detector_overrides.av_transformer.chunks=8",
        "datasets.mine.source.path=/a/b",
    ],
)
def test_an_override_changes_one_line_and_one_value(raw: dict[str, Any], override: str, tmp_path: Path) -> None:
    before = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    after = overridden(override, tmp_path)
    changed = [line for line in difflib.ndiff(before, after.splitlines()) if line[0] in "+-"]
    assert [line[0] for line in changed] == ["-", "+"]
    assert changed[0].partition("#")[2] == changed[1].partition("#")[2]  # the comment is kept
    key, _, value = override.partition("=")
    *path, last = key.split(".")
    functools.reduce(dict.__getitem__, path, raw)[last] = yaml.safe_load(value)
    assert yaml.safe_load(after) == raw


def test_an_unknown_key_is_named(raw: dict[str, Any]) -> None:
    raw["faces"] = {**raw["faces"], "frames_per_vidoe": 3}
    with pytest.raises(UserError, match=r"faces\.frames_per_vidoe: unknown key"):
        validate(raw)


def test_a_bad_value_is_named_with_what_was_given(raw: dict[str, Any]) -> None:
    raw["faces"] = {**raw["faces"], "margin": -1}
    with pytest.raises(UserError, match=r"faces\.margin: .*greater than or equal to 0.*-1"):
        validate(raw)


def test_an_unknown_dataset_in_run_lists_the_known(raw: dict[str, Any]) -> None:
    raw["run"] = {"datasets": ["celeb"]}
    with pytest.raises(UserError, match=r"run\.datasets: there is no dataset `celeb`\. Did you mean `celebdf`.*sample"):
        validate(raw)


def test_an_unknown_source_kind_is_named(raw: dict[str, Any]) -> None:
    raw["datasets"]["sample"]["source"] = {"kind": "torrent"}
    with pytest.raises(UserError, match=r"datasets\.sample\.source.*torrent"):
        validate(raw)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run": {"datasets": ["sample", "sample"]}}, "run.datasets: sample must be named once only"),
        ({"run": {"datasets": []}}, "run.datasets: List should have at least 1 item"),
        ({"run": {"datasets": "sample"}}, "run.datasets: Input should be a valid list (given: 'sample')"),
        ({"runtime": {"num_workers": 0}}, "runtime.num_workers: Input should be greater than or equal to 1 (given: 0)"),
        ({"runtime": {"num_workers": "many"}}, "runtime.num_workers: Input should be a valid integer"),
        ({"faces": 3}, "faces: Input should be a mapping (given: 3)."),
        ({"faces": {"image_size": "big"}}, "faces.image_size: Input should be a valid integer"),
        ({"faces": {"encoding": {"format": "webp"}}}, "faces.encoding.format: Input should be 'jpeg' or 'png'"),
        ({"face": {}}, "face: unknown key (did you mean faces?)."),
        ({"datasets": {"mine": None}}, "datasets.mine: Input should be a mapping (given: None)"),
        ({"datasets": {"mine": {"layout": "folder"}}}, "datasets.mine.source: is missing."),
        ({"datasets": {"mine": {"layout": "folder", "source": {"path": "x"}}}}, "datasets.mine.source: needs a `kind`"),
        (
            {"datasets": {"mine": {"layout": "folder", "source": {"kind": "directory", "pth": "x"}}}},
            "datasets.mine.source.pth: unknown key (given: 'x'; did you mean path or paths?).",
        ),
        ({"datasets": {"../mine": {"layout": "folder"}}}, "datasets.../mine: String should match pattern"),
    ],
)
def test_each_mistake_is_one_line_that_names_the_key(raw: dict[str, Any], change: dict[str, Any], said: str) -> None:
    for section, value in change.items():
        raw[section] = {**raw.get(section, {}), **value} if isinstance(value, dict) else value
    with pytest.raises(UserError) as caught:
        validate(raw)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n", "run: [\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        load(path)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="project's root"):
        load(tmp_path / "params.yaml")


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("run: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match="cannot be read"):
        load(path)


def test_settings_that_change_no_result_stay_out_of_the_fingerprint(raw: dict[str, Any]) -> None:
    faces = validate(raw).faces
    assert faces.fingerprint() == faces.model_copy(update={"max_failed_fraction": 0.01, "device": "cpu"}).fingerprint()
    assert faces.fingerprint() != faces.model_copy(update={"margin": 0.5}).fingerprint()


def test_a_datasets_own_face_detector_wins(raw: dict[str, Any]) -> None:
    params = validate(raw)
    assert params.faces.face_detector == "retinaface-resnet50"
    assert params.faces_of("sample").face_detector == "mtcnn"
