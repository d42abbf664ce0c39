"""What pictures of sweeps show."""

from itertools import product

import pandas as pd
import pytest

from tests.figures.fit import assert_texts_fit
from tests.helpers import write_text
from vireid.sweeps.plots import axis_text, draw_sweep
from vireid.sweeps.spec import Sweep, read_sweep
from vireid.sweeps.tables import SCORE_COLUMNS

GRIDS = {
    1: "{MODEL.SHARED_DEPTH: [5, 0, 3]}",
    2: "{MODEL.SDM.SCALE_T2: [true, false], MODEL.SDM.ALPHA: [0.5, 0.1, 0.3]}",
    3: "{MODEL.SHARED_DEPTH: [0, 3], MODEL.POOL: [gem, avg], INPUT.FLIP: [0, 1]}",
}


def sweep_of(tmp_path, grid: str, labels: str = "") -> Sweep:
    text = f"BASE: configs/regdb.yaml\nGRID: {grid}\n{labels}"
    return read_sweep(write_text(tmp_path / "tried.yaml", text))


def scores_of(sweep: Sweep, protocols=("regdb_v2t",), seeds=(0, 1)) -> pd.DataFrame:
    """rank-1 of the n-th cell: 10 n % and, of the second seed, 2 % more; mAP half of it."""
    rows = []
    for (number, cell), protocol, seed in product(enumerate(sweep.cells), protocols, seeds):
        rank1 = 0.1 * number + 0.02 * seed
        values = {"rank1": rank1, "mAP": rank1 / 2, "mINP": 0.0}
        rows += [(cell.name, None, seed, protocol, *item) for item in values.items()]
    return pd.DataFrame(rows, columns=SCORE_COLUMNS).astype({"trial": "Int64"})


def costs_of(sweep: Sweep, parameters: list[int], macs: list[int]) -> pd.DataFrame:
    index = [cell.name for cell in sweep.cells]
    costs = pd.DataFrame({"parameters": parameters, "macs": macs}, index=index)
    return costs.astype("Int64")


def ticks(axes, which: str = "x") -> list[str]:
    return [label.get_text() for label in getattr(axes, f"get_{which}ticklabels")()]


def test_costs_have_a_panel_where_they_differ_and_are_stated_where_not(tmp_path, figures):
    sweep = sweep_of(tmp_path, GRIDS[1])
    costs = costs_of(sweep, [1_000_000, 3_000_000, 2_000_000], [11_900_000] * 3)
    assert draw_sweep(sweep, scores_of(sweep), costs, tmp_path / "a.svg")
    (figure,) = figures
    assert_texts_fit(figure)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "rank-1 (%)",
        "mAP (%)",
        "parameters (M)",
    ]
    heading = figure.legends[0].get_title().get_text()
    assert heading == (
        "mean ± standard deviation over 2 runs each; dots: single runs\n"
        "the same in all models: MACs 11.9 M"
    )
    bars = figure.axes[2].containers[0].patches  # values ascend: 0, 3, 5
    assert [bar.get_height() for bar in bars] == [3.0, 2.0, 1.0]
    assert ticks(figure.axes[0]) == ["0", "3", "5"]
    means = figure.axes[0].containers[0].lines[0].get_ydata()
    assert list(means) == pytest.approx([11.0, 21.0, 1.0])
    assert figure.axes[2].get_xlabel() == "shared depth"


@pytest.mark.parametrize("unknown", [0, 1, 3])
def test_unknown_costs_are_not_stated(tmp_path, figures, unknown):
    sweep = sweep_of(tmp_path, GRIDS[1])
    costs = costs_of(sweep, [7] * 3, [7] * 3).iloc[unknown:]
    draw_sweep(sweep, scores_of(sweep), costs, tmp_path / "a.svg")
    (figure,) = figures
    assert_texts_fit(figure)
    assert len(figure.axes) == 2
    assert ("the same" in figure.legends[0].get_title().get_text()) == (unknown == 0)


def test_maps_of_a_metric_share_a_scale_and_state_spread_and_runs(tmp_path, figures):
    sweep = sweep_of(tmp_path, GRIDS[2])
    scores = scores_of(sweep, ("regdb_v2t", "regdb_t2v"))
    scores.loc[scores["protocol"] == "regdb_t2v", "value"] += 0.3
    finished = scores[scores["cell"] != sweep.cells[-1].name]  # the last has failed
    assert draw_sweep(sweep, finished, costs_of(sweep, [1] * 6, [2] * 6), tmp_path / "a.svg")
    (figure,) = figures
    assert_texts_fit(figure)
    maps, bars = figure.axes[:4], figure.axes[4:]
    assert [axes.get_title("left") for axes in maps] == [
        f"{protocol}: {metric} (%)"
        for protocol, metric in product(("regdb_v2t", "regdb_t2v"), ("rank-1", "mAP"))
    ]
    assert [bar.get_xlabel() for bar in bars] == ["rank-1 (%)", "mAP (%)"]
    limits = [axes.images[0].get_clim() for axes in maps]
    assert limits[0] == limits[2] == pytest.approx((1.0, 71.0)) and limits[1] == limits[3]
    assert [text.get_text() for text in maps[0].texts] == [
        f"{mean}.0\n± 1.0\nn = 2" for mean in (11, 21, 1, 41, 31)
    ]  # by ascending α: 0.1, 0.3, 0.5; the failed cell is empty
    assert ticks(maps[0]) == ["0.1", "0.3", "0.5"] and ticks(maps[0], "y") == ["✓", "–"]
    assert maps[0].get_ylabel() == "SDM scale T2" and maps[2].get_xlabel() == "SDM α"


def test_labels_are_shown_instead_of_options_values_and_protocols(tmp_path, figures):
    texts = (
        "LABELS: {MODEL.SHARED_DEPTH: stages in common, '5': all, MODEL.SHARED_DEPTH=0: none, "
        "regdb_v2t: visible to thermal}"
    )
    sweep = sweep_of(tmp_path, GRIDS[1], texts)
    shown = axis_text(sweep, sweep.axes[0])
    assert (shown.title, shown.texts) == ("stages in common", ("none", "3", "all"))
    draw_sweep(
        sweep, scores_of(sweep), pd.DataFrame(columns=["parameters", "macs"]), tmp_path / "a.svg"
    )
    assert_texts_fit(figures[0])
    names = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert names == ["visible to thermal"]


def test_labels_of_the_grid_keep_their_order_and_have_no_title(tmp_path):
    grid = "{'MODEL.SDM.ENABLED, MODEL.MGIM.ENABLED': {both: [true, true], '2': [false, true]}}"
    (axis,) = (sweep := sweep_of(tmp_path, grid)).axes
    shown = axis_text(sweep, axis)
    assert (shown.title, shown.texts, shown.numeric) == ("", ("both", "2"), False)
    unnamed = sweep_of(
        tmp_path, "{'MODEL.SDM.ENABLED, MODEL.MGIM.ENABLED': [[true, true], [false, true]]}"
    )
    assert axis_text(unnamed, unnamed.axes[0]).texts == ("SDM ✓, MGIM ✓", "SDM –, MGIM ✓")


def test_the_number_of_runs_is_below_values_where_it_differs(tmp_path, figures):
    sweep = sweep_of(tmp_path, GRIDS[1])
    scores = scores_of(sweep)
    fewer = scores[(scores["cell"] != sweep.cells[0].name) | (scores["seed"] == 0)]
    draw_sweep(sweep, fewer, pd.DataFrame(columns=["parameters", "macs"]), tmp_path / "a.svg")
    assert_texts_fit(figures[0])
    assert ticks(figures[0].axes[0]) == ["0\nn = 2", "3\nn = 2", "5\nn = 1"]


def test_three_entries_have_no_picture(tmp_path):
    sweep, path = sweep_of(tmp_path, GRIDS[3]), tmp_path / "a.png"
    assert not draw_sweep(sweep, scores_of(sweep), pd.DataFrame(), path) and not path.exists()


def test_every_protocol_is_in_the_legend(tmp_path, figures):
    sweep = sweep_of(tmp_path, GRIDS[1])
    names = ["_odd", "v2t"]  # matplotlib leaves out names with _ unless they are passed to it
    draw_sweep(
        sweep,
        scores_of(sweep, names),
        pd.DataFrame(columns=["parameters", "macs"]),
        tmp_path / "a.svg",
    )
    assert_texts_fit(figures[0])
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == names
