"""A run's folder: its name, its description, its lock, and what --overwrite removes."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
import torchvision
from yacs.config import CfgNode

import vireid
from vireid.config import apply_overrides, dump_config
from vireid.engine.checkpoint import LAST
from vireid.errors import UsageError
from vireid.runs.names import write_names
from vireid.runs.options import recipe_of, require_no_model_folder
from vireid.structures import Splits
from vireid.utils.commands import from_here, own_command
from vireid.utils.io import locked, write_text
from vireid.utils.paths import expand

# Everything that a run writes, and all that --overwrite removes; what makes a folder a run goes
# last, so that a removal that is cut short leaves a folder that still counts as one.
OWN_ENTRIES = (
    "command.txt",
    "environment.json",
    "identities.csv",
    "cameras.csv",
    "log.txt",
    "results*.json",
    "features*.npz",
    "events.out.tfevents.*",
    "trackers.json",
    "wandb",
    "figures",
    "checkpoints",
    "metrics.csv",
    "config.yaml",
)
RUN_MARKS = ("config.yaml", "metrics.csv", LAST)


def run_folder(cfg: CfgNode, config_path: Path, split_trial: int | None) -> Path:
    """OUTPUT_DIR, or ``runs/<config stem>[/split<t>]/seed<k>``.

    For a run's own config.yaml, the stem is that of the file that the run was started with.
    """
    if cfg.OUTPUT_DIR:
        return expand(cfg.OUTPUT_DIR)
    home = config_path.resolve().parent
    of_run = config_path.name == "config.yaml" and (home / "command.txt").is_file()
    folder = Path("runs") / (recipe_of(home).name if of_run else config_path.stem)
    if split_trial is not None:
        folder /= f"split{split_trial}"
    return folder / f"seed{cfg.SEED}"


@contextmanager
def claim_folder(folder: Path, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Makes the folder, unless it holds a run that must stay, and keeps other processes out.

    Raises:
        UsageError: it holds a run or an exported model, another process works in it, it is a
            file, or it cannot be written.
    """
    require_no_model_folder(folder, "name another OUTPUT_DIR")
    holds_run = any((folder / name).exists() for name in RUN_MARKS)
    if holds_run and not resume and not overwrite:
        raise UsageError(
            f"OUTPUT_DIR {folder} already holds a run: continue it with --resume, replace it "
            "with --overwrite, or name another OUTPUT_DIR"
        )
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder))
            if holds_run and not resume:
                _remove_run(folder)
            for place in (folder, folder / "checkpoints", folder / "figures"):
                place.mkdir(exist_ok=True)
                for path in place.glob("*.[0-9]*.tmp"):  # a killed process left it; hidden ones too
                    path.unlink()
        except BlockingIOError as error:
            raise UsageError(
                f"OUTPUT_DIR {folder}: another process is training in it; wait for it or stop it"
            ) from error
        except OSError as error:
            raise UsageError(f"cannot write OUTPUT_DIR {folder}: {error.strerror}") from error
        yield


def _remove_run(folder: Path) -> None:
    for pattern in OWN_ENTRIES:
        for path in folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def describe_run(
    folder: Path, cfg: CfgNode, *, splits: Splits, data: str, device: torch.device
) -> None:
    """Writes what the run is: config.yaml, command.txt, environment.json; names of identities.

    Args:
        splits, data: the data set and its fingerprint.
    """
    if cfg.OUTPUT_DIR:  # a run that was moved is continued where it is now
        cfg = apply_overrides(cfg, ["OUTPUT_DIR", str(folder.absolute())])
    write_text(folder / "config.yaml", dump_config(cfg))
    with (folder / "command.txt").open("ab") as file:  # one line per start
        file.write(os.fsencode(from_here([*own_command(), *sys.argv[1:]]) + "\n"))
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
        "data": {"root": str(splits.root), "fingerprint": data},
    }
    write_text(folder / "environment.json", json.dumps(environment, indent=1) + "\n")
    write_names(folder, splits)


def git_state() -> dict[str, str | bool] | None:
    """Commit of this source tree and whether it was changed since; None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def seed_everything(seed: int) -> None:
    """Seeds the generators of python, numpy and torch; called once per run."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
