"""What both pages are made of."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from vireid.errors import VireidError
from vireid.search.app.form import in_page
from vireid.search.app.render import message
from vireid.search.app.uploads import KINDS

log = logging.getLogger(__name__)
# Of every event: not in a public API, and a small sign that something is computed.
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}


def drop_zone(label: str) -> Any:
    """Where images are dropped; they are shown elsewhere, so that it stays empty."""
    return gr.File(
        label=label, file_count="multiple", file_types=list(KINDS), height=140, buttons=[]
    )


def guarded(action: Callable[[], str]) -> str:
    """An action's HTML, or what went wrong: never nothing, and never a traceback."""
    try:
        return action()
    except VireidError as error:
        return message(in_page(error), kind="error")
    except Exception as error:
        log.exception("the page")
        text = f"unexpected error ({type(error).__name__}); the server's terminal shows it"
        return message(text, kind="error")
