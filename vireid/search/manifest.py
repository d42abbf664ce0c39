"""gallery.json: what a gallery's other files hold, and what of them counts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vireid.errors import CheckpointError
from vireid.structures import Modality

FORMAT = 2
META = "gallery.json"
DTYPES = ("float32", "float16")
LARGEST = 2**63 - 1  # of any number in it
MOST_NUMBERS = 2**20  # of a vector
RESTORE = "restore the folder from a copy, or build the gallery again"


@dataclass(frozen=True, slots=True)
class Job:
    """Images that are being added; a gallery without is whole.

    Args:
        images: folder or CSV file.
        modality: value of ``Modality``.
        first_row: rows before the job's own.
        skipped_from: bytes of skipped.csv before the job's own lines.
        total: images to add.
    """

    images: str
    modality: int
    first_row: int
    skipped_from: int
    total: int


@dataclass(frozen=True, slots=True)
class Meta:
    """gallery.json.

    Args:
        fingerprint: of the network; vectors of another one are refused.
        network: exported file or run folder that made the vectors.
        rows, path_bytes, skipped_bytes: what counts of the other files.
        generation: number in the files' names.
        removed, dead: file of the rows that were removed, empty for none, and their number.
        sources: folders that the paths begin in.
        job: what is being added.
    """

    fingerprint: str
    dim: int
    dtype: str = "float32"
    network: str = ""
    rows: int = 0
    path_bytes: int = 0
    skipped_bytes: int = 0
    generation: int = 0
    removed: str = ""
    dead: int = 0
    sources: tuple[str, ...] = ()
    job: Job | None = None


def read_meta(folder: Path) -> Meta:
    """
    Raises:
        CheckpointError: there is no gallery, or gallery.json is damaged or of another version.
    """
    path = folder / META
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(
            f"there is no gallery in {folder} (no {META}): build one, or name another folder"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, f"cannot be read ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        version = content.get("format") if isinstance(content, dict) else None
        raise CheckpointError(
            f"{path} has format {version!r:.40}; this version reads format {FORMAT}: build the "
            "gallery again"
        )
    try:
        return _meta_of(content)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, f"is damaged ({type(error).__name__}: {error})") from error


def _meta_of(content: Mapping[str, Any]) -> Meta:
    values = {field.name: content[field.name] for field in fields(Meta)}
    job, sources = values["job"], values["sources"]
    values["job"] = None if job is None else Job(**job)
    values["sources"] = tuple(sources)
    meta = Meta(**values)
    for one in (meta, *((meta.job,) if meta.job else ())):
        for field in fields(one):
            value: Any = getattr(one, field.name)
            wanted: type = {"int": int, "str": str}.get(str(field.type), type(value))
            beyond = isinstance(value, int) and not 0 <= value <= LARGEST
            if type(value) is not wanted or beyond:
                raise ValueError(f"{field.name} is {value!r:.60}")
    if not 1 <= meta.dim <= MOST_NUMBERS or meta.dtype not in DTYPES:
        raise ValueError(f"{meta.dim} numbers of {meta.dtype:.60}")
    if not all(isinstance(one, str) for one in sources):
        raise ValueError(f"sources are {sources!r:.60}")
    if not re.fullmatch(r"(removed\.[0-9a-f]{8}\.[0-9]+\.bin)?", meta.removed):
        raise ValueError(f"removed is {meta.removed!r:.60}")
    if meta.dead > meta.rows or bool(meta.dead) != bool(meta.removed):
        raise ValueError(f"{meta.dead} of {meta.rows} rows are removed, by {meta.removed!r}")
    job = meta.job
    if job and (job.first_row > meta.rows or job.skipped_from > meta.skipped_bytes):
        raise ValueError(f"the job begins at row {job.first_row} of {meta.rows}")
    if job and job.modality not in list(Modality):
        raise ValueError(f"modality is {job.modality}")
    return meta


def meta_bytes(meta: Meta) -> bytes:
    """What gallery.json holds."""
    content = {"format": FORMAT} | asdict(meta)
    return (json.dumps(content, indent=1) + "\n").encode()


def damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"gallery file {path} {what}: {RESTORE}")


def require_network(folder: Path, meta: Meta, fingerprint: str) -> None:
    """
    Raises:
        CheckpointError: the gallery was made by another network.
    """
    if meta.fingerprint != fingerprint:
        made = f" ({meta.network})" if meta.network else ""
        raise CheckpointError(
            f"the gallery {folder} was made by another network{made}: its fingerprint is "
            f"{meta.fingerprint:.16}, that of the given one {fingerprint:.16}; search it with its "
            "own, or build it again"
        )
