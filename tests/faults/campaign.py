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
from functools import partial
from pathlib import Path
from random import Random

import pandas as pd
import torch

from tests.faults import scenarios
from tests.faults.scenarios import Bench
from vireid.synthetic.writers import write_set
from vireid.utils.tables import markdown

Scenario = Callable[[Bench, Random, str], list[str]]


def plan(kills: int, rounds: int) -> Iterator[tuple[str, Scenario]]:
    """(fault, scenario): about ``kills`` SIGKILLs, and ``rounds`` of most others."""
    sweeps, others = -(-kills // 50), -(-kills // 25)
    for number in range(-(-max(0, kills - 2 * sweeps - 6 * others) // 3)):
        loaders = ("DATA.WORKERS=1",) if number % 4 == 3 else ()
        yield "SIGKILL, training", lambda b, r, n, extra=loaders: scenarios.killed(b, r, n, *extra)
    for _ in range(others):
        yield "SIGKILL, building a cache", scenarios.cache_killed
        yield "SIGKILL, building a gallery", scenarios.gallery_killed
    for _ in range(sweeps):
        yield "SIGKILL, sweep", scenarios.sweep_killed
    for _ in range(rounds):
        yield "SIGTERM", partial(scenarios.stopped, number=signal.SIGTERM)
        yield "Ctrl-C", partial(scenarios.stopped, number=signal.SIGINT)
        if scenarios.can_mount():
            yield "disk full", scenarios.disk_full
            yield "folder read-only", scenarios.read_only
        yield "file size limit", scenarios.file_limit
        yield "image disappears", scenarios.image_gone
        yield (
            "image disappears, loader processes",
            lambda b, r, n: scenarios.image_gone(b, r, n, "DATA.WORKERS=1"),
        )
        yield "image changes", scenarios.image_changed
        yield "loader process dies", scenarios.worker_dies
    yield "one of two torchrun processes dies", scenarios.peer_dies


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
    bench, rows, started = Bench(root, folder), [], time.monotonic()
    for number, (fault, scenario) in enumerate(plan(args.kills, args.rounds)):
        if args.only not in fault:
            continue
        name, before = f"run{number}", bench.kills
        broken = scenario(bench, Random(f"{args.seed} {number}"), name)
        # Some processes end before the moment of their SIGKILL.
        injected = bench.kills - before if fault.startswith("SIGKILL") else 1
        rows.append({"fault": fault, "injected": injected, "broke something": len(broken)})
        seconds = time.monotonic() - started
        print(f"{seconds:6.0f} s  {name}  {fault}: {'; '.join(broken) or 'fine'}", flush=True)
        for path in folder.glob(f"{name}*"):
            if path.is_dir() and not broken:
                shutil.rmtree(path)
    if not rows:
        line.error(f"no fault has {args.only!r} in its name")
    table = pd.DataFrame(rows).groupby("fault", sort=False).sum()
    print(f"\n{markdown(table.reset_index())}")
    if table["broke something"].any():
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
