from collections.abc import Callable

import pandas as pd
import pytest
import torch
from torch import nn

from vireid.cost.latency import latency_statistics, measure_latency


class FakeMachine:
    """A clock that only calls advance, by their stated seconds times a factor per round."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def clock(self) -> float:
        return self.now

    def call(self, name: str, seconds: Callable[[int], float]) -> Callable[[], None]:
        def run() -> None:
            self.now += seconds(self.log.count(name))
            self.log.append(name)

        return run


def test_median_and_quartiles_have_their_hand_values():
    found = latency_statistics(pd.DataFrame({"a": [1.0, 9.0, 2.0, 3.0, 4.0]}))
    assert found.loc["a"].tolist() == pytest.approx([3.0, 2.0, 4.0, 2.0, 1.0])


def test_times_are_per_image_in_milliseconds_and_start_after_the_warm_up():
    machine = FakeMachine()
    call = machine.call("a", lambda count: 10.0 if count < 3 else 0.001 * count)
    result = measure_latency({"a": call}, batch=4, runs=5, warmup=3, clock=machine.clock)
    assert result["a"].tolist() == pytest.approx([0.75, 1.0, 1.25, 1.5, 1.75])
    assert len(machine.log) == 8


def test_every_call_runs_once_in_every_round_in_alternating_order():
    machine = FakeMachine()
    calls = {name: machine.call(name, lambda count: 1.0) for name in "abc"}
    results = measure_latency(calls, batch=1, runs=3, warmup=1, clock=machine.clock)
    assert "".join(machine.log) == "cba" + "abc" + "cba" + "abc"
    assert list(results) == ["a", "b", "c"]
    assert len(results) == 3


def test_ratio_survives_a_machine_that_slows_down():
    machine = FakeMachine()
    slow = [1, 1, 40, 40, 40, 7, 1, 1, 90]
    calls = {
        "once": machine.call("once", lambda count: 0.001 * slow[count]),
        "twice": machine.call("twice", lambda count: 0.002 * slow[count]),
    }
    results = measure_latency(calls, batch=1, runs=9, warmup=0, clock=machine.clock)
    found = latency_statistics(results)
    assert found["ratio"].tolist() == pytest.approx([1.0, 2.0])
    assert found["median_ms"]["once"] == pytest.approx(7.0)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"runs": 0}, {"warmup": -1}, {"calls": {}}])
def test_nothing_to_time_and_numbers_out_of_range_are_refused(wrong: dict):
    with pytest.raises(ValueError, match="at least one call, batch and runs of at least 1"):
        measure_latency(**{"calls": {"a": lambda: None}, "batch": 1, **wrong})


def test_gradients_are_off_and_real_time_passes():
    linear, recorded = nn.Linear(64, 64), []
    images = torch.randn(8, 64)

    def call() -> None:
        recorded.append(linear(images).requires_grad)

    result = measure_latency({"linear": call}, batch=8, runs=4, warmup=1)["linear"]
    assert recorded == [False] * 5
    assert result.between(0, 1000, inclusive="neither").all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_call_is_waited_for():
    matrix = torch.randn(4096, 4096, device="cuda")

    def products(count: int) -> Callable[[], None]:
        def call() -> None:
            for _ in range(count):
                matrix @ matrix

        return call

    calls = {"one": products(1), "ten": products(10)}
    results = measure_latency(calls, batch=1, runs=20, warmup=5, device="cuda")
    assert 5 < latency_statistics(results)["ratio"]["ten"] < 15
