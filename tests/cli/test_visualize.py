"""The tools' files, what they print, and one clear line for each mistake."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from vireid.cli import visualize
from vireid.deploy.deployed_model import deployed_model
from vireid.deploy.model_folder import write_model_folder
from vireid.evaluation.feature_files import read_features, write_features
from vireid.figures.distances import distances


@pytest.fixture(scope="module")
def run(finished_run, tmp_path_factory) -> Path:
    """A copy that figures may write into."""
    folder = tmp_path_factory.mktemp("runs") / "copy"
    shutil.copytree(finished_run, folder)
    return folder


def lines_of(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_lists_of_a_run_tell_its_scores(run, tmp_path, capsys):
    results = json.loads((run / "results.json").read_text())["protocols"]["sysu_all_single"]
    out = ["--out", str(tmp_path / "a.png"), "--top", "1"]
    everyone = ["--count", str(results["num_valid_query"])]
    assert visualize.main(["ranks", "--run", str(run), "--trial", "7", *out, *everyone]) == 0
    text = "\n".join(lines_of(capsys))
    found = re.findall(r"AP (\S+), first true match: rank \d+, id rank (\d+)", text)
    precision, first = np.array(found, dtype=float).T
    assert precision.mean() == pytest.approx(results["trials"][6]["mAP"], abs=5e-4)
    assert (first == 1).mean() == pytest.approx(results["trials"][6]["rank1"])
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_worst_of_a_run_and_of_its_features_are_the_same(
    run, features, tiny_sysu, tmp_path, capsys
):
    options = ["--worst", "first", "--count", "2", "--top", "3", "--out"]
    of_run = ["ranks", "--run", str(run), *options, str(tmp_path / "a.png")]
    assert visualize.main([*of_run, "TEST.GALLERY_DRAW", "seeded"]) == 0
    one = lines_of(capsys)
    of_file = ["ranks", "--features", str(features), *options, str(tmp_path / "b.png")]
    rules = ["--root", str(tiny_sysu), "--protocol", "sysu_all_single", "--gallery-draw", "seeded"]
    assert visualize.main([*of_file, *rules]) == 0
    two = lines_of(capsys)
    start = next(k for k, line in enumerate(one) if line.startswith("sysu_all_single"))
    assert one[start:-1] == two[:-1] and len(two) == 5
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_names_in_the_file_choose_queries_and_images_are_kept(
    features, tiny_sysu, tmp_path, capsys
):
    with np.load(features) as file:
        arrays = dict(file)
    names = [f"<b>$\x1b{pid}" for pid in arrays["pids"].tolist()]
    np.savez(tmp_path / "named.npz", **arrays | {"pids": np.array(names)})
    rules = ["--root", str(tiny_sysu), "--protocol", "sysu_all_single", "--gallery-draw", "seeded"]
    arguments = ["ranks", "--features", str(tmp_path / "named.npz"), *rules, "--top", "1"]
    path = next(p for p in arrays["paths"].tolist() if p.startswith("cam3"))
    wanted = names[arrays["paths"].tolist().index(path)]
    out = ["--out", str(tmp_path / "a.svg"), "--queries", wanted]
    assert visualize.main([*arguments, *out]) == 0
    printed = capsys.readouterr().out
    assert "identity <b>$" in printed and "\x1b" not in printed
    image, before = tiny_sysu / path, (tiny_sysu / path).read_bytes()
    of_set = ["sheet", "--dataset", "sysu", "--root", str(tiny_sysu)]
    for words in (arguments, of_set):
        assert visualize.main([*words, "--out", str(image)]) == 2
        assert "is an image of the data set" in capsys.readouterr().err
    assert image.read_bytes() == before


def test_chosen_queries_come_in_their_order(run, features, tmp_path, capsys):
    paths = read_features(features).paths
    chosen = [path for path in paths.tolist() if path.startswith(("cam3", "cam6"))][5:2:-1]
    arguments = ["ranks", "--run", str(run), "--out", str(tmp_path / "a.svg"), "--top", "2"]
    assert visualize.main([*arguments, "--queries", *chosen, "TEST.METRIC", "euclidean"]) == 0
    printed = lines_of(capsys)
    assert [line.split()[0] for line in printed if line.startswith("  ")] == chosen
    assert any("euclidean" in line for line in printed)


def test_printed_means_are_the_features(features, run, tmp_path, capsys):
    arguments = ["distances", str(features), str(run), "--titles", "file", "run"]
    assert visualize.main([*arguments, "--out", str(tmp_path / "a.pdf")]) == 0
    found = distances(read_features(features))
    mean = f"{found.mean['intra']:.4f} ± {found.std['intra']:.4f}"
    printed = [line for line in lines_of(capsys) if "same identity" in line]
    assert [line.split(":")[0] for line in printed] == ["file", "run"]
    assert all(mean in line and f"gap {found.gap:.4f}" in line for line in printed)
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_options_of_a_run_stand_behind_the_folders(run, tmp_path, capsys):
    arguments = ["distances", str(run), "TEST.EXIT", "shallow1", "--out", str(tmp_path / "a.png")]
    assert visualize.main(arguments) == 0
    assert (run / "features_exit-shallow1.npz").is_file()


def test_maps_are_kept_and_drawn_again(run, tmp_path, capsys):
    out = tmp_path / "a.png"
    assert visualize.main(["activations", "--run", str(run), "--ids", "1", "--out", str(out)]) == 0
    assert "2 images, exits shallow1, shallow2, shallow3, deep" in capsys.readouterr().out
    again = ["activations", "--maps", str(tmp_path / "a.npz"), "--out", str(tmp_path / "b.png")]
    assert visualize.main(again) == 0
    assert out.read_bytes() == (tmp_path / "b.png").read_bytes()


def test_maps_of_files_equal_those_of_the_data_set(run, features, tiny_sysu, tmp_path):
    name = next(path for path in read_features(features).paths if "cam3" in path)
    out, options = tmp_path / "a.png", ["activations", "--run", str(run), "--out"]
    assert visualize.main([*options, str(out), "--images", name]) == 0
    given = ["--files", str(tiny_sysu / name), "--modality", "thermal"]
    assert visualize.main([*options, str(tmp_path / "b.png"), *given, "--cells"]) == 0
    one, two = (np.load(tmp_path / f"{stem}.npz") for stem in "ab")
    for key in ("images", "modality", "map_deep", "map_shallow1"):
        np.testing.assert_array_equal(one[key], two[key])
    assert two["labels"].tolist() == [str(tiny_sysu / name)]
    assert out.read_bytes() != (tmp_path / "b.png").read_bytes()


def test_maps_of_a_query_and_what_it_finds(run, features, tiny_sysu, tmp_path):
    """The first match and first wrong image; then the same pairs by a model folder, as files."""
    known = read_features(features)
    name = next(path for path in known.paths if "cam3" in path)
    options = ["match", "--run", str(run), "--query", name, "TEST.GALLERY_DRAW", "seeded"]
    assert visualize.main([*options, "--top", "0", "--out", str(tmp_path / "a.png")]) == 0
    found = np.load(tmp_path / "a.npz")
    same = np.isin(found["paths"][1:], known.paths[known.pids == known.pids[known.paths == name]])
    assert sorted(same.tolist()) == [False, True]
    assert [title[0] for title in found["titles"]] == ["✓" if one else "✗" for one in same]
    for path, similarity in zip(found["paths"][1:], found["similarity"], strict=True):
        vectors = known.features[[known.paths.tolist().index(one) for one in (name, path)]]
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        assert similarity == pytest.approx(vectors[0] @ vectors[1], abs=1e-5)

    (tmp_path / "model").mkdir()
    write_model_folder(deployed_model(run), run, tmp_path / "model", name="tiny")
    files = ["match", "--run", str(tmp_path / "model")]
    files += ["--query", str(tiny_sysu / name), "--query-modality", "infrared"]
    files += ["--match", *(str(tiny_sysu / path) for path in found["paths"][1:])]
    assert (
        visualize.main([*files, "--match-modality", "rgb", "--out", str(tmp_path / "b.png")]) == 0
    )
    np.testing.assert_allclose(np.load(tmp_path / "b.npz")["maps"], found["maps"], atol=1e-6)
    again = ["match", "--maps", str(tmp_path / "a.npz"), "--out", str(tmp_path / "c.png")]
    assert visualize.main(again) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_maps_replace_maps_and_nothing_else(run, tmp_path, capsys):
    np.savez(tmp_path / "features.npz", features=np.zeros(3))
    before = (tmp_path / "features.npz").read_bytes()
    out = ["--out", str(tmp_path / "features.png")]
    assert visualize.main(["activations", "--run", str(run), *out]) == 2
    assert "features.npz holds something else than maps" in capsys.readouterr().err
    assert (tmp_path / "features.npz").read_bytes() == before


def test_curves_of_runs(run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("metrics.csv", "results.json"):
        shutil.copy(run / name, other)
    runs = ["curves", str(run), str(other)]
    assert visualize.main([*runs, "--out", str(tmp_path / "a.svg"), "--terms", "kl"]) == 0
    assert "<!-- student heads: KL divergence," in (tmp_path / "a.svg").read_text()
    assert visualize.main([*runs, "--kind", "cmc", "--out", str(tmp_path / "b.svg")]) == 0
    assert (tmp_path / "b.svg").read_text().count("<!-- sysu_all_single -->") == 1


def test_a_sheet_of_a_run_is_one_of_its_data_set(run, tiny_sysu, tmp_path, capsys):
    options = ["--ids", "2", "--split", "train", "--out"]
    assert visualize.main(["sheet", "--run", str(run), *options, str(tmp_path / "a.jpg")]) == 0
    of_set = ["sheet", "--dataset", "sysu", "--root", str(tiny_sysu)]
    assert visualize.main([*of_set, *options, str(tmp_path / "b.jpg")]) == 0
    one, two = lines_of(capsys)
    assert one.split(": ", 1)[1] == two.split(": ", 1)[1] and "sysu, train images: 2 of" in one
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


def test_seeds_of_a_recipe_are_one_mean_curve(run, tmp_path, capsys):
    results = json.loads((run / "results.json").read_text())
    (entry,) = results["protocols"].values()
    for recipe, seed, rank1 in [("a", 0, 0.25), ("a", 1, 0.75), ("b", 0, 0.125)]:
        entry["mean"]["rank1"] = rank1
        folder = tmp_path / f"{recipe}/seed{seed}"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(results))
    runs = ["curves", *map(str, tmp_path.glob("*/seed*")), "--out", str(tmp_path / "a.svg")]
    assert visualize.main([*runs, "--kind", "cmc", "--mean"]) == 0
    text = (tmp_path / "a.svg").read_text()
    assert "<!-- a: 50.0 % -->" in text and "<!-- b: 12.5 % -->" in text
    assert visualize.main([*runs, "--mean"]) == 2
    assert "--mean goes with --kind cmc" in capsys.readouterr().err


FILES = ["--modality", "visible", "--files"]
MISTAKES = [
    (["ranks", "--run", "RUN", "--count", "99"], 2, "--count 99"),
    (["ranks", "--run", "RUN", "--top", "99"], 2, "--top 99"),
    (["ranks", "--run", "RUN", "--trial", "11"], 2, "draws 10 galleries"),
    (["ranks", "--run", "RUN", "--queries", "nobody"], 3, "'nobody'"),
    (["ranks", "--run", "RUN", "--protocol", "sysu_al"], 2, "sysu_al"),
    (["ranks", "--run", "RUN", "--protocol", "val_v2i"], 3, "DATA.SPLIT train"),
    (["ranks", "--run", "RUN", "--root", "tests"], 2, "--root goes with --features"),
    (["ranks", "--run", "tests"], 4, "config.yaml"),
    (["ranks", "--features", "FILE"], 2, "--protocol"),
    (["ranks", "--features", "FILE", "--protocol", "sysu", "--root", "nowhere"], 3, "nowhere"),
    (["ranks", "--features", "FILE", "--protocol", "sysu", "--root", "tests"], 3, "permutations"),
    (["ranks", "--features", "FILE", "--protocol", "llcm", "--root", "tests"], 3, "not exist"),
    (["ranks", "--features", "none.npz", "--protocol", "llcm", "--root", "tests"], 3, "none.npz"),
    (["sheet", "--run", "RUN", "--root", "tests"], 2, "--root goes with --dataset"),
    (["sheet", "--run", "RUN", "--ids", "99"], 2, "--ids 99"),
    (["sheet", "--run", "RUN", "--cameras", "9"], 3, "camera '9'"),
    (["sheet", "--dataset", "sysu"], 2, "--dataset needs --root"),
    (["distances", "tests"], 4, "config.yaml"),
    (["distances", "none.npz"], 3, "none.npz"),
    (["distances", "ONE"], 3, "one identity only"),
    (["distances", "FILE", "TEST.FLIP", "true"], 2, "TEST.FLIP true goes with run folders"),
    (["distances", "FILE", "--split", "train"], 2, "--split train goes with run folders"),
    (["distances", "README.md"], 3, ".npz archive"),
    (["activations", "--run", "RUN", "--ids", "99"], 2, "--ids 99"),
    (["activations", "--run", "RUN", "--images", "99999"], 3, "'99999'"),
    (["activations", "--run", "RUN", "MODEL.BACKBONE", "osnet_x0_5"], 4, "another model"),
    (["activations", "--maps", "FILE"], 3, "holds no activations"),
    (["activations", "--maps", "FILE", "--images", "1"], 2, "goes with --run"),
    (["activations", "--run", "RUN", "--files", "README.md"], 2, "--modality"),
    (["activations", "--run", "RUN", *FILES, "README.md"], 3, "README.md cannot be decoded"),
    (["activations", "--run", "RUN", *FILES, "none.png"], 3, "none.png does not exist"),
    (["activations", "--run", "RUN", *FILES, "tests"], 3, "tests is a folder"),
    (["match", "--maps", "FILE"], 3, "holds no query–match maps"),
    (["match", "--run", "RUN", "--query", "1"], 3, "no query '1'"),
    (["match", "--run", "RUN", "--query", "a", "--match", "b"], 3, "no image 'a'"),
    (["match", "--run", "RUN", "--query", "README.md", "--match", "b"], 2, "--query-modality"),
    (["match", "--run", "RUN", "--match", "b"], 2, "--match needs one --query"),
    (["match", "--run", "RUN", "--query-modality", "ir"], 2, "go with --match"),
    (["match", "--run", "RUN", "--stage", "conv5", "TEST.EXIT", "shallow1"], 2, "--stage conv5"),
    (["curves", "tests"], 3, "metrics.csv"),
    (["curves", "tests", "--kind", "cmc"], 3, "results.json"),
    (["curves", "RUN", "--kind", "cmc", "--protocols", "llcm_v2n"], 3, "llcm_v2n"),
    (["curves", "RUN", "--terms", "nothing"], 2, "nothing"),
    (["curves", "RUN", "RUN"], 2, "twice"),
]


@pytest.mark.parametrize(("words", "code", "phrase"), MISTAKES)
def test_mistakes_are_one_line_and_leave_no_file(
    run, features, tmp_path, tmp_path_factory, capsys, words, code, phrase
):
    one = tmp_path_factory.mktemp("one") / "one.npz"
    whole = read_features(features)
    write_features(one, whole.subset(whole.pids == whole.pids[0]))
    meant = {"RUN": str(run), "FILE": str(features), "ONE": str(one)}
    arguments = [meant.get(word, word) for word in words]
    assert visualize.main([*arguments, "--out", str(tmp_path / "a.png")]) == code
    message = capsys.readouterr().err
    lines = 2 if "has problems:" in message else 1  # a configuration's are listed below it
    assert phrase in message and message.count("\n") == lines
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "code", "phrase"),
    [
        ([], 2, "{ranks,activations,match,distances,curves,corruptions,sheet}"),
        (["rank"], 2, "invalid choice: 'rank'"),
        (["--help"], 0, "distances"),
        *(([kind, "--help"], 0, f"visualize.py {kind} ") for kind in visualize.KINDS),
    ],
)
def test_kinds_are_named(words, code, phrase, capsys):
    with pytest.raises(SystemExit, match=str(code)):
        visualize.main(words)
    assert phrase in "".join(capsys.readouterr())
