"""Thermal images of fourteen bits: one range, and the same pixels, on every path through a run."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.image_files import write_tiff
from vireid.cli import check_data, evaluate, export, extract, search, train
from vireid.config import apply_overrides
from vireid.config.load import flatten, load_config
from vireid.data.build import build_eval_loader, build_splits, build_train_loader
from vireid.data.cache import cached_images
from vireid.data.loading import batches
from vireid.data.pixels import PERCENTILE, PixelRule
from vireid.deploy.extractor import Extractor
from vireid.deploy.preprocessing import load_resized
from vireid.errors import DataError, UsageError
from vireid.evaluation.feature_files import read_features
from vireid.runs.options import run_config
from vireid.structures import Modality

CPU = torch.device("cpu")
KEY = "INPUT.INFRARED.RANGE"
SIZE = (64, 32)
SMALLEST = ("MODEL.BACKBONE=sdc_cnn_x0_25_s16", "MODEL.SDM.ENABLED=false")
SMALLEST += ("MODEL.MGIM.ENABLED=false", "MODEL.SHARED_DEPTH=5")
CSV = ("DATA.DATASET=csv", "TEST.PROTOCOLS=[]", *SMALLEST)


def write_set(root: Path, low: float, high: float, kind: str = "u2") -> Path:
    """A CSV set of 5 identities; infrared values from ``low`` to ``high``, one pixel of them hot.

    The training images have the two ends of the range, all but the hot pixel.
    """
    root.mkdir()
    generator, rows = np.random.default_rng(0), ["path,pid,camid,modality,split"]
    for pid in range(5):
        shape = np.kron(generator.random((8, 4)), np.ones((8, 8)))
        for number in range(2):
            split = "train" if pid < 4 else "test"
            picture = (shape + generator.random(SIZE)) / 2
            picture[0, :4], picture[1, :4] = 0, 1
            for camera, modality in ((1, "visible"), (2, "infrared")):
                name = f"{modality}_{pid}_{number}.tif"
                if modality == "visible":
                    Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(root / name)
                else:
                    values = (low + (high - low) * picture).astype(kind)
                    values[5, 5] = 60_000
                    write_tiff(root / name, values)
                rows.append(f"{name},{pid},{camera},{modality},{split}")
    (root / "dataset.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def deep_set(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("deep") / "set", 7000, 12_100)


@pytest.fixture(scope="module")
def deep_run(tiny_command, deep_set, tmp_path_factory) -> Path:
    """A run on ``deep_set``. Never write into it."""
    folder = tmp_path_factory.mktemp("runs") / "deep"
    assert train.main(tiny_command(folder, *CSV, "SOLVER.EPOCHS=1", f"DATA.ROOT={deep_set}")) == 0
    return folder


def expected(path: Path, low: float, high: float) -> np.ndarray:
    """(H, W) of an image whose values from ``low`` to ``high`` become 0 to 255."""
    with Image.open(path) as image:
        values = np.asarray(image).astype(float)
    return np.rint(np.clip((values - low) * (255 / (high - low)), 0, 255))


def test_training_finds_one_range_and_records_it(deep_run, deep_set):
    cfg = run_config(deep_run)
    assert cfg.INPUT.INFRARED.RANGE == [7000.0, 12_100.0] and cfg.INPUT.VISIBLE.RANGE == "auto"
    assert flatten(load_config(deep_run / "config.yaml")) == flatten(cfg)
    log = " ".join((deep_run / "log.txt").read_text().split())
    found = "7000 becomes black and 12100 white, found from 8 images of more than eight bits"
    assert f"{KEY} auto: {found}" in log
    assert "few of 256 grey levels" not in log


def test_every_path_reads_the_same_pixels(deep_run, deep_set, tmp_path):
    cfg = run_config(deep_run)
    plain = apply_overrides(cfg, ["INPUT.PAD", "0", "INPUT.FLIP", "0", "INPUT.ERASE", "0"])
    splits = build_splits(plain)
    index = next(k for k, r in enumerate(splits.train) if r.modality is Modality.INFRARED)
    record = splits.train[index]
    path = splits.root / record.path
    wanted = expected(path, 7000, 12_100)
    assert len(np.unique(wanted)) > 200

    training = build_train_loader(plain, splits, device=CPU)[0].dataset[index].image
    (batch,) = batches(build_eval_loader(plain, splits.root, [record], device=CPU))
    rules = {m: PixelRule((7000, 12_100)) for m in Modality}
    cache = cached_images(tmp_path / "c", splits.root, [record], size=SIZE, rules=rules)
    exported = tmp_path / "net.onnx"
    assert export.main(["--run", str(deep_run), "--format", "onnx", "--out", str(exported)]) == 0
    deployed = Extractor(exported).metadata.rule("infrared")
    with Image.open(path) as image:
        pixels = [training, batch.images[0], cache[0], load_resized(path, SIZE, deployed)]
        pixels += [load_resized(image, SIZE, deployed)]
        pixels += [load_resized(np.asarray(image), SIZE, deployed)]
    for found in pixels:
        array = np.asarray(found)
        channels = array if array.shape[0] == 3 else array.transpose(2, 0, 1)
        np.testing.assert_array_equal(channels, np.stack([wanted] * 3))


def test_every_path_makes_the_same_features(deep_run, deep_set, tmp_path):
    paths = sorted(deep_set.glob("infrared_4_*.tif"))
    features = Extractor(deep_run)(paths, "infrared")
    saved = tmp_path / "features.npz"
    assert extract.main(["--run", str(deep_run), "--out", str(saved)]) == 0
    kept = read_features(saved)
    rows = [list(kept.paths).index(path.name) for path in paths]
    own = kept.features[rows] / np.linalg.norm(kept.features[rows], axis=1, keepdims=True)
    np.testing.assert_allclose(own, features, atol=1e-5)

    (tmp_path / "photos").mkdir()
    for path in paths:
        (tmp_path / "photos" / path.name).write_bytes(path.read_bytes())
    words = ["--images", str(tmp_path / "photos"), "--modality", "infrared", "--threads", "1"]
    Gallery = pytest.importorskip("vireid.search", exc_type=UsageError).Gallery
    gallery = str(tmp_path / "gallery")
    assert search.main(["build", "--gallery", gallery, "--run", str(deep_run), *words]) == 0
    rows = {
        row["name"]: row["vector"] for row in Gallery(gallery).rows(["name", "vector"]).to_pylist()
    }
    stored = np.array([rows[path.name] for path in paths])
    np.testing.assert_allclose(stored, features, atol=1e-5)

    arrays = []
    for path in paths:
        with Image.open(path) as image:
            arrays.append(np.asarray(image))
    np.testing.assert_allclose(Extractor(deep_run)(arrays, "infrared"), features, atol=1e-5)
    assert np.abs(features[0] - features[1]).max() > 1e-3


def test_a_resumed_run_keeps_its_range(deep_run, deep_set, tiny_command, tmp_path, capsys):
    extra = (*CSV, f"DATA.ROOT={deep_set}")
    words = [*tiny_command(tmp_path / "more", *extra), "--resume", str(deep_run)]
    assert train.main(words) == 0
    out = capsys.readouterr().out
    assert f"{KEY} auto" not in out and "changed since the checkpoint: INPUT" not in out
    assert run_config(tmp_path / "more").INPUT.INFRARED.RANGE == [7000.0, 12_100.0]


def test_foreign_images_are_read_by_the_runs_range_and_a_misfit_is_named(
    deep_run, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("vireid"), "propagate", True)
    celsius = write_set(tmp_path / "celsius", -12, 41, "f4")
    words = ["--run", str(deep_run), "--root", str(celsius), "--out", str(tmp_path / "r.json")]
    assert evaluate.main(words) == 0
    warned = "infrared images use few of 256 grey levels, half of them at most 2"
    assert f"{warned}, at {KEY} [7000.0, 12100.0]" in caplog.text
    caplog.clear()
    assert evaluate.main([*words, KEY, "[-12, 41]"]) == 0
    assert "few of 256" not in caplog.text


def test_a_run_on_eight_bits_finds_the_range_of_the_images_that_it_scores(
    small_run, deep_set, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("vireid"), "propagate", True)
    words = ["--run", str(small_run), "--dataset", "csv", "--root", str(deep_set)]
    words += ["--protocols", "csv", "--out", str(tmp_path / "r.json")]
    assert evaluate.main(words) == 0
    found = "7000 becomes black and 12100 white, found from 8 images"
    assert f"{KEY} is auto in this run, and becomes: {found}" in caplog.text


def test_an_extractor_without_a_range_asks_for_one(small_run, deep_set):
    path = deep_set / "infrared_4_0.tif"
    with pytest.raises(DataError, match=r"infrared_4_0\.tif has more than eight bits.*range="):
        Extractor(small_run)([path], "infrared")
    with Image.open(path) as image:
        array = np.asarray(image)
    with pytest.raises(DataError, match="image 0 of 1: it has more than eight bits"):
        Extractor(small_run)([array], "infrared")
    by_name = Extractor(small_run, range={"thermal": (7000, 12_100)})
    one = by_name([path, array], "infrared")
    both = Extractor(small_run, range=[7000, 12_100])([path, array], "infrared")
    shown = expected(path, 7000, 12_100).astype(np.uint8)
    np.testing.assert_allclose(one, both, atol=1e-6)
    np.testing.assert_allclose(Extractor(small_run)([shown], "infrared"), one[:1], atol=1e-6)
    spread = Extractor(small_run, range=PERCENTILE)([path], "infrared")
    assert np.abs(spread - one[:1]).max() > 1e-4
    assert by_name.fingerprint == Extractor(small_run).fingerprint


@pytest.mark.parametrize("given", ["auto", [1], {"heat": [0, 1]}, [5, 5], 3])
def test_a_range_that_is_none_is_refused(small_run, given):
    with pytest.raises(UsageError, match="^range: a range must be|^modality 'heat' is unknown"):
        Extractor(small_run, range=given)


def test_search_takes_a_range(small_run, deep_set, tmp_path, capsys):
    place, path = ["--gallery", str(tmp_path / "g")], str(deep_set / "infrared_4_0.tif")
    network = ["--run", str(small_run), "--threads", "1", "--modality", "infrared"]
    words = ["build", *place, *network, "--images", path]
    assert search.main(words) == 3
    assert "search: --range" in capsys.readouterr().err
    assert search.main([*words, "--range", "12", "3"]) == 2
    assert "--range: a range must be" in capsys.readouterr().err
    assert search.main([*words, "--range", "7000", "12100"]) == 0
    query = ["query", *place, *network, "--image", path]
    assert search.main([*query, "--range", "percentile"]) == 0


def test_check_data_says_what_is_unusual(tmp_path, capsys):
    root = write_set(tmp_path / "set", 7000, 7030)
    Image.new("L", SIZE[::-1], 90).save(root / "infrared_0_1.tif", tiffinfo={262: 0})
    alpha = Image.new("RGBA", SIZE[::-1], (200, 100, 50, 255))
    alpha.paste((0, 0, 0, 0), (0, 0, 8, 8))
    exif = Image.Exif()
    exif[274] = 8
    alpha.save(root / "visible_0_0.tif")
    Image.new("RGB", SIZE, 7).save(root / "visible_0_1.tif", exif=exif)
    assert check_data.main(["--dataset", "csv", "--root", str(root)]) == 0
    out = capsys.readouterr().out
    for line in (
        "1 of 20 images are turned upright, as their EXIF orientation says, such as visible_0_1",
        "1 of 20 images are partly transparent: the colour [128, 128, 128] (INPUT.BACKGROUND)",
        "1 of 20 images are TIFF files whose lowest value is white (min-is-white)",
        "9 of 10 infrared images have more than eight bits and follow INPUT.INFRARED.RANGE",
        "infrared images use few of 256 grey levels, half of them at most 31: set " + KEY,
    ):
        assert f"suspicious: {line}" in out
    assert f"note: {KEY} auto: 7000 becomes black and 7030 white, found from 7 images" in out
