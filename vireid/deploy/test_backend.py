"""Another library in torch's place while a run is evaluated (``TEST.BACKEND``)."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from vireid.deploy.backends import RUNTIMES, Run, require_packages
from vireid.deploy.model_files import is_shared
from vireid.deploy.onnx_export import OneStream, write_onnx
from vireid.deploy.verify_export import LARGEST
from vireid.engine.precision import resolve_device
from vireid.errors import UsageError
from vireid.models.inference_model import InferenceModel
from vireid.runs.features import TORCH, Runtime

log = logging.getLogger(__name__)

WRITERS = ("onnx", "onnxscript")
CHECKED = 8  # images of each stream that torch computes, too
TIMED = 16  # images that tell which is fastest
WORTH = 120  # seconds that torch would need; below, exporting may take longer than it saves


def runtime_of(cfg: CfgNode) -> Runtime | None:
    """What ``TEST.BACKEND`` names; None is torch.

    Raises:
        UsageError: a package is missing, or there is a GPU, on which only torch runs here.
    """
    name, on_gpu = cfg.TEST.BACKEND, resolve_device(cfg.DEVICE).type != "cpu"
    if name == "auto":
        there = [one for one in RUNTIMES if all(map(find_spec, (*WRITERS, one)))]
        return None if on_gpu or not there else Substitute((TORCH, *there), cfg.THREADS)
    if name == TORCH:
        return None
    if on_gpu:
        raise UsageError(f"TEST.BACKEND {name} runs on the processor: set DEVICE cpu")
    require_packages(*WRITERS, name)
    return Substitute((name,), cfg.THREADS)


class Substitute:
    """A runtime that exports a network when it first sees images for it.

    Args:
        names: of :data:`~vireid.deploy.backends.RUNTIMES`, and ``torch``. Of several, the one that
            is fastest for the first images computes all; torch, if it needs less than two minutes.
        threads: of one operation; 0: the library's choice.
    """

    def __init__(self, names: Sequence[str], threads: int) -> None:
        self.used, self._names, self._threads = names[0], list(names), threads

    def __call__(
        self, network: InferenceModel, size: Sequence[int], count: int
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """What computes the network's features of images of [height, width].

        It compares the first features of each stream with torch's; where they are others, or the
        network cannot be exported, torch goes on, and a warning says so.

        Args:
            count: images that will come.
        """
        runs: dict[bool, Run] = {}

        def features(images: Tensor, is_infrared: Tensor) -> Tensor:
            rows, parts = [], []
            for infrared in (False, True):
                mine = (is_infrared == infrared).nonzero().flatten()
                if not len(mine):
                    continue
                if infrared not in runs:
                    first = images[mine].numpy()
                    run = self._run(network, size, infrared, first, count)
                    both = (False, True) if is_shared(network) else (infrared,)
                    runs.update(dict.fromkeys(both, run))
                rows.append(mine)
                parts.append(torch.from_numpy(runs[infrared](images[mine].numpy())))
            return torch.cat(parts)[torch.cat(rows).argsort()]

        return features

    def _run(
        self,
        network: InferenceModel,
        size: Sequence[int],
        infrared: bool,
        images: np.ndarray,
        count: int,
    ) -> Run:
        """What computes the features of a stream; the first stream decides for all."""
        ways = {TORCH: _by_torch(network, infrared)}
        timed, seconds = np.resize(images, (TIMED, *images.shape[1:])), {}
        if len(self._names) > 1:
            seconds[TORCH] = _seconds(ways[TORCH], timed)
            if seconds[TORCH] * count / TIMED < WORTH:
                self._names = [TORCH]
        if self._names != [TORCH]:
            ways |= self._checked(network, size, infrared, images[:CHECKED], ways[TORCH])
        if len(self._names) > 1:
            seconds |= {name: _seconds(ways[name], timed) for name in ways if name != TORCH}
            self._names = [min(seconds, key=seconds.__getitem__)]
        if seconds:
            each = ", ".join(f"{name} {1000 * s / TIMED:.1f}" for name, s in seconds.items())
            print(f"features of {count:,} images by {self._names[0]}; ms per image: {each}")
        if self._names[0] not in ways:
            self._names = [TORCH]
        self.used = self._names[0]
        return ways[self.used]

    def _checked(
        self,
        network: InferenceModel,
        size: Sequence[int],
        infrared: bool,
        sample: np.ndarray,
        by_torch: Run,
    ) -> dict[str, Run]:
        """Of the libraries, those that compute what torch does."""
        ways, names = {}, [name for name in self._names if name != TORCH]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = Path(folder) / "network.onnx"
            for name in names:
                try:
                    if not path.exists():
                        with torch.inference_mode(False):  # the exporter wants gradients allowed
                            write_onnx(OneStream(network, infrared=infrared), path, size=size)
                    run = RUNTIMES[name](path, self._threads)
                    off = float(np.abs(_unit(run(sample)) - _unit(by_torch(sample))).max())
                    if not off <= LARGEST:
                        raise ValueError(f"its features differ by {off:.2g}")
                    ways[name] = run
                except Exception as error:  # exporters and runtimes raise whatever they like
                    reason = " ".join(str(error).split())[:200]
                    log.warning("features not by %s (%s)", name, reason)
        return ways


def _seconds(run: Run, images: np.ndarray) -> float:
    """The fastest of three calls; the first prepares things."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run(images)
        times.append(time.perf_counter() - start)
    return min(times)


def _by_torch(network: InferenceModel, infrared: bool) -> Run:
    @torch.inference_mode()
    def run(images: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(images), torch.full((len(images),), infrared)).numpy()

    return run


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)
