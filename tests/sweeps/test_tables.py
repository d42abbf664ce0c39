"""Means, paired differences and tables of a sweep, by hand."""

import csv
import io

import pytest
from PIL import Image

from tests.helpers import write_text
from vireid.sweeps.costs import Cost
from vireid.sweeps.plots import draw_sweep
from vireid.sweeps.spec import read_sweep
from vireid.sweeps.statistics import means, paired_differences, tidy_csv
from vireid.sweeps.tables import as_csv, as_latex, as_markdown, tables

A, B, C = "plain", "+_SDM", "50_both"
FILE = """
BASE: configs/regdb.yaml
GRID:
  LOSS.TRIPLET.WEIGHT, LOSS.WEIGHTED_TRIPLET.WEIGHT:
    plain: [1, 0]
    + SDM: [0, 1]
    50 % both: [1, 1]
SEEDS: [0, 1, 2]
"""


@pytest.fixture
def sweep(tmp_path):
    return read_sweep(write_text(tmp_path / "tried.yaml", FILE))


def scores(cell: str, rank1: dict[int, float], protocol: str = "v2t", trial=None) -> dict:
    """rank-1 as given, mAP half of it, mINP a tenth, by seed."""
    shares = {"rank1": 1, "mAP": 0.5, "mINP": 0.1}
    return {
        (cell, protocol, metric): {(trial, seed): share * v for seed, v in rank1.items()}
        for metric, share in shares.items()
    }


@pytest.fixture
def values():
    return (
        scores(A, {0: 0.10, 1: 0.20, 2: 0.60})
        | scores(B, {0: 0.12, 1: 0.24, 2: 0.66})
        | scores(C, {1: 0.30})
    )


def test_means_deviate_as_a_population(values):
    spread = means(values)[A, "v2t", "rank1"]
    # 10, 20, 60: mean 30, squared deviations 400 + 100 + 900 over 3
    assert (spread.mean, spread.n) == (pytest.approx(30), 3)
    assert spread.std == pytest.approx((1400 / 3) ** 0.5)
    assert means(values)[C, "v2t", "rank1"].std is None


def test_differences_are_paired_by_seed_and_deviate_as_a_sample(values):
    found = paired_differences(values, A)
    spread = found[B, "v2t", "rank1"]
    # 2, 4, 6 points: mean 4, squared deviations 4 + 0 + 4 over 2
    assert (spread.mean, spread.std, spread.n) == (pytest.approx(4), pytest.approx(2), 3)
    single = found[C, "v2t", "rank1"]  # seed 1 alone has both
    assert (single.mean, single.std, single.n) == (pytest.approx(10), None, 1)
    assert not [key for key in found if key[0] == A]


def test_splits_are_paired_with_their_like():
    values = {
        ("a", "v2t", "mAP"): {(1, 0): 0.1, (2, 0): 0.5},
        ("b", "v2t", "mAP"): {(2, 0): 0.6, (1, 0): 0.4, (3, 0): 0.9},
    }
    spread = paired_differences(values, "a")["b", "v2t", "mAP"]
    assert (spread.mean, spread.n) == (pytest.approx(20), 2)  # 30 and 10
    assert spread.std == pytest.approx(200**0.5)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_markdown_states_the_spread_and_marks_the_best(sweep, values):
    absolute, relative = map(as_markdown, tables(sweep, values))
    note, _, header, _, *rows = absolute.splitlines()
    assert "population standard deviation over seeds" in note
    title = "LOSS.TRIPLET.WEIGHT, LOSS.WEIGHTED_TRIPLET.WEIGHT"
    assert cells(header) == [title, "runs", "v2t rank1", "v2t mAP", "v2t mINP"]
    assert [cells(row) for row in rows] == [
        ["plain", "3", "30.00 ± 21.60", "15.00 ± 10.80", "3.00 ± 2.16"],
        ["+ SDM", "3", "**34.00 ± 23.15**", "**17.00 ± 11.58**", "**3.40 ± 2.32**"],
        ["50 % both", "1", "30.00", "15.00", "3.00"],
    ]
    values[C, "v2t", "rank1"] = {(None, 1): 0.9}  # higher, but one run only
    assert as_markdown(tables(sweep, values)[0]).count("**34.00") == 1
    note, _, header, _, *rows = relative.splitlines()
    assert "Difference to plain, paired by seed" in note and "sample standard" in note
    assert cells(header) == [title, "pairs", "v2t rank1", "v2t mAP"]
    assert [cells(row) for row in rows] == [
        ["+ SDM", "3", "+4.00 ± 2.00", "+2.00 ± 1.00"],
        ["50 % both", "1", "+10.00", "+5.00"],
    ]


def test_missing_scores_are_shown_as_missing(sweep, values):
    values |= scores(A, {0: 0.5}, "t2v") | scores(B, {0: 0.4, 1: 0.6}, "t2v")
    del values[A, "v2t", "rank1"][None, 0]
    absolute, relative = map(as_markdown, tables(sweep, values))
    rows = [cells(row) for row in absolute.splitlines()[4:]]
    assert rows[0][1:3] == ["3", "40.00 ± 20.00 (n = 2)"]
    assert [row[5] for row in rows] == ["50.00 (n = 1)", "**50.00 ± 10.00 (n = 2)**", "–"]
    assert cells(relative.splitlines()[4])[4] == "-10.00 (n = 1)"


def test_no_difference_has_no_minus(sweep):
    values = scores(A, {0: 0.10, 1: 0.20}) | scores(B, {0: 0.10, 1: 0.19999999})
    _, relative = map(as_markdown, tables(sweep, values))
    assert cells(relative.splitlines()[4])[2:] == ["+0.00 ± 0.00"] * 2


def test_csv_holds_the_same_numbers(sweep, values):
    absolute, relative = map(as_csv, tables(sweep, values))
    rows = list(csv.DictReader(io.StringIO(absolute)))
    assert [row["runs"] for row in rows] == ["3", "3", "1"]
    assert (rows[1]["v2t_rank1_mean"], rows[1]["v2t_rank1_std"]) == ("34.0000", "23.1517")
    assert (rows[2]["v2t_mAP_mean"], rows[2]["v2t_mAP_std"]) == ("15.0000", "")
    rows = list(csv.DictReader(io.StringIO(relative)))
    assert (rows[0]["pairs"], rows[0]["v2t_mAP_mean"], rows[0]["v2t_mAP_std"]) == (
        "3",
        "2.0000",
        "1.0000",
    )


def test_latex_uses_booktabs_and_escapes_labels(sweep, values):
    absolute, relative = map(as_latex, tables(sweep, values | scores(A, {0: 0.5}, "t_2")))
    lines = absolute.splitlines()
    assert lines[0].startswith("% Per cent")
    assert lines[1:3] == [r"\begin{tabular}{lrcccccc}", r"\toprule"]
    assert lines[3] == r"&  & \multicolumn{3}{c}{v2t} & \multicolumn{3}{c}{t\_2} \\"
    assert lines[4] == r"\cmidrule(lr){3-5}\cmidrule(lr){6-8}"
    assert r"+ SDM & 3 & \textbf{34.00 $\pm$ 23.15} & " in absolute
    assert r"50 \% both & 1 & 30.00 & 15.00 & 3.00 & -- & -- & -- \\" in absolute
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert {line.count("&") for line in lines if line.endswith(r"\\")} == {3, 7}
    assert "+4.00 $\\pm$ 2.00" in relative and r"\textbf" not in relative


def test_tidy_csv_has_one_line_per_run_protocol_and_metric(sweep, values):
    rows = list(csv.DictReader(io.StringIO(tidy_csv(sweep, values))))
    assert len(rows) == (3 + 3 + 1) * 3
    (row,) = [r for r in rows if (r["cell"], r["metric"]) == ("50 % both", "mAP")]
    assert row == {
        "LOSS.TRIPLET.WEIGHT": "1.0",
        "LOSS.WEIGHTED_TRIPLET.WEIGHT": "1.0",
        "cell": "50 % both",
        "trial": "",
        "seed": "1",
        "protocol": "v2t",
        "metric": "mAP",
        "value": "0.15",
    }


COSTS = {A: Cost(2_051_999, 1_242_936_832), B: Cost(204_001, 12_345_678)}  # C's is not known


def test_every_format_has_the_costs(sweep, values):
    absolute, relative = tables(sweep, values, COSTS)
    note, _, header, _, *rows = as_markdown(absolute).splitlines()
    assert "deployed network" in note and "FlopCounterMode" in note
    assert cells(header)[1:5] == ["runs", "params (M)", "MACs (M)", "v2t rank1"]
    assert [cells(row)[1:4] for row in rows] == [
        ["3", "2.05", "1,242.9"],
        ["3", "0.20", "12.3"],
        ["1", "–", "–"],
    ]
    assert "MACs" not in as_markdown(relative)
    lines = list(csv.DictReader(io.StringIO(as_csv(absolute))))
    assert [(line["parameters"], line["macs"]) for line in lines] == [
        ("2051999", "1242936832"),
        ("204001", "12345678"),
        ("", ""),
    ]
    latex = as_latex(absolute).splitlines()
    assert latex[1] == r"\begin{tabular}{lrrrccc}"
    assert latex[3] == r"&  &  &  & \multicolumn{3}{c}{v2t} \\"
    assert latex[4] == r"\cmidrule(lr){5-7}"
    assert r"plain & 3 & 2.05 & 1,242.9 & 30.00 $\pm$ 21.60 & " in "\n".join(latex)
    assert r"50 \% both & 1 & -- & -- & 30.00 & " in "\n".join(latex)
    assert {line.count("&") for line in latex if line.endswith(r"\\")} == {4, 6}


def test_tidy_csv_has_the_costs_of_the_run(sweep, values):
    rows = list(csv.DictReader(io.StringIO(tidy_csv(sweep, values, COSTS))))
    found = {row["cell"]: (row["parameters"], row["macs"]) for row in rows}
    assert found == {
        "plain": ("2051999", "1242936832"),
        "+ SDM": ("204001", "12345678"),
        "50 % both": ("", ""),
    }


GRIDS = {
    1: "{MODEL.SHARED_DEPTH: [0, 3]}",
    2: "{MODEL.SHARED_DEPTH: [0, 3], MODEL.POOL: [gem, avg]}",
    3: "{MODEL.SHARED_DEPTH: [0, 3], MODEL.POOL: [gem, avg], INPUT.FLIP: [0, 1]}",
}


@pytest.mark.parametrize("axes", [1, 2])
def test_costs_are_drawn_where_they_differ(tmp_path, axes):
    text = f"BASE: configs/regdb.yaml\nGRID: {GRIDS[axes]}\n"
    sweep = read_sweep(write_text(tmp_path / "tried.yaml", text))
    values: dict = {}
    for i, cell in enumerate(sweep.cells):
        values |= scores(cell.name, {0: 0.1 * i, 1: 0.2 * i})
    alike = {cell.name: Cost(1_000_000, 2_000_000) for cell in sweep.cells}
    differing = alike | {sweep.cells[0].name: Cost(3_000_000, 2_000_000)}
    heights = []
    for i, costs in enumerate([None, {}, alike, differing]):
        path = tmp_path / f"{i}.png"
        assert draw_sweep(sweep, values, path, costs)
        with Image.open(path) as image:
            heights.append(image.height)
    assert heights[0] == heights[1] == heights[2] < heights[3]


def test_every_protocol_is_in_the_legend(tmp_path):
    sweep = read_sweep(
        write_text(tmp_path / "t.yaml", f"BASE: configs/regdb.yaml\nGRID: {GRIDS[1]}")
    )
    names = ["_odd", "v2t"]  # matplotlib leaves out what starts so, unless it is told
    values: dict = {}
    for protocol in names:
        values |= scores(sweep.cells[0].name, {0: 0.1, 1: 0.2}, protocol)
    draw_sweep(sweep, values, tmp_path / "a.svg")
    assert [(tmp_path / "a.svg").read_text().count(f"<!-- {name} -->") for name in names] == [1, 1]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_picture_fits_the_number_of_entries(tmp_path, axes):
    text = f"BASE: configs/regdb.yaml\nGRID: {GRIDS[axes]}\n"
    sweep = read_sweep(write_text(tmp_path / "tried.yaml", text))
    values: dict = {}
    for i, cell in enumerate(sweep.cells[:-1]):  # the last has failed
        values |= scores(cell.name, {0: 0.1 * i, 1: 0.2 * i})
    path = tmp_path / "sweep.png"
    assert draw_sweep(sweep, values, path) == path.exists() == (axes < 3)
    if axes < 3:
        with Image.open(path) as image:
            assert min(image.size) > 200 and len(image.convert("RGB").getcolors(10**6)) > 20
