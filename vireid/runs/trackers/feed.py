"""Threads that feed trackers, so that no tracker delays or ends a training."""

from __future__ import annotations

import importlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from vireid.errors import StoppedError, UsageError, printable
from vireid.runs.console import log_entry
from vireid.runs.trackers import TRACKERS
from vireid.runs.trackers.tracker import Status, TrackedRun, Tracker
from vireid.utils.io import write_text
from vireid.utils.telemetry import switch_off_telemetry

log = logging.getLogger(__name__)

RECORD = "trackers.json"  # in the run's folder: what identifies the run in each tracker
OPENING = 10.0  # seconds that the start of a training waits for its trackers, at most
CLOSING = 60.0  # seconds that the end of a training waits for them, at most
SILENT = 5.0  # the same for one that has not even opened the run
INTERRUPTED = 4.0  # the same after a signal or an error
DEFAULT = "tensorboard"  # used without being asked for, where it is installed


def require_trackers(names: Iterable[str]) -> None:
    """Raises ``UsageError`` unless each tracker's library can be imported."""
    switch_off_telemetry()
    for name in names:
        tracker = TRACKERS[name]
        remedy = (
            f"pip install {tracker.package} (all trackers: pip install 'vireid[track]'), or leave "
            "it out of TRACKERS"
        )
        spec = find_spec(tracker.package)
        if spec is None or spec.origin is None:  # without a file: a folder of that name
            raise UsageError(f"TRACKERS: {name} is not installed: {remedy}")
        try:
            importlib.import_module(tracker.module)
        except Exception as error:  # whatever a library of another version raises
            raise UsageError(
                f"TRACKERS: {name} cannot be imported ({_line(error)}): {remedy}"
            ) from error


def chosen_trackers(names: Iterable[str]) -> list[str]:
    """``TRACKERS``, each once, and TensorBoard where it can be imported."""
    switch_off_telemetry()
    chosen = list(dict.fromkeys(names))
    if DEFAULT not in chosen and find_spec(TRACKERS[DEFAULT].package) is not None:
        try:
            importlib.import_module(TRACKERS[DEFAULT].module)
            chosen.append(DEFAULT)
        except Exception as error:
            log.warning("tensorboard cannot be imported, and is left out: %s", _line(error))
    return chosen


class Record:
    """``trackers.json``: for each tracker what identifies the run in it, and what it has got.

    A copy of a run's folder has no record, as two runs would be one in every tracker.

    Args:
        continued: whether the folder's own run goes on; a new one has no record yet.
    """

    def __init__(self, folder: Path, *, continued: bool) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._entries: dict[str, dict[str, Any]] = {}
        if continued:
            self._read()

    def _read(self) -> None:
        folder = self._folder
        try:
            content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            written_in = Path(content["folder"])
            if written_in == folder.resolve() or not (written_in / RECORD).exists():
                self._entries = {name: dict(one) for name, one in content["trackers"].items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s is unreadable (%s): trackers get new runs", folder / RECORD, error)

    def of(self, name: str) -> dict[str, Any]:
        """What is recorded about a tracker; empty where nothing is."""
        return self._entries.get(name, {})

    def put(self, name: str, **values: Any) -> None:
        """Adds to what is recorded about a tracker, and writes the file."""
        with self._lock:
            self._entries[name] = {**self._entries.get(name, {}), **values}
            content = {"folder": str(self._folder.resolve()), "trackers": self._entries}
            write_text(self._folder / RECORD, json.dumps(content, indent=1) + "\n")


class Feed:
    """One tracker's thread: it does what is asked in order, and repeats later what fails.

    Args:
        epochs: rows of metrics.csv at the start; a tracker with more has epochs that are trained
            another time.
    """

    def __init__(self, name: str, tracker: Tracker, record: Record, *, epochs: int) -> None:
        self._name, self._tracker, self._record, self._epochs = name, tracker, record, epochs
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._waiting: list[Callable[[], None]] = []
        self._rows: Sequence[Mapping[str, float]] = ()
        self._warned = False
        self._opened = threading.Event()  # or failed to
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self.ask(self._open)
        self._thread.start()

    def ask(self, task: Callable[[], None]) -> None:
        """Has a task done, after those asked for before."""
        self._asked.put(task)

    def rows(self, history: Sequence[Mapping[str, float]]) -> None:
        """Sends the rows of metrics.csv that the tracker does not have."""
        self._rows = list(history)
        self.ask(self._send_rows)

    def scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Sends final scores, unless the tracker has them already."""
        self.ask(lambda: self._send_scores(epoch, dict(scores)))

    def figures(self, epoch: int, figures: Sequence[Path]) -> None:
        """Sends figures, as files."""
        self.ask(lambda: self._tracker.log_figures(epoch, figures))

    def wait_for_start(self, seconds: float) -> None:
        """Waits until the run is open there or failed to, and says so if that takes longer."""
        if not self._opened.wait(max(0.0, seconds)):
            log.warning("tracker %s does not answer yet; training does not wait", self._name)

    def close(self, status: Status) -> None:
        """Ends the run there; ``wait`` waits for it."""
        self._status = status
        self._asked.put(None)

    def wait(self, seconds: float) -> None:
        """Waits for all that was asked for, and warns of what did not arrive."""
        self._thread.join(max(0.0, seconds if self._opened.is_set() else min(seconds, SILENT)))
        if self._thread.is_alive() or self._waiting:
            reason = " and does not answer" if self._thread.is_alive() else ""
            log.warning(
                "tracker %s does not have everything%s: metrics.csv has, and a later --resume "
                "sends what is missing",
                self._name,
                reason,
            )
        self._warned = True  # what comes later would only confuse

    def _work(self) -> None:
        while (task := self._asked.get()) is not None:
            self._waiting.append(task)
            self._do_waiting()
            self._opened.set()
        self._do_waiting()
        with suppress(Exception):  # of a run that could not be opened
            self._tracker.close(self._status)

    def _do_waiting(self) -> None:
        while self._waiting:
            try:
                self._waiting[0]()
            except Exception as error:  # whatever a library, its server or the disk may raise
                if not self._warned:
                    log.warning(
                        "tracker %s: %s; training goes on, and metrics.csv has every number",
                        self._name,
                        _line(error),
                    )
                self._warned = True
                return
            self._waiting.pop(0)

    def _open(self) -> None:
        known = dict(self._record.of(self._name).get("run", {}))
        if known and self._record.of(self._name)["epochs"] > self._epochs:
            self._tracker.discard(known)
            known = {}
        run = self._tracker.open(known)
        if run != known:
            self._record.put(self._name, run=run, epochs=0, scores={})
        if (epochs := self._tracker.epochs()) is not None:
            self._record.put(self._name, epochs=epochs)
        log_entry("tracker", f"{self._name}: {self._tracker.place}")

    def _send_rows(self) -> None:
        for row in self._rows[self._record.of(self._name)["epochs"] :]:
            epoch = int(row["epoch"])
            self._tracker.log_epoch(epoch, {k: v for k, v in row.items() if k != "epoch"})
            self._record.put(self._name, epochs=epoch)

    def _send_scores(self, epoch: int, scores: dict[str, float]) -> None:
        if self._record.of(self._name)["scores"] != scores:
            self._tracker.log_scores(epoch, scores)
            self._record.put(self._name, scores=scores)


class Trackers:
    """A run in all its trackers, for a ``with`` block that ends with the training.

    Args:
        names: of the trackers; none for processes that do not write.
        history: rows of metrics.csv at the start.
        continued: whether the folder's own run goes on.
    """

    def __init__(
        self,
        names: Sequence[str],
        run: TrackedRun,
        history: Sequence[Mapping[str, float]],
        *,
        continued: bool,
    ) -> None:
        record = Record(run.folder, continued=continued)
        self._feeds = [
            Feed(name, TRACKERS[name](run), record, epochs=len(history)) for name in names
        ]
        self.log_rows(history)

    def wait_for_start(self) -> None:
        """Waits a little, so that what trackers say of a run's start precedes its first epoch."""
        end = time.monotonic() + OPENING
        for feed in self._feeds:
            feed.wait_for_start(end - time.monotonic())

    def log_rows(self, history: Sequence[Mapping[str, float]]) -> None:
        """Sends what is new in the rows of metrics.csv."""
        for feed in self._feeds:
            feed.rows(history)

    def log_results(self, epoch: int, protocols: Mapping[str, Mapping[str, Any]]) -> None:
        """Sends the means of results.json's entries, by protocol."""
        scores = {
            f"test/{protocol}/{metric}": float(value)
            for protocol, one in protocols.items()
            for metric, value in one["mean"].items()
        }
        for feed in self._feeds:
            feed.scores(epoch, scores)

    def log_figures(self, epoch: int, figures: Sequence[Path]) -> None:
        """Sends PNG files."""
        for feed in self._feeds:
            feed.figures(epoch, figures)

    def __enter__(self) -> Trackers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        status = Status.FINISHED
        if kind is not None:
            interrupted = issubclass(kind, (StoppedError, KeyboardInterrupt, SystemExit))
            status = Status.KILLED if interrupted else Status.FAILED
        end = time.monotonic() + (CLOSING if kind is None else INTERRUPTED)
        for feed in self._feeds:
            feed.close(status)
        for feed in self._feeds:
            feed.wait(end - time.monotonic())


def _line(error: BaseException) -> str:
    """An error in one line of at most 200 characters."""
    return printable(f"{type(error).__name__}: {' '.join(str(error).split())}"[:200])
