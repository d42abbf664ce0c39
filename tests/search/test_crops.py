"""Images that are no crop of one person: bounds by hand, headers, the line for people."""

from __future__ import annotations

import pytest
from PIL import Image

from vireid.search.crops import image_sizes, unusual

INPUT = (288, 144)


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        ((144, 288), None),
        ((64, 128), None),  # RegDB's
        ((100, 100), None),  # half the input's height / width
        ((101, 100), "wide"),
        ((100, 400), None),  # twice
        ((100, 401), "narrow"),
        ((36, 72), None),  # a quarter of the height
        ((36, 71), "small"),
        ((1152, 2304), None),  # eight times
        ((1152, 2305), "large"),
        ((3000, 4000), "large"),  # a phone's photo
        ((1920, 1080), "wide"),  # a frame of a video
        ((20, 10), "wide"),  # each image is of one kind
    ],
)
def test_bounds_of_shape_and_height(size, kind):
    found = unusual([size], INPUT)
    kinds = {k: getattr(found, k) for k in ("wide", "narrow", "small", "large")}
    assert kinds == dict.fromkeys(kinds, ()) | ({kind: (0,)} if kind else {})
    assert found.positions == ((0,) if kind else ())


def test_a_model_of_square_images_takes_square_ones():
    assert unusual([(128, 128), (200, 100), (100, 200)], (256, 256)).positions == ()
    assert unusual([(201, 100)], (256, 256)).wide == (0,)


def test_the_warning_counts_kinds_and_names_the_first():
    sizes = [(144, 288), (400, 300), (500, 300), (100, 500), None, (30, 60), (2000, 4000)]
    found = unusual(sizes, INPUT)
    assert found.total == 7 and found.positions == (1, 2, 3, 5, 6)
    assert found.warning(list("abcdefg")) == (
        "5 of 7 images may not be crops of one person (2 wider than high, 1 height / width above "
        "4, 1 lower than 72 pixels, 1 higher than 2304 pixels), as the model expects (288 × 144): "
        "crop the images, or add --detect; the first: b"
    )
    assert unusual([(10, 10)], (128, 32)).warning(["a.png"], "crop it") == (
        "a.png may not be a crop of one person (height / width below 2), as the model expects "
        "(128 × 32): crop it"
    )
    assert unusual([(144, 288)], INPUT).warning(["a"]) == ""
    assert unusual([], INPUT).warning([]) == ""


def test_sizes_are_those_of_the_upright_image(tmp_path):
    exif = Image.Exif()
    paths = []
    for orientation in (1, 3, 6, 8):
        exif[0x0112] = orientation
        paths.append(tmp_path / f"{orientation}.jpg")
        Image.new("RGB", (20, 10)).save(paths[-1], exif=exif)
    (tmp_path / "text.jpg").write_text("no image")
    paths += [tmp_path / "text.jpg", tmp_path / "missing.jpg"]
    assert image_sizes(paths) == [(20, 10), (20, 10), (10, 20), (10, 20), None, None]
