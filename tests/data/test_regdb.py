import re
import shutil
from pathlib import Path

import pytest

from tests.helpers import write_regdb, write_text
from vireid.data.datasets import regdb
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Split 1 trains on 1, 2 and tests on 3, 4; split 2 the other way round."""
    return write_regdb(tmp_path / "RegDB")


def records(*pids: int) -> tuple[ImageRecord, ...]:
    """Visible images first, one per identity; camera 1 is visible, 2 thermal."""
    visible = [ImageRecord(f"Visible/{p}/v_1.bmp", p, 1, Modality.VISIBLE) for p in pids]
    return (*visible, *(ImageRecord(f"Thermal/{p}/t_1.bmp", p, 2, Modality.INFRARED) for p in pids))


def test_identity_is_the_folders_number_not_the_lists_label(root):
    splits = regdb.load(root)
    assert splits.train == records(1, 2)
    assert splits.test == records(3, 4)
    assert (splits.val, splits.split_trial) == ((), 1)


def test_each_of_ten_splits_chooses_its_own_lists(tmp_path):
    root = write_regdb(tmp_path / "r", {t: ([t], [10 + t]) for t in range(1, 11)})
    for trial in range(1, 11):
        splits = regdb.load(root, split_trial=trial)
        assert splits.train == records(trial)
        assert splits.test == records(10 + trial) and splits.split_trial == trial


def test_images_come_in_the_lists_order(root):
    path = root / "idx/test_visible_1.txt"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert [r.pid for r in regdb.load(root).test] == [4, 3, 3, 4]


def test_unlisted_files_are_passed_over(root):
    before = regdb.load(root)
    (root / "Visible" / "1" / "Thumbs.db").write_bytes(b"x")
    shutil.copytree(root / "Visible" / "1", root / "Visible" / "50")
    assert regdb.load(root) == before


@pytest.mark.parametrize("line", ["Visible\\1\\v_1.bmp 0", "Visible/1/v_1.bmp  17"])
def test_line_may_be_written_as_windows_does_and_with_any_label(root, line):
    write_text(root / "idx/train_visible_1.txt", f"{line}\r\n")
    assert regdb.load(root).train[0] == records(1)[0]


def test_only_the_lists_of_the_chosen_split_are_needed(root):
    (root / "idx/test_thermal_1.txt").unlink()
    assert regdb.load(root, split_trial=2).train == records(3, 4)
    with pytest.raises(DataError, match=r"lacks idx/train_visible_3\.txt"):
        regdb.load(root, split_trial=3)


@pytest.mark.parametrize(
    "line",
    [
        "Visible/1/v_1.bmp",
        "Infrared/1/v_1.bmp 0",
        "Visible/one/v_1.bmp 0",
        "Visible/v_1.bmp 0",
        "/Visible/1/v_1.bmp 0",
        "RegDB/Visible/1/v_1.bmp 0",
    ],
)
def test_malformed_line_is_quoted_with_its_number(root, line):
    path = root / "idx/train_visible_1.txt"
    path.write_text(f"Visible/1/v_1.bmp 0\n{line}\n")
    phrase = (
        f"{path}, line 2: expected '<Visible|Thermal>/<identity>/<image> <label>', got '{line}'"
    )
    with pytest.raises(DataError, match=re.escape(phrase)):
        regdb.load(root)
