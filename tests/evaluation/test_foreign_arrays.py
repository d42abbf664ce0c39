"""Features and distances as other code saves them: names, files, types, protocols, messages."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from vireid.cli import evaluate as tool
from vireid.errors import DataError
from vireid.evaluation.evaluate import TrialScores, evaluate, evaluate_all
from vireid.evaluation.feature_files import (
    FeatureFile,
    array_names,
    holds_features,
    read_feature_file,
    read_features,
)
from vireid.evaluation.feature_files.array_names import (
    COLUMNS,
    DISTANCES,
    SIDES,
    SIMILARITIES,
    recognise,
)
from vireid.evaluation.feature_files.columns import numbered_identities
from vireid.evaluation.protocols import PROTOCOLS, expand, with_draw
from vireid.figures.tsne import choose_rows
from vireid.structures import FeatureSet, Modality

Q, G, D = 12, 20, 5


def images(seed: int = 3) -> FeatureSet:
    """Queries of camera 1, visible, then a gallery of camera 2, infrared; four identities."""
    rng = np.random.default_rng(seed)
    pids = np.concatenate([np.arange(Q) % 4, np.arange(G) % 4]) + 3
    modality = np.repeat([0, 1], [Q, G]).astype(np.uint8)
    features = rng.standard_normal((Q + G, D)) + 0.7 * np.eye(8, D)[pids]
    paths = np.array([f"{k:03d}.jpg" for k in range(Q + G)])
    return FeatureSet(features.astype(np.float32), pids, modality.astype(int) + 1, modality, paths)


def agw(**changes: Any) -> dict[str, np.ndarray]:
    """The arrays of AGW-style code."""
    found = images()
    arrays = {
        "query_feat": found.features[:Q],
        "gall_feat": found.features[Q:],
        "query_label": found.pids[:Q],
        "gall_label": found.pids[Q:],
        "query_cam": found.camids[:Q],
        "gall_cam": found.camids[Q:],
    }
    return {name: value for name, value in (arrays | changes).items() if value is not None}


def renamed(words: dict[str, str]) -> dict[str, np.ndarray]:
    """The same arrays under other names; those that are in no table here are left out."""
    return {words[name]: array for name, array in agw().items() if name in words}


def saved(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path


def scores(file: FeatureFile, name: str = "regdb_v2t", draw: str = "auto") -> TrialScores:
    found, (protocol,) = file.for_protocols([with_draw(PROTOCOLS[name], draw)])
    (trial,) = evaluate(protocol, found)
    return trial


def assert_same(found: TrialScores, expected: TrialScores) -> None:
    assert found.metrics == expected.metrics
    np.testing.assert_array_equal(found.cmc, expected.cmc)
    counts = "num_query", "num_valid_query", "num_gallery"
    assert [getattr(found, c) for c in counts] == [getattr(expected, c) for c in counts]


EXPECTED = evaluate(PROTOCOLS["regdb_v2t"], images())[0]
ORDER = ("query_feat", "gall_feat", "query_label", "gall_label", "query_cam", "gall_cam")
SPELLINGS = [
    ("qf", "gf", "q_pids", "g_pids", "q_camids", "g_camids"),
    ("query_f", "gallery_f", "query_label", "gallery_label", "query_cam", "gallery_cam"),
    ("query_feats", "gallery_feats", "query_ids", "gallery_ids", "query_cams", "gallery_cams"),
    *[("queryFeature", "galleryFeature", "queryPid", "galleryPid", "queryCamId", "galleryCamId")],
    ("features_query", "features_gallery", "pids_query", "pids_gallery", "", ""),
    ("probe_feature", "gallery_feature", "probe_id", "gallery_id", "", ""),
    ("query_feat_fc", "gall_feat_fc", "query_label", "gall_label", "", ""),
    ("Q-Embeddings", "G-Embeddings", "Q-Labels", "G-Labels", "Q-Cameras", "G-Cameras"),
]


@pytest.mark.parametrize("names", SPELLINGS)
def test_names_of_other_code_are_known(tmp_path: Path, names: tuple[str, ...]):
    words = {own: name for own, name in zip(ORDER, names, strict=True) if name}
    file = read_feature_file(saved(tmp_path / "f.npz", renamed(words)))
    assert file.lists and ("camids" in file.absent) == ("" in names)
    assert set(file.used) == set(words.values()) and file.unused == ()
    assert_same(scores(file), EXPECTED)


def test_no_name_means_two_things():
    meaning: dict[str, tuple[str, str]] = {}
    tables = {"": ("",), **SIDES}
    for side, words in tables.items():
        for name, column in array_names._entries(words):
            assert meaning.setdefault(name, (side, column)) == (side, column), name
    matrices = {array_names.plain(name) for name in (*DISTANCES, *SIMILARITIES)}
    assert not matrices & meaning.keys()
    assert {column for _, column in meaning.values()} == COLUMNS.keys()


def test_the_documentation_lists_every_name():
    page = Path(__file__).parents[2] / "docs/scoring_features.md"
    text = page.read_text(encoding="utf-8")
    names = {name for words in (*COLUMNS.values(), DISTANCES, SIMILARITIES) for name in words}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_two_arrays_that_could_both_be_meant_are_named(tmp_path: Path):
    path = saved(tmp_path / "f.npz", agw(query_feat_pool=np.ones((Q, D))))
    with pytest.raises(DataError, match="query_feat and query_feat_pool could both be the feat"):
        read_feature_file(path)
    own = recognise(["features", "embeddings", "pids", "labels"], "f.npz")
    assert own.whole == {"features": "features", "pids": "pids"}  # its own name comes first


def as_mat(folder: Path) -> Path:
    savemat(folder / "result.mat", agw() | {"query_path": np.array([f"{k}.jpg" for k in range(Q)])})
    return folder / "result.mat"


def as_folder(folder: Path) -> Path:
    (folder / "arrays").mkdir()
    for name, array in agw().items():
        np.save(folder / "arrays" / f"{name}.npy", array)
    np.save(folder / "arrays" / "losses.npy", np.ones(3))
    return folder / "arrays"


def as_torch(folder: Path) -> Path:
    import torch

    content = {name: torch.from_numpy(array) for name, array in agw().items()}
    content["query_label"] = agw()["query_label"].tolist()
    content["query_feat"] = list(content["query_feat"].split(5))  # batches
    torch.save(content | {"epoch": 3}, folder / "f.pth")
    return folder / "f.pth"


def as_nested_torch(folder: Path) -> Path:
    import torch

    words = {"query": "query", "gallery": "gall"}
    content = {
        side: {kind: torch.from_numpy(agw()[f"{word}_{kind}"]) for kind in ("feat", "label")}
        for side, word in words.items()
    }
    torch.save(content, folder / "f.pt")
    return folder / "f.pt"


def as_safetensors(folder: Path) -> Path:
    from safetensors.numpy import save_file

    save_file(agw(), folder / "f.safetensors")
    return folder / "f.safetensors"


WRITERS = [as_mat, as_folder, as_torch, as_nested_torch, as_safetensors]


@pytest.mark.parametrize("write", WRITERS)
def test_files_of_other_kinds_are_read(tmp_path: Path, write: Callable[[Path], Path]):
    path = write(tmp_path)
    if write is as_mat:  # one list has paths
        with pytest.raises(DataError, match="lacks the paths of gallery images beside query_path"):
            read_feature_file(path)
        savemat(path, agw())
    assert_same(scores(read_feature_file(path)), EXPECTED)
    assert holds_features(path) == path.is_dir()


def test_half_floats_of_torch_are_read(tmp_path: Path):
    import torch

    content: dict[str, Any] = {k: torch.from_numpy(v) for k, v in agw().items()}
    content |= {k: content[k].bfloat16() for k in ("query_feat", "gall_feat")}
    torch.save(content, tmp_path / "f.pt")
    found = read_feature_file(tmp_path / "f.pt").images.features
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:Q], content["query_feat"].float().numpy())


def test_texts_of_matlab_are_read_without_their_blanks(tmp_path: Path):
    texts = {"query_path": np.array([f"{'a' * k}.jpg" for k in range(1, Q + 1)])}
    texts["gallery_path"] = np.array([f"g/{k}.jpg" for k in range(G)], dtype=object)
    savemat(tmp_path / "f.mat", agw() | texts)
    found = read_feature_file(tmp_path / "f.mat")
    assert found.images.paths[[0, 11, 12, 31]].tolist() == [
        *("a.jpg", f"{'a' * 12}.jpg", "g/0.jpg", "g/19.jpg")
    ]


FORMS: dict[str, dict[str, Any]] = {
    "float16": {k: agw()[k].astype(np.float16) for k in ("query_feat", "gall_feat")},
    "big-endian": {k: agw()[k].astype(">f4") for k in ("query_feat", "gall_feat")},
    "Fortran order": {k: np.asfortranarray(agw()[k]) for k in ("query_feat", "gall_feat")},
    "every second column": {
        k: np.repeat(agw()[k], 2, axis=1)[:, ::2] for k in ("query_feat", "gall_feat")
    },
    "pooled maps": {k: agw()[k][:, :, None, None] for k in ("query_feat", "gall_feat")},
    "float labels": {k: agw()[k].astype(float) for k in ("query_label", "gall_label")},
    "columns": {k: agw()[k][:, None].astype(np.int32) for k in ("query_label", "gall_label")},
    "rows": {k: agw()[k][None] for k in ("query_label", "gall_cam")},
    "small": {k: agw()[k].astype(np.uint8) for k in ("query_label", "gall_label")},
    "text": {k: agw()[k].astype(str) for k in ("query_label", "gall_label")},
    "names": {k: np.array(["anna", "bo", "cy", "di"])[agw()[k] - 3] for k in ORDER[2:4]},
    "cameras from 0": {k: agw()[k] - 1 for k in ("query_cam", "gall_cam")},
    "modality": {"query_modality": np.array(["RGB"] * Q), "gall_modality": np.ones(G, bool)},
    "one modality": {"query_modality": np.array("visible"), "gall_modality": np.array([1])},
    "longer lists": {"source": np.array("x"), "acc": np.ones(3)},
}


@pytest.mark.parametrize("form", FORMS)
def test_types_and_shapes_of_other_code_are_read(tmp_path: Path, form: str):
    file = read_feature_file(saved(tmp_path / "f.npz", agw(**FORMS[form])))
    found = file.images
    assert found.features.dtype == np.float32 and found.features.flags.c_contiguous
    assert (found.pids.dtype, found.camids.dtype) == (np.int64, np.int64)
    expected = EXPECTED
    if form == "float16":
        halved = images().features.astype(np.float16).astype(np.float32)
        other = images()
        other.features[:] = halved
        (expected,) = evaluate(PROTOCOLS["regdb_v2t"], other)
    assert_same(scores(file), expected)
    assert ("modality" in file.absent) == ("modality" not in form)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.int64])
def test_features_of_whole_numbers_are_compared_as_floats(tmp_path: Path, kind: type):
    numbers = (10 * images().features).round().astype(np.int64) - 3
    if kind is np.uint16:
        numbers -= numbers.min()
    path = saved(
        tmp_path / "f.npz",
        agw(query_feat=numbers[:Q].astype(kind), gall_feat=numbers[Q:].astype(kind)),
    )
    found = read_feature_file(path).images.features
    assert found.dtype == (np.float32 if kind in (np.int8, np.uint16) else np.float64)
    np.testing.assert_array_equal(found, numbers)


WHOLE = {name: getattr(images(), name) for name in ("features", "pids", "camids", "modality")}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"camids": None},
        {"modality": np.where(WHOLE["modality"] == 0, "vis", "NIR")},
        {"modality": WHOLE["modality"].astype(bool)},
        {"modality": WHOLE["modality"].astype(float)[:, None], "camids": None},
        {"paths": np.array([f"{k}".encode() for k in range(Q + G)])},
        {"pids": None, "labels": WHOLE["pids"]},
        {"features": WHOLE["features"].astype(np.float64)},
    ],
)
def test_one_list_of_all_images_may_lack_what_is_not_used(tmp_path: Path, changes: dict[str, Any]):
    arrays = {k: v for k, v in (WHOLE | changes).items() if v is not None}
    file = read_feature_file(saved(tmp_path / "f.npz", arrays))
    assert not file.lists
    found = evaluate_all(expand(["regdb", "csv"]), file.for_protocols(expand(["regdb", "csv"]))[0])
    expected = evaluate_all(expand(["regdb", "csv"]), images())
    if "features" in changes:
        assert found.keys() == expected.keys()
        return
    for name, (trial,) in found.items():
        assert_same(trial, expected[name][0])


def test_the_gallery_that_a_file_lists_is_one_trial_of_any_protocol(tmp_path: Path):
    cameras = {"query_cam": np.where(np.arange(Q) % 2, 3, 6)}
    cameras["gall_cam"] = np.resize([1, 2, 4, 5], G)
    file = read_feature_file(saved(tmp_path / "f.npz", agw(**cameras)))
    found, (protocol,) = file.for_protocols([with_draw(PROTOCOLS["sysu_all_single"], "given")])
    (trial,) = evaluate(protocol, found)
    assert (trial.num_query, trial.num_gallery) == (Q, G)
    # by identity, with camera 2 left out for queries of camera 3
    distances = -(_unit(agw()["query_feat"]) @ _unit(agw()["gall_feat"]).T)
    ranks = []
    for query, row in enumerate(distances):
        kept = [g for g in np.argsort(row) if not (query % 2 and cameras["gall_cam"][g] == 2)]
        order = list(dict.fromkeys((agw()["gall_label"][kept]).tolist()))
        if agw()["query_label"][query] in order:
            ranks.append(order.index(agw()["query_label"][query]) + 1)
    assert trial.num_valid_query == len(ranks)
    assert trial.metrics["rank1"] == np.mean(np.array(ranks) == 1)
    assert file.for_protocols([protocol])[0].modality.tolist() == [1] * Q + [0] * G


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


REFUSED: list[tuple[dict[str, Any], list[str], str]] = [
    ({}, ["regdb"], "regdb_v2t and regdb_t2v have queries of different modalities"),
    ({}, ["llcm_v2n"], "draws its galleries from all images.*--gallery-draw given"),
    ({}, ["sysu_all_single", "--gallery-draw", "seeded"], "save features, pids, camids"),
    ({}, ["vehicleid_800"], "draws its galleries from all images"),
    ({"query_cam": None, "gall_cam": None}, ["veri"], "veri needs cameras.*query_cam and gall_cam"),
    ({"query_cam": None, "gall_cam": None}, ["val_v2v"], "val_v2v needs cameras"),
    (
        {"query_cam": None, "gall_cam": None},
        ["llcm_v2n", "--gallery-draw", "given"],
        "llcm_v2n needs cameras",
    ),
    ({}, ["sysu_indoor_single", "--gallery-draw", "given"], "no image of camera"),
    ({"gall_label": None}, ["regdb_v2t"], "lacks the pids of gallery images beside query_label"),
    ({"gall_feat": None}, ["regdb_v2t"], "lacks the features of gallery images"),
    ({"gall_cam": None}, ["regdb_v2t"], "lacks the camids of gallery images beside query_cam"),
    ({"gall_feat": np.ones((G, 3))}, ["regdb_v2t"], "gall_feat 3: features of two models"),
    ({"gall_feat": agw()["gall_feat"].T}, ["regdb_v2t"], "gall_feat is .* save its transpose"),
    (
        {"query_label": np.arange(Q) + 0.5},
        ["regdb_v2t"],
        "query_label must be whole.* row 0 is 0.5",
    ),
    ({"query_label": np.full(Q, np.inf)}, ["regdb_v2t"], "query_label must be whole.* is inf"),
    ({"gall_cam": np.arange(G) - 1}, ["regdb_v2t"], "gall_cam must be 0 or more; row 0 is -1"),
    ({"query_feat": np.full((Q, D), np.nan)}, ["regdb_v2t"], "query_feat must be finite"),
    (
        {"gall_feat": np.where(np.arange(G)[:, None] == 7, 0, agw()["gall_feat"])},
        ["regdb_v2t"],
        "gallery features of 1 images are zero, first gallery 07",
    ),
    (
        {"query_modality": np.full(Q, 1), "gall_modality": np.full(G, 2)},
        ["regdb_v2t"],
        "gall_modality must be 0 .visible. or 1 .infrared., got 2: 1 and 2 are modes",
    ),
    (
        {"query_modality": np.array(["ir"]), "gall_modality": np.array(["rgb"])},
        ["regdb_v2t"],
        "regdb_v2t: there is no query image",
    ),
    ({}, ["regdb_v2t", "--metric", "given"], "holds no query × gallery matrix"),
]


@pytest.mark.parametrize(("changes", "words", "message"), REFUSED)
def test_what_a_protocol_lacks_is_named(
    tmp_path: Path, capsys, changes: dict[str, Any], words: list[str], message: str
):
    path = saved(tmp_path / "f.npz", agw(**changes))
    assert tool.main(["--features", str(path), "--protocols", *words]) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error)
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    ("changes", "words", "message"),
    [
        ({"paths": None}, ["llcm_v2n"], "llcm_v2n draws its galleries by the order of paths"),
        ({"modality": None}, ["csv_v2i"], "csv_v2i compares two modalities, .* save modality"),
        ({"camids": None}, ["llcm_v2n"], "llcm_v2n needs cameras.*camids of all images"),
        ({}, ["regdb_v2t", "--gallery-draw", "given"], "does not say which images are the gallery"),
    ],
)
def test_what_one_list_lacks_is_named(
    tmp_path: Path, capsys, changes: dict[str, Any], words: list[str], message: str
):
    arrays = WHOLE | {"paths": images().paths} | changes
    path = saved(tmp_path / "f.npz", {k: v for k, v in arrays.items() if v is not None})
    assert tool.main(["--features", str(path), "--protocols", *words]) == 3
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(capsys.readouterr().err)


def test_files_that_could_execute_code_are_not_opened(tmp_path: Path, capsys):
    import torch

    (tmp_path / "f.pkl").write_bytes(pickle.dumps(agw()))
    np.save(tmp_path / "f.npy", np.array(agw(), dtype=object), allow_pickle=True)
    torch.save({"query_feat": Path("x"), "run": print}, tmp_path / "f.pt")
    for name, phrase in (
        ("f.pkl", "a pickle, which may"),
        ("f.npy", "one array"),
        ("f.pt", "f.pt"),
    ):
        assert tool.main(["--features", str(tmp_path / name), "--protocols", "regdb_v2t"]) == 3
        error = capsys.readouterr().err
        assert phrase in error and error.count("\n") == 1


MATRIX = -(_unit(agw()["query_feat"]) @ _unit(agw()["gall_feat"]).T)


@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("distmat", 1 + MATRIX),
        ("dist", (MATRIX * 1000).astype(np.float32)),
        ("DistMat", np.asfortranarray(MATRIX)),
        ("distance_matrix", MATRIX.astype(">f8")),
        ("similarity", -MATRIX),
        ("sim_mat", -MATRIX.astype(np.float32)),
    ],
)
def test_a_matrix_is_scored_by_the_same_rules(
    tmp_path: Path, capsys, name: str, matrix: np.ndarray
):
    labels = {"q_pids": agw()["query_label"], "g_pids": agw()["gall_label"]}
    path = saved(tmp_path / "f.npz", {name: matrix, **labels})
    assert tool.main(["--features", str(path), "--protocols", "regdb_v2t"]) == 0
    captured = capsys.readouterr()
    assert f"read q_pids, g_pids, {name}: 12 query, 20 gallery images" in captured.out
    assert captured.err == ""
    entry = json.loads((tmp_path / "results.json").read_text())["protocols"]["regdb_v2t"]
    assert (entry["metric"], entry["gallery_draw"]) == ("given", "all")
    assert entry["mean"] == pytest.approx(EXPECTED.metrics, abs=1e-12)
    assert entry["cmc"] == pytest.approx(EXPECTED.cmc.tolist(), abs=1e-12)


@pytest.mark.parametrize("name", ["regdb", "llcm", "csv"])
def test_a_matrix_of_all_images_is_scored_by_every_protocol(tmp_path: Path, name: str):
    found = images()
    whole = _unit(found.features) @ _unit(found.features).T
    arrays = {k: getattr(found, k) for k in ("pids", "camids", "modality", "paths")}
    path = saved(tmp_path / "f.npz", arrays | {"similarity": whole})
    assert tool.main(["--features", str(path), "--protocols", name]) == 0
    entries = json.loads((tmp_path / "results.json").read_text())["protocols"]
    expected = evaluate_all(expand([name]), found)
    assert entries.keys() == expected.keys() and len(entries) == 2
    for protocol, trials in expected.items():
        entry = entries[protocol]
        assert (entry["metric"], len(entry["trials"])) == ("given", len(trials))
        for one, other in zip(entry["trials"], trials, strict=True):
            assert one == pytest.approx(other.metrics, abs=1e-12)
    kept = read_feature_file(path).subset([3, 5])
    assert kept.distances is not None and kept.distances.shape == (16, 16)
    features = arrays | {"features": found.features, "dist": np.ones(3)}  # of something else
    assert read_feature_file(saved(tmp_path / "g.npz", features)).distances is None


def test_a_matrix_leaves_junk_and_own_cameras_out(tmp_path: Path):
    labels, cameras = agw()["gall_label"].copy(), np.resize([1, 2], G)
    labels[:5] = -2
    arrays = agw(query_feat=None, gall_feat=None, gall_label=labels, gall_cam=cameras)
    file = read_feature_file(saved(tmp_path / "f.npz", arrays | {"distmat": MATRIX}))
    from vireid.evaluation.results import given_entries

    found, protocols = file.for_protocols([PROTOCOLS["csv_v2i"]])
    assert file.distances is not None
    entry = given_entries(protocols, found, file.distances)["csv_v2i"]
    precisions = []
    for query in range(Q):
        pid = agw()["query_label"][query]
        kept = [g for g in range(5, G) if not (labels[g] == pid and cameras[g] == 1)]
        order = sorted(kept, key=lambda g: MATRIX[query, g])
        ranks = [k for k, g in enumerate(order, start=1) if labels[g] == pid]
        if ranks:
            precisions.append(np.mean([k / rank for k, rank in enumerate(ranks, start=1)]))
    assert entry["mean"]["mAP"] == pytest.approx(np.mean(precisions), abs=1e-12)
    assert (entry["num_junk"], entry["num_gallery"]) == (5, G - 5)
    assert entry["num_valid_query"] == len(precisions)


@pytest.mark.parametrize(
    ("changes", "words", "code", "message"),
    [
        ({}, ["--rerank"], 3, "queries with queries"),
        ({}, ["--metric", "euclidean"], 2, "compares features, and .* holds distances"),
        ({"distmat": MATRIX.T}, [], 3, r"distmat is \(20, 12\), .* save its transpose"),
        ({"distmat": MATRIX[:5]}, [], 3, r"distmat is \(5, 20\), but there are 12 query labels"),
        ({"distmat": np.where(MATRIX == MATRIX[2, 7], np.nan, MATRIX)}, [], 3, "row 2, column 7"),
        ({"distmat": MATRIX.astype(str)}, [], 3, "distmat must be .queries, gallery. of numbers"),
        ({"sim": MATRIX}, [], 3, "holds distmat and sim: save only the one"),
        ({"g_pids": None}, [], 3, "lacks the pids of gallery images beside q_pids"),
    ],
)
def test_matrices_that_cannot_be_scored_are_named(
    tmp_path: Path, capsys, changes: dict[str, Any], words: list[str], code: int, message: str
):
    arrays = {"distmat": MATRIX, "q_pids": agw()["query_label"], "g_pids": agw()["gall_label"]}
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    line = ["--features", str(saved(tmp_path / "f.npz", arrays)), "--protocols", "regdb_v2t"]
    assert tool.main([*line, *words]) == code
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(capsys.readouterr().err)


def test_a_matrix_of_the_wrong_sign_is_warned_of(tmp_path: Path, capsys):
    arrays = {"distmat": -MATRIX, "q_pids": agw()["query_label"], "g_pids": agw()["gall_label"]}
    line = ["--features", str(saved(tmp_path / "f.npz", arrays)), "--protocols", "regdb_v2t"]
    assert tool.main(line) == 0
    assert "does it hold similarities?" in capsys.readouterr().err


def test_features_come_before_a_matrix_unless_it_is_asked_for(tmp_path: Path, capsys):
    path = saved(tmp_path / "f.npz", agw() | {"distmat": -MATRIX})
    line = ["--features", str(path), "--protocols", "regdb_v2t"]
    assert tool.main(line) == 0
    assert "--metric given scores the file's matrix instead" in capsys.readouterr().out
    results = tmp_path / "results.json"
    before = json.loads(results.read_text())["protocols"]["regdb_v2t"]
    assert before["metric"] == "cosine"
    assert before["mean"] == pytest.approx(EXPECTED.metrics)
    assert tool.main([*line, "--metric", "given"]) == 0
    assert json.loads(results.read_text())["protocols"]["regdb_v2t"]["metric"] == "given"


def test_test_identities_are_kept_in_lists_and_in_the_matrix(tmp_path: Path):
    file = read_feature_file(saved(tmp_path / "f.npz", agw() | {"distmat": MATRIX}))
    part = file.subset([4, 6])
    assert set(part.images.pids.tolist()) == {4, 6} and part.distances is not None
    queries, gallery = (np.isin(agw()[k], [4, 6]) for k in ("query_label", "gall_label"))
    np.testing.assert_array_equal(part.distances, MATRIX[queries][:, gallery])
    with pytest.raises(DataError, match="no image of 1 of the 2 test identities"):
        file.subset([4, 99])


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["7", "-1", "007"], [7, -1, 7]),
        (["bo", "anna", "bo"], [2, 1, 2]),
        (["bo", "-2", "12"], [2, -2, 1]),
        (["bo", "-2", "0", "12"], [2, -2, 0, 1]),
        (["bo", "0"], [2, 1]),
    ],
)
def test_identities_of_text_are_numbered(texts: list[str], numbers: list[int]):
    ((found,), names) = numbered_identities([np.array(texts)])
    assert found.tolist() == numbers
    if names:
        counted = {pid: text for text, pid in zip(texts, numbers, strict=True) if pid > 0}
        assert dict(enumerate(names, start=1)) == counted
    split, _ = numbered_identities([np.array(texts[:1]), np.array(texts[1:])])
    assert np.concatenate(split).tolist() == numbers


def test_names_of_identities_must_agree_where_files_are_compared(tmp_path: Path, capsys):
    from vireid.cli import tsne

    paths = []
    for folder, who in (("a", ["anna", "bo", "cy", "di"]), ("b", ["anna", "bo", "cy", "eve"])):
        (tmp_path / folder).mkdir()
        for copy in ("1", "2"):
            pids = np.array(who)[WHOLE["pids"] - 3]
            paths.append(saved(tmp_path / folder / f"{copy}.npz", WHOLE | {"pids": pids}))
    line = ["--out", str(tmp_path / "t.png"), "--method", "pca", "--ids", "3"]
    assert tsne.main(["--features", str(paths[0]), *line, "--compare", str(paths[2])]) == 3
    assert "one number would mean several" in capsys.readouterr().err
    assert tsne.main(["--features", str(paths[0]), *line, "--compare", str(paths[1])]) == 0
    assert "identities are names, numbered 1 (anna) to 4" in capsys.readouterr().out


def test_figures_need_the_modality_of_queries(tmp_path: Path):
    path = saved(tmp_path / "f.npz", agw())
    with pytest.raises(DataError, match="--query-modality"):
        read_features(path)
    found = read_features(path, query_modality=Modality.INFRARED)
    assert found.modality.tolist() == [1] * Q + [0] * G
    assert found.camids.tolist() == images().camids.tolist()
    rows = choose_rows(found, [3, 5], images=2, seed=0)
    assert len(rows) == 8 and set(found.pids[rows].tolist()) == {3, 5}
    named = {"query_modality": np.array(["rgb"]), "gall_modality": np.array(["ir"])}
    path = saved(tmp_path / "named.npz", agw(**named))
    assert read_features(path).modality.tolist() == images().modality.tolist()
    with pytest.raises(DataError, match="is not that of --query-modality"):
        read_features(path, query_modality=Modality.INFRARED)
    path = saved(tmp_path / "m.npz", agw(query_feat=None, gall_feat=None) | {"dist": MATRIX})
    with pytest.raises(DataError, match="a figure needs features"):
        read_features(path, query_modality=Modality.INFRARED)


def test_a_name_is_one_identity_in_both_lists_if_only_one_has_other_texts(tmp_path: Path):
    """0004 beside numbers alone, and 0004 beside ``unknown``."""
    labels = {side: [f"{pid:04d}" for pid in agw()[f"{side}_label"]] for side in ("query", "gall")}
    labels["gall"][2] = "unknown"
    texts = {f"{side}_label": np.array(values) for side, values in labels.items()}
    numbers = agw()["gall_label"].copy()
    numbers[2] = 99
    expected = scores(read_feature_file(saved(tmp_path / "a.npz", agw(gall_label=numbers))))
    assert expected.metrics["rank1"] > 0
    assert_same(scores(read_feature_file(saved(tmp_path / "b.npz", agw(**texts)))), expected)
