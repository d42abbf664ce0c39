"""Disturbs trainings in every way that this machine allows, and prints what came of it.

    python -m tests.faults.campaign --kills 50

Needs Linux; root for the disk that fills up and the folder that cannot be written.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch

from tests.faults import scenarios
from tests.faults.galleries import gallery_killed
from tests.faults.scenarios import Bench
from vireid.synthetic.writers import write_set

Scenario = Callable[[Bench, Random, str], list[str]]


@dataclass
class Row:
    """One kind of fault: how often it was injected, and what it broke."""

    injected: int = 0
    broken: list[str] = field(default_factory=list)


def plan(kills: int, rounds: int) -> Iterator[tuple[str, int, Scenario]]:
    """(fault, how many are injected, scenario)."""
    mounts = scenarios.can_mount()
    sweeps, others = -(-kills // 50), -(-kills // 25)
    trainings = -(-max(0, kills - 2 * sweeps - 6 * others) // 3)
    for number in range(trainings):
        extra = ("DATA.WORKERS=1",) if number % 4 == 3 else ()
        yield (
            "SIGKILL, training",
            3,
            lambda b, r, n, extra=extra: scenarios.killed(b, r, n, *extra),
        )
    for _ in range(others):
        yield "SIGKILL, building a cache", 3, scenarios.cache_killed
        yield "SIGKILL, building a gallery", 3, gallery_killed
    for _ in range(sweeps):
        yield "SIGKILL, sweep", 2, scenarios.sweep_killed
    for _ in range(rounds):
        for number in (signal.SIGTERM, signal.SIGINT):
            name = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
            yield name, 1, lambda b, r, n, number=number: scenarios.stopped(b, r, n, number)
        if mounts:
            yield "disk full", 1, scenarios.disk_full
            yield "read-only folder", 1, scenarios.read_only
        yield "file size limit", 1, scenarios.file_limit
        yield "image disappears", 1, scenarios.image_gone
        yield (
            "image disappears, loader processes",
            1,
            lambda b, r, n: scenarios.image_gone(b, r, n, "DATA.WORKERS=1"),
        )
        yield "image changes", 1, scenarios.image_changed
        yield "loader process dies", 1, scenarios.worker_dies
    yield "one of two torchrun processes dies", 1, scenarios.peer_dies


def table(found: dict[str, Row]) -> str:
    lines = ["| fault | injected | broke something |", "|---|---|---|"]
    lines += [f"| {name} | {row.injected} | {len(row.broken)} |" for name, row in found.items()]
    return "\n".join(lines)


def main() -> int:
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--kills", type=int, default=50, help="SIGKILLs, about")
    line.add_argument("--rounds", type=int, default=3, help="of every other fault")
    line.add_argument("--seed", type=int, default=0)
    line.add_argument("--only", metavar="WORD", default="", help="faults whose name has it")
    args = line.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="vireid_faults_"))
    root = folder / "sysu"
    write_set("sysu", root, train_ids=8, test_ids=4, images_per_camera=2, size=(64, 32), seed=1)
    bench, found = Bench(root, folder), {}
    started = time.monotonic()
    for number, (fault, injected, scenario) in enumerate(plan(args.kills, args.rounds)):
        if args.only not in fault:
            continue
        name = f"run{number}"
        before = bench.kills
        broken = scenario(bench, Random(f"{args.seed} {number}"), name)
        row = found.setdefault(fault, Row())
        # Some processes end before the moment comes.
        row.injected += bench.kills - before if fault.startswith("SIGKILL") else injected
        row.broken += broken
        seconds = time.monotonic() - started
        print(f"{seconds:6.0f} s  {name}  {fault}: {'; '.join(broken) or 'fine'}", flush=True)
        for path in folder.glob(f"{name}*"):
            if path.is_dir() and not broken:
                shutil.rmtree(path)
    print(f"\n{table(found)}")
    broken = sum(len(row.broken) for row in found.values())
    if not broken:
        shutil.rmtree(folder)
    return int(broken > 0)


if __name__ == "__main__":
    raise SystemExit(main())
