from dataclasses import replace
from pathlib import Path

import pytest

from tests.figures.fit import assert_texts_fit, saved_figures, text_boxes
from tests.helpers import write_image
from vireid.errors import DataError, UsageError
from vireid.figures.contact_sheet import ContactSheet, contact_sheet, draw_contact_sheet
from vireid.structures import ImageRecord, Modality, Role, Splits

VISIBLE, INFRARED = Modality


def record(pid: int, camid: int, number: int, modality: Modality = VISIBLE) -> ImageRecord:
    return ImageRecord(f"{modality.name.lower()}/{camid}/{pid}_{number}.jpg", pid, camid, modality)


def splits_of(*records: ImageRecord) -> Splits:
    return Splits(Path(), train=(), val=(), test=records)


# identity 2 has no infrared image, and camera 2 sees identity 1 alone
TWO = splits_of(
    *(record(1, 1, k) for k in range(10)),
    record(1, 2, 0),
    *(record(1, 3, k, INFRARED) for k in range(2)),
    *(record(2, 1, k) for k in range(3)),
)


def test_rows_are_identities_and_columns_cameras_by_modality():
    sheet = contact_sheet(TWO, "test", name="mine", images=2)
    assert [(c.modality, c.camera, c.images) for c in sheet.columns] == [
        (VISIBLE, "1", 2),
        (VISIBLE, "2", 2),
        (INFRARED, "3", 2),
    ]
    assert sheet.rows["1"] == [
        "visible/1/1_2.jpg",  # of ten, evenly spaced
        "visible/1/1_7.jpg",
        "visible/2/1_0.jpg",
        None,
        "infrared/3/1_0.jpg",
        "infrared/3/1_1.jpg",
    ]
    assert sheet.rows["2"] == ["visible/1/2_0.jpg", "visible/1/2_2.jpg", None, None, None, None]
    assert sheet.title == "mine, test images: 2 of 2 identities, seed 0"


def test_a_row_has_twelve_images_and_no_more_than_there_are():
    assert [c.images for c in contact_sheet(TWO, "test", name="").columns] == [4, 4, 4]
    few = contact_sheet(splits_of(record(1, 1, 0), record(1, 1, 1)), "test", name="")
    assert [c.images for c in few.columns] == [2]


def test_identities_are_drawn_by_the_seed_and_called_by_their_names():
    many = splits_of(*(record(pid, 1, 0) for pid in range(1, 21)), record(-1, 1, 0))
    drawn = [list(contact_sheet(many, "test", name="", seed=seed).rows) for seed in (0, 0, 1)]
    assert len(drawn[0]) == 6 and drawn[0] == drawn[1] != drawn[2]
    everyone = contact_sheet(many, "test", name="", ids=20)  # junk is no identity
    assert list(everyone.rows) == [str(pid) for pid in range(1, 21)]
    named = replace(TWO, identities={1: "anna", 2: "ben"}, cameras={1: "gate", 2: "hall", 3: "ir"})
    sheet = contact_sheet(named, "test", name="", cameras=["gate", "3"])
    assert list(sheet.rows) == ["anna", "ben"] and [c.camera for c in sheet.columns] == [
        "gate",
        "ir",
    ]


def test_a_query_that_the_gallery_holds_too_is_shown_once():
    query = ImageRecord("image_query/a.jpg", 1, 1, VISIBLE, Role.QUERY)
    copy = ImageRecord("image_test/a.jpg", 1, 1, VISIBLE, Role.GALLERY)
    assert contact_sheet(splits_of(query, copy), "test", name="").rows == {"1": [copy.path]}


@pytest.mark.parametrize(
    ("options", "error", "phrase"),
    [
        ({"ids": 3}, UsageError, "--ids 3: 2 identities"),
        ({"split": "val"}, DataError, "no val images: DATA.SPLIT train"),
        ({"cameras": ["4"]}, DataError, "camera '4'; there are 1, 2, 3"),
    ],
)
def test_what_is_not_there_is_named(options, error, phrase):
    with pytest.raises(error, match=phrase):
        contact_sheet(TWO, **({"split": "test", "name": ""} | options))


def draw(sheet: ContactSheet, root: Path, size: tuple[int, int]):
    for path in {path for row in sheet.rows.values() for path in row if path}:
        write_image(root / path, size)
    with saved_figures() as figures:
        draw_contact_sheet(sheet, root, root / "a.png")
    assert_texts_fit(figures[0])
    return [text.get_text() for text in text_boxes(figures[0])], figures[0]


def test_missing_images_are_marked_and_modalities_named(tmp_path):
    names = {1: "a_person_with_a_very_long_name_that_takes_several_lines"}
    sheet = contact_sheet(replace(TWO, identities=names), "test", name="mine", images=2)
    texts, figure = draw(sheet, tmp_path, (24, 12))
    assert texts.count("–") == 5 and len(figure.axes[0].images) == 7
    assert {"visible", "infrared", "camera 1", "camera 2", "camera 3", "2"} <= set(texts)
    assert "".join(texts).count("…") == 1


def test_many_cameras_fit(tmp_path):
    records = [record(1, camid, 0, modality) for camid in range(1, 16) for modality in Modality]
    texts, figure = draw(contact_sheet(splits_of(*records), "test", name="mine"), tmp_path, (9, 12))
    assert "infrared, by camera" in texts and texts.count("15") == 2
    assert figure.get_figwidth() > 7


def test_a_set_of_many_cameras_that_see_few_identities_has_no_empty_columns(tmp_path):
    records = [record(pid, 10 * pid + k, 0) for pid in (1, 2, 3) for k in range(2)]
    sheet = contact_sheet(splits_of(*records), "test", name="mine")
    assert [(c.camera, c.images) for c in sheet.columns] == [(None, 2)]
    assert [sheet.cameras[path] for path in sheet.rows["3"]] == ["30", "31"]
    texts, _ = draw(sheet, tmp_path, (9, 12))
    assert texts.count("–") == 0 and {"10", "11", "20", "21", "30", "31"} <= set(texts)
