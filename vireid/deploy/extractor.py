"""Images → features of unit length, by a trained run, an exported model or a checkpoint."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vireid.data.pixels import PixelRule, checked_range
from vireid.deploy.backends import HINTS, OpenedModel, Run, open_onnxruntime, open_openvino
from vireid.deploy.metadata import MODALITIES, ExportMetadata, read_metadata, require_checksum
from vireid.deploy.preprocessing import ImageLike, load_resized, normalized
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.structures import Modality, modality_named
from vireid.utils.paths import MODEL_FILE, expand, is_model_folder
from vireid.utils.threads import THREADS, threaded_map

log = logging.getLogger(__name__)
BACKENDS = ("torch", "onnxruntime", "openvino")
PRECISIONS = tuple(HINTS)
EXPORTED = (".onnx", ".xml")
CHECKPOINTS = (".pth", ".pt", ".ckpt", ".tar")  # by whatever name users keep a run's
SOURCES = (
    "run folder, model folder (model.safetensors and config.yaml), checkpoint of a run (.pth), or "
    ".onnx or .xml file of the export tool"
)
HINTS_OF_FILES = {
    ".bin": "name the .xml file that it belongs to",
    ".npz": "a file of features holds no model",
    ".safetensors": "name the folder that holds it",
    ".sha256": "name the file whose checksum it holds",
    ".yaml": "name the folder that holds it",
}


class Extractor:
    """A deployed model, from a run, its checkpoint, a model folder or exported files.

    >>> extractor = Extractor("runs/demo/seed0")  # doctest: +SKIP
    >>> extractor(["a.jpg", "b.jpg"], "infrared").shape  # doctest: +SKIP
    (2, 704)

    Args:
        path: a run folder, a run's checkpoint (.pth), or what the export tool writes: a model
            folder, or an .onnx or .xml file. ``<stem>.onnx`` also stands for
            ``<stem>.visible.onnx`` and ``<stem>.infrared.onnx`` together.
        backend: torch (not for exported files), onnxruntime (not for .xml) or openvino. None: an
            installed one for an exported file, else torch.
        threads: of the backend and of decoding; None: their own choice. Torch's count for the
            whole process.
        precision: fp32, or bf16 (not in ONNX Runtime; slow on processors without bf16
            instructions). An INT8 file stays INT8.
        device: of torch: auto, cpu, cuda or cuda:N.
        options: ``KEY``, ``VALUE``, …, such as ``("TEST.EXIT", "shallow2")``; not for exported
            files.
        unit_length: bring features to unit length; false, not for exported files: features as the
            run's protocols score them.
        range: of images with more than eight bits, instead of the model's own: [value that becomes
            black, value that becomes white] or ``"percentile"`` (of each image its own); a mapping
            from modalities to these, for two.
    Raises:
        CheckpointError: missing, damaged, or no model of this project.
        UsageError: a backend, precision or option that does not go with the path, or a package
            that is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        backend: str | None = None,
        threads: int | None = None,
        *,
        precision: str = "fp32",
        device: str = "auto",
        options: Sequence[str] = (),
        unit_length: bool = True,
        range: Any = None,
    ) -> None:
        path = expand(path)
        kind = _kind(path)
        self.backend = _chosen_backend(path, kind, backend)
        self.precision = precision
        self._threads = threads or 0
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, got {threads}")
        if precision not in PRECISIONS or (precision, self.backend) == ("bf16", "onnxruntime"):
            raise UsageError(
                f"precision {precision!r} is not available with {self.backend}; choose fp32, or "
                "bf16 with torch or openvino"
            )
        if self.backend != "torch" and device not in ("auto", "cpu"):
            raise UsageError(f"device {device!r}: {self.backend} runs on the processor here")
        if options and kind != "run":
            raise UsageError(f"{' '.join(options)}: {path} was exported with its own options")
        if not unit_length and kind != "run":
            raise UsageError(f"unit_length=False: {path} was exported with features of unit length")
        self._unit_length = unit_length
        self.metadata: ExportMetadata
        self._runs: dict[str, Run]
        if kind != "run":
            self._open_files(path, kind)
        else:
            self._open_run(path, device, options)
        self._rules = _rules(self.metadata, range)

    @property
    def dim(self) -> int:
        """Numbers in an image's features."""
        return self.metadata.dim

    @property
    def fingerprint(self) -> str:
        """Identifies the model; features of two fingerprints cannot be compared."""
        return self.metadata.fingerprint

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of the images that it accepts: ``visible``, ``infrared`` or both."""
        return self.metadata.modalities

    def __call__(
        self,
        images: Sequence[ImageLike],
        modality: str | Modality,
        *,
        batch: int = 32,
        progress: bool | None = None,
    ) -> np.ndarray:
        """Features of images of one modality.

        Threads decode and resize images while others are computed; memory holds a few dozen.

        Args:
            images: paths, PIL images of any mode, or arrays: (h, w), (h, w, 1), (h, w, 3) RGB or,
                of uint8, (h, w, 4) RGBA; in any mixture and size. Values of other types than uint8
                need a range.
            modality: visible or infrared, or another of their names, such as rgb or thermal
                (``vireid.structures.MODALITY_NAMES``).
            batch: images per call of the model.
            progress: a bar or none; None: where there is a terminal.
        Returns:
            (N, dim) float32, rows of unit length, in the order of the images.
        Raises:
            CheckpointError: the features are not finite, or have another shape.
            DataError: an image cannot be read; names its path or index.
            UsageError: the model has no such modality, or ``images`` is no sequence.
        """
        run = self._run_for(modality)
        lone = isinstance(images, np.ndarray) and images.ndim < 4
        if lone or isinstance(images, (str, os.PathLike, Image.Image)):
            raise UsageError("images must be a sequence of images: put a single one into a list")
        if not hasattr(images, "__getitem__") or not hasattr(images, "__len__"):
            raise UsageError(f"images must be a sequence of images, got {type(images).__name__}")
        if batch < 1:
            raise UsageError(f"batch must be at least 1, got {batch}")
        rows, blank = [np.empty((0, self.dim), np.float32)], 0
        for group in _groups(self._resized(images, modality, progress), batch):
            features = run(normalized(group, self.metadata.mean, self.metadata.std))
            rows.append(self._checked(features, len(group)))
            blank += sum(not np.ptp(image) for image in group)
        if blank and (limits := self._rules[_name(modality)].range) is not None:
            log.warning(
                "%d of %d images have a single grey level: their range is %s",
                *(blank, len(images), limits),
            )
        return np.concatenate(rows)

    def _run_for(self, modality: str | Modality) -> Run:
        name = _name(modality)
        if name not in self._runs:
            raise UsageError(f"modality {name}: this model's are {' and '.join(self.modalities)}")
        return self._runs[name]

    def _resized(
        self, images: Sequence[ImageLike], modality: str | Modality, progress: bool | None
    ) -> Iterable[np.ndarray]:
        """(H, W, 3) uint8 each; a single image starts no threads."""
        rule = self._rules[_name(modality)]

        def load(index: int) -> np.ndarray:
            image = images[index]
            try:
                return load_resized(image, self.metadata.size, rule)
            except DataError as error:
                if isinstance(image, (str, os.PathLike)):
                    raise
                raise DataError(f"image {index} of {len(images)}: {error}") from error

        if len(images) == 1:
            return [load(0)]
        return threaded_map(
            load,
            range(len(images)),
            doing="features",
            threads=self._threads or THREADS,
            progress=progress,
        )

    def _checked(self, features: np.ndarray, count: int) -> np.ndarray:
        fits = features.shape == (count, self.dim)
        lengths = np.linalg.norm(features.astype(np.float32), axis=1, keepdims=True) if fits else 0
        if not fits or not (np.isfinite(lengths) & (lengths > 0)).all():
            if fits and not np.any(features):
                raise CheckpointError(
                    "the model gives every image the same feature, zeros: its training collapsed, "
                    "or its weights are damaged"
                )
            raise CheckpointError(
                f"the model made features of {features.shape}, of lengths from "
                f"{np.min(lengths):.3g} to {np.max(lengths):.3g}, of {count} images, not "
                f"{self.dim} finite numbers each: its weights are damaged"
            )
        return features / lengths if self._unit_length else features

    def _open_files(self, path: Path, kind: str) -> None:
        """The file itself, or those of all modalities that were exported under its name."""
        files = [path] if path.exists() else list(streams_beside(path, kind))
        self._runs, found = {}, []
        for file in files:
            require_checksum(file)
            opened = _open(file, self.backend, self._threads, self.precision)
            metadata = read_metadata(opened.entries, file)
            _require_shapes(file, opened, metadata)
            self._runs |= dict.fromkeys(metadata.modalities, opened.run)
            found.append(metadata)
        if len({one.fingerprint for one in found}) > 1 or len(self._runs) < len(found):
            raise CheckpointError(
                f"{' and '.join(map(str, files))} are not the streams of one model: export both "
                "again"
            )
        self.metadata = replace(
            found[0], modalities=tuple(m for m in MODALITIES if m in self._runs)
        )

    def _open_run(self, path: Path, device: str, options: Sequence[str]) -> None:
        """A run's, checkpoint's or model folder's model in torch, or exported for a backend."""
        # these import torch, which exported files do without
        from vireid.deploy.deployed_model import deployed_model, open_torch
        from vireid.deploy.model_files import export_streams

        trained, unit_length = deployed_model(path, options), self._unit_length
        self.metadata, self._runs = trained.metadata, {}
        if self.backend == "torch":
            self._runs = open_torch(
                trained, self._threads, self.precision, device, unit_length=unit_length
            )
            return
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            for metadata, file in export_streams(trained, Path(folder), unit_length=unit_length):
                opened = _open(file, self.backend, self._threads, self.precision)
                self._runs |= dict.fromkeys(metadata.modalities, opened.run)


def _name(modality: str | Modality) -> str:
    try:
        known = modality if isinstance(modality, Modality) else modality_named(modality)
    except ValueError as error:
        raise UsageError(f"modality {error}") from error
    return known.name.lower()


def _rules(metadata: ExportMetadata, given: Any) -> dict[str, PixelRule]:
    """The model's own rule for the pixels of each modality, with other ranges where given."""
    ranges = given if isinstance(given, Mapping) else dict.fromkeys(MODALITIES, given)
    rules = {name: metadata.rule(name) for name in MODALITIES}
    try:
        for name, limits in ranges.items():
            if limits is not None:
                rules[_name(name)] = replace(rules[_name(name)], range=checked_range(limits))
    except ValueError as error:
        raise UsageError(f"range: {error}") from error
    return rules


def _kind(path: Path) -> str:
    """run (also its checkpoint, or a model folder), .onnx or .xml.

    Raises:
        CheckpointError: none of them; says what would be.
    """
    if path.is_dir():
        if is_model_folder(path) or (path / "config.yaml").is_file():
            return "run"
        raise CheckpointError(f"{path} is not a {SOURCES}{_hint_of_folder(path)}")
    if not path.exists() and not streams_beside(path, path.suffix):
        raise CheckpointError(f"there is no model {path}: name a {SOURCES}")
    if path.suffix in CHECKPOINTS:
        return "run"
    if path.suffix not in EXPORTED:
        hint = HINTS_OF_FILES.get(path.suffix, "export the run with the export tool")
        raise CheckpointError(f"{path} is not a {SOURCES}: {hint}")
    return path.suffix


def _hint_of_folder(path: Path) -> str:
    """What in a folder may be meant; empty if nothing in it can be opened."""
    folders = (
        file.parent for name in ("config.yaml", MODEL_FILE) for file in path.glob(f"*/{name}")
    )
    files = (file for suffix in EXPORTED for file in path.glob(f"*{suffix}"))
    found = sorted({str(one) for one in (*folders, *files)})
    return f"; it holds {', '.join(found[:3])}{' …' if len(found) > 3 else ''}" if found else ""


def streams_beside(path: Path, suffix: str) -> list[Path]:
    """Files that the export tool writes under one name for a model with two streams."""
    files = [path.with_suffix(f".{name}{suffix}") for name in MODALITIES]
    return [file for file in files if suffix in EXPORTED and file.is_file()]


def _require_shapes(path: Path, opened: OpenedModel, metadata: ExportMetadata) -> None:
    """Compares a file's metadata with its input and output."""
    known = [one for one in (*opened.size, opened.dim) if isinstance(one, int)]
    if len(opened.size) != 2 or (known and known != [*metadata.size, metadata.dim]):
        raise CheckpointError(
            f"{path}: its model takes images of {opened.size} and makes {opened.dim} numbers, "
            f"but its metadata say {metadata.size} and {metadata.dim}: export it again"
        )


def _chosen_backend(path: Path, kind: str, backend: str | None) -> str:
    fitting = {"run": BACKENDS, ".onnx": BACKENDS[1:], ".xml": BACKENDS[2:]}[kind]
    if backend is None:
        installed = [name for name in fitting if find_spec(name) is not None]
        return (installed or list(fitting))[0]
    if backend not in fitting:
        raise UsageError(f"backend {backend!r} does not run {path}; choose {' or '.join(fitting)}")
    return backend


def _open(path: Path, backend: str, threads: int, precision: str) -> OpenedModel:
    if backend == "openvino":
        return open_openvino(path, threads, precision)
    return open_onnxruntime(path, threads)


def _groups(images: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    iterator = iter(images)
    while group := list(islice(iterator, size)):
        yield group
