"""The network that a gallery is searched with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vireid.cli.sources import require_run
from vireid.deploy.gallery_files import read_meta, require_network
from vireid.errors import CheckpointError, UsageError


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
        UsageError: options that no network takes.
    """
    for option in ("threads", "batch"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UsageError(f"--{option} must be at least 1, got {value}")
    path = args.run or args.model
    if args.run is not None:
        require_run(args.run)
    if path is None:
        path = _own(args.gallery)
    elif not path.exists():
        raise CheckpointError(f"there is no network {path}: name an exported file or a run folder")
    from vireid.deploy.extractor import Extractor  # loads torch or another runtime

    extractor = Extractor(path, backend=args.backend, threads=args.threads)
    network = Network(extractor, args.batch)
    if (args.gallery / "gallery.json").exists():
        require_network(args.gallery, read_meta(args.gallery), network.fingerprint)
    return network, str(path.resolve())


def _own(gallery: Path) -> Path:
    name = read_meta(gallery).network
    if not name:
        raise UsageError(f"the gallery {gallery} does not say by which network: name it by --model")
    if not Path(name).exists():
        raise CheckpointError(
            f"the network {name}, which built the gallery {gallery}, is not there any more: name "
            "it by --model or --run"
        )
    return Path(name)
