import json
import stat
from pathlib import Path

import numpy as np
import pytest

from vireid.errors import DataError
from vireid.evaluation.evaluate import TrialScores
from vireid.evaluation.protocols import PROTOCOLS
from vireid.evaluation.results import read_results, results_table, summarise, write_results

SINGLE, V2T = PROTOCOLS["sysu_all_single"], PROTOCOLS["regdb_v2t"]
METRIC_NAMES = ["rank1", "rank5", "rank10", "rank20", "mAP", "mINP"]


def two_trials() -> list[TrialScores]:
    low, high = (dict.fromkeys(METRIC_NAMES, value) for value in (0.25, 0.75))
    return [
        TrialScores(low, np.array([0.25, 0.5, 1.0]), 8, 7, 4),
        TrialScores(high, np.array([0.75, 1.0]), 8, 7, 4),
    ]


def test_summary_holds_the_documented_keys_and_population_statistics():
    entry = summarise(SINGLE, two_trials())
    assert entry == {
        "gallery_draw": "official",
        "metric": "cosine",
        "reranked": False,
        "cmc_unit": "identity",
        "num_query": 8,
        "num_valid_query": 7,
        "num_gallery": 4,
        "mean": dict.fromkeys(METRIC_NAMES, 0.5),
        "std": dict.fromkeys(METRIC_NAMES, 0.25),
        "trials": [dict.fromkeys(METRIC_NAMES, 0.25), dict.fromkeys(METRIC_NAMES, 0.75)],
        "cmc": [0.5, 0.75],
    }
    assert summarise(SINGLE, two_trials(), metric="euclidean")["metric"] == "euclidean"
    assert summarise(V2T, two_trials()[:1])["cmc_unit"] == "image"


def test_results_file_is_plain_json_of_fractions(tmp_path: Path):
    entries, source = {SINGLE.name: summarise(SINGLE, two_trials())}, {"run": None, "flip": False}
    path, neighbour = tmp_path / "results.json", tmp_path / "neighbour.txt"
    path.write_text("old")
    neighbour.touch()
    write_results(path, entries, source)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content == {"format": 1, "protocols": entries, "source": source}
    values = [*content["protocols"][SINGLE.name]["mean"].values()]
    assert all(type(value) is float and 0 <= value <= 1 for value in values)
    assert sorted(tmp_path.iterdir()) == [neighbour, path]


def test_results_file_has_the_usual_permissions(tmp_path: Path):
    path, neighbour = tmp_path / "results.json", tmp_path / "neighbour.txt"
    neighbour.touch()
    write_results(path, {}, {})
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(neighbour.stat().st_mode)


def test_results_that_are_not_numbers_leave_the_old_file_alone(tmp_path: Path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(path, {"regdb_v2t": {"mean": {"mAP": float("nan")}}}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
    assert path.read_text() == "old"


def test_table_shows_per_cent_with_the_spread_of_several_trials():
    several, one = summarise(SINGLE, two_trials()), summarise(V2T, two_trials()[:1])
    one["num_valid_query"] = one["num_query"]
    lines = results_table({SINGLE.name: several, V2T.name: one}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["protocol", *METRIC_NAMES, "queries", "gallery"]
    assert set("".join(cells[1])) == {"-"}
    assert cells[2] == [SINGLE.name, *["50.00 ± 25.00"] * 6, "7 of 8", "4"]
    assert cells[3] == [V2T.name, *["25.00"] * 6, "8", "4"]
    assert several["mean"]["mAP"] == 0.5  # fractions stay fractions
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    "score", ["0.5", True, None, float("nan"), float("inf"), 10**400, -0.1, 1.1, [0.5]]
)
def test_what_is_no_score_is_refused(tmp_path: Path, score: object):
    path = tmp_path / "results.json"
    write_results(path, {"p": {"mean": dict.fromkeys(METRIC_NAMES, 0.5)}}, {})
    content = json.loads(path.read_text())
    content["protocols"]["p"]["mean"]["mAP"] = score
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="scores that are not numbers from 0 to 1"):
        read_results(path)
