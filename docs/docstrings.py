"""Griffe extension: turns this project's docstrings into what mkdocstrings draws as sections."""

import re
from itertools import takewhile
from typing import Any

import griffe

SECTION = re.compile(r"(?<!\n)\n(?=(?:Args|Attributes|Raises|Returns|Source|Yields):)")
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
FLAG = re.compile(r" *# doctest: .*")


class Sections(griffe.Extension):
    """A blank line before each section, sources as a paragraph, examples as code."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is None:
            return
        text = SECTION.sub("\n\n", obj.docstring.value)
        text = re.sub(r"^Source: ", "**Source:** ", text, flags=re.MULTILINE)
        obj.docstring.value = EXAMPLE.sub(
            lambda match: f"\n```pycon\n{FLAG.sub('', match[0])}\n```\n", text
        )

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """The comment above a table of choices, such as ``BACKBONES``, is its docstring."""
        if attr.docstring is None and attr.name.isupper() and attr.lineno:
            lines = attr.module.lines_collection[attr.module.filepath][: attr.lineno - 1]
            comment = list(takewhile(lambda line: line.startswith("# "), reversed(lines)))
            text = " ".join(line[2:] for line in reversed(comment))
            attr.docstring = griffe.Docstring(text, parent=attr) if text else None
