"""Every exit can be scored and extracted, alone and against another one."""

import json
import shutil

import numpy as np
import pytest

from vireid.cli import evaluate, extract
from vireid.engine.features import mixed
from vireid.evaluation.evaluate import evaluate as scores_of
from vireid.evaluation.files import read_features
from vireid.evaluation.protocols import PROTOCOLS, with_draw
from vireid.structures import FeatureSet, Modality

ALL = ("--protocols", "sysu_all_single", "--gallery-draw", "seeded")


@pytest.fixture
def run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


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
