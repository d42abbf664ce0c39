"""What the tools write takes the place of nothing else."""

import os

import pytest

from vireid.errors import UsageError
from vireid.utils.io import replace_file, require_target


def test_a_target_must_be_a_file_that_is_not_being_read(tmp_path):
    source = tmp_path / "features.npz"
    source.write_text("mine")
    (tmp_path / "link.json").symlink_to(source)
    os.mkfifo(tmp_path / "pipe")
    for path in (source, tmp_path / "link.json", tmp_path / "pipe", tmp_path, tmp_path / "no/f"):
        with pytest.raises(UsageError, match="cannot write"):
            require_target(path, inputs=[source])
    require_target(tmp_path / "new.json", inputs=[source])


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk/results.json", tmp_path / "results.json"
    real.write_text("old")
    link.symlink_to(real)
    replace_file(link, lambda file: file.write(b"new"))
    assert link.is_symlink() and real.read_text() == "new"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["disk", "results.json", "results.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")

    def full(file):
        file.write(b"ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(UsageError, match="No space left"):
        replace_file(path, full)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
