"""The page of runs in a real browser: at a phone's width, on paper, its script and its console."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vireid.cli import report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
NO_BROWSER = "needs a browser: Debian's package chromium, or google-chrome"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BROWSER, reason=NO_BROWSER)]
# A headless window is at least 500 pixels wide; a frame is as narrow as a phone.
WRAPPER = """<!DOCTYPE html><meta charset="utf-8">
<iframe id="page" style="width:{width}px;height:740px;border:0" srcdoc="{page}"></iframe>
<output></output>
<script>
addEventListener("load", () => {{
  const page = document.getElementById("page").contentDocument, root = page.documentElement;
  const out = [...page.querySelectorAll("body *")].filter(
    (e) => !e.parentElement.closest(".scroll")
      && e.getBoundingClientRect().right > root.clientWidth + 1);
  const found = {{
    width: root.clientWidth, scrollWidth: root.scrollWidth,
    out: out.map((e) => e.tagName + e.className),
    images: [...page.images].map((i) => i.naturalWidth),
    shown: [...page.images].map((i) => i.getBoundingClientRect().width),
    scrolling: [...page.querySelectorAll(".scroll")].filter(
      (e) => e.scrollWidth > e.clientWidth).length,
    text: parseFloat(getComputedStyle(page.querySelector("td")).fontSize),
  }};
  const table = page.querySelector("#scores table.sortable");
  const column = (name) => [...table.rows[0].cells].find((h) => h.textContent === name);
  const sorted = (name) => {{
    const head = column(name);
    head.querySelector("button").click();
    return [head.getAttribute("aria-sort"), ...[...table.tBodies[0].rows].map(
      (row) => row.cells[head.cellIndex].textContent.trim())];
  }};
  found.sorted = ["mAP", "mAP", "recipe", "mINP"].map(sorted);
  found.heads = table.querySelectorAll("[aria-sort]").length;
  const theme = page.querySelector("button.theme");
  const back = () => getComputedStyle(page.body).backgroundColor;
  found.colours = [back(), (theme.click(), back()), (theme.click(), back())];
  const items = page.querySelectorAll("button.item"), large = page.querySelector("dialog");
  const path = () => large.querySelectorAll(".item")[1]?.querySelector(".path").textContent;
  const key = (name) => large.dispatchEvent(new KeyboardEvent("keydown", {{key: name}}));
  items[1].closest("details").open = true;
  items[1].click();
  found.large = [large.open, path(), (key("ArrowRight"), path())];
  found.large.push((key("ArrowLeft"), key("ArrowLeft"), path()));
  large.querySelector(".close").click();
  found.closed = !large.open;
  found.paths = [1, 2, 0].map((i) => items[i].querySelector(".path").textContent);
  document.querySelector("output").textContent = JSON.stringify(found);
}});
</script>"""


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options.append(f"--user-data-dir={folder / 'user'}")
    command = [BROWSER, *options, "--enable-logging=stderr", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def look_at(page: str, folder: Path, width: int) -> tuple[dict, list[str]]:
    """What the browser measures, and the lines of its console."""
    path = folder / "wrapper.html"
    path.write_text(WRAPPER.format(width=width, page=html.escape(page)), encoding="utf-8")
    done = browse(folder, "--dump-dom", "--virtual-time-budget=20000", path.as_uri())
    found = re.search(r"<output>(.*?)</output>", done.stdout, re.DOTALL)
    assert found, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), console


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
def seen(page, tmp_path_factory) -> tuple[dict, list[str]]:
    """What the browser measures of it at a phone's width."""
    return look_at(page.read_text(encoding="utf-8"), tmp_path_factory.mktemp("phone"), 360)


def test_a_phone_shows_the_page_without_scrolling_sideways(seen):
    found, console = seen
    assert console == []
    assert found["width"] == 360 and found["scrollWidth"] == 360 and found["out"] == []
    assert len(found["images"]) == 3 * 3 + 1 and min(found["images"]) > 100
    assert min(found["shown"]) > 250  # large enough to read
    assert found["scrolling"] >= 2  # wide tables, within their own boxes
    assert found["text"] >= 14


def test_a_click_on_a_column_sorts_by_value(seen):
    by_score, turned, by_name, other = seen[0]["sorted"]
    assert by_score == ["descending", "62.00", "50.00", "9.51"]
    assert turned == ["ascending", "9.51", "50.00", "62.00"]
    assert by_name == ["ascending", *sorted(SCORES)]
    assert other[0] == "descending" and seen[0]["heads"] == 1  # the others say nothing any more


def test_an_image_opens_a_large_view_and_keys_step_through_the_list(seen):
    found = seen[0]
    opened, *paths = found["large"]
    assert opened and paths == found["paths"] and len(set(paths)) == 3
    assert found["closed"]


def test_the_button_changes_between_light_and_dark(seen):
    light, dark, again = seen[0]["colours"]
    assert light == again == "rgb(255, 255, 255)" and dark == "rgb(22, 25, 29)"


def test_the_page_can_be_printed(page, tmp_path):
    path = tmp_path / "report.pdf"
    browse(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={path}", page.as_uri())
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 14
