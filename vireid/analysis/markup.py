"""HTML from Python, in which text cannot become markup by accident."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

EMPTY = frozenset({"img", "meta", "link", "br", "wbr"})  # elements that have no end


class Markup(str):
    """Text that is HTML already; any other text is escaped where it is put into an element."""

    __slots__ = ()


def element(tag: str, /, *content: str | Iterable[str], **attributes: object) -> Markup:
    """One element.

    Args:
        content: text, which is escaped, or :class:`Markup`; lists of such are put in one by one.
        attributes: escaped; ``class_`` stands for ``class``, an underscore for a hyphen; those
            that are None or empty are left out.
    >>> element("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    names = {key: key.rstrip("_").replace("_", "-") for key in attributes}
    given = "".join(
        f' {names[key]}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value not in (None, "")
    )
    if tag in EMPTY:
        return Markup(f"<{tag}{given}>")
    return Markup(f"<{tag}{given}>{join(content)}</{tag}>")


def join(content: Iterable[str | Iterable[str]]) -> Markup:
    """Pieces one behind another; those that are not :class:`Markup` are escaped."""
    pieces = []
    for piece in content:
        if isinstance(piece, Markup):
            pieces.append(str(piece))
        elif isinstance(piece, str):
            pieces.append(html.escape(piece))
        else:
            pieces.append(str(join(piece)))
    return Markup("".join(pieces))


def breakable(text: str) -> Markup:
    """Text whose long names may go on in the next line behind a mark within them."""
    pieces = re.split(r"(?<=[._/,=+])(?=\w)", text)
    return join([pieces[0], *((element("wbr"), piece) for piece in pieces[1:])])


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, names: int = 1
) -> Markup:
    """A table in a box of its own, which scrolls where the page is narrower.

    Args:
        caption: what it shows.
        names: columns at the left that name a row; the others are set as numbers.
    """
    head = element("tr", [element("th", title, scope="col") for title in header])
    body = [
        element(
            "tr",
            element("th", breakable(row[0]), scope="row"),
            [
                element(
                    "td",
                    breakable(cell) if at < names else cell,
                    class_="" if at < names else "number",
                )
                for at, cell in enumerate(row[1:], start=1)
            ],
        )
        for row in rows
    ]
    whole = element("table", element("thead", head), element("tbody", body))
    box = element("div", whole, class_="scroll", role="region", tabindex="0", aria_label=caption)
    return element("figure", element("figcaption", caption), box, class_="table")
