"""Text that fits a given width: measured, broken into lines, or shortened in its middle."""

from __future__ import annotations

import re
from functools import cache

from vireid.errors import printable
from vireid.figures.style import load_matplotlib

SPARE = 1.04  # glyphs of a picture are placed on whole pixels, which widens them a little
GOOD_ENDS = " /\\_-.,:;·"  # a line may end behind these


@cache
def _advance(letter: str, bold: bool) -> float:
    """Width of a letter of size 1, in points; the font is that of all figures."""
    load_matplotlib()
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font, LoadFlags

    weight = "bold" if bold else "normal"
    font = FT2Font(findfont(FontProperties(family="DejaVu Sans", weight=weight)))
    number = font.get_char_index(ord(letter))
    if not number:  # of another font; Chinese characters are as wide as high
        return 1.0
    glyph = font.load_glyph(number, flags=LoadFlags.NO_SCALE)
    return glyph.horiAdvance / font.units_per_EM


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of one line in inches.

    Args:
        size: of the letters, in points.
    """
    return SPARE * size / 72 * sum(_advance(letter, bold) for letter in text)


def fit_text(text: str, width: float, size: float, *, lines: int = 1, bold: bool = False) -> str:
    """The text in lines that are not wider than ``width``.

    Lines end behind blanks and signs such as ``/`` and ``_`` where they can. A text that needs
    more than ``lines`` lines loses letters in its middle, where … is written. Letters that cannot
    be printed are written as codes.

    Args:
        width: inches.
        size: of the letters, in points.
    """

    text = printable(text).replace("\n", "\\n")
    found = _broken(text, width, size, bold)
    most, fewest = len(text), 0  # letters kept: too many, few enough
    while len(found) > lines and most - fewest > 1:
        kept = (most + fewest) // 2
        short = _broken(_without_middle(text, kept), width, size, bold)
        if len(short) > lines:
            most = kept
        else:
            fewest = kept
    if fewest or len(found) > lines:
        found = _broken(_without_middle(text, fewest), width, size, bold)
    return "\n".join(found)


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"


def _broken(text: str, width: float, size: float, bold: bool) -> list[str]:
    """Lines that fit; a word that is too long for a line is broken anywhere."""
    lines, line = [], ""
    for word in re.findall(rf"[^{re.escape(GOOD_ENDS)}]*[{re.escape(GOOD_ENDS)}]?", text):
        if line and text_width((line + word).rstrip(), size, bold=bold) > width:
            lines.append(line.rstrip())
            line = ""
        for letter in word:
            if line and text_width((line + letter).rstrip(), size, bold=bold) > width:
                lines.append(line.rstrip())
                line = ""
            line += letter
    return [*lines, line.rstrip()]
