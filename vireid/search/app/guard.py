"""Which requests the server answers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

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
        if status := self._refusal(scope):
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
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
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
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"refused\n"})
