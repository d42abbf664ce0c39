"""A model folder computes what its run does, names no path of its author, is whole or refused."""

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.helpers import write_text
from vireid.cli import cost, evaluate, export, extract, train, tsne
from vireid.config.load import flatten
from vireid.deploy import Extractor
from vireid.deploy import export as exporting
from vireid.deploy.model_card import DataScores, inputs_of
from vireid.engine.model_folder import require_own_config, without_paths
from vireid.errors import CheckpointError, UsageError
from vireid.evaluation.distance import collapse_problem
from vireid.evaluation.feature_files import read_features
from vireid.evaluation.results import read_results
from vireid.models.model_file import is_classifier, read_facts, read_safetensors
from vireid.runs.options import run_config
from vireid.runs.run_scores import find_runs

FILES = ["README.md", "config.yaml", "model.safetensors"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def made(finished_run, tmp_path_factory) -> Path:
    """The finished run as a model folder. Never write into it."""
    folder = tmp_path_factory.mktemp("models") / "person-model"
    words = ["--run", str(finished_run), "--format", "safetensors", "--out", str(folder)]
    assert export.main(words) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "model")


@pytest.fixture(scope="module")
def images(tiny_sysu) -> list[Path]:
    return sorted((tiny_sysu / "cam3").rglob("*.jpg"))[:5]


def test_run_folder_and_checkpoint_compute_the_same_bits(made, finished_run, images):
    assert names_in(made) == FILES
    sources = (finished_run, made, finished_run / "checkpoints/last.pth")
    for options in ((), ("TEST.EXIT", "shallow2", "TEST.FLIP", "true")):
        first, *others = (Extractor(source, threads=1, options=options) for source in sources)
        expected = first(images, "infrared")
        for one in others:
            assert np.array_equal(one(images, "infrared"), expected)
            assert one.fingerprint == first.fingerprint and one.metadata == first.metadata


def test_the_file_holds_every_tensor_but_classifiers(made, finished_run):
    state = torch.load(finished_run / "checkpoints/last.pth", weights_only=True)["model"]
    tensors, _ = read_safetensors(made / "model.safetensors")
    left_out = set(state) - set(tensors)
    assert set(tensors) < set(state) and all(map(is_classifier, left_out))
    assert {name.split(".")[0] for name in left_out} == {"head", "shallow", "parts"}
    assert all(torch.equal(tensor, state[name]) for name, tensor in tensors.items())


def test_nothing_in_it_names_a_place_of_its_author(made, finished_run, tiny_sysu):
    own = [finished_run, finished_run.parent, tiny_sysu, tiny_sysu.parent, Path.home(), Path.cwd()]
    for name in FILES:
        content = (made / name).read_bytes()
        assert not [place for place in own if str(place).encode() in content]
    options = flatten(yaml.safe_load((made / "config.yaml").read_text()))
    assert options["DATA.ROOT"] == options["OUTPUT_DIR"] == options["DATA.CACHE"] == ""


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("DATA.ROOT", "/home/me/sysu", ""),
        ("DATA.ROOT", "data/sysu", ""),
        ("DATA.CACHE", "~/cache", ""),
        ("OUTPUT_DIR", "C:\\runs", ""),
        ("MODEL.PRETRAINED", "/home/me/w.pth", "none"),
        ("MODEL.PRETRAINED", "runs/old", "none"),
        ("MODEL.PRETRAINED", "imagenet", "imagenet"),
        ("TEACHER.WEIGHTS", "../teacher/seed{SEED}", "teacher"),
        ("TEACHER.WEIGHTS", "", ""),
        ("MODEL.BACKBONE", "resnet18", "resnet18"),
    ],
)
def test_options_that_name_files_are_replaced(finished_run, key, value, expected):
    cfg = run_config(finished_run).clone()
    cfg.defrost()
    cfg.merge_from_list([key, value])
    assert flatten(without_paths(cfg))[key] == expected


def test_the_card_says_data_rules_scores_input_licence_and_use(made, finished_run):
    text = (made / "README.md").read_text(encoding="utf-8")
    _, header, page = text.split("---\n", 2)
    known = yaml.safe_load(header)
    assert known["license"] == "other" and known["library_name"] == "vireid"
    (result,) = known["model-index"][0]["results"]
    (entry,) = read_results(finished_run / "results.json")["protocols"].values()
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values == {k: round(100 * entry["mean"][k], 2) for k in ("rank1", "mAP", "mINP")}
    assert result["dataset"]["config"] == "sysu_all_single"
    assert page.startswith("\n# person-model\n") and 'Extractor("person-model")' in page
    for phrase in (
        f"| sysu_all_single | {100 * entry['mean']['rank1']:.2f} ± ",
        "left out: camera 2 for queries of camera 3",
        "8 identities of `sysu`",
        "SYSU-MM01 is given on request",
        "64 × 32 pixels",
        "| batch | 4 identities × 2 images of each modality |",
        "| part features (MGIM) | ",
        "## Intended use",
        "## Limits",
        "## Licence",
        "## Responsible use",
        "## How to cite",
        "does not know who a person is",
    ):
        assert phrase in " ".join(page.split()) or phrase in page, phrase
    assert "None" not in page and "{{" not in page


def test_scores_of_other_features_are_not_on_the_card(finished_run, run, tmp_path, capsys):
    words = ["--run", str(run), "--format", "safetensors", "--out", str(tmp_path / "m")]
    assert export.main([*words, "TEST.EXIT", "shallow1"]) == 0
    assert "was not scored" in (tmp_path / "m/README.md").read_text()
    assert run_config(tmp_path / "m").TEST.EXIT == "shallow1"


@pytest.mark.parametrize(
    ("limits", "phrase"),
    [
        (
            (2731.5, 3231.5),
            "Infrared images of more than eight bits: 2731.5 becomes black and 3231.5",
        ),
        ("percentile", "Infrared images of more than eight bits: range `percentile`"),
        (None, "Infrared images of more than eight bits were not in the training"),
    ],
)
def test_the_card_says_what_becomes_of_more_than_eight_bits(made, limits, phrase):
    metadata = replace(Extractor(made).metadata, ranges={"infrared": limits}, background=(0, 9, 0))
    text = " ".join(inputs_of(metadata))
    assert phrase in text and "[0, 9, 0]" in text and "Visible images" in text


def test_synthetic_images_are_no_score_of_the_real_data_set():
    card = DataScores("sysu", True, {}, rendered=True)
    assert card.hub_name == "vireid-synthetic-sysu" and "synthetic" in card.data
    assert DataScores("sysu", True, {}).hub_name == "sysu"


def test_rules_of_protocols_that_this_version_does_not_know_are_generic():
    entry = {"metric": "cosine", "cmc_unit": "image", "num_query": 9, "num_valid_query": 8}
    (rule,) = DataScores("x", True, {"later_v2i": entry}).rules
    assert rule == "later_v2i: metric: cosine; CMC counts: image; 8 of 9 queries answerable"


def test_tools_take_it_as_a_run(made, finished_run, tiny_sysu, tmp_path, capsys):
    data = ["--root", str(tiny_sysu)]
    out = tmp_path / "r.json"
    assert evaluate.main(["--run", str(made), *data]) == 2
    assert "is a model folder" in (message := capsys.readouterr().err) and "--out" in message
    assert evaluate.main(["--run", str(made), *data, "--out", str(out)]) == 0
    found, own = read_results(out), read_results(finished_run / "results.json")
    assert found["protocols"] == own["protocols"]
    assert {**found["source"], "run": 0} == {**own["source"], "run": 0}
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for source, file in zip((made, finished_run), files, strict=True):
        words = ["--run", str(source), "--out", str(file), "DATA.ROOT", str(tiny_sysu)]
        assert extract.main(words) == 0
    one, other = map(read_features, files)
    assert np.array_equal(one.features, other.features)
    words = ["--run", str(made), "--out", str(tmp_path / "t.png"), "--method", "pca"]
    assert tsne.main([*words, "--ids", "2", "DATA.ROOT", str(tiny_sysu)]) == 0
    assert cost.main(["--run", str(made), "--rounds", "0"]) == 0
    assert "person-model" in capsys.readouterr().out
    assert names_in(made) == FILES  # nothing was kept in it


def test_training_neither_writes_into_it_nor_learns_from_it_as_a_teacher(
    made, tiny_command, tmp_path, capsys
):
    for extra in ([], ["--overwrite"]):
        assert train.main([*tiny_command(made), *extra]) == 2
        assert "is a model folder" in capsys.readouterr().err and names_in(made) == FILES
    words = tiny_command(tmp_path / "student", f"TEACHER.WEIGHTS={made}")
    assert train.main(words) == 4
    assert "without the classifiers" in capsys.readouterr().err


def test_data_that_it_was_trained_on_do_not_score_it(made, tiny_sysu, tmp_path, capsys):
    data = ["--root", str(tiny_sysu), "--protocols", "val_i2v", "DATA.SPLIT", "train"]
    out = ["--out", str(tmp_path / "r.json")]
    assert evaluate.main(["--run", str(made), *data, *out]) == 3
    assert "was trained on" in capsys.readouterr().err


def test_it_is_no_unfinished_run(made, finished_run):
    assert find_runs([made.parent])[1] == []


DAMAGE = {
    "a weight": ("model.safetensors", lambda b: b[:-5] + bytes([b[-5] ^ 1]) + b[-4:]),
    "cut": ("model.safetensors", lambda b: b[:1000]),
    "empty": ("model.safetensors", lambda b: b""),
    "config cut": ("config.yaml", lambda b: b[:300] + b"\n  :"),
    "size": ("config.yaml", lambda b: b.replace(b"[64, 32]", b"[64, 48]")),
    "mean": ("config.yaml", lambda b: b.replace(b"0.485", b"0.458")),
    "depth": ("config.yaml", lambda b: b.replace(b"SHARED_DEPTH: 3", b"SHARED_DEPTH: 4")),
    "unknown option": ("config.yaml", lambda b: b + b"LATER: 1\n"),
}


@pytest.mark.parametrize(("name", "change"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_refused_by_the_name_of_its_file(folder, name, change):
    path = folder / name
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")) as error:
        Extractor(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors"])
def test_a_missing_file_is_named(folder, name, capsys):
    (folder / name).unlink()
    words = ["--run", str(folder), "--out", str(folder.parent / "x.json")]
    assert evaluate.main(words) == 4
    assert name in capsys.readouterr().err


def test_formatting_data_and_speed_may_change_in_its_options(folder, made):
    path = folder / "config.yaml"
    text = path.read_text().replace("WORKERS: 0", "WORKERS: 2").replace("ROOT: ''", "ROOT: mine")
    path.write_bytes(f"# mine\r\n{text}".replace("\n", "\r\n").encode())
    require_own_config(folder)
    assert run_config(folder).DATA.ROOT == "mine"
    (folder / "README.md").unlink()
    assert Extractor(folder).fingerprint == Extractor(made).fingerprint


def test_a_folder_of_a_later_format_and_files_of_others_are_named(folder):
    facts = read_facts(folder / "model.safetensors")
    assert facts["format"] == 1 and len(facts["sha256"]) == 64
    safetensors = pytest.importorskip("safetensors.torch")
    for texts, phrase in (
        ({"format": "pt"}, "is not a model exported by vireid.*MODEL.PRETRAINED"),
        (None, "is not a model exported by vireid"),
    ):
        safetensors.save_file({"a": torch.ones(2)}, folder / "model.safetensors", texts)
        with pytest.raises(CheckpointError, match=phrase):
            Extractor(folder)


@pytest.mark.parametrize(
    ("more", "code", "phrase"),
    [
        (["--int8"], 2, "--int8 goes with --format onnx or openvino"),
        (["--modality", "visible"], 2, "--modality goes with"),
        (["--opset", "18"], 2, "--opset goes with --format onnx"),
        (["--out", "x.safetensors"], 2, "writes a folder"),
        (["--out", "nowhere/x"], 2, "a folder that exists"),
        (["TEST.GALLERY_EXIT", "shallow1", "TEST.EMBED", "global"], 2, "TEST.GALLERY_EXIT"),
        (["--format", "onnx", "--out", "x.onnx", "--overwrite"], 2, "--overwrite goes with"),
        (["--format", "onnx", "--out", "x.onnx", "--opset", "16"], 2, "must be 17 to"),
        (["--format", "onnx", "--out", "x.onnx", "--opset", "99"], 2, "must be 17 to"),
        (["--format", "openvino", "--out", "x.xml", "--opset", "18"], 2, "not openvino"),
    ],
)
def test_mistakes_leave_no_folder(finished_run, tmp_path, capsys, monkeypatch, more, code, phrase):
    monkeypatch.chdir(tmp_path)
    words = ["--run", str(finished_run), "--format", "safetensors", "--out", "m"]
    assert export.main([*words, *more]) == code
    assert phrase in capsys.readouterr().err and names_in(tmp_path) == []


def test_other_content_stays_and_a_model_is_replaced_when_asked(
    made, finished_run, folder, tmp_path, capsys
):
    write_text(tmp_path / "full/notes.txt", "mine")
    words = ["--run", str(finished_run), "--format", "safetensors", "--out"]
    for more in ([], ["--overwrite"]):
        assert export.main([*words, str(tmp_path / "full"), *more]) == 2
        assert "holds other files" in capsys.readouterr().err
    assert export.main([*words, str(finished_run), "--overwrite"]) == 2
    assert export.main([*words, str(folder)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    write_text(folder / "LICENSE", "mine")
    (folder / "model.safetensors").write_bytes(b"old")
    assert export.main([*words, str(folder), "--overwrite"]) == 0
    assert names_in(folder) == sorted([*FILES, "LICENSE"])
    for name in FILES[1:]:
        assert (folder / name).read_bytes() == (made / name).read_bytes()
    (tmp_path / "empty").mkdir()
    assert export.main([*words, str(tmp_path / "empty")]) == 0
    assert names_in(tmp_path / "empty") == FILES
    assert export.main(["--run", str(folder), *words[2:], str(tmp_path / "again")]) == 2
    assert "copy it" in capsys.readouterr().err


def test_a_stop_before_the_end_leaves_nothing(finished_run, tmp_path, monkeypatch):
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "compare", stop)
    words = ["--run", str(finished_run), "--format", "safetensors", "--out", str(tmp_path / "m")]
    assert export.main(words) == 130
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("a.pt", "a.pt is damaged or .*MODEL.PRETRAINED"),
        ("a.engine", "a.engine is not a run folder, model folder"),
        ("a.bin", "name the .xml file"),
        ("a.safetensors", "name the folder that holds it"),
        ("a.onnx.sha256", "whose checksum it holds"),
        ("nothing.pth", "there is no model .*nothing.pth"),
        ("folder", "folder is not a run folder, model folder .*it holds .*folder/seed0"),
    ],
)
def test_what_is_no_model_is_named_with_what_would_be(tmp_path, name, phrase):
    write_text(tmp_path / "folder/seed0/config.yaml", "")
    if not name.startswith(("nothing", "folder")):
        write_text(tmp_path / name, "something else")
    with pytest.raises(CheckpointError, match=phrase):
        Extractor(tmp_path / name)


def test_checkpoints_of_others_are_named(tmp_path):
    torch.save({"state_dict": {"conv1.weight": torch.ones(2)}}, tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match=r"resnet\.pth is not a checkpoint of vireid.*PRETR"):
        Extractor(tmp_path / "resnet.pth")


def test_a_folder_keeps_its_epoch(made):
    options = ("SOLVER.SELECT", "best", "SOLVER.VAL_EVERY", "1", "DATA.SPLIT", "train")
    with pytest.raises(UsageError, match=r"SOLVER.SELECT best: .* holds the last epoch"):
        Extractor(made, options=options)


# Collapsed models


def collapsed(run: Path, how: str) -> Path:
    """Changes a run's checkpoint: all features zeros, the same, or the same but for noise."""
    path = run / "checkpoints/last.pth"
    checkpoint = torch.load(path, weights_only=True)
    for name, tensor in checkpoint["model"].items():
        if ".bnneck" in name and name.endswith(("weight", "bias")):
            scale = {"zeros": 0.0, "same": 0.0, "noise": 1e-4}[how]
            shift = 0.0 if how == "zeros" else 1.0
            tensor.mul_(scale) if name.endswith("weight") else tensor.fill_(shift)
    torch.save(checkpoint, path)
    return run


@pytest.mark.parametrize("how", ["zeros", "same", "noise"])
def test_a_collapsed_model_is_named_and_not_exported(small_run, tmp_path, capsys, how):
    run = collapsed(shutil.copytree(small_run, tmp_path / "run"), how)
    words = ["--run", str(run), "--format", "safetensors", "--out", str(tmp_path / "m")]
    assert export.main(words) == 4
    message = capsys.readouterr().err
    assert "gives every visible image the same feature" in message and "collapsed" in message
    assert names_in(tmp_path) == ["run"]


def test_scores_of_a_collapsed_model_come_with_a_warning(small_run, tmp_path, capsys, caplog):
    run = collapsed(shutil.copytree(small_run, tmp_path / "run"), "same")
    assert evaluate.main(["--run", str(run)]) == 0
    assert "the model gives every image the same feature" in caplog.text


def test_features_are_the_same_only_up_to_rounding():
    one = np.random.default_rng(0).normal(size=64)
    noise = np.random.default_rng(1).normal(size=(9, 64))
    assert collapse_problem(np.zeros((4, 3))) == "4 features of zeros"
    assert "are all 1" in collapse_problem(np.tile(one, (4, 1)) * np.arange(1, 5)[:, None])
    assert "at least 0.99999" in collapse_problem(one + 1e-3 * noise)
    assert collapse_problem(one + 1e-1 * noise) == ""
    assert collapse_problem(np.tile(one, (2, 1))) == ""


HAS_EXPORTER = importlib.util.find_spec("onnxscript") is not None


@pytest.mark.skipif(not HAS_EXPORTER, reason="needs the extra 'export'")
def test_an_opset_that_is_asked_for_is_in_the_file(small_run, tmp_path, images):
    import onnx

    opset = 17  # the oldest, which torch cannot write by itself

    words = ["--run", str(small_run), "--format", "onnx", "--out", str(tmp_path / "n.onnx")]
    assert export.main([*words, "--modality", "infrared", "--opset", str(opset)]) == 0
    model = onnx.load(tmp_path / "n.onnx")
    assert [entry.version for entry in model.opset_import] == [opset]
    assert model.ir_version == 8  # what ONNX Runtime of that time reads
    found = Extractor(tmp_path / "n.onnx")(images, "infrared")
    expected = Extractor(small_run)(images, "infrared")
    np.testing.assert_allclose(found, expected, atol=2e-6, rtol=0)
