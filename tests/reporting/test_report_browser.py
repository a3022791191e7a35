"""The report in a real browser: it fits a phone and a laptop, light and dark, and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.browser import Browser, address, find_browser
from dfdetect.evaluation.cross_dataset import cross_dataset
from dfdetect.reporting.crops import Example, Examples
from dfdetect.reporting.gather import Section
from dfdetect.reporting.page import Run, render
from dfdetect.reporting.section import render_section
from tests.evaluation.saved_models import make_detector, make_info
from tests.evaluation.tables import random_table
from tests.reporting.pages import jpeg_address
from tests.reporting.test_report import facts_of

LONG = "a/folder with a name/" + "x" * 120 + ".mp4"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on the path: install one, or name it in $CHROMIUM")
    with Browser(program) as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of everything that it can show, with a name too long for any line."""
    made = random_table()
    auc = {kind: {"1": 0.8, "2": 0.7} for kind in ("jpeg", "h264", "blur", "shift")}
    splits = {"splits": {"test": {"videos": 50, "identities": 3, "fake_fraction": 0.6}}, "warnings": [LONG]}
    each = facts_of(
        made,
        splits=splits,
        stages={"faces": {"videos": 50, "failed": 1, "status": {"ok": 49, "no_face": 1}}},
        robustness={"clean": 0.9, "mean_auc_drop": 0.1, "auc": auc, "undefined": []},
    )
    picture = jpeg_address(np.full((9, 9, 3), 120, np.uint8))
    rows = [{**row, "video_id": LONG} for row in made.to_pylist()[:3]]
    shown = [Example(row, dict.fromkeys(("crop", "heat", "residual"), picture)) for row in rows]
    info = make_info(make_detector("xception"), train={"params": {"dataset": "made"}}, data={LONG: "0" * 64})
    html = render_section(each, Examples(shown, shown, shown), anomaly=False)
    curves = {"train_loss": [(0.0, 0.7), (1.0, 0.5)], "val_auc": [(0.0, 0.6), (1.0, 0.7)]}
    sections = [
        Section(name, each.figures, 0.1, [LONG], html, "0" * 64, {"torch": "2.0"})
        for name in ("made", "a_second_dataset")
    ]
    found = cross_dataset("xception", "made", {each.name: each.figures for each in sections})
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(Run(info, "made", sections, curves, found)), encoding="utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1366, 390])
def test_it_fits_and_is_quiet(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.requests.clear()
    browser.open(address(page), width=width, height=800, dark=dark)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert [asked for asked in browser.requests if not asked.startswith("data:")] == [address(page)]
    assert browser.errors == []
    assert browser.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(browser: Browser, page: Path, dark: bool) -> None:
    """WCAG 2.2 asks for a contrast of 4.5 of small text."""
    browser.open(address(page), width=1366, height=800, dark=dark)
    low = browser.value(CONTRAST)
    assert low == []


def test_links_lead_below_the_sticky_line_and_tables_take_the_keyboard(browser: Browser, page: Path) -> None:
    browser.open(address(page), width=390, height=800)
    assert browser.value("[...document.querySelectorAll('.scroll')].every(s => s.tabIndex === 0 && s.ariaLabel)")
    browser.value("document.documentElement.style.scrollBehavior = 'auto', location.hash = 'provenance'")
    bar = browser.value("document.querySelector('nav').getBoundingClientRect().bottom")
    title = browser.value("document.querySelector('#provenance h2').getBoundingClientRect().top")
    assert bar <= title <= 800


def test_a_click_on_a_columns_name_sorts_and_a_second_one_turns_the_order(browser: Browser, page: Path) -> None:
    browser.open(address(page), width=1366, height=800)
    table = "document.querySelector('[aria-label=\"identities of the lowest accuracy\"]')"
    shown = f"[...{table}.querySelectorAll('tbody th')].map(e => e.innerText)"
    assert browser.value(shown) == ["id2", "id1", "id0"]  # by accuracy, as the template writes them
    browser.value(f"{table}.querySelectorAll('th button')[2].click()")
    browser.value(f"{table}.querySelectorAll('th button')[2].click()")
    assert browser.value(shown) == ["id0", "id1", "id2"]
    assert browser.value(f"{table}.querySelectorAll('thead th')[2].ariaSort") == "descending"
    browser.value(f"{table}.querySelectorAll('th button')[0].click()")
    assert browser.value(shown) == ["id0", "id1", "id2"]
    figures = "document.querySelector('[aria-label=\"figures by method\"]')"
    browser.value(f"{figures}.querySelectorAll('th button')[3].click()")
    numbers = f"[...{figures}.querySelectorAll('tbody tr')].map(r => parseFloat(r.cells[3].innerText))"
    assert browser.value(f"{numbers}.slice(0, 2)") == [0.9, 0.93]  # the undefined one comes last
    assert browser.errors == []


# Elements with text of their own whose colour is too close to the first opaque background above them.
CONTRAST = """(() => {
  const bright = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(
    v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!c.endsWith(', 0)')) return c; } return 'rgb(255, 255, 255)'; };
  const low = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(e), ink = e instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [bright(ink), bright(behind(e))].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) low.add(`${e.tagName} ${e.getAttribute('class')} ${ratio.toFixed(2)} ${e.textContent}`);
  }
  return [...low];
})()"""
