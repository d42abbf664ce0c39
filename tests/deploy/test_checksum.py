"""A file that differs from its checksum is refused before any library reads it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from vireid.deploy.metadata import require_checksum, write_checksum
from vireid.errors import CheckpointError


@pytest.fixture(params=["n.onnx", "n.xml"])
def path(request, tmp_path) -> Path:
    """An exported file with its checksum, and a .bin beside an .xml."""
    (tmp_path / "n.bin").write_bytes(bytes(range(40)))
    path = tmp_path / request.param
    path.write_bytes(b"<net>x</net>\n")
    write_checksum(path)
    require_checksum(path)
    return path


def test_every_changed_bit_is_seen(path):
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in (1, 64):
            path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            with pytest.raises(CheckpointError, match="was changed or damaged"):
                require_checksum(path)
    for other in (b"", content[:-1], content + b"\n", content[1:]):
        path.write_bytes(other)
        with pytest.raises(CheckpointError, match="was changed or damaged"):
            require_checksum(path)


@pytest.mark.parametrize("path", ["n.xml"], indirect=True)
def test_weights_belong_to_their_model(path):
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"n\.bin is not the file that n\.xml\.sha256"):
        require_checksum(path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"n\.bin does not exist"):
        require_checksum(path)
    weights.mkdir()
    with pytest.raises(CheckpointError, match=r"n\.bin cannot be read \(Is a directory\)"):
        require_checksum(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x n.onnx\n", b"0" * 63 + b"  n\n"])
def test_a_damaged_checksum_is_refused(path, content):
    path.with_name(f"{path.name}.sha256").write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged|cannot be read"):
        require_checksum(path)


def test_files_renamed_together_still_fit_and_a_lone_file_opens(path):
    for old in path.parent.glob("n.*"):
        old.rename(old.with_name(old.name.replace("n.", "other.", 1)))
    renamed = path.with_name(path.name.replace("n.", "other."))
    require_checksum(renamed)
    renamed.with_name(f"{renamed.name}.sha256").unlink()
    require_checksum(renamed)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_reads_it(path):
    words = ["sha256sum", "--check", "--strict", f"{path.name}.sha256"]
    assert subprocess.run(words, cwd=path.parent, capture_output=True).returncode == 0
