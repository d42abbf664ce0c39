"""Everything about speed on one large GPU, in one call of at most eight minutes.

    python benchmarks/gpu.py --out gpu_results [--seconds 460] [--data DIR] [--parts NAME ...]
    python benchmarks/gpu.py --out gpu_results --tiny --device cpu

Renders about as many images as SYSU-MM01 has (64 × 32, resized to 288 × 144), and measures: one
training step by number format and batch, beside a plain loop around torchreid's OSNet; training
with the real loader; extraction; scoring; two epochs of the four variants with and without SDM and
MGIM; the compiled step. Every part has a share of the time. What does not fit is shortened or left
out, and its row says so; time that is left over goes to the parts after it. Each row is printed and
written to ``gpu.json`` and ``gpu.md`` in ``--out`` as soon as it is there. A row that needs too
much memory says "out of memory", and the rest goes on. Nothing is downloaded. ``--tiny`` runs the
same code on a tiny set and network, but compiles nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gpu_parts
import torch
from gpu_parts import FULL, TINY, Bench, Cell, Numbers
from machine import describe_machine, machine_facts

from vireid.cli.arguments import LIST, ToolParser, tool
from vireid.engine.precision import resolve_device
from vireid.errors import UsageError, VireidError
from vireid.utils.io import write_text
from vireid.utils.tables import markdown


@dataclass(frozen=True, slots=True)
class Part:
    """A table.

    Args:
        share: of the whole time.
        cells: in the order of importance.
        note: below the table.
    """

    share: float
    cells: Callable[[Bench], Iterator[Cell]]
    note: str


PARTS = {
    "rendering": Part(0.06, gpu_parts.rendering, "Its images are those of all other parts."),
    "steps": Part(
        0.25,
        gpu_parts.steps,
        "One optimiser step on one batch, without loading. The first row of each batch is fp32 "
        "(convolutions in TF32 where torch.backends.cudnn.allow_tf32 is true, its default).",
    ),
    "loader": Part(
        0.09, gpu_parts.loading, "Training with the loader's processes, without DATA.CACHE."
    ),
    "extraction": Part(
        0.07, gpu_parts.extracting, "With the way of the images to the device and back."
    ),
    "scoring": Part(
        0.05, gpu_parts.scoring, "Random features; this part always runs on the processor."
    ),
    "variants": Part(
        0.34,
        gpu_parts.variants,
        "sysu_all_single on rendered people, in per cent, from random weights at a constant "
        "learning rate: these are no benchmark results.",
    ),
    "compiled": Part(
        0.14,
        partial(gpu_parts.steps, compiled=True),
        "As the part steps; compiling is not in the times.",
    ),
}
CUT = "compiled"  # runs in a process of its own, which is ended when the time is over


@dataclass(slots=True)
class Report:
    """What was measured so far, in ``gpu.json`` and ``gpu.md``."""

    folder: Path
    content: dict[str, Any]

    def add(self, part: str, rows: Mapping[str, Numbers]) -> None:
        """Prints rows of a part, and writes everything."""
        self.content["parts"][part]["rows"] |= rows
        for name, numbers in rows.items():
            texts = ", ".join(f"{key} {_text(value)}" for key, value in numbers.items())
            print(f"{part}: {name}: {texts}", flush=True)
        self.write()

    def write(self) -> None:
        """Both files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / "gpu.json", json.dumps(self.content, indent=1) + "\n")
        write_text(self.folder / "gpu.md", self.as_markdown())

    def as_markdown(self) -> str:
        """The machine and a table of each part."""
        blocks = [describe_machine(self.content["machine"])]
        for name, part in self.content["parts"].items():
            columns = list(dict.fromkeys(key for row in part["rows"].values() for key in row))
            rows = [
                {name: row} | {key: _text(values.get(key, "–")) for key in columns}
                for row, values in part["rows"].items()
            ]
            used = f"{part['used']:.0f} s of {part['share']:.0f} s"
            blocks.append(f"{PARTS[name].note} ({used})\n\n{markdown(rows) if rows else 'no row'}")
        return "\n\n".join(blocks) + "\n"


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.2f}"


def measure_part(name: str, bench: Bench, report: Report, deadline: float) -> None:
    """Measures a part's cells one after another, as long as there is time."""
    for cell in PARTS[name].cells(bench):
        left = deadline - time.perf_counter()
        if left <= 0 and name != "rendering":
            report.add(name, {cell.name: {"note": "left out: no time"}})
            continue
        try:
            rows = cell.measure(left)
        except torch.OutOfMemoryError:
            rows = {cell.name: {"note": "out of memory"}}
        except (OSError, RuntimeError, ValueError, VireidError) as error:
            first = next(iter(str(error).splitlines()), type(error).__name__)
            rows = {cell.name: {"note": f"failed: {first:.120}"}}
        report.add(name, rows)
        gc.collect()
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()


def measure_apart(name: str, bench: Bench, report: Report, deadline: float) -> None:
    """Measures a part in another process, which the deadline ends at once."""
    folder, left = report.folder / name, deadline - time.perf_counter()
    command = [sys.executable, __file__, "--out", str(folder), "--data", str(bench.root.parent)]
    command += ["--parts", name, "--seconds", f"{max(left, 1):.0f}", "--device", str(bench.device)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    note = ""
    try:
        if process.wait(timeout=max(left, 1)):
            note = "failed: see the messages above"
    except subprocess.TimeoutExpired:
        note = "cut: no time for more"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    try:
        rows = json.loads((folder / "gpu.json").read_text())["parts"][name]["rows"]
    except (OSError, ValueError, KeyError):
        rows = {}
    report.add(name, rows | ({"rest": {"note": note}} if note else {}))


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints every row as it comes, and all tables at the end."""
    args = _parse(arguments)
    began, device = time.perf_counter(), resolve_device(args.device)
    size = TINY if args.tiny else FULL
    with ExitStack() as stack:
        data = args.data or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data.mkdir(parents=True, exist_ok=True)
        bench = Bench(size, device, data.absolute() / "sysu")
        facts = machine_facts(device) | {"tf32": str(torch.backends.cudnn.allow_tf32)}
        report = Report(args.out, {"machine": facts, "seconds": args.seconds, "parts": {}})
        print(describe_machine(facts))
        chosen = [name for name in PARTS if name in (args.parts or PARTS) or name == "rendering"]
        whole, until = sum(PARTS[name].share for name in chosen), 0.0
        for name in chosen:
            share = PARTS[name].share / whole * args.seconds
            until += share
            print(f"{name}: {share:.0f} s, until {until:.0f} s")
        until = 0.0
        for name in chosen:
            share = PARTS[name].share / whole * args.seconds
            until += share
            part = {"share": share, "used": 0.0, "rows": {}}
            report.content["parts"][name] = part
            started = time.perf_counter()
            if name == CUT and len(chosen) > 2 and not args.tiny:
                measure_apart(name, bench, report, began + until)
            else:
                measure_part(name, bench, report, began + until)
            part["used"] = time.perf_counter() - started
            report.write()
        print(f"\n{report.as_markdown()}\n{time.perf_counter() - began:.0f} s in all")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    line = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--out", type=Path, required=True, metavar="DIR")
    line.add_argument("--seconds", type=float, default=460, help="of all parts together (460)")
    line.add_argument("--data", type=Path, metavar="DIR", help="keep the rendered images here")
    line.add_argument("--device", default="cuda")
    line.add_argument("--tiny", action="store_true", help="a tiny set and network, for tests")
    line.add_argument("--parts", metavar="NAME", help=f"of {', '.join(PARTS)}", **LIST)
    args = line.parse(arguments)
    if unknown := set(args.parts or []) - set(PARTS):
        raise UsageError(f"--parts {', '.join(sorted(unknown))}: choose of {', '.join(PARTS)}")
    if not 0 < args.seconds < math.inf:
        raise UsageError(f"--seconds must be positive, got {args.seconds}")
    return args


if __name__ == "__main__":
    raise SystemExit(main())
