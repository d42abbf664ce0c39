"""What an exported file says about its model, and the checksum beside it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vireid.data.pixels import BACKGROUND, PixelRule, Range, checked_range
from vireid.errors import CheckpointError
from vireid.structures import Modality
from vireid.utils.io import write_text

FORMAT = 1
LARGEST = 2**20  # pixels of a side, or numbers of a feature
TEXTS = ("exit", "embedding", "backbone", "precision", "version")
PREFIX = "vireid."
# How exports of version 0.1 end: one more entry of ONNX metadata, or a comment in XML.
OLD_CHECKSUM = re.compile(
    rb'(?:r.\n\x0bvireid\.seal\x12.|<!-- vireid\.seal )"?([0-9a-f ]+?)"?(?: -->\n)?\Z', re.DOTALL
)
YOUNGER = ("ranges", "background")  # entries that files of version 0.1 lack
log = logging.getLogger(__name__)
MODALITIES = tuple(modality.name.lower() for modality in Modality)
# Preprocessing that no option changes; a file with other values needs other images.
FIXED = {"channels": "RGB", "interpolation": "bilinear, antialiased", "layout": "NCHW"}


@dataclass(frozen=True, slots=True)
class ExportMetadata:
    """A deployed model: identity, input and output.

    Args:
        fingerprint: SHA-256 of weights, exit, embedding and preprocessing; the same for all
            exports of a model, in any format, modality and precision.
        modalities: modalities of the images that the file accepts.
        exit, embedding: values of ``TEST.EXIT`` and ``TEST.EMBED``.
        flip: features are the mean over an image and its mirror image.
        dim: length of a feature vector.
        size: (height, width) of the input, pixels.
        ranges: by modality, what becomes black and white of more than eight bits: two values, or
            ``percentile``; None where it is not known. Files of version 0.1 have none.
        background: RGB colour behind transparent pixels.
        mean, std: of the normalisation ``(x / 255 - mean) / std``, by channel.
        backbone: ``MODEL.BACKBONE``.
        precision: fp32, or int8 after quantisation.
        version: of the vireid that wrote the file.
    """

    fingerprint: str
    modalities: tuple[str, ...]
    exit: str
    embedding: str
    flip: bool
    dim: int
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    backbone: str
    precision: str
    version: str
    ranges: Mapping[str, Range | None] = field(default_factory=dict)
    background: tuple[int, int, int] = BACKGROUND

    def rule(self, modality: str) -> PixelRule:
        """How images of a modality become RGB."""
        return PixelRule(self.ranges.get(modality), self.background)

    @property
    def summary(self) -> str:
        """One line on what the model takes and makes."""
        height, width = self.size
        return (
            f"{' and '.join(self.modalities)} images of {height} × {width} → {self.dim} numbers; "
            f"exit {self.exit}, {self.embedding}{', mirrored too' if self.flip else ''}; "
            f"{self.precision}; model {self.fingerprint[:12]}"
        )

    def entries(self) -> dict[str, str]:
        """Names, all with one prefix, and JSON values for a file's metadata."""
        content = {"format": FORMAT, **asdict(self), **FIXED}
        return {PREFIX + name: json.dumps(value) for name, value in content.items()}


def read_metadata(entries: Mapping[str, str], path: Path) -> ExportMetadata:
    """The inverse of ``ExportMetadata.entries``; foreign entries are ignored.

    Raises:
        CheckpointError: not written by this project, by a later version of it, or damaged.
    """
    own = {k.removeprefix(PREFIX): v for k, v in entries.items() if k.startswith(PREFIX)}
    if "format" not in own:
        raise CheckpointError(
            f"{path} is not a model exported by vireid: its metadata has no {PREFIX}format; export "
            "a run with the export tool"
        )
    try:
        content: dict[str, Any] = {name: json.loads(text) for name, text in own.items()}
        known = {name: content[name] for name in FIXED}
        if content["format"] != FORMAT or known != FIXED:
            raise CheckpointError(
                f"{path} was exported by vireid {content['version']!s:.20} in another format "
                f"({content['format']!s:.20}: {known!s:.200}); this version reads format {FORMAT}: "
                "export the run again"
            )
        younger = {name: content[name] for name in YOUNGER if name in content}
        older = [f.name for f in fields(ExportMetadata) if f.name not in YOUNGER]
        return _checked({name: content[name] for name in older} | younger)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its metadata is damaged ({type(error).__name__}: {error!s:.200}): export it "
            "again"
        ) from error


def _checked(values: dict[str, Any]) -> ExportMetadata:
    """Lists as tuples.

    Raises:
        ValueError, TypeError: a value that no export writes.
    """
    names = ("modalities", "size", "mean", "std", "background")
    values |= {name: tuple(values[name]) for name in names if name in values}
    given = dict(values.get("ranges", {})).items()
    values["ranges"] = {n: None if v is None else checked_range(v) for n, v in given}
    found = ExportMetadata(**values)
    if not re.fullmatch("[0-9a-f]{64}", found.fingerprint):
        raise ValueError(f"fingerprint {found.fingerprint!r}")
    if not found.modalities or not set(found.modalities) <= set(MODALITIES):
        raise ValueError(f"modalities {found.modalities}")
    sizes, numbers = (*found.size, found.dim), (*found.mean, *found.std)
    if len(found.size) != 2 or not all(type(n) is int and 1 <= n <= LARGEST for n in sizes):
        raise ValueError(f"size {found.size!r:.60}, dim {found.dim!r:.60}")
    finite = all(type(n) is float and math.isfinite(n) for n in numbers)
    if not finite or len(found.mean) != 3 or len(found.std) != 3 or not min(found.std) > 0:
        raise ValueError(f"mean {found.mean!r:.60}, std {found.std!r:.60}")
    colour = found.background
    if len(colour) != 3 or not all(type(one) is int and 0 <= one <= 255 for one in colour):
        raise ValueError(f"background {colour!r:.60}")
    if any(type(getattr(found, name)) is not str for name in TEXTS) or type(found.flip) is not bool:
        raise ValueError(f"{', '.join(TEXTS)} must be text, and flip true or false")
    return found


def write_checksum(path: Path) -> Path:
    """Writes ``<file>.sha256`` beside an exported file, in the format of ``sha256sum``.

    Returns:
        the file written; of an .xml file it lists the .bin, too.
    Raises:
        UsageError: it cannot be written.
    """
    target = path.with_name(f"{path.name}.sha256")
    write_text(target, "".join(f"{_sha256(part)}  {part.name}\n" for part in _parts_of(path)))
    return target


def require_checksum(path: Path) -> None:
    """Compares an exported file with the checksum beside it, before a library opens the file.

    A damaged file can crash the library that runs it. Exports of version 0.1 end in their checksum,
    which is compared instead. A file without any checksum (moved alone) is opened with a warning.
    Names in the checksum file do not count, so that all files of an export can be renamed together.

    Raises:
        CheckpointError: the file, or the .bin that belongs to it, is missing or was changed.
    """
    beside = path.with_name(f"{path.name}.sha256")
    try:
        digests = re.findall(r"^([0-9a-f]{64}) ", beside.read_text(encoding="utf-8"), re.MULTILINE)
        found = [_sha256(part) for part in _parts_of(path)]
    except FileNotFoundError:
        digests, found = _own_checksum(path)
        if not digests:
            log.warning("no checksum beside %s: it is not checked for damage", path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{beside} cannot be read ({error})") from error
    if len(digests) != len(found):
        raise CheckpointError(f"{beside} is damaged: export the model again")
    for part, digest, own in zip(_parts_of(path), digests, found, strict=bool(digests)):
        if own != digest:
            raise CheckpointError(
                f"{part} is not the file that its checksum describes: it was changed or damaged; "
                "export the model again"
            )


def _own_checksum(path: Path) -> tuple[list[str], list[str]]:
    """Checksums at the end of a file of version 0.1, and what they should be; none without."""
    content = path.read_bytes() if path.is_file() else b""
    if not (ending := OLD_CHECKSUM.search(content, max(0, len(content) - 300))):
        return [], []
    body = hashlib.sha256(content[: ending.start()]).hexdigest()
    return ending[1].decode().split(), [body, *map(_sha256, _parts_of(path)[1:])]


def _parts_of(path: Path) -> list[Path]:
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise CheckpointError(f"exported model {path} does not exist") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror})") from error
