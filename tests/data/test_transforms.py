import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from vireid.data.transforms import (
    ChannelExchange,
    RandomCorruption,
    eval_transform,
    normalize,
    resize,
    train_transform,
)
from vireid.structures import Modality

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OFF = {"pad": 0, "flip": 0.0, "erase": 0.0, "erase_area": (0.02, 0.4), "mean": MEAN}


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)
    return Image.fromarray(pixels.numpy())


def pixels(image: Image.Image) -> torch.Tensor:
    return v2.functional.pil_to_tensor(image)


def test_normalize_matches_hand_values():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    result = normalize(images, mean=(0.5, 0.2, 0.4), std=(0.25, 0.5, 0.3))
    # (0 - 0.5) / 0.25, (0.2 - 0.2) / 0.5, (1 - 0.4) / 0.3
    torch.testing.assert_close(result, torch.tensor([-2.0, 0.0, 2.0]).view(1, 3, 1, 1))
    assert result.dtype == torch.float32


def test_evaluation_leaves_an_image_of_the_right_size_untouched():
    image = noise(24, 12)
    result = eval_transform((24, 12))(image)
    assert result.dtype == torch.uint8
    assert torch.equal(result, pixels(image))


def test_evaluation_resizes_to_height_and_width_without_keeping_the_aspect():
    left, right = Image.new("RGB", (40, 50), "red"), Image.new("RGB", (40, 50), "blue")
    image = Image.new("RGB", (80, 50))
    image.paste(left, (0, 0))
    image.paste(right, (40, 0))
    result = eval_transform((32, 16))(image)
    assert result.shape == (3, 32, 16)
    assert result[:, 5, 2].tolist() == [255, 0, 0]
    assert result[:, 30, 13].tolist() == [0, 0, 255]


def test_training_with_everything_off_equals_evaluation():
    image = noise(50, 30)
    trained = train_transform((32, 16), **OFF)(image)
    assert torch.equal(trained, eval_transform((32, 16))(image))


def test_a_certain_flip_mirrors():
    image = noise(32, 16)
    flipped = train_transform((32, 16), **{**OFF, "flip": 1.0})(image)
    assert torch.equal(flipped, pixels(image).flip(-1))


def test_a_padded_crop_is_the_image_moved_by_at_most_the_padding():
    image, pad = noise(32, 16), 3
    padded = torch.nn.functional.pad(pixels(image), (pad, pad, pad, pad))
    windows = [padded[:, y : y + 32, x : x + 16] for y in range(7) for x in range(7)]
    crop = train_transform((32, 16), **{**OFF, "pad": pad})
    torch.manual_seed(0)
    seen = set()
    for _ in range(40):
        result = crop(image)
        places = [i for i, window in enumerate(windows) if torch.equal(result, window)]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) > 10


def test_erased_pixels_become_zero_after_normalisation():
    white = Image.new("RGB", (40, 80), "white")
    torch.manual_seed(0)
    options = {**OFF, "erase": 1.0, "erase_area": (0.2, 0.3)}
    result = train_transform((80, 40), **options)(white)
    erased = (result != 255).any(0)
    assert 0.15 < erased.float().mean().item() < 0.35
    values = normalize(result[None], MEAN, STD)[0][:, erased]
    assert values.abs().max().item() < 0.5 / 255 / min(STD) + 1e-6  # a uint8 is half a step off
    rows, columns = erased.nonzero().amin(0), erased.nonzero().amax(0)
    assert erased[rows[0] : columns[0] + 1, rows[1] : columns[1] + 1].all()  # one rectangle


def test_a_certain_grayscale_drops_the_colours():
    image = noise(32, 16)
    grey = train_transform((32, 16), **OFF, grayscale=1.0)(image)
    assert torch.equal(grey, pixels(image.convert("L")).expand(3, -1, -1))


def test_channel_exchange_shows_each_channel_about_equally_often_in_all_three():
    image = torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1).expand(3, 2, 2)
    exchange, generator = ChannelExchange(1.0), torch.random.get_rng_state()
    torch.manual_seed(0)
    seen = [exchange(image).unique().tolist() for _ in range(300)]
    torch.random.set_rng_state(generator)
    assert torch.equal(ChannelExchange(0.0)(image), image)
    counts = [seen.count([value]) for value in (10, 20, 30)]
    assert sum(counts) == 300 and min(counts) > 70


def test_a_certain_exchange_shows_one_channel():
    image = noise(32, 16)
    result = train_transform((32, 16), **OFF, channel_exchange=1.0)(image)
    assert any(torch.equal(result, channel.expand(3, -1, -1)) for channel in pixels(image))


def test_corruption_is_as_frequent_as_asked_and_a_function_of_torchs_generator():
    image, corruption = noise(24, 12), RandomCorruption(0.25, Modality.VISIBLE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = [pixels(corruption(image)) for _ in range(200)]
        torch.manual_seed(0)
        again = [pixels(corruption(image)) for _ in range(200)]
    assert all(map(torch.equal, first, again))
    changed = [one for one in first if not torch.equal(one, pixels(image))]
    assert 30 < len(changed) < 70
    assert len({one.numpy().tobytes() for one in changed}) > 25  # kinds, severities and noise vary


@pytest.mark.parametrize("seed", range(4))
def test_an_image_resized_before_is_augmented_to_the_same_pixels(seed):
    options = {"pad": 2, "flip": 0.5, "erase": 0.5, "erase_area": (0.1, 0.3), "mean": MEAN}
    transform = train_transform((32, 16), **options, grayscale=0.5, channel_exchange=0.5)
    image, results = noise(50, 31), []
    for given in (image, resize((32, 16))(image)):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            results.append(transform(given))
    assert torch.equal(*results)
