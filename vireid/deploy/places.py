"""Where users say that things are."""

from __future__ import annotations

import os
from pathlib import Path


def place_of(path: str | os.PathLike[str]) -> Path:
    """A path with ``~`` written out.

    Where nobody has that name it stays as it is, as in a shell, and is looked for under it.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
