"""MLflow: a run in a tracking server, or in a local store in the current folder."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from vireid.runs.trackers.tracker import PROJECT, Status, Tracker
from vireid.utils.io import locked

SQLITE = "sqlite:///"
MOST_PARAMS = 100  # in one request
# What names of metrics may not hold, such as the + of sysu_all_single+rerank
FORBIDDEN = re.compile(r"[^\w\-. :/]")


class MlflowTracker(Tracker):
    """Metrics by epoch, options as parameters, figures as artifacts.

    The store is the one that MLflow would use: MLFLOW_TRACKING_URI, else mlflow.db in the folder
    of the training's start. The run keeps its address, so that it is resumed from any folder.
    """

    module = "mlflow"
    package = "mlflow"

    def open(self, known: Mapping[str, str]) -> dict[str, str]:
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # progress of creating a database
            logging.getLogger(name).setLevel(logging.ERROR)
        self._uri = self._address(known)
        with self._alone():
            self._client = MlflowClient(tracking_uri=self._uri)
            experiment = self._experiment()
        info = self._continued(known) or self._started(experiment)
        self._run_id: str = info.run_id
        self._log_config()
        return {"tracking_uri": self._uri, "run_id": self._run_id}

    def _address(self, known: Mapping[str, str]) -> str:
        import mlflow

        chosen = os.environ.get("MLFLOW_TRACKING_URI")
        uri = chosen or known.get("tracking_uri") or mlflow.get_tracking_uri()
        if uri.startswith(SQLITE):
            return SQLITE + str(Path(uri.removeprefix(SQLITE)).absolute())
        return uri if "://" in uri or uri.startswith("file:") else str(Path(uri).absolute())

    def _alone(self) -> Any:
        """Keeps other runs' first use of a local database waiting: it creates the tables."""
        if not self._uri.startswith(SQLITE):
            return nullcontext()
        database = Path(self._uri.removeprefix(SQLITE))
        return locked(database.with_name(f"{database.name}.lock"), wait=True)

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        if found is None:
            local = self._uri.startswith(SQLITE)
            folder = Path(self._uri.removeprefix(SQLITE)).parent / "mlruns" / name
            return self._client.create_experiment(name, folder.as_uri() if local else None)
        if found.lifecycle_stage != "active":
            raise ValueError(
                f"the experiment {name} is deleted there: restore it, or set MLFLOW_EXPERIMENT_NAME"
            )
        return found.experiment_id

    def _continued(self, known: Mapping[str, str]) -> Any | None:
        """The known run, running again; None where there is none."""
        from mlflow.exceptions import MlflowException

        if known.get("tracking_uri") != self._uri:
            return None
        try:
            info = self._client.get_run(known["run_id"]).info
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        if info.lifecycle_stage != "active":
            return None
        self._client.update_run(info.run_id, status="RUNNING")
        return info

    def _started(self, experiment: str) -> Any:
        tags = {"folder": str(self.run.folder), "mlflow.source.name": PROJECT}
        return self._client.create_run(experiment, tags=tags, run_name=self.run.name).info

    def _log_config(self) -> None:
        """Options as parameters; those that a continuation changed as tags, as MLflow demands."""
        from mlflow.entities import Param, RunTag

        before = self._client.get_run(self._run_id).data.params
        values = {key: str(value) for key, value in self.run.config.items()}
        new = [Param(key, value) for key, value in values.items() if key not in before]
        for start in range(0, len(new), MOST_PARAMS):
            self._client.log_batch(self._run_id, params=new[start : start + MOST_PARAMS])
        tags = [
            RunTag(f"changed.{key}", f"{before[key]} → {value}")
            for key, value in values.items()
            if key in before and before[key] != value
        ]
        self._client.log_batch(self._run_id, tags=tags)

    @property
    def place(self) -> str:
        return f"mlflow ui --backend-store-uri {self._uri}"

    def discard(self, known: Mapping[str, str]) -> None:
        from mlflow import MlflowClient

        MlflowClient(tracking_uri=known["tracking_uri"]).delete_run(known["run_id"])

    def epochs(self) -> int | None:
        steps = [one.step for one in self._client.get_metric_history(self._run_id, "loss")]
        return max(steps, default=0)

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        self._log(epoch, row)

    def log_scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        self._log(epoch, scores)

    def _log(self, epoch: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [
            Metric(FORBIDDEN.sub("-", name), value, now, epoch) for name, value in values.items()
        ]
        self._client.log_batch(self._run_id, metrics=metrics)

    def log_figures(self, epoch: int, figures: Sequence[Path]) -> None:
        for path in figures:
            self._client.log_artifact(self._run_id, str(path), "figures")

    def close(self, status: Status) -> None:
        self._client.set_terminated(self._run_id, status=status.name)
