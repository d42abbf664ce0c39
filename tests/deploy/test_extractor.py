"""One API over torch, ONNX Runtime and OpenVINO; bad files and bad images are told apart."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from vireid.deploy.backends import onnx_entries
from vireid.deploy.extractor import Extractor
from vireid.deploy.metadata import read_metadata, write_checksum
from vireid.deploy.model_files import write_metadata
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.runs.options import run_config
from vireid.runs.saved_features import run_features
from vireid.structures import Modality

FLOAT = {"atol": 2e-6, "rtol": 0}


@pytest.fixture(scope="module")
def images(tiny_sysu) -> list[Path]:
    """Nine infrared images."""
    return sorted((tiny_sysu / "cam3").rglob("*.jpg"))[:9]


@pytest.fixture(scope="module")
def expected(small_run, images) -> np.ndarray:
    return Extractor(small_run, threads=1)(images, "infrared")


def test_features_are_those_that_the_run_saves_at_unit_length(small_run, tiny_sysu, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "run")
    saved = run_features(run_config(run), run=run).features
    extractor = Extractor(small_run)
    for modality in Modality:
        rows = saved.modality == modality
        raw = saved.features[rows]
        wanted = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        paths = [tiny_sysu / path for path in saved.paths[rows]]
        np.testing.assert_allclose(extractor(paths, modality, batch=7), wanted, **FLOAT)


def test_files_compute_what_torch_does(exported, converted, images, expected):
    infrared = exported["infrared"]
    for path, backend in ((infrared, None), (infrared, "openvino"), (converted, None)):
        extractor = Extractor(path, backend, threads=1)
        for batch in (1, 4, 32):
            found = extractor(images, "infrared", batch=batch, progress=False)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, **FLOAT)
            np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    assert Extractor(infrared).backend == "onnxruntime"
    assert Extractor(converted).backend == "openvino"


def test_streams_differ_and_each_file_has_its_own(small_run, exported, images, expected):
    other = Extractor(small_run)(images, "visible")
    assert np.abs(other - expected).max() > 1e-3
    np.testing.assert_allclose(Extractor(exported["visible"])(images, "visible"), other, **FLOAT)


def test_a_run_is_exported_for_other_backends_by_itself(small_run, images, expected, no_exporter):
    extractor = Extractor(small_run, "onnxruntime", threads=1)
    assert extractor.modalities == ("visible", "infrared")
    np.testing.assert_allclose(extractor(images, "infrared"), expected, **FLOAT)


def test_one_network_has_one_fingerprint_in_every_format(small_run, exported, converted):
    extractors = [Extractor(path) for path in (small_run, *exported.values(), converted)]
    assert len({one.fingerprint for one in extractors}) == 1
    assert [one.modalities for one in extractors] == [
        ("visible", "infrared"),
        ("visible",),
        ("infrared",),
        ("infrared",),
    ]
    assert {one.dim for one in extractors} == {48}
    metadata = [one.metadata for one in extractors]
    assert all(not m.flip and m.size == (64, 32) and m.exit == "deep" for m in metadata)


def test_other_preprocessing_and_other_weights_are_other_networks(small_run, finished_run):
    options = ((), ("TEST.FLIP", "true"), ("INPUT.SIZE", "[96,48]"), ("INPUT.MEAN", "[0,0,0]"))
    found = [Extractor(small_run, options=one).fingerprint for one in options]
    exits = (("TEST.EXIT", "shallow1"), ("TEST.EMBED", "global"), ())
    found += [Extractor(finished_run, options=one).fingerprint for one in exits]
    assert len(set(found)) == len(found)
    again = Extractor(small_run, options=("TEST.BATCH", "3", "DATA.ROOT", "elsewhere"))
    assert again.fingerprint == found[0]


def test_any_kind_of_image_gives_the_same_features(exported, images, expected):
    extractor = Extractor(exported["infrared"])
    opened = [Image.open(path) for path in images]
    mixed = [str(images[0]), opened[1], np.asarray(opened[2].convert("RGB")), *images[3:]]
    np.testing.assert_allclose(extractor(mixed, "infrared"), expected, **FLOAT)
    stacked = np.stack([np.asarray(one.convert("RGB")) for one in opened])
    np.testing.assert_allclose(extractor(stacked, Modality.INFRARED), expected, **FLOAT)
    np.testing.assert_allclose(extractor(images[:1], "infrared"), expected[:1], **FLOAT)
    assert extractor([], "infrared").shape == (0, extractor.dim)


def test_mirrored_features_are_the_same_for_an_image_and_its_mirror_image(small_run, images):
    plain, mirrored = Extractor(small_run), Extractor(small_run, options=("TEST.FLIP", "true"))
    arrays = [np.asarray(Image.open(path).convert("RGB").resize((32, 64))) for path in images]
    turned = [np.ascontiguousarray(array[:, ::-1]) for array in arrays]
    both = mirrored(arrays, "infrared"), mirrored(turned, "infrared")
    np.testing.assert_allclose(*both, **FLOAT)
    assert np.abs(both[0] - plain(arrays, "infrared")).max() > 1e-4


def test_bfloat16_stays_near(small_run, converted, images, expected):
    for extractor in (
        Extractor(small_run, precision="bf16"),
        Extractor(converted, precision="bf16"),
    ):
        found = extractor(images, "infrared")
        assert 0 < np.abs(found - expected).max()  # it is another arithmetic
        assert (found * expected).sum(axis=1).min() > 0.999


@pytest.mark.parametrize(
    ("modality", "phrase"),
    [("visible", "modality visible: this model's are infrared"),
     ("RGB", "modality visible: this model's are infrared"),
     ("sonar", "modality 'sonar' is unknown; choose one of visible, vis, rgb")],
)  # fmt: skip
def test_wrong_modalities_are_refused(exported, images, modality, phrase):
    with pytest.raises(UsageError, match=phrase):
        Extractor(exported["infrared"])(images, modality)


@pytest.mark.parametrize("name", ["thermal", "NIR", Modality.INFRARED])
def test_a_modality_may_have_any_of_its_names(exported, images, expected, name):
    np.testing.assert_allclose(Extractor(exported["infrared"])(images, name), expected, atol=1e-5)


def test_wrong_images_are_named(exported, images, tmp_path):
    extractor = Extractor(exported["infrared"])
    for single in (str(images[0]), np.zeros((8, 4, 3), np.uint8)):
        with pytest.raises(UsageError, match="put a single one into a list"):
            extractor(single, "infrared")
    with pytest.raises(UsageError, match="must be a sequence of images, got generator"):
        extractor((path for path in ()), "infrared")
    with pytest.raises(UsageError, match="batch must be at least 1, got 0"):
        extractor(images, "infrared", batch=0)
    with pytest.raises(DataError, match=r"image 1 of 2: .*\(3, 64, 32\) uint8"):
        extractor([images[0], np.zeros((3, 64, 32), np.uint8)], "infrared")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(images[0].read_bytes()[:200])
    with pytest.raises(DataError, match=r"image .*broken\.jpg cannot be decoded"):
        extractor([images[0], broken], "infrared")


def foreign(path: Path) -> Path:
    """An ONNX file that another program wrote."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 3, 4, 4])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 3, 4, 4])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "other", [value], [out])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_damaged_and_foreign_files_are_refused_in_one_line(exported, tmp_path, backend):
    whole = exported["infrared"].read_bytes()
    half, empty, bare = (tmp_path / f"{name}.onnx" for name in ("half", "empty", "bare"))
    half.write_bytes(whole[: len(whole) // 2])
    empty.write_bytes(b"")
    model = onnx.load(exported["infrared"])
    del model.metadata_props[:]
    onnx.save(model, bare)
    changed = Path(shutil.copy(exported["infrared"], tmp_path / "changed.onnx"))
    write_checksum(changed)
    changed.write_bytes(whole[:-1] + b"x")
    cases = {
        half: "half.onnx is damaged or no exported model",
        empty: "empty.onnx is",
        changed: "changed.onnx is not the file that its checksum describes",
        foreign(tmp_path / "foreign.onnx"): "foreign.onnx is not a model exported by vireid",
        bare: "bare.onnx is not a model exported by vireid",
        tmp_path / "none.onnx": "there is no model .*none.onnx",
        Path(__file__): "test_extractor.py is not a run folder, model folder",
    }
    for path, phrase in cases.items():
        with pytest.raises(CheckpointError, match=phrase) as error:
            Extractor(path, backend)
        assert len(str(error.value).splitlines()) == 1


def test_openvinos_pair_of_files_is_checked(converted, tmp_path):
    path = tmp_path / "pair.xml"
    for suffix in (".xml", ".bin"):
        shutil.copy(converted.with_suffix(suffix), path.with_suffix(suffix))
    write_checksum(path)
    image = [np.zeros((9, 9, 3), np.uint8)]
    both = [Extractor(one)(image, "infrared") for one in (converted, path)]
    np.testing.assert_array_equal(*both)
    weights = path.with_suffix(".bin").read_bytes()
    path.with_suffix(".bin").write_bytes(bytes([weights[0] ^ 1]) + weights[1:])
    with pytest.raises(CheckpointError, match=r"pair\.bin is not the file that its checksum"):
        Extractor(path)


@pytest.mark.parametrize(
    ("given", "phrase"),
    [
        ({"backend": "torch"}, r"backend 'torch' does not run .*; choose onnxruntime or openvino"),
        ({"backend": "tensorrt"}, "backend 'tensorrt'"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"precision": "bf16"}, "precision 'bf16'.*onnxruntime"),
        ({"precision": "fp8"}, "precision 'fp8'"),
        ({"device": "cuda"}, "device 'cuda': onnxruntime runs on the processor"),
        ({"options": ("TEST.FLIP", "true")}, "TEST.FLIP true: .* exported with its own options"),
    ],
)
def test_what_does_not_go_with_a_file_is_refused(exported, given, phrase):
    with pytest.raises(UsageError, match=phrase):
        Extractor(exported["infrared"], **given)


def test_what_is_no_run_is_refused(tmp_path, finished_run):
    with pytest.raises(CheckpointError, match="is not a run folder, model folder"):
        Extractor(tmp_path)
    with pytest.raises(UsageError, match="TEST.GALLERY_EXIT"):
        Extractor(finished_run, options=["TEST.GALLERY_EXIT", "shallow1", "TEST.EMBED", "global"])


def test_damaged_weights_do_not_pass_for_features(exported, images, tmp_path):
    model, path = onnx.load(exported["infrared"]), tmp_path / "nan.onnx"
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim == 4:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * np.nan, tensor.name))
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match="weights are damaged"):
        Extractor(path)(images, "infrared")


# docs/deployment.md installs the others
TRAINING_ALONE = (
    "torch torchvision torchreid scipy sklearn threadpoolctl pandas matplotlib yacs yaml".split()
)


def test_an_exported_file_needs_nothing_that_only_training_needs(exported, converted, images):
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({TRAINING_ALONE}))\n"
        "from vireid.deploy.extractor import Extractor\n"
        f"for path in {[str(exported['infrared']), str(converted)]}:\n"
        f"    print(Extractor(path)([{str(images[0])!r}], 'infrared').shape)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.count("(1, ") == 2, result.stderr


def test_the_metadata_of_onnx_files_are_read_without_a_runtime(exported):
    path = exported["visible"]
    assert read_metadata(onnx_entries(path), path) == Extractor(path).metadata


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_name_given_to_the_export_stands_for_both_streams(
    exported, images, expected, small_run, tmp_path, backend
):
    for name, path in exported.items():
        shutil.copy(path, tmp_path / f"n.{name}.onnx")
    both = Extractor(tmp_path / "n.onnx", backend)
    assert both.modalities == ("visible", "infrared")
    np.testing.assert_allclose(both(images, "infrared"), expected, **FLOAT)
    other = Extractor(small_run)(images, "visible")
    np.testing.assert_allclose(both(images, "visible"), other, **FLOAT)
    (tmp_path / "n.visible.onnx").unlink()
    assert Extractor(tmp_path / "n.onnx", backend).modalities == ("infrared",)


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"fingerprint": "ab" * 32}, "not the streams of one"),
        ({"modalities": ("infrared",)}, "not"),
    ],
)
def test_streams_of_two_networks_are_refused(exported, tmp_path, change, phrase):
    for name, path in exported.items():
        shutil.copy(path, tmp_path / f"n.{name}.onnx")
    path = tmp_path / "n.visible.onnx"
    write_metadata(path, replace(read_metadata(onnx_entries(path), path), **change))
    with pytest.raises(CheckpointError, match=phrase):
        Extractor(tmp_path / "n.onnx")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("change", [{"size": (96, 48)}, {"dim": 47}])
def test_metadata_of_another_network_are_refused(exported, tmp_path, backend, change):
    path = shutil.copy(exported["infrared"], tmp_path / "n.onnx")
    write_metadata(path, replace(read_metadata(onnx_entries(path), path), **change))
    with pytest.raises(CheckpointError, match=r"takes images of \(64, 32\) and makes 48 numbers"):
        Extractor(path, backend)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_several_threads_get_the_features_of_their_own_images(exported, images, backend):
    extractor = Extractor(exported["infrared"], backend, threads=1)
    expected = [extractor([image], "infrared") for image in images]

    def work(start: int) -> list[np.ndarray]:
        turned = images[start:] + images[:start]
        return [extractor([image], "infrared") for image in turned * 5]

    with ThreadPoolExecutor(4) as pool:
        for start, found in enumerate(pool.map(work, range(4))):
            wanted = expected[start:] + expected[:start]
            np.testing.assert_allclose(found, wanted * 5, atol=1e-5)


DROPPED = """
import gc, os, signal, sys, threading
from vireid.deploy import Extractor

held = [Extractor(sys.argv[1], "openvino", threads=1)]
held[0]([sys.argv[2]], "infrared", progress=False)
dropping = threading.Thread(target=lambda: (held.clear(), gc.collect()))
dropping.start()
dropping.join()
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_openvino_does_not_report_to_its_makers(exported, tmp_path):
    """Its telemetry would keep a number in the user's home, and send it with every import."""
    code = (
        "import sys; from vireid.deploy import Extractor\n"
        f"Extractor({str(exported['infrared'])!r}, 'openvino')\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])\n"
        "import openvino_telemetry"
    )
    home = {name: value for name, value in os.environ.items() if name != "CI"}
    home |= {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_signals_are_handled_after_openvino_has_gone(exported, images):
    command = [sys.executable, "-c", DROPPED, str(exported["infrared"]), str(images[0])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
