"""Packages of the extra `deploy`: asked for where they are needed, named when they are missing."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from vireid.errors import UsageError

TELEMETRY = "openvino_telemetry"
INSTALL = "pip install 'vireid[deploy]'"


def require_packages(*names: str) -> None:
    """
    Raises:
        UsageError: one is missing; names the command that installs it.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} is not installed; install it with: {INSTALL}")


def import_openvino() -> Any:
    """OpenVINO without its telemetry, which would report this import to its makers, with a number
    that it keeps in the user's home for that; what it does without that package is nothing.

    Raises:
        UsageError: it is not installed.
    """
    require_packages("openvino")
    withheld = TELEMETRY not in sys.modules
    if withheld:
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]
    try:
        return import_module("openvino")
    finally:
        if withheld:
            del sys.modules[TELEMETRY]
