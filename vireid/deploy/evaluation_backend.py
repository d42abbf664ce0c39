"""Features of a run's images by another library than torch (``TEST.BACKEND``)."""

from __future__ import annotations

import logging
import timeit
from collections.abc import Hashable, Mapping, Sequence
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image
from yacs.config import CfgNode

from vireid.data.corruptions.draw import CorruptionRule
from vireid.data.images import read_image
from vireid.data.pixels import PixelRule, Range
from vireid.deploy.backends import RUNTIMES, require_packages
from vireid.deploy.extractor import Extractor
from vireid.deploy.verify_export import LARGEST, features_of_records
from vireid.engine.precision import resolve_device
from vireid.errors import UsageError
from vireid.evaluation.distance import unit_rows
from vireid.structures import FeatureSet, ImageRecord, Modality
from vireid.utils.io import say

log = logging.getLogger(__name__)

TORCH = "torch"
EXPORTERS = ("onnx", "onnxscript")
CHECKED = 8  # images of a modality whose features are compared with torch's
TIMED = 16  # images that decide which backend is fastest
WORTHWHILE = 120  # seconds that torch would need; below, an export may take longer than it saves


def backend_of(cfg: CfgNode, run: Path, overrides: Sequence[str]) -> EvaluationBackend | None:
    """What ``TEST.BACKEND`` names; None is torch.

    Args:
        cfg: the run's configuration with the overrides.
    Raises:
        UsageError: a package is missing, or there is a GPU, on which only torch runs here.
    """
    name, on_gpu = cfg.TEST.BACKEND, resolve_device(cfg.DEVICE).type != "cpu"
    names = [name]
    if name == "auto":
        installed = [one for one in RUNTIMES if all(map(find_spec, (*EXPORTERS, one)))]
        names = [TORCH] if on_gpu else [TORCH, *installed]
    elif name != TORCH and on_gpu:
        raise UsageError(f"TEST.BACKEND {name} runs on the processor: set DEVICE cpu")
    elif name != TORCH:
        require_packages(*EXPORTERS, name)
    if names == [TORCH]:
        return None
    return EvaluationBackend(run, overrides, names, cfg.THREADS, cfg.TEST.BATCH)


class EvaluationBackend:
    """Computes a run's features through ``Extractor``.

    The first images decide: a backend that cannot export the model, or whose features differ from
    torch's, is left out with a warning. Of several, the fastest one computes all features; torch,
    when it needs less than two minutes.

    Args:
        run, overrides: run folder, and the options that differ from its configuration.
        names: backends to choose from.
        threads: of the backend; 0: its own choice.
        batch: images per call of the model.
    Attributes:
        used: the backend that computed the features.
    """

    def __init__(
        self, run: Path, overrides: Sequence[str], names: Sequence[str], threads: int, batch: int
    ) -> None:
        self.used, self._names = names[0], list(names)
        self._ranges: dict[str, Range | None] = {}
        self._chosen: dict[Hashable, Extractor] = {}  # by exit, ranges and modalities
        self._run, self._overrides = run, list(overrides)
        self._threads, self._batch = threads or None, batch

    def __call__(
        self,
        root: Path,
        records: Sequence[ImageRecord],
        exit_name: str,
        rules: Mapping[Modality, PixelRule],
        corruption: CorruptionRule | None = None,
    ) -> FeatureSet:
        """The records' features as the protocols score them, not brought to unit length.

        Args:
            root: folder of the records' paths.
            exit_name: whose features.
            rules: how the images of each modality become RGB.
            corruption: of the images.
        """
        self._ranges = {modality.name.lower(): rule.range for modality, rule in rules.items()}
        groups = {m.name.lower(): [r for r in records if r.modality is m] for m in Modality}
        paths = {name: [root / r.path for r in group] for name, group in groups.items() if group}
        key = (exit_name, *sorted(self._ranges.items()), *paths)
        if key not in self._chosen:
            self._chosen[key] = self._choose(exit_name, paths, len(records))

        def load(record: ImageRecord) -> Image.Image:
            image = read_image(root / record.path, rules[record.modality])
            return corruption.apply(image, record.path, record.modality) if corruption else image

        extractors = dict.fromkeys(paths, self._chosen[key])
        used = load if corruption else None
        return features_of_records(root, records, extractors, batch=self._batch, load=used)

    def _open(self, name: str, exit_name: str) -> Extractor:
        options = [*self._overrides, "TEST.EXIT", exit_name, "TEST.GALLERY_EXIT", ""]
        return Extractor(
            self._run,
            name,
            self._threads,
            device="cpu",
            options=options,
            unit_length=False,
            range=self._ranges,
        )

    def _choose(self, exit_name: str, paths: Mapping[str, list[Path]], count: int) -> Extractor:
        torch = self._open(TORCH, exit_name)
        timed = {name: list(islice(cycle(files), TIMED)) for name, files in paths.items()}
        seconds = {}
        if len(self._names) > 1:
            seconds[TORCH] = _seconds(torch, timed)
            if seconds[TORCH] * count / (TIMED * len(timed)) < WORTHWHILE:
                self._names = [TORCH]
        found = {TORCH: torch} | self._equal_to(torch, exit_name, paths)
        if len(self._names) > 1:
            others = [name for name in found if name != TORCH]
            seconds |= {name: _seconds(found[name], timed) for name in others}
            self._names = [min(seconds, key=seconds.__getitem__)]
        self.used = self._names[0] if self._names[0] in found else TORCH
        self._names = [self.used]
        if seconds:
            images = TIMED * len(timed)
            each = ", ".join(f"{name} {1000 * s / images:.1f}" for name, s in seconds.items())
            say(f"features of {count:,} images by {self.used}; ms per image: {each}")
        return found[self.used]

    def _equal_to(
        self, torch: Extractor, exit_name: str, paths: Mapping[str, list[Path]]
    ) -> dict[str, Extractor]:
        """The backends, besides torch, that compute torch's features."""
        found = {}
        for name in self._names:
            if name == TORCH:
                continue
            try:
                extractor = self._open(name, exit_name)
                for modality, files in paths.items():
                    some = files[:CHECKED]
                    two = (one(some, modality, progress=False) for one in (torch, extractor))
                    off = np.abs(np.subtract(*map(unit_rows, two))).max()
                    if not off <= LARGEST:
                        raise ValueError(f"its features differ by {off:.2g}")
                found[name] = extractor
            except Exception as error:  # exporters and libraries raise errors of any type
                log.warning("features not by %s (%s)", name, " ".join(str(error).split())[:200])
        return found


def _seconds(extractor: Extractor, paths: Mapping[str, list[Path]]) -> float:
    """The fastest of three rounds over the images; the first round warms up."""

    def one_round() -> None:
        for modality, files in paths.items():
            extractor(files, modality, progress=False)

    return min(timeit.repeat(one_round, number=1, repeat=3))
