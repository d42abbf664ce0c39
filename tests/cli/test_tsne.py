"""The tool's files, and one clear line for each mistake."""

import csv
import shutil
from pathlib import Path

import pytest

from vireid.cli import tsne
from vireid.cli.sources import titles_of
from vireid.errors import UsageError
from vireid.evaluation.feature_files import read_features, write_features


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_run_and_a_file_side_by_side_show_the_same_images(
    finished_run, features, tmp_path, capsys
):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    early = ["TEST.EXIT", "shallow1"]
    out = ["--out", str(tmp_path / "a.svg"), "--images", "2", "--ids", "3"]
    arguments = ["--run", str(run), "--compare", str(features), *early, *out]
    assert tsne.main([*arguments, "--titles", "first exit", "deep"]) == 0
    rows = rows_of(tmp_path / "a.csv")
    panels = [[row for row in rows if row["panel"] == name] for name in ("first exit", "deep")]
    assert len(rows) == 2 * 3 * 2 * 2
    for one, two in zip(*panels, strict=True):
        assert one["path"] == two["path"] and one["pid"] == two["pid"]
        assert (one["x"], one["y"]) != (two["x"], two["y"])
    assert "3 identities, 12 images" in capsys.readouterr().out
    assert (run / "features_exit-shallow1.npz").is_file()
    text = (tmp_path / "a.svg").read_text()
    assert text.count("<!-- deep -->") == text.count("<!-- first exit -->") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "phrase"),
    [
        (["--ids", "5"], 2, "choose 2 to 4"),
        (["--images", "-1"], 2, "--images -1"),
        (["--perplexity", "1000"], 2, "--perplexity 1000"),
        (["--titles", "a", "b"], 2, "1 different ones are needed"),
        (["--compare", "nowhere.npz"], 3, "nowhere.npz do not exist"),
        (["--compare", "tests"], 4, "tests is neither a run folder"),
        (["TEST.FLIP", "true"], 2, "TEST.FLIP true goes with run folders"),
        (["--split", "train"], 2, "--split train goes with run folders"),
        (["--out", "tsne.gif"], 2, ".png, .jpg, .pdf, .svg"),
        (["--out", "nowhere/tsne.png"], 2, "nowhere"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_file(
    features, tmp_path, capsys, arguments, code, phrase
):
    out = ["--out", str(tmp_path / "a.png")]
    assert tsne.main(["--features", str(features), *out, *arguments]) == code
    message = capsys.readouterr().err
    assert phrase in message and message.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_and_a_file_of_one_name_have_two_titles():
    assert titles_of([Path("a/x"), Path("a/x.npz")], []) == ["x", "x.npz"]
    assert titles_of([Path("a/x.npz"), Path("b/x.npz")], []) == ["a", "b"]
    assert titles_of([Path("a/seed0"), Path("b/seed0")], []) == ["a", "b"]
    assert titles_of([Path("a_b"), Path("c")], ["x_y", "a/seed0"]) == ["x_y", "a/seed0"]
    with pytest.raises(UsageError, match="one of these is named twice"):
        titles_of([Path("a/x"), Path("a/../a/x")], [])


@pytest.mark.parametrize("seed", ["-1", "4294967296", "x"])
def test_seeds_that_no_generator_takes_are_refused(features, tmp_path, capsys, seed):
    out = ["--out", str(tmp_path / "a.png")]
    with pytest.raises(SystemExit, match="2"):
        tsne.main(["--features", str(features), *out, "--seed", seed])
    assert "--seed: must be a whole number from 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "code", "phrase"),
    [
        (["--run", "runs/nothere"], 4, "no run folder runs/nothere"),
        (["--features", "ONE"], 3, "1 identities"),
    ],
)
def test_sources_without_a_plot_are_one_line(features, tmp_path, capsys, source, code, phrase):
    whole = read_features(features)
    write_features(tmp_path / "one.npz", whole.subset(whole.pids == whole.pids[0]))
    words = [str(tmp_path / "one.npz") if word == "ONE" else word for word in source]
    assert tsne.main([*words, "--out", str(tmp_path / "a.png")]) == code
    message = capsys.readouterr().err
    assert phrase in message and message.count("\n") == 1


def test_coordinates_replace_coordinates_and_nothing_else(features, tmp_path, capsys):
    arguments = ["--features", str(features), "--method", "pca", "--out"]
    (tmp_path / "metrics.csv").write_text("epoch,loss\n1,2\n")
    assert tsne.main([*arguments, str(tmp_path / "metrics.png")]) == 2
    assert "metrics.csv holds something else" in capsys.readouterr().err
    assert (tmp_path / "metrics.csv").read_text() == "epoch,loss\n1,2\n"
    written = []
    for _ in range(2):
        assert tsne.main([*arguments, str(tmp_path / "a.png")]) == 0
        written.append([(tmp_path / name).read_bytes() for name in ("a.png", "a.csv")])
    assert written[0] == written[1]
