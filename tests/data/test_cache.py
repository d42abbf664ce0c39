import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers import records_of, write_sysu
from vireid.config import load_config
from vireid.data import cache as cache_module
from vireid.data.build import build_eval_loader, build_splits, build_train_loader
from vireid.data.cache import ImageCache, cache_key, cached_images
from vireid.data.images import read_image
from vireid.data.loading import batches
from vireid.data.pixels import PixelRule
from vireid.errors import DataError, UsageError
from vireid.structures import Batch, Modality

CPU = torch.device("cpu")
SIZE = (40, 32)
RECORDS = records_of({3: (3, 2), 8: (2, 3)})


def write_noise(path: Path, seed: int, size: tuple[int, int] = (70, 45)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, quality=90)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, record in enumerate(RECORDS):
        write_noise(tmp_path / "images" / record.path, seed)
    return tmp_path / "images"


@pytest.fixture
def builds(monkeypatch) -> list[Path]:
    """The files that were built, in order."""
    built, build = [], cache_module._build

    def count(path: Path, *rest) -> None:
        built.append(path)
        build(path, *rest)

    monkeypatch.setattr(cache_module, "_build", count)
    return built


def expected(root: Path, index: int) -> np.ndarray:
    image = read_image(root / RECORDS[index].path)
    return np.asarray(image.resize(SIZE[::-1], Image.Resampling.BILINEAR))


def assert_right(cache: ImageCache, root: Path) -> None:
    assert len(cache) == len(RECORDS)
    for index in range(len(RECORDS)):
        np.testing.assert_array_equal(np.asarray(cache[index]), expected(root, index))


def files(folder: Path) -> list[str]:
    return sorted(path.suffix or path.name for path in folder.iterdir())


def test_a_cache_holds_the_decoded_and_resized_images_and_is_built_once(root, tmp_path, builds):
    cache = cached_images(tmp_path / "new/cache", root, RECORDS, size=SIZE)
    assert_right(cache, root)
    assert cached_images(str(tmp_path / "new/cache"), root, RECORDS, size=SIZE).path == cache.path
    assert builds == [cache.path]
    assert cache[0].size == (32, 40)
    assert files(tmp_path / "new/cache") == [".npy", "lock"]


def test_a_pickled_cache_is_its_path_not_its_images(root, tmp_path):
    cache = cached_images(tmp_path / "c", root, RECORDS, size=SIZE)
    content = pickle.dumps(cache)
    assert len(content) < 1000
    assert_right(pickle.loads(content), root)


def test_a_changed_file_is_read_again(root, tmp_path, builds):
    cached_images(tmp_path / "c", root, RECORDS, size=SIZE)
    write_noise(root / RECORDS[4].path, 99)
    assert_right(cached_images(tmp_path / "c", root, RECORDS, size=SIZE), root)
    assert len(set(builds)) == 2


def test_files_order_size_time_and_decoder_decide_the_key(root, monkeypatch):
    status = (root / RECORDS[0].path).stat()
    keys = [cache_key(root, RECORDS, SIZE)]
    keys += [cache_key(root, RECORDS[::-1], SIZE), cache_key(root, RECORDS[1:], SIZE)]
    keys += [cache_key(root, RECORDS, SIZE[::-1])]
    for rule in (PixelRule((0, 9)), PixelRule("percentile"), PixelRule(background=(0, 0, 0))):
        keys += [cache_key(root, RECORDS, SIZE, {Modality.INFRARED: rule})]
    keys += [cache_key(root, RECORDS, SIZE, {Modality.VISIBLE: rule})]
    os.utime(root / RECORDS[0].path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    keys += [cache_key(root, RECORDS, SIZE)]
    os.utime(root / RECORDS[0].path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache_key(root, RECORDS, SIZE) == keys[0]
    with (root / RECORDS[0].path).open("ab") as file:
        file.write(b"x")
    os.utime(root / RECORDS[0].path, ns=(status.st_atime_ns, status.st_mtime_ns))
    keys += [cache_key(root, RECORDS, SIZE)]
    monkeypatch.setattr(cache_module, "pillow_version", "0.1")
    keys += [cache_key(root, RECORDS, SIZE)]
    assert len(set(keys)) == 11


@pytest.mark.parametrize("content", [b"", b"garbage", "half"])
def test_a_damaged_file_is_built_again(root, tmp_path, builds, content):
    path = cached_images(tmp_path / "c", root, RECORDS, size=SIZE).path
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    assert_right(cached_images(tmp_path / "c", root, RECORDS, size=SIZE), root)
    assert path.read_bytes() == whole
    assert len(builds) == 2


def build_in_threads(root: Path, folder: Path, count: int) -> list[ImageCache]:
    start = threading.Barrier(count)

    def work(_: int) -> ImageCache:
        start.wait()
        return cached_images(folder, root, RECORDS, size=SIZE)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_builders_at_once_build_once(root, tmp_path, builds):
    for cache in build_in_threads(root, tmp_path / "c", 3):
        assert_right(cache, root)
    assert len(builds) == 1


def test_two_builders_without_locks_are_safe_too(root, tmp_path, builds, monkeypatch):
    monkeypatch.setattr("vireid.utils.io.fcntl", None)
    both = threading.Barrier(2)
    monkeypatch.setattr(cache_module, "_remove_stale", lambda folder: both.wait())
    for cache in build_in_threads(root, tmp_path / "c", 2):
        assert_right(cache, root)
    assert len(builds) == 2
    assert files(tmp_path / "c") == [".npy"]


SLOW_BUILD = """
import sys, time
from pathlib import Path
from tests.data import test_cache
from vireid.data import cache
read = cache.read_image
def slow(*arguments):
    time.sleep(0.5)
    return read(*arguments)
cache.read_image = slow
cache.cached_images(sys.argv[2], Path(sys.argv[1]), test_cache.RECORDS, size=test_cache.SIZE)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_build_leaves_no_cache_and_does_not_block_the_next(root, tmp_path):
    folder = tmp_path / "c"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, str(root), str(folder)],
        cwd=Path(__file__).resolve().parents[2],
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob("*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert files(folder) == [".tmp", "lock"]
    assert_right(cached_images(folder, root, RECORDS, size=SIZE), root)
    (half_built,) = folder.glob("*.tmp")  # perhaps of a builder elsewhere: kept for a day
    os.utime(half_built, (0, 0))
    cached_images(folder, root, RECORDS[1:], size=SIZE)
    assert files(folder) == [".npy", ".npy", "lock"]


@pytest.mark.parametrize("gone", [False, True])
def test_a_bad_image_is_named_and_nothing_is_left(root, tmp_path, gone):
    path = root / RECORDS[2].path
    path.unlink() if gone else path.write_text("no image")
    with pytest.raises(DataError, match=f"{path} cannot be {'read' if gone else 'decoded'}"):
        cached_images(tmp_path / "c", root, RECORDS, size=SIZE)
    assert not list(tmp_path.glob("c/*.*"))


def test_images_that_change_during_the_build_are_noticed(root, tmp_path, monkeypatch):
    def touch(path: Path, *rule: PixelRule) -> Image.Image:
        os.utime(path, (1, 1))
        return read_image(path, *rule)

    monkeypatch.setattr(cache_module, "read_image", touch)
    with pytest.raises(DataError, match="changed while they were cached"):
        cached_images(tmp_path / "c", root, RECORDS, size=SIZE)
    assert files(tmp_path / "c") == ["lock"]


def test_a_folder_that_cannot_be_written_names_the_option(root, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=f"DATA.CACHE={tmp_path / 'file'} cannot be written"):
        cached_images(tmp_path / "file", root, RECORDS, size=SIZE)


def test_a_full_disk_is_noticed_before_the_build(root, tmp_path, monkeypatch):
    usage = cache_module.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UsageError, match=r"needs 0\.0 GB, but 0\.0 GB are free"):
        cached_images(tmp_path / "c", root, RECORDS, size=SIZE)


@pytest.fixture(scope="module")
def sysu_root(tmp_path_factory) -> Path:
    """Images of noise in many sizes, one of them the model's."""
    root = write_sysu(tmp_path_factory.mktemp("data") / "sysu", images=2)
    for seed, path in enumerate(sorted(root.rglob("*.jpg"))):
        write_noise(path, seed, [(70, 45), (40, 32), (20, 90)][seed % 3])
    return root


def read(root: Path, cache: str, workers: int) -> tuple[list[Batch], list[Batch]]:
    """Two epochs of training batches with every augmentation, and the test set."""
    words = ["DATA.ROOT", str(root), "DATA.CACHE", cache, "DATA.WORKERS", str(workers)]
    words += "INPUT.SIZE [40,32] INPUT.GRAYSCALE 0.5 INPUT.CHANNEL_EXCHANGE 0.5".split()
    words += "INPUT.CORRUPT 0.5 INPUT.INFRARED.CORRUPT 0.5".split()
    words += "SAMPLER.IDENTITIES 2 SAMPLER.IMAGES 2 TEST.BATCH 4".split()
    cfg = load_config(None, words, environment={})
    splits = build_splits(cfg)
    loader, sampler = build_train_loader(cfg, splits, device=CPU)
    trained = []
    for sampler.epoch in (0, 1):
        trained += list(batches(loader))
    return trained, list(batches(build_eval_loader(cfg, splits.root, splits.test, device=CPU)))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_bit_for_bit_with_and_without_a_cache(sysu_root, tmp_path, workers):
    plain = read(sysu_root, "", 0)
    for _ in ("built", "found"):
        for one, other in zip(plain, read(sysu_root, str(tmp_path), workers), strict=True):
            assert len(one) == len(other) > 0
            for a, b in zip(one, other, strict=True):
                for name in ("images", "labels", "is_infrared", "indices"):
                    assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert files(tmp_path) == [".npy", ".npy", "lock"]  # training and test images


def test_a_cache_is_what_is_read(sysu_root, tmp_path):
    before = read(sysu_root, str(tmp_path), 0)[1]
    for path in tmp_path.glob("*.npy"):
        images = np.load(path, mmap_mode="r+")
        images[:] = 7
        images.flush()
    after = read(sysu_root, str(tmp_path), 0)[1]
    assert not torch.equal(before[0].images, after[0].images)
    assert after[0].images.unique().tolist() == [7]
