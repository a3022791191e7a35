"""The report: whole, self-contained, honest about what is undefined, the same from the same facts."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stages.evaluate.generalisation import generalisation
from stages.evaluate.judge import judge
from stages.evaluate.predictions import select
from stages.evaluate.report.crops import Example, as_data, laid_over, most_confident
from stages.evaluate.report.gather import DatasetFacts, RunFacts, code_hash, read_curves
from stages.evaluate.report.page import Pictures, render
from tests.evaluate.bundles import make_detector, make_info
from tests.evaluate.tables import QUICK, random_table, row, table

VOID = {"meta", "img", "line", "polyline", "circle", "rect"}


class Checker(HTMLParser):
    """Every tag is closed, in order; text and headings are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def facts_of(made: pa.Table, **more: Any) -> DatasetFacts:
    figures = judge(made, threshold=0.5, video_score="mean", params=QUICK, validation=None)
    return DatasetFacts("made", figures, made, select(made, QUICK), **more)


def page(each: DatasetFacts, pictures: Pictures | None = None, **changes: Any) -> Checker:
    info = make_info(make_detector("xception"), train={"params": {"dataset": "made", "seed": 42}}, **changes)
    facts = RunFacts(info, "made", [each], {"train_loss": [(0.0, 0.7), (1.0, 0.5)], "val_auc": [(0.0, 0.6)]}, "c0de")
    found = generalisation("xception", "made", {"made": each.figures})
    text = render(facts, found, {"made": pictures or Pictures()})
    assert text == render(facts, found, {"made": pictures or Pictures()})
    assert "NaN" not in text
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert all(address.startswith("data:") for address in checker.addresses)  # nothing is fetched
    assert not {"script", "link", "iframe"} & checker.tags
    assert "url(" not in text
    assert "@import" not in text
    return checker


def test_a_whole_run_is_on_the_page() -> None:
    made = random_table()
    robust = {"clean": 0.9, "mean_drop": 0.1, "auc": {"jpeg": {"90": 0.8, "30": 0.7}}, "undefined": []}
    splits = {"splits": {"test": {"videos": 50, "identities": 3, "fake_share": 0.6}}, "warnings": ["odd <one>"]}
    stages = {"faces": {"videos": 50, "failed": 1, "status": {"ok": 49, "no_face": 1}}}
    each = facts_of(made, stages=stages, splits=splits, robustness=robust)
    wrong, right = most_confident(each, 2)
    picture = {"crop": as_data(np.zeros((9, 9, 3), np.uint8))}
    shown = Pictures(
        [Example(made.to_pylist()[0], picture)], [Example(r, {}) for r in wrong], [Example(r, {}) for r in right]
    )
    found = page(each, shown)
    for words in ("Training", "Data", "ROC", "DET", "Calibration", "By method", "Robustness", "mistakes", "Made from"):
        assert words in found.text, words
    assert "odd <one>" in found.text  # escaped, and so shown
    assert f"{each.figures['video']['auc']:.3f}" in found.text
    assert found.addresses == [picture["crop"]]


@pytest.mark.parametrize(
    "made",
    [
        table(row("a", 1, 0.9), row("b", 1, 0.2)),
        table(row("a", 1, None), row("b", 0, None)),
        table(row("a", None, 0.4)),
        table(),
    ],
    ids=["one class", "no face", "no label", "no video"],
)
def test_odd_datasets_have_a_page_too(made: pa.Table) -> None:
    found = page(facts_of(made))
    assert "Why figures are undefined" in found.text
    assert "ROC" not in found.text


def test_anomaly_detectors_show_their_scores_by_category() -> None:
    found = page(facts_of(random_table()), calibration={"location": 0.0, "scale": 1.0})
    assert "Anomaly scores" in found.text


def test_names_from_outside_cannot_break_the_page() -> None:
    evil = '<script>alert("x")</script>'
    found = page(facts_of(table(row(evil, 1, None, reason=evil, method=evil), row("b", 0, 0.2))))
    assert evil in found.text


def test_most_confident_are_the_furthest_from_the_threshold() -> None:
    rows = [row("a", 1, 0.1), row("b", 1, 0.4), row("c", 0, 0.95), row("d", 0, 0.02), row("e", 1, 0.7)]
    wrong, right = most_confident(facts_of(table(*rows)), 2)
    assert [item["video_id"] for item in wrong] == ["c", "a"]
    assert [item["video_id"] for item in right] == ["d", "e"]


def test_heat_is_laid_over_and_keeps_the_picture() -> None:
    picture = np.full((4, 4, 3), 200, np.uint8)
    heat = np.zeros((4, 4))
    heat[0, 0] = 1
    shown = laid_over(picture, heat)
    assert shown[0, 0].sum() > shown[3, 3].sum()
    assert (shown[3, 3] >= 100).all()


def test_curves_and_code_hash(tmp_path: Path) -> None:
    (tmp_path / "val_auc.tsv").write_text("step\tval_auc\n0\t0.5\n1\t0.75\n")
    assert read_curves(tmp_path) == {"val_auc": [(0.0, 0.5), (1.0, 0.75)]}
    (tmp_path / "a.py").write_text("x = 1\n")
    before = code_hash(tmp_path)
    assert code_hash(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2\n")
    assert code_hash(tmp_path) != before
