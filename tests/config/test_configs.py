import os
from pathlib import Path

import pytest
import torch

from vireid.cli.common import choices
from vireid.config import dump_config, load_config
from vireid.config.sweep import read_sweep
from vireid.engine.sweep import plan_runs
from vireid.models.build import build_model

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SWEEPS = sorted(CONFIGS.glob("sweeps/**/*.yaml"))
FOUND = sorted(
    path
    for path in CONFIGS.glob("**/*.yaml")
    if not path.name.startswith("_") and path not in SWEEPS
)


def test_every_config_on_disk_is_found():
    names = [name for _, _, files in os.walk(CONFIGS) for name in files]
    assert len(FOUND) + len(SWEEPS) == sum(not name.startswith("_") for name in names)
    assert len(FOUND) >= 3 and len(SWEEPS) >= 1


@pytest.mark.parametrize("path", FOUND, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_config_loads_and_its_network_builds(path):
    cfg = load_config(path, ["MODEL.PRETRAINED", "none"], choices=choices(), environment={})
    classes = 7
    model, origin = build_model(cfg, classes)
    assert origin == f"{cfg.MODEL.BACKBONE} starts from random weights"
    model.eval()
    with torch.inference_mode():
        output = model(torch.zeros(2, 3, 64, 32), torch.tensor([False, True]))
    assert output.deep.logits.shape == (2, classes)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_configuration_of_a_sweep_can_be_used(path):
    sweep, allowed = read_sweep(path), choices()
    runs = plan_runs(
        sweep,
        [],
        lambda words: load_config(sweep.base, words, choices=allowed, environment={}),
        environment={},
    )
    assert len(runs) == len(sweep.cells) * len(sweep.seeds) * max(1, len(sweep.trials))
    assert sweep.output == Path("runs/sweeps") / path.stem
    assert len({run.folder for run in runs}) == len(runs)
    assert len({dump_config(run.cfg) for run in runs}) == len(runs)


def test_the_shared_depth_sweep_covers_every_depth():
    sweep = read_sweep(CONFIGS / "sweeps/shared_depth.yaml")
    assert [cell.labels for cell in sweep.cells] == [(str(depth),) for depth in range(6)]
    assert sweep.base == CONFIGS / "sysu.yaml" and sweep.seeds == (0, 1, 2)
