"""Tiny trainings, each in a process, and the comparison of the folders that they leave."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from tests.conftest import TINY
from vireid.cli import train
from vireid.engine.checkpoint import LAST, load_checkpoint
from vireid.engine.trainer import TIMING
from vireid.runs.run_dir import RUN_MARKS

CONFIG = "configs/sysu.yaml"
OPTIONS = (
    "SOLVER.EPOCHS=3",
    "SOLVER.STEPS=[2]",
    "SOLVER.CHECKPOINT_EVERY=2",
    "SOLVER.VAL_EVERY=1",
    "SOLVER.SELECT=best",
    "DATA.SPLIT=train",
    "MODEL.SDM.TAPS=[conv3]",
    "MODEL.MGIM.GRANULARITIES=[2]",
    "TEST.PROTOCOLS=[sysu_indoor_single]",
)
FORK = multiprocessing.get_context("fork")  # torch is imported once, for all of them


def options(root: Path, *extra: str) -> dict[str, str]:
    """Options of a training of three epochs that validates and selects."""
    items = (*TINY, *OPTIONS, f"DATA.ROOT={root}", *extra)
    return dict(item.split("=", 1) for item in items)


def command(root: Path, output: Path, *extra: str) -> list[str]:
    """Arguments of the train tool that start or continue such a training, as its folder demands."""
    pairs = (options(root, *extra) | {"OUTPUT_DIR": str(output)}).items()
    words = ["--cfg", CONFIG, *(word for pair in pairs for word in pair)]
    if (output / LAST).is_file():
        return [*words, "--resume"]
    begun = any((output / name).exists() for name in RUN_MARKS)
    return [*words, "--overwrite"] if begun else words


class Process:
    """A tool that runs in a process, which leads its own session.

    Args:
        words: its arguments.
        output: file that gets all that it prints.
        main: the tool.
        prepare: is called in the process first.
    """

    def __init__(
        self,
        words: Sequence[str],
        output: Path,
        *,
        main: Callable[[Sequence[str]], int | None] = train.main,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        self.output = output

        def work() -> None:
            os.setsid()
            with output.open("ab") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            # A test runner has replaced them.
            sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1) for n in (1, 2))
            signal.signal(signal.SIGINT, signal.default_int_handler)
            torch.set_num_threads(1)
            prepare()
            raise SystemExit(main(list(words)))

        self._process = FORK.Process(target=work)
        self._process.start()
        self.pid = self._process.pid

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code (negative: the signal that killed it), or None while it runs."""
        self._process.join(seconds)
        return self._process.exitcode

    def signal(self, number: int) -> None:
        send(self.pid, number)

    def kill(self, *, alone: bool = False) -> bool:
        """SIGKILL: to the process alone, or also to all that it started, as a power cut would.

        Returns:
            whether it was still running.
        """
        for pid in (self.pid, *([] if alone else descendants(self.pid))):
            send(pid, signal.SIGKILL)
        self._process.join()
        return self._process.exitcode == -signal.SIGKILL

    def wait_until(self, condition: Callable[[], object], seconds: float = 120) -> bool:
        """Waits for a condition, or for the end; whether the condition came first."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return True
            if self.wait(0.01) is not None:
                return bool(condition())
        raise TimeoutError(f"nothing happened in {seconds:.0f} s: {self.printed()[-500:]}")

    def printed(self) -> str:
        return self.output.read_text(errors="replace")


def send(pid: int, number: int) -> None:
    """A signal, to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """All processes that a process started, and those that they did (Linux)."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, children.read_text().split()):
                found += [child, *descendants(child)]
    return found


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoints/*.pth"))


def require_whole(folder: Path) -> None:
    """Loads every checkpoint and reads every table in a folder."""
    for path in checkpoints(folder):
        load_checkpoint(path)
    if (folder / "metrics.csv").exists():
        rows(folder)
    if (folder / "results.json").exists():
        json.loads((folder / "results.json").read_text())


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without its timing; every row is whole."""
    with (folder / "metrics.csv").open() as file:
        found = list(csv.DictReader(file))
    assert all(None not in row and None not in row.values() for row in found), found
    return [{k: v for k, v in row.items() if k not in TIMING} for row in found]


def left_behind(folder: Path) -> list[str]:
    """Temporary files, which a finished run does not need."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*.tmp"))


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two finished runs, compared bit for bit."""
    found = [] if rows(one) == rows(other) else ["metrics.csv"]
    names = [path.name for path in checkpoints(one)]
    if names != [path.name for path in checkpoints(other)]:
        return [*found, f"checkpoints {names}"]
    for name in names:
        first, second = (load_checkpoint(run / "checkpoints" / name) for run in (one, other))
        found += [
            f"{name}: {key}"
            for key in ("model", "criterion", "optimizer", "progress", "rng", "pids")
            if not alike(_untimed(first[key]), _untimed(second[key]))
        ]
    scores = [json.loads((run / "results.json").read_text())["protocols"] for run in (one, other)]
    return found + (["results.json"] if scores[0] != scores[1] else [])


def _untimed(value: Any) -> Any:
    """An entry of a checkpoint without the timing in its history."""
    if isinstance(value, dict):
        return {k: _untimed(v) for k, v in value.items() if k not in TIMING}
    return [_untimed(item) for item in value] if isinstance(value, list) else value


def alike(one: Any, other: Any) -> bool:
    """Whether two trees of tensors and plain values are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other
