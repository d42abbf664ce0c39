"""The web server: where it listens, what it answers, and what it leaves behind: nothing."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastapi
import gradio as gr
import uvicorn

from vireid.errors import UsageError
from vireid.search.app.page import build_page
from vireid.search.app.service import Service
from vireid.search.app.uploads import MOST_ADDED, MOST_BYTES

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# What the page asks for. Gradio answers more: files by their paths, pages of other servers.
ANSWERED = re.compile(
    r"/|/(config|theme\.css|manifest\.json|favicon\.ico|robots\.txt)|/(static|assets|svelte)/.*|"
    r"/gradio_api/(upload|upload_progress|queue/(join|data)|heartbeat/[\w-]+|startup-events|app_id|"
    r"cancel|reset)"
)
UPLOAD = "/gradio_api/upload"
MOST_UPLOAD = MOST_ADDED * MOST_BYTES // 10  # bytes of a request with images; of other requests:
MOST_REQUEST = 2**20
LOCAL = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "content-security-policy": "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'self'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
ENDING = 1  # seconds that open requests have at the end
SETTINGS = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


def is_local(host: str) -> bool:
    """Whether only programs on this machine reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        UsageError: the port is in use or reserved, or there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(128)
        except OSError:
            made.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"cannot listen on --host {host} --port {port}: {reason}; name another"
        ) from error
    return made


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for what browsers send, which is removed in the end; and Gradio's settings."""
    with tempfile.TemporaryDirectory(prefix="vireid-serve-", ignore_cleanup_errors=True) as name:
        folder = Path(name, "uploads")
        folder.mkdir()
        settings = SETTINGS | {"GRADIO_TEMP_DIR": str(folder)}
        before = {key: os.environ.get(key) for key in settings}
        before_folder = tempfile.tempdir
        os.environ.update(settings)
        tempfile.tempdir = name  # files of requests that break off
        try:
            yield folder
        finally:
            tempfile.tempdir = before_folder
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value


class Guard:
    """Answers what the page asks for, and nothing else.

    Requests that a page of another site makes are refused, and so are other names for this machine,
    by which such a page could reach it.

    Args:
        local: only this machine is served.
    """

    def __init__(self, app: Any, *, local: bool) -> None:
        self.app, self.local = app, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        status = self._refusal(scope)
        if scope["type"] != "http" or status:
            await _refuse(send, status)
            return

        async def with_headers(event: MutableMapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                own = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                others = [(k, v) for k, v in event["headers"] if k.decode().lower() not in HEADERS]
                event["headers"] = [*others, *own]
            await send(event)

        await self.app(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> int:
        """HTTP status; 0 where the request is answered."""
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.local and re.sub(r":\d+$", "", host) not in LOCAL:
            return 403
        if origin is not None and re.sub(r"^https?://", "", origin) != host:
            return 403
        path = scope["path"]
        if not ANSWERED.fullmatch(path) or ".." in path:
            return 404
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405
        if scope["method"] == "POST":
            length = headers.get("content-length", "")
            if not length.isdecimal():
                return 411
            if int(length) > (MOST_UPLOAD if path == UPLOAD else MOST_REQUEST):
                return 413
        return 0


async def _refuse(send: Send, status: int) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status or 404, "headers": headers})
    await send({"type": "http.response.body", "body": b"refused\n"})


def serve(service: Service, listening: socket.socket, *, local: bool, changes: bool) -> None:
    """Serves the page until a signal ends it.

    Args:
        local: only this machine reaches the address.
        changes: images can be added, removed and restored.
    """
    host, port = listening.getsockname()[:2]
    with own_folder() as folder:
        app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        gr.mount_gradio_app(
            app,
            build_page(service, folder, changes=changes),
            "/",
            server_name=host,
            server_port=port,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            show_error=False,
            allowed_paths=[],
            max_file_size=MOST_BYTES,
            enable_monitoring=False,
            mcp_server=False,
            pwa=False,
            theme=gr.themes.Base(
                primary_hue="blue",
                neutral_hue="slate",
                font=["system-ui", "sans-serif"],
                font_mono=["ui-monospace", "monospace"],
            ),
            css=Path(__file__).with_name("templates").joinpath("page.css").read_text("utf-8"),
        )
        shown = f"[{host}]" if ":" in host else host
        print(f"serving http://{shown}:{port} (Ctrl-C ends it)", flush=True)
        config = uvicorn.Config(
            Guard(app, local=local),
            log_level="warning",
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=ENDING,
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listening])
