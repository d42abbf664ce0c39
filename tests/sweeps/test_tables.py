"""Means, paired differences, tables and pictures of a sweep, by hand."""

import csv
import io

import pandas as pd
import pytest

from tests.helpers import write_text
from vireid.sweeps.spec import Sweep, read_sweep
from vireid.sweeps.tables import (
    SCORE_COLUMNS,
    cell_means,
    paired_differences,
    sweep_tables,
    tidy_csv,
)

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
NO_COSTS = pd.DataFrame(columns=["parameters", "macs"], dtype="Int64")


def costs_of(**cells: tuple[int, int]) -> pd.DataFrame:
    costs = pd.DataFrame.from_dict(cells, orient="index", columns=["parameters", "macs"])
    return costs.astype("Int64")


# the third cell's are unknown
COSTS = costs_of(**{A: (2_051_999, 1_242_936_832), B: (204_001, 12_345_678)})


@pytest.fixture
def sweep(tmp_path) -> Sweep:
    return read_sweep(write_text(tmp_path / "tried.yaml", FILE))


def scores(cell: str, rank1: dict, protocol: str = "v2t") -> pd.DataFrame:
    """rank-1 as given, mAP half of it, mINP a tenth, by seed or by (trial, seed)."""
    keys = [key if isinstance(key, tuple) else (None, key) for key in rank1]
    rows = [
        (cell, trial, seed, protocol, metric, share * value)
        for metric, share in {"rank1": 1, "mAP": 0.5, "mINP": 0.1}.items()
        for (trial, seed), value in zip(keys, rank1.values(), strict=True)
    ]
    return pd.DataFrame(rows, columns=SCORE_COLUMNS).astype({"trial": "Int64"})


@pytest.fixture
def values() -> pd.DataFrame:
    a, b = {0: 0.10, 1: 0.20, 2: 0.60}, {0: 0.12, 1: 0.24, 2: 0.66}
    return pd.concat([scores(A, a), scores(B, b), scores(C, {1: 0.30})], ignore_index=True)


def test_means_deviate_as_a_population(values):
    found = cell_means(values)
    # 10, 20, 60: mean 30, squared deviations 400 + 100 + 900 over 3
    assert tuple(found.loc[A, "v2t", "rank1"]) == pytest.approx((30, (1400 / 3) ** 0.5, 3))
    assert found.isna().loc[C, "v2t", "rank1"].tolist() == [False, True, False]


def test_differences_are_paired_by_seed_and_deviate_as_a_sample(values):
    found = paired_differences(values, A)
    # 2, 4, 6 points: mean 4, squared deviations 4 + 0 + 4 over 2
    assert tuple(found.loc[B, "v2t", "rank1"]) == pytest.approx((4, 2, 3))
    single = found.loc[C, "v2t", "rank1"]  # seed 1 alone has both
    assert (single["mean"], single["n"]) == pytest.approx((10, 1)) and pd.isna(single["std"])
    assert A not in found.index.get_level_values("cell")


def test_splits_are_paired_with_their_like():
    a, b = {(1, 0): 0.1, (2, 0): 0.5}, {(2, 0): 0.6, (1, 0): 0.4, (3, 0): 0.9}
    found = paired_differences(pd.concat([scores("a", a), scores("b", b)]), "a")
    # 30 and 10
    assert tuple(found.loc["b", "v2t", "rank1"]) == pytest.approx((20, 200**0.5, 2))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def markdown_rows(table) -> tuple[str, list[list[str]]]:
    note, _, header, _, *rows = table.as_markdown().splitlines()
    return note, [cells(header), *map(cells, rows)]


def test_markdown_states_the_spread_and_marks_the_best(sweep, values):
    absolute, relative = sweep_tables(sweep, values, NO_COSTS)
    note, rows = markdown_rows(absolute)
    assert "population standard deviation over seeds" in note
    title = "LOSS.TRIPLET.WEIGHT, LOSS.WEIGHTED_TRIPLET.WEIGHT"
    assert rows == [
        [title, "runs", "v2t rank1", "v2t mAP", "v2t mINP"],
        ["plain", "3", "30.00 ± 21.60", "15.00 ± 10.80", "3.00 ± 2.16"],
        ["+ SDM", "3", "**34.00 ± 23.15**", "**17.00 ± 11.58**", "**3.40 ± 2.32**"],
        ["50 % both", "1", "30.00", "15.00", "3.00"],
    ]
    note, rows = markdown_rows(relative)
    assert "Difference to plain, paired by seed" in note and "sample standard" in note
    assert rows == [
        [title, "pairs", "v2t rank1", "v2t mAP"],
        ["+ SDM", "3", "+4.00 ± 2.00", "+2.00 ± 1.00"],
        ["50 % both", "1", "+10.00", "+5.00"],
    ]
    values.loc[values.cell == C, "value"] = 0.9  # higher, but one run only
    assert sweep_tables(sweep, values, NO_COSTS)[0].as_markdown().count("**34.00") == 1


def test_missing_scores_are_shown_as_missing(sweep, values):
    values = values[(values.cell != A) | (values.metric != "rank1") | (values.seed != 0)]
    other = [scores(A, {0: 0.5}, "t2v"), scores(B, {0: 0.4, 1: 0.6}, "t2v")]
    absolute, relative = sweep_tables(sweep, pd.concat([values, *other]), NO_COSTS)
    rows = markdown_rows(absolute)[1][1:]
    assert rows[0][1:3] == ["3", "40.00 ± 20.00 (n = 2)"]
    assert [row[5] for row in rows] == ["50.00 (n = 1)", "**50.00 ± 10.00 (n = 2)**", "–"]
    assert markdown_rows(relative)[1][1][4] == "-10.00 (n = 1)"


def test_reranked_scores_are_columns_of_their_own_and_explained(sweep):
    names = ["v2t", "v2t+expansion", "v2t+rerank"]
    given = [scores(A, {0: 0.1 * k}, name) for k, name in enumerate(names, 1)]
    note, rows = markdown_rows(sweep_tables(sweep, pd.concat(given), NO_COSTS)[0])
    assert rows[0][2::3] == [f"{name} rank1" for name in names]
    assert rows[1][2::3] == ["10.00", "20.00", "30.00"]
    assert "+expansion: after query expansion, which also uses the gallery " in note
    assert "+rerank: after k-reciprocal re-ranking, which also uses the other queries " in note


def test_no_difference_has_no_minus(sweep):
    both = [scores(A, {0: 0.10, 1: 0.20}), scores(B, {0: 0.10, 1: 0.19999999})]
    _, relative = sweep_tables(sweep, pd.concat(both), NO_COSTS)
    assert markdown_rows(relative)[1][1][2:] == ["+0.00 ± 0.00"] * 2


def test_without_pairs_the_differences_are_empty(sweep):
    _, relative = sweep_tables(sweep, scores(A, {0: 0.1}), NO_COSTS)
    assert [row[1:] for row in markdown_rows(relative)[1][1:]] == [["0", "–", "–"]] * 2
    assert relative.as_csv().splitlines()[1] == "+ SDM,0,,,,"


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_holds_the_same_numbers(sweep, values):
    absolute, relative = (read_csv(t.as_csv()) for t in sweep_tables(sweep, values, NO_COSTS))
    assert [row["runs"] for row in absolute] == ["3", "3", "1"]
    names = [f"v2t_{metric}_{part}" for metric in ("rank1", "mAP") for part in ("mean", "std")]
    assert [absolute[1][name] for name in names] == ["34.0000", "23.1517", "17.0000", "11.5758"]
    assert [absolute[2][name] for name in names] == ["30.0000", "", "15.0000", ""]
    found = [relative[0][name] for name in ("pairs", *names)]
    assert found == ["3", "4.0000", "2.0000", "2.0000", "1.0000"]


def test_latex_uses_booktabs_and_escapes_labels(sweep, values):
    values = pd.concat([values, scores(A, {0: 0.5}, "t_2")])
    absolute, relative = (t.as_latex() for t in sweep_tables(sweep, values, COSTS))
    lines = absolute.splitlines()
    assert lines[0].startswith("% Per cent")
    assert lines[1:3] == [r"\begin{tabular}{lrrrcccccc}", r"\toprule"]
    assert r"\multicolumn{3}{c}{v2t} & \multicolumn{3}{c}{t\_2} \\" in lines[3]
    assert r"+ SDM & 3 & 0.20 & 12.3 & \textbf{34.00 $\pm$ 23.15} & " in absolute
    assert r"50 \% both & 1 & -- & -- & 30.00 & 15.00 & 3.00 & -- & -- & -- \\" in absolute
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert r"4.00 $\pm$ 2.00" in relative and r"\textbf" not in relative


def test_tidy_csv_has_one_line_per_run_protocol_and_metric(sweep, values):
    rows = read_csv(tidy_csv(sweep, values, COSTS))
    assert len(rows) == (3 + 3 + 1) * 3
    (row,) = [r for r in rows if (r["cell"], r["metric"]) == ("50 % both", "mAP")]
    assert list(row.items()) == [
        ("LOSS.TRIPLET.WEIGHT", "1.0"),
        ("LOSS.WEIGHTED_TRIPLET.WEIGHT", "1.0"),
        ("cell", "50 % both"),
        ("trial", ""),
        ("seed", "1"),
        ("parameters", ""),
        ("macs", ""),
        ("protocol", "v2t"),
        ("metric", "mAP"),
        ("value", "0.15"),
    ]
    found = {row["cell"]: (row["parameters"], row["macs"]) for row in rows}
    assert found["+ SDM"] == ("204001", "12345678")


def test_markdown_and_csv_have_the_costs(sweep, values):
    absolute, relative = sweep_tables(sweep, values, COSTS)
    note, rows = markdown_rows(absolute)
    assert "deployed network" in note and "FlopCounterMode" in note
    assert [row[1:4] for row in rows] == [
        ["runs", "params (M)", "MACs (M)"],
        ["3", "2.05", "1,242.9"],
        ["3", "0.20", "12.3"],
        ["1", "–", "–"],
    ]
    assert "MACs" not in relative.as_markdown()
    found = [(row["parameters"], row["macs"]) for row in read_csv(absolute.as_csv())]
    assert found == [("2051999", "1242936832"), ("204001", "12345678"), ("", "")]
