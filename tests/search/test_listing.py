"""CSV files of images: their columns, their types, and what is refused."""

import warnings
from pathlib import Path

import pytest

from tests.helpers import write_image, write_text
from tests.search.double import write_images
from vireid.errors import DataError
from vireid.search.listing import Listing, list_images
from vireid.structures import Modality

VISIBLE, INFRARED = Modality


def listed(folder: Path, text: str | bytes, modality: Modality = VISIBLE) -> Listing:
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return list_images(path, modality)


def test_a_folder_is_listed_at_any_depth_and_the_rest_is_named(tmp_path):
    images = write_images(tmp_path / "images", 5)
    write_text(images / "b/readme.txt", "hello")
    (images / "c").symlink_to(images / "a")
    (images / "gone.png").symlink_to(images / "nothing.png")
    for path in ("a/.Trash-1000/files/01.png", "@eaDir/00.png/thumb.png"):
        write_image(images / path)
    found = list_images(images, VISIBLE)
    assert [one.path for one in found.images] == [
        *("a/00.png", "a/02.png", "a/04.png", "b/01.png", "b/03.png"),
    ]
    assert dict(found.skipped) == {
        "b/readme.txt": "no image by its name",
        "c": "a link to a folder, which is not followed",
        "gone.png": "a link to nothing",
        "a/.Trash-1000": "hidden, or of the system",
        "@eaDir": "hidden, or of the system",
    }


def test_rows_bring_identities_cameras_and_times_of_any_kind(tmp_path):
    text = (
        "\ufeffpath,PID,camid,modality,time\r\n"
        "0.png,anna,north gate,rgb,2026-11-29 14:05:00\r\n\r\n"
        "1.png,007,,visible,2026-11-29T14:05:00+02:00\r\n"
        "./2.png,,3,,-100.5\r\n"
        "2.png,4,4,visible,\r\n"
        "3.png,1,1,thermal,1960-05-05\r\n"
        "4.png,-2,1,rgb,\r\n"
        "5.png\r\n"
    )
    found = listed(tmp_path, text)
    rows = [(i.path, i.pid, i.camid, i.time and str(i.time)) for i in found.images]
    assert rows == [
        ("0.png", "anna", "north gate", "2026-11-29 14:05:00"),
        ("1.png", "007", None, "2026-11-29 12:05:00"),
        ("2.png", None, "3", "1969-12-31 23:58:19.500000"),
        ("5.png", None, None, None),
    ]
    assert found.skipped == (
        ("2.png", "listed twice"),
        ("3.png", "of another modality"),
        ("4.png", "junk (a negative pid)"),
    )
    (other,) = listed(tmp_path, text, INFRARED).images[-1:]
    assert other.path == "5.png"  # of either modality
    assert str(listed(tmp_path, text, INFRARED).images[1].time) == "1960-05-05 00:00:00"


def test_other_columns_keep_their_types(tmp_path):
    found = listed(
        tmp_path,
        "path,floor,height,inside,note,empty,Day,long\n"
        'a.png,1,1.0,true,"it\'s, ""x""",,2026-01-01,99999999999999999999\n'
        "b.png,,2,false,7,,2026-01-02,1\n"
        "a.png,5,5,true,x,,,\n"
        "c.png\n",
    )
    kinds = {field.name: str(field.type) for field in found.further.schema}
    assert kinds == {
        **{"floor": "int64", "height": "double", "inside": "bool", "note": "string"},
        **{"Day": "string", "long": "string"},  # and no column without a value
    }
    assert found.further_of(found.images).to_pydict() == {
        "floor": [1, None, None],
        "height": [1.0, 2.0, None],
        "inside": [True, False, None],
        "note": ['it\'s, "x"', "7", None],
        "Day": ["2026-01-01", "2026-01-02", None],
        "long": ["99999999999999999999", "1", None],
    }
    assert listed(tmp_path, "path,x\na.png,\n").further is None


CSV = "path,pid,camid,modality\n"


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("", "line 1: no column path"),
        ("\n\n", "line 1: no column path"),
        ("file,pid\na.png,1\n", "line 1: no column path; is 'file' meant for path. Rename it"),
        ("path;pid\na.png;1\n", "no column path; .*separated by commas, got 'path;pid'"),
        ("path\tpid\na.png\t1\n", "no column path"),
        ("path,person\na.png,1\n", "line 1: is 'person' meant for pid"),
        ("path,spectrum\na.png,ir\n", "line 1: is 'spectrum' meant for modality"),
        pytest.param(
            f"path,cam{'[' * 9999},{','.join(f'cam{k}' for k in range(3, 900))}\na.png\n",
            r"line 1: is 'cam\[{96} meant for camid\? .{200,300}$",
            id="long names",
        ),
        ("path,pid,path\n", "line 1: column path appears twice"),
        ("path,x, x\na.png,1,2\n", "line 1: column x appears twice"),
        ("path,VECTOR\na.png,1\n", "a gallery has its own column vector: rename it"),
        ("path,name\na.png,1\n", "a gallery has its own column name: rename it"),
        ("path,_rowid\na.png,1\n", "'_rowid' cannot be the name of a column in a filter"),
        ("path,my column\na.png,1\n", "'my column' cannot be the name of a column"),
        ("path,\na.png,1\n", "'' cannot be the name of a column|Unnamed"),
        (CSV, "holds no image"),
        (CSV + "a.png,1,1,thermal\n", "holds no image"),
        (CSV + "a.png,-1,1,\n", "holds no image"),
        (CSV + "a.png,1,1,rgb,9\n", r"\(line 2 has more values than the first line has names\)"),
        (CSV + "a.png,1,1,rgb\nb.png,1,1,rgb,9\n", "Expected 4 fields in line 3, saw 5"),
        (CSV + "a.png,1,1,sonar\n", "column modality: 'sonar' is unknown; choose one of visible"),
        (CSV + ",1,1,\n", "line 2, column path: must name an image"),
        (CSV + "a/,1,1,\n", "line 2, column path: must name an image"),
        (CSV + f"{'a/' * 5000}x.png,1,1,\n", r"path: 'a.{98} is longer than a file's name can be$"),
        (CSV + "a\0.png,1,1,\n", "has a character that no file name can have"),
        (CSV + '"a.png,1,1,\n', "cannot be read as a CSV file"),
        (b"path\n\xff\xfe\n", "cannot be read as a CSV file in UTF-8"),
        ("path\na.png\n".encode("utf-16"), "cannot be read as a CSV file in UTF-8"),
        *(
            (f"path,time\na.png,{time}\n", "line 2, column time: must be a date and time such as")
            for time in ("now", "NaT", "soon", "1e400", "9" * 12, "9" * 30, "2026-13-01", "-1-1")
        ),
    ],
)
def test_malformed_files_are_refused_in_a_line(tmp_path, text, phrase):
    with pytest.raises(DataError, match=phrase) as error:
        listed(tmp_path, text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700 + len(str(tmp_path))


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


def test_an_identity_may_be_called_na_and_a_number_may_be_missing(tmp_path):
    for name in "ab":
        write_image(tmp_path / f"{name}.png", (6, 4))
    text = "path,pid,camid,height\na.png,NA,null,1.5\nb.png,None,,NA\n"
    listing = list_images(write_text(tmp_path / "list.csv", text), Modality.VISIBLE)
    assert [(one.pid, one.camid) for one in listing.images] == [("NA", "null"), ("None", None)]
    assert listing.further_of(listing.images)["height"].to_pylist() == [1.5, None]
