"""What tests read of a report's page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from vireid.cli import report

VOID = {"img", "meta", "link", "br", "wbr"}  # elements that have no end


class Reader(HTMLParser):
    """Checks that every element ends where it should, and keeps what a test asks for.

    Attributes:
        sources, links: addresses of what is embedded, and of what is referred to.
        lists: of each ranked list, the texts of its heading, its query and its images.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        text = text.replace("\N{NO-BREAK SPACE}", " ")
        self.open: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.ids: set[str] = set()
        self.rows: list[list[str]] = []
        self.lists: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute of <{tag}> is there twice"
        self.tags.append(tag)
        self.attributes |= set(given)
        embedded = ("src", "data", "srcset", *(["href"] if tag == "image" else []))
        self.sources += [given[key] or "" for key in embedded if key in given]
        self.links += [given["href"] or ""] if "href" in given and tag != "image" else []
        if "id" in given:
            assert given["id"] not in self.ids
            self.ids.add(given["id"] or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        classes = (given.get("class") or "").split()
        if "ranked" in classes:
            self.lists.append([""])
        if "item" in classes:
            self.lists[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"th", "td"} & set(self.open[-2:]):
            self.rows[-1][-1] += data
        if self.lists:
            self.lists[-1][-1] += data


def made(out: Path, *runs: Path, options: tuple[str, ...] = ()) -> Reader:
    """The page that the tool writes."""
    assert report.main([*map(str, runs), "--out", str(out), *options]) == 0
    return Reader(out.read_text(encoding="utf-8"))
