"""The page of a sweep: its tables, the state of its runs, and folders that are no sweep."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.reports.pages import made
from vireid.cli import report

SWEEP = """BASE: nowhere.yaml
GRID:
  MODEL.SDM.ENABLED:
    + none: false
    + SDM & <b>: true
SEEDS: [0, 1]
"""
RANKS = {"+_none/seed0": 0.5, "+_none/seed1": 0.52, "+_SDM_b/seed0": 0.58}


@pytest.fixture
def sweep(finished_run, tmp_path, monkeypatch) -> Path:
    """Three of four runs, and a copy of the sweep's file, whose base is not here."""
    monkeypatch.setattr("vireid.reports.html.figures_of", lambda *_: [])
    folder = tmp_path / "sweep"
    for name, rank1 in RANKS.items():
        run = shutil.copytree(finished_run, folder / name)
        results = json.loads((run / "results.json").read_text())
        results["protocols"]["sysu_all_single"]["mean"]["rank1"] = rank1
        (run / "results.json").write_text(json.dumps(results))
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


def test_cells_are_compared_and_runs_folded(sweep, tmp_path, capsys):
    begun = sweep / "+_SDM_b/seed1"
    begun.mkdir()
    shutil.copy(sweep / "+_none/seed0/config.yaml", begun)
    (sweep / "sweep.csv").write_text("cell,parameters,macs\n+ none,2000000,3000000\n")
    found = made(tmp_path / "report.html", sweep)
    assert "a sweep, 3 of 4 runs" in capsys.readouterr().out
    texts = [row[:5] for row in found.rows]
    assert ["+ none", "2", "2.00", "3.0", "51.00 ± 1.00"] in texts
    assert ["+ SDM & <b>", "1", "–", "–", "58.00"] in texts
    assert ["+ SDM & <b>", "1", "+8.00"] in [row[:3] for row in found.rows]  # seed 0 alone
    assert ["+ none", "✓ finished", "✓ finished"] in found.rows
    assert ["+ SDM & <b>", "✓ finished", "✗ not finished"] in found.rows
    assert "3 finished, 1 not finished" in found.text
    assert {"scores", "states", "runs", "run-1", "run-2", "run-3"} < found.ids
    assert found.links.count("#run-3") == 1
    assert found.tags.count("img") == 2  # the sweep's figure and the CMC curves of both cells
    assert "highest rank-1 of 2" in found.text and "+ none, 2 runs, the baseline" in found.text


def test_a_folder_whose_file_is_unknown_is_a_page_of_runs(sweep, tmp_path, capsys):
    (sweep / "sweep.yaml").rename(tmp_path / "own.yaml")
    assert "states" not in made(tmp_path / "report.html", sweep).ids
    named = made(tmp_path / "report.html", sweep, options=("--sweep", str(tmp_path / "own.yaml")))
    assert ["+ SDM & <b>", "✓ finished", "✗ missing"] in named.rows
    other = tmp_path / "other"
    (sweep / "+_none").rename(other)
    for words, code, phrase in (
        ([other, "--sweep", tmp_path / "own.yaml"], 2, "holds none of its runs"),
        ([sweep, other, "--sweep", tmp_path / "own.yaml"], 2, "goes with one folder"),
        ([sweep, "--sweep", tmp_path / "gone.yaml"], 2, "gone.yaml"),
    ):
        assert report.main([*map(str, words), "--out", str(tmp_path / "report.html")]) == code
        assert phrase in capsys.readouterr().err


def test_a_sweep_without_a_finished_run_has_no_page(sweep, tmp_path, capsys):
    for results in sweep.rglob("results.json"):
        results.unlink()
    assert report.main([str(sweep), "--out", str(tmp_path / "report.html")]) == 3
    assert "no run of this sweep is finished yet" in capsys.readouterr().err
    shutil.copytree(sweep, tmp_path / "damaged")
    (tmp_path / "damaged/+_none/seed0/results.json").write_text("{")
    assert report.main([str(tmp_path / "damaged"), "--out", str(tmp_path / "report.html")]) == 3
    assert "+_none/seed0/results.json holds no results" in capsys.readouterr().err
