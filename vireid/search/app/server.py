"""The web server: where it listens, what it answers, and what it leaves behind: nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fastapi
import gradio as gr
import uvicorn

from vireid.search.app.guard import Guard
from vireid.search.app.page import build_page
from vireid.search.app.service import Service
from vireid.search.app.uploads import MOST_BYTES

ENDING = 1  # seconds that open requests have at the end
SETTING = "GRADIO_TEMP_DIR"


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for what browsers send, which is removed in the end; Gradio is told of it."""
    with tempfile.TemporaryDirectory(prefix="vireid-serve-", ignore_cleanup_errors=True) as name:
        folder = Path(name, "uploads")
        folder.mkdir()
        before, before_folder = os.environ.get(SETTING), tempfile.tempdir
        os.environ[SETTING] = str(folder)
        tempfile.tempdir = name  # files of requests that break off
        try:
            yield folder
        finally:
            tempfile.tempdir = before_folder
            if before is None:
                os.environ.pop(SETTING)
            else:
                os.environ[SETTING] = before


def serve(service: Service, listening: socket.socket, *, local: bool, changes: bool) -> None:
    """Serves the page until a signal ends it.

    Args:
        local: only this machine reaches the address.
        changes: images can be added, removed and restored.
    """
    with own_folder() as folder:
        server = build_server(service, folder, local=local, changes=changes)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"serving http://{shown}:{port} (Ctrl-C ends it)", flush=True)
        server.run(sockets=[listening])


def build_server(service: Service, folder: Path, *, local: bool, changes: bool) -> uvicorn.Server:
    """
    Args:
        folder: that ``own_folder`` made.
    """
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    page = build_page(service, folder, changes=changes)
    gr.mount_gradio_app(
        app,
        page,
        "/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,
        allowed_paths=[],
        max_file_size=MOST_BYTES,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=_theme(),
        css=Path(__file__).with_name("templates").joinpath("page.css").read_text("utf-8"),
    )
    page.has_launched = True  # without it Gradio takes any file of this machine for an upload
    config = uvicorn.Config(
        Guard(app, folder, local=local),
        log_level="warning",
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=ENDING,
        server_header=False,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_end)
    return uvicorn.Server(config)


def _is_no_end(record: logging.LogRecord) -> bool:
    """Pages that are open when the server ends are no errors, which uvicorn takes them for."""
    ended = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not ended and "graceful shutdown" not in record.getMessage()


def _theme() -> gr.themes.Base:
    """Fonts of the reader's system; the small text is darker than Gradio's."""
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )
