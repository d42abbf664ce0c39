"""A job's own part, and what is read of the queue; no Slurm needed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from vireid.sweeps import slurm_job, slurm_queue
from vireid.sweeps.local import error_in
from vireid.sweeps.slurm import job_name, sbatch_options
from vireid.sweeps.slurm_job import TrainJob, exit_file
from vireid.sweeps.slurm_queue import Entry, QueueError, active, read_queue
from vireid.sweeps.spec import slurm_option

# Writes its flags and its threads, then does as its first argument says.
TRAINING = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
print(sys.argv[2:], os.environ.get("OMP_NUM_THREADS"), os.getcwd(), flush=True)
if sys.argv[1] == "wait":
    open("ready", "w").close()
    time.sleep(60)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "3")
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = signal.getsignal(signal.SIGUSR2)

    def made(first: str) -> TrainJob:
        command = (sys.executable, "-c", TRAINING, first)
        return TrainJob(command, tmp_path / "run", tmp_path, tmp_path, "last.pth")

    yield made
    signal.signal(signal.SIGUSR2, before)


@pytest.mark.parametrize(
    ("files", "flags"),
    [([], []), (["config.yaml"], ["--overwrite"]), (["config.yaml", "last.pth"], ["--resume"])],
)
def test_a_job_starts_from_where_its_folder_stands(job, tmp_path, files, flags):
    (tmp_path / "run").mkdir()
    for name in files:
        (tmp_path / "run" / name).touch()
    job("0")()
    header, printed = (tmp_path / "run/output.txt").read_text().splitlines()
    assert header.startswith("[Slurm job 7 on ") and printed == f"{flags} 3 {tmp_path}"
    assert exit_file(tmp_path, "7").read_text() == "0"


def test_a_finished_run_is_left_alone(job, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/results.json").touch()
    exit_file(tmp_path, "7").write_text("143")  # of an earlier start
    job("5")()
    assert exit_file(tmp_path, "7").read_text() == "0"
    assert not (tmp_path / "run/output.txt").exists()


def test_a_failure_is_the_jobs_own(job, tmp_path):
    with pytest.raises(SystemExit) as error:
        job("5")()
    assert error.value.code == 5 and exit_file(tmp_path, "7").read_text() == "5"


@pytest.mark.parametrize(("restarts", "requeued"), [("0", True), ("100", False)])
def test_the_time_limit_saves_and_goes_back_into_the_queue(
    job, tmp_path, monkeypatch, restarts, requeued
):
    calls: list[list[str]] = []
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    monkeypatch.setattr(slurm_job.time, "sleep", lambda seconds: None)

    def run(command, **options):
        calls.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(slurm_job.subprocess, "run", run)

    def tell_when_ready():
        until = time.monotonic() + 30
        while time.monotonic() < until and not (tmp_path / "ready").exists():
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGUSR2)

    thread = threading.Thread(target=tell_when_ready)
    thread.start()
    with pytest.raises(SystemExit) as error:  # Slurm would have ended it before
        job("wait")()
    thread.join()
    assert error.value.code == 143
    assert calls == ([["scontrol", "requeue", "7"]] if requeued else [])


def test_the_training_does_not_heed_the_signal_that_is_meant_for_the_job(job, tmp_path):
    code = "import signal; print(signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN)"
    task = TrainJob((sys.executable, "-c", code), tmp_path / "run", tmp_path, tmp_path, "x")
    task()
    assert (tmp_path / "run/output.txt").read_text().splitlines()[1] == "True"


LINES = """12|RUNNING|1-02:03:04|None|depth=3/seed0 ab
9|TIMEOUT|5:00|TimeLimit|depth=3/seed0 ab
13|PENDING|0:00|Priority|a|b
14_[1-3]|PENDING|0:00|Priority|array
15|COMPLETING|INVALID|None|c
"""


def answer(monkeypatch, stdout: str, *, code: int = 0, stderr: str = "") -> None:
    done = subprocess.CompletedProcess([], code, stdout, stderr)
    monkeypatch.setattr(slurm_queue.subprocess, "run", lambda *a, **o: done)


def test_the_queue_is_read_by_name(monkeypatch):
    answer(monkeypatch, LINES)
    queue = read_queue()
    assert list(queue) == ["depth=3/seed0 ab", "a|b", "c"]
    ended, running = queue["depth=3/seed0 ab"]
    assert (ended.job_id, ended.ended, ended.seconds) == ("9", True, 300)
    assert running == Entry("12", "RUNNING", 86400 + 2 * 3600 + 3 * 60 + 4, "None")
    assert active(queue["depth=3/seed0 ab"]) == running and running.running
    (waiting,), (leaving,) = queue["a|b"], queue["c"]
    assert (waiting.running, waiting.ended, waiting.reason) == (False, False, "Priority")
    assert (leaving.running, leaving.seconds) == (True, 0)
    assert active([ended]) is None


def test_jobs_of_others_with_odd_names_do_not_matter(monkeypatch):
    answer(monkeypatch, "1|RUNNING|1:00|None|two\nlines|of it\n7\n2|PENDING|0:00|None|\ufffd\n")
    assert list(read_queue()) == ["two", "\ufffd"]


def test_a_silent_controller_is_said_to_be_so(monkeypatch):
    answer(monkeypatch, "", code=1, stderr="x\nUnable to contact slurm controller\n")
    with pytest.raises(QueueError, match="^Unable to contact slurm controller$"):
        read_queue()


@pytest.mark.parametrize(
    ("name", "value", "option"),
    [
        ("partition", "gpu", ("partition", "gpu")),
        ("cpus_per_task", 8, ("cpus-per-task", "8")),
        ("--gres", "gpu:a100:1", ("gres", "gpu:a100:1")),
        ("exclusive", True, ("exclusive", "")),
        ("time", "4:00:00", ("time", "4:00:00")),
    ],
)
def test_options_of_sbatch(name, value, option):
    assert slurm_option(name, value) == option


@pytest.mark.parametrize(
    ("name", "value", "phrase"),
    [
        ("time", 14400, "must be quoted text"),  # what YAML makes of 4:00:00
        ("array", "1-3", "every run is a job"),
        ("job_name", "x", "is set by the executor"),
        ("p", "gpu", "no long option"),
        ("comment", "a\n#SBATCH --wrap=rm", "must be one line"),
        ("mem", [8], "a text or a number"),
        ("exclusive", False, "a text or a number"),
    ],
)
def test_options_that_sbatch_must_not_get(name, value, phrase):
    with pytest.raises(ValueError, match=phrase):
        slurm_option(name, value)


def pretended(device: str, folder: Path = Path("runs/a")) -> SimpleNamespace:
    return SimpleNamespace(cfg=SimpleNamespace(DEVICE=device), folder=folder, name="a/seed0")


@pytest.mark.parametrize(
    ("given", "device", "found"),
    [
        ({}, "auto", {"gpus": "1"}),
        ({}, "cpu", {}),
        ({"gpus": "0"}, "auto", {}),
        ({"gres": "gpu:1", "mem": "8G"}, "auto", {"gres": "gpu:1", "mem": "8G"}),
    ],
)
def test_a_job_has_one_gpu_unless_told_otherwise(given, device, found):
    assert sbatch_options(given, [pretended(device)]) == found


def test_jobs_of_two_folders_have_two_names(tmp_path):
    names = {job_name(pretended("cpu", tmp_path / name)) for name in ("a", "b", "../x/a")}
    assert len(names) == 3 and all(name.startswith("a/seed0 ") for name in names)
    assert job_name(pretended("cpu", tmp_path / "c/../a")) in names


def test_the_error_of_the_last_process_counts(tmp_path):
    path = tmp_path / "output.txt"
    assert error_in(path) == "it printed nothing"
    path.write_text("[Slurm job 1 on a]\nerror: old\n[Slurm job 12 on a]\nepoch 1\repoch 2\n\n")
    assert error_in(path) == "error: old"
    assert error_in(path, after="[Slurm job 12 ") == "epoch 2"
    assert error_in(path, after="[Slurm job 1 ") == "error: old"
    assert error_in(path, offset=30) == "epoch 2"
    path.write_text("error: SIGTERM: saved it; continue with:\n  vireid train\n")
    assert error_in(path) == "error: SIGTERM: saved it"
