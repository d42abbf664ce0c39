"""Command lines that work from any folder: of this program, and of other tools."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

INSTALLED = "vireid "  # how the program's name begins where the package is installed


def own_command() -> list[str]:
    """How this program was called, without its arguments: ``python /home/me/tools/train.py``."""
    program = sys.argv[0]
    if program.startswith(INSTALLED):
        return program.split()
    return ["python", str(Path(program).absolute())]


def tool_command(name: str) -> list[str]:
    """How another tool is called, such as ``make_synthetic``."""
    program = Path(sys.argv[0]).absolute()
    if program.parent.name == "tools" and program.with_name(f"{name}.py").is_file():
        return ["python", str(program.with_name(f"{name}.py"))]
    return [*INSTALLED.split(), name]


def from_here(command: Sequence[str]) -> str:
    """A line for a shell, whose relative paths begin in the present folder.

    >>> from_here(["python", "a b.py"]).endswith(" && python 'a b.py'")
    True
    """
    try:
        return f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(command)}"
    except OSError:  # the folder was removed meanwhile
        return shlex.join(command)
