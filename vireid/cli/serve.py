"""Serves the search of a gallery in the browser, and a page of the gallery itself."""

from __future__ import annotations

import argparse
import ipaddress
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import at_least, parser, tool
from vireid.errors import UsageError

WARNING = (
    "warning: everybody who reaches {host} can search the gallery and see its images{more}: there "
    "is no password. Without --host only this machine is served."
)
PORTS = 65_535


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/serve.py --help``."""
    args = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    local = is_local(args.host)
    if not local:
        more = ", and add and remove images" if args.allow_changes else ""
        print(WARNING.format(host=args.host, more=more), file=sys.stderr, flush=True)
    with listen(args.host, args.port) as listening:
        # Imported now: Gradio and LanceDB are optional, and the help works without them.
        from vireid.search.app.server import serve
        from vireid.search.app.service import open_service

        service = open_service(args.gallery, args.run, args.model, device=args.device)
        serve(service, listening, local=local, changes=local or args.allow_changes)


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
    if port > PORTS:
        raise UsageError(f"--port {port}: must be 0 to {PORTS}")
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


def _parser() -> argparse.ArgumentParser:
    line = parser(__doc__, "python tools/serve.py --gallery people")
    about = "folder of the gallery, or its address on object storage, such as s3://bucket/people"
    line.add_argument("--gallery", required=True, metavar="PLACE", help=about)
    model = line.add_mutually_exclusive_group()
    model.add_argument("--model", type=Path, metavar="PATH", help="exported file, or model folder")
    about = "run folder (default of both: the model that built the gallery)"
    model.add_argument("--run", type=Path, metavar="DIR", help=about)
    about = "address to listen on (127.0.0.1: only this machine is served)"
    line.add_argument("--host", default="127.0.0.1", help=about)
    about = "port to listen on; 0: a free one (7860)"
    line.add_argument("--port", type=at_least(0), default=7860, metavar="N", help=about)
    about = "let other machines add and remove images, too, where --host serves them"
    line.add_argument("--allow-changes", action="store_true", help=about)
    line.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    return line
