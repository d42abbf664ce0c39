"""The page of runs in a real browser: at a phone's width, on paper, and what its console says."""

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
  document.querySelector("output").textContent = JSON.stringify({{
    width: root.clientWidth, scrollWidth: root.scrollWidth,
    out: out.map((e) => e.tagName + e.className),
    images: [...page.images].map((i) => i.naturalWidth),
    shown: [...page.images].map((i) => i.getBoundingClientRect().width),
    scrolling: [...page.querySelectorAll(".scroll")].filter(
      (e) => e.scrollWidth > e.clientWidth).length,
    text: parseFloat(getComputedStyle(page.querySelector("td")).fontSize),
  }});
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


@pytest.fixture(scope="module")
def page(finished_run, tmp_path_factory) -> Path:
    """Two recipes of long names, with a wide figure of their own."""
    folder = tmp_path_factory.mktemp("report")
    for name in ("a_recipe_with_quite_a_long_name,MODEL.SHARED_DEPTH=3", "other"):
        shutil.copytree(finished_run, folder / name / "seed0")
    out = folder / "report.html"
    runs = [str(path.parent) for path in folder.rglob("config.yaml")]
    assert report.main([*runs, "--out", str(out)]) == 0
    return out


def test_a_phone_shows_the_page_without_scrolling_sideways(page, tmp_path):
    found, console = look_at(page.read_text(encoding="utf-8"), tmp_path, 360)
    assert console == []
    assert found["width"] == 360 and found["scrollWidth"] == 360 and found["out"] == []
    assert len(found["images"]) == 2 * 2 + 1 and min(found["images"]) > 100
    assert min(found["shown"]) > 250  # large enough to read
    assert found["scrolling"] >= 2  # wide tables, within their own boxes
    assert found["text"] >= 14


def test_the_page_can_be_printed(page, tmp_path):
    path = tmp_path / "report.pdf"
    browse(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={path}", page.as_uri())
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 12
