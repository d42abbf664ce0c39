"""Experiment trackers: one file for each library, and the threads that feed them.

Imports no tracker's library; ``vireid.runs.trackers.feed.require_trackers`` does.
"""

from __future__ import annotations

from vireid.runs.trackers.mlflow_runs import MlflowTracker
from vireid.runs.trackers.tensorboard_files import TensorboardTracker
from vireid.runs.trackers.tracker import Tracker
from vireid.runs.trackers.trackio_runs import TrackioTracker
from vireid.runs.trackers.wandb_runs import WandbTracker

TRACKERS: dict[str, type[Tracker]] = {
    "tensorboard": TensorboardTracker,
    "mlflow": MlflowTracker,
    "wandb": WandbTracker,
    "trackio": TrackioTracker,
}
