"""TensorBoard: one event file in the run's folder for each start of the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vireid.runs.trackers.tracker import Status, Tracker

EVENTS = "events.out.tfevents.*"


class TensorboardTracker(Tracker):
    """Scalars, the configuration as text, figures as images."""

    module = "torch.utils.tensorboard"
    package = "tensorboard"

    def open(self, known: Mapping[str, str]) -> dict[str, str]:
        from torch.utils.tensorboard import SummaryWriter

        if not known:  # files of a version that kept no record of them: all is written again
            self.discard(known)
        self._writer = SummaryWriter(str(self.run.folder))
        if not known:
            lines = [f"| {key} | {value} |" for key, value in self.run.config.items()]
            self._writer.add_text("config", "\n".join(["| option | value |", "|---|---|", *lines]))
        self._writer.flush()
        return {"folder": str(self.run.folder)}

    @property
    def place(self) -> str:
        return f"tensorboard --logdir {self.run.folder}"

    def discard(self, known: Mapping[str, str]) -> None:
        for path in self.run.folder.glob(EVENTS):
            path.unlink()

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        self._add(epoch, row)

    def log_scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        self._add(epoch, scores)

    def _add(self, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, global_step=epoch)
        self._writer.flush()

    def log_figures(self, epoch: int, figures: Sequence[Path]) -> None:
        for path in figures:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            self._writer.add_image(path.stem, pixels, epoch, dataformats="HWC")
        self._writer.flush()

    def close(self, status: Status) -> None:
        self._writer.close()
