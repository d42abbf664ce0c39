"""Weights & Biases: a run in the user's account, or offline files in the run's folder."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from vireid.runs.trackers.tracker import PROJECT, Status, Tracker

log = logging.getLogger(__name__)

Mode = Literal["online", "offline", "disabled", "shared"]
# What settings call a mode → what init calls it; run and dryrun are old names.
MODES: Mapping[str, Mode] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
    "shared": "shared",
}


class WandbTracker(Tracker):
    """History by epoch, options as config, scores as summary.

    Online for users who are logged in, unless WANDB_MODE says otherwise; offline for all others:
    the library's question for a key would wait for ever.
    """

    module = "wandb"
    package = "wandb"

    def open(self, known: Mapping[str, str]) -> dict[str, str]:
        import wandb

        settings = wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True)
        self._id = known.get("id") or secrets.token_hex(4)
        self._mode = _mode()
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=self.run.name,
            id=self._id,
            # Offline files say nothing of what is on the server: wandb sync puts them together
            resume="allow" if self._mode == "online" else None,
            dir=str(self.run.folder),
            config=dict(self.run.config),
            mode=self._mode,
            reinit="create_new",
            settings=settings,
        )
        self._run.config.update(dict(self.run.config), allow_val_change=True)
        self._run.define_metric("*", step_metric="epoch")
        return {"id": self._id}

    @property
    def place(self) -> str:
        if self._mode == "online":
            return str(self._run.url)
        if self._mode == "offline":
            files = self.run.folder / "wandb" / f"offline-run-*-{self._id}"
            return f"offline; to upload it: wandb sync {files}"
        return self._mode

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        # Even steps, written at once: a row that is kept open for its figures would be lost with
        # a killed process, and the next step of a resumed run must be higher than all before.
        self._run.log({"epoch": epoch, **row}, step=2 * epoch, commit=True)

    def log_scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        self._run.summary.update(dict(scores))

    def log_figures(self, epoch: int, figures: Sequence[Path]) -> None:
        import wandb

        images = {path.stem: wandb.Image(str(path)) for path in figures}
        self._run.log(images, step=2 * epoch + 1, commit=True)

    def close(self, status: Status) -> None:
        self._run.finish(exit_code=0 if status is Status.FINISHED else 1)


def _mode() -> Mode:
    """``online`` only with a key, as the library would ask for one."""
    import wandb
    from requests.utils import get_netrc_auth

    settings = wandb.setup().settings
    mode = MODES[settings.mode]
    if mode != "online":  # by WANDB_MODE or the command wandb offline
        return mode
    has_key = settings.api_key or settings.identity_token_file
    if has_key or get_netrc_auth(settings.base_url):
        return "online"
    if os.environ.get("WANDB_MODE"):
        log.warning("wandb: WANDB_MODE is online, but there is no key (wandb login): offline")
    return "offline"
