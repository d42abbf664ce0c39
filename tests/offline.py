"""Runs code that may reach this machine alone, and says what it tried to send to others.

A hook refuses and records whatever Python sends to other machines. Where the system allows it, the
process has a network of its own without any route, whose counters show what other code, such as
Rust's and Go's, tries to send.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from vireid.utils.telemetry import SWITCHES

ROOT = Path(__file__).resolve().parents[1]
# Python imports it at every start, also in processes that the process starts.
HOOK = """
import os, sys
def refuse(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        host = args[-1][0] if isinstance(args[-1], tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0].decode() if isinstance(args[0], bytes) else args[0]
    else:
        return
    if host not in (None, "", "localhost", "::", "::1", "0.0.0.0") and not host.startswith("127."):
        with open(os.environ["ATTEMPTS"], "a") as file:
            file.write(host + "\\n")
        raise OSError("refused")
sys.addaudithook(refuse)
"""
# A network with loopback alone. Names are asked for at an address that no route reaches, too.
NAMESPACE = """
ip link set lo up && mount --bind "$RESOLVER" /etc/resolv.conf || exit 99
"$@" || exit
awk '/^Ip:/ {sent = $13} /^Ip6OutNoRoutes/ {sent6 = $2} END {print sent + sent6}' \
    /proc/net/snmp /proc/net/snmp6 > "$COUNTED"
"""
ISOLATE = ["unshare", "--map-root-user", "--net", "--mount"]


def can_isolate() -> bool:
    needed = all(map(shutil.which, ("unshare", "ip", "awk")))
    return needed and subprocess.run([*ISOLATE, "true"], capture_output=True).returncode == 0


def attempts(code: str, folder: Path, *words: str, **environment: str) -> tuple[list[str], int]:
    """Hosts that Python code asks for, and packets that no route takes, of any code."""
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "sitecustomize.py").write_text(HOOK)
    (folder / "resolv.conf").write_text("nameserver 192.0.2.1\noptions timeout:1 attempts:1\n")
    hosts, counted = folder / "hosts.txt", folder / "counted.txt"
    hosts.touch()
    counted.write_text("0")
    quiet = ("CI", "PYTEST", "GITHUB", *SWITCHES)  # in tests and in CI, MLflow sends nothing
    kept = {key: value for key, value in os.environ.items() if not key.startswith(quiet)}
    places = {"HOME": folder, "ATTEMPTS": hosts, "RESOLVER": folder / "resolv.conf"}
    kept |= {key: str(value) for key, value in (places | {"COUNTED": counted}).items()}
    kept |= {"PYTHONPATH": f"{folder / 'site'}:{ROOT}", "PYTHONWARNINGS": "ignore"} | environment
    command = [sys.executable, "-c", code, *words]
    if can_isolate():
        command = [*ISOLATE, "bash", "-c", NAMESPACE, "bash", *command]
    done = subprocess.run(command, capture_output=True, text=True, env=kept, timeout=200)
    assert done.returncode == 0, done.stderr
    return hosts.read_text().split(), int(counted.read_text())
