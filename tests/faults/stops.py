"""Sends SIGTERM to the tools at random moments, and measures how long they take to end.

    python -m tests.faults.stops --rounds 20

Each tool runs as users call it, on tiny rendered images enlarged so that one step of training takes
seconds. Every end must come within ten seconds, with exit code 143 (0: it was done before), one
message and no traceback; what a training leaves must continue.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pandas as pd

from tests.conftest import TINY
from tests.faults.trainings import require_whole
from vireid.engine.checkpoint import LAST
from vireid.synthetic.writers import write_set
from vireid.utils.tables import markdown

LIMIT = 10.0  # seconds
USUAL = (
    *("INPUT.SIZE", "[128, 64]", "SOLVER.EPOCHS", "3", "DATA.WORKERS", "2"),
    *("DATA.SPLIT", "train+val", "TEST.GALLERY_DRAW", "seeded"),
)
SLOW = (  # a step takes longer than a signal may wait
    *("INPUT.SIZE", "[256, 128]", "SAMPLER.IDENTITIES", "8", "SAMPLER.IMAGES", "4"),
    *("MODEL.BACKBONE", "osnet_x0_5", "SOLVER.EPOCHS", "2"),
)
VALIDATED = ("DATA.SPLIT", "train", "SAMPLER.IDENTITIES", "4", "SOLVER.VAL_EVERY", "1")


@dataclass(frozen=True)
class Tool:
    """A command line to disturb.

    Args:
        writes: the folder or file that it writes, removed before each call.
    """

    name: str
    words: Sequence[str]
    writes: Path
    launcher: Sequence[str] = ()

    @property
    def command(self) -> list[str]:
        return [sys.executable, *self.launcher, *self.words]


def tools(folder: Path, root: Path) -> list[Tool]:
    """The tools by name; the first trains the run that later ones use."""
    run, images = folder / "run", root / "cam1"
    pairs = [word for item in TINY for word in item.split("=", 1)]
    train = ["tools/train.py", "--cfg", "configs/sysu.yaml", *pairs, *USUAL]
    train += ["DATA.ROOT", str(root), "DEVICE", "cpu"]
    built = ["tools/search.py", "build", "--run", str(run), "--images", str(images)]
    built += ["--modality", "visible", "--device", "cpu", "--batch", "4"]
    exported = ["tools/export.py", "--run", str(run), "--format", "onnx"]
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

    def out(name: str) -> Path:
        return folder / name

    def training(name: str, *extra: str, launcher: Sequence[str] = ()) -> Tool:
        words = [*train, *extra, "OUTPUT_DIR", str(out(name))]
        return Tool(name.replace("_", " "), words, out(name), launcher)

    return [
        training("train"),
        training("train_in_slow_steps", *SLOW),
        training("train_with_validation", *VALIDATED),
        training("train_without_loader_processes", "DATA.WORKERS", "0"),
        training("train_with_a_cache", "DATA.CACHE", str(out("cache"))),
        Tool(
            "train, rendering",
            ["tools/train.py", "--cfg", "configs/demo.yaml", "OUTPUT_DIR", str(out("demo"))],
            folder / "datasets",
        ),
        training("two_processes", *VALIDATED, launcher=two),
        Tool("evaluate", ["tools/evaluate.py", "--run", str(run)], out("none")),
        Tool(
            "extract", ["tools/extract.py", "--run", str(run), "--out", str(out("f.npz"))], out("n")
        ),
        Tool("export", [*exported, "--out", str(out("net.onnx"))], out("n")),
        Tool("search build", [*built, "--gallery", str(out("gallery"))], out("gallery")),
    ]


def start(tool: Tool, output: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Runs it with nothing that it wrote before."""
    if tool.writes.is_dir():
        shutil.rmtree(tool.writes)
    here = Path.cwd()
    command = [str(here / word) if word.startswith(("tools/", "configs/")) else word
               for word in tool.command]  # fmt: skip
    with output.open("wb") as file:
        return subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def disturb(tool: Tool, after: float, folder: Path) -> dict[str, object]:
    """One SIGTERM; the seconds that the end took, the exit code and what is wrong."""
    output = folder / "output.txt"
    process = start(tool, output, folder)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
    asked, wrong = time.monotonic(), ""
    try:
        code = process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        code, wrong = process.wait(), "hangs"
    seconds, printed = time.monotonic() - asked, output.read_text(errors="replace")
    codes = (0, 143) if not tool.launcher else (0, 1, 143)  # torchrun's own is 1
    if code not in codes or seconds > LIMIT:
        wrong = wrong or f"code {code} after {seconds:.1f} s: {printed[-600:]}"
    if "Traceback" in printed and not tool.launcher:
        wrong = wrong or printed[-1500:]
    if code and (tool.writes / LAST).is_file() and "checkpoints/last.pth" not in printed:
        wrong = wrong or f"the checkpoint is not named: {printed[-600:]}"
    require_whole(tool.writes)
    return {"tool": tool.name, "after": after, "seconds": seconds, "code": code, "wrong": wrong}


def main() -> int:
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--rounds", type=int, default=3, help="signals to each tool")
    line.add_argument("--seed", type=int, default=0)
    line.add_argument("--only", metavar="WORD", default="", help="tools whose name has it")
    args = line.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vireid_stops_"))
    root = folder / "sysu"
    write_set("sysu", root, train_ids=8, test_ids=4, images_per_camera=2, size=(128, 64), seed=1)
    chosen, random, rows = tools(folder, root), Random(args.seed), []
    subprocess.run(
        [*chosen[0].command[:-1], str(folder / "run")], check=True, stdout=subprocess.DEVNULL
    )
    for tool in [one for one in chosen if args.only in one.name]:
        began = time.monotonic()
        code = start(tool, folder / "output.txt", folder).wait()
        whole = time.monotonic() - began
        assert code == 0, (folder / "output.txt").read_text(errors="replace")[-1500:]
        for _ in range(args.rounds):
            rows.append(disturb(tool, random.uniform(0.1, whole), folder))
            print({k: round(v, 1) if isinstance(v, float) else v for k, v in rows[-1].items()},
                  flush=True)  # fmt: skip
    frame = pd.DataFrame(rows)
    table = frame.groupby("tool", sort=False).agg(
        signals=("seconds", "size"),
        finished_before=("code", lambda codes: int((codes == 0).sum())),
        mean_s=("seconds", "mean"),
        longest_s=("seconds", "max"),
        wrong=("wrong", lambda texts: int((texts != "").sum())),
    )
    print(f"\n{markdown(table.round(1).reset_index())}")
    if table["wrong"].any():
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
