"""The report: whole, self-contained, sound about what is undefined, the same from the same facts."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dfdetect.config.params import PredictParams, RunParams, load
from dfdetect.errors import UserError
from dfdetect.evaluation.cross_dataset import cross_dataset
from dfdetect.evaluation.evaluate import evaluate_predictions
from dfdetect.evaluation.predictions import select
from dfdetect.inference.examples import most_confident, overlay
from dfdetect.reporting.build import write_report, write_section
from dfdetect.reporting.crops import Example, Examples
from dfdetect.reporting.gather import DatasetFacts, Section, read_curves
from dfdetect.reporting.page import Run, render
from dfdetect.reporting.section import render_section
from tests.evaluation.saved_models import make_detector, make_info, save_model
from tests.evaluation.tables import QUICK, random_table, row, score_and_evaluate, table
from tests.reporting.pages import jpeg_address
from tests.tables import clips, write_dataset, write_faces, write_masks, write_sequences

ROOT = Path(__file__).parents[2]
VOID = {"meta", "link", "img", "br", "line", "polyline", "circle", "rect"}


class Checker(HTMLParser):
    """Every tag is closed, in order; text and headings are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: set[str] = set()
        self.pictures: list[str] = []
        self.unnamed: list[str] = []
        self.charts = 0
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.attributes |= given.keys()
        self.ids.add(given.get("id") or "")
        self.scripts += tag == "script"
        if tag == "img":
            self.pictures.append(given.get("alt") or "")
        if tag == "svg":
            self.charts += 1
            self.unnamed += [] if given.get("aria-label") else [tag]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def facts_of(made: pa.Table, **more: Any) -> DatasetFacts:
    figures = evaluate_predictions(made, threshold=0.5, aggregation="mean", params=QUICK, validation=None)
    return DatasetFacts("made", figures, made, select(made, QUICK), **more)


def page(each: DatasetFacts, pictures: Examples | None = None, **changes: Any) -> Checker:
    """The page of one dataset, read back: well-formed, and nothing in it that a browser would fetch or run."""
    train = {"params": {"dataset": "made", "seed": 42}}
    info = make_info(make_detector("xception"), **{"train": train, **changes})
    html = render_section(each, pictures or Examples(), anomaly=info.calibration is not None)
    section = Section(
        "made", each.figures, each.robustness.get("mean_auc_drop"), each.splits.get("warnings", []), html, "c0", {}
    )
    found = cross_dataset("xception", "made", {"made": each.figures})
    run = Run(info, "made", [section], {"train_loss": [(0.0, 0.7), (1.0, 0.5)], "val_auc": [(0.0, 0.6)]}, found)
    text = render(run)
    assert text == render(run)
    assert "NaN" not in text.partition("<script>")[0]
    return read(text)


def read(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.text = " ".join(checker.text.split())
    assert checker.open == []
    assert checker.scripts == text.startswith("<!DOCTYPE")  # the page's own, which sorts tables
    assert all(address.startswith(("data:", "#")) for address in checker.addresses)
    assert not {"iframe", "object", "embed", "form"} & checker.tags
    assert not {"onerror", "onload", "onclick"} & checker.attributes
    assert "url(" not in text
    assert "@import" not in text
    return checker


def test_a_whole_run_is_on_the_page() -> None:
    made = random_table()
    robust = {"clean": 0.9, "mean_auc_drop": 0.123, "auc": {"jpeg": {"90": 0.8, "30": 0.7}}, "undefined": []}
    splits = {
        "splits": {"test": {"videos": 50, "identities": 3, "fake_fraction": 0.6}},
        "warnings": ["odd <one>"],
    }
    stages = {"faces": {"videos": 50, "failed": 1, "status": {"ok": 49, "no_face": 1}}}
    each = facts_of(made, stages=stages, splits=splits, robustness=robust)
    wrong, right = most_confident(made.to_pylist(), 2)
    picture = {name: jpeg_address(np.zeros((9, 9, 3), np.uint8)) for name in ("crop", "mask", "heat", "residual")}
    shown = Examples(
        [Example(made.to_pylist()[0], picture)], [Example(r, picture) for r in wrong], [Example(r, {}) for r in right]
    )
    found = page(each, shown)
    for words in (
        *("Overview", "Cross-dataset", "Training", "Provenance", "Data and audit", "What the detector is given"),
        *("ROC", "Precision and recall", "DET", "Calibration", "Confusion", "Scores", "Figures", "By category"),
        *("By method", "Robustness", "JPEG", "Most confident mistakes", "Most confident successes", "Grad-CAM"),
    ):
        assert words in found.text, words
    assert "odd <one>" in found.text  # escaped, and so shown
    assert f"{each.figures['video']['auc']:.3f}" in found.text
    assert "0.123" in found.text
    assert found.addresses.count(picture["crop"]) == 12
    assert len(found.pictures) == 12
    assert all(found.pictures)  # each has words for those who cannot see it


def test_every_link_leads_somewhere_and_every_chart_has_words() -> None:
    found = page(facts_of(random_table()))
    assert {address[1:] for address in found.addresses if address.startswith("#")} <= found.ids
    assert found.charts > 8
    assert found.unnamed == []


@pytest.mark.parametrize(
    "made",
    [
        table(row("a", 1, 0.9), row("b", 1, 0.2)),
        table(row("a", 1, None), row("b", 0, None)),
        table(row("a", None, 0.4)),
        table(row("a", 1, 0.4)),
        table(),
    ],
    ids=["one class", "no face", "no label", "one video", "no video"],
)
def test_odd_datasets_have_a_page_too(made: pa.Table) -> None:
    found = page(facts_of(made))
    assert "Why some figures are undefined" in found.text
    assert "video AUC undefined" in found.text
    assert "ROC" not in found.text


def test_anomaly_detectors_show_their_scores_by_category() -> None:
    found = page(facts_of(random_table()), calibration={"location": 0.0, "scale": 1.0})
    assert "Anomaly scores by category" in found.text


def test_names_from_outside_cannot_break_the_page() -> None:
    evil = "\"><script>alert(1)</script><img src=https://example.org/x onerror=alert(2)>&amp;'"
    bad = {"reason": evil, "status": evil, "method": evil, "category": evil, "identity": evil, "compression": evil}
    made = table(row(evil, 1, None, **bad), row(evil + "2", 1, 0.1, **bad), row("b", 0, 0.2))
    splits = {"splits": {"test": {"videos": 3, "identities": 1, "fake_fraction": 0.5}}, "warnings": [evil]}
    each = facts_of(made, splits=splits, stages={"faces": {"videos": 3, "failed": 1, "status": {evil: 1}}})
    shown = [Example(r, {"crop": jpeg_address(np.zeros((9, 9, 3), np.uint8))}) for r in made.to_pylist()]
    train = {"params": {"dataset": "made", "recipe": evil, evil: evil}, "recipe": {evil: evil}}
    versions: dict[str, Any] = {"packages": {evil: evil}, "data": {evil: evil}}
    found = page(each, Examples(shown, shown, shown), train=train, **versions)
    assert found.text.count(evil) > 12


def test_caveats_follow_the_figures() -> None:
    said = page(facts_of(table(*[row(f"r{i}", 0, 0.6 + i / 100) for i in range(9)], row("f", 1, 0.95)))).text
    assert "too few test videos (9 real, 1 fake); with under 20 of a class" in said
    assert "does not fit this dataset" in said
    large = page(facts_of(random_table(reals=300, fakes=300, shift=9.0))).text
    assert "too few" not in large.replace("frames too few", "")
    assert "does not fit" not in large


def test_few_videos_have_no_bare_headline() -> None:
    """The card says "too few" before the figure, and each figure has its interval or the reason beside it."""
    said = page(facts_of(table(*(row(f"v{i}", i % 2, 0.2 + 0.6 * (i % 2)) for i in range(20))))).text
    card = said.split("Headline figures made in-domain ")[1]
    assert card.startswith("too few test videos (10 real, 10 fake) video AUC 1.000 [0.741, 1.000]")
    assert "accuracy 1.000 no interval: the resamples hardly vary" in card
    few = page(facts_of(table(*(row(f"v{i}", i % 2, 0.1 * i) for i in range(6))))).text
    few = few.split("Headline figures made in-domain ")[1]
    assert few.startswith(
        "too few test videos (3 real, 3 fake) video AUC 0.667 (no interval: 3 real videos; 5 are needed)"
    )
    row_of_figures = said.split("tested on")[1]
    assert "made in-domain 20 1.000 [0.741, 1.000] too few test videos (10 real, 10 fake)" in row_of_figures


def test_uncalibrated_scores_are_told_from_few_videos() -> None:
    """Twenty calibrated scores have a large calibration error by chance; overconfident ones have more than that."""
    rng = np.random.default_rng(1)
    scores = rng.random(20)
    labels = (rng.random(20) < scores).astype(int)
    rows = [row(f"v{i}", int(label), float(score)) for i, (label, score) in enumerate(zip(labels, scores, strict=True))]
    calibrated = facts_of(table(*rows))
    assert calibrated.figures["video"]["ece"] > 0.1
    assert "not calibrated probabilities" not in page(calibrated).text
    overconfident = [row(f"v{i}", i // 2 % 2, 0.02 + 0.96 * (i % 2)) for i in range(20)]
    assert "not calibrated probabilities" in page(facts_of(table(*overconfident))).text


def test_sections_and_page_from_files(tmp_path: Path) -> None:
    made = clips(0, 0, 4)
    folder = tmp_path / "data" / "made"
    write_dataset(folder, made, frames=2)
    write_faces(folder, made, frames=2)
    write_masks(folder, made, frames=2)
    model = tmp_path / "model"
    save_model(model, "xception", train={"params": {"dataset": "made"}})
    params = load(ROOT / "params.yaml")
    predict = PredictParams(model=model, n_examples=1)
    params = params.model_copy(update={"run": RunParams(datasets=["made"]), "evaluate": QUICK, "predict": predict})
    score_and_evaluate("made", model=model, root=tmp_path, n_examples=1)
    (tmp_path / "metrics/made/audit.json").write_text('{"warnings": ["all 4 originals in test are also in train"]}')
    with pytest.raises(UserError, match="--section made"):
        write_report(params, tmp_path)
    written = [write_section("made", params, tmp_path), write_report(params, tmp_path)]
    before = [path.read_bytes() for path in written]
    write_section("made", params, tmp_path)
    write_report(params, tmp_path)
    assert [path.read_bytes() for path in written] == before
    found = read(before[1].decode())
    assert "evidence for fake" in found.text
    assert "evaluated made" in found.text
    assert "Splits of made: all 4 originals in test are also in train" in found.text  # among the caveats
    assert "The audit of the splits warns: all 4 originals in test are also in train" in found.text
    assert "nothing to warn of" not in found.text
    assert any("attention mask" in words for words in found.pictures)
    assert str(tmp_path) not in before[1].decode()
    figures = json.loads((tmp_path / "metrics/cross_dataset.json").read_text())
    assert figures["tested_on"]["made"]["in_domain"]


def test_sequences_have_a_section_with_mouths_for_crops(tmp_path: Path) -> None:
    made = clips(0, 0, 4)
    folder = tmp_path / "data" / "made"
    write_dataset(folder, made, frames=1)
    write_faces(folder, made, frames=1)
    write_sequences(folder, made)
    model = tmp_path / "model"
    save_model(model, "av_transformer", train={"params": {"dataset": "made"}})
    predict = PredictParams(model=model)
    params = load(ROOT / "params.yaml").model_copy(update={"evaluate": QUICK, "predict": predict})
    score_and_evaluate("made", model=model, root=tmp_path)
    html = json.loads(write_section("made", params, tmp_path).read_text())["html"]
    found = read(html)
    assert "Anomaly scores by category" in found.text
    assert "Grad-CAM" not in found.text
    assert sum(words.startswith("mouth") for words in found.pictures) == 4


def test_most_confident_are_the_furthest_from_the_threshold() -> None:
    rows = [row("a", 1, 0.1), row("b", 1, 0.4), row("c", 0, 0.95), row("d", 0, 0.02), row("e", 1, 0.7)]
    wrong, right = most_confident(table(*rows).to_pylist(), 2)
    assert [item["video_id"] for item in wrong] == ["c", "a"]
    assert [item["video_id"] for item in right] == ["d", "e"]


def test_heat_is_laid_over_and_keeps_the_picture() -> None:
    picture = np.full((4, 4, 3), 200, np.uint8)
    heat = np.zeros((4, 4))
    heat[0, 0] = 1
    shown = overlay(picture, heat)
    assert shown[0, 0].sum() > shown[3, 3].sum()
    assert (shown[3, 3] >= 100).all()


def test_curves(tmp_path: Path) -> None:
    (tmp_path / "val_auc.tsv").write_text("step\tval_auc\n0\t0.5\n1\t0.75\n")
    assert read_curves(tmp_path) == {"val_auc": [(0.0, 0.5), (1.0, 0.75)]}
