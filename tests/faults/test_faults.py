"""Long work is disturbed, then continues as if undisturbed: the campaign's short version.

``python -m tests.faults.campaign --kills 50`` is the long one.
"""

import shutil
import signal
import sys
from random import Random

import pytest
import torch

from tests.faults import scenarios
from tests.faults.scenarios import Bench
from tests.faults.trainings import alike, differences, left_behind, require_whole
from vireid.engine.checkpoint import load_checkpoint, save_checkpoint
from vireid.engine.distributed import explain_worker_errors
from vireid.errors import CheckpointError, ProcessError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def bench(tiny_sysu, tmp_path_factory):
    return Bench(tiny_sysu, tmp_path_factory.mktemp("faults"))


def test_killed_twice_at_random_moments(bench):
    assert scenarios.killed(bench, Random(0), "killed", kills=2) == []
    assert bench.kills >= 1  # a process may end before its moment


def test_stopped_at_a_random_moment(bench):
    """SIGINT takes the same way: tests/engine/test_trainer.py."""
    assert scenarios.stopped(bench, Random(15), "stopped", signal.SIGTERM) == []


MOUNTS = pytest.mark.skipif(not scenarios.can_mount(), reason="may not mount a file system")


@pytest.mark.parametrize(
    "scenario",
    [
        scenarios.file_limit,
        scenarios.image_changed,
        pytest.param(scenarios.cache_killed, marks=pytest.mark.slow),
        pytest.param(scenarios.gallery_killed, marks=pytest.mark.slow),
        pytest.param(scenarios.image_gone, marks=pytest.mark.slow),
        pytest.param(scenarios.worker_dies, marks=pytest.mark.slow),
        pytest.param(scenarios.peer_dies, marks=pytest.mark.slow),
        pytest.param(scenarios.disk_full, marks=[pytest.mark.slow, MOUNTS]),
        pytest.param(scenarios.read_only, marks=[pytest.mark.slow, MOUNTS]),
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_work_continues_after_a_fault(bench, scenario):
    assert scenario(bench, Random(0), scenario.__name__) == []


def test_the_comparison_finds_differences(bench, tmp_path):
    """A campaign that finds nothing must be able to find something."""
    whole = bench.undisturbed()[0]
    copied = tmp_path / "copied"
    shutil.copytree(whole, copied)
    assert differences(whole, copied) == [] and left_behind(copied) == []
    last = load_checkpoint(copied / "checkpoints/last.pth")
    del last["format"]
    weights = next(v for v in last["model"].values() if v.is_floating_point()).view(-1)
    weights[0] = torch.nextafter(weights[0], torch.tensor(9.0))
    save_checkpoint(copied / "checkpoints/last.pth", last)
    rows = (copied / "metrics.csv").read_text().replace("1,", "9,", 1)
    (copied / "metrics.csv").write_text(rows)
    (copied / "checkpoints/.last.pth.7.tmp").touch()
    assert differences(whole, copied) == ["metrics.csv", "last.pth: model"]
    assert left_behind(copied) == ["checkpoints/.last.pth.7.tmp"]
    (copied / "checkpoints/best.pth").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="damaged"):
        require_whole(copied)
    assert not alike({"a": [1.0]}, {"a": [1.0, 2.0]}) and alike((1, "x"), [1, "x"])


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("DataLoader worker (pid 12) is killed by signal: Killed. ", "died (signal: Killed)"),
        ("DataLoader worker (pid(s) 3, 4) exited unexpectedly", "a process that loads data died"),
        ("[gloo/transport/tcp/pair.cc] Connection closed by peer [127.0.0.1]", "another process"),
        ("NCCL communicator was aborted on rank 0.", "another process"),
    ],
)
def test_torchs_errors_about_lost_processes_become_one_line(text, phrase):
    with pytest.raises(ProcessError, match="continue with") as error, explain_worker_errors():
        raise RuntimeError(text)
    assert phrase in str(error.value) and "\n" not in str(error.value)
    assert "another" not in phrase or text in str(error.value)  # the cause may be another
    assert error.value.exit_code == 1


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shape") as error, explain_worker_errors():
        raise RuntimeError("shape '[2]' is invalid")
    assert not isinstance(error.value, ProcessError)
