"""Scoring features that any code base saved: no network, the contract's messages and files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tests.evaluation.known_features import llcm_features, regdb_features
from tests.helpers import write_permutations
from vireid.cli import evaluate
from vireid.evaluation.feature_files import write_features

METRICS = {"rank1", "rank5", "rank10", "rank20", "mAP", "mINP"}


@pytest.fixture(autouse=True)
def _no_split_files(monkeypatch):
    monkeypatch.delenv("VIREID_SYSU_SPLITS", raising=False)


@pytest.fixture
def llcm(tmp_path: Path) -> Path:
    write_features(tmp_path / "llcm.npz", llcm_features(11))
    return tmp_path / "llcm.npz"


def sysu_arrays(images: int = 12) -> dict[str, np.ndarray]:
    """Two identities seen by all cameras."""
    rows = [(c, p, k) for c in range(1, 7) for p in (3, 8) for k in range(1, images + 1)]
    camids, pids, numbers = (np.array(column) for column in zip(*rows, strict=True))
    rng = np.random.default_rng(0)
    return {
        "features": rng.standard_normal((len(rows), 4)) + pids[:, None],
        "pids": pids,
        "camids": camids,
        "modality": np.isin(camids, (3, 6)).astype(np.uint8),
        "paths": np.array(
            [f"cam{c}/{p:04d}/{k:04d}.jpg" for c, p, k in zip(camids, pids, numbers, strict=True)]
        ),
    }


@pytest.fixture
def sysu(tmp_path: Path) -> Path:
    np.savez(tmp_path / "sysu.npz", **sysu_arrays())
    return tmp_path / "sysu.npz"


@pytest.fixture
def permutations(tmp_path: Path) -> Path:
    (tmp_path / "splits").mkdir()
    images = {(camera, pid): 12 for camera in range(1, 7) for pid in (3, 8)}
    return write_permutations(tmp_path / "splits/rand_perm_cam.mat", images)


def run(*arguments: object) -> int:
    return evaluate.main([str(argument) for argument in arguments])


def entries(path: Path) -> dict:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["format"] == 1
    return content["protocols"]


def test_scores_rules_and_counts_are_printed_and_written(llcm, capsys):
    assert run("--features", llcm, "--protocols", "llcm_v2n") == 0
    printed = capsys.readouterr().out
    for phrase in (
        "visible → infrared",
        "seeded",
        "same identity and same camera",
        "metric: cosine",
        "1511 of 1512 queries",
        "296 gallery images",
        "42.01 ± 0.89",
    ):
        assert phrase in printed
    path = llcm.with_name("results.json")
    assert json.loads(path.read_text())["source"]["features"] == str(llcm)
    entry = entries(path)["llcm_v2n"]
    assert entry["gallery_draw"] == "seeded" and entry["reranked"] is False
    assert entry["mean"]["rank1"] == pytest.approx(0.4201191306, abs=1e-8)
    assert len(entry["trials"]) == 10 and set(entry["std"]) == METRICS


def test_no_network_library_is_loaded(llcm):
    code = (
        "import sys; from vireid.cli.evaluate import main;"
        f"code = main(['--features', {str(llcm)!r}, '--protocols', 'llcm']);"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_official_draw_needs_permutations_and_names_both_remedies(
    sysu, permutations, monkeypatch, capsys
):
    assert run("--features", sysu, "--protocols", "sysu_all_single") == 3
    error = capsys.readouterr().err
    assert "--permutations" in error and "--gallery-draw seeded" in error
    assert not sysu.with_name("results.json").exists()
    arguments = ["--features", sysu, "--protocols", "sysu"]
    assert run(*arguments, "--permutations", permutations) == 0
    found = entries(sysu.with_name("results.json"))
    monkeypatch.setenv("VIREID_SYSU_SPLITS", str(permutations.parent))
    assert run(*arguments) == 0 and entries(sysu.with_name("results.json")) == found
    assert [entry["num_gallery"] for entry in found.values()] == [8, 80, 4, 40]
    assert {entry["gallery_draw"] for entry in found.values()} == {"official"}


def test_seeded_draw_is_of_single_shots_only(sysu, capsys):
    seeded = ["--features", sysu, "--gallery-draw", "seeded", "--protocols"]
    assert run(*seeded, "sysu_all_single", "sysu_indoor_single") == 0
    found = entries(sysu.with_name("results.json"))
    assert {entry["gallery_draw"] for entry in found.values()} == {"seeded"}
    capsys.readouterr()
    assert run(*seeded, "sysu") == 2
    error = capsys.readouterr().err
    assert "sysu_all_multi" in error and "official" in error and "sysu_all_single" in error


def test_rerankings_of_all_kinds_are_side_by_side_with_their_constants(sysu, tmp_path, capsys):
    out, plain = tmp_path / "r.json", "sysu_all_single"
    common = ["--features", sysu, "--protocols", plain, "--gallery-draw", "seeded", "--out", out]
    assert run(*common, "--rerank", "--expansion", "--aim", "--aim-k1", 8, "--aim-k2", 2) == 0
    before = entries(out)
    assert run(*common, "--rerank", "--rerank-k1", 15, "--rerank-lambda", 0.5) == 0
    printed = capsys.readouterr().out
    assert "+rerank: after k-reciprocal re-ranking (k1 = 15, k2 = 6, λ = 0.5), " in printed
    found, other = entries(out), f"{plain}+rerank"
    names = [plain, *(f"{plain}+{one}" for one in ("rerank", "expansion", "aim"))]
    assert list(before) == list(found) == names
    same = {name for name in names if found[name] == before[name]}
    assert same == {*names} - {other}  # the last constants that were asked for
    assert before[other]["rerank"] == {"k1": 20, "k2": 6, "lambda": 0.3}
    assert found[other]["rerank"] == {"k1": 15, "k2": 6, "lambda": 0.5}
    assert found[names[3]]["aim"] == {"k1": 8, "k2": 2}
    assert found[names[2]]["expansion"] == {"k": 5, "alpha": 3.0}
    assert [found[name]["uses"] for name in names[1:]] == [["queries", "gallery"]] + 2 * [
        ["gallery"]
    ]
    assert all(found[name]["transductive"] and found[name]["reranked"] for name in names[1:])
    assert "transductive" not in found[plain]
    assert len({found[name]["mean"]["mAP"] for name in found}) > 3


def test_reranked_scores_leave_with_the_plain_ones_of_their_rules(sysu, tmp_path):
    """Scores of another metric would stand beside plain ones that they do not belong to."""
    out = tmp_path / "r.json"
    common = ["--features", sysu, "--protocols", "sysu_all_single", "--gallery-draw", "seeded"]
    common += ["--out", out]
    assert run(*common, "--expansion", "--aim", "--aim-k1", 3, "--aim-k2", 1) == 0
    assert run(*common, "--metric", "euclidean") == 0
    assert [(name, entry["metric"]) for name, entry in entries(out).items()] == [
        ("sysu_all_single", "euclidean"),
        ("sysu_all_single+aim", "cosine"),  # which it always is
    ]


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["--rerank-k1", 9], 2, "--rerank-k1 is a constant of --rerank: add --rerank"),
        (
            ["--rerank", "--rerank-lambda", 2],
            2,
            "must be at least 0 and at most 1, not 2",
        ),
        (["--aim", "--aim-k2", 0], 2, "TEST.AIM_K2 (--aim-k2) must be at least 1, not 0"),
        (["--expansion", "--expansion-k", 10**6], 3, "and the gallery holds "),
    ],
)
def test_constants_that_cannot_be_are_one_line(llcm, capsys, words, code, problem):
    assert run("--features", llcm, "--protocols", "llcm_n2v", *words) == code
    error = capsys.readouterr().err
    assert problem in error and error.count("\n") == 1
    assert not llcm.with_name("results.json").exists()


def test_metric_is_stated_and_changes_the_scores(sysu, tmp_path):
    found = {}
    for metric in ("cosine", "euclidean"):
        out = tmp_path / f"{metric}.json"
        chosen = ("--metric", metric, "--gallery-draw", "seeded", "--out", out)
        assert run("--features", sysu, "--protocols", "sysu_all_single", *chosen) == 0
        found[metric] = entries(out)["sysu_all_single"]
        assert found[metric]["metric"] == metric
    assert found["cosine"]["mean"] != found["euclidean"]["mean"]


def test_official_mat_folder_is_scored_for_the_test_identities(tmp_path, permutations):
    arrays, folder = sysu_arrays(), tmp_path / "mat"
    folder.mkdir()
    for camera in range(1, 7):
        cells = np.empty((9, 1), dtype=object)
        for pid in range(1, 10):
            chosen = (arrays["camids"] == camera) & (arrays["pids"] == pid)
            cells[pid - 1, 0] = arrays["features"][chosen]
        cells[8, 0] = np.ones((2, 4))  # an identity that does not test
        savemat(folder / f"feat_cam{camera}.mat", {"feature": cells})
    (tmp_path / "test_id.txt").write_text("3,8\n")
    common = ["--features", folder, "--protocols", "sysu_all_single"]
    common += ["--permutations", permutations]
    assert run(*common) == 3  # identity 9 is unknown to the permutations
    assert run(*common, "--test-ids", tmp_path / "test_id.txt") == 0
    assert entries(folder / "results.json")["sysu_all_single"]["num_query"] == 48


@pytest.mark.parametrize(
    ("arguments", "code", "phrase"),
    [
        (["--protocols", "sysu_all_single"], 3, "sysu_all_single"),
        (["--protocols", "lcm"], 2, "llcm_v2n"),
        ([], 2, "--protocols"),
        (["--protocols", "llcm", "--test-ids", "gone.txt"], 3, "gone.txt"),
        (["--protocols", "llcm", "TEST.FLIP", "true"], 2, "--run"),
        (["--protocols", "llcm", "--root", "x"], 2, "--root"),
        (["--protocols", "llcm", "--out", "nowhere/results.json"], 2, "nowhere"),
        (["--protocols", "llcm", "--gallery-draw", "official"], 2, "seeded rule only"),
        (["--protocols", "llcm", "--features", "gone.npz"], 3, "gone.npz"),
        (["--protocols", "llcm", "--out", "llcm.npz"], 2, "it is being read"),
    ],
)
def test_mistakes_are_one_line_with_the_documented_code(
    llcm, monkeypatch, capsys, arguments, code, phrase
):
    monkeypatch.chdir(llcm.parent)
    before = llcm.read_bytes()
    assert run("--features", "llcm.npz", *arguments) == code
    error = capsys.readouterr().err
    assert phrase in error and error.count("\n") == 1
    assert [path.name for path in llcm.parent.iterdir()] == ["llcm.npz"]
    assert llcm.read_bytes() == before


def test_scores_of_something_else_are_not_written_over(llcm, capsys):
    write_features(llcm.with_name("regdb.npz"), regdb_features(1))
    assert run("--features", llcm, "--protocols", "llcm_v2n") == 0
    before = llcm.with_name("results.json").read_bytes()
    assert run("--features", llcm.with_name("regdb.npz"), "--protocols", "regdb") == 2
    assert "--out" in capsys.readouterr().err
    assert llcm.with_name("results.json").read_bytes() == before
    assert run("--features", llcm, "--protocols", "llcm_n2v") == 0  # its own may be renewed


def test_options_of_features_do_not_go_with_a_run(tmp_path, capsys):
    assert run("--run", tmp_path, "--permutations", "p.mat") == 2
    assert "--permutations" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        run("--run", tmp_path, "--features", "f.npz")


@pytest.mark.parametrize(
    ("dropped", "phrase"),
    [
        (lambda a: a["camids"] == 6, "camera 6"),
        (lambda a: a["camids"] == 3, "camera 3"),
        (lambda a: (a["camids"] == 6) & (a["pids"] == 8), "camera 6, identity 8: no image"),
        (lambda a: a["paths"] == "cam3/0003/0007.jpg", "camera 3, identity 3: 11 images"),
        (lambda a: (a["pids"] == 8) & (a["modality"] == 0), "identity 8: no image"),
        (lambda a: a["paths"] == "cam4/0008/0012.jpg", "camera 4, identity 8: 11 images"),
    ],
)
def test_a_part_of_the_test_set_is_not_scored_as_the_whole(
    tmp_path, permutations, capsys, dropped, phrase
):
    arrays = sysu_arrays()
    kept = ~dropped(arrays)
    np.savez(tmp_path / "part.npz", **{name: values[kept] for name, values in arrays.items()})
    arrays["modality"][arrays["camids"] == 3] = 0
    np.savez(tmp_path / "odd.npz", **arrays)
    arguments = ("--protocols", "sysu_all_single", "--permutations", permutations)
    assert run("--features", tmp_path / "part.npz", *arguments) == 3
    assert phrase in capsys.readouterr().err
    assert run("--features", tmp_path / "odd.npz", *arguments) == 3  # camera in another modality
    assert "camera 3" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_protocols_scored_before_stay_until_the_features_change(llcm):
    target = llcm.with_name("results.json")
    assert run("--features", llcm, "--protocols", "llcm_v2n") == 0
    assert run("--features", llcm, "--protocols", "llcm_n2v") == 0
    assert set(entries(target)) == {"llcm_v2n", "llcm_n2v"}
    with np.load(llcm) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(llcm, **{**arrays, "features": -arrays["features"]})
    assert run("--features", llcm, "--protocols", "llcm_n2v") == 0
    assert set(entries(target)) == {"llcm_n2v"}


def test_a_device_is_said_to_have_no_effect_on_features(llcm, capsys):
    arguments = ("--features", llcm, "--protocols", "llcm_v2n")
    assert run(*arguments, "--device", "cuda:3") == 0
    said = "--device cuda:3 has no effect: features are scored on the processor"
    assert capsys.readouterr().out.splitlines()[0] == said
    assert run(*arguments) == 0
    assert "--device" not in capsys.readouterr().out
