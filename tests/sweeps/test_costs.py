"""The costs of a sweep's models, by hand where a hand can."""

import pandas as pd
import pytest

from tests.helpers import write_text
from vireid.config.load import load_config
from vireid.runs.options import choices
from vireid.sweeps import costs as sweep_costs
from vireid.sweeps.costs import cell_costs
from vireid.sweeps.planner import plan_runs
from vireid.sweeps.spec import read_sweep

FILE = """
BASE: configs/sysu.yaml
SET: {%s}
GRID: {%s}
SEEDS: [0, 1]
"""
SET = {
    "MODEL.BACKBONE": "osnet_x0_25",
    "MODEL.PRETRAINED": "nowhere.pth",  # is not read
    "MODEL.SHARED_DEPTH": "5",
    "MODEL.MGIM.ENABLED": "false",
    "INPUT.SIZE": "[96, 48]",
}


@pytest.fixture
def costs(tmp_path, monkeypatch):
    """Costs by the cell's first label, and how often a model was built for them."""

    def found(grid: str) -> tuple[pd.DataFrame, int]:
        fixed = ", ".join(f"{key}: {value}" for key, value in SET.items() if key not in grid)
        sweep = read_sweep(write_text(tmp_path / "tried.yaml", FILE % (fixed, grid)))
        allowed = choices()
        runs = plan_runs(
            sweep,
            [],
            lambda words: load_config(sweep.base, words, choices=allowed, environment={}),
            environment={},
        )
        built = []
        build = sweep_costs.build_model

        def counted(cfg, *arguments, **options):
            built.append(cfg)
            return build(cfg, *arguments, **options)

        monkeypatch.setattr(sweep_costs, "build_model", counted)
        names = {cell.name: cell.labels[0] for cell in sweep.cells}
        return cell_costs(runs).rename(index=names), len(built)

    return found


def alike(costs: pd.DataFrame) -> bool:
    return len(costs.drop_duplicates()) == 1


def test_streams_cost_parameters_and_no_macs(costs):
    found, built = costs("MODEL.SHARED_DEPTH: [0, 4, 5]")
    assert built == 3
    one, two = found.parameters["5"], found.parameters["0"]
    head = 1 + 2 * 128  # GeM's exponent, BNNeck's scale and shift: both streams share them
    assert two - head == 2 * (one - head)
    # conv1: 7 × 7 × 3 → 16 without bias, and a scale and a shift each
    assert found.parameters["4"] == one + 7 * 7 * 3 * 16 + 2 * 16
    assert found.macs.nunique() == 1


def test_what_training_alone_needs_costs_nothing(costs):
    found, built = costs("MODEL.SDM.TEMPERATURE: [1, 3], MODEL.SDM.ALPHA: [0.1, 0.3]")
    assert built == 1 and alike(found)
    found, built = costs("MODEL.SDM.TAPS: [[conv2], [conv3, conv4]]")
    assert built == 2 and alike(found)


def test_an_early_exit_is_counted_up_to_there(costs):
    found, _ = costs("TEST.EXIT: [deep, shallow1]")
    assert found.macs["shallow1"] < 0.75 * found.macs["deep"]
    assert found.parameters["shallow1"] < found.parameters["deep"]


def test_larger_images_cost_macs_alone(costs):
    found, _ = costs("INPUT.SIZE: [[96, 48], [192, 96]]")
    small, large = found.macs
    assert found.parameters.nunique() == 1
    # the gates see one pixel whatever the image: 2 blocks of 4 streams at each of 3 widths
    gates = 2 * 4 * sum(2 * width * inner for width, inner in ((16, 1), (24, 1), (32, 2)))
    assert large - gates == 4 * (small - gates)


def test_a_mirror_image_costs_as_much_again(costs):
    found, _ = costs("TEST.FLIP: [false, true]")
    assert found.macs["true"] == 2 * found.macs["false"]
    assert found.parameters.nunique() == 1


def test_a_model_that_cannot_be_built_has_no_cost(costs):
    found, _ = costs("MODEL.MGIM.ENABLED: [true], MODEL.MGIM.GRANULARITIES: [[2], [5]]")
    assert len(found) == 1
