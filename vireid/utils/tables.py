"""Tables as text: the one writer of Markdown, CSV and LaTeX.

Every function takes a DataFrame of texts whose column names are the header; the index is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pandas takes half a second to import
    import pandas as pd

LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def markdown(table: pd.DataFrame | Sequence[Mapping[str, str]]) -> str:
    """A Markdown table with aligned columns.

    Args:
        table: a DataFrame, or rows with the same keys: a tool that prints one small table need not
            import pandas.

    >>> import pandas as pd
    >>> print(markdown(pd.DataFrame({"run": ["a|b", "c"], "mAP": ["50.0", "7.5"]})))
    | run  | mAP  |
    | ---- | ---- |
    | a\\|b | 50.0 |
    | c    | 7.5  |
    """
    if isinstance(table, Sequence):
        lines = [list(table[0]), *(list(row.values()) for row in table)]
    else:
        lines = [list(map(str, table.columns)), *table.astype(str).to_numpy().tolist()]
    lines = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def csv(frame: pd.DataFrame, *, digits: int | None = 4) -> str:
    """CSV with a header; a missing value is an empty field.

    Args:
        digits: decimals of floats; None: as many as they need.

    >>> import pandas as pd
    >>> print(csv(pd.DataFrame({"run": ["a", "b,c"], "mAP": [0.5, None]})))
    run,mAP
    a,0.5000
    "b,c",
    """
    form = None if digits is None else f"%.{digits}f"
    text = frame.to_csv(index=False, float_format=form, lineterminator="\n")
    return text.rstrip("\n")


def latex(frame: pd.DataFrame, *, note: str, columns: str) -> str:
    r"""A tabular for ``\usepackage{booktabs}``, with the note as a comment above it.

    Args:
        frame: texts, which ``latex_text`` escapes. Column names of two levels make a first
            line of titles that span their columns.
        columns: alignment of the columns, such as ``llrr``.
    """
    escaped = frame.astype(str).map(latex_text)
    escaped.columns = frame.columns.map(
        lambda name: tuple(map(latex_text, name)) if isinstance(name, tuple) else latex_text(name)
    )
    body = escaped.to_latex(index=False, column_format=columns, multicolumn_format="c")
    return f"% {note}\n{body.rstrip()}"


def latex_text(text: str) -> str:
    r"""Text in which LaTeX sees no command; ``**bold**`` becomes bold.

    >>> latex_text("a_b")
    'a\\_b'
    >>> latex_text("**-1.5 ± 1**")
    '\\textbf{$-$1.5 $\\pm$ 1}'
    """
    bold = re.fullmatch(r"\*\*(.+)\*\*", text)
    text = bold[1] if bold else text
    text = re.sub(r"[\\~^&%$#_{}]", lambda m: LATEX.get(m[0], "\\" + m[0]), text)
    text = re.sub(r"^[-+](?=\d)", lambda m: f"${m[0]}$", text)
    text = text.replace("±", r"$\pm$").replace("–", "--")
    # at the start of a row, LaTeX reads a bracket or a star as an option of the row above
    text = re.sub(r"^[\[*]", lambda m: f"{{{m[0]}}}", text)
    return rf"\textbf{{{text}}}" if bold else text
