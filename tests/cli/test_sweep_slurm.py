"""Sweeps as Slurm jobs, on a Slurm of three shell scripts; tests/slurm/ has the real one."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from vireid.cli import sweep
from vireid.sweeps import slurm as sweep_slurm

pytest.importorskip("submitit")

# Job k is $SLURM_FAKE/k.name, k.state and the process that sbatch leaves. Files steer it: "hold"
# keeps jobs in the queue, "refuse" holds the number of jobs from which on sbatch complains.
SCRIPTS = {
    "sbatch": r"""
count=$(ls "$SLURM_FAKE" | grep -c name)
if [ -f "$SLURM_FAKE/refuse" ] && [ "$count" -ge "$(cat "$SLURM_FAKE/refuse")" ]; then
    echo "sbatch: error: Batch job submission failed: QOSMaxSubmitJobPerUserLimit" >&2
    exit 1
fi
id=$((count + 1))
sed -n 's/^#SBATCH --job-name=//p' "$1" | tr -d "'" > "$SLURM_FAKE/$id.name"
echo PENDING > "$SLURM_FAKE/$id.state"
(
    while [ -f "$SLURM_FAKE/hold" ]; do sleep 0.05; done
    [ "$(cat "$SLURM_FAKE/$id.state")" = PENDING ] || exit
    echo RUNNING > "$SLURM_FAKE/$id.state"
    export SLURM_JOB_ID=$id SLURM_CPUS_PER_TASK=2
    if bash "$1"; then state=COMPLETED; else state=FAILED; fi
    echo $state > "$SLURM_FAKE/$id.state"
) > /dev/null 2>&1 < /dev/null &
echo "Submitted batch job $id"
""",
    "srun": r"""
while [[ $1 == --* ]]; do
    case $1 in --output | --error) shift 2 ;; *) shift ;; esac
done
exec "$@"
""",
    "squeue": r"""
if [ -f "$SLURM_FAKE/silent" ]; then
    rm "$SLURM_FAKE/silent"
    echo "slurm_load_jobs error: Unable to contact slurm controller" >&2
    exit 1
fi
for file in "$SLURM_FAKE"/*.state; do
    [ -f "$file" ] || exit 0
    echo "$(basename "$file" .state)|$(cat "$file")|$(cat "${file%.state}.name")"
done
""",
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The folder of the fake's jobs."""
    programs, state = tmp_path / "bin", tmp_path / "slurm"
    programs.mkdir()
    state.mkdir()
    for name, script in SCRIPTS.items():
        (programs / name).write_text(f"#!/bin/bash{script}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_FAKE", str(state))
    monkeypatch.setattr(sweep_slurm, "POLL", 0.2)
    monkeypatch.setattr(sweep_slurm, "PATIENCE", 1.0)
    yield state
    (state / "hold").unlink(missing_ok=True)  # jobs that still wait end


def on_slurm(command: list[str], *more: str) -> list[str]:
    return [*command, "--executor", "slurm", *more]


def in_background(*steps) -> threading.Thread:
    """Does the steps, each once its condition holds."""

    def work():
        for condition, step in steps:
            limit = time.monotonic() + 60
            while time.monotonic() < limit and not condition():
                time.sleep(0.05)
            time.sleep(0.5)  # long enough for a look at the queue
            step()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def submissions(slurm: Path) -> int:
    """Jobs that there ever were, but for those that Slurm is made to forget."""
    return len(list(slurm.glob("*.state")))


def test_runs_become_jobs_and_a_failed_one_is_listed(fake, write, slurm, tmp_path, capsys):
    command = write({"LOSS.TRIPLET.MARGIN": [0.9, 0.3]}, SLURM={"partition": "long", "mem": "8G"})
    flags = ("--partition", "short", "--cpus-per-task", "2", "--sbatch", "account=lab")
    assert sweep.main(on_slurm(command, *flags, "--sbatch", "exclusive")) == 1
    captured = capsys.readouterr()
    assert "LOSS.TRIPLET.MARGIN=0.9/seed0 submitted: job 1" in captured.out
    assert "LOSS.TRIPLET.MARGIN=0.3/seed0 finished after 0:" in captured.out
    (failed,) = [line for line in captured.err.splitlines() if "margin" in line.lower()]
    assert "=0.9/seed0: job 1 FAILED, exit code 5, error: the loss is not finite" in failed
    folder = tmp_path / "out/LOSS.TRIPLET.MARGIN=0.3/seed0"
    assert (folder / "results.json").is_file() and (tmp_path / "out/table.md").is_file()
    assert (folder / "output.txt").read_text().startswith("[Slurm job 2 on ")
    script = (tmp_path / "out/slurm/2_submission.sh").read_text().splitlines()
    options = {line.removeprefix("#SBATCH --") for line in script if line.startswith("#SBATCH")}
    wanted = {"partition=short", "mem=8G", "cpus-per-task=2", "account=lab", "exclusive", "requeue"}
    assert wanted <= options and not any(o.startswith(("time", "wckey", "gpus")) for o in options)
    assert any("srun" in line and "--cpus-per-task=2" in line for line in script)

    assert sweep.main(on_slurm(command)) == 1  # tries the failed one again, and it alone
    assert (slurm / "3.name").read_text().startswith("LOSS.TRIPLET.MARGIN=0.9/seed0 ")
    assert submissions(slurm) == 3


def test_finished_runs_are_no_jobs(fake, write, slurm, capsys):
    command = write({"MODEL.SHARED_DEPTH": [1]})
    assert sweep.main(command) == 0  # on this machine
    capsys.readouterr()
    assert sweep.main(on_slurm(command)) == 0
    assert "all runs are finished: nothing to train" in capsys.readouterr().out
    assert submissions(slurm) == 0


def test_ctrl_c_leaves_the_jobs_to_another_call(fake, write, slurm, capsys):
    command = on_slurm(write({"MODEL.SHARED_DEPTH": [1, 3]}))
    (slurm / "hold").touch()

    stop = (lambda: submissions(slurm) == 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    thread = in_background(stop)
    assert sweep.main(command) == 130
    thread.join()
    assert "2 jobs go on in the queue (scancel 1 2 ends them)" in capsys.readouterr().err
    assert sweep.main([*command, "--dry-run"]) == 0
    assert "pending        MODEL.SHARED_DEPTH=3/seed0" in capsys.readouterr().out
    (slurm / "hold").unlink()
    (slurm / "silent").touch()  # the controller misses a question
    assert sweep.main([*command, "--dry-run"]) == 0
    assert "Unable to contact" in capsys.readouterr().err
    assert sweep.main(command) == 0
    printed = capsys.readouterr().out
    assert "MODEL.SHARED_DEPTH=1/seed0 in the queue since an earlier call: job 1" in printed
    assert "submitted" not in printed and submissions(slurm) == 2


def test_jobs_that_end_without_a_word_are_listed(fake, write, slurm, capsys):
    command = on_slurm(write({"MODEL.SHARED_DEPTH": [1, 3]}))
    (slurm / "hold").touch()

    def end_both():
        (slurm / "1.state").write_text("OUT_OF_MEMORY\n")
        (slurm / "2.state").unlink()  # Slurm has forgotten it

    thread = in_background((lambda: submissions(slurm) == 2, end_both))
    assert sweep.main(command) == 1
    thread.join()
    error = capsys.readouterr().err
    assert "MODEL.SHARED_DEPTH=1/seed0: job 1 OUT_OF_MEMORY, it printed nothing" in error
    assert "MODEL.SHARED_DEPTH=3/seed0: job 2 GONE" in error


def test_a_job_that_goes_back_into_the_queue_is_waited_for(fake, write, slurm, tmp_path, capsys):
    command = on_slurm(write({"MODEL.SHARED_DEPTH": [3]}, SET={"SOLVER.EPOCHS": 999}))
    state, folder = slurm / "1.state", tmp_path / "out/MODEL.SHARED_DEPTH=3/seed0"

    ready = folder / "ready"
    thread = in_background(
        (ready.exists, lambda: state.write_text("PENDING\n")),
        (ready.exists, lambda: state.write_text("RUNNING\n")),
        (ready.exists, lambda: os.kill(int((folder / "pid.txt").read_text()), signal.SIGTERM)),
    )
    assert sweep.main(command) == 1
    thread.join()
    name = "MODEL.SHARED_DEPTH=3/seed0"
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(name)]
    told = [line.removeprefix(f"{name} ") for line in lines]
    assert told[:3] == ["submitted: job 1", "starts", "is back in the queue, to continue there"]
    assert told[3] == "continues" and told[4].startswith("failed")


def test_a_limit_on_jobs_makes_the_others_wait(fake, write, slurm, capsys):
    command = on_slurm(write({"MODEL.SHARED_DEPTH": [1, 3]}))
    (slurm / "refuse").write_text("1")

    thread = in_background(((slurm / "1.state").exists, (slurm / "refuse").unlink))
    assert sweep.main(command) == 0
    thread.join()
    printed = capsys.readouterr().out
    assert "QOSMaxSubmitJobPerUserLimit; 1 runs wait for others to end" in printed
    assert submissions(slurm) == 2


def test_what_sbatch_refuses_is_one_line(fake, write, slurm, tmp_path, capfd):
    (slurm / "refuse").write_text("0")
    assert sweep.main(on_slurm(write({"MODEL.SHARED_DEPTH": [1, 3]}))) == 2
    error = capfd.readouterr().err.strip()
    assert error == (
        "error: Slurm refuses the job MODEL.SHARED_DEPTH=1/seed0: Batch job submission failed: "
        "QOSMaxSubmitJobPerUserLimit"
    )
    assert not (tmp_path / "out/MODEL.SHARED_DEPTH=1").exists()


def test_a_cluster_without_gpus_is_told_how_to_ask_for_none(fake, write, slurm, tmp_path, capfd):
    complaint = "sbatch: error: Invalid generic resource (gres) specification"
    (tmp_path / "bin/sbatch").write_text(f"#!/bin/bash\necho '{complaint}' >&2\nexit 1\n")
    command = write({"MODEL.SHARED_DEPTH": [1, 3]})[:2]  # DEVICE auto
    assert sweep.main(on_slurm(command)) == 2
    error = capfd.readouterr().err
    assert "(it asks for gpus=1; --gpus 0 asks for none)" in error


def test_without_slurm_or_submitit_the_remedy_is_named(fake, write, slurm, monkeypatch, capsys):
    command = on_slurm(write({"MODEL.SHARED_DEPTH": [1]}))
    with monkeypatch.context() as patch:
        patch.setattr(sweep_slurm.shutil, "which", lambda name: None)
        assert sweep.main(command) == 2
        assert "there is no sbatch here" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert sweep.main(command) == 2
    assert "pip install 'vireid[slurm]'" in capsys.readouterr().err
