from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from yacs.config import CfgNode

from tests.helpers import write_image, write_regdb, write_sysu
from vireid.config import load_config
from vireid.data.build import build_eval_loader, build_splits, build_train_loader
from vireid.data.loading import batches
from vireid.errors import DataError, UsageError
from vireid.runs.rendered_data import synthetic_root
from vireid.structures import Modality

CPU = torch.device("cpu")


def config(*overrides: str) -> CfgNode:
    return load_config(None, overrides, environment={})


def tiny(root: Path, *overrides: str) -> CfgNode:
    small = ["INPUT.SIZE", "[32, 32]", "DATA.WORKERS", "0", "SAMPLER.IDENTITIES", "3"]
    return config("DATA.ROOT", str(root), *small, "SAMPLER.IMAGES", "2", *overrides)


@pytest.fixture(scope="module")
def sysu_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ids = {"train": [40, 7], "val": [12], "test": [305]}
    return write_sysu(tmp_path_factory.mktemp("data") / "sysu", ids)


def test_options_that_decide_the_content_and_no_others_change_the_synthetic_root():
    usual = synthetic_root(config())
    sizes = {"TRAIN_IDS": "61", "TEST_IDS": "21", "IMAGES_PER_CAMERA": "7", "SIZE": "[64, 128]"}
    changes = {f"DATA.SYNTHETIC.{name}": value for name, value in sizes.items()}
    changes |= {"DATA.SYNTHETIC.SEED": "1", "DATA.DATASET": "regdb"}
    assert all(synthetic_root(config(*change)) != usual for change in changes.items())
    others = {"SEED": "1", "DATA.TRIAL": "2", "INPUT.SIZE": "[64, 32]", "DATA.SPLIT": "train"}
    assert all(synthetic_root(config(*other)) == usual for other in others.items())


def test_synthetic_root_is_a_name_and_nothing_is_written(tmp_path):
    root = synthetic_root(config("DATA.SYNTHETIC.ENABLED", "true"), tmp_path)
    assert root.parent == tmp_path
    assert root.name.startswith("synthetic_sysu_")
    assert list(tmp_path.iterdir()) == []
    assert synthetic_root(config()) == Path("datasets") / root.name


def test_a_changed_renderer_changes_the_synthetic_root(monkeypatch):
    before = synthetic_root(config())
    monkeypatch.setattr("vireid.runs.rendered_data.RENDERER_VERSION", "another")
    assert synthetic_root(config()) != before


def test_options_choose_data_set_split_and_trial(tmp_path, sysu_root):
    splits = build_splits(tiny(sysu_root, "DATA.SPLIT", "train"))
    assert splits.train_pids == (7, 40)
    assert {record.pid for record in splits.val} == {12}
    root = write_regdb(tmp_path / "r")
    options = ["DATA.DATASET", "regdb", "DATA.ROOT", str(root), "DATA.TRIAL", "2"]
    splits = build_splits(config(*options))
    assert (splits.train_pids, splits.split_trial) == ((3, 4), 2)


@pytest.mark.parametrize(("cameras", "missing"), [([1, 2, 4, 5], "infrared"), ([3, 6], "visible")])
def test_training_or_test_set_without_one_modality_is_refused(tmp_path, cameras, missing):
    root = write_sysu(tmp_path / "sysu", cameras=cameras)
    with pytest.raises(DataError, match=f"{root}: no {missing} image in the train split"):
        build_splits(tiny(root))
    write_image(root / f"cam{3 if missing == 'infrared' else 1}/0001/0001.jpg")  # trains
    with pytest.raises(DataError, match=f"no {missing} image in the test split"):
        build_splits(tiny(root))


def test_training_labels_count_the_identities_in_ascending_order(sysu_root):
    cfg = tiny(sysu_root)
    splits = build_splits(cfg)
    loader, sampler = build_train_loader(cfg, splits, device=CPU)
    assert splits.train_pids == (7, 12, 40)
    met = set()
    for batch in batches(loader):
        assert batch.images.shape == (12, 3, 32, 32)  # 3 identities × 2 images × 2 modalities
        for index, label in zip(batch.indices.tolist(), batch.labels.tolist(), strict=True):
            met.add((splits.train[index].pid, label))
    assert met == {(7, 0), (12, 1), (40, 2)}
    assert len(loader) == len(sampler) == 2  # 12 visible images / 6


@pytest.mark.parametrize(
    ("asked", "processes", "used"), [(2, 1, 2), (3, 1, 3), (8, 1, 3), (8, 2, 2), (9, 3, 3)]
)
def test_a_batch_has_no_more_identities_than_the_set(sysu_root, asked, processes, used):
    cfg = tiny(sysu_root, "SAMPLER.IDENTITIES", str(asked))
    splits = build_splits(cfg)  # three train
    _, sampler = build_train_loader(cfg, splits, device=CPU, world_size=processes)
    assert sampler.identities == used
    assert all(len(keys) == used // processes * 4 for keys in sampler)


@pytest.mark.parametrize(
    ("asked", "processes", "kept", "error", "phrase"),
    [
        (8, 4, {7, 12, 40}, DataError, "3 training identities, too few for 4 processes"),
        (9, 2, {7, 12, 40}, UsageError, "SAMPLER.IDENTITIES=9 must be divisible by the 2"),
        (8, 1, {7}, DataError, "one training identity, but"),
    ],
)
def test_too_few_identities_are_named(sysu_root, asked, processes, kept, error, phrase):
    cfg = tiny(sysu_root, "SAMPLER.IDENTITIES", str(asked))
    splits = build_splits(cfg)
    train = tuple(record for record in splits.train if record.pid in kept)
    with pytest.raises(error, match=phrase):
        build_train_loader(cfg, replace(splits, train=train), device=CPU, world_size=processes)


def test_frames_of_tracks_are_refused_for_a_set_of_images(sysu_root):
    cfg = tiny(sysu_root, "SAMPLER.FRAMES", "6")
    with pytest.raises(UsageError, match="sysu has single images: set SAMPLER.FRAMES 1"):
        build_train_loader(cfg, build_splits(cfg), device=CPU)


@pytest.mark.parametrize(
    ("changed", "options"),
    [
        (Modality.VISIBLE, ["INPUT.GRAYSCALE", "1"]),
        (Modality.VISIBLE, ["INPUT.ERASE", "1", "INPUT.INFRARED.ERASE", "0"]),
        (Modality.INFRARED, ["INPUT.INFRARED.CHANNEL_EXCHANGE", "1"]),
        (Modality.VISIBLE, ["INPUT.CORRUPT", "1"]),
        (Modality.INFRARED, ["INPUT.INFRARED.CORRUPT", "1"]),
        (Modality.VISIBLE, ["INPUT.CHANNEL_MIX", "1"]),
        (Modality.VISIBLE, ["INPUT.GREY_EPOCHS", "1"]),
        (Modality.VISIBLE, ["INPUT.JITTER", "0.9", "INPUT.INFRARED.JITTER", "0"]),
        (Modality.INFRARED, ["INPUT.INFRARED.JITTER", "0.9"]),
        (Modality.VISIBLE, ["INPUT.INVERT", "1", "INPUT.INFRARED.INVERT", "0"]),
        (Modality.INFRARED, ["INPUT.INFRARED.INVERT", "1"]),
    ],
)
def test_each_modality_has_its_own_augmentation(sysu_root, changed, options):
    off = ["INPUT.PAD", "0", "INPUT.FLIP", "0", "INPUT.ERASE", "0", "INPUT.GRAYSCALE", "0"]
    cfg = tiny(sysu_root, *off, *options)
    splits = build_splits(cfg)
    loader, _ = build_train_loader(cfg, splits, device=CPU)
    plain = torch.cat(
        [b.images for b in batches(build_eval_loader(cfg, sysu_root, splits.train, device=CPU))]
    )
    for batch in batches(loader):
        same = (batch.images == plain[batch.indices]).flatten(1).all(1)
        others = batch.is_infrared == (changed is Modality.VISIBLE)
        # some corruptions, such as blur, leave these images of one colour as they are
        few = "CORRUPT" in options[0] or "JITTER" in options[0]
        changes = not same[~others].all() if few else not same[~others].any()
        assert same[others].all() and changes


def test_visible_images_are_grey_in_the_first_epochs_and_then_as_without_the_option(sysu_root):
    epochs = {}
    for grey in ("0", "2"):
        options = ("INPUT.SECOND_VISIBLE", "true", "INPUT.CHANNEL_ERASE", "0.5")
        cfg = tiny(sysu_root, "INPUT.GREY_EPOCHS", grey, *options)
        loader, sampler = build_train_loader(cfg, build_splits(cfg), device=CPU)
        for epoch in (0, 1, 2):
            sampler.epoch = epoch
            read = list(batches(loader))
            images = torch.cat([batch.images for batch in read])
            epochs[grey, epoch] = images, torch.cat([batch.is_infrared for batch in read])
    for epoch in (0, 1):
        (images, infrared), (plain, _) = epochs["2", epoch], epochs["0", epoch]
        assert torch.equal(images[infrared], plain[infrared])
        colours = images[~infrared].amax(1).int() - images[~infrared].amin(1)
        erased = (images[~infrared].int() - torch.tensor([124, 116, 104]).view(3, 1, 1)) == 0
        assert (colours[~erased.all(1)] == 0).all()
        assert not (images == plain).flatten(1).all(1)[~infrared].any()
    assert torch.equal(epochs["2", 2][0], epochs["0", 2][0])


def test_evaluation_reads_every_record_once_in_order_with_its_own_identity(sysu_root):
    cfg = tiny(sysu_root, "TEST.BATCH", "4")
    records = build_splits(cfg).train[::-1]
    read = list(batches(build_eval_loader(cfg, sysu_root, records, device=CPU)))
    assert [len(batch.images) for batch in read] == [4, 4, 4, 4, 2]
    assert torch.cat([b.indices for b in read]).tolist() == list(range(18))
    assert torch.cat([b.labels for b in read]).tolist() == [40] * 6 + [12] * 6 + [7] * 6
    expected = [record.camid in (3, 6) for record in records]
    assert torch.cat([b.is_infrared for b in read]).tolist() == expected


def test_both_modalities_are_mirrored(tmp_path):
    """A mirror image of one modality alone would teach that left and right depend on it."""
    root = write_sysu(tmp_path / "sysu", {"train": [40, 7], "val": [12], "test": [305]})
    for number, path in enumerate(sorted(root.rglob("*.jpg"))):
        noise = torch.randint(0, 256, (32, 32, 3), generator=torch.Generator().manual_seed(number))
        Image.fromarray(noise.byte().numpy()).save(path)
    for share in ("0", "1"):
        cfg = tiny(root, "INPUT.PAD", "0", "INPUT.ERASE", "0", "INPUT.FLIP", share)
        splits = build_splits(cfg)
        loader, _ = build_train_loader(cfg, splits, device=CPU)
        evaluated = build_eval_loader(cfg, root, splits.train, device=CPU)
        plain = torch.cat([batch.images for batch in batches(evaluated)])
        assert not torch.equal(plain, plain.flip(3))
        expected = plain.flip(3) if share == "1" else plain
        for batch in batches(loader):
            assert batch.is_infrared.any() and not batch.is_infrared.all()
            assert torch.equal(batch.images, expected[batch.indices])
