"""Where runs of a sweep are trained at the same time."""

import pytest
import torch

from vireid.sweeps.local import slots_for, visible_gpus


@pytest.mark.parametrize(
    ("jobs", "gpus", "slots"),
    [
        (None, [], [{}]),
        (None, ["0"], [{"CUDA_VISIBLE_DEVICES": "0"}]),
        (3, [], [{"OMP_NUM_THREADS": "2"}] * 3),
        (20, [], [{"OMP_NUM_THREADS": "1"}] * 20),
        (
            None,
            ["4", "6"],
            [{"CUDA_VISIBLE_DEVICES": gpu, "OMP_NUM_THREADS": "4"} for gpu in ("4", "6")],
        ),
        (1, ["4", "6"], [{"CUDA_VISIBLE_DEVICES": "4"}]),
    ],
)
def test_one_run_per_gpu_and_processors_are_shared(monkeypatch, jobs, gpus, slots):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert slots_for(jobs, gpus, processors=8) == slots


def test_a_thread_count_that_the_user_set_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert slots_for(2, [], processors=8) == [{}, {}]


def test_gpus_keep_the_names_that_the_user_gave(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5a")
    assert visible_gpus() == ["3", "GPU-5a"]
