"""What the jobs of a sweep ask Slurm for: options of sbatch, by their long names."""

from __future__ import annotations

import re
from typing import Any

# What the executor decides: one task per job, its own output files, how a job is recognised.
OWNED = {
    "array": "every run is a job of its own",
    "error": "it goes into the sweep's folder",
    "job-name": "by it a job is found again",
    "nodes": "a run is trained on one node",
    "ntasks": "a run is one task",
    "ntasks-per-node": "a run is one task",
    "no-requeue": "a job at its time limit goes back into the queue",
    "output": "it goes into the sweep's folder",
    "parsable": "the executor reads what sbatch prints",
    "signal": "by it a run is told to save before its time limit",
    "test-only": "--dry-run is for that",
    "wait": "the tool waits",
    "wrap": "the job trains a run",
}
GPU_OPTIONS = ("gpus", "gpus-per-node", "gpus-per-task", "gres", "tres-per-task")


def slurm_option(name: str, value: Any) -> tuple[str, str]:
    """One option as sbatch takes it; an empty text for one that stands without a value.

    Args:
        name: with or without dashes before it, and with dashes or underscores within.
        value: text or number; true for an option without a value.
    Raises:
        ValueError: says what is wrong, to follow the option's name.
    """
    long = name.lstrip("-").replace("_", "-").lower()
    if not re.fullmatch(r"[a-z][a-z0-9-]+", long):
        raise ValueError("is no long option of sbatch, such as partition or cpus-per-task")
    if long in OWNED:
        raise ValueError(f"is set by the executor: {OWNED[long]}")
    if long == "time" and not isinstance(value, str):  # 4:00:00 is a number to YAML
        raise ValueError(f"must be quoted text such as '4:00:00', got {value!r}")
    if value is True:
        return long, ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"must be a text or a number, or true where it takes none, got {value!r}")
    text = str(value).strip()
    if not text.isprintable():
        raise ValueError(f"must be one line, got {value!r}")
    return long, text
