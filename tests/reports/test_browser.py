"""The page of runs in a real browser: at a phone's width, on paper, its script and its console."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.browser import needs_browser, outside, window
from vireid.cli import report

pytestmark = needs_browser
SCORES = {"a_recipe_with_quite_a_long_name,MODEL.SHARED_DEPTH=3": 0.0951, "other": 0.62, "b": 0.5}


@pytest.fixture(scope="module")
def page(finished_run, tmp_path_factory) -> Path:
    """Three recipes, two of them with long numbers, and ranked lists of one query each."""
    folder = tmp_path_factory.mktemp("report")
    for name, score in SCORES.items():
        run = shutil.copytree(finished_run, folder / name / "seed0")
        results = json.loads((run / "results.json").read_text())
        results["protocols"]["sysu_all_single"]["mean"]["mAP"] = score
        (run / "results.json").write_text(json.dumps(results))
    out = folder / "report.html"
    runs = [str(folder / name) for name in SCORES]
    assert report.main([*runs, "--out", str(out), "--lists", "1"]) == 0
    return out


@pytest.fixture(scope="module")
def phone(page, chromium):
    """The page in a window as narrow as a phone's, and its console."""
    with window(chromium, 360) as (opened, console):
        opened.goto(page.as_uri())
        yield opened, console


def test_a_phone_shows_the_page_without_scrolling_sideways(phone):
    opened, console = phone
    assert console == [] and outside(opened) == []
    root = "document.documentElement"
    assert opened.evaluate(f"[{root}.clientWidth, {root}.scrollWidth]") == [360, 360]
    images = opened.evaluate(
        "[...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width])"
    )
    assert len(images) == 3 * 3 + 1 and min(own for own, _ in images) > 100
    assert min(shown for _, shown in images) > 250  # large enough to read
    wide = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
    assert opened.evaluate(f"{wide}.length") >= 2  # wide tables, within their own boxes
    size = "parseFloat(getComputedStyle(document.querySelector('td')).fontSize)"
    assert opened.evaluate(size) >= 14


def test_a_click_on_a_column_sorts_by_value(phone):
    table = phone[0].locator("#scores table.sortable")
    names = table.locator("th").all_inner_texts()

    def click(name: str) -> list[str | None]:
        """The order that the column's head states, and its cells."""
        place = names.index(name)
        table.locator("th button").nth(place).click()
        cells = table.locator(f"tbody tr > :nth-child({place + 1})").all_text_contents()
        return [table.locator("th").nth(place).get_attribute("aria-sort"), *map(str.strip, cells)]

    assert click("mAP") == ["descending", "62.00", "50.00", "9.51"]
    assert click("mAP") == ["ascending", "9.51", "50.00", "62.00"]
    assert click("recipe") == ["ascending", *sorted(SCORES)]
    assert click("mINP")[0] == "descending"
    assert table.locator("[aria-sort]").count() == 1  # the others say nothing any more


def test_an_image_opens_a_large_view_and_keys_step_through_the_list(phone):
    opened, _ = phone
    first = opened.locator("details", has=opened.locator("button.item")).first
    first.evaluate("e => { e.open = true }")
    items, large = opened.locator("button.item"), opened.locator("dialog")
    paths = items.locator(".path").all_text_contents()[:3]
    items.nth(1).click()
    shown = large.locator(".item").nth(1).locator(".path")
    seen = [shown.text_content()]
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft"):
        opened.keyboard.press(key)
        seen.append(shown.text_content())
    assert seen == [paths[place] for place in (1, 2, 1, 0)] and len(set(paths)) == 3
    large.locator(".close").click()
    assert not large.is_visible()


def test_the_button_changes_between_light_and_dark(phone):
    colours = []
    for _ in range(3):
        colours.append(phone[0].evaluate("getComputedStyle(document.body).backgroundColor"))
        phone[0].click("button.theme")
    assert colours == ["rgb(255, 255, 255)", "rgb(22, 25, 29)", "rgb(255, 255, 255)"]


def test_the_page_can_be_printed(page, chromium):
    with window(chromium, 1280) as (opened, _):
        opened.goto(page.as_uri())
        content = opened.pdf()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 14
