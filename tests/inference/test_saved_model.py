"""A trained detector on disk."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from dfdetect.detectors import registry
from dfdetect.errors import UserError
from dfdetect.inference import saved_model
from tests.training import tiny  # noqa: F401  # registers the detector


def info(**changes: object) -> saved_model.SavedModelInfo:
    """detector.json of a tiny detector."""
    fields = {
        "detector": "tiny",
        "settings": {"image_size": 32, "width": 8},
        "image_size": 32,
        "inputs": ["image"],
        "target": "visual_label",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "threshold": saved_model.Threshold(value=0.4, achieved=0.9),
        "preprocess": {"faces": {"image_size": 317}},
        "trained_on": [{"dataset": "made", "synthetic": False}],
        "packages": {"torch": "2"},
    }
    return saved_model.SavedModelInfo.model_validate({**fields, **changes})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A saved model of a tiny detector."""
    torch.manual_seed(0)
    detector = registry.build("tiny", {})
    saved_model.save(tmp_path / "detector", detector.state_dict(), info(), "# card\n")
    return tmp_path / "detector"


def test_round_trip(saved: Path) -> None:
    torch.manual_seed(0)
    original = registry.build("tiny", {}).eval()
    found, detector = saved_model.load(saved)
    digest = hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert found == info(model_sha256=digest)
    batch = {"image": torch.randn(3, 3, 32, 32)}
    assert torch.equal(detector(batch)["logits"], original(batch)["logits"])
    assert (saved / "README.md").read_text() == "# card\n"


def test_same_content_same_bytes(saved: Path, tmp_path: Path) -> None:
    weights = load_file(saved / "model.safetensors")
    saved_model.save(tmp_path / "again", dict(reversed(weights.items())), info(), "# card\n")
    for name in ("model.safetensors", "detector.json", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_a_failed_save_leaves_the_old_one(saved: Path) -> None:
    before = (saved / "model.safetensors").read_bytes()
    with pytest.raises(AttributeError):
        saved_model.save(saved, {"a": "no tensor"}, info(), "")  # type: ignore[dict-item]
    bad = info(threshold={"value": float("nan"), "achieved": 1.0})
    with pytest.raises(ValueError, match=r"JSON compliant|nan"):
        saved_model.save(saved, {"a": torch.zeros(1)}, bad, "")
    assert (saved / "model.safetensors").read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["detector"]


def test_a_crash_while_replacing_leaves_a_whole_bundle(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = load_file(saved / "model.safetensors")
    original = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if Path(target) == saved:
            raise failure
        return original(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    failure: BaseException = OSError("no")
    with pytest.raises(UserError, match="no"):
        saved_model.save(saved, weights, info(), "new")
    assert [path.name for path in saved.parent.iterdir()] == ["detector"]
    failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        saved_model.save(saved, weights, info(), "new")
    (kept,) = saved.parent.iterdir()
    saved_model.load(kept)
    monkeypatch.undo()
    saved_model.save(saved, weights, info(), "new")
    assert (saved / "README.md").read_text() == "new"


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"detector\.json is missing: train a detector"):
        saved_model.load(tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", '{"version": 99}', '{"version": 2}', "{nonsense"])
def test_damaged_or_foreign_json(saved: Path, text: str) -> None:
    (saved / "detector.json").write_text(text)
    with pytest.raises(UserError, match=r"detector\.json"):
        saved_model.read_info(saved)


def test_unknown_keys_are_named(saved: Path) -> None:
    raw = json.loads((saved / "detector.json").read_text())
    (saved / "detector.json").write_text(json.dumps({**raw, "extra": 1}))
    with pytest.raises(UserError, match=r"extra: unknown key"):
        saved_model.read_info(saved)


def test_damaged_or_missing_weights(saved: Path) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read.*dvc checkout"):
        saved_model.load(saved)
    path.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors is missing"):
        saved_model.load(saved)


def test_weights_that_are_not_those_of_the_json_are_refused(saved: Path) -> None:
    """A changed byte in a tensor leaves a file that loads, and scores that are wrong."""
    path = saved / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert saved_model.load_weights(path)
    with pytest.raises(UserError, match=r"model\.safetensors is damaged, or not the file .*dvc checkout"):
        saved_model.load(saved)


def test_what_it_was_trained_on_is_required_and_told() -> None:
    with pytest.raises(ValueError, match="trained_on"):
        info(trained_on=[])
    real, drawn = {"dataset": "celebdf", "synthetic": False}, {"dataset": "sample", "synthetic": True}
    assert info(trained_on=[real]).trained_on_text == "celebdf"
    assert not info(trained_on=[drawn, real]).synthetic
    last = info(trained_on=[real, drawn])
    assert last.synthetic
    assert last.trained_on_text == "celebdf, then sample (synthetic)"


@pytest.mark.parametrize("name", ["model.pth", "model.ckpt", "model.pkl", "model.bin"])
def test_pickles_are_refused_unopened(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"is a pickle.*safetensors"):
        saved_model.load_weights(tmp_path / name)


def test_weights_of_another_shape_are_named(saved: Path) -> None:
    raw = json.loads((saved / "detector.json").read_text())
    raw["settings"]["width"] = 6
    (saved / "detector.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match=r"does not fit Tiny: backbone\.weight is \(8, 3, 5, 5\), not \(6, 3, 5, 5\)"):
        saved_model.load(saved)


def test_missing_and_extra_weights_are_named() -> None:
    detector = registry.build("tiny", {})
    state = detector.state_dict()
    state["odd"] = state.pop("fc.bias")
    with pytest.raises(UserError, match=r"fc\.bias is missing; odd is unknown"):
        saved_model.load_strictly(detector, state, Path("x.safetensors"))


PAIRS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda n: n / 20) | st.floats(0, 1)), min_size=2, max_size=40
).filter(lambda pairs: len({label for label, _ in pairs}) == 2)


@given(PAIRS)
def test_threshold_is_the_middle_of_the_widest_of_the_best_gaps(pairs: list[tuple[int, float]]) -> None:
    labels, scores = np.array([label for label, _ in pairs]), np.array([score for _, score in pairs])
    threshold, achieved = saved_model.best_threshold(labels, scores)

    def balanced(cut: float) -> float:
        called = scores >= cut
        return float((called[labels == 1].mean() + (~called[labels == 0]).mean()) / 2)

    assert balanced(threshold) == pytest.approx(achieved)
    gaps = {}
    bounds = [0.0, *np.unique(scores).tolist(), 1.0]
    for low, high in itertools.pairwise(bounds):
        if high - low > 1e-9:
            gaps[low, high] = balanced((low + high) / 2)
    assert achieved >= max(gaps.values(), default=0.0) - 1e-9
    best = {gap: gap[1] - gap[0] for gap, value in gaps.items() if value >= achieved - 1e-9}
    if best:
        assert any(
            threshold == pytest.approx((low + high) / 2) and width == pytest.approx(max(best.values()))
            for (low, high), width in best.items()
        )


@given(
    reals=st.lists(st.floats(0, 0.4), min_size=1, max_size=20),
    fakes=st.lists(st.floats(0.5, 1), min_size=1, max_size=20),
)
def test_threshold_of_parted_classes_lies_half_way(reals: list[float], fakes: list[float]) -> None:
    labels = np.array([0] * len(reals) + [1] * len(fakes))
    threshold, achieved = saved_model.best_threshold(labels, np.array(reals + fakes))
    assert threshold == pytest.approx((max(reals) + min(fakes)) / 2)
    assert achieved == 1.0
