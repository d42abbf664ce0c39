import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from vireid.data.transforms import (
    RESIZE_FILTER,
    ChannelErase,
    ChannelExchange,
    ChannelMix,
    RandomCorruption,
    colour_jitter,
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


def seeded(transform, image, seed=0):
    """The transform's result, and the next number of torch's generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transform(image), torch.rand(()).item()


@pytest.mark.parametrize("seed", range(3))
def test_augmentation_that_is_off_draws_no_number(seed):
    image = noise(50, 30)
    options = {**OFF, "pad": 2, "flip": 0.5, "erase": 0.5}
    by_hand = v2.Compose(
        [
            v2.Resize([32, 16], RESIZE_FILTER),
            v2.PILToTensor(),
            v2.RandomCrop([32, 16], padding=2),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomErasing(0.5, scale=(0.02, 0.4), value=[124, 116, 104]),
        ]
    )
    off = {"scale": 1.0, "rotate": 0.0, "jitter": [0.0], "channel_mix": 0.0, "channel_erase": 0.0}
    result, following = seeded(train_transform((32, 16), **options, **off), image, seed)
    expected, expected_following = seeded(by_hand, image, seed)
    assert torch.equal(result, expected) and following == expected_following


def test_a_certain_mix_is_a_weighted_mean_of_the_channels():
    image, mix = noise(6, 4), ChannelMix(1.0)
    channels = pixels(image).double()
    for seed in range(5):
        result, _ = seeded(mix, pixels(image), seed)
        torch.manual_seed(seed)
        drawn = torch.cat([torch.rand(1), torch.rand(3)])[1:].double()
        weights = torch.sin(drawn * torch.pi / 2) ** 2
        grey = sum(w * c for w, c in zip(weights / weights.sum(), channels, strict=True))
        assert result.dtype == torch.uint8
        assert (result.double() - grey).abs().max() <= 0.5 + 1e-4
    assert torch.equal(ChannelMix(0.0)(pixels(image)), pixels(image))
    mixed, _ = seeded(train_transform((6, 4), **OFF, channel_mix=1.0), image)
    assert torch.equal(mixed[0], mixed[1]) and torch.equal(mixed[0], mixed[2])


def test_mixes_reach_every_single_channel_and_favour_none():
    image = torch.tensor([0, 90, 180], dtype=torch.uint8).view(3, 1, 1)
    torch.manual_seed(0)
    values = torch.tensor([ChannelMix(1.0)(image)[0, 0, 0].item() for _ in range(1000)]).float()
    assert values.min() < 5 and values.max() > 175
    assert values.mean().item() == pytest.approx(90, abs=6)  # 45 / sqrt(1000) · 4


@pytest.mark.parametrize("grey", [False, True])
def test_channel_erasing_fills_one_rectangle_with_a_colour(grey):
    image = torch.full((3, 40, 40), 77, dtype=torch.uint8)
    torch.manual_seed(1)
    seen = set()
    for _ in range(20):
        result = ChannelErase(1.0, (0.1, 0.3), grey=grey)(image)
        erased = (result != 77).any(0)
        assert 0.08 < erased.float().mean().item() < 0.33
        rows, columns = erased.nonzero().amin(0), erased.nonzero().amax(0)
        inside = result[:, rows[0] : columns[0] + 1, rows[1] : columns[1] + 1].flatten(1)
        assert (inside == inside[:, :1]).all()  # one colour
        seen.add(tuple(inside[:, 0].tolist()))
    assert len(seen) > 15
    assert all(len(set(colour)) == 1 for colour in seen) is grey
    assert torch.equal(ChannelErase(0.0, (0.1, 0.3), grey=grey)(image), image)
    assert (image == 77).all()


def test_a_negative_has_the_opposite_values():
    image = Image.new("RGB", (4, 6), (10, 100, 250))
    pixels = train_transform((6, 4), **OFF, invert=1.0)(image)
    assert pixels[:, 0, 0].tolist() == [245, 155, 5]


def test_jitter_has_four_strengths_of_which_infrared_images_take_two():
    one = colour_jitter([0.25], Modality.VISIBLE)
    assert (one.brightness, one.contrast, one.saturation) == ((0.75, 1.25),) * 3
    assert one.hue is None
    four = colour_jitter([0.5, 0.25, 0.0, 0.125], Modality.VISIBLE)
    assert (four.brightness, four.contrast) == ((0.5, 1.5), (0.75, 1.25))
    assert (four.saturation, four.hue) == (None, (-0.125, 0.125))
    infrared = colour_jitter([0.5, 0.25, 0.5, 0.5], Modality.INFRARED)
    assert (infrared.brightness, infrared.contrast) == ((0.5, 1.5), (0.75, 1.25))
    assert infrared.saturation is None and infrared.hue is None


def test_jittered_brightness_is_that_of_the_strength_and_grey_stays_grey():
    image = Image.new("RGB", (4, 6), (100, 100, 100))
    jitter = train_transform((6, 4), **OFF, jitter=[0.5, 0.0], modality=Modality.INFRARED)
    torch.manual_seed(0)
    values = [jitter(image).unique().tolist() for _ in range(200)]
    assert {len(value) for value in values} == {1}
    brightness = [value[0] for value in values]
    assert min(brightness) in range(50, 56) and max(brightness) in range(145, 151)


def test_a_scaled_crop_keeps_the_share_of_the_area_and_about_the_shape():
    y, x = torch.meshgrid(torch.arange(96), torch.arange(48), indexing="ij")
    places = torch.stack([y * 2, x * 4, x * 0]).to(torch.uint8)
    image = v2.functional.to_pil_image(places)
    crop = train_transform((96, 48), **OFF, scale=0.5)
    torch.manual_seed(0)
    areas = []
    for _ in range(60):
        result = crop(image)[:2].flatten(1).int()
        spans = result.amax(1) - result.amin(1)
        height, width = (spans[0].item() / 2 + 1) / 96, (spans[1].item() / 4 + 1) / 48
        areas.append(height * width)
        assert 0.7 < width / height < 1.43  # between 3 / 4 and 4 / 3, and a pixel
    assert min(areas) == pytest.approx(0.5, abs=0.08) and max(areas) > 0.85


def test_a_rotation_turns_around_the_centre_and_fills_the_corners_with_the_mean():
    white = Image.new("RGB", (41, 41), "white")
    rotate = train_transform((41, 41), **OFF, rotate=30.0)
    torch.manual_seed(0)
    shares = []
    for _ in range(30):
        result = rotate(white)
        assert result[:, 20, 20].tolist() == [255, 255, 255]
        corner = (result == torch.tensor([124, 116, 104]).view(3, 1, 1)).all(0)
        shares.append(corner.float().mean().item())
    # Corners of a square turned by t: 2 sin t cos t / (1 + sin t + cos t)², at 30° 0.1547
    assert 0.12 < max(shares) < 0.16 and min(shares) < 0.02


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
    further = {"channel_mix": 0.5, "channel_erase": 0.5, "jitter": [0.3], "rotate": 9, "scale": 0.5}
    transform = train_transform((32, 16), **options, grayscale=0.5, channel_exchange=0.5, **further)
    image, results = noise(50, 31), []
    for given in (image, resize((32, 16))(image)):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            results.append(transform(given))
    assert torch.equal(*results)
