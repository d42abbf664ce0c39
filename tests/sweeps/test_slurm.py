"""What a Slurm job does on its node, and what is read of the queue; no Slurm needed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from vireid.errors import UsageError
from vireid.sweeps import slurm, slurm_job
from vireid.sweeps.planner import SweepRun
from vireid.sweeps.progress import last_error
from vireid.sweeps.slurm import QueuedJob, job_name, jobs_in_queue, read_queue, with_gpu
from vireid.sweeps.slurm_job import TrainJob, exit_file
from vireid.sweeps.spec import GridCell, sbatch_option

# Prints its flags and threads, then does as its first argument says.
TRAINING = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
ignored = signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN
print(sys.argv[2:], os.environ.get("OMP_NUM_THREADS"), os.getcwd(), ignored, flush=True)
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
        return TrainJob(command, tmp_path / "run", "last.pth", "output.txt", tmp_path, tmp_path)

    yield made
    signal.signal(signal.SIGUSR2, before)


@pytest.mark.parametrize(
    ("files", "flags"),
    [([], []), (["config.yaml"], ["--overwrite"]), (["config.yaml", "last.pth"], ["--resume"])],
)
def test_a_job_starts_from_what_its_folder_holds(job, tmp_path, files, flags):
    (tmp_path / "run").mkdir()
    for name in files:
        (tmp_path / "run" / name).touch()
    job("0")()
    header, printed = (tmp_path / "run/output.txt").read_text().splitlines()
    # the signal before the time limit goes to the training, too, which must ignore it
    assert header.startswith("[Slurm job 7 on ") and printed == f"{flags} 3 {tmp_path} True"
    assert exit_file(tmp_path, "7").read_text() == "0"


def test_a_finished_run_is_left_alone(job, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/results.json").touch()
    exit_file(tmp_path, "7").write_text("143")  # of an earlier start
    job("5")()
    assert exit_file(tmp_path, "7").read_text() == "0"
    assert not (tmp_path / "run/output.txt").exists()


def test_a_job_fails_with_its_trainings_exit_code(job, tmp_path):
    with pytest.raises(SystemExit) as error:
        job("5")()
    assert error.value.code == 5 and exit_file(tmp_path, "7").read_text() == "5"


@pytest.mark.parametrize(("restarts", "requeued"), [("0", True), ("100", False)])
def test_at_the_time_limit_a_job_saves_and_goes_back_into_the_queue(
    job, tmp_path, monkeypatch, restarts, requeued
):
    calls: list[list[str]] = []
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    monkeypatch.setattr(slurm_job.time, "sleep", lambda seconds: None)

    def run(command, **options):
        calls.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(slurm_job.subprocess, "run", run)

    def send_when_ready():
        until = time.monotonic() + 30
        while time.monotonic() < until and not (tmp_path / "ready").exists():
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGUSR2)

    thread = threading.Thread(target=send_when_ready)
    thread.start()
    with pytest.raises(SystemExit) as error:  # Slurm would have ended it before
        job("wait")()
    thread.join()
    assert error.value.code == 143
    assert calls == ([["scontrol", "requeue", "7"]] if requeued else [])


def test_a_job_waits_without_loading_what_trains():
    code = "import sys, vireid.sweeps.slurm_job; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def answer(monkeypatch, stdout: str, *, code: int = 0, stderr: str = "") -> None:
    done = subprocess.CompletedProcess([], code, stdout, stderr)
    monkeypatch.setattr(slurm.subprocess, "run", lambda *a, **o: done)


def pretended(device: str, folder: Path = Path("runs/a")) -> SweepRun:
    cell = GridCell("a", ("a",), {})
    cfg = SimpleNamespace(DEVICE=device, OUTPUT_DIR=str(folder))
    return SweepRun(cell, seed=0, trial=None, overrides=(), cfg=cfg)


def test_the_queue_is_searched_by_name(monkeypatch):
    run, ended = pretended("cpu"), pretended("cpu", Path("runs/b"))
    name = job_name(run)
    lines = [f"12|RUNNING|{name}", f"9|TIMEOUT|{name}", "13|PENDING|two", "lines|of it", "7"]
    answer(monkeypatch, "\n".join([*lines, f"8|CANCELLED|{job_name(ended)}", "2|PENDING|a|b"]))
    assert jobs_in_queue([run, ended]) == {run: QueuedJob("12", "RUNNING", name)}
    assert read_queue()["2"] == QueuedJob("2", "PENDING", "a|b")


def test_a_queue_that_hangs_is_given_up(monkeypatch, tmp_path):
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\nexec sleep 60\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(slurm, "TIMEOUT", 0.2)
    with pytest.raises(UsageError, match=r"squeue does not answer within 0\.2 s"):
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
    assert sbatch_option(name, value) == option


@pytest.mark.parametrize(
    ("name", "value", "phrase"),
    [
        ("time", 14400, "must be quoted text"),  # YAML's value of 4:00:00
        ("array", "1-3", "is set by the executor"),
        ("job_name", "x", "is set by the executor"),
        ("p", "gpu", "is not a long option"),
        ("comment", "a\n#SBATCH --wrap=rm", "must be one line"),
        ("mem", [8], "a text or a number"),
        ("exclusive", False, "a text or a number"),
    ],
)
def test_options_that_sbatch_must_not_get(name, value, phrase):
    with pytest.raises(ValueError, match=phrase):
        sbatch_option(name, value)


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
    assert with_gpu(given, [pretended(device)]) == found


def test_jobs_of_two_folders_have_two_names(tmp_path):
    names = {job_name(pretended("cpu", tmp_path / name)) for name in ("a", "b", "../x/a")}
    assert len(names) == 3 and all(name.startswith("a/seed0 ") for name in names)
    assert job_name(pretended("cpu", tmp_path / "c/../a")) in names


@pytest.mark.parametrize(
    ("printed", "error"),
    [
        ("", "it printed nothing"),
        ("epoch 1\repoch 2\n\n", "epoch 2"),
        ("error: old\nin step 3\n", "error: old"),
        ("error: SIGTERM: saved it; continue with:\n  vireid train\n", "error: SIGTERM: saved it"),
    ],
)
def test_the_error_is_the_last_one_or_the_last_line(printed, error):
    assert last_error(printed) == error
