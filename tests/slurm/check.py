"""Runs a small sweep on a real Slurm of this machine; by hand, for it needs root and two packages.

    apt-get install -y slurm-wlm munge && pip install -e '.[slurm]'
    python tests/slurm/check.py

README.md beside this file says what it checks. Everything is written into one temporary folder,
which is removed at the end; ``--keep`` leaves it.
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
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = Path(__file__).with_name("cluster.sh")
PATIENCE = 1800  # seconds for anything that is waited for
TINY = {
    "INPUT.SIZE": [64, 32],
    "INPUT.PAD": 2,
    "DATA.WORKERS": 0,
    "MODEL.BACKBONE": "osnet_x0_25",
    "MODEL.PRETRAINED": "none",
    "MODEL.MGIM.GRANULARITIES": [2, 4],
    "MODEL.MGIM.DIM": 16,
    "SAMPLER.IDENTITIES": 4,
    "SAMPLER.IMAGES": 2,
    "SOLVER.WARMUP_EPOCHS": 0,
    "SOLVER.STEPS": [1],
    "PRECISION": "fp32",
    "TEST.PROTOCOLS": ["sysu_all_single"],
}


def main() -> int:
    line = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    line.add_argument("--epochs", type=int, default=30, help="of each of the four runs (30)")
    line.add_argument("--time-limit", action="store_true", help="also a run longer than its job")
    line.add_argument("--keep", action="store_true", help="leave the folder with all files")
    args = line.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vireid-slurm-"))
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    os.environ["SLURM_CONF"] = str(folder / "cluster/slurm.conf")
    try:
        subprocess.run([CLUSTER, "start", folder / "cluster"], check=True)
        check_sweep(folder, args.epochs)
        if args.time_limit:
            check_time_limit(folder)
    finally:
        subprocess.run([CLUSTER, "stop", folder / "cluster"])
        if args.keep:
            print(f"left in {folder}")
        else:
            shutil.rmtree(folder)
    print("all checks passed")
    return 0


class Sweep:
    """The tool on a sweep of depths × seeds whose runs take seconds."""

    def __init__(
        self,
        folder: Path,
        epochs: int,
        *,
        depths: Sequence[int] = (3, 5),
        seeds: Sequence[int] = (0, 1),
    ) -> None:
        self.output, self.file = folder / "out", folder / "depth.yaml"
        self.log = folder / "printed.txt"
        data = folder / "sysu"
        make = ["make_synthetic", "--layout", "sysu", "--out", data, "--train-ids", "8"]
        make += ["--test-ids", "4", "--images-per-camera", "2", "--size", "64", "32"]
        if not data.exists():
            make = [sys.executable, "-m", "vireid", *map(str, make)]
            subprocess.run(make, check=True, stdout=subprocess.PIPE)
        sections = {
            "BASE": str(ROOT / "configs/sysu.yaml"),
            "SET": {**TINY, "DATA.ROOT": str(data), "SOLVER.EPOCHS": epochs},
            "GRID": {"MODEL.SHARED_DEPTH": [*depths]},
            "SEEDS": [*seeds],
            "OUTPUT": str(self.output),
            "SLURM": {"cpus-per-task": 1},
        }
        self.file.write_text(yaml.safe_dump(sections, sort_keys=False))
        names = [f"MODEL.SHARED_DEPTH={k}/seed{s}" for s in seeds for k in depths]
        self.runs = [self.output / name for name in names]

    def start(self, *more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "vireid", "sweep", "--cfg", str(self.file)]
        command += ["--executor", "slurm", "--device", "cpu", *more]
        with self.log.open("w") as file:
            return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    def end(self, process: subprocess.Popen, code: int) -> str:
        """What the call printed, whose exit code must be ``code``."""
        found = process.wait(timeout=PATIENCE)
        text = self.log.read_text()
        print("".join(f"    | {line}\n" for line in text.splitlines() if line.strip()), end="")
        check(found == code, f"exit code {code}")
        return text

    def submitted(self) -> int:
        return len(list((self.output / "slurm").glob("*_submission.sh")))

    def finished(self) -> list[Path]:
        return [run for run in self.runs if (run / "results.json").is_file()]

    def at_work(self) -> list[Path]:
        """Runs with an epoch behind them and more to come."""
        begun = [run for run in self.runs if run not in self.finished()]
        return [run for run in begun if epochs_of(run) >= 1]


def check_sweep(folder: Path, epochs: int) -> None:
    sweep = Sweep(folder, epochs)
    print("first call, which Ctrl-C ends while a run is at work")
    process = sweep.start()
    wait_for(lambda: sweep.at_work() != [], "a run at work")
    process.send_signal(signal.SIGINT)
    text = sweep.end(process, 130)
    left = len(queue())
    check(f"{left} jobs go on in the queue" in text and left > 0, f"{left} jobs go on")
    check(sweep.submitted() == 4, "four jobs were submitted, one per run")

    print("second call, which takes them over; one of them is killed in the middle")
    process = sweep.start()
    wait_for(lambda: "since an earlier call" in sweep.log.read_text(), "the jobs found again")
    wait_for(lambda: sweep.at_work() != [], "a run at work")
    killed = sweep.at_work()[-1]
    name = str(killed.relative_to(sweep.output))
    subprocess.run(["scancel", queue()[name]], check=True)
    text = sweep.end(process, 1)
    check(sweep.submitted() == 4, "no job was submitted twice")
    check(f"{name} failed" in text and "CANCELLED" in text, f"{name} is listed as cancelled")
    check(len(sweep.finished()) == 3, "the other three are finished")
    done = epochs_of(killed)
    check(1 <= done < epochs and (killed / "checkpoints/last.pth").is_file(), f"{done} epochs done")

    print("third call, which continues the killed one")
    before = {run: (run / "results.json").stat().st_mtime_ns for run in sweep.finished()}
    text = sweep.end(sweep.start(), 0)
    check(f"{name} continues" in text, f"{name} continues")
    check("continuing" in (killed / "log.txt").read_text(), "from its checkpoint")
    check(epochs_of(killed) == epochs, f"to its {epochs} epochs")
    check(sweep.submitted() == 5, "one more job was submitted")
    same = all((run / "results.json").stat().st_mtime_ns == at for run, at in before.items())
    check(same, "the others were not touched")
    check((sweep.output / "table.md").is_file(), "the tables are there")

    print("fourth call, which has nothing to do")
    text = sweep.end(sweep.start(), 0)
    check("nothing to train" in text, "it says so")
    check(sweep.submitted() == 5 and not queue(), "no job was submitted")


def check_time_limit(folder: Path) -> None:
    """Three minutes: told to save after one or less, and Slurm takes up to a minute to notice."""
    print("a run that is longer than its job may take")
    rows = [row.split(",") for row in metrics_of(Sweep(folder, 1).runs[1])]
    epochs = int(300 / (sum(float(row[-3]) for row in rows) / len(rows)))
    sweep, output = Sweep(folder, epochs, depths=[5], seeds=[0]), folder / "long"
    text = sweep.end(sweep.start("--time", "3", "OUTPUT_DIR", str(output)), 0)
    run = output / "MODEL.SHARED_DEPTH=5/seed0"
    starts = (run / "output.txt").read_text().count("[Slurm job ")
    check(starts > 1 and text.count("submitted") == 1, f"one job, started {starts} times")
    check("SIGTERM: stopped after epoch" in (run / "output.txt").read_text(), "it saved")
    check(epochs_of(run) == epochs, f"and went on to its {epochs} epochs")


def queue() -> dict[str, str]:
    """Ids of the jobs that wait or run, by the name of the run."""
    command = ["squeue", "--noheader", "--format=%i %j"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[1]: line.split()[0] for line in lines}


def epochs_of(run: Path) -> int:
    return len(metrics_of(run))


def metrics_of(run: Path) -> list[str]:
    """One row per epoch; the third from its end is the time."""
    path = run / "metrics.csv"
    return path.read_text().splitlines()[1:] if path.is_file() else []


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"FAILED: no {what} after {PATIENCE} s")
        time.sleep(0.1)


def check(passed: bool, what: str) -> None:
    if not passed:
        raise SystemExit(f"FAILED: {what}")
    print(f"  ok: {what}")


if __name__ == "__main__":
    raise SystemExit(main())
