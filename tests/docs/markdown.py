"""Reads the pages of the documentation: fenced blocks, commands, running text."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "datasets/README.md")]
PAGES += sorted(ROOT.glob("docs/**/*.md"))
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
PROGRAMS = "apt-get conda git mkdocs mypy pip pre-commit pytest python ruff torchrun vireid".split()
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
        body = textwrap.dedent(match["text"]) if match["indent"] else match["text"]
        yield Block(name_of(page), line, language, title[1] if title else "", body)


def prose_of(page: Path) -> str:
    """The page without its fenced blocks, lines kept in their places."""
    text = page.read_text(encoding="utf-8")
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def inline_commands(page: Path) -> Iterator[str]:
    """Commands in running text and tables: code that begins with a program's name."""
    for match in INLINE.finditer(prose_of(page)):
        yield " ".join(match["text"].split()).replace("\\|", "|")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a page, without variables of the environment before it."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def is_pattern(self) -> bool:
        """Whether it names a tool rather than something to type."""
        return bool(re.search(r"…|NAME|^(python )?\S+$", self.text))


def commands_of(page: Path) -> Iterator[Command]:
    """Commands of a page's shell blocks and of its running text, each once."""
    lines = list(inline_commands(page))
    for block in blocks_of(page):
        if block.language == "bash":
            lines += block.text.replace("\\\n", " ").splitlines()
    single = [part for line in lines for part in _without_comment(line).split(" && ")]
    texts = [re.sub(r"^(?:[A-Z_]+=\S+ )+", "", " ".join(text.split())) for text in single]
    yield from (Command(name_of(page), text) for text in dict.fromkeys(texts) if text)


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*", "", line)
