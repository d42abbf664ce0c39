import csv
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import write_image, write_text
from tests.search.double import ColourExtractor, fill, write_images
from tests.search.test_gallery import folder_bytes
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.search import gallery_writer
from vireid.search.gallery import Gallery
from vireid.search.gallery_disk import locked
from vireid.search.gallery_images import list_images
from vireid.search.ingest import ingest
from vireid.structures import Modality

VISIBLE, INFRARED = Modality


@pytest.fixture
def images(tmp_path) -> Path:
    """22 images in a and b, of which two cannot be read, a text, and a link."""
    folder = write_images(tmp_path / "images", 22)
    (folder / "a/06.png").write_bytes(b"no image")
    (folder / "b/21.png").write_bytes((folder / "b/21.png").read_bytes()[:40])
    write_text(folder / "b/readme.txt", "hello")
    (folder / "c").symlink_to(folder / "a")
    return folder


def skipped(folder: Path) -> list[list[str]]:
    with (folder / "skipped.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_a_folder_becomes_a_gallery_and_skipped_images_are_named(images, tmp_path):
    extractor = ColourExtractor()
    last = fill(tmp_path / "g", images, extractor)
    gallery = Gallery(tmp_path / "g")
    names = [f"a/{k:02d}.png" for k in range(0, 22, 2) if k != 6]
    names += [f"b/{k:02d}.png" for k in range(1, 20, 2)]
    assert [entry.name for entry in gallery.entries()] == names
    assert (last.done, last.total, len(gallery)) == (22, 22, 20)
    paths = [images / name for name in names]
    np.testing.assert_array_equal(gallery.files.vectors, ColourExtractor()(paths, "visible"))
    heading, text, link, first, second = skipped(tmp_path / "g")
    assert heading == ["images", "path", "reason"]
    assert text == [str(images), "b/readme.txt", "no image by its name"]
    assert link[1:] == ["c", "a link to a folder, which is not followed"]
    assert first[1] == "a/06.png" and "cannot be decoded" in first[2]
    assert second[1] == "b/21.png" and "cannot be decoded" in second[2]
    good = [call for call in extractor.seen if {"06.png", "21.png"}.isdisjoint(call)]
    assert sum(map(len, good)) == 20  # one pass: a block is repeated only without its bad images


def test_hidden_files_come_into_no_gallery_and_are_named(images, tmp_path):
    deleted = ("a/.Trash-1000/files/a/01.png", "@eaDir/00.png/thumb.png", "b/._01.png")
    for path in deleted:
        write_image(images / path)
    (images / "b/gone.png").symlink_to(images / "nothing.png")
    fill(tmp_path / "g", images)
    names = [entry.name for entry in Gallery(tmp_path / "g").entries()]
    assert len(names) == 20 and not set(names) & set(deleted)
    reasons = {path: reason for _, path, reason in skipped(tmp_path / "g")}
    hidden = [path for path, reason in reasons.items() if reason == "hidden, or of the system"]
    assert hidden == ["@eaDir", "a/.Trash-1000", "b/._01.png"]
    assert reasons["b/gone.png"] == "a link to nothing"
    rows = [f"path,pid\n{deleted[0]},1\n"]  # a CSV file may name them
    write_text(images / "list.csv", "".join(rows))
    fill(tmp_path / "named", images / "list.csv")
    assert [entry.name for entry in Gallery(tmp_path / "named").entries()] == [deleted[0]]


def killed_at(call: int, folder: Path, images: Path, where: str) -> None:
    """Builds in a process of its own that is killed while it computes or before it commits."""
    left = [call]

    def die():
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def work():
        if where == "commit":
            commit = gallery_writer.commit
            gallery_writer.commit = lambda *args: (die(), commit(*args))
            fill(folder, images)
        else:
            fill(folder, images, ColourExtractor(watch=die))

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("where", "call"),
    [("commit", n) for n in (1, 2, 3, 5, 8, 9)] + [("network", 1), ("network", 5)],
)
def test_killed_and_continued_is_the_same_bit_for_bit(images, tmp_path, where, call):
    fill(tmp_path / "straight", images)
    killed_at(call, tmp_path / "killed", images, where)
    if (tmp_path / "killed/gallery.json").exists():
        halfway = Gallery(tmp_path / "killed")
        assert len(halfway) <= 20 and (halfway.unfinished is not None or call < 3)
        wanted = Gallery(tmp_path / "straight").files.vectors[: len(halfway)]
        np.testing.assert_array_equal(halfway.files.vectors, wanted)
    fill(tmp_path / "killed", images)
    assert folder_bytes(tmp_path / "killed") == folder_bytes(tmp_path / "straight")


def test_adding_can_be_continued_too_and_never_mixed_up(images, tmp_path):
    more = write_images(tmp_path / "more", 9, seed=1)
    for name in ("straight", "stopped"):
        fill(tmp_path / name, images)
    fill(tmp_path / "straight", more, new=False, modality=INFRARED)
    steps = ingest(tmp_path / "stopped", more, ColourExtractor(), INFRARED, new=False, block=4)
    next(steps), next(steps)
    steps.close()
    stopped = Gallery(tmp_path / "stopped")
    assert len(stopped) == 24 and stopped.unfinished.total == 9
    for act in (
        lambda: fill(stopped.folder, images, new=False),
        lambda: fill(stopped.folder, more, new=False),  # the other modality
        lambda: stopped.remove(["a/00.png"]),
    ):
        with pytest.raises(UsageError, match=r"more.* is being added|is not finished.*more"):
            act()
    last = fill(stopped.folder, more, new=False, modality=INFRARED)
    assert (last.done, last.total) == (9, 9)
    assert folder_bytes(stopped.folder) == folder_bytes(tmp_path / "straight")


def test_images_in_the_gallery_are_not_added_twice_but_again_after_removal(images, tmp_path):
    fill(tmp_path / "g", images)
    gallery = Gallery(tmp_path / "g")
    gallery.remove(["a/02.png"])
    extractor = ColourExtractor()
    last = fill(tmp_path / "g", images, extractor, new=False)
    assert (last.total, len(Gallery(tmp_path / "g"))) == (3, 20)  # it, and the two bad ones
    assert {"02.png", "06.png", "21.png"} == {name for call in extractor.seen for name in call}
    assert sum(line[2] == "in the gallery already" for line in skipped(tmp_path / "g")) == 19


def test_a_finished_gallery_is_not_built_again(images, tmp_path):
    fill(tmp_path / "g", images)
    before = folder_bytes(tmp_path / "g")
    for dtype in ("float32", "float16"):
        with pytest.raises(UsageError, match="holds a gallery of 20 images already"):
            fill(tmp_path / "g", images, dtype=dtype)
    with pytest.raises(CheckpointError, match="there is no gallery"):
        fill(tmp_path / "none", images, new=False)
    other = ColourExtractor(write_text(tmp_path / "net", "other"))
    with pytest.raises(CheckpointError, match="made by another network"):
        fill(tmp_path / "g", images, other, new=False)
    other.modalities = ("infrared",)
    with pytest.raises(UsageError, match="takes infrared images, not visible ones"):
        fill(tmp_path / "new", images, other)
    with locked(tmp_path / "g"), pytest.raises(UsageError, match="is being written by process"):
        fill(tmp_path / "g", images, new=False)
    assert folder_bytes(tmp_path / "g") == before and not (tmp_path / "new").exists()


def test_a_gallery_is_continued_with_the_numbers_it_was_begun_with(images, tmp_path):
    steps = ingest(tmp_path / "g", images, ColourExtractor(), VISIBLE, new=True, block=4)
    next(steps), next(steps)
    steps.close()
    with pytest.raises(UsageError, match="begun with numbers of float32, not float16"):
        fill(tmp_path / "g", images, dtype="float16")
    assert fill(tmp_path / "g", images).done == 22


def test_mistakes_of_the_network_are_not_taken_for_bad_images(images, tmp_path):
    def fail():
        raise DataError("the network has a headache")

    with pytest.raises(DataError, match="headache"):
        (images / "a/06.png").unlink()
        fill(tmp_path / "g", images / "a", ColourExtractor(watch=fail))
    assert len(Gallery(tmp_path / "g")) == 0


CSV = "path,pid,camid,modality\n"


def test_a_csv_file_brings_identities_and_cameras(tmp_path):
    for k in range(4):
        write_image(tmp_path / f"set/{k}.png", (6, 4), (40 * k, 20, 90))
    rows = "0.png,7,,rgb\n1.png,,2,\n\n./2.png,3,4,visible\n2.png,3,4,visible\n3.png,1,1,thermal\n"
    rows += f"{tmp_path}/set/3.png,5,6,RGB\nnone.png,1,1,visible\n0.png,-2,1,rgb\n"
    path = write_text(tmp_path / "set/list.csv", "\ufeff" + CSV + rows)
    fill(tmp_path / "g", path)
    gallery = Gallery(tmp_path / "g")
    assert [(e.path.name, e.pid, e.camid) for e in gallery.entries()] == [
        ("0.png", 7, None),
        ("1.png", None, 2),
        ("2.png", 3, 4),
        ("3.png", 5, 6),
    ]
    assert gallery.entry(3).name == f"{tmp_path}/set/3.png" == str(gallery.entry(3).path)
    assert [tuple(line[1:]) for line in skipped(tmp_path / "g")[1:3]] == [
        ("2.png", "listed twice"),
        ("3.png", "of another modality"),
    ]
    assert tuple(skipped(tmp_path / "g")[3][1:]) == ("0.png", "junk (a negative pid)")
    assert "none.png does not exist" in skipped(tmp_path / "g")[4][2]
    shutil.move(tmp_path / "set", tmp_path / "moved")
    assert gallery.search(gallery.files.vectors[2:3], 1).rows.tolist() == [[2]]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("", "line 1: no column path"),
        ("file,pid\na.png,1\n", "line 1: no column path; is 'file' meant for path. Rename it"),
        ("path;pid\na.png;1\n", "no column path; .*separated by commas, got 'path;pid'"),
        ("path,person\na.png,1\n", "line 1: is 'person' meant for pid"),
        ("path,spectrum\na.png,ir\n", "line 1: is 'spectrum' meant for modality"),
        pytest.param(
            f"path,cam{'[' * 9999},{','.join(f'cam{k}' for k in range(3, 900))}\na.png\n",
            r"line 1: is 'cam\[{96} meant for camid\? .{200,300}$",
            id="long names",
        ),
        ("path,pid,path\n", "line 1: column path appears twice"),
        (CSV, "holds no image"),
        (CSV + "a.png,1,1,thermal\n", "holds no image"),
        (CSV + "a.png,1,1\n", "line 2: 3 values for the 4 columns"),
        (CSV + "a.png,anna,1,\n", "line 2, column pid: must be a whole number"),
        (CSV + "a.png,-1,1,\n", "holds no image"),
        (CSV + "a.png,1,1_0,\n", "line 2, column camid"),
        (CSV + f"a.png,{2**63},1,\n", "line 2, column pid"),
        (CSV + "a.png,1,1,sonar\n", "column modality: 'sonar' is unknown; choose one of visible"),
        (CSV + ",1,1,\n", "line 2, column path: must name an image"),
        (CSV + '"a.png,1,1,\n', "cannot be read as a CSV file"),
        (b"path\n\xff\xfe\n", "cannot be read as a CSV file in UTF-8"),
    ],
)
def test_malformed_csv_files_are_refused_before_anything_is_written(tmp_path, text, phrase):
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=phrase):
        fill(tmp_path / "g", path)
    assert not (tmp_path / "g").exists()


def test_places_without_images_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    text = write_text(tmp_path / "a.txt", "x")
    for path, phrase in (
        (tmp_path / "empty", "holds no image"),
        (tmp_path / "no", "nothing"),
        (text, "a file of another kind"),
    ):
        with pytest.raises(DataError, match=phrase):
            list_images(path, VISIBLE)
