"""What a step costs beside another program, by how long threads spin before they sleep.

    python benchmarks/waiting.py

Threads of torch's operations wait for one another in a loop (GNU OpenMP: 300,000 turns, some
milliseconds) before they sleep. Where another program takes one of the processors, the thread that
everyone waits for does not run meanwhile. The tools let them turn fewer times
(``vireid.cli.SPIN``); this times forward and backward of the demo's network, 64 images, alone and
beside programs that keep processors busy. All ways take turns in every round.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from vireid.cli import SPIN

ROOT = Path(__file__).resolve().parents[1]
BUSY = "while True: pass"


def step_seconds(seconds: float) -> float:
    """Of one step, the median over as many as fit, three at least, after one of warm-up."""
    import torch

    from vireid.config import load_config
    from vireid.models.build import build_model
    from vireid.runs.options import choices

    cfg = load_config(ROOT / "configs/demo.yaml", choices=choices(), environment={})
    network = build_model(cfg, 150, load_weights=False)[0].train()
    images, is_infrared = torch.randn(64, 3, *cfg.INPUT.SIZE), torch.arange(64) >= 32
    taken: list[float] = []
    while len(taken) < 4 or sum(taken[1:]) < seconds:
        start = time.perf_counter()
        logits = [head.logits for head in network(images, is_infrared).heads.values()]
        torch.stack(logits).square().sum().backward()
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Other programs, each of which wants a processor for itself."""
    others = [
        subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) for _ in range(count)
    ]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measured(spin: str | None, seconds: float) -> float:
    """``step_seconds`` in a process of its own: the library reads the setting when it is loaded."""
    own = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    own |= {"GOMP_SPINCOUNT": spin} if spin else {}
    words = [sys.executable, __file__, "--seconds", str(seconds), "--worker"]
    return float(subprocess.run(words, env=own, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--seconds", type=float, default=5, help="of each measurement")
    line.add_argument("--rounds", type=int, default=3)
    line.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = line.parse_args()
    if args.worker:
        print(step_seconds(args.seconds))
        return
    cells = {(n, s): [] for n in (0, 1) for s in (None, SPIN)}
    for _ in range(args.rounds):
        for (others, spin), found in cells.items():
            with busy(others):
                found.append(measured(spin, args.seconds))
    print(f"{os.cpu_count()} processors; seconds per step, median of {args.rounds} rounds\n")
    print(f"| other programs | the library's waiting | {SPIN} turns | ratio |\n|---|---|---|---|")
    for others in (0, 1):
        theirs, ours = (median(cells[others, spin]) for spin in (None, SPIN))
        print(f"| {others} | {theirs:.3f} | {ours:.3f} | {theirs / ours:.2f} × |")


if __name__ == "__main__":
    main()
