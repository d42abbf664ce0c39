"""A sweep from its file to its tables; most of it with runs that only pretend to train."""

import csv
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import TINY
from vireid.cli import sweep

DEPTHS = {"MODEL.SHARED_DEPTH": [1, 3]}


def depth(k: int, seed: int) -> str:
    return f"out/MODEL.SHARED_DEPTH={k}/seed{seed}"


def calls(folder: Path) -> list[str]:
    return (folder / "calls.txt").read_text().splitlines()


def test_a_sweep_trains_every_run_and_writes_tables(fake, write, tmp_path, capsys):
    command = write(DEPTHS, SEEDS=[0, 2], SET={"SOLVER.EPOCHS": 2})
    assert sweep.main(command) == 0
    printed = capsys.readouterr().out
    assert "2 cells × 2 seeds = 4 runs" in printed
    assert "MODEL.SHARED_DEPTH=3/seed2 finished" in printed and "3 of 4 finished" in printed
    assert "| **32.00 ± 2.00** " in printed  # 30 and 34: the population deviates by 2
    assert "| +20.00 ± 0.00 " in printed  # 20 points more with either seed
    for k in (1, 3):
        for seed in (0, 2):
            saved = yaml.safe_load((tmp_path / depth(k, seed) / "config.yaml").read_text())
            assert (saved["MODEL"]["SHARED_DEPTH"], saved["SEED"]) == (k, seed)
            assert saved["SOLVER"]["EPOCHS"] == 2 and saved["DEVICE"] == "cpu"
    with (tmp_path / "out/sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 6
    (row,) = [r for r in rows if (r["cell"][-1], r["seed"], r["metric"]) == ("3", "2", "rank1")]
    assert row["MODEL.SHARED_DEPTH"] == "3" and row["trial"] == ""
    assert row["protocol"] == "sysu_all_single" and float(row["value"]) == pytest.approx(0.34)
    names = {"table.md", "table.csv", "differences.csv", "table.tex", "sweep.png", "sweep.csv"}
    names |= {"sweep.yaml"}  # what a report reads
    assert names <= {path.name for path in (tmp_path / "out").iterdir()}


def test_called_again_it_trains_new_seeds_and_nothing_else(fake, write, tmp_path, capsys):
    assert sweep.main(write(DEPTHS, SEEDS=[0])) == 0
    assert sweep.main(write(DEPTHS, SEEDS=[0, 1])) == 0
    assert calls(tmp_path / depth(1, 0)) == calls(tmp_path / depth(1, 1)) == [""]
    capsys.readouterr()
    assert sweep.main(write(DEPTHS, SEEDS=[0, 1])) == 0
    assert "all runs are finished: nothing to train" in capsys.readouterr().out
    assert calls(tmp_path / depth(1, 0)) == [""]


def test_a_folder_with_another_configuration_is_refused_by_its_keys(fake, write, tmp_path, capsys):
    command = write(DEPTHS, SEEDS=[0])
    assert sweep.main(command) == 0
    before = (tmp_path / depth(1, 0) / "config.yaml").read_text()
    (tmp_path / depth(3, 0) / "results.json").unlink()  # an interrupted one is refused as well
    (tmp_path / depth(3, 0) / "checkpoints/last.pth").touch()
    for more in (["SOLVER.EPOCHS", "7"], ["SOLVER.EPOCHS", "7", "INPUT.FLIP", "0", "--dry-run"]):
        assert sweep.main([*command, *more]) == 2
        error = capsys.readouterr().err
        assert error.count("SOLVER.EPOCHS") == 2 and ("INPUT.FLIP" in error) == (len(more) > 2)
        assert depth(1, 0) in error and depth(3, 0) in error and "OUTPUT_DIR" in error
    assert (tmp_path / depth(1, 0) / "config.yaml").read_text() == before
    other = ["SOLVER.EPOCHS", "7", "OUTPUT_DIR", str(tmp_path / "other")]
    assert sweep.main([*command, *other]) == 0
    assert (tmp_path / "other/MODEL.SHARED_DEPTH=1/seed0/results.json").is_file()
    assert sweep.main([*command, "DATA.WORKERS", "1"]) == 0  # changes no result


def test_a_checkpoint_of_unknown_origin_is_refused(fake, write, tmp_path, capsys):
    (tmp_path / depth(1, 0) / "checkpoints").mkdir(parents=True)
    (tmp_path / depth(1, 0) / "checkpoints/last.pth").touch()
    assert sweep.main(write(DEPTHS)) == 2
    error = capsys.readouterr().err
    assert "last.pth" in error and "config.yaml" in error


def test_interrupted_runs_are_resumed_and_others_start_again(fake, write, tmp_path, capsys):
    command = write(DEPTHS, SEEDS=[0, 1], SET={"SOLVER.EPOCHS": 4})
    assert sweep.main(command) == 0
    saved, unsaved = tmp_path / depth(1, 1), tmp_path / depth(3, 1)
    for folder in (saved, unsaved):
        (folder / "results.json").unlink()
    (saved / "checkpoints/last.pth").touch()
    capsys.readouterr()
    assert sweep.main([*command, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "2 finished, 1 to continue, 1 to start again\n" in printed
    assert sweep.main(command) == 0
    assert calls(saved) == ["", "--resume"] and calls(unsaved) == ["", "--overwrite"]
    assert len(calls(tmp_path / depth(1, 0))) == 1


def test_a_damaged_checkpoint_stays_so_until_its_folder_goes(fake, write, tmp_path, capsys):
    command = write(DEPTHS)
    assert sweep.main(command) == 0
    broken = tmp_path / depth(3, 0)
    (broken / "results.json").unlink()
    (broken / "checkpoints/last.pth").write_text("damaged")
    capsys.readouterr()
    assert sweep.main(command) == 1
    assert f"to train it from its start, delete {broken}" in capsys.readouterr().err
    shutil.rmtree(broken)
    assert sweep.main(command) == 0


def test_damaged_results_are_named(fake, write, tmp_path, capsys):
    command = write(DEPTHS)
    assert sweep.main(command) == 0
    (tmp_path / depth(3, 0) / "results.json").write_text("{")
    capsys.readouterr()
    assert sweep.main(command) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{depth(3, 0)}/results.json" in error


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failed_cell_is_listed_and_the_others_go_on(fake, write, tmp_path, capsys, jobs):
    command = write({"LOSS.TRIPLET.MARGIN": [0.9, 0.3]}, SEEDS=[0, 1])
    assert sweep.main([*command, "--jobs", str(jobs)]) == 1
    captured = capsys.readouterr()
    failed = [line for line in captured.err.splitlines() if "exit code 5" in line]
    assert len(failed) == 2 and all("LOSS.TRIPLET.MARGIN=0.9/seed" in line for line in failed)
    assert all("error: the loss is not finite" in line for line in failed)
    assert all("output.txt" in line for line in failed)
    assert "2 of 4 runs failed, 2 are finished" in captured.err
    assert "| 0.9 " in captured.out  # but no score of it
    assert "| 0    | 2.50       | 1,234.0  | – " in captured.out
    assert (tmp_path / "out/LOSS.TRIPLET.MARGIN=0.3/seed1/results.json").is_file()
    log = (tmp_path / "out/LOSS.TRIPLET.MARGIN=0.9/seed0/output.txt").read_text()
    assert "in step 3" in log


def test_dry_run_lists_the_runs_and_writes_nothing(fake, write, tmp_path, capsys):
    command = write(DEPTHS, SEEDS=[0, 1])
    assert sweep.main([*command, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    for k in (1, 3):
        for seed in (0, 1):
            assert f"to run         MODEL.SHARED_DEPTH={k}/seed{seed}\n" in printed
    assert printed.endswith("4 to run\n")
    assert not (tmp_path / "out").exists()


def test_all_problems_of_all_configurations_come_at_once(fake, write, tmp_path, capsys):
    grid = {"MODEL.SHARED_DEPTH": [3, 7], "MODEL.POOL": ["gem", "gme"]}
    command = write(grid, SEEDS=[0, -1], SET={"SOLVER.EPOCHS": 0})
    assert sweep.main(command) == 2
    lines = capsys.readouterr().err.split("\n  - ")[1:]
    assert len(lines) == 4
    for phrases in (
        ["SOLVER.EPOCHS must be greater than 0, got 0"],
        ["SHARED_DEPTH", "got 7", "(MODEL.SHARED_DEPTH=7,MODEL.POOL=gem, and 1 more)"],
        ["'gme' is unknown", "(MODEL.SHARED_DEPTH=3,MODEL.POOL=gme"],
        ["SEED must be", "got -1"],
    ):
        assert any(all(phrase in line for phrase in phrases) for line in lines), phrases
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "phrase"),
    [
        (["MODEL.SHARED_DEPTH", "3"], "MODEL.SHARED_DEPTH on the command line"),
        (["SEED", "3"], "SEEDS"),
        (["SOLVER.EPOCHS"], "has no value"),
        (["SOLVR.EPOCHS", "3"], "SOLVER.EPOCHS"),
        (["--partition", "gpu"], "partition=gpu is an option of sbatch: add --executor slurm"),
    ],
)
def test_overrides_that_cannot_be(fake, write, capsys, more, phrase):
    assert sweep.main([*write(DEPTHS), *more]) == 2
    assert phrase in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "phrase"),
    [
        (["--jobs", "0"], "must be a whole number from 1"),
        (["--jobs", "2", "--executor", "slurm"], "Slurm decides"),
    ],
)
def test_number_of_jobs_is_checked(fake, write, capsys, more, phrase):
    with pytest.raises(SystemExit, match="2"):
        sweep.main([*write(DEPTHS), *more])
    assert phrase in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_runs_save_and_says_how_to_continue(
    fake, write, tmp_path, capsys, number
):
    command = write(DEPTHS, SEEDS=[0, 1], SET={"SOLVER.EPOCHS": 999})
    working = [tmp_path / depth(k, 0) for k in (1, 3)]

    def stop_when_ready():
        limit = time.monotonic() + 60
        while time.monotonic() < limit and not all((f / "ready").exists() for f in working):
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=stop_when_ready)
    thread.start()
    assert sweep.main([*command, "--jobs", "2"]) == 128 + number
    thread.join()
    captured = capsys.readouterr()
    for folder in working:
        assert (folder / "signals.txt").read_text() == str(int(number))  # once, not twice
        assert (folder / "checkpoints/last.pth").is_file()
    assert captured.out.count("stopped after") == 2
    assert "0 of 4 runs are finished" in captured.err and "--jobs 2" in captured.err
    assert not (tmp_path / depth(1, 1)).exists()  # nothing new was started


def test_splits_become_folders_and_pairs(fake, write, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "require_trials", lambda runs, **options: None)
    assert sweep.main(write(DEPTHS, SEEDS=[0, 1], TRIALS=[2, 5])) == 0
    printed = capsys.readouterr().out
    assert "2 cells × 2 seeds × 2 splits = 8 runs" in printed
    assert "paired by seed and split" in printed
    folder = tmp_path / "out/MODEL.SHARED_DEPTH=3/split5/seed1"
    assert yaml.safe_load((folder / "config.yaml").read_text())["DATA"]["TRIAL"] == 5


def test_splits_of_a_set_that_has_one_are_refused(write, tiny_sysu, tmp_path, capsys):
    command = write(DEPTHS, TRIALS=[1, 2], SET={"DATA.ROOT": str(tiny_sysu)})
    for more in ([], ["--dry-run"]):
        assert sweep.main([*command, *more]) == 2
        captured = capsys.readouterr()
        assert "one split only" in captured.err and "runs in" not in captured.out
    assert not (tmp_path / "out").exists()


def test_splits_of_data_that_are_not_there_are_listed(write, tmp_path, capsys):
    command = write(DEPTHS, TRIALS=[1, 2], SET={"DATA.ROOT": str(tmp_path / "no")})
    assert sweep.main([*command, "--dry-run"]) == 0
    assert "4 to run" in capsys.readouterr().out
    assert sweep.main(command) == 3


@pytest.mark.slow
def test_real_runs_are_trained_resumed_and_checked_for_their_data(
    write, tiny_sysu, finished_run, tmp_path, capsys
):
    options = dict(item.split("=", 1) for item in TINY)
    fixed = {key: yaml.safe_load(value) for key, value in options.items()}
    command = write({"MODEL.SHARED_DEPTH": [3, 5]}, SET=fixed | {"DATA.ROOT": str(tiny_sysu)})
    interrupted = shutil.copytree(finished_run, tmp_path / depth(3, 0))
    (interrupted / "results.json").unlink()
    command = command[:2]  # finished_run has no DEVICE of its own
    assert sweep.main(command) == 0
    assert "MODEL.SHARED_DEPTH=3/seed0 continues" in capsys.readouterr().out
    assert "continuing" in (interrupted / "log.txt").read_text()
    started = (tmp_path / depth(5, 0) / "command.txt").read_text()
    assert " && vireid train --cfg " in started and "MODEL.SHARED_DEPTH 5" in started
    assert (tmp_path / depth(5, 0) / "results.json").is_file()

    moved = shutil.copytree(tiny_sysu, tmp_path / "moved")
    assert sweep.main([*command, "DATA.ROOT", str(moved)]) == 0  # the same images elsewhere
    next((moved / "cam1").rglob("*.jpg")).unlink()
    capsys.readouterr()
    assert sweep.main([*command, "DATA.ROOT", str(moved)]) == 2
    assert "does not hold" in capsys.readouterr().err
