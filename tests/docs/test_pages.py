"""Links, anchors, navigation, generated pages and lists of the documentation."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.markdown import PAGES, ROOT, name_of, prose_of
from vireid.config.load import flatten
from vireid.config.schema import default_config

sys.path.insert(0, str(ROOT / "docs"))
import make_configuration
import make_published
import make_structure

IDS = [name_of(page) for page in PAGES]
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")


def anchors_of(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and mkdocs both make them of these."""
    headings = re.findall(r"^#{1,6} (.+)$", prose_of(page), flags=re.MULTILINE)
    plain = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in plain]
    return {word.strip().replace(" ", "-") for word in words}


def links_of(page: Path) -> list[str]:
    return [html.unescape(link) for link in LINK.findall(prose_of(page))]


def broken(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    found = []
    for link in links_of(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        anchor = "" if anchor.startswith("vireid.") else anchor  # of docs/api; mkdocs finds those
        target = Path(os.path.normpath(page.parent / name)) if name else page
        anchors = anchors_of(target) if target.suffix == ".md" and target.is_file() else set()
        if not target.exists() or (anchor and anchor not in anchors):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_and_anchors_exist(page):
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# What `x` is\n")
    page = tmp_path / "a.md"
    page.write_text("[a](b.md#what-x-is) [b](b.md#what-y-is) [c](c.md) [d](#e)\n# D\n[f](#d)\n")
    assert broken(page) == ["b.md#what-y-is", "c.md", "#e"]


def test_links_are_looked_for():
    assert len([link for page in PAGES for link in links_of(page)]) > 80


def test_every_figure_is_shown_somewhere():
    shown = {Path(link).name for page in PAGES for link in links_of(page) if "figures/" in link}
    assert shown == {path.name for path in (ROOT / "docs/figures").iterdir()}


def nav_of(entries: list) -> list[str]:
    """File names of a mkdocs navigation, at any depth."""
    found = []
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found += nav_of(value) if isinstance(value, list) else [value]
    return found


def test_the_site_and_its_first_page_list_every_page():
    docs = ROOT / "docs"
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    nav = nav_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert len(nav) == len(set(nav)) and set(nav) == pages
    linked = set()
    for index in ("index.md", "api/index.md"):
        found = {(Path(index).parent / link.partition("#")[0]) for link in links_of(docs / index)}
        linked |= {link.as_posix() for link in found if link.suffix == ".md"}
    assert linked == pages - {"index.md"}


def test_the_site_builds(tmp_path):
    words = ["-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site/api/losses/index.html").read_text(encoding="utf-8")
    assert "<strong>Source:</strong> Hinton et al." in reference and "Returns:" in reference
    text = (tmp_path / "site/extending/index.html").read_text(encoding="utf-8")
    assert "vireid/data/datasets/night.py" in text and not list((tmp_path / "site").rglob("*.py*"))


def test_every_recipe_is_listed():
    text = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    listed = re.findall(r"`([\w/]+\.yaml)`", text.split("## People")[0])
    files = {
        path.relative_to(ROOT / "configs").as_posix()
        for path in (ROOT / "configs").rglob("*.yaml")
        if not path.name.startswith("_") and "sweeps" not in path.parts
    }
    assert set(listed) == files


def test_the_structure_is_drawn_from_the_imports(tmp_path):
    lines, imports = make_structure.read_package(ROOT / "vireid")
    floors = make_structure.floors_of(imports)
    assert floors["cli"] == 0 and max(floors, key=floors.__getitem__) == "errors"
    assert all(floors[name] < floors[other] for name in imports for other in imports[name])
    edges = make_structure.direct({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    assert edges == {("a", "b"), ("b", "c")}
    make_structure.draw(ROOT / "vireid", tmp_path / "structure.svg")
    assert lines["losses"] > 100 and (tmp_path / "structure.svg").stat().st_size > 10_000


def test_the_options_page_is_what_the_table_says():
    written = make_configuration.PAGE.read_text(encoding="utf-8")
    assert written == make_configuration.page(), "run python docs/make_configuration.py"


def test_the_options_page_has_every_option_with_its_default():
    text = make_configuration.PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z0-9_.]+)` \| ([^|]+) \|", text, flags=re.MULTILINE))
    defaults = flatten(default_config())
    assert list(rows) == sorted(rows, key=list(defaults).index) and rows.keys() == defaults.keys()
    assert rows["SOLVER.EPOCHS"] == "`120`" and rows["INPUT.SIZE"] == "`[288, 144]`"
    assert rows["DATA.ROOT"] == "empty" and rows["MODEL.SDM.SCALE_T2"] == "`true`"


def test_the_page_of_printed_numbers_is_what_the_table_holds():
    written = make_published.PAGE.read_text(encoding="utf-8")
    assert written == make_published.page(), "run python docs/make_published.py"
