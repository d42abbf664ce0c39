"""Tables over several runs, and the command that trains all splits."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from tests.helpers import write_regdb
from vireid.cli import table, train
from vireid.runs.run_scores import find_runs

SCORES = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")


def write_run(
    folder: Path, mean_ap: float, *, names=("regdb_v2t",), metric="cosine", **more
) -> str:
    entry = {
        **more,
        "gallery_draw": "all",
        "metric": metric,
        "cmc_unit": "image",
        "num_query": 20,
        "num_gallery": 20,
        "mean": {**dict.fromkeys(SCORES, 0.5), "mAP": mean_ap},
    }
    folder.mkdir(parents=True)
    content = {"format": 1, "protocols": dict.fromkeys(names, entry), "source": {}}
    (folder / "results.json").write_text(json.dumps(content))
    return str(folder)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_runs_of_a_recipe_are_averaged_over_splits_and_seeds(tmp_path, capsys):
    values = {"split1/seed0": 0.2, "split2/seed0": 0.4, "split1/seed1": 0.6}
    runs = [write_run(tmp_path / "regdb" / name, value) for name, value in values.items()]
    runs += [write_run(tmp_path / "other/seed0", 0.25)]
    assert table.main(runs) == 0
    header, _, first, second = capsys.readouterr().out.strip().splitlines()
    assert cells(header) == ["recipe", "protocol", "runs", *SCORES]
    spread = (200 / 3 * 4) ** 0.5  # population: deviations of 20, 0 and 20 points
    assert cells(first)[:4] == ["regdb", "regdb_v2t", "3", "50.00 ± 0.00"]
    assert cells(first)[7] == f"40.00 ± {spread:.2f}"
    assert cells(second) == ["other", "regdb_v2t", "1", *["50.00"] * 4, "25.00", "50.00"]


def test_csv_and_latex_hold_the_same_numbers(tmp_path, capsys):
    runs = [write_run(tmp_path / f"a_b/seed{k}", 0.2 + 0.2 * k) for k in range(2)]
    assert table.main([*runs, "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["recipe"], row["runs"]) == ("a_b", "2")
    assert (float(row["mAP_mean"]), float(row["mAP_std"])) == (30.0, 10.0)
    assert table.main([*runs, "--format", "latex"]) == 0
    printed = capsys.readouterr().out
    assert r"a\_b & regdb\_v2t & 2" in printed and r"30.00 $\pm$ 10.00" in printed


def test_reranked_results_have_rows_of_their_own(tmp_path, capsys):
    names, constants = ("regdb_v2t", "regdb_v2t+rerank"), {"k1": 15, "k2": 5, "lambda": 0.3}
    runs = [write_run(tmp_path / f"a/seed{k}", 0.2 + 0.2 * k, names=names) for k in range(2)]
    other = write_run(tmp_path / "b/seed0", 0.9, names=names, rerank=constants)
    assert table.main([*runs, other]) == 0
    lines, *notes = capsys.readouterr().out.strip().split("\n\n")
    rows = [cells(line) for line in lines.splitlines()[2:]]
    expected = [("a", name, "2", "30.00 ± 10.00") for name in names]
    expected += [("b", name, "1", "90.00") for name in names]
    assert [(*row[:3], row[7]) for row in rows] == expected
    assert all(note.startswith("+rerank: after k-reciprocal") for note in notes)
    assert "(k1 = 20, k2 = 6, λ = 0.3)" in notes[0] and "transductive" in notes[0]
    assert "(k1 = 15, k2 = 5, λ = 0.3)" in notes[1]
    assert table.main([*runs, other, "--format", "latex"]) == 0
    assert "% Per cent" in (printed := capsys.readouterr().out) and notes[0] in printed
    write_run(tmp_path / "a/seed2", 0.9, names=names, rerank=constants)
    assert table.main([*runs, str(tmp_path / "a/seed2")]) == 3
    assert "re-ranking is after k-reciprocal re-ranking (k1 = 15" in capsys.readouterr().err


def test_a_recipe_of_any_name_is_one_cell(tmp_path, capsys):
    run = write_run(tmp_path / "50%, a&b|#1/seed0", 0.5)
    assert table.main([run, "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["recipe"], row["runs"]) == ("50%, a&b|#1", "1")
    assert table.main([run, "--format", "latex"]) == 0
    assert r"50\%, a\&b|\#1 & regdb\_v2t & 1 & 50.00" in capsys.readouterr().out
    assert table.main([run]) == 0
    assert r"| 50%, a&b\|#1 | regdb_v2t |" in capsys.readouterr().out


def test_recipes_of_one_name_in_two_places_stay_apart(tmp_path, capsys):
    runs = [write_run(tmp_path / part / "sysu/seed0", 0.5) for part in ("old", "new")]
    assert table.main(runs) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert [cells(line)[0] for line in lines[2:]] == [str(Path(run).parent) for run in runs]


def test_a_run_named_twice_counts_once(tmp_path, capsys):
    run = write_run(tmp_path / "a/seed0", 0.5)
    (tmp_path / "a/seed0/config.yaml").touch()
    (tmp_path / "a/seed1").mkdir()
    (tmp_path / "a/seed1/config.yaml").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert table.main([run, run + "/", *(str(tmp_path / name) for name in ("a", "", "link"))]) == 0
    out, err = capsys.readouterr()
    assert cells(out.strip().splitlines()[2])[2] == "1" and err.count("seed1") == 1
    folders = [tmp_path / "a", Path(run), tmp_path / "link/seed0"]
    assert find_runs(folders) == ([Path(run)], [tmp_path / "a/seed1"])  # as all tools see them


def test_runs_in_hidden_folders_are_no_results(tmp_path):
    """Deleted runs, and copies that notebooks keep; the folder itself may lie in a hidden one."""
    root = tmp_path / ".work"
    for path in ("a/seed0", ".Trash-1000/a/seed1", "a/.ipynb_checkpoints/seed2", "@eaDir/a/seed3"):
        write_run(root / path, 0.5)
        (root / path / "config.yaml").touch()
    assert find_runs([root]) == ([root / "a/seed0"], [])


def test_missing_or_unlike_results_name_the_run(tmp_path, capsys):
    whole = write_run(tmp_path / "a/seed0", 0.5, names=("regdb_v2t", "regdb_t2v"))
    part = write_run(tmp_path / "a/seed1", 0.5)
    other = write_run(tmp_path / "a/seed2", 0.5, metric="euclidean")
    (tmp_path / "a/seed3").mkdir()
    (tmp_path / "a/seed4").mkdir()
    (tmp_path / "a/seed4/results.json").write_text("{}")
    for runs, phrases in (
        ([whole, part], ["seed1", "no results of regdb_t2v"]),
        ([part, other], ["metric", "euclidean", "seed2", "cosine"]),
        ([part, str(tmp_path / "a/seed3")], ["seed3/results.json"]),
        ([part, str(tmp_path / "a/seed4")], ["seed4/results.json"]),
    ):
        assert table.main(runs) == 3
        error = capsys.readouterr().err
        assert all(phrase in error for phrase in phrases), error


def test_runs_of_other_corruptions_are_not_averaged(tmp_path, capsys):
    name = "regdb_v2t+corrupted"
    runs = [write_run(tmp_path / f"regdb/seed{seed}", 0.5, names=(name,)) for seed in (0, 1)]
    for seed, run in enumerate(runs):
        path = Path(run) / "results.json"
        content = json.loads(path.read_text())
        rule = {"side": "visible", "kinds": ["fog", "snow"], "severities": [3], "seed": seed}
        content["protocols"][name]["corruption"] = rule
        path.write_text(json.dumps(content))
    assert table.main(runs) == 3
    error = capsys.readouterr().err
    assert f"{name}: corruption is visible images corrupted, each by one of 2 kinds" in error
    assert "drawn by seed 1 and path" in error and "drawn by seed 0 and path" in error


def test_a_folder_above_runs_stands_for_all_of_them(tmp_path, capsys):
    for name, value in {"split1/seed0": 0.2, "split2/seed0": 0.4, "split10/seed0": 0.6}.items():
        run = write_run(tmp_path / "runs/regdb" / name, value)
        (Path(run) / "config.yaml").touch()
    alone = write_run(tmp_path / "other/seed0", 0.5)
    features = write_run(tmp_path / "runs/regdb/features", 0.9)  # scores of features: no run
    started = tmp_path / "runs/regdb/split3/seed0"
    started.mkdir(parents=True)
    (started / "config.yaml").touch()
    assert table.main([str(tmp_path / "runs"), alone]) == 0
    out, err = capsys.readouterr()
    first, second = out.strip().splitlines()[2:]
    assert cells(first)[:3] == ["regdb", "regdb_v2t", "3"] and cells(first)[7].startswith("40.00 ±")
    assert cells(second)[:3] == ["other", "regdb_v2t", "1"]
    assert err == f"left out, without results yet: {started}\n"
    assert table.main([features]) == 0 and table.main([str(started.parent)]) == 3
    assert "split3/results.json" in capsys.readouterr().err


@pytest.fixture(scope="module")
def tiny_regdb(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "regdb"
    first, second = [1, 2, 3, 4], [5, 6, 7, 8]
    return write_regdb(root, {1: (first, second), 2: (second, first)}, images=2)


def test_all_splits_are_trained_once_and_averaged(
    tiny_command, tiny_regdb, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(train, "TRIALS", 2)
    out = tmp_path / "regdb"
    extra = (f"DATA.ROOT={tiny_regdb}", "DATA.DATASET=regdb", "TEST.PROTOCOLS=[regdb]")
    command = [*tiny_command(out, *extra, "SOLVER.EPOCHS=1"), "--all-trials"]
    assert train.main(command) == 0
    lines = capsys.readouterr().out.strip().splitlines()[-2:]
    assert [cells(line)[:3] for line in lines] == [
        ["regdb", "regdb_v2t", "2"],
        ["regdb", "regdb_t2v", "2"],
    ]
    folders = [out / f"split{t}/seed0" for t in (1, 2)]
    before = [(folder / "results.json").stat().st_mtime_ns for folder in folders]
    shutil.rmtree(folders[1])
    assert train.main(command) == 0
    after = [(folder / "results.json").stat().st_mtime_ns for folder in folders]
    assert after[0] == before[0] and after[1] != before[1]
    assert train.main([*command, "SOLVER.BASE_LR", "1e-4"]) == 2
    assert "SOLVER.BASE_LR" in capsys.readouterr().err


def test_all_splits_of_a_set_that_has_one_are_refused(tiny_command, tmp_path, capsys):
    assert train.main([*tiny_command(tmp_path / "run"), "--all-trials"]) == 2
    assert "one split only" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
