"""Signals end waits at once, and the process in time, whatever it is doing."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time

import pytest

from vireid.engine.signals import Interrupted, StopFlag

# A wait in C that no signal interrupts and that does not hold Python's lock.
DEAF = """
import ctypes, os, sys, time
from vireid.engine.signals import end_in_time, last_resort
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
end_in_time(float(sys.argv[1]))
c, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
c.pthread_mutex_init(mutex, None)
with last_resort(lambda number: f"saved at {number}"):
    print("ready", flush=True)
    if sys.argv[2] == "deaf":
        c.pthread_mutex_lock(mutex); c.pthread_mutex_lock(mutex)
    if sys.argv[2] == "child":
        if os.fork() == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(9)
        time.sleep(1.5)
        os._exit(7)
    time.sleep(60)
"""


def start(seconds: float, what: str) -> subprocess.Popen:
    command = [sys.executable, "-c", DEAF, str(seconds), what]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    return process


@pytest.mark.parametrize(
    ("seconds", "what", "numbers", "code", "said", "least"),
    [
        (0.5, "deaf", [signal.SIGTERM], 143, "saved at 15", 0.4),
        (0.5, "deaf", [signal.SIGINT], 130, "saved at 2", 0.4),
        (30, "deaf", [signal.SIGTERM, signal.SIGTERM], 143, "saved at 15", 0.9),
        (30, "waits", [signal.SIGTERM], 143, "", 0),
    ],
)
def test_a_process_ends_in_time(seconds, what, numbers, code, said, least):
    process, started = start(seconds, what), time.monotonic()
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.1)
    error = process.communicate(timeout=20)[1]
    assert (process.returncode, error.strip()) == (code, said)
    assert least < time.monotonic() - started < 10


def test_a_signal_to_a_child_does_not_end_the_parent():
    process = start(0.2, "child")
    assert process.wait(20) == 7


def test_a_signal_ends_a_wait_or_is_kept():
    with StopFlag() as stop:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(Interrupted) as interrupted, stop.ending_waits():
            queue.Queue().get(timeout=20)
        assert interrupted.value.number == stop.received == signal.SIGTERM
        with pytest.raises(Interrupted), stop.ending_waits():  # one that came before
            raise AssertionError("waits although a signal came")
    with StopFlag() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.received == signal.SIGINT


def test_other_threads_have_no_handlers():
    found = []

    def work():
        with StopFlag() as stop, stop.ending_waits():
            found.append(stop.received)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0] and signal.getsignal(signal.SIGTERM) is before
