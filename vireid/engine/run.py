"""A run's folder: what it is called, what it holds, and how it is kept from being overwritten."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import platform
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torchvision
from yacs.config import CfgNode

import vireid
from vireid.config import dump_config
from vireid.errors import UsageError
from vireid.structures import Splits

LAST = "checkpoints/last.pth"
BEST = "checkpoints/best.pth"
OWN_ENTRIES = (  # everything that a run writes, and all that --overwrite removes
    "config.yaml",
    "command.txt",
    "environment.json",
    "log.txt",
    "metrics.csv",
    "results.json",
    "checkpoints",
    "figures",
)


def run_folder(cfg: CfgNode, config_path: Path, split_trial: int | None) -> Path:
    """OUTPUT_DIR, or ``runs/<config stem>[/split<t>]/seed<k>``."""
    if cfg.OUTPUT_DIR:
        return Path(cfg.OUTPUT_DIR).expanduser()
    folder = Path("runs") / config_path.stem
    if split_trial is not None:
        folder /= f"split{split_trial}"
    return folder / f"seed{cfg.SEED}"


def claim_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Makes the folder, unless it holds a run that nobody allowed to touch.

    Raises:
        UsageError: it holds a run, it is a file, or it cannot be written.
    """
    if (folder / "config.yaml").exists() and not resume:
        if not overwrite:
            raise UsageError(
                f"OUTPUT_DIR {folder} already holds a run: continue it with --resume, replace it "
                "with --overwrite, or name another OUTPUT_DIR"
            )
        for name in OWN_ENTRIES:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        (folder / "checkpoints").mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write OUTPUT_DIR {folder}: {error.strerror}") from error


def describe_run(folder: Path, cfg: CfgNode, splits: Splits, device: torch.device) -> None:
    """Writes what the run is: config.yaml, command.txt, environment.json."""
    write_text(folder / "config.yaml", dump_config(cfg))
    with (folder / "command.txt").open("a", encoding="utf-8") as file:  # one line per start
        file.write(shlex.join(["python", *sys.argv]) + "\n")
    environment = {
        "vireid": vireid.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "git": git_state(),
        "data": {"root": str(splits.root), "fingerprint": fingerprint(splits)},
    }
    write_text(folder / "environment.json", json.dumps(environment, indent=1) + "\n")


def git_state() -> dict[str, str | bool] | None:
    """Commit of this source tree and whether it was changed since; None outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def fingerprint(splits: Splits) -> str:
    """Digest of every image's split, path, identity, camera, modality and size on disk."""
    digest = hashlib.sha256()
    for part in ("train", "val", "test"):
        for r in sorted(getattr(splits, part), key=lambda record: record.path):
            size = (splits.root / r.path).stat().st_size
            line = f"{part}\t{r.path}\t{r.pid}\t{r.camid}\t{int(r.modality)}\t{size}\n"
            digest.update(line.encode())
    return digest.hexdigest()


def write_metrics(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """A CSV of all the rows; columns that not every row has stay empty there."""
    columns = max(history, key=len, default={})
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """Replaces a small file as a whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def start_log(folder: Path | None) -> None:
    """Messages to standard output, and to log.txt when a folder is given."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if folder is not None:
        handlers.append(logging.FileHandler(folder / "log.txt", encoding="utf-8"))
    logger = logging.getLogger("vireid")
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def seed_everything(seed: int) -> None:
    """Seeds the generators of python, numpy and torch; called once per run."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
