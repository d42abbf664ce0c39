"""Filters and lists that LanceDB or pandas would misread, or not survive."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from vireid.errors import DataError, UsageError
from vireid.search.columns import build_rows
from vireid.search.gallery import Gallery, GalleryModel
from vireid.search.listing import list_images
from vireid.search.people import content_id
from vireid.structures import Modality

IDS = [str(number) for number in range(8)]


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    made = Gallery.create(tmp_path / "gallery", GalleryModel("f" * 64, 8))
    own = {
        "id": IDS,
        "path": [f"/x/{one}" for one in IDS],
        "pid": ["seven", "7", *["10"] * 6],
        "camid": ["1", "2"] * 4,
    }
    made.add(build_rows(own, np.eye(8, dtype=np.float32)))
    return made


@pytest.mark.parametrize(
    "where",
    [
        "camid = '1' ADN pid = '7'",  # LanceDB alone would read camid = '1' only
        "camid = '1') garbage",
        "true) OR (true",
        "true, false",
        "camid = '1' LIMIT 2",
        "(camid = '1'",
        "1" + "+1" * 50_000 + " > 2",  # these end the process without a bound
        " OR ".join(["true"] * 50_000),
        "length(repeat('x', 1000000000)) > 1",
        "pid < 10",
        "cast(pid as int) > 3",
    ],
)
def test_that_is_no_whole_condition(gallery: Gallery, where: str) -> None:
    with pytest.raises(UsageError, match="--where"):
        gallery.rows(["id"], where)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("camid = 1", 4),
        ("camid = 1 OR (camid = 2 AND pid = 7)", 5),
        ("pid <> 10", 2),
        ("pid IN (7, 10)", 7),
        ("pid = ')('", 0),
        (" OR ".join(["camid = '1'"] * 240), 4),
        (f"id IN ({', '.join(map(str, range(20_000)))})", 8),
        ("1" + "+1" * 480 + " > 2", 8),
    ],
)
def test_that_is_understood(gallery: Gallery, where: str, count: int) -> None:
    assert len(gallery.rows(["id"], where)) == count


def test_devices_have_no_content(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert [content_id(Path(one)) for one in ("/dev/zero", tmp_path / "pipe", tmp_path)] == [""] * 3


@pytest.mark.parametrize(
    ("text", "column", "values"),
    [
        ("path,pid\na.png,NA\nb.png,None\nc.png,\n", "pid", ["NA", "None", None]),
        (f"path,n\na.png,{2**70}\nb.png,1\n", "n", [str(2**70), "1"]),
        ("path,n\na.png,NA\nb.png,1\n", "n", [None, 1]),
        ("path,time\na.png,NaT\n", "time", [None]),
    ],
)
def test_values_of_a_list(tmp_path: Path, text: str, column: str, values: list[object]) -> None:
    (tmp_path / "list.csv").write_text(text)
    listing = list_images(tmp_path / "list.csv", Modality.VISIBLE)
    if column in ("pid", "time"):
        found = [getattr(one, column) for one in listing.images]
    else:
        assert listing.further is not None
        found = listing.further[column].to_pylist()
    assert found == values


def test_a_line_with_too_many_values(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,pid\na.png,1,2,3\n")
    with pytest.raises(DataError, match="quote a value that holds a comma"):
        list_images(tmp_path / "list.csv", Modality.VISIBLE)


def test_types_that_differ_far_apart(tmp_path: Path) -> None:
    lines = "".join(f"{number}.png,{number}\n" for number in range(100_000))
    (tmp_path / "list.csv").write_text(f"path,n\n{lines}x.png,x\n")
    listing = list_images(tmp_path / "list.csv", Modality.VISIBLE)
    assert listing.further is not None
    assert listing.further["n"].to_pylist()[-2:] == ["99999", "x"]
