"""ORBench's reader: both JSON files, and what is wrong with them in one line each."""

import json
import re
from pathlib import Path

import pytest

from tests.helpers import write_image, write_orbench, write_text
from vireid.cli import check_data
from vireid.data.datasets import orbench
from vireid.data.verify import check_dataset
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Role

TRAIN, TEST = orbench.TRAIN_LIST, orbench.TEST_LIST


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Identities 3 and 12 train (as 1 and 2 of the list), 5 and 9 test."""
    return write_orbench(tmp_path / "ORBench")


def records(*pids: int) -> tuple[ImageRecord, ...]:
    """Visible images first; a camera per modality."""
    return tuple(
        ImageRecord(f"{kind}/{pid:04d}/{kind}_1.jpg", pid, int(modality) + 1, modality)
        for kind, modality in orbench.FOLDERS.items()
        for pid in pids
    )


def rewrite(path: Path, change) -> Path:
    """The JSON file after ``change``, which returns its new content or changes the old one."""
    content = json.loads(path.read_text())
    changed = change(content)
    return write_text(path, json.dumps(content if changed is None else changed))


def message(root: Path) -> str:
    with pytest.raises(DataError) as error:
        orbench.load(root)
    return str(error.value)


def test_identities_are_the_folders_numbers_and_each_modality_is_a_camera(root):
    splits = orbench.load(root)
    assert (splits.train, splits.val) == (records(3, 12), ())
    assert splits.test == records(5, 9) and {r.role for r in splits.test} == {Role.BOTH}


def test_all_infrared_images_of_the_training_identities_train(root):
    for name in ("nir/0012/a.jpg", "nir/0012/b.jpg", "nir/0400/a.jpg", "vis/0012/unlisted.jpg"):
        write_image(root / name)
    infrared = [r.path for r in orbench.load(root).train if r.modality is Modality.INFRARED]
    assert infrared == [f"nir/{n}.jpg" for n in ("0003/nir_1", "0012/a", "0012/b", "0012/nir_1")]


def test_the_order_of_the_lists_is_kept_and_an_image_counts_once(root):
    write_image(root / "vis/0009/vis_2.jpg")
    more = [[9, "vis/0009/vis_2.jpg"], [5, "vis/0005/vis_1.jpg"], [9, "./vis/0009/vis_1.jpg"]]
    rewrite(root / TEST, lambda tasks: {**tasks, "RGB_GALLERY": [*more, *more[1:]]})
    rewrite(root / TRAIN, lambda entries: entries + entries)
    splits = orbench.load(root)
    gallery = [r.path for r in splits.test if r.modality is Modality.VISIBLE]
    assert gallery == ["vis/0009/vis_2.jpg", "vis/0005/vis_1.jpg", "vis/0009/vis_1.jpg"]
    assert splits.train == records(3, 12)
    assert "rows of RGB_GALLERY that repeat an image, which counts once: 2" in (
        orbench.check_lists(root, True).notes
    )


def test_numbers_may_be_texts_rows_longer_and_paths_written_with_backslashes(root):
    before = orbench.load(root)
    windows = [["5", "nir\\0005\\nir_1.jpg", "a man"], ["9", "nir\\0009\\nir_1.jpg", None]]
    rewrite(root / TEST, lambda tasks: {**tasks, "NIR": windows})
    rewrite(root / TRAIN, lambda entries: [{**e, "id": str(e["id"])} for e in entries])
    assert orbench.load(root) == before


@pytest.mark.parametrize(
    ("name", "text", "phrase"),
    [
        (TRAIN, "[1, 2", "is damaged, or no JSON"),
        (TRAIN, "", "is damaged, or no JSON"),
        (TEST, '{"NIR": [[1, "nir/0005', "is damaged, or no JSON"),
        (TEST, '{"RGB_GALLERY": ' + "[" * 100_000, "is damaged, or no JSON"),
        (TEST, '{"RGB_GALLERY": [[' + "9" * 5000 + "]]}", "is damaged, or no JSON"),
        (TRAIN, '{"images": []}', "must hold a list of {.*}, got names and values"),
        (TRAIN, "7", "got a number"),
        (TRAIN, "[]", "lists no image"),
        (TRAIN, "[3]", "entry 1 must have id and file_path, got 3"),
        (TRAIN, '[{"id": 1, "path": "a.jpg"}]', 'got {"id": 1, "path": "a.jpg"}'),
        (TEST, "[]", r'must hold {"RGB_GALLERY": .*}, got a list'),
        (TEST, "null", "got nothing"),
        (
            TEST,
            '{"RGB_GALLERY": [], "IR": [], "TEXT": []}',
            "has no NIR; it has RGB_GALLERY, IR, TE",
        ),
        (TEST, '{"NIR": []}', "has no RGB_GALLERY; it has NIR"),
        (TEST, "{}", "has no RGB_GALLERY; it has nothing"),
        (TEST, '{"RGB_GALLERY": [], "NIR": []}', "RGB_GALLERY lists no image"),
        (TEST, '{"RGB_GALLERY": {"1": "a"}, "NIR": []}', "RGB_GALLERY must be a list of"),
        (TEST, '{"RGB_GALLERY": ["vis/0005/vis_1.jpg"], "NIR": []}', "RGB_GALLERY, row 1 must be"),
        (TEST, '{"RGB_GALLERY": [[5]], "NIR": []}', r"row 1 must be \[identity, path\], got \[5\]"),
    ],
)
def test_json_of_another_kind_is_named_in_one_line(root, name, text, phrase):
    path = write_text(root / name, text)
    assert re.search(phrase, message(root)) and str(path) in message(root)
    assert len(message(root).splitlines()) == 1


def test_a_file_that_is_no_text_is_damaged(root):
    (root / TRAIN).write_bytes(b"\xff\xfe\x00")
    assert f"{root / TRAIN} is damaged" in message(root)


@pytest.mark.parametrize("task", ["RGB_GALLERY", "NIR"])
@pytest.mark.parametrize(
    ("row", "phrase"),
    [
        (["five", "{}/0005/{}_1.jpg"], 'must be a whole number, got "five"'),
        ([True, "{}/0005/{}_1.jpg"], "must be a whole number, got true"),
        ([-5, "{}/0005/{}_1.jpg"], "must be a whole number, got -5"),
        ([5.0, "{}/0005/{}_1.jpg"], "must be a whole number, got 5.0"),
        ([5, 7], "the path must be {}/<identity>/<image>, got 7"),
        ([5, "{}/0005"], 'got "{}/0005"'),
        ([5, "sk/0005/a.jpg"], 'got "sk/0005/a.jpg"'),
        ([5, "{}/anna/a.jpg"], 'got "{}/anna/a.jpg"'),
        ([5, "/{}/0005/a.jpg"], 'got "/{}/0005/a.jpg"'),
        ([5, "{}/0005/../../../a.jpg"], "the path must be {}/<identity>/<image>"),
        ([5, "C:/{}/0005/a.jpg"], "the path must be {}/<identity>/<image>"),
    ],
)
def test_a_malformed_row_is_quoted_with_its_place(root, task, row, phrase):
    kind = "vis" if task == "RGB_GALLERY" else "nir"
    row = [part.replace("{}", kind) if isinstance(part, str) else part for part in row]
    rewrite(root / TEST, lambda tasks: tasks[task].append(row))
    said = message(root)
    assert said.startswith(f"{root / TEST}, {task}, row 3: ") and phrase.replace("{}", kind) in said


def test_a_training_path_that_leads_out_is_refused(root):
    rewrite(root / TRAIN, lambda entries: entries[1].update(file_path="vis/0012/../../x/a.jpg"))
    assert message(root).startswith(f"{root / TRAIN}, entry 2: the path must be vis/<identity>/")


def test_a_number_that_disagrees_with_the_folder_is_refused(root):
    rewrite(root / TEST, lambda tasks: tasks["NIR"][0].__setitem__(0, 6))
    assert message(root) == (
        f"{root / TEST}, NIR, row 1: nir/0005/nir_1.jpg has the identity 6, but vis/0005/vis_1.jpg "
        "of the same person has 5: one of them is wrong"
    )
    rewrite(root / TEST, lambda tasks: tasks["NIR"][0].__setitem__(0, 9))
    assert "one of them is wrong" in message(root)
    rewrite(root / TEST, lambda tasks: tasks["NIR"][0].__setitem__(0, 5))
    rewrite(root / TRAIN, lambda entries: entries[1].update(id=1))
    assert message(root) == (
        f"{root / TRAIN}, entry 2: vis/0012/vis_1.jpg has the identity 1, which vis/0003/vis_1.jpg "
        "has, too: one of them is wrong"
    )


@pytest.mark.parametrize(
    ("path", "name"), [("vis/0012/vis_1.jpg", TRAIN), ("nir/0009/nir_1.jpg", TEST)]
)
def test_missing_files_are_counted_and_named(root, path, name):
    (root / path).unlink()
    assert message(root) == f"{name} lists 1 images that are not under {root}, the first: {path}"


def test_training_identities_without_infrared_images_are_named(root):
    (root / "nir/0012/nir_1.jpg").unlink()
    assert f"1 of 2 listed identities have no image under {root}/nir, the first are [12]" in (
        message(root)
    )


def test_the_check_counts_all_images_and_names_what_is_not_read(root, capsys):
    write_image(root / "vis/0700/a.jpg")
    report = check_dataset("orbench", root, reduced=True)
    counts = {count.name: count.found for count in report.counts}
    assert (counts["identities"], counts["visible images"], counts["infrared images"]) == (5, 5, 4)
    assert (counts["training identities"], counts["test infrared images"]) == (2, 2)
    assert "tasks of the test list that are not read: 1 (TEXT)" in report.notes
    assert "images in vis that no list names: 1, the first: vis/0700/a.jpg" in report.notes
    assert report.problems == ()
    assert check_data.main(["--dataset", "orbench", "--root", str(root)]) == 3
    assert re.search(r"\bvisible images +45,?113 +5", capsys.readouterr().out)


def test_bad_input_ends_with_one_line_and_code_3(root, capsys):
    write_text(root / TEST, '{"RGB_GALLERY": ')
    assert check_data.main(["--dataset", "orbench", "--root", str(root)]) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"error: {root / TEST} is damaged") and error.count("\n") == 1
