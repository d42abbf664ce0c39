"""Nothing is sent: libraries that would report their use to their makers do not do so."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from tests.offline import attempts, can_isolate
from vireid.runs.trackers.feed import chosen_trackers, require_trackers
from vireid.utils.telemetry import SWITCHES


def test_attempts_are_seen(tmp_path):
    """Those of Python by their host, those of other code by their number."""
    code = """
import socket, subprocess
for ask in (lambda: socket.create_connection(("localhost", 1)),
            lambda: socket.create_connection(("example.org", 80)),
            lambda: socket.socket().connect(("192.0.2.7", 80))):
    try:
        ask()
    except OSError:
        pass
subprocess.run(["bash", "-c", "echo > /dev/tcp/192.0.2.8/80; echo > /dev/tcp/127.0.0.1/1"])
"""
    hosts, packets = attempts(code, tmp_path)
    assert hosts == ["example.org", "192.0.2.7"]
    assert packets == can_isolate()


USE = """
import sys, threading, urllib.request
from pathlib import Path
from vireid.utils.telemetry import switch_off_telemetry
switch_off_telemetry()
from vireid.runs.trackers import TRACKERS
from vireid.runs.trackers.tracker import Status, TrackedRun
for name in ("wandb", "trackio"):
    tracker = TRACKERS[name](TrackedRun(Path(sys.argv[1]), "a/seed0", {"SEED": 0}))
    assert tracker.open({})
    tracker.log_epoch(1, {"loss": 1.0})
    tracker.close(Status.FINISHED)
from mlflow.telemetry import get_telemetry_client
if client := get_telemetry_client():  # at the first event: a whole run would take seconds
    client.activate()
import lancedb
table = lancedb.connect(sys.argv[1] + "/gallery").create_table("images", [{"vector": [1.0, 0.0]}])
assert len(table.search([1.0, 0.0]).limit(1).to_list()) == 1
import gradio
with gradio.Blocks() as page:
    gradio.Markdown("hello")
url = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")[1]
assert urllib.request.urlopen(url).status == 200
page.close()
for thread in set(threading.enumerate()) - {threading.current_thread()}:
    thread.join(2)  # those that would ask in the background
"""


NEEDED = ("mlflow", "wandb", "trackio", "lancedb", "gradio")


@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)}")
def test_libraries_send_nothing_to_other_machines(tmp_path):
    assert attempts(USE, tmp_path / "a", str(tmp_path), WANDB_MODE="offline") == ([], 0)


@pytest.mark.parametrize("ask", [require_trackers, chosen_trackers])
def test_nothing_is_imported_for_trackers_before_telemetry_is_off(ask, monkeypatch):
    seen = []
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        "importlib.import_module", lambda name: seen.append({*SWITCHES} <= {*os.environ})
    )
    ask(["tensorboard"] if ask is require_trackers else [])
    assert seen == [True]
