import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers import write_image, write_text
from vireid.data.datasets import csv_set
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality

HEADER = "path,pid,camid,modality,split"
ROWS = (
    "a/1.jpg,3,4,visible,train",
    "a/2.jpg,3,5,infrared,train",
    "b/1.png,8,4,visible,test",
    "b/2.png,8,5,infrared,test",
)
V, I = Modality.VISIBLE, Modality.INFRARED  # noqa: E741


def write(root: Path, *rows: str, header: str = HEADER, name: str = "dataset.csv") -> Path:
    """The CSV file, and an image for every row's first cell."""
    for row in rows:
        write_image(root / row.split(",")[0].strip('" ').replace("\\", "/"))
    return write_text(root / name, "\n".join([header, *rows]) + "\n")


def write_only(root: Path, *rows: str, header: str = HEADER) -> Path:
    """The CSV file with ROWS and more rows whose images are not written."""
    path = write(root, *ROWS)
    return write_text(path, "\n".join([header, *ROWS, *rows]) + "\n")


def message(root: Path, split: str = "train+val") -> str:
    with pytest.raises(DataError) as error:
        csv_set.load(root, split=split)
    return str(error.value)


def test_rows_become_records_in_the_files_order(tmp_path):
    write(tmp_path, *ROWS)
    splits = csv_set.load(tmp_path)
    assert splits.train == (ImageRecord("a/1.jpg", 3, 4, V), ImageRecord("a/2.jpg", 3, 5, I))
    assert splits.test == (ImageRecord("b/1.png", 8, 4, V), ImageRecord("b/2.png", 8, 5, I))
    assert (splits.root, splits.val, splits.split_trial) == (tmp_path, (), None)
    path = write(tmp_path / "my cams", *ROWS, name="Mine.CSV")  # the root may be the file itself
    own = csv_set.load(str(path))
    assert (own.root, own.train) == (tmp_path / "my cams", splits.train)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("path,pid,modality,split", [re.sub(r",[45],", ",", row) for row in ROWS]),
        (HEADER, [re.sub(r",[45],", ",,", row) for row in ROWS]),
    ],
    ids=["no column", "empty column"],
)
def test_without_camera_ids_the_modality_is_the_camera(tmp_path, header, rows):
    """So a query never shares a camera with its gallery, and no protocol removes anything."""
    write(tmp_path, *rows, header=header)
    splits = csv_set.load(tmp_path)
    records = splits.train + splits.test
    assert {(record.modality, record.camid) for record in records} == {(V, 1), (I, 2)}


@pytest.mark.parametrize("row", ["c.jpg,9,,visible,test", "c.jpg,9, ,visible,test"])
def test_camera_ids_in_some_rows_only_are_refused(tmp_path, row):
    path = write_only(tmp_path, row)
    assert f"{path}, line 6: camid is empty, but other rows have one" in message(tmp_path)


@pytest.mark.parametrize(
    ("word", "modality"),
    [("RGB", V), ("Visible", V), ("vis", V), ("IR", I), ("nir", I), ("Thermal", I)],
)
def test_modality_has_the_fields_names_in_any_case(tmp_path, word, modality):
    write(tmp_path, *ROWS, f"c.jpg,3,4,{word},Train")
    assert csv_set.load(tmp_path).train[-1] == ImageRecord("c.jpg", 3, 4, modality)


def test_columns_in_any_order_quotes_and_more_columns_are_read(tmp_path):
    write_image(tmp_path / "a, b.jpg")
    text = 'note,Split, pid,MODALITY,path\nx,train,7,ir,"a, b.jpg"\n\n,,,,\n'
    write_text(tmp_path / "dataset.csv", "\ufeff" + text.replace("\n", "\r\n"))
    assert csv_set.load(tmp_path).train == (ImageRecord("a, b.jpg", 7, 2, I),)


def test_paths_may_be_written_as_windows_does(tmp_path):
    write(tmp_path, "a\\1.jpg,3,4,visible,train", "./a//2.jpg,3,5,ir,train")
    assert [record.path for record in csv_set.load(tmp_path).train] == ["a/1.jpg", "a/2.jpg"]


def val_rows() -> list[str]:
    return [*ROWS, "c/1.jpg,5,4,visible,val", "c/2.jpg,5,5,infrared,val"]


def test_validation_rows_train_unless_they_are_kept_apart(tmp_path):
    write(tmp_path, *val_rows())
    assert csv_set.load(tmp_path).train_pids == (3, 5)
    assert csv_set.load(tmp_path, split="train+val").val == ()
    apart = csv_set.load(tmp_path, split="train")
    assert apart.train_pids == (3,)
    assert apart.val == (ImageRecord("c/1.jpg", 5, 4, V), ImageRecord("c/2.jpg", 5, 5, I))


def test_without_validation_rows_every_fifth_identity_is_held_out(tmp_path):
    pids = [11, 2, 30, 4, 5, 60, 7, 9, 10]
    write(tmp_path, *ROWS, *(f"{pid}.jpg,{pid},4,visible,train" for pid in pids))
    splits = csv_set.load(tmp_path, split="train")  # with the 3 of ROWS: 2 3 4 5 7 9 10 11 30 60
    assert [record.pid for record in splits.val] == [60, 7]
    assert splits.train_pids == (2, 3, 4, 5, 9, 10, 11, 30)


@pytest.mark.parametrize(
    ("row", "split", "phrase"),
    [
        ("c.jpg,8,4,visible,train", "train+val", "training and test identities overlap: [8]"),
        ("c.jpg,8,4,visible,val", "train+val", "training and test identities overlap: [8]"),
        ("c.jpg,8,4,visible,val", "train", "validation and test identities overlap: [8]"),
        ("c.jpg,3,4,visible,val", "train", "training and validation identities overlap: [3]"),
    ],
)
def test_identity_in_two_parts_is_refused(tmp_path, row, split, phrase):
    path = write(tmp_path, *ROWS, row)
    assert message(tmp_path, split) == f"{path}: {phrase}"


@pytest.mark.parametrize(
    ("row", "column", "phrase"),
    [
        ("c.jpg,,4,visible,test", "pid", "it is empty: name the identity"),
        ("c.jpg,7,4,green,test", "modality", "'green' is unknown; choose one of visible, vis"),
        ("c.jpg,7,4,,test", "modality", "'' is unknown; choose one of visible"),
        ("c.jpg,7,4,visible,query", "split", "'query' is unknown; choose one of train, val, test"),
        (",7,4,visible,test", "path", "must name an image, got ''"),
        ("/c.jpg,7,4,visible,test", "path", "must be relative to the CSV file's folder"),
        ("C:\\c.jpg,7,4,visible,test", "path", "and stay in it, got 'C:\\\\c.jpg'"),
        ("a/../../c.jpg,7,4,visible,test", "path", "got 'a/../../c.jpg': move the CSV file"),
        ("a//1.jpg,7,4,visible,test", "path", "'a/1.jpg' is in line 2 already"),
    ],
)
def test_malformed_value_is_named_with_file_line_and_column(tmp_path, row, column, phrase):
    path = write_only(tmp_path, row)
    assert message(tmp_path).startswith(f"{path}, line 6, column {column}: ")
    assert phrase in message(tmp_path)


def rows_of(pids: Sequence[str], cameras: Sequence[str] = ()) -> list[str]:
    """A visible training image of each identity; nothing else of the file matters."""
    cameras = cameras or ["1"] * len(pids)
    rows = zip(range(len(pids)), pids, cameras, strict=True)
    return [f"{n}.jpg,{pid},{camera},visible,train" for n, pid, camera in rows]


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        (["12", "3", "0"], [12, 3, 0]),  # whole numbers stay themselves
        (["007", "7"], [7, 7]),
        (["ben", "anna", "ben"], [2, 1, 2]),
        (["10", "9", "zoe"], [1, 2, 3]),  # in the order of their characters
        (["007", "7", "anna"], [1, 2, 3]),
        (["7.0", "x7"], [1, 2]),
        (["1_0", "²"], [1, 2]),
        ([str(2**63), "5"], [2, 1]),
        (["行人", "été"], [2, 1]),
        (["e\u0301te\u0301", "\u00e9t\u00e9"], [1, 1]),  # one name in two Unicode forms
    ],
)
def test_every_identity_has_a_number_whatever_its_name(tmp_path, written, numbers):
    write(tmp_path, *rows_of(written))
    splits = csv_set.load(tmp_path)
    assert [record.pid for record in splits.train] == numbers
    assert set(splits.identities) == set(numbers)
    if "ben" in written:
        assert splits.identities == {1: "anna", 2: "ben"}


def test_numbers_of_names_do_not_depend_on_the_order_of_the_rows(tmp_path):
    rows = rows_of(["zoe", "anna", "mei lin", "7"], ["west", "east", "0", "east"])
    found = []
    for name, ordered in (("a", rows), ("b", rows[::-1])):
        write(tmp_path / name, *ordered)
        found.append(sorted(csv_set.load(tmp_path / name).train, key=lambda r: r.path))
    assert found[0] == found[1]
    assert [record.pid for record in found[0]] == [4, 2, 3, 1]
    assert [record.camid for record in found[0]] == [3, 2, 1, 2]


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        (["4", "1"], [4, 1]),
        (["1", "0"], [2, 1]),
        (["cam-B", "cam-A"], [2, 1]),
        (["1", "b"], [1, 2]),
    ],
)
def test_every_camera_has_a_number_from_1(tmp_path, written, numbers):
    write(tmp_path, *rows_of(["1", "2"], written))
    splits = csv_set.load(tmp_path)
    assert [record.camid for record in splits.train] == numbers
    assert {splits.cameras[n] for n in numbers} == set(written)


@pytest.mark.parametrize(("junk", "person"), [("-1", "5"), ("-2", "anna"), ("-37", "-x")])
def test_images_of_negative_identities_train_nothing_and_are_counted(tmp_path, junk, person):
    rows = [f"{n}.jpg,{junk},1,visible,{part}" for n, part in enumerate(("train", "val", "test"))]
    write(tmp_path, *rows, f"p.jpg,{person},1,visible,train")
    for split in ("train", "train+val"):
        splits = csv_set.load(tmp_path, split=split)
        assert [record.path for record in splits.train] == ["p.jpg"]
        assert splits.val == ()
        assert [record.pid for record in splits.test] == [int(junk)]  # the protocols say it
        assert [record.pid for record in splits.left_out] == [int(junk)] * 2
        assert splits.notes == (
            f"junk images (negative identities: {junk}), which are in no list: 3",
        )


@pytest.mark.parametrize("person", ["3", "anna"])
def test_identity_0_is_a_distractor_beside_junk_and_else_a_person(tmp_path, person):
    rows = [f"{n}.jpg,{pid},1,visible,train" for n, pid in enumerate(["0", person])]
    write(tmp_path / "plain", *rows)
    plain = csv_set.load(tmp_path / "plain")
    assert len(plain.train) == 2 and plain.left_out == plain.notes == ()
    write(tmp_path / "market", *rows, "j.jpg,-1,1,visible,test", "d.jpg,0,1,visible,test")
    splits = csv_set.load(tmp_path / "market")
    assert [record.path for record in splits.train] == ["1.jpg"]
    assert [record.pid for record in splits.left_out] == [0]
    assert {record.pid for record in splits.test} == {-1, 0}
    assert splits.notes[1].endswith("never searched for and train nothing: 2")


@pytest.mark.parametrize(
    ("pids", "count"),
    [
        (["Anna", "anna"], "2 different ones"),
        (["mei lin", "mei_lin"], "2 different ones"),
        (["p07", "p7"], "2 different ones"),
        (["7.0", "7"], "2 different ones"),
        (["07", "7"], "one identity"),
    ],
)
def test_names_that_are_nearly_the_same_are_noted(tmp_path, pids, count):
    write(tmp_path, *rows_of(pids))
    (note,) = csv_set.load(tmp_path).notes
    assert note == (
        f"identity names that are nearly the same: {', '.join(map(repr, sorted(pids)))}; "
        f"they count as {count}"
    )


@pytest.mark.parametrize("name", ["nan", "None", "UNKNOWN", "?"])
def test_an_identity_without_a_name_is_noted(tmp_path, name):
    write(tmp_path, *rows_of(["anna", name]))
    (note,) = csv_set.load(tmp_path).notes
    assert note.startswith(f"identity {name!r} counts as one person") and "-1" in note


def test_names_that_differ_are_not_noted(tmp_path):
    write(tmp_path, *rows_of(["1-1", "11", "-1", "1", "a1", "a2", "10"]))
    (junk,) = csv_set.load(tmp_path).notes
    assert junk.startswith("junk")


def test_overlapping_parts_name_the_identities(tmp_path):
    rows = [f"{n}.jpg,{pid},1,ir,test" for n, pid in enumerate(["zoe", "7"])]
    path = write(tmp_path, *rows, *(f"t{row}".replace("test", "train") for row in rows))
    assert message(tmp_path) == f"{path}: training and test identities overlap: ['7', 'zoe']"


def test_a_row_of_another_length_is_named(tmp_path):
    path = write_only(tmp_path, "c.jpg,7,4,visible")
    assert message(tmp_path).startswith(f"{path}, line 6, column split: '' is unknown")
    path = write_only(tmp_path, "c, d.jpg,7,4,visible,test")
    assert "Expected 5 fields in line 6, saw 6): quote every value" in message(tmp_path)


@pytest.mark.parametrize(
    ("header", "phrase"),
    [
        ("path;pid;camid;modality;split", "no column path, pid, modality, split"),
        ("path,id,camid,modality,split", "no column pid; … is 'id' meant for pid?"),
        ("paths,pid,camid,modality,split", "no column path; … is 'paths' meant for path?"),
        ("path,pid,camid,modalty,split", "no column modality; … is 'modalty' meant for modality?"),
        ("path,pid,pid,modality,split", "column pid appears twice"),
        ("", "no column path, pid, modality, split"),
    ],
)
def test_a_first_line_without_the_columns_is_quoted(tmp_path, header, phrase):
    path, (start, *hint) = write_only(tmp_path, header=header), phrase.split("…")
    assert message(tmp_path).startswith(f"{path}, line 1: {start}")
    assert "".join(hint) in message(tmp_path)


@pytest.mark.parametrize(
    "name", ["camera", "cam_id", "camids", "cameraid", "Camera_ID", "cam", "cid", "camd"]
)
def test_a_column_that_is_probably_camid_is_not_passed_over(tmp_path, name):
    path = write_only(tmp_path, header=f"path,pid,{name},modality,split")
    said = message(tmp_path)
    assert said.startswith(f"{path}, line 1: no column camid; is {name.lower()!r} meant for camid?")
    assert "Rename it to camid" in said


@pytest.mark.parametrize("name", ["name", "frame", "note", "date", "scene", "width", "aim"])
def test_other_columns_are_no_mistake(tmp_path, name):
    write_only(tmp_path, header=f"path,pid,{name},modality,split")
    assert {record.camid for record in csv_set.load(tmp_path).train} == {1, 2}
    write_only(tmp_path / "both")
    text = (tmp_path / "both/dataset.csv").read_text().replace("\n", ",x\n")
    write_text(tmp_path / "both/dataset.csv", text.replace("split,x", "split,camera", 1))
    assert {record.camid for record in csv_set.load(tmp_path / "both").train} == {4, 5}


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (HEADER.encode() + b"\n\n", "lists no image"),
        (b"\xff\xfe", "cannot be read as a CSV file in UTF-8"),
        (HEADER.encode() + b'\n"a,b\n', "cannot be read as a CSV file"),
    ],
)
def test_a_file_that_is_no_such_list_is_named(tmp_path, content, phrase):
    (tmp_path / "dataset.csv").write_bytes(content)
    assert message(tmp_path).startswith(f"{tmp_path / 'dataset.csv'} {phrase}")


@pytest.mark.parametrize("name", ["gone.jpg", "x" * 300 + ".jpg"])
def test_missing_images_are_counted_and_named(tmp_path, name):
    path = write_only(tmp_path, f"{name},7,4,visible,test")
    phrase = f"{path} lists 1 images that are not under {tmp_path}, the first: {name} (line 6)"
    assert message(tmp_path) == phrase


def test_a_folder_without_the_file_names_the_csv_files_there(tmp_path):
    assert f"{tmp_path} lacks dataset.csv: write one" in message(tmp_path)
    write(tmp_path, *ROWS, name="people.csv")
    assert "lacks dataset.csv: name one of people.csv in DATA.ROOT" in message(tmp_path)
    assert "path,pid,camid,modality,split" in message(tmp_path)


def test_an_image_of_another_unicode_form_is_named(tmp_path):
    """As an archive of another system unpacks: composed in the list, decomposed on the disk."""
    listed = "zoë/å.jpg"
    path = write_image(tmp_path / unicodedata.normalize("NFD", listed))
    write_text(tmp_path / "dataset.csv", f"path,pid,modality,split\n{listed},1,rgb,train\n")
    with pytest.raises(DataError) as error:
        csv_set.load(tmp_path)
    phrase = f"{listed} (line 2); {str(path)!a} exists, whose letters have another Unicode form"
    assert phrase in str(error.value)
