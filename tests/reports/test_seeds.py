"""How scores spread over seeds, and how many seeds a difference needs."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from vireid.cli import table
from vireid.evaluation.results import COLUMNS
from vireid.reports.seeds import MOST_SEEDS, deviation_interval, mean_tolerance, seeds_needed

LINES = ("seeds of each for 2", "pairs for 2")


@pytest.mark.parametrize(
    ("effect", "paired", "count"),
    # as tables of sample sizes have them: difference / sd at 5 % error and 80 % power
    [(0.5, False, 64), (0.8, False, 26), (1, False, 17), (0.5, True, 34), (0.8, True, 15)],
)
def test_seeds_as_in_tables_of_sample_sizes(effect, paired, count):
    assert seeds_needed(4.0, 4 * effect, paired=paired) == count


def test_seeds_at_the_ends():
    assert seeds_needed(0.0, 2, paired=True) == seeds_needed(1e-9, 2, paired=False) == 2
    assert seeds_needed(1e6, 2, paired=True) == MOST_SEEDS
    with pytest.raises(ValueError, match="must be > 0, got 0"):
        seeds_needed(1, 0, paired=True)


@pytest.mark.parametrize("paired", [False, True])
def test_four_of_five_experiments_with_so_many_seeds_show_the_difference(paired):
    count, draw = seeds_needed(3, 3.5, paired=paired), np.random.default_rng(2)
    one, other = draw.normal(3.5, 3, (4000, count)), draw.normal(0, 3, (4000, count))
    found = ttest_1samp(one, 0, axis=1) if paired else ttest_ind(one, other, axis=1)
    assert 0.77 < (found.pvalue < 0.05).mean() < 0.87  # one seed fewer would be below 0.8


def test_the_interval_of_a_deviation():
    low, high = deviation_interval(2, 10)  # χ² with 9 degrees of freedom: 2.700 and 19.023
    assert (low, high) == pytest.approx((2 * (9 / 19.023) ** 0.5, 2 * (9 / 2.700) ** 0.5), abs=1e-3)


def test_the_tolerance_of_a_mean():
    wide = 4.302653 * 1.5 * (1 / 3 + 1 / 5) ** 0.5  # t with 2 degrees of freedom
    assert mean_tolerance(1.5, 3, 5) == pytest.approx(wide, abs=1e-5)


def write_runs(folder: Path, scores: dict[int, float]) -> str:
    for seed, score in scores.items():
        run = folder / f"seed{seed}"
        run.mkdir(parents=True)
        mean = {**dict.fromkeys(COLUMNS, 0.5), "rank1": score}
        content = {"format": 1, "protocols": {"regdb_v2t": {"mean": mean}}, "source": {}}
        (run / "results.json").write_text(json.dumps(content))
        (run / "config.yaml").touch()
    return str(folder)


def rows(printed: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["recipe"], row["metric"]): row for row in csv.DictReader(io.StringIO(printed))}


def test_recipes_are_compared_with_the_first_by_seed(tmp_path, capsys):
    runs = [write_runs(tmp_path / "a", {0: 0.10, 1: 0.20, 2: 0.30, 9: 0.20})]
    runs += [write_runs(tmp_path / "b", {2: 0.33, 1: 0.21, 0: 0.12})]
    assert table.main([*runs, "--seeds-for", "2", "--format", "csv"]) == 0
    found = rows(capsys.readouterr().out)
    assert list(found) == [(r, m) for m in ("rank1", "mAP") for r in ("a", "b", "b − a")]
    own, change = found["a", "rank1"], found["b − a", "rank1"]
    assert (own["seeds"], own["mean"], own["sd"]) == ("4", "20.00", "8.16")  # √(200/3)
    assert own["95 % interval of sd"] == "4.63 – 30.44" and own[LINES[1]] == "–"
    each = int(own[LINES[0]].split()[0])
    assert each == pytest.approx(15.7 * 200 / 3 / 4, abs=3)  # 2 (1.96 + 0.84)² (sd / 2)²
    assert (change["seeds"], change["mean"], change["sd"]) == ("3", "+2.00", "1.00")
    assert change[LINES[1]].split()[0] == "5"  # of d = 2: tables have 5 pairs
    assert int(change[LINES[0]].split()[0]) > 200
    assert found["b − a", "mAP"]["sd"] == "0.00" and found["b − a", "mAP"][LINES[1]] == "2 (2 – 2)"


def test_a_table_for_people_says_what_the_numbers_are(tmp_path, capsys):
    run = write_runs(tmp_path / "a", {0: 0.1, 1: 0.2})
    assert table.main([run, "--seeds-for", "1.5"]) == 0
    assert "two-sided t-test" in (printed := capsys.readouterr().out)
    assert "seeds of each for 1.5" in printed
    assert table.main([run, "--seeds-for", "1.5", "--format", "latex"]) == 0
    assert r"\begin{tabular}" in capsys.readouterr().out


def test_one_seed_has_no_spread(tmp_path, capsys):
    run = write_runs(tmp_path / "a", {0: 0.1})
    assert table.main([run, "--seeds-for", "2"]) == 3
    assert "a has 1 finished run(s) with regdb_v2t: a spread needs two" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["0"], ["nan"], ["2", "--with", "published"]])
def test_mistakes(words, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        table.main([str(tmp_path), "--seeds-for", *words])
    assert "--seeds-for" in capsys.readouterr().err
