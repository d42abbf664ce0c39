import os
from pathlib import Path

import pytest
import torch

from vireid.cli.common import choices
from vireid.config import load_config
from vireid.models.build import build_model

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FOUND = sorted(path for path in CONFIGS.glob("**/*.yaml") if not path.name.startswith("_"))


def test_every_config_on_disk_is_found():
    names = [name for _, _, files in os.walk(CONFIGS) for name in files]
    assert len(FOUND) == sum(not name.startswith("_") for name in names)
    assert len(FOUND) >= 3


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
