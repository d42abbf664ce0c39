"""Attacks every reader for a while and prints what came of it.

    python -m tests.fuzz.campaign --seconds 300

A crash is shown with the seed that makes it again: ``--kind NAME --seed N --inputs 1``.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import pandas as pd
import torch

from tests.fuzz import arrays, configs, exports, galleries, images, lists, runs
from tests.fuzz.harness import Use, Verdict, judge
from vireid.utils.tables import markdown

SILENCE = 120  # seconds without an answer after which a process is killed
SPAWN = multiprocessing.get_context("spawn")  # LanceDB's threads do not survive a fork
FORK = multiprocessing.get_context("fork")  # modules and good files are loaded once


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input.

    Args:
        make: (empty folder, generator) → writes an input there and returns what reads it.
        examples: inputs that the test suite tries.
        needs: packages that an installation may lack.
    """

    name: str
    make: Callable[[Path, Random], Use]
    examples: int = 20
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        return [name for name in self.needs if find_spec(name) is None]


LANCE = ("lancedb",)
EXPORT = ("onnx", "onnxscript", "onnxruntime", "openvino")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("config", configs.config),
        Kind("sweep file", configs.sweep),
        Kind("override", configs.override),
        *(Kind(name, partial(lists.changed_list, name)) for name in lists.LISTS),
        Kind("permutations (.mat)", arrays.permutations),
        Kind("features (.mat)", arrays.official),
        Kind("features.npz", arrays.features, examples=12),
        Kind("test ids", arrays.identities_to_score),
        Kind("image", images.image),
        Kind("results.json", runs.results),
        Kind("run page", runs.page, examples=4),
        Kind("weights", runs.weights, examples=8),
        Kind("checkpoint", runs.checkpoint, examples=8),
        Kind("resumed checkpoint", runs.resumed, examples=3),
        Kind("ONNX file", exports.onnx, needs=EXPORT),
        Kind("OpenVINO files", exports.openvino, needs=EXPORT),
        Kind("changed exports without a checksum", exports.crafted, examples=30, needs=EXPORT),
        Kind("gallery", galleries.gallery, needs=LANCE),
        Kind("search index", galleries.index, examples=6, needs=LANCE),
        Kind("search filter", galleries.condition, needs=LANCE),
        Kind("images of a gallery (.csv)", galleries.listing, needs=LANCE),
    )
}


def attack(kind: Kind, seed: int) -> Verdict:
    """Makes one input from a seed and judges how it is taken."""
    with tempfile.TemporaryDirectory(prefix="vireid_fuzz_", ignore_cleanup_errors=True) as name:
        use = kind.make(Path(name), Random(f"{kind.name} {seed}"))
        return judge(use, sentinel=Path(name) / "sentinel")


def prepare(kind: Kind, seed: int) -> None:
    """Makes the good files, once for all forks; a spawned process makes its own."""
    if kind.needs == LANCE:
        return
    with tempfile.TemporaryDirectory() as folder:
        use = kind.make(Path(folder), Random(f"{kind.name} {seed}"))
        if not kind.needs:  # threads of other libraries would not survive a fork
            judge(use, sentinel=Path(folder) / "sentinel")


def attacks(kind: Kind, seeds: Iterable[int], end: float) -> Iterator[tuple[int, Verdict]]:
    """Attacks from a process that is replaced when an input kills it or makes it hang.

    Args:
        end: by the monotonic clock; at least one input is tried.
    """
    process, context = None, SPAWN if kind.needs == LANCE else FORK
    for number, seed in enumerate(seeds):
        if number and time.monotonic() >= end:
            break
        if process is None:
            pipe, theirs = context.Pipe()
            place = str(Path.cwd())
            process = context.Process(target=_answer, args=(kind, theirs, place), daemon=True)
            process.start()
            theirs.close()
        pipe.send(seed)
        try:
            verdict = pipe.recv() if pipe.poll(SILENCE) else None
        except EOFError:
            process.join()
            verdict = Verdict(None, crash=f"killed the process ({process.exitcode})")
        yield seed, verdict or Verdict(None, crash=f"no answer within {SILENCE} s")
        if verdict is None or not process.is_alive():
            process.kill()
            process = None
    if process:
        process.kill()


def _answer(kind: Kind, pipe: Connection, place: str) -> None:
    os.chdir(place)  # what a tool writes without a folder comes there
    while True:
        pipe.send(attack(kind, pipe.recv()))


def table(verdicts: Mapping[str, Iterable[Verdict]]) -> str:
    """Markdown, a row per kind and one for all."""
    rows = []
    for name, found in {**verdicts, "all": itertools.chain(*verdicts.values())}.items():
        codes = Counter("crash" if verdict.crash else verdict.code for verdict in found)
        refused = sorted((c, n) for c, n in codes.items() if c not in (0, "crash"))
        rows.append({
            "kind": name,
            "inputs": codes.total(),
            "accepted": codes[0],
            "refused (exit code)": ", ".join(f"{n} ({c})" for c, n in refused) or "0",
            "crashes": codes["crash"],
        })  # fmt: skip
    return markdown(pd.DataFrame(rows))


def main() -> int:
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--seconds", type=float, default=300, help="for all kinds together")
    line.add_argument("--kind", choices=tuple(KINDS), action="append", help="default: all")
    line.add_argument("--seed", type=int, default=0, help="of each kind's first input")
    line.add_argument("--inputs", type=int, default=sys.maxsize, help="of each kind at most")
    args = line.parse_args()
    torch.set_num_threads(1)
    chosen = [KINDS[name] for name in args.kind or KINDS]
    for kind in chosen:
        if kind.missing:
            print(f"{kind.name}: left out, it needs {', '.join(kind.missing)}")
    chosen = [kind for kind in chosen if not kind.missing]
    verdicts: dict[str, list[Verdict]] = {kind.name: [] for kind in chosen}
    # The working directory takes what a tool writes without a folder.
    with tempfile.TemporaryDirectory(prefix="vireid_fuzz_") as folder, contextlib.chdir(folder):
        for kind in chosen:
            prepare(kind, args.seed)
            end, crashes = time.monotonic() + args.seconds / len(chosen), set()
            for seed, verdict in attacks(kind, range(args.seed, args.seed + args.inputs), end):
                verdicts[kind.name].append(verdict)
                if verdict.crash and verdict.crash not in crashes:
                    print(f"{kind.name}, seed {seed}: {verdict.crash[:200]}", flush=True)
                    crashes.add(verdict.crash)
    print(f"\n{table(verdicts)}")
    return int(any(verdict.crash for found in verdicts.values() for verdict in found))


if __name__ == "__main__":
    raise SystemExit(main())
