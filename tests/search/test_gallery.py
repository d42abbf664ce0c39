import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.search.double import DIM, unit
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.search import gallery_files
from vireid.search.gallery import Gallery
from vireid.search.gallery_disk import LOCK, locked
from vireid.search.gallery_files import ROW
from vireid.search.gallery_writer import writing
from vireid.search.manifest import read_meta
from vireid.structures import Modality

VECTORS = unit(np.random.default_rng(0).normal(size=(20, DIM)))
NAMES = [f"{'ab'[k % 2]}/ü{k}.png" for k in range(20)]


@pytest.fixture
def gallery(tmp_path) -> Gallery:
    """Twenty rows, added in two parts from two folders."""
    made = Gallery.create(tmp_path / "gallery", fingerprint="f" * 40, dim=DIM)
    made.add(VECTORS[:12], NAMES[:12], root="/one", modality=Modality.VISIBLE, pids=range(12))
    camids = [3, -1, *range(6)]
    made.add(VECTORS[12:], NAMES[12:], root="/two", modality=Modality.INFRARED, camids=camids)
    return made


def test_what_was_added_is_there_when_opened_again(gallery):
    again = Gallery(gallery.folder, fingerprint="f" * 40)
    assert len(again) == 20 and again.dim == DIM and again.unfinished is None
    np.testing.assert_array_equal(again.files.vectors, VECTORS)
    assert isinstance(again.files.vectors, np.memmap)
    first, last = again.entry(3), again.entry(12)
    assert (first.path, first.name) == (Path("/one/b/ü3.png"), "b/ü3.png")
    assert (first.pid, first.camid, first.modality) == (3, None, Modality.VISIBLE)
    assert (last.path, last.pid, last.camid) == (Path("/two/a/ü12.png"), None, 3)
    assert again.entry(13).camid is None and again.entry(13).modality is Modality.INFRARED
    again.verify()


def test_search_finds_each_row_itself_and_not_the_removed(gallery):
    found = gallery.search(VECTORS, 2)
    assert found.rows[:, 0].tolist() == list(range(20))
    np.testing.assert_allclose(found.scores[:, 0], 1, atol=1e-6)
    assert gallery.remove(["/two/a/ü12.png", "b/ü3.png"]) == 2
    again = Gallery(gallery.folder)
    assert len(again) == 18 and not {3, 12} & set(again.search(VECTORS, 30).rows.ravel().tolist())
    assert again.search(VECTORS, 30).rows.shape == (20, 18)
    assert [entry.row for entry in again.entries()] == [k for k in range(20) if k not in (3, 12)]


def test_many_removals_rewrite_the_files_in_the_same_order(gallery):
    assert gallery.remove(["/one"]) == 12
    again = Gallery(gallery.folder)
    assert again.files.meta.rows == len(again) == 8
    np.testing.assert_array_equal(again.files.vectors, VECTORS[12:])
    assert [entry.name for entry in again.entries()] == NAMES[12:]
    assert [entry.camid for entry in again.entries()] == [3, None, *range(6)]
    again.verify()
    names = {path.name for path in again.folder.glob("*.bin")}
    assert names == {f"{n}.1.bin" for n in ("vectors", "codes", "bounds", "rows", "paths")}
    again.add(VECTORS[:1], ["new.png"], root="/one", modality=Modality.VISIBLE)
    assert again.search(VECTORS[:1], 1).rows.tolist() == [[8]]
    assert gallery.files.full_path(0) == Path("/two/a/ü12.png")  # the one who removed sees it, too


def test_a_reader_keeps_what_it_opened(gallery):
    reader = Gallery(gallery.folder)
    gallery.remove(["/one"])
    assert len(reader) == 20 and reader.search(VECTORS[:1], 1).rows.tolist() == [[0]]


def test_a_reader_that_meets_a_removal_looks_again(gallery, monkeypatch):
    """The file of removed rows that it has just read of is another one by now."""
    gallery.remove([NAMES[3]])
    before, found = read_meta(gallery.folder), []
    gallery.remove([NAMES[4]])

    def late(folder):
        found.append(read_meta(folder) if found else before)
        return found[-1]

    monkeypatch.setattr(gallery_files, "read_meta", late)
    assert len(Gallery(gallery.folder)) == 18 and len(found) == 3


def test_folders_of_any_name_and_behind_links(gallery, tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    gallery.add(VECTORS[:2], ["x/1.png", "2.png"], root=f"/ü/{odd}", modality=Modality.VISIBLE)
    assert str(Gallery(gallery.folder).entry(20).path) == f"/ü/{odd}/x/1.png"
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    names = ["a.png", "b.png", "c/d.png", "../real/e.png"]
    gallery.add(VECTORS[:4], names, root=tmp_path / "link", modality=Modality.VISIBLE)
    assert gallery.entry(25).path == tmp_path / "real/e.png"
    assert gallery.remove([tmp_path / "link/b.png", tmp_path / "real/e.png"]) == 2
    assert gallery.remove([tmp_path / "link"]) == 2


def test_rows_that_are_none_are_not_the_last_one(gallery):
    for row in (-1, 20):
        with pytest.raises(IndexError, match=f"row {row} of 20"):
            gallery.entry(row)


def test_removing_is_all_or_nothing_and_names_must_be_clear(gallery):
    for names, phrase in ((["a/ü0.png", "a/none.png"], "holds no image a/none.png"), ([""], "no")):
        with pytest.raises(DataError, match=phrase):
            gallery.remove(names)
    gallery.add(VECTORS[:1], [NAMES[12]], root="/three", modality=Modality.VISIBLE)
    with pytest.raises(DataError, match="2 images a/ü12.png, the first: /two/a/ü12.png"):
        gallery.remove([NAMES[12]])
    assert len(Gallery(gallery.folder)) == 21
    assert gallery.remove(["/three/a/ü12.png"]) == 1


def test_half_floats_are_stored_and_searched_as_such(tmp_path):
    made = Gallery.create(tmp_path / "g", fingerprint="f", dim=DIM, dtype="float16")
    made.add(VECTORS, NAMES, root="/one", modality=Modality.VISIBLE)
    halves = VECTORS.astype(np.float16)
    np.testing.assert_array_equal(Gallery(tmp_path / "g").files.vectors, halves)
    found = made.search(VECTORS[:3], 5)
    true = VECTORS[:3].astype(np.float64) @ halves.astype(np.float64).T
    assert found.rows.tolist() == np.argsort(-true, axis=1)[:, :5].tolist()


def test_vectors_and_queries_that_do_not_fit_are_refused(gallery):
    wrong = VECTORS[:2].copy()
    wrong[1, 3] = np.nan
    before = folder_bytes(gallery.folder)
    for vectors, phrase in (
        (VECTORS[:2, :5], r"\(2, 5\), but the gallery"),
        (wrong, "n2 are not"),
        (VECTORS[:2] * [[1], [2]], "n2 have the length 2, not 1: divide"),
    ):
        with pytest.raises(CheckpointError, match=phrase):
            gallery.add(vectors, ["n1", "n2"], root="/x", modality=Modality.VISIBLE)
    assert folder_bytes(gallery.folder) == before
    with pytest.raises(CheckpointError, match="12 numbers per image"):
        gallery.search(VECTORS[:, :5])
    with pytest.raises(CheckpointError, match="not finite"):
        gallery.search(wrong)
    with pytest.raises(UsageError, match="at least 1, got 0"):
        gallery.search(VECTORS, 0)


def test_another_network_is_refused(gallery):
    with pytest.raises(CheckpointError, match="made by another network.*ffff.*0123") as error:
        Gallery(gallery.folder, fingerprint="0123")
    assert error.value.exit_code == 4


def test_one_writes_at_a_time(gallery):
    with (
        locked(gallery.folder),
        pytest.raises(UsageError, match="is being written by process .* on"),
    ):
        gallery.add(VECTORS[:1], ["n"], root="/x", modality=Modality.VISIBLE)
    gallery.add(VECTORS[:1], ["n"], root="/x", modality=Modality.VISIBLE)
    assert len(gallery) == 21


def test_a_folder_of_other_files_is_no_place_for_a_gallery(gallery, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds thesis\.txt"):
        Gallery.create(tmp_path / "full", fingerprint="f", dim=3)
    assert (tmp_path / "full/thesis.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="holds a gallery already"):
        Gallery.create(gallery.folder, fingerprint="f", dim=3)
    with pytest.raises(UsageError, match="float32 or float16"):
        Gallery.create(tmp_path / "new", fingerprint="f", dim=3, dtype="int8")


def damage(name: str, how) -> tuple:
    return pytest.param(name, how, id=f"{name}-{how.__name__}")


def cut(path: Path):
    path.write_bytes(path.read_bytes()[:-3])


def lose(path: Path):
    path.unlink()


def blank(path: Path):
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path):
    content = bytearray(path.read_bytes())
    content[7] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "how"),
    [damage(f"{n}.0.bin", cut) for n in ("vectors", "codes", "bounds", "rows", "paths")]
    + [damage(f"{n}.0.bin", lose) for n in ("vectors", "paths")]
    + [damage("vectors.0.bin", flip), damage("codes.0.bin", flip), damage("bounds.0.bin", blank)]
    + [damage("rows.0.bin", blank)]
    + [damage("gallery.json", how) for how in (cut, lose, blank)]
    + [damage("removed.*.0.bin", how) for how in (cut, lose, blank)],
)
def test_damage_is_one_line(gallery, name, how):
    gallery.remove([NAMES[5]])
    (path,) = gallery.folder.glob(name)
    how(path)
    for act in (Gallery, lambda folder: writing(folder).__enter__()):
        with pytest.raises(CheckpointError) as error:
            act(gallery.folder)
        assert error.value.exit_code == 4 and "\n" not in str(error.value)
        assert str(gallery.folder) in str(error.value)


JOB = {"images": "x", "modality": 0, "first_row": 20, "skipped_from": 0, "total": 1}


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"format": 1}, "has format 1; this version reads format 2"),
        ({"rows": -1}, "rows is -1"),
        ({"rows": "20"}, "rows is '20'"),
        ({"dim": 0}, "0 numbers"),
        ({"dtype": "int3"}, "int3"),
        ({"dim": DIM + 1}, "truncated"),
        ({"sources": ["/one"]}, "unknown folders"),
        ({"job": {"images": "x"}}, "is damaged"),
        ({"path_bytes": 20}, "does not fit its paths"),
        ({"rows": True}, "rows is True"),
        ({"dead": 3}, "3 of 20 rows are removed, by ''"),
        ({"generation": 10**400}, "generation is 1000"),
        ({"rows": 0, "path_bytes": 0, "dim": 2**62}, "numbers of float32"),
        ({"removed": "../../../dev/zero", "dead": 1}, "removed is '../../../dev/zero'"),
        ({"job": JOB | {"modality": 7}}, "modality is 7"),
        ({"job": JOB | {"first_row": 21}}, "begins at row 21 of 20"),
    ],
)
def test_a_wrong_description_is_refused(gallery, change, phrase):
    path = gallery.folder / "gallery.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=phrase):
        Gallery(gallery.folder)


@pytest.mark.parametrize("name", ["pid", "camid", "modality", "path"])
def test_no_label_and_no_path_can_become_another_one(gallery, name):
    """The checksum of a row is of all that is told of its image."""
    if name == "path":
        path = gallery.folder / "paths.0.bin"
        path.write_bytes(path.read_bytes().replace(b"2.png", b"7.png", 1))
    else:
        path = gallery.folder / "rows.0.bin"
        rows = np.fromfile(path, dtype=ROW)
        rows[name][2] ^= 1
        rows.tofile(path)
    with pytest.raises(CheckpointError, match=r"rows\.0\.bin does not fit .* \(row 2\)"):
        Gallery(gallery.folder)


@pytest.mark.parametrize("name", ["vectors.0.bin", "paths.0.bin", "skipped.csv", "gallery.json"])
def test_a_folder_in_a_files_place_is_one_line(gallery, name):
    (gallery.folder / name).unlink()
    (gallery.folder / name).mkdir()
    with pytest.raises(CheckpointError, match=f"{name} (is not a file|cannot be read)"):
        Gallery(gallery.folder)


def test_what_stands_behind_the_rows_that_count_is_written_over(gallery, tmp_path):
    """As a block leaves it that was cut off before gallery.json was replaced."""
    copy = Path(shutil.copytree(gallery.folder, tmp_path / "copy"))
    for name in ("vectors", "codes", "bounds", "rows", "paths"):
        with (copy / f"{name}.0.bin").open("ab") as file:
            file.write(b"half a block")
    (copy / "vectors.1.bin").write_bytes(b"half a rewriting")
    for name in ("gallery.json.17.tmp", "approximate.faiss.4.tmp", "approximate.json.4.tmp"):
        (copy / name).write_bytes(b"half a file")
    assert len(Gallery(copy)) == 20
    for folder in (copy, gallery.folder):
        one = Gallery(folder)
        one.add(VECTORS[:3], ["x", "y", "z"], root="/x", modality=Modality.VISIBLE)
    assert folder_bytes(copy) == folder_bytes(gallery.folder)


def test_nothing_is_a_gallery_but_a_gallery(tmp_path):
    for path in (tmp_path, tmp_path / "none", Path(__file__), "~nobody_of_this_name/x"):
        with pytest.raises(CheckpointError, match="there is no gallery in"):
            Gallery(path)
    with pytest.raises(CheckpointError, match="there is no gallery in"):
        writing(tmp_path / "none").__enter__()
    assert not (tmp_path / "none").exists()


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != LOCK}
