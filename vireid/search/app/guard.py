"""Which requests the server answers."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
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
UPLOAD, JOIN = "/gradio_api/upload", "/gradio_api/queue/join"
# An upload may be done before the page asks how far it is, which is no error.
PROGRESS = "/gradio_api/upload_progress"
DONE = {"status": 200, "headers": [(b"content-type", b"text/event-stream")]}
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
        folder: that Gradio stores uploads in; a request that names another file is refused, because
            Gradio would copy that file.
        local: only this machine is served.
    """

    def __init__(self, app: Any, folder: Path, *, local: bool) -> None:
        self.app, self.folder, self.local = app, folder.resolve(), local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if status := self._refusal(scope):
            await _refuse(send, status)
            return

        if scope["path"] == JOIN:
            body = await _body(receive)
            if not self._names_uploads(body):
                await _refuse(send, 403)
                return
            receive = _again(body, receive)
        late = False

        async def with_headers(event: MutableMapping[str, Any]) -> None:
            nonlocal late
            if event["type"] == "http.response.start":
                late = scope["path"] == PROGRESS and event["status"] == 404
                event = {**event, **DONE} if late else event
                own = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                others = [(k, v) for k, v in event["headers"] if k.decode().lower() not in HEADERS]
                event = {**event, "headers": [*others, *own]}
            elif late:
                event = {"type": "http.response.body", "body": b'data: {"msg": "done"}\n\n'}
            await send(event)

        await self.app(scope, receive, with_headers)

    def _names_uploads(self, body: bytes) -> bool:
        """Whether every file in the JSON of a request was uploaded."""
        try:
            return all(
                isinstance(one, str) and Path(one).resolve().is_relative_to(self.folder)
                for one in _paths_in(json.loads(body))
            )
        except (ValueError, OSError, RecursionError):  # no JSON, or no path
            return False

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


def _paths_in(content: object) -> Iterator[object]:
    if isinstance(content, dict):
        if "path" in content:
            yield content["path"]
        for one in content.values():
            yield from _paths_in(one)
    elif isinstance(content, list):
        for one in content:
            yield from _paths_in(one)


async def _body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        event = await receive()
        parts.append(event.get("body", b""))
        more = event.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever follows."""
    events = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> MutableMapping[str, Any]:
        return events.pop() if events else await receive()

    return replay


async def _refuse(send: Send, status: int) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"refused\n"})
