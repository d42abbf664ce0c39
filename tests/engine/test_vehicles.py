"""A data set of one modality from its files to its scores, and to those of its saved features."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.run_files import metrics
from vireid.cli import evaluate, extract, train, visualize
from vireid.evaluation.feature_files import read_features
from vireid.synthetic.writers import write_set

OPTIONS = """INPUT.SIZE=[48,48] INPUT.PAD=2 DATA.WORKERS=0 DATA.SPLIT=train PRECISION=fp32
MODEL.BACKBONE=osnet_x0_25 MODEL.PRETRAINED=none MODEL.SHARED_DEPTH=5 MODEL.SDM.TAPS=[conv4]
MODEL.MGIM.ENABLED=false SAMPLER.IDENTITIES=4 SAMPLER.IMAGES=2 SOLVER.EPOCHS=1
SOLVER.WARMUP_EPOCHS=0 SOLVER.VAL_EVERY=1 SOLVER.SELECT=best"""


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ten training vehicles, of which 5 and 10 validate, and three that test."""
    parent = tmp_path_factory.mktemp("data")
    numbers = {"train_ids": 10, "test_ids": 3, "images_per_camera": 1, "size": (48, 48), "seed": 2}
    write_set("veri", parent / "veri", **numbers)
    write_set("vehicleid", parent / "vehicleid", **numbers)
    return {"veri": parent / "veri", "vehicleid": parent / "vehicleid"}


def arguments(dataset: str, root: Path, output: Path, **changes: str) -> list[str]:
    given = dict(item.split("=") for item in OPTIONS.split())
    options = {**given, "DATA.DATASET": dataset, "DATA.ROOT": str(root), **changes}
    pairs = [word for pair in options.items() for word in pair]
    return ["--cfg", "configs/sysu.yaml", *pairs, "OUTPUT_DIR", str(output)]


@pytest.fixture(scope="module", params=["veri", "vehicleid"])
def run(request, roots, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("runs") / request.param
    assert train.main(arguments(request.param, roots[request.param], folder)) == 0
    return request.param, folder


def test_a_run_validates_and_scores_its_protocols(run):
    dataset, folder = run
    (row,) = metrics(folder)
    assert 0 < float(row["val_v2v_mAP"]) <= 1 and "val_v2i_mAP" not in row
    protocols = json.loads((folder / "results.json").read_text())["protocols"]
    if dataset == "veri":
        assert list(protocols) == ["veri"]
        entry = protocols["veri"]
        # One image of every vehicle and camera: as many queries as gallery images.
        assert entry["num_query"] == entry["num_valid_query"] == entry["num_gallery"]
    else:
        assert list(protocols) == [f"vehicleid_{size}" for size in (800, 1600, 2400)]
        counts = [(one["num_query"], one["num_gallery"]) for one in protocols.values()]
        assert counts == [(3, 1), (6, 2), (9, 3)]
        assert all(len(one["trials"]) == 10 for one in protocols.values())
    assert "images only" not in (folder / "log.txt").read_text()


def test_saved_features_tell_roles_and_lists_and_score_alike(run, tmp_path):
    dataset, folder = run
    path = tmp_path / "features.npz"
    assert extract.main(["--run", str(folder), "--out", str(path)]) == 0
    features = read_features(path)
    assert not features.modality.any()
    if dataset == "veri":
        assert features.test_list is None and set(features.role.tolist()) == {1, 2}
        queries = np.char.startswith(features.paths, "image_query/")
        np.testing.assert_array_equal(features.role == 1, queries)
    else:
        assert features.role is None
        assert np.bincount(features.test_list)[[800, 1600, 2400]].tolist() == [4, 4, 4]
    assert evaluate.main(["--features", str(path), "--protocols", dataset]) == 0
    places = folder / "results.json", tmp_path / "results.json"
    own, again = (json.loads(place.read_text())["protocols"] for place in places)
    assert again == own
    held_out = tmp_path / "val.npz"
    assert extract.main(["--run", str(folder), "--split", "val", "--out", str(held_out)]) == 0
    found = read_features(held_out)
    assert found.role is None and found.test_list is None and set(found.pids) == {5, 10}


@pytest.mark.parametrize(
    ("options", "code", "phrase"),
    [
        (["TEST.GALLERY_EXIT", "shallow1"], 2, "searches images of the queries' modality"),
        (["--protocols", "sysu_all_single", "TEST.GALLERY_DRAW", "seeded"], 3, "no image of cam"),
    ],
)
def test_what_one_modality_cannot_answer_is_refused(run, capsys, options, code, phrase):
    _, folder = run
    assert evaluate.main(["--run", str(folder), *options]) == code
    assert phrase in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "phrase"),
    [
        ("MODEL.SHARED_DEPTH", "3", "keeps a stream for infrared images, of which veri has none"),
        ("LOSS.HETERO_CENTER.WEIGHT", "1", "LOSS.HETERO_CENTER compares modalities"),
        ("LOSS.MMD.WEIGHT", "1", "LOSS.MMD compares modalities"),
    ],
)
def test_what_needs_two_modalities_is_not_trained(roots, tmp_path, capsys, option, value, phrase):
    words = arguments("veri", roots["veri"], tmp_path / "run", **{option: value})
    assert train.main(words) == 2
    assert phrase in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("run", ["vehicleid"], indirect=True)
def test_ranked_lists_of_vehicles_are_drawn(run, tmp_path):
    _, folder = run
    out = tmp_path / "ranks.png"
    options = ["--run", str(folder), "--protocol", "vehicleid_2400", "--out", str(out)]
    assert visualize.main(["ranks", *options]) == 0
    assert out.stat().st_size > 10_000
