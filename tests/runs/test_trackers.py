"""Trackers: one run there is one run here, and none of them delays or ends a training."""

import json
import os
import shutil
import struct
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import SMALL
from tests.run_files import metrics
from vireid.cli import train
from vireid.errors import StoppedError
from vireid.evaluation.results import read_results
from vireid.runs.trackers import TRACKERS, feed
from vireid.runs.trackers.feed import RECORD, Trackers
from vireid.runs.trackers.tracker import Status, TrackedRun, Tracker

HISTORY = [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(1, 6)]
RESULTS = {"a": {"mean": {"mAP": 0.5}}}


class Server:
    """What a tracker's server has: events in order; ``fails`` says which calls fail."""

    def __init__(self) -> None:
        self.events: list[tuple] = []
        self.fails = lambda event: False
        self.go = threading.Event()
        self.go.set()

    def take(self, *event) -> None:
        assert self.go.wait(20)
        if self.fails(event):
            raise ConnectionError("no network")
        self.events.append(event)

    def of(self, kind: str) -> list:
        return [event[1] for event in self.events if event[0] == kind]


@pytest.fixture
def server(monkeypatch) -> Server:
    """Behind the tracker ``fake``."""
    server = Server()

    class Fake(Tracker):
        module = package = "json"
        place = "here"

        def open(self, known):
            server.take("open", known.get("id"))
            return {"id": known.get("id") or f"run{len(server.of('open'))}"}

        def discard(self, known):
            server.take("discard", known["id"])

        def log_epoch(self, epoch, row):
            server.take("epoch", epoch)

        def log_scores(self, epoch, scores):
            server.take("scores", scores)

        def log_figures(self, epoch, figures):
            server.take("figures", [path.name for path in figures])

        def close(self, status):
            server.take("close", status)

    monkeypatch.setitem(TRACKERS, "fake", Fake)
    return server


def track(folder: Path, epochs: int, *, start: int = 0, continued: bool = False) -> None:
    """A training from epoch ``start`` to ``epochs`` in the tracker ``fake``."""
    run = TrackedRun(folder, "a/seed0", {"SEED": 0})
    with Trackers(["fake"], run, HISTORY[:start], continued=continued) as trackers:
        trackers.wait_for_start()
        for epoch in range(start + 1, epochs + 1):
            trackers.log_rows(HISTORY[:epoch])
        trackers.log_results(epochs, RESULTS)
        trackers.log_figures(epochs, [folder / "cmc.png"])


def test_a_resumed_run_stays_one_run(server, tmp_path):
    track(tmp_path, 2)
    track(tmp_path, 4, start=2, continued=True)
    assert server.of("open") == [None, "run1"]
    assert server.of("epoch") == [1, 2, 3, 4]
    assert server.of("scores") == [{"test/a/mAP": 0.5}]  # the same a second time: sent once
    assert server.of("close") == [Status.FINISHED] * 2


@pytest.mark.parametrize("failing", ["open", "epoch", "scores"])
def test_what_failed_is_sent_later_once(server, tmp_path, caplog, failing):
    failures = iter([True, True])
    server.fails = lambda event: event[0] == failing and next(failures, False)
    track(tmp_path, 5)
    assert server.of("epoch") == [1, 2, 3, 4, 5]
    assert len(server.of("scores")) == 1 and server.of("close") == [Status.FINISHED]
    assert caplog.text.count("no network") == 1


def test_what_never_arrived_comes_with_the_next_start(server, tmp_path, caplog):
    server.fails = lambda event: event[0] == "epoch" and event[1] > 2
    track(tmp_path, 4)
    assert server.of("epoch") == [1, 2] and "does not have everything" in caplog.text
    server.fails = lambda event: False
    track(tmp_path, 4, start=4, continued=True)
    assert server.of("epoch") == [1, 2, 3, 4]


def test_epochs_that_are_trained_again_make_a_new_run_with_all_epochs(server, tmp_path):
    track(tmp_path, 4)
    track(tmp_path, 3, start=2, continued=True)
    assert server.of("discard") == ["run1"] and server.of("open") == [None, None]
    assert server.of("epoch") == [1, 2, 3, 4, 1, 2, 3]


@pytest.mark.parametrize("how", ["copied", "damaged", "new"])
def test_another_run_is_another_run(server, tmp_path, how):
    folder = tmp_path / "run"
    folder.mkdir()
    track(folder, 2)
    if how == "copied":
        folder = shutil.copytree(folder, tmp_path / "copy")
    elif how == "damaged":
        (folder / RECORD).write_text('{"folder": 3')
    track(folder, 2, start=2, continued=how != "new")
    assert server.of("open") == [None, None] and server.of("epoch") == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoppedError("SIGTERM", 15), Status.KILLED),
        (KeyboardInterrupt(), Status.KILLED),
        (SystemExit(143), Status.KILLED),
        (RuntimeError(), Status.FAILED),
    ],
)
def test_how_a_training_ended(server, tmp_path, error, status):
    with (
        pytest.raises(type(error)),
        Trackers(["fake"], TrackedRun(tmp_path, "a", {}), [], continued=False),
    ):
        raise error
    assert server.of("close") == [status]


def test_a_silent_tracker_delays_nothing(server, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(feed, "OPENING", 0.05)
    monkeypatch.setattr(feed, "SILENT", 0.05)
    server.go.clear()
    track(tmp_path, 5)
    assert server.events == [] and "does not answer yet" in caplog.text
    assert "does not have everything and does not answer" in caplog.text
    server.go.set()


@pytest.mark.parametrize("name", ["mlflow", "wandb", "trackio", "tensorboard"])
def test_a_tracker_that_is_not_installed_ends_the_tool(
    tiny_command, tmp_path, monkeypatch, capsys, name
):
    monkeypatch.setattr(feed, "find_spec", lambda package: None)
    assert train.main(tiny_command(tmp_path / "run", f"TRACKERS=[{name}]")) == 2
    assert f"{name} is not installed: pip install {name}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_is_named_with_the_choices(tiny_command, tmp_path, capsys):
    assert train.main(tiny_command(tmp_path / "run", "TRACKERS=[mlflow, comet]")) == 2
    error = capsys.readouterr().err
    assert "comet" in error and all(name in error for name in TRACKERS)


@pytest.fixture(scope="module")
def tracked(tiny_command, tmp_path_factory) -> Path:
    """A run of two epochs and, after --resume, a third, in every tracker that is installed."""
    folder = tmp_path_factory.mktemp("tracked")
    names = [name for name, tracker in TRACKERS.items() if find_spec(tracker.package)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("TRACKIO_DIR", str(folder / "trackio"))  # read when trackio is imported
        patch.setenv("WANDB_MODE", "offline")
        extra = (*SMALL, f"TRACKERS=[{','.join(names)}]")
        command = tiny_command(folder / "a/seed0", *extra)
        assert train.main(command) == 0
        command[command.index("SOLVER.EPOCHS") + 1] = "3"
        assert train.main([*command, "--resume"]) == 0
    return folder / "a/seed0"


def expected(run: Path) -> tuple[list[float], float]:
    """Losses by epoch, and the last mAP."""
    scores = read_results(run / "results.json")["protocols"]["sysu_all_single"]["mean"]
    return [float(row["loss"]) for row in metrics(run)], scores["mAP"]


def record_of(run: Path, name: str) -> dict[str, str]:
    return json.loads((run / RECORD).read_text())["trackers"][name]["run"]


def test_tensorboard_has_one_file_for_each_start(tracked):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(tracked))
    events.Reload()
    losses, mean_ap = expected(tracked)
    assert len(list(tracked.glob("events.out.tfevents.*"))) == 2
    scalars = events.Scalars("loss")
    assert [one.step for one in scalars] == [1, 2, 3]
    assert [one.value for one in scalars] == pytest.approx(losses)
    assert events.Scalars("test/sysu_all_single/mAP")[-1].value == pytest.approx(mean_ap)
    assert set(metrics(tracked)[0]) - {"epoch"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["cmc", "learning_curves"]


def test_mlflow_has_one_run(tracked):
    mlflow = pytest.importorskip("mlflow")
    known = record_of(tracked, "mlflow")
    client = mlflow.MlflowClient(tracking_uri=known["tracking_uri"])
    (run,) = client.search_runs([client.get_experiment_by_name("vireid").experiment_id])
    losses, mean_ap = expected(tracked)
    assert run.info.status == "FINISHED" and run.info.run_name == "a/seed0"
    history = client.get_metric_history(known["run_id"], "loss")
    assert [(one.step, one.value) for one in history] == list(enumerate(losses, start=1))
    assert run.data.metrics["test/sysu_all_single/mAP"] == mean_ap
    assert set(metrics(tracked)[0]) - {"epoch"} <= set(run.data.metrics)
    assert run.data.params["SOLVER.EPOCHS"] == "2"
    assert run.data.tags["changed.SOLVER.EPOCHS"] == "2 → 3"
    figures = [file.path for file in client.list_artifacts(known["run_id"], "figures")]
    assert figures == ["figures/cmc.png", "figures/learning_curves.png"]


def wandb_records(path: Path):
    """Records of wandb's file of a run: a LevelDB log of protocol buffers behind seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768  # of a block; no header is split
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(parts)
            parts = b""


def test_wandb_has_one_run(tracked):
    pytest.importorskip("wandb")
    files = sorted(tracked.glob("wandb/offline-run-*/*.wandb"))
    assert [file.name for file in files] == [f"run-{record_of(tracked, 'wandb')['id']}.wandb"] * 2
    records = [record for file in files for record in wandb_records(file)]
    rows = [
        {item.key or ".".join(item.nested_key): item.value_json for item in one.history.item}
        for one in records
        if one.HasField("history")
    ]
    losses, mean_ap = expected(tracked)
    logged = [(int(row["epoch"]), float(row["loss"])) for row in rows if "loss" in row]
    assert logged == list(enumerate(losses, start=1))
    assert sum("cmc" in name for row in rows for name in row) >= 2
    steps = [one.history.step.num for one in records if one.HasField("history")]
    assert steps == sorted(set(steps))  # wandb drops a step that is not above the last one
    summary = [item for one in records if one.HasField("summary") for item in one.summary.update]
    scores = [i.value_json for i in summary if "test/sysu_all_single/mAP" in (i.key, *i.nested_key)]
    assert float(scores[-1]) == mean_ap


def test_trackio_has_one_run(tracked):
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    assert SQLiteStorage.get_runs("vireid") == [record_of(tracked, "trackio")["name"]]
    logs = SQLiteStorage.get_logs("vireid", record_of(tracked, "trackio")["name"])
    losses, mean_ap = expected(tracked)
    assert [(one["step"], one["loss"]) for one in logs if "loss" in one] == list(
        enumerate(losses, start=1)
    )
    scores = [one["test/sysu_all_single/mAP"] for one in logs if "test/sysu_all_single/mAP" in one]
    assert scores[-1] == mean_ap
    assert os.fspath(tracked.parents[1]) in os.fspath(SQLiteStorage.get_project_db_path("vireid"))
