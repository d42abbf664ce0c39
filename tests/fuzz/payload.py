"""Code that tries to run when a pickle is opened; it must never."""

from __future__ import annotations

import os
from pathlib import Path


class _Payload:
    """Pickled, it asks its reader to write a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.sentinel}'",)


def payload(sentinel: Path) -> object:
    """An object whose pickle writes ``sentinel`` wherever it is unpickled without care."""
    return _Payload(sentinel)
