"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

MODEL_FILE = "model.safetensors"  # makes a folder a model folder
LONGEST_PART, LONGEST_PATH = 255, 4095  # bytes of a file's name, and of a path


def expand(path: str | os.PathLike[str]) -> Path:
    """The path with ``~`` replaced by the home folder.

    Without a home folder it stays as it is, as in a shell.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_model_folder(path: Path) -> bool:
    """Whether ``export --format safetensors`` wrote the folder; it may be damaged."""
    return (path / MODEL_FILE).is_file()


def path_problem(text: str) -> str:
    """Why no system can open a path of this name; empty when one can."""
    try:
        parts = os.fsencode(Path(text).expanduser()).split(b"/")
    except RuntimeError:
        return "begins with ~ and a user who has no folder here"
    except ValueError:  # half of a surrogate pair
        return "has a character that no file name can have"
    if any(b"\0" in part for part in parts):
        return "has a character that no file name can have"
    if max(map(len, parts)) > LONGEST_PART or len(b"/".join(parts)) > LONGEST_PATH:
        return "is longer than a file's name can be"
    return ""
