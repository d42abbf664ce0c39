"""What an exported file says of its network: whose it is, and what images it wants."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vireid.errors import CheckpointError
from vireid.structures import Modality

FORMAT = 1
LARGEST = 2**20  # pixels of a side, or numbers of a feature
TEXTS = ("exit", "embedding", "backbone", "precision", "version")
PREFIX = "vireid."
MODALITIES = tuple(modality.name.lower() for modality in Modality)
# What no option changes; a file that says something else wants other images than are made here.
FIXED = {"channels": "RGB", "interpolation": "bilinear, antialiased", "layout": "NCHW"}


@dataclass(frozen=True, slots=True)
class NetworkCard:
    """A deployed network, in words and numbers.

    Args:
        fingerprint: SHA-256 of weights, exit, embedding and preprocessing; the same for all
            exports of one network, whatever their format, modality and precision.
        modalities: whose images the file turns into features.
        exit, embedding: which features, as ``TEST.EXIT`` and ``TEST.EMBED`` have them.
        flip: features are the mean over an image and its mirror image.
        dim: numbers in an image's features.
        size: (height, width) to which images are resized, pixels.
        mean, std: of the normalisation ``(x / 255 - mean) / std``, by channel.
        backbone: ``MODEL.BACKBONE``.
        precision: fp32, or int8 after quantisation.
        version: of vireid, that wrote the file.
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

    def entries(self) -> dict[str, str]:
        """Names and JSON values for a file's metadata, every one with the same prefix."""
        content = {"format": FORMAT, **asdict(self), **FIXED}
        return {PREFIX + name: json.dumps(value) for name, value in content.items()}


def read_card(entries: Mapping[str, str], path: Path) -> NetworkCard:
    """The inverse of :meth:`NetworkCard.entries`; entries of others are passed over.

    Raises:
        CheckpointError: not written by this project, by a later version of it, or damaged.
    """
    own = {k.removeprefix(PREFIX): v for k, v in entries.items() if k.startswith(PREFIX)}
    if "format" not in own:
        raise CheckpointError(
            f"{path} is no network exported by vireid: its metadata has no {PREFIX}format; export "
            "a run with the export tool"
        )
    try:
        content: dict[str, Any] = {name: json.loads(text) for name, text in own.items()}
        known = {name: content[name] for name in FIXED}
        if content["format"] != FORMAT or known != FIXED:
            raise CheckpointError(
                f"{path} was exported by vireid {content['version']!s:.20} in another format "
                f"({content['format']!s:.20}: {known!s:.200}); this version reads format {FORMAT}: "
                "export anew"
            )
        return _checked({f.name: content[f.name] for f in fields(NetworkCard)})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its metadata are damaged ({type(error).__name__}: {error!s:.200}): export it "
            "again"
        ) from error


def _checked(values: dict[str, Any]) -> NetworkCard:
    """Lists as tuples.

    Raises:
        ValueError, TypeError: a value that no export writes.
    """
    values |= {name: tuple(values[name]) for name in ("modalities", "size", "mean", "std")}
    card = NetworkCard(**values)
    if not re.fullmatch("[0-9a-f]{64}", card.fingerprint):
        raise ValueError(f"fingerprint {card.fingerprint!r}")
    if not card.modalities or not set(card.modalities) <= set(MODALITIES):
        raise ValueError(f"modalities {card.modalities}")
    sizes, numbers = (*card.size, card.dim), (*card.mean, *card.std)
    if len(card.size) != 2 or not all(type(n) is int and 1 <= n <= LARGEST for n in sizes):
        raise ValueError(f"size {card.size!r:.60}, dim {card.dim!r:.60}")
    finite = all(type(n) is float and math.isfinite(n) for n in numbers)
    if not finite or len(card.mean) != 3 or len(card.std) != 3 or not min(card.std) > 0:
        raise ValueError(f"mean {card.mean!r:.60}, std {card.std!r:.60}")
    if any(type(getattr(card, name)) is not str for name in TEXTS) or type(card.flip) is not bool:
        raise ValueError(f"{', '.join(TEXTS)} must be text, and flip true or false")
    return card
