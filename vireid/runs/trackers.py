"""The epochs' rows for TensorBoard, where it is installed (extra ``tb``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_events(folder: Path, row: Mapping[str, float]) -> None:
    """Appends one epoch's row to the folder's event files; does nothing without TensorBoard.

    Args:
        row: of metrics.csv; ``epoch`` becomes the step.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return
    with SummaryWriter(str(folder), filename_suffix=f".{row['epoch']:.0f}") as writer:
        for name, value in row.items():
            if name != "epoch":
                writer.add_scalar(name, value, global_step=int(row["epoch"]))
