"""Tiny trainings in processes of their own, and what is compared of the folders that they leave."""

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

EPOCHS = 3
OPTIONS = (
    f"SOLVER.EPOCHS={EPOCHS}",
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


def command(root: Path, output: Path, *extra: str) -> list[str]:
    """Arguments of the train tool for a training of three epochs that validates and selects."""
    options = dict(item.split("=", 1) for item in (*TINY, *OPTIONS, *extra))
    options |= {"DATA.ROOT": str(root), "OUTPUT_DIR": str(output)}
    return ["--cfg", "configs/sysu.yaml", *(word for pair in options.items() for word in pair)]


class Process:
    """A tool at work in a process that leads a session of its own.

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
        main: Callable[[Sequence[str]], int] = train.main,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        self.output = output
        self._process = FORK.Process(target=_work, args=(main, list(words), output, prepare))
        self._process.start()
        self.pid = self._process.pid

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code (negative: the signal that killed it), or None when it is not over yet."""
        self._process.join(seconds)
        return self._process.exitcode

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self, *, alone: bool = False) -> bool:
        """SIGKILL: to the process alone, or to all that it started too, as a power cut would.

        Returns:
            whether it was still at work.
        """
        members = [] if alone else descendants(self.pid)
        for pid in (self.pid, *members):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.join()
        return self._process.exitcode == -signal.SIGKILL

    def said(self) -> str:
        return self.output.read_text(errors="replace")


def _work(
    main: Callable[[Sequence[str]], int],
    words: list[str],
    output: Path,
    prepare: Callable[[], object],
) -> None:
    os.setsid()
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # A test runner has put something else in their place.
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1) for n in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    prepare()
    raise SystemExit(main(words))


def descendants(pid: int) -> list[int]:
    """All processes that a process started, and those that they did (Linux)."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, children.read_text().split()):
                found += [child, *descendants(child)]
    return found


def continuing(folder: Path) -> list[str]:
    """What a user would add to the command, by what the folder holds."""
    if (folder / LAST).is_file():
        return ["--resume"]
    return ["--overwrite"] if any((folder / name).exists() for name in RUN_MARKS) else []


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoints/*.pth"))


def require_whole(folder: Path) -> int:
    """Loads every checkpoint and reads every table in a folder; how many checkpoints there are."""
    for path in checkpoints(folder):
        load_checkpoint(path)
    if (folder / "metrics.csv").exists():
        rows(folder)
    if (folder / "results.json").exists():
        json.loads((folder / "results.json").read_text())
    return len(checkpoints(folder))


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without its timing; every row is whole."""
    with (folder / "metrics.csv").open() as file:
        found = list(csv.DictReader(file))
    assert all(None not in row and None not in row.values() for row in found), found
    return [{k: v for k, v in row.items() if k not in TIMING} for row in found]


def left_behind(folder: Path) -> list[str]:
    """Temporary files that nobody will need."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*.tmp"))


def differences(one: Path, other: Path) -> list[str]:
    """What two finished runs have not alike, bit for bit."""
    found = []
    if rows(one) != rows(other):
        found.append("metrics.csv")
    names = [path.name for path in checkpoints(one)]
    if names != [path.name for path in checkpoints(other)]:
        found.append(f"checkpoints {names}")
        return found
    for a, b in zip(checkpoints(one), checkpoints(other), strict=True):
        first, second = load_checkpoint(a), load_checkpoint(b)
        found += [
            f"{a.name}: {key}"
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


def wait_until(condition: Callable[[], object], process: Process, seconds: float = 120) -> bool:
    """Waits for a condition, or for the process's end; whether the condition came first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        if process.wait(0.01) is not None:
            return bool(condition())
    raise TimeoutError(f"nothing happened in {seconds:.0f} s: {process.said()[-500:]}")
