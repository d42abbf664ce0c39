"""Runs on data sets of others: the matrix, what it keeps, marks and refuses."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.helpers import write_veri
from tests.run_files import change_checkpoint, last
from vireid.cli import crosseval, evaluate
from vireid.crosseval import cells, tables
from vireid.crosseval.sets import parse_sets, protocols_of
from vireid.crosseval.trained import EvaluatedRun
from vireid.data.datasets import sysu
from vireid.engine.checkpoint import LAST
from vireid.errors import UsageError
from vireid.evaluation.results import COLUMNS, read_results
from vireid.figures import style
from vireid.runs.options import run_config
from vireid.structures import Modality
from vireid.synthetic.writers import write_set

PROTOCOLS = ("--protocols", "sysu_all_single", "llcm_n2v", "folder", "veri")
SHARED = 3  # training images of the runs among the test images of the set "photos"


@pytest.fixture(scope="module")
def place(small_run, tiny_sysu, tmp_path_factory) -> Path:
    """Two seeds of one recipe with other weights, a third run, and data sets."""
    home = tmp_path_factory.mktemp("crosseval")
    for seed in (0, 1):
        run = shutil.copytree(small_run, home / f"runs/small/seed{seed}")
        shutil.rmtree(run / "figures")
        if seed:
            generator = np.random.default_rng(seed)
            model = last(run)["model"]
            for tensor in model.values():
                if tensor.is_floating_point() and tensor.ndim > 1:
                    tensor += 0.05 * tensor.new_tensor(generator.standard_normal(tensor.shape))
            change_checkpoint(run / LAST, model=model)
    shutil.copytree(home / "runs/small/seed1", home / "runs/other")
    small = {"images_per_camera": 1, "size": (32, 32), "train_ids": 2, "test_ids": 4}
    write_set("llcm", home / "llcm", **small, seed=5)
    write_set("folder", home / "photos/test", **small, seed=6)  # all of its people are tested
    write_veri(home / "cars", lists=False)
    visible = sorted((home / "photos/test/visible").glob("*/*"))[:SHARED]
    trained = [r.path for r in sysu.load(tiny_sysu).train if r.modality is Modality.VISIBLE]
    for target, path in zip(visible, trained, strict=False):
        shutil.copy(tiny_sysu / path, target)
    return home


def words(place: Path, tiny_sysu: Path, out: Path, *runs: str) -> list[str]:
    sets = [f"sysu={tiny_sysu}", f"llcm={place / 'llcm'}", f"my photos:folder={place / 'photos'}"]
    folders = [str(place / "runs" / name) for name in runs or ("small", "other")]
    return [
        "--runs",
        *folders,
        "--sets",
        *sets,
        *PROTOCOLS[:-1],
        "--out",
        str(out),
        "--device",
        "cpu",
    ]


@pytest.fixture(scope="module", autouse=True)
def drawn_figures() -> Iterator[list[Figure]]:
    """The figures that are drawn, of few pixels."""
    save, found = Figure.savefig, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 30)
        patch.setattr(Figure, "savefig", lambda f, *a, **k: found.append(f) or save(f, *a, **k))
        yield found


@pytest.fixture(scope="module")
def matrix(place, tiny_sysu, tmp_path_factory) -> tuple[Path, str]:
    """The folder of a finished table, and what the tool printed. Never write into it."""
    out = tmp_path_factory.mktemp("tables") / "cross"
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("vireid.crosseval.matrix.say", printed.append)
        assert crosseval.main(words(place, tiny_sysu, out)) == 0
    return out, "\n".join(printed)


def rows(out: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    with (out / "crosseval.csv").open(encoding="utf-8") as file:
        return {(r["recipe"], r["set"], r["protocol"]): r for r in csv.DictReader(file)}


def markdown(out: Path) -> list[list[str]]:
    lines = (out / "crosseval.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_folder_holds_the_table_three_times_the_figure_and_every_cell(matrix):
    out, printed = matrix
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    written = {f"crosseval.{kind}" for kind in ("md", "csv", "tex", "png")}
    stems = [re.sub("-[0-9a-f]{8}", "", name) for name in files - written]
    assert written < files and sorted(stems) == sorted(
        f"cells/{one}/{run}.json"
        for one in ("sysu", "llcm", "my_photos")
        for run in ("small_seed0", "small_seed1", "other")
    )
    assert (out / "crosseval.png").read_bytes()[:4] == b"\x89PNG"
    assert "9 of 9: other on my photos: scored" in printed
    assert "whether llcm and sysu show the same people or places" in printed


def test_a_cell_is_what_evaluate_says_of_the_same_run_and_set(matrix, place, tmp_path):
    out, _ = matrix
    line = ["--run", str(place / "runs/small/seed1"), "--dataset", "llcm"]
    line += ["--root", str(place / "llcm"), "--protocols", "llcm_n2v"]
    assert evaluate.main([*line, "--out", str(tmp_path / "r.json")]) == 0
    (file,) = (out / "cells/llcm").glob("small_seed1-*.json")
    assert read_results(file)["protocols"] == read_results(tmp_path / "r.json")["protocols"]


def test_seeds_of_one_recipe_are_averaged_with_their_spread(matrix):
    out, _ = matrix
    for (recipe, label, protocol), row in rows(out).items():
        files = (out / "cells" / label.replace(" ", "_")).glob(f"{recipe}*.json")
        means = [read_results(file)["protocols"][protocol]["mean"] for file in files]
        assert int(row["runs"]) == int(row["of"]) == len(means) == (2 if recipe == "small" else 1)
        for metric in COLUMNS:
            values = [100 * mean[metric] for mean in means]
            assert float(row[f"{metric}_mean"]) == pytest.approx(np.mean(values), abs=5e-5)
            assert float(row[f"{metric}_std"]) == pytest.approx(np.std(values), abs=5e-5)
    assert any(float(r["mAP_std"]) > 0 for r in rows(out).values())  # the two seeds differ


def test_markdown_latex_and_csv_hold_the_same_numbers(matrix):
    out, _ = matrix
    head, _, *lines = markdown(out)
    assert head[:4] == ["run", "trained on", "runs", "metric"]
    columns = ["sysu_all_single", "llcm_n2v", "my photos: v2i", "my photos: i2v"]
    assert head[4:] == columns
    tex = [x for x in (out / "crosseval.tex").read_text().splitlines() if " & " in x][2:]
    keys = [("sysu", "sysu_all_single"), ("llcm", "llcm_n2v")]
    keys += [("my photos", "folder_v2i"), ("my photos", "folder_i2v")]
    metrics = {"rank-1": "rank1", "mAP": "mAP", "mINP": "mINP"}
    assert len(lines) == len(tex) == 6
    for line, latex in zip(lines, tex, strict=True):
        texts = latex.removesuffix(r" \\").replace(r"$\pm$", "±").split(" & ")
        assert texts == line
        for key, text in zip(keys, line[4:], strict=True):
            row, metric = rows(out)[(line[0], *key)], metrics[line[3]]
            numbers = re.findall(r"\d+\.\d\d", text)
            given = [row[f"{metric}_mean"], *([row[f"{metric}_std"]] if row["of"] != "1" else [])]
            assert numbers == [f"{float(number):.2f}" for number in given]


def test_the_own_data_set_is_marked(matrix, drawn_figures):
    out, _ = matrix
    assert {key[1] for key, row in rows(out).items() if row["own"] == "True"} == {"sysu"}
    for line in markdown(out)[2:]:
        assert ["*" in text for text in line[4:]] == [True, False, False, False]
    for axes in drawn_figures[0].axes[:2]:
        frames = sorted((patch.get_x(), patch.get_y()) for patch in axes.patches)
        np.testing.assert_allclose(frames, [(-0.47, -0.4), (0.53, -0.4)])  # both runs, first row


def test_images_that_train_and_test_are_found(matrix):
    out, printed = matrix
    for (_, label, _), row in rows(out).items():
        assert row["shared_images"] == str(SHARED if label == "my photos" else 0)
    assert f"{SHARED} test images are among the training images, such as" in printed
    assert all("†" in text for line in markdown(out)[2:] for text in line[6:])


@pytest.fixture
def scored(monkeypatch) -> list[str]:
    """The cells that are computed."""
    names: list[str] = []
    plain = cells.score

    def counted(cfg, model, splits, protocols, **rest):
        names.append(f"{cfg.DATA.DATASET} {' '.join(one.name for one in protocols)}")
        return plain(cfg, model, splits, protocols, **rest)

    monkeypatch.setattr(cells, "score", counted)
    return names


def test_a_stopped_call_is_continued(matrix, place, tiny_sysu, tmp_path, monkeypatch, scored):
    """By Ctrl-C within the third cell; finished cells stay byte for byte."""
    plain, out = cells.score, tmp_path / "cross"

    def stopped(*given, **rest):
        if len(scored) == 2:
            raise KeyboardInterrupt
        return plain(*given, **rest)

    line = words(place, tiny_sysu, out, "other")
    monkeypatch.setattr(cells, "score", stopped)
    assert crosseval.main(line) == 130
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.json")}
    assert len(kept) == 2 and not (out / "crosseval.csv").exists()
    monkeypatch.setattr(cells, "score", plain)
    scored.clear()
    assert crosseval.main(line) == 0
    assert scored == ["folder folder_v2i folder_i2v"]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    (of_other,) = (out / "cells/my_photos").glob("*.json")
    first = matrix[0] / "cells/my_photos" / of_other.name
    assert read_results(of_other)["protocols"] == read_results(first)["protocols"]


def test_only_what_changed_is_scored_again(matrix, place, tiny_sysu, tmp_path, scored):
    out = shutil.copytree(matrix[0], tmp_path / "out")
    photos = shutil.copytree(place / "photos", tmp_path / "photos")  # moved, with the same images
    (damaged,) = (out / "cells/sysu").glob("other-*.json")
    damaged.write_text("{")
    (partial,) = (out / "cells/my_photos").glob("other-*.json")
    content = json.loads(partial.read_text())
    content["source"]["crosseval"]["overlap"]["tested"] = "6"
    partial.write_text(json.dumps(content))
    line = words(place, tiny_sysu, out, "other")
    line[line.index("my photos:folder=" + str(place / "photos"))] = f"my photos:folder={photos}"
    assert crosseval.main([*line, "--protocols", *PROTOCOLS[1:-1], "llcm_v2n"]) == 0
    assert scored == [
        "sysu sysu_all_single",
        "llcm llcm_v2n",  # llcm_n2v is kept
        "folder folder_v2i folder_i2v",
    ]
    scored.clear()
    image = next((photos / "test/infrared").glob("*/*"))
    image.write_bytes(image.read_bytes() + b"\0")
    assert crosseval.main([*line, *PROTOCOLS[:-1]]) == 0
    assert scored == ["folder folder_v2i folder_i2v"]
    scored.clear()
    assert crosseval.main([*line, *PROTOCOLS[:-1], "TEST.FLIP", "true"]) == 0
    assert len(scored) == 3


def test_a_cell_that_fails_is_reported_and_the_others_finish(place, tiny_sysu, tmp_path, capsys):
    bare = shutil.copytree(tiny_sysu, tmp_path / "bare")
    (bare / "exp/rand_perm_cam.mat").unlink()
    out = tmp_path / "cross"
    sets = [f"cars:veri={place / 'cars'}", f"bare:sysu={bare}", f"sysu={tiny_sysu}"]
    line = ["--runs", str(place / "runs/other"), "--sets", *sets, *PROTOCOLS[:2], "veri"]
    assert crosseval.main([*line, "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "2 of 3 scores are missing (some cells failed)" in error
    assert "other on cars (veri): the run was trained on visible and infrared images" in error
    assert "other on bare (sysu_all_single): the gallery is drawn by SYSU-MM01's" in error
    head, _, first, *_ = markdown(out)
    assert head[4:] == ["cars: veri", "bare: all_single", "sysu_all_single"]
    assert first[4:6] == ["–", "–"] and float(first[6].rstrip("*")) > 0
    assert "\n- other on cars (veri): " in (out / "crosseval.md").read_text(encoding="utf-8")
    # a draw that this protocol has is the remedy that the message names
    line = [word for word in line if not word.startswith("cars:") and word != "veri"]
    assert crosseval.main([*line, "--out", str(out), "TEST.GALLERY_DRAW", "seeded"]) == 0


def test_corrupted_columns_are_beside_the_clean_ones(matrix, place, tmp_path, scored):
    """They are added to what was scored before, and are those of ``evaluate --corrupted``."""
    out = shutil.copytree(matrix[0], tmp_path / "out")
    line = ["--runs", str(place / "runs/other"), "--sets", f"llcm={place / 'llcm'}"]
    line += ["--protocols", "llcm_n2v", "--corrupted", "--out", str(out)]
    assert crosseval.main(line) == 0
    assert scored == ["llcm llcm_n2v+corrupted"]
    assert markdown(out)[0][4:] == ["llcm_n2v", "llcm_n2v+corrupted"]
    line = ["--run", str(place / "runs/other"), "--dataset", "llcm"]
    line += ["--root", str(place / "llcm"), "--protocols", "llcm_n2v", "--corrupted"]
    assert evaluate.main([*line, "--out", str(tmp_path / "r.json")]) == 0
    (file,) = (out / "cells/llcm").glob("other-*.json")
    found, expected = (read_results(path)["protocols"] for path in (file, tmp_path / "r.json"))
    assert found["llcm_n2v+corrupted"]["trials"] == expected["llcm_n2v+corrupted"]["trials"]
    assert found["llcm_n2v+corrupted"]["mean"] != found["llcm_n2v"]["mean"]


def test_rows_of_unlike_rules_are_named(place, tiny_sysu):
    (one,) = parse_sets([f"sysu={tiny_sysu}"])
    same = {"gallery_draw": "official", "cmc_unit": "identity", "num_query": 9, "num_gallery": 4}
    of = {"trained_on": "sysu", "on": one, "protocol": "sysu_all_single", "own": True, "of": 1}
    of |= {"shared_images": 0, "shared_identities": 0, "runs": 1, "mean": {}, "std": {}}
    scores = [
        tables.MeanScore(recipe=name, problem="", rules={**same, "metric": metric}, **of)
        for name, metric in (("a", "cosine"), ("b", "cosine"), ("c", "euclidean"))
    ]
    assert tables.unlike(scores[:2]) == []
    assert tables.unlike(scores) == [
        "sysu_all_single: metric is euclidean for c, cosine for a: do not compare these rows"
    ]


def test_data_that_are_gone_or_have_the_same_numbers_are_said(place, tmp_path, capsys):
    """The runs' own data set is gone, and the test set counts its identities as that did."""
    home = tmp_path / "runs/other"
    shutil.copytree(place / "runs/other", home)
    config = (home / "config.yaml").read_text()
    root = run_config(home).DATA.ROOT
    (home / "config.yaml").write_text(config.replace(root, str(tmp_path / "gone")))
    small = {"images_per_camera": 1, "size": (32, 32), "train_ids": 1, "test_ids": 3}
    write_set("sysu", tmp_path / "twin", **small, seed=9)
    line = ["--runs", str(home), "--sets", f"sysu={tmp_path / 'twin'}", *PROTOCOLS[:2]]
    assert crosseval.main([*line, "--out", str(tmp_path / "cross")]) == 0
    printed = capsys.readouterr().out
    assert "not checked for images that train and test share: the training data" in printed
    assert "3 of 3 test identities have the number or name of a training identity" in printed
    (row,) = rows(tmp_path / "cross").values()
    assert (row["own"], row["shared_images"], row["shared_identities"]) == ("False", "", "3")
    assert markdown(tmp_path / "cross")[2][4].endswith("‡")


@pytest.mark.parametrize(
    ("texts", "phrases"),
    [
        (["/data/SYSU"], ["'/data/SYSU'", "NAME=ROOT"]),
        (["sysu="], ["NAME=ROOT"]),
        (["=/data"], ["NAME=ROOT"]),
        ([":sysu=/data"], ["NAME=ROOT"]),
        (["sisu=/data"], ["'sisu'", "choose one of sysu, regdb"]),
        (["a/b:sysu=/data"], ["label 'a/b'", "40 letters"]),
        (["sysu=/a", "sysu=/b"], ["/a has the label 'sysu'", "such as b:sysu=/b"]),
        (["a b:sysu=/a", "A_B:llcm=/b"], ["has the label 'a b'"]),
        (["a:sysu=/a", "b:sysu=/a/../a"], ["named twice"]),
    ],
)
def test_sets_of_another_form_are_refused(texts, phrases, tmp_path, capsys):
    line = ["--runs", "runs/none", "--sets", *texts, "--out", str(tmp_path / "out")]
    assert crosseval.main(line) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(phrase in error for phrase in phrases), error
    assert not (tmp_path / "out").exists()


def test_labels_may_hold_equals_and_colons_only_in_the_folder():
    (one,) = parse_sets(["night 2:csv=/data/a=b:c"])
    assert (one.label, one.dataset, str(one.root)) == ("night 2", "csv", "/data/a=b:c")
    assert one.column("csv_v2i") == "night 2: v2i" and one.stem == "night_2"


def test_protocols_go_to_the_sets_that_they_are_about():
    sets = parse_sets(["sysu=/a", "x:llcm=/b", "veri=/c"])
    names = {k: [p.name for p in of] for k, of in protocols_of(sets).items()}
    assert names["x"] == ["llcm_v2n", "llcm_n2v"] and names["veri"] == ["veri"]
    assert len(names["sysu"]) == 4
    asked = ["sysu_all_single", "llcm_n2v", "val"]
    names = {k: [p.name for p in of] for k, of in protocols_of(sets, asked).items()}
    assert names == {
        "sysu": ["sysu_all_single", "val_v2i", "val_i2v"],
        "x": ["llcm_n2v", "val_v2i", "val_i2v"],
        "veri": ["val_v2v"],
    }
    asked = ["sysu_all_single", "sysu_all_multi+corrupted", "llcm_n2v", "veri"]
    names = [p.name for p in protocols_of(sets, asked, corrupted=True)["sysu"]]
    first = ["sysu_all_single", "sysu_all_single+corrupted"]
    assert names == [*first, "sysu_all_multi+corrupted"]
    for wrong, phrase in (
        (["sysu", "regdb"], "regdb is about none"),
        (["sysu"], "none is about the data set x"),
        (["sysu_al_single"], "unknown protocol"),
    ):
        with pytest.raises(UsageError, match=phrase):
            protocols_of(sets, wrong)


@pytest.mark.parametrize(
    ("extra", "code", "phrase"),
    [
        (["DATA.ROOT", "/data"], 2, "use --sets NAME=ROOT"),
        (["TEST.RERANK", "true"], 2, "holds plain scores"),
        (["--sets", "sysu=/nowhere"], 3, "data set folder /nowhere not found"),
        (["--runs", "/nowhere"], 4, "there is no run folder /nowhere"),
        (["--out", "{run}"], 2, "holds a run"),
        (["--out", "{root}/cross"], 2, "is in the data set"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_first_cell(
    extra, code, phrase, place, tiny_sysu, tmp_path, capsys, scored
):
    named = {"{run}": str(place / "runs/other"), "{root}/cross": f"{tiny_sysu}/cross"}
    line = ["--runs", str(place / "runs/other"), "--sets", f"sysu={tiny_sysu}"]
    line += ["--out", str(tmp_path / "out"), *(named.get(word, word) for word in extra)]
    assert crosseval.main(line) == code
    assert phrase in capsys.readouterr().err and scored == []


def evaluated(place: Path, name: str, *options: str, **facts) -> EvaluatedRun:
    cfg = run_config(place / "runs/other", options)
    of = {"dataset": "folder", "data": "0", "split_trial": None, "pids": (1,), "epoch": 1}
    folder = Path(name)
    return EvaluatedRun(folder, folder, name, cfg, cfg, digest="0" * 64, **(of | facts))


def test_a_set_is_read_by_the_options_of_the_runs_that_it_trained(place, tmp_path):
    (one,) = parse_sets([f"folder={tmp_path}"])
    here = ("DATA.DATASET", "folder", "DATA.ROOT", str(tmp_path), "DATA.TEST_SHARE")
    runs = [evaluated(place, "a", *here, "0.3"), evaluated(place, "b", dataset="csv")]
    found = cells._reader_words(one, runs, [])
    assert dict(zip(found[::2], found[1::2], strict=True)) == {
        "DATA.TEST_SHARE": "0.3",
        "DATA.SPLIT_SEED": "0",
        "DATA.CAMERA_PATTERN": "",
    }
    runs.append(evaluated(place, "c", *here, "0.4"))
    with pytest.raises(UsageError, match=r"DATA\.TEST_SHARE .* is '0\.3' in a, '0\.4' in c"):
        cells._reader_words(one, runs, [])
    assert "DATA.TEST_SHARE" not in cells._reader_words(one, runs, ["DATA.TEST_SHARE", "0.2"])


def test_a_run_is_scored_on_its_own_split_only(place):
    own = evaluated(place, "a", split_trial=3)
    assert cells._trial_words(own, ["DATA.TRIAL", "1"]) == ["DATA.TRIAL", "3"]
    other = evaluated(place, "b")
    assert cells._trial_words(other, []) == ["DATA.TRIAL", "1"]
    assert cells._trial_words(other, ["DATA.TRIAL", "2"]) == []


def test_a_file_of_validation_identities_is_read_for_the_runs_own_set_alone(
    place, tiny_sysu, tmp_path
):
    pid = sysu.load(tiny_sysu).train_pids[0]
    (file := tmp_path / "val.txt").write_text(f"{pid}\n")
    here = ("DATA.ROOT", str(tiny_sysu), "DATA.SPLIT", "train", "DATA.VAL_IDS", str(file))
    sets = parse_sets([f"sysu={tiny_sysu}", f"photos:folder={place / 'photos'}"])
    run = evaluated(place, "a", *here, dataset="sysu")
    own, other = cells.plan_cells([run], sets, protocols_of(sets, ["val"]), [], tmp_path)
    assert (own.cfg.DATA.VAL_IDS, other.cfg.DATA.VAL_IDS) == (str(file), "")
    assert {record.pid for record in own.splits.val} == {pid}
