"""The export tool: files that compute what torch does, or none; eight bits within a bound."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.helpers import write_text
from vireid.cli import export
from vireid.deploy import export as exporting
from vireid.deploy.deployed_model import deployed_model
from vireid.deploy.extractor import Extractor
from vireid.deploy.model_files import is_shared, write_metadata
from vireid.deploy.verify_export import Comparison
from vireid.errors import AccuracyError, UsageError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("onnxscript") is None, reason="needs the extra 'export'"
)


@pytest.fixture
def words(small_run, tmp_path):
    """Arguments of the tool, with ``--out`` in tmp_path."""
    return lambda form, name, *more: [
        *("--run", str(small_run), "--format", form, "--out", str(tmp_path / name)),
        *more,
    ]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_onnx_files_hold_the_card_a_current_opset_and_any_number_of_images(exported):
    for name, path in exported.items():
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert model.opset_import[0].version >= 18
        (images,), (features,) = model.graph.input, model.graph.output
        shapes = [one.type.tensor_type.shape.dim for one in (images, features)]
        assert [[d.dim_value for d in shape] for shape in shapes] == [[0, 3, 64, 32], [0, 48]]
        entries = {entry.key: entry.value for entry in model.metadata_props}
        assert json.loads(entries["vireid.modalities"]) == [name]
        assert json.loads(entries["vireid.mean"]) == [0.485, 0.456, 0.406]
        assert entries["vireid.interpolation"] == '"bilinear, antialiased"'
        assert str(Path(export.__file__).parents[2]).encode() not in path.read_bytes()


def test_openvino_files_stand_in_pairs_beside_what_was_checked(
    words, no_exporter, tmp_path, capsys
):
    assert export.main(words("openvino", "net.xml")) == 0
    out = capsys.readouterr().out
    stems = ("net.infrared", "net.visible")
    ends = ("bin", "xml", "xml.sha256")
    assert names_in(tmp_path) == [f"{stem}.{end}" for stem in stems for end in ends]
    assert out.count("parity with torch, the run's own") == 2 and "over 24 images" in out
    metadata = [Extractor(tmp_path / f"{stem}.xml").metadata for stem in stems]
    assert metadata[0].fingerprint == metadata[1].fingerprint and metadata[0].precision == "fp32"


def test_one_modality_alone_takes_the_name_that_was_given(words, no_exporter, tmp_path):
    assert export.main(words("onnx", "n.onnx", "--modality", "infrared")) == 0
    assert names_in(tmp_path) == ["n.onnx", "n.onnx.sha256"]
    assert Extractor(tmp_path / "n.onnx").modalities == ("infrared",)


def test_without_the_data_set_synthetic_patterns_are_compared_and_named(
    words, no_exporter, tmp_path, capsys
):
    more = ("--modality", "visible", "DATA.ROOT", str(tmp_path / "gone"))
    assert export.main(words("onnx", "n.onnx", *more)) == 0
    out = capsys.readouterr().out
    assert "parity with torch, synthetic patterns, for" in out and "gone" in out
    assert "over 64 images" in out


def test_what_computes_something_else_is_not_written(
    words, exported, tmp_path, capsys, monkeypatch
):
    def swapped(trained, path, modalities, **_):  # the other stream under this one's name
        shutil.copy(exported["visible"], path)
        write_metadata(path, trained.metadata_for(modalities))
        return trained.metadata_for(modalities)

    monkeypatch.setattr(exporting, "export_onnx", swapped)
    assert export.main(words("onnx", "n.onnx", "--modality", "infrared")) == 4
    error = capsys.readouterr().err
    assert "onnxruntime (infrared images) computes other features than torch" in error
    assert "allowed are 0.0001 and 99 %" in error and names_in(tmp_path) == []


@pytest.mark.parametrize(("form", "name"), [("onnx", "n.onnx"), ("openvino", "n.xml")])
def test_eight_bits_are_reported_and_written_by_force(
    words, no_exporter, exported, tiny_sysu, tmp_path, capsys, form, name
):
    more = ("--modality", "infrared", "--int8", "--calibration", "8", "--force")
    assert export.main(words(form, name, *more)) == 0
    out = capsys.readouterr().out
    assert "int8: ranges of 8 infrared training images" in out
    assert "| sysu_all_single | 16 |" in out and "(16 queries); a fall of 0.5 is allowed" in out
    whole, small = Extractor(exported["infrared"]), Extractor(tmp_path / name)
    assert small.metadata.precision == "int8" and small.fingerprint == whole.fingerprint
    images = sorted((tiny_sysu / "cam6").rglob("*.jpg"))
    both = [one(images, "infrared", batch=5) for one in (whole, small)]
    assert np.abs(both[0] - both[1]).max() > 1e-5  # it is another arithmetic
    assert (both[0] * both[1]).sum(axis=1).min() > 0.98


def test_first_convolution_stays_in_float(words, no_exporter, tmp_path):
    more = ("--modality", "visible", "--int8", "--calibration", "2", "--force")
    assert export.main(words("onnx", "n.onnx", *more)) == 0
    nodes = onnx.load(tmp_path / "n.onnx").graph.node
    made_by = {output: node.op_type for node in nodes for output in node.output}
    inputs = [made_by.get(n.input[0], "image") for n in nodes if n.op_type == "Conv"]
    assert inputs[0] == "image" and set(inputs[1:]) == {"DequantizeLinear"} and len(inputs) > 9


def entry(rank1: float, queries: int = 1000) -> dict:
    return {"mean": {"rank1": rank1, "mAP": rank1 / 2}, "num_valid_query": queries}


def test_the_drop_is_the_mean_over_protocols_in_points():
    before = {"a": entry(0.52), "b": entry(0.70, 1200)}
    found = Comparison(before, {"a": entry(0.50), "b": entry(0.71, 1200)})
    assert found.drop == pytest.approx(0.5) and found.queries == 1200
    assert "| a | 1000 | 52.00 | 50.00 | 26.00 | 25.00 |" in str(found)
    found.require(0.51)
    with pytest.raises(AccuracyError, match=r"falls by 0\.50 points in int8 .*1200 queries.*0\.4"):
        found.require(0.4)
    assert AccuracyError.exit_code == 5


def test_beyond_the_bound_nothing_is_written(words, no_exporter, tmp_path, capsys, monkeypatch):
    scores = iter([{"p": entry(0.9)}, {"p": entry(0.8)}] * 2)
    monkeypatch.setattr(exporting, "scores_of", lambda *args: next(scores))
    int8 = ("--modality", "visible", "--int8", "--calibration", "2")
    assert export.main(words("onnx", "n.onnx", *int8)) == 5
    assert "rank-1 falls by 10.00 points" in capsys.readouterr().err and names_in(tmp_path) == []
    assert export.main(words("onnx", "n.onnx", *int8, "--max-drop", "10.1")) == 0


@pytest.mark.parametrize(
    ("more", "code", "phrase"),
    [
        (("--out", "n.xml"), 2, "a file of --format onnx ends in .onnx"),
        (("--out", "nowhere/n.onnx"), 2, "nowhere"),
        (("--calibration", "8"), 2, "go with --int8"),
        (("--int8", "--calibration", "0"), 2, "--calibration must be at least 1"),
        (("--int8", "--max-drop", "nan"), 2, "--max-drop at least 0"),
        (("TEST.EXIT", "shallow1"), 2, "TEST.EXIT"),
        (("TEST.FLPI", "true"), 2, "TEST.FLIP"),
        (("MODEL.SHARED_DEPTH", "5"), 4, "another model"),
        (("--int8", "DATA.ROOT", "gone"), 3, "gone"),
    ],
)
def test_mistakes_leave_no_file(words, no_exporter, tmp_path, capsys, more, code, phrase):
    assert export.main(words("onnx", "n.onnx", *more)) == code
    assert phrase in capsys.readouterr().err and names_in(tmp_path) == []


def test_a_missing_or_damaged_run_is_refused(small_run, words, tmp_path, capsys):
    assert export.main([*words("onnx", "n.onnx"), "--run", str(tmp_path)]) == 4
    run = shutil.copytree(small_run, tmp_path / "run")
    checkpoint = run / "checkpoints/last.pth"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert export.main([*words("onnx", "n.onnx"), "--run", str(run)]) == 4
    assert "is damaged" in capsys.readouterr().err


def test_networks_that_do_not_tell_modalities_apart_become_one_file(finished_run, tmp_path):
    two = deployed_model(finished_run)
    assert not is_shared(two.model)
    write_text(tmp_path / "old.onnx", "of another network")
    with pytest.raises(UsageError, match=r"old\.visible.* and .*, but old\.onnx is there already"):
        exporting.targets_of(two, "onnx", tmp_path / "old.onnx", None)
    targets = exporting.targets_of(two, "onnx", tmp_path / "a.b.onnx", None)
    assert {k: v.name for k, v in targets.items()} == {
        ("visible",): "a.b.visible.onnx",
        ("infrared",): "a.b.infrared.onnx",
    }
    two.model.backbone.visible = two.model.backbone.visible[:0]
    assert is_shared(two.model)
    targets = exporting.targets_of(two, "onnx", tmp_path / "n.onnx", None)
    assert targets == {("visible", "infrared"): tmp_path / "n.onnx"}


def test_a_modality_that_the_data_set_has_not_is_refused(finished_run, tmp_path):
    both = deployed_model(finished_run, ["DATA.DATASET", "sysu"])
    one = exporting.DeployedModel(both.model, both.metadata_for(("visible",)), both.cfg)
    with pytest.raises(UsageError, match="--modality infrared: this model's are visible"):
        exporting.targets_of(one, "onnx", tmp_path / "n.onnx", "infrared")
