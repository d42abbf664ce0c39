"""A user's own photos, from training to scores: names, few identities, test images only."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import SMALL
from tests.helpers import write_image, write_text
from tests.run_files import last, metrics
from vireid.cli import check_data, evaluate, extract, train, tsne, visualize
from vireid.evaluation.feature_files import read_features
from vireid.synthetic.writers import write_set

PEOPLE = {"anna", "ben", "carla", "david", "elif", "farid", "greta", "hugo", "ines"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Nine people before two visible and two infrared cameras; five train, four test."""
    root = tmp_path_factory.mktemp("own") / "my photos"
    write_set("folder", root, train_ids=5, test_ids=4, images_per_camera=1, size=(64, 32), seed=3)
    return root


@pytest.fixture(scope="module")
def command(tiny_command, photos):
    """Of a training on the photos that takes a second."""

    def made(folder: Path, *extra: str, cfg: str = "configs/folder.yaml") -> list[str]:
        options = (*SMALL, "SAMPLER.IDENTITIES=99", "DATA.TEST_SHARE=0.4", "TEST.PROTOCOLS=folder")
        words = tiny_command(folder, *options, f"DATA.ROOT={photos}", *extra)
        return ["--cfg", cfg, *words[2:]]

    return made


@pytest.fixture(scope="module")
def own_run(command, tmp_path_factory) -> Path:
    """A run of two epochs. Never write into it."""
    folder = tmp_path_factory.mktemp("runs") / "own"
    assert train.main(command(folder, r"DATA.CAMERA_PATTERN=^(cam\d)_")) == 0
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_writes_which_number_stands_for_whom(own_run):
    rows = table(own_run / "identities.csv")
    assert {row["identity"] for row in rows} == PEOPLE
    assert [row["pid"] for row in rows] == [str(n) for n in range(1, 10)]
    trained = {int(row["pid"]) for row in rows if row["split"] == "train"}
    assert trained == set(last(own_run)["pids"]) and len(trained) == 5
    cameras = {row["camera"]: row["camid"] for row in table(own_run / "cameras.csv")}
    assert cameras == {"cam1": "1", "cam3": "2", "cam4": "3", "cam6": "4"}


def test_a_run_scores_both_directions(own_run):
    protocols = json.loads((own_run / "results.json").read_text())["protocols"]
    assert {name: entry["num_query"] for name, entry in protocols.items()} == {
        "folder_v2i": 8,
        "folder_i2v": 8,
    }


def test_batches_have_as_many_identities_as_there_are_and_the_log_says_so(own_run):
    log = " ".join((own_run / "log.txt").read_text(encoding="utf-8").split())
    said = "SAMPLER.IDENTITIES 99: the training set has 5 identities, so that a batch has 5 "
    assert said in log


def test_a_stopped_and_a_straight_run_are_equal(command, own_run, tmp_path):
    pattern = r"DATA.CAMERA_PATTERN=^(cam\d)_"
    folder = tmp_path / "run"
    assert train.main(command(folder, pattern, "SOLVER.EPOCHS=1")) == 0
    assert train.main([*command(folder, pattern), "--resume"]) == 0
    assert metrics(folder) == metrics(own_run)
    for name in ("identities.csv", "cameras.csv"):
        assert (folder / name).read_text() == (own_run / name).read_text()


def test_validation_identities_choose_the_epoch(command, tmp_path):
    words = ("DATA.SPLIT=train", "SOLVER.VAL_EVERY=1", "SOLVER.SELECT=best", "SOLVER.EPOCHS=1")
    assert train.main(command(tmp_path / "run", *words)) == 0
    splits = [row["split"] for row in table(tmp_path / "run/identities.csv")]
    assert [splits.count(part) for part in ("train", "val", "test")] == [4, 1, 4]
    assert (tmp_path / "run/checkpoints/best.pth").is_file()


def test_too_few_identities_for_validation_are_named_before_training(command, tmp_path, capsys):
    words = ("DATA.SPLIT=train", "SOLVER.VAL_EVERY=1", "DATA.TEST_SHARE=0.6")
    assert train.main(command(tmp_path / "run", *words)) == 3
    assert "needs validation identities" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def tests_only(photos, tmp_path_factory) -> Path:
    """The same people under other names of the modalities, without anyone to train on."""
    root = tmp_path_factory.mktemp("own") / "only"
    for source, name in (("visible", "rgb"), ("infrared", "Thermal")):
        shutil.copytree(photos / source, root / "test" / name)
    return root


def csv_copy(root: Path) -> Path:
    """The same set as a CSV file with names."""
    lines = ["path,pid,camid,modality,split"]
    for path in sorted(root.glob("test/*/*/*.jpg")):
        _, modality, name, file = path.relative_to(root).parts
        lines.append(f"{path.relative_to(root)},{name},{file[:4]},{modality},test")
    write_text(root / "dataset.csv", "\n".join(lines))
    return root


@pytest.mark.parametrize("dataset", ["folder", "csv"])
def test_a_set_with_test_images_only_is_scored_and_not_trained(
    own_run, command, tests_only, tmp_path, capsys, caplog, dataset
):
    csv_copy(tests_only)
    data = ["--dataset", dataset, "--root", str(tests_only)]
    assert evaluate.main(["--run", str(own_run), *data, "--out", str(tmp_path / "r.json")]) == 0
    results = json.loads((tmp_path / "r.json").read_text())["protocols"]
    assert {name: entry["num_query"] for name, entry in results.items()} == {
        f"{dataset}_v2i": 18,
        f"{dataset}_i2v": 18,
    }
    assert "5 of the 9 scored identities have the names of identities that trained" in caplog.text
    assert check_data.main(data) == 0
    capsys.readouterr()
    words = command(tmp_path / "run", f"DATA.DATASET={dataset}", f"DATA.ROOT={tests_only}")
    assert train.main([*words, "DATA.CAMERA_PATTERN", ""]) == 3
    error = capsys.readouterr().err
    assert "holds test images only" in error and error.count("\n") == 1


def test_its_features_are_written_with_the_names_and_drawn(own_run, tests_only, tmp_path, capsys):
    out = tmp_path / "features.npz"
    words = ["--run", str(own_run), "--root", str(tests_only), "--out", str(out)]
    assert extract.main(words) == 0
    names = {
        int(row["pid"]): row["identity"] for row in table(tmp_path / "features_identities.csv")
    }
    found = read_features(out)
    assert [names[pid] for pid in found.pids] == [path.split("/")[2] for path in found.paths]
    run = shutil.copytree(own_run, tmp_path / "run")
    figure = str(tmp_path / "f.png")
    assert tsne.main(["--run", str(run), "--out", figure, "DATA.ROOT", str(tests_only)]) == 0
    words = ["ranks", "--run", str(run), "--out", figure, "DATA.ROOT", str(tests_only)]
    assert visualize.main([*words, "--queries", "hugo"]) == 0
    assert "Thermal/hugo" not in (said := capsys.readouterr().out)
    assert said.count("(identity hugo, camera cam") == 2


def test_an_identity_that_trained_is_not_scored_after_its_folder_changed(
    photos, own_run, tmp_path, capsys
):
    words = ["--run", str(own_run), "--out", str(tmp_path / "r.json"), "DATA.TEST_SHARE", "1"]
    new = write_image(photos / "visible/zoe/cam1_01.jpg")
    try:
        assert evaluate.main(words) == 3
    finally:
        shutil.rmtree(new.parent)
    assert f"{photos} changed since" in capsys.readouterr().err


def test_one_identity_is_too_few_to_train(command, tmp_path, capsys):
    for place in ("train/rgb/a", "train/ir/a", "test/rgb/b", "test/ir/b"):
        write_image(tmp_path / "photos" / place / "1.jpg")
    assert train.main(command(tmp_path / "run", f"DATA.ROOT={tmp_path / 'photos'}")) == 3
    assert "one training identity" in capsys.readouterr().err
