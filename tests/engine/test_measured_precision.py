"""``PRECISION auto`` on a CPU: what is measured, what a run stores, and that nothing else moves."""

import signal
from types import SimpleNamespace

import pytest
import torch

from tests.run_files import assert_same_training, last, metrics, stop_at_step
from vireid.cli import train
from vireid.config import dump_config, load_config
from vireid.config.load import parse_yaml
from vireid.engine import measured_precision as measured
from vireid.engine.measured_precision import bf16_speed, training_precision
from vireid.runs.options import run_config
from vireid.sweeps.precision import common_precision

CPU, SPLITS = torch.device("cpu"), SimpleNamespace(train_pids=(1, 2, 3))
TINY = "MODEL.BACKBONE osnet_x0_25 MODEL.PRETRAINED none INPUT.SIZE [96,48] SEED 3".split()


@pytest.mark.parametrize(("images", "count"), [(64, 10), (6, 6)])
def test_speeds_are_of_steps_that_take_a_second_at_most(monkeypatch, images, count):
    clock, calls = [0.0], []

    def step(images, kind):
        calls.append((images, kind))
        first = 5.0 if len(calls) < 4 else 1.0  # kernels are chosen
        clock[0] += images * (0.1 if kind == torch.float32 else 0.08) * (first if images > 8 else 1)

    monkeypatch.setattr(measured.time, "perf_counter", lambda: clock[0])
    assert bf16_speed(step, images) == (count, pytest.approx(1.25))
    assert calls[2:4] == [(count, torch.float32), (count, torch.bfloat16)]
    assert len(calls) == 2 + 2 * (1 + measured.ROUNDS)


@pytest.mark.parametrize(
    ("has", "ratio", "saved", "name"),
    [
        (False, 9.0, None, "fp32"),
        (True, 1.09, None, "fp32"),
        (True, 1.1, None, "bf16"),
        (True, 9.0, "fp32", "fp32"),
        (True, 0.5, "bf16", "bf16"),
        (True, 9.0, "fp16", "bf16"),  # began on a GPU
    ],
)
def test_bf16_is_for_processors_on_which_it_is_faster(monkeypatch, has, ratio, saved, name):
    cfg = load_config("configs/sysu.yaml", TINY, environment={})
    monkeypatch.setattr(measured, "cpu_has_bf16", lambda: has)
    monkeypatch.setattr(measured, "build_model", lambda *_, **__: (torch.nn.Linear(1, 1), None))
    monkeypatch.setattr(measured, "bf16_speed", lambda step, images: (images, ratio))
    config = dump_config(load_config("configs/sysu.yaml", ["PRECISION", saved or "auto"]))
    checkpoint = {"config": config} if saved else None
    found, lines = training_precision(cfg, SPLITS, device=CPU, processes=2, checkpoint=checkpoint)
    assert found == ["PRECISION", name]
    asked = has and saved in (None, "fp16")
    expected = f"PRECISION auto: {name} (a step of 32 images is {ratio:.2f} times as fast in bf16)"
    assert lines == ([expected] if asked else [])


def test_a_measured_training_is_the_named_one_and_resumes_as_it_began(
    tiny_command, tmp_path, monkeypatch
):
    def fast(step, images):
        assert bf16_speed(step, min(images, 4))[0] == 4  # draws random images and numbers
        return images, 2.0

    monkeypatch.setattr(measured, "cpu_has_bf16", lambda: True)
    monkeypatch.setattr(measured, "bf16_speed", fast)
    short = ("SOLVER.EPOCHS=1", "MODEL.SDM.TAPS=[conv3]", "MODEL.MGIM.GRANULARITIES=[2]")
    assert train.main(tiny_command(tmp_path / "named", *short, "PRECISION=bf16")) == 0
    words = tiny_command(tmp_path / "auto", *short, "PRECISION=auto")
    with monkeypatch.context() as patch:
        stop_at_step(patch, 2, signal.SIGTERM)
        assert train.main(words) == 128 + signal.SIGTERM
    monkeypatch.setattr(measured, "bf16_speed", lambda step, images: (images, 0.5))
    assert train.main([*words, "--resume"]) == 0
    assert_same_training(tmp_path / "auto", tmp_path / "named")
    assert run_config(tmp_path / "auto").PRECISION == "bf16"
    assert parse_yaml(last(tmp_path / "auto")["config"])["PRECISION"] == "bf16"
    assert "changed" not in (tmp_path / "auto/log.txt").read_text()
    assert len(metrics(tmp_path / "auto")) == 1


def test_runs_of_a_sweep_share_one_format(tmp_path, monkeypatch):
    def run(name, precision):
        cfg = load_config("configs/sysu.yaml", [*TINY, "PRECISION", precision], environment={})
        return SimpleNamespace(cfg=cfg, folder=tmp_path / name)

    runs = [run("a", "fp16"), run("b", "auto"), run("c", "auto")]
    seen = "vireid.sweeps.precision."
    monkeypatch.setattr(seen + "build_splits", lambda cfg: SPLITS)
    monkeypatch.setattr(
        seen + "training_precision", lambda cfg, splits, device: (["PRECISION", "bf16"], ["why"])
    )
    assert common_precision(runs[:1]) == ([], [])
    assert common_precision(runs) == (["PRECISION", "bf16"], ["why"])
    assert common_precision(runs, elsewhere=True)[0] == ["PRECISION", "fp32"]
    (tmp_path / "c").mkdir()
    (tmp_path / "c/config.yaml").write_text("PRECISION: fp32\n")  # began in an earlier call
    assert common_precision(runs) == (["PRECISION", "fp32"], [])
