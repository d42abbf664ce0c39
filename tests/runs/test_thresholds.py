"""Thresholds of a run: measured on identities held out from training, written, found again."""

import json
import shutil

import numpy as np
import pytest

from tests.conftest import SMALL
from vireid.cli import export, search, train
from vireid.deploy import Extractor
from vireid.errors import DataError
from vireid.reports.run_files import read_run
from vireid.reports.thresholds import threshold_table, threshold_tables
from vireid.runs.logs import start_log
from vireid.runs.thresholds import (
    THRESHOLDS,
    ExpectedRates,
    describe_entry,
    expected_rates,
    measure_thresholds,
    read_thresholds,
    threshold_protocols,
    threshold_rows,
)
from vireid.structures import FeatureSet, Modality

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED


@pytest.fixture(scope="module")
def measured(tiny_command, tmp_path_factory):
    """A run with two validation identities and its thresholds. Never write into it."""
    folder = tmp_path_factory.mktemp("thresholds") / "run"
    assert train.main(tiny_command(folder, *SMALL, "SOLVER.EPOCHS=1", "DATA.SPLIT=train")) == 0
    start_log(None)
    assert search.main(["threshold", "--run", str(folder), "--far", "0.3", "--top", "2"]) == 0
    return folder


@pytest.fixture
def copied(measured, tmp_path):
    return shutil.copytree(measured, tmp_path / "run")


def test_scores_are_those_that_search_prints(measured):
    content, extractor = read_thresholds(measured / THRESHOLDS), Extractor(measured)
    assert content["fingerprint"] == extractor.fingerprint and content["split"] == "val"
    held = np.load(measured / "features_val.npz")
    from vireid.runs.options import run_config

    root = run_config(measured).DATA.ROOT
    found = {}
    for modality in Modality:
        rows = np.flatnonzero(held["modality"] == modality)
        images = [f"{root}/{path}" for path in held["paths"][rows]]
        found[modality] = extractor(images, modality.name.lower()), held["pids"][rows]
    (visible, one), (infrared, two) = found[VISIBLE], found[INFRARED]
    scores, same = visible @ infrared.T, one[:, None] == two
    entry = content["protocols"]["val_v2i"]
    assert (entry["identities"], entry["queries"], entry["gallery"]) == (2, 12, 8)
    assert (entry["genuine_pairs"], entry["impostor_pairs"]) == (same.sum(), (~same).sum())
    assert entry["highest_score"] == pytest.approx(scores.max(), abs=2e-5)
    assert entry["lowest_score"] == pytest.approx(scores.min(), abs=2e-5)
    point = next(point for point in entry["points"] if point["far"] == 0.3)
    assert point["measurable"] and entry["first"] == 2
    count = (scores[~same] >= point["threshold"] - 1e-6).sum()
    assert abs(count - point["false_accept"] * (~same).sum()) <= 1
    assert point["false_accept"] <= 0.3


def test_the_tool_prints_a_table_for_each_protocol(measured, copied, capsys):
    words = ["threshold", "--run", str(copied), "--far", "0.3", "--json", str(copied / "x.json")]
    assert search.main([*words, "--min-score", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "val_v2i: visible queries, infrared gallery; 2 identities, 12 × 8 images: 48" in out
    assert "not measurable from 48 impostor pairs: FAR 10 %, 1 %, 0.1 %" in out
    score = next(
        point["threshold"]
        for point in read_thresholds(copied / "x.json")["protocols"]["val_i2v"]["points"]
        if point["far"] == 0.3
    )
    assert f"for a FAR of at most 30 %: query --min-score {score:.5f}" in out
    assert "| –           | 0.50000 " in out
    assert (copied / "x.json").read_text() == (copied / THRESHOLDS).read_text()
    assert search.main(["threshold", "--run", str(copied), "--query-modality", "nir"]) == 0
    out = capsys.readouterr().out
    assert "val_i2v: infrared" in out and "val_v2i" not in out
    assert set(read_thresholds(copied / THRESHOLDS)["protocols"]) == {"val_v2i", "val_i2v"}


def test_test_identities_do_not_replace_validation_identities(copied, capsys):
    before = (copied / THRESHOLDS).read_text()
    words = ["threshold", "--run", str(copied), "--split", "test"]
    assert search.main(words) == 0
    assert (copied / THRESHOLDS).read_text() == before
    out = capsys.readouterr().out
    assert "test identities (--split test) of sysu" in out and "test_i2v: infrared" in out
    assert f"kept {copied / THRESHOLDS}, which is of validation identities" in out
    (copied / THRESHOLDS).unlink()
    assert search.main(words) == 0
    assert read_thresholds(copied / THRESHOLDS)["split"] == "test"


def test_a_run_that_held_nothing_out_is_refused_with_the_remedy(small_run, capsys):
    assert search.main(["threshold", "--run", str(small_run)]) == 3
    error = capsys.readouterr().err
    assert "val_v2i needs validation identities" in error and "DATA.SPLIT train" in error
    assert "--split test" in error and error.count("\n") == 1
    assert not (small_run / THRESHOLDS).exists()


@pytest.mark.parametrize("far", ["0", "1", "x", "-0.1"])
def test_a_rate_is_between_0_and_1(far, capsys):
    with pytest.raises(SystemExit) as left:
        search.main(["threshold", "--run", "r", "--far", far])
    assert left.value.code == 2 and "between 0 and 1" in capsys.readouterr().err


def test_where_the_folder_cannot_be_written_the_table_is_still_printed(copied, capsys, caplog):
    (copied / THRESHOLDS).unlink()
    (copied / THRESHOLDS).mkdir()  # as root, tests may write into read-only folders
    assert search.main(["threshold", "--run", str(copied)]) == 0
    assert "EER" in capsys.readouterr().out
    assert "queries cannot state the error rates of their threshold" in caplog.text


def test_what_a_query_states_is_found_from_every_form_of_the_model(copied, tmp_path, caplog):
    content = read_thresholds(copied / THRESHOLDS)
    fingerprint, entry = content["fingerprint"], content["protocols"]["val_i2v"]
    curve = entry["curve"]
    middle = curve["threshold"][len(curve["threshold"]) // 2]
    folder = tmp_path / "model"
    words = ["--run", str(copied), "--format", "safetensors", "--out", str(folder)]
    assert export.main(words) == 0
    assert (folder / THRESHOLDS).read_text() == (copied / THRESHOLDS).read_text()
    (copied / "network.onnx").touch()
    places = [copied, copied / "checkpoints/last.pth", folder, copied / "network.onnx"]
    for place in places:
        found = expected_rates(place, fingerprint, INFRARED, VISIBLE, middle)
        assert found.identities == 2 and found.split == "val"
        at = curve["threshold"].index(middle)
        assert found.false_accept == pytest.approx(curve["false_accept"][at])
        assert found.false_reject == pytest.approx(curve["false_reject"][at])
    assert expected_rates(copied, "0" * 64, INFRARED, VISIBLE, middle) is None
    assert expected_rates(copied, fingerprint, INFRARED, INFRARED, middle) is None
    assert expected_rates(tmp_path, fingerprint, INFRARED, VISIBLE, middle) is None
    assert not caplog.text
    (copied / THRESHOLDS).write_text("{")
    assert expected_rates(copied, fingerprint, INFRARED, VISIBLE, middle) is None
    assert "holds no thresholds" in caplog.text
    assert export.main([*words, "--overwrite"]) == 0  # thresholds of the model before go
    assert not (folder / THRESHOLDS).exists()


def test_equal_scores_are_named_as_such():
    one = FeatureSet(
        np.ones((4, 3), np.float32),
        np.array([1, 2, 1, 2]),
        np.ones(4, int),
        np.array([0, 0, 1, 1], np.uint8),
        np.array(["a", "b", "c", "d"]),
    )
    protocols = threshold_protocols([VISIBLE, INFRARED], "test")
    entries = measure_thresholds(one, protocols)
    assert list(entries) == ["test_v2i", "test_i2v"]
    lines = list(describe_entry("test_v2i", entries["test_v2i"]))
    equal = "all scores are equal (about 0.99999): no threshold separates people"
    assert lines[1:] == [equal]
    table = threshold_table({"split": "test", "source": {"dataset": "x"}, "protocols": entries})
    assert table.rows[0][3] == "all scores are equal" and len(table.rows[0]) == len(table.header)


def test_images_of_one_modality_search_one_another():
    assert [p.name for p in threshold_protocols([VISIBLE], "val")] == ["val_v2v"]
    (test,) = threshold_protocols([VISIBLE], "test")
    assert test.name == "test_v2v" and not test.held_out and test.drops_own_camera


def test_what_a_query_states_is_one_line():
    found = ExpectedRates(0.6, 0.0123, 0.25, 37, 135_936, "val")
    assert found.describe() == (
        "about 1.2 % of the images of other people score 0.6 or more, and about 25 % of the images "
        "of the same person score less (measured on 37 validation identities)"
    )
    few = ExpectedRates(0.9, 0.00001, 0.999, 20, 4_000, "test").describe()
    assert few.startswith("less than 0.25 % of the images of other people")
    assert "about 100 % of" in few and few.endswith("20 test identities)")


CHANGES = {
    "format": lambda content: content.update(format=2),
    "a curve of two lengths": lambda content: curve_of(content)["threshold"].pop(),
    "a curve that falls": lambda content: curve_of(content)["threshold"].reverse(),
    "a number that is none": lambda content: curve_of(content)["false_accept"].__setitem__(3, "x"),
    "not finite": lambda content: curve_of(content)["false_reject"].__setitem__(0, float("nan")),
    "no pair": lambda content: content["protocols"]["val_v2i"].update(impostor_pairs=0),
    "no points": lambda content: content["protocols"]["val_v2i"].pop("points"),
    "split": lambda content: content.update(split="train"),
    "no fingerprint": lambda content: content.pop("fingerprint"),
}


def curve_of(content):
    return content["protocols"]["val_v2i"]["curve"]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_damaged_file_is_refused(measured, tmp_path, change):
    content = read_thresholds(measured / THRESHOLDS)
    change(content)
    (tmp_path / THRESHOLDS).write_text(json.dumps(content))
    with pytest.raises(DataError, match="holds no thresholds .*search threshold"):
        read_thresholds(tmp_path / THRESHOLDS)


def test_the_report_has_the_rates_of_the_file_or_of_saved_features(copied):
    run = read_run(copied)
    (table,) = threshold_tables(run, [])
    assert "validation identities of sysu" in table.caption
    assert table.header[-1] == "FRR at FAR 0.1 % (score)"
    entry = read_thresholds(copied / THRESHOLDS)["protocols"]["val_v2i"]
    row = table.rows[0]
    assert row[:4] == ["val_v2i", "2", "48", f"{100 * entry['equal_error_rate']:.2f}"]
    point = entry["points"][0]
    assert row[4] == f"{100 * point['false_reject']:.2f} ({point['threshold']:.4f})"
    assert row[-1] == "too few pairs"
    (copied / THRESHOLDS).unlink()
    (again,) = threshold_tables(run, [])
    assert again.rows[0][:4] == row[:4] and len(again.header) == len(table.header) - 1
    (copied / "features_val.npz").unlink()
    assert list(threshold_tables(run, [])) == []


def test_the_report_leaves_out_the_thresholds_of_other_weights(copied):
    content = read_thresholds(copied / THRESHOLDS)
    content["source"]["checkpoint"] = "0" * 64
    (copied / THRESHOLDS).write_text(json.dumps(content))
    (copied / "features_val.npz").unlink()
    assert list(threshold_tables(read_run(copied), [])) == []


def test_rows_state_what_is_not_measurable(measured):
    rows = threshold_rows(read_thresholds(measured / THRESHOLDS)["protocols"]["val_v2i"])
    assert [row["FAR at most"] for row in rows] == ["30 %", "10 %", "1 %", "0.1 %"]
    assert [row["threshold"] for row in rows[1:]] == ["not measurable"] * 3
    assert rows[0]["95 % interval"].endswith("%") and list(rows[0])[-1] == "FNIR, top 2"
