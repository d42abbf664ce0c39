"""People in whole photos: boxes by hand, crops of pixels, and where the weights come from."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image

from vireid.errors import CheckpointError, DataError, UsageError
from vireid.search import detection
from vireid.search.detection import Box, Detector, PersonCrop, chosen_boxes, person_crops

FILE = "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth"  # by torchvision's documentation


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torch; a download is an error."""

    def download(*_args, **_options):
        raise AssertionError("a download")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_boxes_are_whole_pixels_in_the_image_the_most_certain_first():
    corners = [
        (10.6, 20.4, 29.2, 79.5),  # outwards
        (-3.0, -0.2, 50.0, 120.0),  # clipped
        (60.0, 10.0, 90.0, 33.5),  # 24 pixels high
        (60.0, 10.0, 90.0, 33.0),  # 23
        (100.5, 10.0, 130.0, 90.0),  # beyond the image
        (40.0, 0.0, 60.0, 50.0),  # as certain as the first, further right
        (0.0, 0.0, 50.0, 50.0),  # not certain enough
    ]
    scores = [0.8, 0.9, 0.5, 0.99, 0.99, 0.8, 0.49]
    assert chosen_boxes(corners, scores, (100, 100), min_score=0.5, min_height=24) == [
        Box(0, 0, 50, 100, 0.9),
        Box(10, 20, 30, 80, 0.8),
        Box(40, 0, 60, 50, 0.8),
        Box(60, 10, 90, 34, 0.5),
    ]


def test_crops_are_those_pixels_of_the_upright_image(tmp_path):
    pixels = np.arange(60 * 40, dtype=np.uint8).reshape(60, 40)  # an infrared photo, grey
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    seen = []

    def detect(image):
        seen.append((image.mode, image.size))
        return [Box(2, 3, 12, 33, 0.9), Box(0, 0, 40, 60, 0.6)]

    first, second = person_crops(tmp_path / "a.png", detect)
    assert seen == [("RGB", (40, 60))]
    expected = np.repeat(pixels[::-1, ::-1, None], 3, axis=2)
    np.testing.assert_array_equal(first.image, expected[3:33, 2:12])
    np.testing.assert_array_equal(second.image, expected)
    assert first.id_in("ab") == "ab-2-3-12-33" != second.id_in("ab")
    assert PersonCrop(first.image, first.box._replace(score=0.1)).id_in("ab") == "ab-2-3-12-33"


def test_a_photo_without_people_is_named(tmp_path):
    Image.new("RGB", (40, 60)).save(tmp_path / "empty.png")
    with pytest.raises(DataError, match=r"no person was found in .*empty\.png"):
        person_crops(tmp_path / "empty.png", lambda image: [])


def test_missing_weights_name_the_file_the_folder_and_the_command(cache):
    with pytest.raises(UsageError, match=re.escape(f"{FILE}, which are not in {cache}")) as caught:
        Detector("cpu")
    command = re.search('python -c "(.+)"$', str(caught.value))
    assert command and "weights='DEFAULT'" in command[1]
    with pytest.raises(AssertionError, match="a download"):  # the command's own
        exec(command[1])


def test_damaged_and_foreign_weights_are_refused(cache):
    (cache / FILE).write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(CheckpointError, match="the detector's weights .* is damaged"):
        Detector("cpu")
    torch.save({"weight": torch.zeros(2)}, cache / FILE)
    with pytest.raises(CheckpointError, match="another model"):
        Detector("cpu")


def test_the_real_architecture_finds_what_its_weights_say(cache, monkeypatch):
    """Random weights whose class layer calls every proposal a person."""
    from torchvision.models import get_model

    model = get_model(detection.ARCHITECTURE, weights=None, weights_backbone=None)
    state = model.state_dict()
    state["roi_heads.box_predictor.cls_score.bias"][1] = 50.0
    published = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.save(published, cache / FILE)
    photo = Image.effect_noise((90, 60), 80).convert("RGB")
    found = Detector("cpu", 1, min_height=10)(photo)
    assert found and all(box.score > 0.99 for box in found)
    assert all(0 <= b.x0 < b.x1 <= 90 and 0 <= b.y0 and b.y1 - b.y0 >= 10 for b in found)
    state["roi_heads.box_predictor.cls_score.bias"][2] = 100.0  # a bicycle
    torch.save(state, cache / FILE)
    assert Detector("cpu", 1, min_height=10)(photo) == []


@pytest.mark.parametrize("wrong", [{"min_score": 1.5}, {"min_height": 0}])
def test_bounds_that_make_no_sense_are_refused(cache, wrong):
    with pytest.raises(UsageError, match="in \\[0, 1\\]"):
        Detector("cpu", **wrong)
