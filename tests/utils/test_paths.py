"""Which files of a folder are listed, and names that are nearly right."""

import unicodedata
from pathlib import Path

import pytest

from tests.helpers import write_text
from vireid.errors import DataError
from vireid.utils.paths import (
    BROKEN_LINK,
    HIDDEN,
    LINK,
    LINK_BACK,
    LINKS_TOO_DEEP,
    exists_as,
    is_hidden,
    is_hidden_below,
    list_files,
)


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints",
        ".Trash-1000",
        ".Trashes",
        ".AppleDouble",
        "._a.jpg",
        ".DS_Store",
        ".~lock.a.csv#",
        "@eaDir",
        "@EADIR",
        "__MACOSX",
        "$RECYCLE.BIN",
        "$Recycle.Bin",
        "System Volume Information",
        "lost+found",
        "#recycle",
        "#snapshot",
        "~snapshot",
        "Thumbs.db",
        "THUMBS.DB",
        "desktop.ini",
    ],
)
def test_names_that_are_hidden_wherever_files_are_listed(tmp_path, name):
    assert is_hidden(name)
    root = tmp_path / ".hidden/@eaDir"  # what lies above does not count
    for path in (name, f"a/{name}", f"a/b/{name}"):
        write_text(root / path / "x/1.jpg", "")
    write_text(root / "a/b/1.jpg", "")
    found = list_files(root)
    assert found.files == ("a/b/1.jpg",)
    assert sorted(found.skipped) == sorted((p, HIDDEN) for p in (name, f"a/{name}", f"a/b/{name}"))
    assert is_hidden_below(root / f"a/{name}/x", root) and not is_hidden_below(root / "a/b", root)


@pytest.mark.parametrize(
    "name", ["a.b", "eaDir", "snapshot", "macosx", "Thumbs.db.jpg", "trash", "007", "_", "@anna"]
)
def test_other_names_are_listed(tmp_path, name):
    write_text(tmp_path / name / name, "")
    assert list_files(tmp_path).files == (f"{name}/{name}",)
    assert not is_hidden(name)


def test_links_are_followed_or_named(tmp_path):
    root = tmp_path / "root"
    write_text(root / "real/1.jpg", "")
    write_text(tmp_path / "other/2.jpg", "")
    (root / "link.jpg").symlink_to(root / "real/1.jpg")
    (root / "linked").symlink_to(tmp_path / "other")
    (root / "gone").symlink_to(tmp_path / "nothing")
    (root / "self").symlink_to(root / "self")
    (root / "real/up").symlink_to("..")
    (root / "real/here").symlink_to(".")
    found = list_files(root)
    assert found.files == ("link.jpg", "real/1.jpg")
    assert found.skipped == (
        ("gone", BROKEN_LINK),
        ("linked", LINK),
        ("real/here", LINK),
        ("real/up", LINK),
        ("self", BROKEN_LINK),
    )
    found = list_files(root, follow_links=True)
    assert found.files == ("link.jpg", "linked/2.jpg", "real/1.jpg")
    assert found.skipped == (
        ("gone", BROKEN_LINK),
        ("real/here", LINK_BACK),
        ("real/up", LINK_BACK),
        ("self", BROKEN_LINK),
    )


def test_folders_that_all_link_to_one_another_are_listed_in_short_time(tmp_path):
    """Without a limit there are more than 7! paths."""
    folders = [tmp_path / f"{n:02d}" for n in range(7)]
    for folder in folders:
        write_text(folder / "a.jpg", "")
        for other in folders:
            (folder / f"to{other.name}").symlink_to(other)
    found = list_files(folders[0], follow_links=True)
    assert len(found.files) == 1 + 6 + 6 * 5 + 6 * 5 * 4
    assert {reason for _, reason in found.skipped} == {LINK_BACK, LINKS_TOO_DEEP}


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=f"folder {tmp_path}/no cannot be read"):
        list_files(tmp_path / "no")


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        ("a/b.jpg", "a/b.JPG"),
        ("Cam1/0001.jpg", "cam1/0001.jpg"),
        ("A/B/c.png", "a/b/C.PNG"),
        ("straße/a.jpg", "STRASSE/a.jpg"),
        ("Ünal/é.jpg", decomposed("ünal/é.jpg")),
    ],
)
def test_a_file_of_other_letter_case_is_named(tmp_path, there, asked):
    write_text(tmp_path / there, "")
    assert exists_as(tmp_path / asked) == (
        f"; {tmp_path / there} exists, which differs in letter case only: rename it, or write it so"
    )
    assert exists_as(tmp_path / there) == ""


@pytest.mark.parametrize("name", ["zoë/é.jpg", "각.jpg", "Åsa.png"])
def test_a_file_of_another_unicode_form_is_named(tmp_path, name):
    for there, asked in ((name, decomposed(name)), (decomposed(name), name)):
        write_text(tmp_path / there, "")
        expected = ascii(str(tmp_path / there))
        assert exists_as(tmp_path / asked) == (
            f"; {expected} exists, whose letters have another Unicode form: rename it"
        )
        (tmp_path / there).unlink()


def test_the_folder_that_holds_the_file_is_taken_of_two_alike(tmp_path):
    write_text(tmp_path / "cam/1.jpg", "")
    write_text(tmp_path / "Cam/2.jpg", "")
    assert str(tmp_path / "Cam/2.jpg") in exists_as(tmp_path / "cam/2.jpg")
    assert exists_as(tmp_path / "cam/3.jpg") == ""


def test_a_link_to_nothing_is_named_as_one(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    expected = f"; it is a link to {tmp_path / 'gone.jpg'}, where there is nothing"
    assert exists_as(tmp_path / "a.jpg") == expected
    monkeypatch.chdir(tmp_path)
    assert exists_as(Path("a.jpg")) == expected
    assert exists_as(Path("b\0.jpg")) == ""
