"""Every exit can be scored and extracted, alone and against another one."""

import json

import numpy as np
import pytest

from vireid.cli import evaluate, extract
from vireid.config import load_config
from vireid.evaluation.evaluate import evaluate as scores_of
from vireid.evaluation.feature_files import read_features
from vireid.evaluation.protocols import PROTOCOLS, with_draw
from vireid.runs.exits import warn_of_untrained
from vireid.runs.features import mixed
from vireid.structures import FeatureSet, Modality

ALL = ("--protocols", "sysu_all_single", "--gallery-draw", "seeded")


def features(run, name: str, *options: str) -> FeatureSet:
    out = run / f"{name}.npz"
    assert extract.main(["--run", str(run), "--out", str(out), *options]) == 0
    return read_features(out)


def results(path) -> tuple[dict, dict]:
    content = json.loads(path.read_text())
    return content["protocols"]["sysu_all_single"], content["source"]


def test_exits_have_features_of_their_own_and_of_one_length(run):
    deep = features(run, "deep", "TEST.EMBED", "global").features
    whole = features(run, "whole").features
    shallow = [features(run, f"s{k}", "TEST.EXIT", f"shallow{k}").features for k in (1, 2, 3)]
    assert deep.shape[1] == 128 and whole.shape[1] == 128 + (2 + 4) * 16
    assert all(found.shape == deep.shape for found in shallow)
    for k, first in enumerate([deep, *shallow]):
        assert all(not np.allclose(first, other) for other in [deep, *shallow][k + 1 :])


def test_results_say_which_exit_and_embedding_were_scored(run):
    own = json.loads((run / "results.json").read_text())["source"]
    assert (own["exit"], own["embedding"]) == ("deep", "global+parts")
    assert evaluate.main(["--run", str(run), *ALL, "TEST.EXIT", "shallow1"]) == 0
    (path,) = run.glob("results_*exit-shallow1*.json")
    source = results(path)[1]
    assert (source["exit"], source["embedding"]) == ("shallow1", "global")


def test_queries_of_one_exit_find_a_gallery_of_another(run):
    options = ("TEST.EXIT", "shallow1", "TEST.GALLERY_EXIT", "deep", "TEST.EMBED", "global")
    assert evaluate.main(["--run", str(run), *ALL, *options]) == 0
    (path,) = run.glob("results_*gallery_exit-deep*.json")
    entry, source = results(path)
    assert source["exit"] == "shallow1 / deep"
    shallow = features(run, "shallow", "TEST.EXIT", "shallow1")
    both = mixed(shallow, features(run, "deep", "TEST.EMBED", "global"), Modality.INFRARED)
    protocol = with_draw(PROTOCOLS["sysu_all_single"], "seeded")
    expected = [trial.metrics for trial in scores_of(protocol, both)]
    assert entry["trials"] == expected
    alone = [trial.metrics for trial in scores_of(protocol, shallow)]
    assert expected != alone


def test_the_gallerys_exit_is_the_queries_unless_another_is_named(run):
    """Naming the same one makes no other scores, and so no other file."""
    before = sorted(path.name for path in run.glob("results*.json"))
    assert evaluate.main(["--run", str(run), "TEST.GALLERY_EXIT", "deep"]) == 0
    assert sorted(path.name for path in run.glob("results*.json")) == before


def test_a_file_of_features_holds_one_exit(run, capsys):
    command = ["--run", str(run), "--out", str(run / "f.npz"), "TEST.EMBED", "global"]
    assert extract.main([*command, "TEST.GALLERY_EXIT", "shallow1"]) == 2
    error = capsys.readouterr().err
    assert "TEST.GALLERY_EXIT='shallow1'" in error and "extract each exit by itself" in error
    assert not (run / "f.npz").exists()
    assert extract.main([*command, "TEST.GALLERY_EXIT", "deep"]) == 0


def test_parts_that_are_not_scored_need_not_fit_the_map(run, capsys):
    size = ("INPUT.SIZE", "[80, 32]")  # 5 rows, which neither 2 nor 4 divides
    assert evaluate.main(["--run", str(run), *ALL, *size]) == 2
    assert "does not divide" in capsys.readouterr().err
    for chosen in (("TEST.EMBED", "global"), ("TEST.EXIT", "shallow1")):
        assert evaluate.main(["--run", str(run), *ALL, *size, *chosen]) == 0


SILENT = {
    "deep": ("LOSS.IDENTITY.WEIGHT", "LOSS.TRIPLET.WEIGHT"),
    "parts": ("LOSS.PART_IDENTITY.WEIGHT", "LOSS.PART_TRIPLET.WEIGHT"),
    "shallow1": ("LOSS.SDM.WEIGHT",),
}


@pytest.mark.parametrize(
    ("off", "options", "warned"),
    [
        ((), "TEST.EXIT deep", []),
        (("parts", "shallow1"), "TEST.EMBED global", []),
        (("shallow1",), "TEST.EXIT shallow1", ["shallow1"]),
        (("parts",), "TEST.EXIT deep", ["parts"]),
        (("deep",), "TEST.EMBED parts", []),
        (("deep", "parts"), "TEST.EXIT deep", ["deep", "parts"]),
        (("deep",), "TEST.EMBED global TEST.EXIT shallow1 TEST.GALLERY_EXIT deep", ["deep"]),
        ((), "TEST.EXIT shallow2 MODEL.SDM.WEIGHTS [1,0,1]", ["shallow2"]),
    ],
)
def test_scores_of_what_no_loss_trains_come_with_a_warning(off, options, warned, monkeypatch):
    found = []
    monkeypatch.setattr("vireid.runs.exits.log.warning", lambda text, name: found.append(name))
    zeros = [word for name in off for key in SILENT[name] for word in (key, "0")]
    warn_of_untrained(load_config(None, [*zeros, *options.split()], environment={}))
    assert found == warned


def test_mixing_takes_queries_from_one_set_and_the_gallery_from_the_other():
    known = {
        "pids": np.arange(4),
        "camids": np.ones(4, int),
        "modality": np.array([0, 1, 0, 1], np.uint8),
        "paths": np.array(list("abcd")),
    }
    ones, twos = (FeatureSet(features=np.full((4, 2), v, np.float32), **known) for v in (1, 2))
    assert mixed(ones, twos, Modality.VISIBLE).features[:, 0].tolist() == [1, 2, 1, 2]
    assert mixed(ones, twos, Modality.INFRARED).features[:, 0].tolist() == [2, 1, 2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("TEST.EXIT", "shallow4"), "TEST.EXIT='shallow4' is unknown"),
        (("TEST.EXIT", "shallow1", "TEST.GALLERY_EXIT", "deep"), "set TEST.EMBED global"),
        (("TEST.EXIT", "shallow1", "TEST.EMBED", "parts"), "has a global feature only"),
    ],
)
def test_exits_that_cannot_be_compared_are_refused(run, capsys, options, message):
    assert evaluate.main(["--run", str(run), *ALL, *options]) == 2
    assert message in capsys.readouterr().err
