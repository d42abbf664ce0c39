import logging

import pytest
import torch
from torch import nn

from vireid.engine import precision as device
from vireid.engine.precision import compile_stages, resolve_device, resolve_precision, use_threads
from vireid.errors import UsageError

CPU = torch.device("cpu")


def test_auto_precision_is_fp32_on_a_cpu_unless_measured():
    precision = resolve_precision("auto", CPU)
    assert (precision.name, precision.autocast, precision.scaled) == ("fp32", False, False)
    assert resolve_precision("bf16", CPU).autocast


def test_fp32_switches_autocast_off():
    assert not resolve_precision("fp32", CPU).autocast


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(UsageError, match="bf16 or fp32"):
        resolve_precision("fp16", CPU)


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "meta"])
def test_unknown_device_names_the_choices(name):
    with pytest.raises(UsageError, match="cuda:N"):
        resolve_device(name)


def test_a_cuda_device_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="DEVICE cpu"):
        resolve_device(f"cuda:{torch.cuda.device_count()}")


def test_without_a_compiler_stages_stay_eager_and_one_line_says_so(monkeypatch, caplog):
    def no_compiler(*_, **__):
        raise RuntimeError("no C++ compiler found\nand a long story about it")

    stage, logger = nn.Linear(2, 2), logging.getLogger(device.__name__)
    monkeypatch.setattr(torch, "compile", no_compiler)
    uncached = device._compiler_works.__wrapped__  # another test may have compiled before
    monkeypatch.setattr(device, "_compiler_works", uncached)
    logger.addHandler(caplog.handler)  # runs in other tests stop messages from reaching pytest's
    compile_stages([stage], CPU)
    logger.removeHandler(caplog.handler)
    assert stage._compiled_call_impl is None
    messages = {record.getMessage() for record in caplog.records}
    assert len(messages) == 1
    assert "no C++ compiler found" in messages.copy().pop() and "\n" not in messages.pop()


def test_threads_are_set_or_left_alone():
    before = torch.get_num_threads()
    try:
        use_threads(2)
        assert torch.get_num_threads() == 2
        use_threads(0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
