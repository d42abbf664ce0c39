"""What a deployed network sees is what training's test images are, bit for bit."""

import numpy as np
import pytest
import torch
from PIL import Image

from vireid.data.images import read_image
from vireid.data.pixels import PixelRule
from vireid.data.transforms import eval_transform, normalize
from vireid.deploy.preprocessing import load_resized, normalized
from vireid.errors import DataError

SIZE = (24, 12)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def picture(size: tuple[int, int], mode: str) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    if mode == "I;16":
        return Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize("size", [(60, 31), SIZE, (7, 5), (24, 40)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "I;16", "1"])
def test_pixels_are_those_of_the_test_transform(size, mode, tmp_path):
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    picture(size, mode).save(path)
    rule = PixelRule((0, 65_535))
    wanted = normalize(eval_transform(SIZE)(read_image(path, rule))[None], MEAN, STD)
    with Image.open(path) as opened:
        kinds = [path, str(path), opened, np.asarray(read_image(path, rule))]
        for image in kinds:
            found = normalized([load_resized(image, SIZE, rule)], MEAN, STD)
            assert found.dtype == np.float32 and found.flags.c_contiguous
            assert torch.equal(torch.from_numpy(found), wanted)


def test_normalisation_has_its_hand_value():
    image = np.full((1, 1, 3), [0, 128, 255], np.uint8)
    found = normalized([image, image], [0.5, 0.25, 0.0], [0.5, 0.5, 2.0])
    assert found.shape == (2, 3, 1, 1)
    assert found[1, :, 0, 0].tolist() == pytest.approx([-1.0, (128 / 255 - 0.25) * 2, 0.5])


@pytest.mark.parametrize(
    ("image", "phrase"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\) uint8"),
        (np.zeros((3, 24, 12), np.uint8), r"\(3, 24, 12\)"),
        (np.zeros((4, 4, 3), np.float32), "it has more than eight bits"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (7, "got int"),
        ("nowhere.jpg", "nowhere.jpg does not exist"),
    ],
)
def test_what_is_no_image_is_refused(image, phrase):
    with pytest.raises(DataError, match=phrase):
        load_resized(image, SIZE)


def test_a_truncated_pil_image_is_refused(tmp_path):
    path = tmp_path / "image.png"
    picture((60, 31), "RGB").save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with Image.open(path) as opened, pytest.raises(DataError, match="cannot be decoded"):
        load_resized(opened, SIZE)
