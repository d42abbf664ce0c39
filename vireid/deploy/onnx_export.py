"""A trained network as a file that other runtimes read: images of one modality → features."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from vireid.deploy.backends import INPUT, OUTPUT, require_packages
from vireid.models.inference_model import InferenceModel
from vireid.models.modality_norm import ModalityNorm
from vireid.models.two_stream import TwoStream


class OneStream(nn.Module):
    """What a network does with images of one modality; weights are copied.

    Args:
        network: in evaluation mode from here on.
        infrared: which stream.
    """

    def __init__(self, network: InferenceModel, *, infrared: bool) -> None:
        super().__init__()
        copied = copy.deepcopy(network)
        streams = copied.backbone
        own = streams.infrared if infrared else streams.visible
        self.network = InferenceModel(
            TwoStream((), (), [*own, *streams.shared]),
            aggregate=copied.aggregate,
            bnneck=copied.bnneck,
            parts=copied.parts,
        )
        _keep_one_norm(self.network, infrared=infrared)
        self.register_buffer("flag", torch.tensor([infrared]), persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised → (B, D)."""
        return self.network(images, self.flag)  # one stream looks at no flag


def _keep_one_norm(module: nn.Module, *, infrared: bool) -> None:
    """Replaces every :class:`ModalityNorm` by a BatchNorm with one modality's statistics."""
    for name, child in module.named_children():
        if isinstance(child, ModalityNorm):
            norm = child.norm
            if infrared:
                norm.load_state_dict(child.infrared.state_dict(), strict=False)
            setattr(module, name, norm)
        else:
            _keep_one_norm(child, infrared=infrared)


def write_onnx(network: nn.Module, path: Path, *, size: Sequence[int]) -> None:
    """Writes ``network`` as ONNX, for any number of images.

    Args:
        network: (B, 3, H, W) → (B, D), on the processor and in evaluation mode.
        size: [height, width] of the images.
    Raises:
        UsageError: the packages for it are missing; names the command that installs them.
    """
    require_packages("onnx", "onnxscript")
    example = torch.zeros(2, 3, *size)  # one image would fix the number to one
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    program.save(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its developers about itself; mistakes are raised all the same."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
