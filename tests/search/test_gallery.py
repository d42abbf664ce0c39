"""What a gallery keeps: rows, columns, versions, paths; and what it refuses."""

import json
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from tests.faults.scenarios import can_mount, mounted
from tests.search.double import DIM, content, make_rows, new_gallery, unit
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.search import Gallery, Query, SearchOptions, search
from vireid.search.gallery import GalleryModel

VECTORS = unit(np.random.default_rng(0).normal(size=(6, DIM)))


@pytest.fixture
def gallery(tmp_path) -> Gallery:
    """Six rows from cameras 1 and 2, one of no known camera."""
    made = new_gallery(tmp_path / "g")
    made.add(make_rows(VECTORS, pid=list("aabbcc"), camid=["1", "2", "1", "2", "1", None]))
    return made


def test_what_was_added_is_there_when_opened_again(gallery):
    again = Gallery(gallery.place, fingerprint="colours")
    assert (len(again), again.dim, again.model.fingerprint) == (6, DIM, "colours")
    rows = content(again)
    kept = np.array([rows[f"/x/{k:04d}.png"]["vector"] for k in range(6)], np.float32)
    np.testing.assert_array_equal(kept, VECTORS)
    assert [row["camid"] for row in rows.values()] == ["1", "2", "1", "2", "1", None]
    assert again.columns == {
        **dict.fromkeys(("id", "path", "name", "modality", "pid", "camid"), "text"),
        "time": "time",
        "vector": f"{DIM} × float",
    }
    with pytest.raises(CheckpointError, match="made by another model"):
        Gallery(gallery.place, fingerprint="others")


def test_equal_ids_are_added_once(gallery):
    assert gallery.add(make_rows(VECTORS)) == 0
    assert gallery.add(make_rows(VECTORS, id=["i0000", *"bcdef"])) == 5
    assert len(content(gallery, by="id")) == 11


def test_update_replaces_rows_of_the_same_path_and_adds_none(gallery):
    new = make_rows(-VECTORS[:2], path=["/x/0003.png", "/other.png"], id=["new", "other"])
    assert gallery.update(new) == 1
    rows = content(gallery)
    assert len(rows) == 6 and rows["/x/0003.png"]["id"] == "new"
    np.testing.assert_array_equal(rows["/x/0003.png"]["vector"], -VECTORS[0])


def test_delete_and_restore(gallery):
    (before,) = [one.number for one in gallery.versions() if one.rows == 6]
    gallery.delete(gallery.ids_of(["/x/0001.png", "0004.png"]))
    assert {row["id"] for row in content(gallery).values()} == {"i0000", "i0002", "i0003", "i0005"}
    gallery.restore(before)
    assert len(content(Gallery(gallery.place))) == 6
    with pytest.raises(UsageError, match=r"has no version 99; it has 1 to"):
        gallery.restore(99)
    with pytest.raises(DataError, match=r"holds no image nothing\.png"):
        gallery.ids_of(["/x/0001.png", "nothing.png"])
    with pytest.raises(DataError, match="holds no image /x/000"):
        gallery.ids_of(["/x/000"])  # no folder, only the beginning of names


@pytest.mark.parametrize("vector", [np.nan, np.inf, 0.0, 3.0])
def test_vectors_that_are_no_unit_vectors_are_refused(gallery, vector):
    with pytest.raises(CheckpointError, match="must be finite and of length 1"):
        make_rows(np.full((1, DIM), vector, np.float32))
    assert len(gallery) == 6


def test_places_that_are_no_gallery(gallery, tmp_path):
    with pytest.raises(CheckpointError, match="there is no gallery in .*none: build one"):
        Gallery(tmp_path / "none")
    (tmp_path / "old").mkdir()
    (tmp_path / "old/gallery.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(CheckpointError, match="gallery of vireid 0.1, which this version does not"):
        Gallery(tmp_path / "old")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="there is a file of this name"):
        new_gallery(tmp_path / "file")
    with pytest.raises(UsageError, match="is not a gallery, but holds gallery.json"):
        new_gallery(tmp_path / "old")
    lancedb.connect(tmp_path / "other").create_table("images", pa.table({"id": ["a"]}))
    with pytest.raises(CheckpointError, match="holds a table images that is no gallery"):
        Gallery(tmp_path / "other")
    with pytest.raises(CheckpointError, match="made by another model"):
        Gallery.create(gallery.place, GalleryModel("others", DIM))
    assert Path(Gallery.create(gallery.place, GalleryModel("colours", 3)).place) == tmp_path / "g"


def test_only_whole_folders_move(gallery, tmp_path):
    names = ("photos/a.png", "photos2/a.png", "photos/sub/b.png", "photos.png")
    paths = [gallery.stored(tmp_path / name) for name in names]
    assert paths[0] == "../photos/a.png"
    gallery.add(make_rows(VECTORS[:4], path=paths, id=list("abcd")))
    assert gallery.relocate(str(tmp_path / "photos"), "/else") == 2
    assert gallery.relocate("/x/0001.png", str(tmp_path / "one.png")) == 1
    moved = {row["id"]: str(gallery.path_of(path)) for path, row in content(gallery).items()}
    assert [moved[name] for name in (*"abcd", "i0001", "i0002")] == [
        *("/else/a.png", f"{tmp_path}/photos2/a.png", "/else/sub/b.png", f"{tmp_path}/photos.png"),
        *(f"{tmp_path}/one.png", "/x/0002.png"),
    ]
    with pytest.raises(DataError, match="has no image below .*/phot$"):
        gallery.relocate(str(tmp_path / "phot"), "/else")
    assert len(gallery.ids_of(["/else", tmp_path / "photos2"])) == 3


def test_a_gallery_moves_with_its_images(gallery, tmp_path):
    gallery.add(make_rows(VECTORS[:1], path=[gallery.stored(tmp_path / "p/a.png")], id=["a"]))
    moved = (tmp_path / "g").rename(tmp_path.parent / f"{tmp_path.name}_moved")
    again = Gallery(moved)
    assert len(again) == 7
    assert again.path_of("../p/a.png") == moved.parent / "p/a.png"


def test_small_files_are_put_together_when_there_are_many(gallery, monkeypatch):
    monkeypatch.setattr("vireid.search.gallery.SMALL_FILES", 3)
    assert not gallery.compact()
    reader = Gallery(gallery.place)
    for k in range(3):
        gallery.add(make_rows(VECTORS[:1], id=[f"new{k}"], path=[f"/y/{k}"]))
    before = content(gallery, by="id")
    assert gallery.compact()
    assert content(gallery, by="id") == before
    # a reader that opened it earlier goes on with its own version
    (found,) = search(reader, [Query(VECTORS[2])], SearchOptions(top=10)).matches
    assert len(found) == 6 and found[0].id == "i0002"
    reader.refresh()
    (found,) = search(reader, [Query(VECTORS[2])], SearchOptions(top=10)).matches
    assert len(found) == 9
    (number,) = [one.number for one in gallery.versions() if one.rows == 6][:1]
    gallery.restore(number)
    assert len(gallery) == 6


def test_rows_of_another_length_or_damaged_files_are_refused(gallery, tmp_path):
    with pytest.raises(UsageError, match="column vector"):
        gallery.add(make_rows(unit(np.ones((1, 3))), id=["x"]))
    files = sorted((tmp_path / "g/images.lance").rglob("*.lance"))
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="is damaged: .*; restore it from a copy"):
        content(Gallery(gallery.place))
    for path in (tmp_path / "g/images.lance/_versions").iterdir():
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="is damaged"):
        Gallery(gallery.place)


@pytest.mark.skipif(not can_mount(), reason="may not mount a file system")
def test_full_disks_and_folders_that_cannot_be_written_are_told(gallery, tmp_path):
    disk, many = tmp_path / "disk", unit(np.random.default_rng(1).normal(size=(30_000, DIM)))
    disk.mkdir()
    with mounted(disk, "-t tmpfs -o size=1m tmpfs"):
        full = new_gallery(disk / "g")
        full.add(make_rows(VECTORS))
        ids = [f"{k:032d}" for k in range(len(many))]
        with pytest.raises(UsageError, match="make room and start again"):
            full.add(make_rows(many, id=ids, path=ids))
        assert len(content(Gallery(disk / "g"))) == 6
    place = Path(gallery.place)
    with mounted(place, f"--bind {place}", "-o remount,ro,bind"):
        assert len(content(Gallery(place))) == 6
        with pytest.raises(UsageError, match="name a folder that can be written"):
            gallery.add(make_rows(VECTORS, id=list("abcdef")))
        with pytest.raises(UsageError, match="name a folder that can be written"):
            new_gallery(place / "below")


def test_devices_have_no_content(tmp_path):
    import os
    from pathlib import Path

    from vireid.search.people import content_id

    os.mkfifo(tmp_path / "pipe")
    assert [content_id(Path(one)) for one in ("/dev/zero", tmp_path / "pipe", tmp_path)] == [""] * 3


def test_a_panic_of_lancedb_is_a_damaged_gallery(gallery):
    class PanicException(BaseException):
        """As Rust's code raises it."""

    class Table:
        @property
        def schema(self):
            raise PanicException("called Result::unwrap() on an Err value")

    opened = Gallery(gallery.place)
    opened.table = Table()
    with pytest.raises(CheckpointError, match="is damaged"):
        _ = opened.columns
