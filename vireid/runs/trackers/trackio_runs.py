"""Trackio: a run in its local database, or in a Space where TRACKIO_SPACE_ID names one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from vireid.runs.trackers.tracker import PROJECT, Status, Tracker


class TrackioTracker(Tracker):
    """Metrics by epoch, options as config, figures as images. TRACKIO_DIR moves the database."""

    module = "trackio"
    package = "trackio"

    def open(self, known: Mapping[str, str]) -> dict[str, str]:
        import trackio

        for module in (trackio, trackio.run, trackio.utils):  # ten lines of greetings
            vars(module)["print"] = _say_nothing
        # A run is found by its name alone, which others may have, too
        name = known.get("name") or f"{self.run.name}-{secrets.token_hex(3)}"
        self._run = trackio.init(
            project=PROJECT,
            name=name,
            resume="allow" if known else "never",
            config={key: _plain(value) for key, value in self.run.config.items()},
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        return {"name": name}

    @property
    def place(self) -> str:
        return f"trackio show --project {PROJECT}"

    def discard(self, known: Mapping[str, str]) -> None:
        import trackio

        for run in trackio.Api().runs(PROJECT):
            if run.name == known["name"]:
                run.delete()

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        self._run.log(dict(row), step=epoch)

    def log_scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        self._run.log(dict(scores), step=epoch)

    def log_figures(self, epoch: int, figures: Sequence[Path]) -> None:
        import trackio

        self._run.log({path.stem: trackio.Image(str(path)) for path in figures}, step=epoch)

    def close(self, status: Status) -> None:
        self._run.finish()


def _say_nothing(*_: object, **options: object) -> None:
    """In the place of ``print``."""


def _plain(value: object) -> object:
    """Lists as text: the dashboard compares single values."""
    return str(value) if isinstance(value, list) else value
