"""Packages of the extra `deploy`: asked for where they are needed, named when they are missing."""

from __future__ import annotations

from importlib.util import find_spec

from vireid.errors import UsageError

INSTALL = "pip install 'vireid[deploy]'"


def require_packages(*names: str) -> None:
    """
    Raises:
        UsageError: one is missing; names the command that installs it.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} is not installed; install it with: {INSTALL}")
