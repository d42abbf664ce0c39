"""What the pages of the documentation hold: fenced blocks, commands, links, headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "datasets/README.md", *sorted(ROOT.glob("docs/**/*.md"))]
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = (
    "apt-get",
    "conda",
    "git",
    "mkdocs",
    "mypy",
    "pip",
    "pytest",
    "python",
    "ruff",
    "torchrun",
    "vireid",
)
INLINE = re.compile(rf"`(?P<text>(?:[A-Z_]+=\S+ )?(?:{'|'.join(PROGRAMS)})(?: [^`]+)?)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Args:
        page: path from the repository's root.
        line: where it begins, from 1.
        language: the first word behind the fence; empty where there is none.
        title: of ``title="…"``, the file that the block is, or changes.
    """

    page: str
    line: int
    language: str
    title: str
    text: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        language, _, rest = match["info"].partition(" ")
        title = re.fullmatch(r'title="([^"]+)"', rest)
        line = text.count("\n", 0, match.start()) + 1
        yield Block(name_of(page), line, language, title[1] if title else "", match["text"])


def prose_of(page: Path) -> str:
    """The page without its fenced blocks, lines kept in their places."""
    text = page.read_text(encoding="utf-8")
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def inline_commands(page: Path) -> Iterator[str]:
    """Commands in running text and tables: code that begins with a program's name."""
    for match in INLINE.finditer(prose_of(page)):
        yield " ".join(match["text"].split()).replace("\\|", "|")
