"""The network that a gallery is searched with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vireid.cli.sources import require_run
from vireid.deploy.gallery_files import META, read_meta, require_network
from vireid.errors import CheckpointError, UsageError
from vireid.structures import Modality


class Network:
    """An extractor with the tool's number of images at once."""

    def __init__(self, extractor: Any, batch: int) -> None:
        self._extractor, self._batch = extractor, batch
        self.dim: int = extractor.dim
        self.fingerprint: str = extractor.fingerprint
        self.modalities: tuple[str, ...] = tuple(extractor.modalities)

    def __call__(self, images: Sequence[Path], modality: str) -> np.ndarray:
        found = self._extractor(images, modality, batch=self._batch, progress=False)
        return np.asarray(found, dtype=np.float32)


def open_network(args: argparse.Namespace) -> tuple[Network, str]:
    """The network of ``--model`` or ``--run``, or the gallery's own; and where it is.

    Raises:
        CheckpointError: it is missing, or not the one that built the gallery.
        UsageError: options that no network takes, or images of a modality that this one does not.
    """
    for option in ("threads", "batch"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UsageError(f"--{option} must be at least 1, got {value}")
    modality = args.modality.name.lower()
    path = _path(args, modality)
    from vireid.deploy.extractor import Extractor  # loads torch or another runtime

    network = Network(Extractor(path, backend=args.backend, threads=args.threads), args.batch)
    if (args.gallery / META).exists():
        require_network(args.gallery, read_meta(args.gallery), network.fingerprint)
    if modality not in network.modalities:
        raise UsageError(
            f"--modality {modality}: the network {path} takes "
            f"{' and '.join(network.modalities)} images; name one that takes these by --model or "
            "--run"
        )
    return network, str(path.resolve())


def _path(args: argparse.Namespace, modality: str) -> Path:
    if args.run is not None:
        require_run(args.run)
        return Path(args.run)
    if args.model is None:
        return _own(args.gallery, modality)
    path = Path(args.model)
    stream = _stream(path, modality)
    if not path.exists() and stream.exists():  # named as the export tool was told
        return stream
    return path


def _own(gallery: Path, modality: str) -> Path:
    name = read_meta(gallery).network
    if not name:
        raise UsageError(f"the gallery {gallery} does not say by which network: name it by --model")
    path, stream = Path(name), _stream(Path(name), modality)
    if stream.exists():
        return stream
    if not path.exists():
        raise CheckpointError(
            f"the network {name}, which built the gallery {gallery}, is not there any more: name "
            "it by --model or --run"
        )
    return path


def _stream(path: Path, modality: str) -> Path:
    """What the export tool calls the file of one modality, of a network that becomes several."""
    stem = path.stem
    for known in Modality:
        stem = stem.removesuffix(f".{known.name.lower()}")
    return path.parent / f"{stem}.{modality}{path.suffix}"
