"""The seal of an exported file: whoever opens it learns whether it is as it was written.

Libraries that run networks believe what a file says: a bit that fell over changes features without
a word, and a wrong length may take the whole process down. So each file ends in a digest of what
stands before it, which is compared before a library sees any of it. It tells damage, not malice:
whoever means to can seal anything.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from vireid.errors import CheckpointError

KEY = "vireid.seal"


def seal(path: Path) -> None:
    """Ends a file that was just written; an .xml file's .bin must be there."""
    content = path.read_bytes()
    parts = [content, *(weights.read_bytes() for weights in _weights_of(path))]
    path.write_bytes(content + _ending(path, [_digest(part) for part in parts]))


def require_sealed(path: Path) -> None:
    """
    Raises:
        CheckpointError: a file is missing or not as it was written, or no export at all.
    """
    content, weights = _read(path), _weights_of(path)
    length = len(_ending(path, ["0" * 64] * (1 + len(weights))))
    body, end = content[:-length], content[-length:]
    digests = [found.decode() for found in re.findall(rb"\b[0-9a-f]{64}\b", end)]
    if end != _ending(path, digests) or digests[0] != _digest(body):
        raise CheckpointError(
            f"{path} is damaged or no exported network (it does not end in the digest of its own "
            "content): export it again"
        )
    for part, digest in zip(weights, digests[1:], strict=True):
        if _digest(_read(part)) != digest:
            raise CheckpointError(
                f"{part} does not belong to {path.name} or is damaged: export both again"
            )


def _weights_of(path: Path) -> list[Path]:
    return [path.with_suffix(".bin")] if path.suffix == ".xml" else []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"exported network {path} does not exist") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror})") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _ending(path: Path, digests: list[str]) -> bytes:
    """A comment in XML, one more entry of the metadata in ONNX."""
    text = " ".join(digests)
    if path.suffix == ".xml":
        return f"<!-- {KEY} {text} -->\n".encode()
    entry = _field(1, KEY.encode()) + _field(2, f'"{text}"'.encode())
    return _field(14, entry)  # ModelProto.metadata_props


def _field(number: int, content: bytes) -> bytes:
    """Of protobuf, with fewer than 128 bytes in it."""
    return bytes([number << 3 | 2, len(content)]) + content
