"""What a training prints: rows of a table, the time left, warnings at its start."""

import re

import pytest

from tests.conftest import SMALL
from tests.helpers import log_of
from tests.run_files import metrics
from vireid.cli import train
from vireid.engine.selection import warn_of_few_identities
from vireid.runs.console import EpochTable, TimeLeft, score_lines, wrapped
from vireid.structures import ImageRecord, Modality

ROW = {"epoch": 7, "lr": 3.5e-4, "loss": 9.87654, "loss_identity": 5.4321, "accuracy": 0.4567}


def cells(line: str) -> list[str]:
    return line.removeprefix("epoch").split()


@pytest.mark.parametrize(
    ("epochs", "loss", "speed", "left"),
    [(1000, 123456.7, 99_999, 86_399), (120, 12.3456, 812, 59), (9, 999.996, 1e6, 9e7)],
)
def test_the_widest_row_fits_into_eighty_columns(epochs, loss, speed, left):
    row = ROW | {"epoch": epochs, "loss": loss, "loss_identity": loss, "loss_triplet": loss}
    row |= {"accuracy": 1.0, "val_v2i_mAP": 1.0, "val_v2i_rank1": 1.0}
    table = EpochTable(epochs, ["identity", "triplet"], validates=True)
    blank, head, line = table.lines(row, speed=speed, left=left)
    assert blank == "" and len(head) == len(line) <= 80
    titles = ["loss", "identity", "triplet", "acc", "lr", "img/s", "left", "val", "mAP", "rank-1"]
    assert head.split() == titles
    assert len(cells(line)) == 1 + 9


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf"), 1e120])
def test_any_loss_makes_a_row(loss):
    row = ROW | {"loss": loss, "loss_identity": loss}
    line = EpochTable(120, ["identity"], validates=False).lines(row, speed=812, left=59)[-1]
    assert [float(cell) for cell in cells(line)[1:3]] == pytest.approx([loss] * 2, nan_ok=True)
    assert len(line) <= 80


def test_a_row_shows_the_epochs_numbers():
    row = ROW | {"loss_triplet": 0.321, "val_v2i_mAP": 0.4, "val_i2v_mAP": 0.5}
    row |= {"val_v2i_rank1": 0.3, "val_i2v_rank1": 0.6}
    table = EpochTable(120, ["identity", "triplet"], validates=True)
    line = table.lines(row, speed=811.6, left=3725)[-1]
    shown = ["7/120", "9.877", "5.432", "0.321", "45.7%", "3.5e-4", "812", "1h02m"]
    assert cells(line) == [*shown, "45.0%", "45.0%"]
    assert cells(table.lines(ROW | {"loss_triplet": 1}, speed=1, left=0)[-1])[-3:] == [
        "0s",
        "-",
        "-",
    ]


@pytest.mark.parametrize(
    ("terms", "titles"),
    [
        (["identity"], "loss identity acc"),
        (["identity", "weighted_triplet", "part_triplet"], "loss identity triplet acc"),
        (["identity", "distill_kl"], "loss identity distill acc"),
        (["triplet", "distill_kl"], "loss triplet acc"),
        (["hetero_center"], "loss triplet acc"),
        (["center_cluster", "mmd"], "loss centre acc"),
    ],
)
def test_columns_follow_the_criterion(terms, titles):
    row = ROW | {f"loss_{name}": 1.0 for name in terms}
    head = EpochTable(120, terms, validates=False).lines(row, speed=1, left=0)[1]
    assert head.split() == [*titles.split(), "lr", "img/s", "left"]


def test_the_head_comes_again_every_twenty_epochs():
    table = EpochTable(50, ["identity"], validates=False)
    counts = [len(table.lines(ROW | {"epoch": e}, speed=1, left=0)) for e in range(1, 42)]
    assert [n for n, count in enumerate(counts) if count > 1] == [0, 20, 40]


def test_time_left_counts_epochs_and_validations():
    seconds = iter([0, 10, 25, 35, 50])
    left = TimeLeft(10, 2, clock=lambda: next(seconds))
    assert left.end_epoch(1) == 9 * 10  # validation was not seen yet
    assert left.end_epoch(2, validation=5) == 8 * 10 + 4 * 5
    assert left.end_epoch(3) == 7 * 10 + 4 * 5
    assert left.end_epoch(10, validation=5) == 0


def test_time_left_of_an_epoch_that_was_resumed_in_its_middle():
    seconds = iter([0, 4])
    assert TimeLeft(3, 0, clock=lambda: next(seconds)).end_epoch(1, share=0.5) == 2 * 8


def test_long_lines_break_at_blanks_and_commands_stay_whole():
    text = "word " * 40 + "\n  " + "--flag " * 40 + "\n" + "/path" * 40
    broken = wrapped(text, 100).split("\n")
    assert [len(line) > 100 for line in broken] == [False, False, False, True, True]
    assert wrapped("title     " + "word " * 30, 50, 10).split("\n")[1].startswith(" " * 10 + "word")


def test_scores_fit_into_eighty_columns():
    metrics = {"rank1": 1.0, "rank5": 1.0, "rank10": 1.0, "rank20": 1.0, "mAP": 0.5, "mINP": 0.25}
    entry = {"mean": metrics, "std": metrics, "trials": [metrics] * 10}
    lines = score_lines({"sysu_indoor_single+corrupted": entry}, 1000)
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[-2:] == ["50.00", "25.00"]


def test_a_training_prints_what_metrics_csv_holds(finished_run):
    text = (finished_run / "log.txt").read_text()
    assert all(len(line) <= 100 for line in text.splitlines() if "/" not in line)
    rows = [cells(line) for line in text.splitlines() if re.match(r"epoch +\d+/2 ", line)]
    for shown, row in zip(rows, metrics(finished_run), strict=True):
        assert shown[1:4] == [
            f"{float(row[name]):.3f}" for name in ("loss", "loss_identity", "loss_triplet")
        ]
        assert shown[4] == f"{100 * float(row['accuracy']):.1f}%"


def test_figures_that_fail_do_not_fail_a_training(tiny_command, tmp_path, monkeypatch, capfd):
    """Its other output is that of --verbose, without a bar: there is no terminal."""

    def draw(folder):
        raise RuntimeError("no font")

    monkeypatch.setattr(train, "draw_run", draw)
    command = tiny_command(tmp_path / "run", *SMALL, "SOLVER.EPOCHS=1")
    assert train.main([*command, "--verbose"]) == 0
    assert (tmp_path / "run/results.json").is_file()
    assert "warning no figures (RuntimeError: no font)" in log_of(tmp_path / "run")
    (row,) = metrics(tmp_path / "run")
    terms = {name: float(row[name]) for name in row if name.startswith("loss_")}
    for name, value in terms.items():
        assert f"{name.removeprefix('loss_')} {value:.4f}" in log_of(tmp_path / "run")
    assert "%|" not in capfd.readouterr().err


@pytest.mark.parametrize(("pids", "error"), [(1, "50"), (4, "25"), (24, "10"), (25, ""), (99, "")])
def test_few_validation_identities_are_warned_of(pids, error, caplog):
    records = [ImageRecord("a.jpg", pid, 1, m) for pid in range(pids) for m in Modality]
    records.append(ImageRecord("b.jpg", 1000, 1, Modality.VISIBLE))  # no query finds a match
    warn_of_few_identities("last", records)
    assert not caplog.records
    warn_of_few_identities("best", records)
    text = caplog.text
    assert (
        (f"up to {error} points" in text and f" {pids} validation" in text) if error else not text
    )
