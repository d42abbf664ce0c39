"""Another library in torch's place while a run is evaluated (``TEST.BACKEND``)."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from vireid.deploy.export import OneStream, write_onnx
from vireid.deploy.files import is_shared
from vireid.deploy.packages import require_packages
from vireid.deploy.parity import LARGEST
from vireid.deploy.runtimes import RUNTIMES, Run
from vireid.engine.device import resolve_device
from vireid.engine.features import TORCH, Runtime
from vireid.errors import UsageError
from vireid.models.retrieval import RetrievalModel

log = logging.getLogger(__name__)

WRITERS = ("onnx", "onnxscript")
CHECKED = 8  # images of each stream that torch computes, too


def runtime_of(cfg: CfgNode) -> Runtime | None:
    """What ``TEST.BACKEND`` names; None is torch.

    Raises:
        UsageError: a package is missing, or there is a GPU, on which only torch runs here.
    """
    name, on_gpu = cfg.TEST.BACKEND, resolve_device(cfg.DEVICE).type != "cpu"
    if name == "auto":
        there = [one for one in RUNTIMES if all(map(find_spec, (*WRITERS, one)))]
        name = there[0] if there and not on_gpu else TORCH
    if name == TORCH:
        return None
    if on_gpu:
        raise UsageError(f"TEST.BACKEND {name} runs on the processor: set DEVICE cpu")
    require_packages(*WRITERS, name)
    return Substitute(name, cfg.THREADS)


class Substitute:
    """A runtime that exports a network when it first sees images for it.

    Args:
        name: of :data:`~vireid.deploy.runtimes.RUNTIMES`.
        threads: of one operation; 0: the library's choice.
    """

    def __init__(self, name: str, threads: int) -> None:
        self.used, self._name, self._threads = name, name, threads

    def __call__(
        self, network: RetrievalModel, size: Sequence[int]
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """What computes the network's features of images of [height, width].

        It compares the first features of each stream with torch's; where they are others, or the
        network cannot be exported, torch goes on, and a warning says so.
        """
        runs: dict[bool, Run] = {}

        def features(images: Tensor, is_infrared: Tensor) -> Tensor:
            rows, parts = [], []
            for infrared in (False, True):
                mine = (is_infrared == infrared).nonzero().flatten()
                if not len(mine):
                    continue
                if infrared not in runs:
                    runs.update(self._streams(network, size, infrared, images[mine]))
                rows.append(mine)
                # a copy: the runtime may write its next results into the same memory
                parts.append(torch.from_numpy(runs[infrared](images[mine].numpy()).copy()))
            return torch.cat(parts)[torch.cat(rows).argsort()]

        return features

    def _streams(
        self, network: RetrievalModel, size: Sequence[int], infrared: bool, images: Tensor
    ) -> dict[bool, Run]:
        """What computes the features of a modality, or of both where one way serves both."""
        sample = images[:CHECKED].numpy()
        by_torch = _by_torch(network, infrared)
        try:
            run = self._exported(network, size, infrared)
            difference = float(np.abs(_unit(run(sample)) - _unit(by_torch(sample))).max())
            if not difference <= LARGEST:
                raise ValueError(f"its features differ by {difference:.2g}")
        except Exception as error:  # exporters and runtimes raise whatever they like
            reason = " ".join(str(error).split())[:200]
            log.warning("features by torch, not by %s (%s)", self._name, reason)
            self.used = TORCH
            return {infrared: by_torch}
        return dict.fromkeys((False, True) if is_shared(network) else (infrared,), run)

    def _exported(self, network: RetrievalModel, size: Sequence[int], infrared: bool) -> Run:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = Path(folder) / "network.onnx"
            with torch.inference_mode(False):  # what the exporter traces wants gradients allowed
                write_onnx(OneStream(network, infrared=infrared), path, size=size)
            return RUNTIMES[self._name](path, self._threads)


def _by_torch(network: RetrievalModel, infrared: bool) -> Run:
    @torch.inference_mode()
    def run(images: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(images), torch.full((len(images),), infrared)).numpy()

    return run


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)
