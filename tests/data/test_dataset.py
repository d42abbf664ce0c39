import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from tests.helpers import records_of, write_image
from vireid.data.cache import cached_images
from vireid.data.dataset import ImageDataset, SampleKey
from vireid.data.loading import Collate, batches
from vireid.data.tracks import evenly_spaced, frame_records
from vireid.data.transforms import eval_transform, train_transform
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality

SIZE = (16, 8)
RECORDS = records_of(dict.fromkeys((3, 5, 8, 9), (2, 2)))
AUGMENTATION = dict.fromkeys(
    Modality,
    train_transform(SIZE, pad=2, flip=0.5, erase=0.5, erase_area=(0.1, 0.4), mean=(0.5, 0.5, 0.5)),
)
PLAIN = dict.fromkeys(Modality, eval_transform(SIZE))


def write_noise(root: Path, seed: int | None = None) -> None:
    """Every record's image; different ones unless a seed is given."""
    for number, record in enumerate(RECORDS):
        generator = np.random.default_rng(number if seed is None else seed)
        image = Image.fromarray(generator.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
        (root / record.path).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / record.path, quality=95)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_noise(folder)
    return folder


def dataset(root: Path, transforms=PLAIN, records=RECORDS, seed: int = 0) -> ImageDataset:
    return ImageDataset(root, records, [r.pid for r in records], transforms, seed=seed)


def test_a_sample_carries_label_spectrum_and_position_in_the_records(root):
    for index, record in enumerate(RECORDS):
        sample = dataset(root)[index]
        assert sample.label == record.pid
        assert sample.is_infrared is (record.modality is Modality.INFRARED)
        assert sample.index == index


def test_a_batch_stacks_samples_in_order(root):
    data = dataset(root)
    batch = Collate()([data[i] for i in (6, 0, 3)])
    assert (batch.images.shape, batch.images.dtype) == ((3, 3, 16, 8), torch.uint8)
    assert torch.equal(batch.images[2], data[3].image)
    assert batch.labels.tolist() == [5, 3, 3]
    assert batch.is_infrared.tolist() == [True, False, True]
    assert (batch.is_infrared.dtype, batch.labels.dtype) == (torch.bool, torch.int64)
    assert batch.indices.tolist() == [6, 0, 3]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_error_passes_through_the_loader_as_one_clean_error(tmp_path, workers, damage):
    good, bad = write_image(tmp_path / "a.jpg"), write_image(tmp_path / "b.jpg")
    bad.unlink() if damage == "missing" else bad.write_bytes(bad.read_bytes()[:100])
    names = (good.name, good.name, "b.jpg")
    records = [ImageRecord(name, 1, 1, Modality.VISIBLE) for name in names]
    loader = DataLoader(
        dataset(tmp_path, records=records), batch_size=2, num_workers=workers, collate_fn=Collate()
    )
    received = []
    with pytest.raises(DataError) as caught:
        received.extend(batch.indices.tolist() for batch in batches(loader))
    assert received == [[0, 1]]  # batches before the bad image are delivered
    assert str(caught.value).startswith(f"image {bad} ")
    assert "\n" not in str(caught.value)
    if workers:
        assert "worker" not in "".join(traceback.format_exception(caught.value)).lower()


def test_augmentation_of_one_key_is_always_the_same(root):
    data = dataset(root, AUGMENTATION)
    first = data[SampleKey(1, 2, 3)]
    torch.manual_seed(99)
    data[SampleKey(4, 2, 4)]
    again = dataset(root, AUGMENTATION)[SampleKey(1, 2, 3)]
    assert torch.equal(first.image, again.image)
    assert (first.label, first.index) == (again.label, again.index)


@pytest.mark.parametrize(
    ("seed", "epoch"), [(0, 2), (1, 1), (2, 1)], ids=["epoch", "seed", "swapped"]
)
def test_augmentation_differs_between_epochs_and_seeds(root, seed, epoch):
    one, other = dataset(root, AUGMENTATION, seed=1), dataset(root, AUGMENTATION, seed=seed)
    reference = [one[SampleKey(0, 2, n)].image for n in range(8)]
    changed = [other[SampleKey(0, epoch, n)].image for n in range(8)]
    assert sum(torch.equal(a, b) for a, b in zip(reference, changed, strict=True)) <= 1
    positions = {one[SampleKey(0, 0, n)].image.numpy().tobytes() for n in range(32)}
    assert len(positions) >= 20


def test_augmentation_depends_on_the_position_and_not_on_which_image_stands_there(tmp_path):
    write_noise(tmp_path, seed=7)  # every file holds the same image
    data = dataset(tmp_path, AUGMENTATION)
    for position in range(4):
        first, other = (data[SampleKey(i, 1, position)].image for i in (0, 7))
        assert torch.equal(first, other)


def test_callers_random_state_is_untouched(root):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    dataset(root, AUGMENTATION)[SampleKey(0, 1, 2)]
    with pytest.raises(AttributeError):
        dataset(root, dict.fromkeys(Modality, lambda image: torch.rand(1).broken))[0]
    assert torch.equal(torch.rand(3), expected)


def test_view_1_is_drawn_by_another_transform_and_another_seed(root):
    noisy = v2.Compose([v2.PILToTensor(), v2.RandomCrop(list(SIZE), padding=4)])
    doubled = ImageDataset(
        root, RECORDS, [0] * len(RECORDS), dict.fromkeys(Modality, noisy), second_view=noisy
    )
    first, second = doubled[SampleKey(0)], doubled[SampleKey(0, view=1)]
    assert torch.equal(doubled[SampleKey(0, view=1)].image, second.image)
    assert not torch.equal(first.image, second.image)
    assert (first.label, first.index) == (second.label, second.index)


def track_of(count: int) -> ImageRecord:
    """A track whose frames are grey: frame n has the level 10 n."""
    frames = tuple(f"track/{n}.png" for n in range(count))
    return ImageRecord(frames[0], 1, 1, Modality.VISIBLE, frames=frames, track=1)


@pytest.fixture
def grey_track(tmp_path: Path) -> Path:
    (tmp_path / "track").mkdir()
    for n in range(12):
        Image.new("RGB", (SIZE[1], SIZE[0]), (10 * n,) * 3).save(tmp_path / f"track/{n}.png")
    return tmp_path


def frames_read(data: ImageDataset, count: int, segments: int) -> list[list[int]]:
    """Numbers of the frames that ``count`` steps read, by segment."""
    keys = [
        [
            SampleKey(0, position=segments * n + k, segment=k, segments=segments)
            for k in range(segments)
        ]
        for n in range(count)
    ]
    return [[int(data[key].image[0, 0, 0]) // 10 for key in row] for row in keys]


def test_a_step_reads_one_random_frame_of_each_segment_of_a_track(grey_track):
    data = dataset(grey_track, records=[track_of(12)])
    whole = [row[0] for row in frames_read(data, 200, 1)]
    assert set(whole) == set(range(12))
    assert all(whole.count(n) < 40 for n in range(12))  # 16.7 expected each
    for first, second, third in frames_read(data, 30, 3):
        assert first in range(4) and second in range(4, 8) and third in range(8, 12)
    short = dataset(grey_track, records=[track_of(2)])
    assert frames_read(short, 4, 4) == [[0, 0, 1, 1]] * 4


def test_both_views_show_the_same_frame(grey_track):
    data = ImageDataset(grey_track, [track_of(12)], [1], PLAIN, second_view=PLAIN[Modality.VISIBLE])
    for position in range(10):
        one, other = (data[SampleKey(0, 0, position, view)].image for view in (0, 1))
        assert torch.equal(one, other)


def test_frames_from_the_cache_equal_those_from_the_files(grey_track, tmp_path):
    records = [track_of(5), track_of(12)]
    cache = cached_images(tmp_path / "cache", grey_track, frame_records(records), size=SIZE)
    plain = ImageDataset(grey_track, records, [1, 1], PLAIN)
    cached = ImageDataset(grey_track, records, [1, 1], PLAIN, cache=cache)
    for position in range(20):
        key = SampleKey(position % 2, 0, position)
        assert torch.equal(plain[key].image, cached[key].image)


def test_evenly_spaced_frames_by_hand():
    assert evenly_spaced(list(range(24)), 6) == [2, 6, 10, 14, 18, 22]
    assert evenly_spaced(list(range(7)), 3) == [1, 3, 5]
    for all_of_them in (0, 5, 6):
        assert evenly_spaced([1, 2, 3, 4, 5], all_of_them) == [1, 2, 3, 4, 5]


def test_frame_records_keep_what_the_track_says_and_leave_images_alone():
    assert frame_records(RECORDS, 3) is RECORDS
    found = frame_records([track_of(12), RECORDS[0]], 2)
    assert [record.path for record in found] == ["track/3.png", "track/9.png", RECORDS[0].path]
    assert [record.track for record in found] == [1, 1, 0]
    assert not any(record.frames for record in found)
