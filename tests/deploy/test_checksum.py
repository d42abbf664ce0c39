"""A file that is not as it was written is refused before any library reads it."""

from pathlib import Path

import pytest

from vireid.deploy.checksum import require_sealed, seal
from vireid.errors import CheckpointError


def write(folder: Path, name: str) -> Path:
    """A sealed file, and beside an .xml its weights."""
    (folder / "n.bin").write_bytes(bytes(range(40)))
    path = folder / name
    path.write_bytes(b"<net>x</net>\n")
    seal(path)
    require_sealed(path)
    return path


@pytest.mark.parametrize("name", ["n.onnx", "n.xml"])
def test_no_bit_can_fall_over(tmp_path, name):
    path = write(tmp_path, name)
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in (1, 64):
            path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            with pytest.raises(CheckpointError, match="is damaged|does not belong"):
                require_sealed(path)
    for other in (b"", content[:-1], content + b"\n", content[1:], content[-200:] * 2):
        path.write_bytes(other)
        with pytest.raises(CheckpointError, match="is damaged or no exported network"):
            require_sealed(path)


def test_weights_are_sealed_with_their_network(tmp_path):
    path = write(tmp_path, "n.xml")
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"n\.bin does not belong to n\.xml or is damaged"):
        require_sealed(path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"n\.bin does not exist"):
        require_sealed(path)
    weights.mkdir()
    with pytest.raises(CheckpointError, match=r"n\.bin cannot be read \(Is a directory\)"):
        require_sealed(path)


def test_the_seal_of_an_onnx_file_is_one_more_entry_of_its_metadata(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "n.onnx"
    model = onnx.ModelProto(ir_version=10)
    onnx.helper.set_model_props(model, {"a": "1"})
    onnx.save(model, path)
    seal(path)
    entries = {e.key: e.value for e in onnx.load(path).metadata_props}
    assert entries.keys() == {"a", "vireid.seal"} and len(entries["vireid.seal"]) == 66
