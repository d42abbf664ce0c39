"""The benchmarks' own mistakes and figures; what they call is tested elsewhere."""

import shutil

import pandas as pd
import pytest
import torch
from PIL import Image
from torch.optim import Adam

from benchmarks import exits, scale, training, waiting
from vireid.config.schema import default_config
from vireid.data.datasets import csv_set
from vireid.engine.trainer import Trainer
from vireid.models.backbones.osnet import torchreid_osnet
from vireid.structures import Batch, Modality


@pytest.fixture
def benchmark(tiny_command, tmp_path):
    """Arguments of the training benchmark on the tiny set, whose epochs have 6 steps."""
    return lambda *options: [*tiny_command(tmp_path / "no", "SOLVER.WARMUP_EPOCHS=1"), *options]


def test_steps_follow_the_schedule_and_are_counted(benchmark, monkeypatch, capsys):
    step, seen = Trainer.step, []

    def watched(self, batch):
        seen.append((self.progress.step, self.optimizer.param_groups[-1]["lr"]))
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", watched)
    assert training.main(benchmark("--warmup", "2", "--steps", "40")) == 0
    assert [number for number, _ in seen] == list(range(6))
    rates = [rate for _, rate in seen]
    assert rates == sorted(rates) and rates[0] == pytest.approx(1e-4) and rates[5] > rates[0]
    assert "4 steps of 16 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        (("--warmup", "6"), "--warmup 6 leaves nothing of an epoch's 6 steps"),
        (("--steps", "0"), "--steps must be at least 1"),
        (("--compare", "--steps", "0"), "--steps must be at least 1"),
        (("--warmup", "-1"), "--warmup at least 0"),
        (("SOLVER.EPOCHS", "0"), "SOLVER.EPOCHS must be greater than 0"),
    ],
)
def test_mistakes_are_one_message(benchmark, capsys, options, phrase):
    assert training.main(benchmark(*options)) == 2
    assert phrase in capsys.readouterr().err


def test_exits_are_compared_by_the_ratios_of_their_rounds(finished_run, monkeypatch, capsys):
    times = {"shallow1": (1.0, 9.0, 6.0), "deep": (2.0, 10.0, 100.0)}  # 50, 90 and 6 per cent

    def measured(calls, **options):
        return pd.DataFrame({n: times.get(n, times["deep"]) for n in calls})

    monkeypatch.setattr(exits, "measure_latency", measured)
    assert exits.main(["--run", str(finished_run)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    table = {line.split(" | ")[0]: line for line in rows[:6]}
    assert table["| shallow1"].endswith("| 50 % |")  # of the medians: 60 %
    assert table["| deep"].endswith("| 100 % |") and "| deep, global+parts" in table


def test_exits_of_several_runs_are_compared_by_pairs(finished_run, tmp_path, capsys):
    for cell in ("a", "b"):
        shutil.copytree(finished_run, tmp_path / cell / "seed0")
    assert exits.main(["--run", str(tmp_path), "--baseline", "b"]) == 0
    out = capsys.readouterr().out
    assert "Difference to b" in out and out.count("| +0.00 ") == 2 * 8  # one run, twice
    assert exits.main(["--run", str(tmp_path), "--baseline", "c"]) == 2
    assert "--baseline c: the cells are a, b" in capsys.readouterr().err


def test_differences_of_exits_by_hand(capsys):
    values = {"a": (0.50, 0.60), "b": (0.58, 0.66)}  # + 8 and + 6 points
    rows = [
        (cell, 1, seed, "shallow1, deep gallery", metric, value)
        for cell, by_seed in values.items()
        for seed, value in enumerate(by_seed)
        for metric in ("rank1", "mAP")
    ]
    exits.print_comparison(pd.DataFrame(rows, columns=exits.SCORE_COLUMNS), "a")
    lines = capsys.readouterr().out.splitlines()
    found = [line.split("|")[-2].strip() for line in lines if line.startswith(("| a ", "| b "))]
    assert found == ["55.00 ± 5.00", "**62.00 ± 4.00**", "+7.00 ± 1.41"] * 2


def test_a_set_of_links_is_read_sampled_and_scored(tmp_path):
    assert scale.write_set(tmp_path, 40) == 400
    splits = csv_set.load(tmp_path)
    assert len(splits.train_pids) == 20 and len(splits.train) == len(splits.test) == 200
    infrared = [r for r in splits.test if r.modality is Modality.INFRARED]
    assert len(infrared) == 20  # one of each test identity
    assert (tmp_path / splits.train[0].path).stat().st_nlink == 401  # all and their source
    figures = scale.measure(tmp_path, dim=4)
    assert tuple(figures) == scale.STEPS
    assert all(f["seconds"] >= 0 and f["peak_mib"] > 1 for f in figures.values())
    found = {400: figures, 4000: figures}
    scale.draw(found, tmp_path / "scale.png")
    with Image.open(tmp_path / "scale.png") as image:
        assert image.width == 1400
    assert scale.table(found).splitlines()[3].startswith("| 4,000 | ")


def test_of_many_identities_a_thousand_ask(tmp_path):
    scale.write_set(tmp_path, 4004)
    lines = (tmp_path / "dataset.csv").read_text().splitlines()[1:]
    assert sum("infrared,test" in line for line in lines) == 668  # every third of 2,002


def test_ways_to_take_a_step_are_compared_on_one_batch(benchmark, monkeypatch, capsys):
    compiled = []
    ways = [f"{form}, {way}" for form in ("fp32", "bf16") for way in ("eager", "channels last")]
    monkeypatch.setattr("vireid.engine.build.compile_stages", lambda s, device: compiled.append(s))
    options = ("--compare", "--steps", "3", "--warmup", "0", "PRECISION", "bf16")
    assert training.main(benchmark(*options)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("processor: ") and "torch: " in lines[0]
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")]
    assert names == ["step", *ways, "bf16, compiled", training.PLAIN]
    (own,) = (line for line in lines if line.startswith("| fp32, eager"))
    assert own.endswith("| 1.00 × |") and len(compiled) == 1


def test_the_plain_loop_learns_a_batch():
    network = torchreid_osnet("osnet_x0_25", 2)
    optimizer = Adam(network.parameters(), lr=1e-3)
    cfg = default_config()
    images = torch.randint(0, 256, (4, 3, 64, 32), dtype=torch.uint8)
    labels = torch.tensor([0, 1, 0, 1])
    batch = Batch(images, labels, labels.bool(), torch.arange(4))
    losses = [training.plain_step(network.train(), optimizer, batch, cfg) for _ in range(8)]
    assert losses[-1] < losses[0] / 2


def test_a_step_is_profiled(benchmark, capsys):
    assert training.main(benchmark("--profile")) == 0
    printed = capsys.readouterr().out
    assert "aten::convolution_backward" in printed and "Self CPU time total" in printed


def test_waiting_is_compared_alone_and_beside_a_busy_program(monkeypatch, capsys):
    assert 0 < waiting.step_seconds(0) < 60
    running = []

    def measured(spin, seconds):
        running.append(spin)
        return 4.0 if spin is None else 2.0

    monkeypatch.setattr(waiting, "measured", measured)
    monkeypatch.setattr("sys.argv", ["waiting.py", "--rounds", "2"])
    waiting.main()
    out = capsys.readouterr().out
    assert "| 0 | 4.000 | 2.000 | 2.00 × |" in out and "| 1 | 4.000 | 2.000 | 2.00 × |" in out
    assert running == [None, waiting.SPIN] * 4
