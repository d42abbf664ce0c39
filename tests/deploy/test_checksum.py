"""A file that differs from its checksum is refused before any library reads it."""

import shutil
import subprocess
from hashlib import sha256
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
    with pytest.raises(CheckpointError, match=r"n\.bin is not the file that its checksum"):
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


def test_files_renamed_together_still_fit_and_a_lone_file_opens(path, caplog):
    for old in path.parent.glob("n.*"):
        old.rename(old.with_name(old.name.replace("n.", "other.", 1)))
    renamed = path.with_name(path.name.replace("n.", "other."))
    require_checksum(renamed)
    renamed.with_name(f"{renamed.name}.sha256").unlink()
    require_checksum(renamed)
    assert "it is not checked for damage" in caplog.text


@pytest.mark.parametrize("name", ["n.onnx", "n.xml"])
def test_the_checksum_inside_an_export_of_version_0_1_is_compared(tmp_path, name):
    weights, path = tmp_path / "n.bin", tmp_path / name
    weights.write_bytes(b"weights")
    body = b"<net>x</net>\n"
    digests = [sha256(body).hexdigest()]
    if path.suffix == ".xml":
        text = f"{digests[0]} {sha256(b'weights').hexdigest()}".encode()
        ending = b"<!-- vireid.seal " + text + b" -->\n"
    else:  # an entry of protobuf's metadata_props
        text = b'"' + digests[0].encode() + b'"'
        ending = b"r\x51\n\x0bvireid.seal\x12\x42" + text
    path.write_bytes(body + ending)
    require_checksum(path)
    path.write_bytes(b"<net>y</net>\n" + ending)
    with pytest.raises(CheckpointError, match="was changed or damaged"):
        require_checksum(path)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_reads_it(path):
    words = ["sha256sum", "--check", "--strict", f"{path.name}.sha256"]
    assert subprocess.run(words, cwd=path.parent, capture_output=True).returncode == 0
