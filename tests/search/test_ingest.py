"""Filling a gallery: each image once, whoever adds it and wherever it was stopped."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import write_text
from tests.search.double import ColourExtractor, content, fill, new_gallery, write_images
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.search import Gallery, ingest
from vireid.search.ingest import IN_GALLERY, NOT_IN_GALLERY, NOT_UTF8, SAME_CONTENT
from vireid.search.listing import list_images
from vireid.structures import Modality

VISIBLE, INFRARED = Modality


@pytest.fixture
def images(tmp_path, monkeypatch) -> Path:
    """22 images in a and b, of which two cannot be read; blocks of four."""
    monkeypatch.setattr(ingest, "BLOCK", 4)
    folder = write_images(tmp_path / "images", 22)
    (folder / "a/06.png").write_bytes(b"no image")
    (folder / "b/21.png").write_bytes((folder / "b/21.png").read_bytes()[:40])
    return folder


def steps_of(place, images: Path, extractor=None, modality: Modality = VISIBLE):
    listing = list_images(images, modality)
    return ingest.ingest(new_gallery(place), listing, extractor or ColourExtractor(), modality)


def test_a_folder_becomes_a_gallery_and_skipped_images_are_named(images, tmp_path):
    extractor = ColourExtractor()
    last = fill(tmp_path / "g", images, extractor)
    rows = content(Gallery(tmp_path / "g"), by="name")
    names = [f"{'ab'[k % 2]}/{k:02d}.png" for k in range(22) if k not in (6, 21)]
    assert (last.done, last.total, last.added, rows.keys()) == (22, 22, 20, set(names))
    vectors = np.array([rows[name]["vector"] for name in names], np.float32)
    wanted = ColourExtractor()([images / name for name in names], "visible")
    np.testing.assert_array_equal(vectors, wanted)
    reasons = dict(last.skipped)
    assert reasons.keys() == {"a/06.png", "b/21.png"}
    assert all("cannot be decoded" in reason for reason in reasons.values())
    one = rows["a/00.png"]
    assert (one["path"], one["modality"]) == ("../images/a/00.png", "visible")
    assert len(one["id"]) == 32 and one["pid"] is one["camid"] is one["time"] is None
    assert Gallery(tmp_path / "g").path_of(one["path"]) == images / "a/00.png"


@pytest.mark.parametrize("commit", [1, 6, 4096])
def test_equal_content_comes_in_once(images, tmp_path, monkeypatch, commit):
    """Whether its twin is in the gallery, waits for its commit, or is in the same block."""
    monkeypatch.setattr(ingest, "COMMIT_IMAGES", commit)
    for copy in ("a/01.png", "a/zz.png", "b/zz.png"):
        shutil.copy(images / "a/00.png", images / copy)
    last = fill(tmp_path / "g", images)
    assert len(content(Gallery(tmp_path / "g"), by="id")) == last.added == 20
    same = [name for name, reason in last.skipped if reason == SAME_CONTENT]
    assert same == ["a/01.png", "a/zz.png", "b/zz.png"]


def test_what_is_there_is_not_computed_again_but_comes_back_after_removal(images, tmp_path):
    fill(tmp_path / "g", images)
    gallery = Gallery(tmp_path / "g")
    gallery.delete(gallery.ids_of(["a/02.png"]))
    extractor = ColourExtractor()
    last = fill(tmp_path / "g", images, extractor)
    assert (last.added, last.total, len(content(gallery))) == (1, 22, 20)
    assert {"02.png", "06.png", "21.png"} == {name for call in extractor.seen for name in call}
    assert sum(reason == IN_GALLERY for _, reason in last.skipped) == 19


@pytest.mark.parametrize(("blocks", "kept"), [(0, 0), (1, 3), (3, 11)])  # one cannot be read
def test_a_stop_keeps_what_is_computed_and_the_rest_follows(images, tmp_path, blocks, kept):
    fill(tmp_path / "whole", images)
    steps = steps_of(tmp_path / "g", images)
    for _ in range(blocks + 1):
        progress = next(steps)
    steps.close()
    assert (progress.done, len(content(Gallery(tmp_path / "g")))) == (4 * blocks, kept)
    fill(tmp_path / "g", images)
    assert content(Gallery(tmp_path / "g")) == content(Gallery(tmp_path / "whole"))


def test_a_fault_of_the_model_keeps_what_was_computed_before(images, tmp_path):
    calls = []

    def fail():
        calls.append(1)
        if len(calls) > 2:
            raise DataError("the model has a headache")

    (images / "a/06.png").unlink()
    with pytest.raises(DataError, match="headache"):
        list(steps_of(tmp_path / "g", images, ColourExtractor(watch=fail)))
    assert len(content(Gallery(tmp_path / "g"))) == 8


def test_each_process_takes_its_share(images, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    seen = []
    for rank in (2, 0, 1):
        monkeypatch.setenv("RANK", str(rank))
        extractor = ColourExtractor()
        last = fill(tmp_path / "g", images, extractor)
        seen += [name for call in extractor.seen for name in call if name[0] in "012"]
        assert last.total == (8, 7, 7)[rank]
    assert set(seen) == {f"{k:02d}.png" for k in range(22)}
    assert len(content(Gallery(tmp_path / "g"))) == 20


def test_writers_at_the_same_time_add_each_image_once(images, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "COMMIT_IMAGES", 1)
    new_gallery(tmp_path / "g")
    with ThreadPoolExecutor(3) as pool:
        added = [one.added for one in pool.map(lambda _: fill(tmp_path / "g", images), range(3))]
    assert sum(added) == len(content(Gallery(tmp_path / "g"), by="id")) == 20


def test_an_update_replaces_features_and_the_columns_that_it_has(images, tmp_path):
    listed = write_text(images / "l.csv", "path,pid,floor\na/00.png,anna,1\nb/01.png,bob,2\n")
    fill(tmp_path / "g", listed)
    before = content(Gallery(tmp_path / "g"), by="name")
    shutil.copy(images / "b/11.png", images / "a/00.png")
    last = fill(tmp_path / "g", images, replace=True)
    after = content(Gallery(tmp_path / "g"), by="name")
    assert (last.added, after.keys()) == (2, before.keys())
    assert after["b/01.png"] == before["b/01.png"]
    changed = {
        name for name, value in after["a/00.png"].items() if value != before["a/00.png"][name]
    }
    assert changed == {"id", "vector"}  # a folder knows no identities
    assert sum(reason == NOT_IN_GALLERY for _, reason in last.skipped) == 20
    write_text(listed, "path,pid,floor\na/00.png,eve,\nb/01.png,,3\n")
    fill(tmp_path / "g", listed, replace=True)
    rows = content(Gallery(tmp_path / "g"), by="name")
    assert (rows["a/00.png"]["pid"], rows["a/00.png"]["floor"]) == ("eve", None)
    assert (rows["b/01.png"]["pid"], rows["b/01.png"]["floor"]) == (None, 3)


def test_columns_of_later_files_join_and_keep_their_types(images, tmp_path):
    def add(text: str) -> dict[str, str]:
        fill(tmp_path / "g", write_text(images / "l.csv", text))
        return Gallery(tmp_path / "g").columns

    columns = add("path,floor,inside,empty\na/00.png,1,true,\nb/01.png,,false,\n")
    assert (columns["floor"], columns["inside"]) == ("whole number", "true or false")
    assert "empty" not in columns
    assert add("path,Floor,empty\na/02.png,x,7\n").items() >= {
        *columns.items(), ("Floor", "text"), ("empty", "whole number"),
    }  # fmt: skip
    add("path,floor\nb/03.png,3.0\n")
    rows = content(Gallery(tmp_path / "g"), by="name")
    assert [rows[name]["floor"] for name in ("a/00.png", "b/01.png", "a/02.png", "b/03.png")] == [
        *(1, None, None, 3)
    ]
    for value, kind in (("1.5", "number"), ("upper", "text"), ("true", "true or false")):
        with pytest.raises(
            UsageError, match=f"floor: the CSV file has {kind}, the gallery .* whole"
        ):
            add(f"path,floor\na/04.png,{value}\n")
    assert len(content(Gallery(tmp_path / "g"))) == 4


def test_names_of_all_kinds_are_found_moved_and_removed(tmp_path):
    source = write_images(tmp_path / "source", 12)
    names = ["a b.png", "it's.png", "50%_x.png", "ü.png", 'q"uote.png', "new\nline.png", "`t`.png"]
    names += ["back\\slash.png", "-dash.png", "x" * 251 + ".png", "$(x).png"]
    folder = tmp_path / "it's 5% _photos"
    folder.mkdir()
    for number, name in enumerate(names):
        shutil.copy(source / f"{'ab'[number % 2]}/{number:02d}.png", folder / name)
    broken = Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))
    shutil.copy(source / "b/11.png", broken)
    last = fill(tmp_path / "g", folder)
    assert (last.added, last.skipped) == (len(names), [(broken.name, NOT_UTF8)])
    gallery = Gallery(tmp_path / "g")
    assert all(gallery.ids_of([name]) == gallery.ids_of([folder / name]) for name in names)
    new = tmp_path / "new _ %' folder"
    assert gallery.relocate(str(folder), str(new)) == len(names)
    assert {gallery.path_of(path) for path in content(gallery)} == {new / name for name in names}
    gallery.delete(gallery.ids_of(names[:5]))
    assert {row["name"] for row in content(gallery).values()} == set(names[5:])


def test_galleries_of_another_model_and_none_are_refused(images, tmp_path):
    fill(tmp_path / "g", images)
    other = ColourExtractor(write_text(tmp_path / "net", "other"))
    with pytest.raises(CheckpointError, match="made by another model"):
        fill(tmp_path / "g", images, other)
    assert len(content(Gallery(tmp_path / "g"))) == 20
