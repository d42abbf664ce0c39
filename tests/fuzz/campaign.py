"""Attacks every reader for a while and prints what came of it.

    python -m tests.fuzz.campaign --seconds 300

A crash is shown with the seed that makes it again: ``--kind NAME --seed N --inputs 1``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import torch

from tests.fuzz.judge import Verdict, judge
from tests.fuzz.kinds import KINDS, Kind

SILENCE = 120  # seconds after which a process is given up
FORK = multiprocessing.get_context("fork")  # imports and the corpus are made once


@dataclass
class Tally:
    """What came of one kind's inputs."""

    tried: int = 0
    accepted: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    crashes: dict[str, int] = field(default_factory=dict)  # the first seed of each
    crashed: int = 0

    def add(self, verdict: Verdict, seed: int) -> None:
        self.tried += 1
        if verdict.crash:
            self.crashed += 1
            self.crashes.setdefault(verdict.crash.split(":")[0] + _place(verdict), seed)
        elif verdict.code:
            self.codes[verdict.code] += 1
        else:
            self.accepted += 1


def _place(verdict: Verdict) -> str:
    return ":" + ":".join(verdict.crash.split(":")[1:])[:160]


def attack(kind: Kind, seed: int) -> Verdict:
    """One input, made by a seed, and how it was taken."""
    folder = Path(tempfile.mkdtemp(prefix="vireid_fuzz_input_"))
    try:
        use = kind.make(folder, Random(f"{kind.name} {seed}"))
        return judge(use, sentinel=folder / "sentinel")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare(kind: Kind, seed: int) -> None:
    """Makes the corpus, once for all forks; threads of libraries do not survive a fork."""
    if not kind.needs:
        attack(kind, seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        kind.make(Path(folder), Random(f"{kind.name} {seed}"))


def attacks(kind: Kind, first: int, end: float, most: int) -> Iterator[tuple[int, Verdict]]:
    """Inputs from a seed on, in a process of its own: one that takes it down is a crash, too.

    Args:
        end: by the monotonic clock; one input is tried at least.
    """
    seed, tried = first, 0
    while tried < most and (time.monotonic() < end or not tried):
        mine, theirs = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_attack_all, args=(kind, seed, theirs))
        process.start()
        theirs.close()
        while tried < most and (time.monotonic() < end or not tried):
            try:
                if not mine.poll(SILENCE):
                    yield seed, Verdict(None, "", f"no answer within {SILENCE} s")
                    break
                yield seed, mine.recv()
            except EOFError:
                process.join()
                yield seed, Verdict(None, "", f"killed the process ({process.exitcode})")
                break
            finally:
                seed, tried = seed + 1, tried + 1
        process.kill()
        process.join()


def _attack_all(kind: Kind, seed: int, results: Connection) -> None:
    with suppress(OSError):  # nobody listens any more
        while True:
            results.send(attack(kind, seed))
            seed += 1


def table(tallies: dict[str, Tally]) -> str:
    """Markdown, a row per kind and one for all."""
    lines = [
        "| kind | inputs | accepted | refused (exit code) | crashes |",
        "|---|---|---|---|---|",
    ]
    total = Counter(tried=0, accepted=0, refused=0, crashed=0)
    for name, tally in tallies.items():
        codes = ", ".join(f"{count} ({code})" for code, count in sorted(tally.codes.items()))
        lines.append(
            f"| {name} | {tally.tried} | {tally.accepted} | {codes or 0} | {tally.crashed} |"
        )
        refused = sum(tally.codes.values())
        total.update(
            tried=tally.tried, accepted=tally.accepted, refused=refused, crashed=tally.crashed
        )
    sums = " | ".join(str(total[k]) for k in ("tried", "accepted", "refused", "crashed"))
    return "\n".join([*lines, f"| all | {sums} |"])


def main() -> int:
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--seconds", type=float, default=300, help="for all kinds together")
    line.add_argument("--kind", choices=tuple(KINDS), action="append", help="default: all")
    line.add_argument("--seed", type=int, default=0, help="of each kind's first input")
    line.add_argument("--inputs", type=int, default=sys.maxsize, help="of each kind at most")
    args = line.parse_args()
    torch.set_num_threads(1)
    os.chdir(tempfile.mkdtemp(prefix="vireid_fuzz_"))  # an output without a folder of its own
    tallies = {name: Tally() for name in args.kind or KINDS if not KINDS[name].missing}
    for name in sorted(set(args.kind or KINDS) - set(tallies)):
        print(f"{name}: left out, it needs {', '.join(KINDS[name].missing)}")
    share = args.seconds / len(tallies)
    for name, tally in tallies.items():
        prepare(KINDS[name], args.seed)  # imports and the corpus are nobody's time
        end = time.monotonic() + share
        for seed, verdict in attacks(KINDS[name], args.seed, end, args.inputs):
            tally.add(verdict, seed)
        for crash, first in tally.crashes.items():
            print(f"{name}, seed {first}: {crash}", flush=True)
    print(f"\n{table(tallies)}")
    return int(any(tally.crashed for tally in tallies.values()))


if __name__ == "__main__":
    raise SystemExit(main())
