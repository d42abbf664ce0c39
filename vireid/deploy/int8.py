"""Networks in eight bits: quantised after training, by ranges seen on some of its images.

Convolutions are quantised, weights by output channel. What stays in float32 was measured
(docs/deployment.md): OSNet's channel gates, a few thousandths of the work, whose sigmoids scale
whole channels; the first convolution, which sees the finest steps of brightness; and all that
follows the last map (powers and roots of the pooling, part relations, normalisation).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vireid.deploy.backends import INPUT, require_packages
from vireid.deploy.metadata import NetworkCard

GATE = ".gate."  # in the names of a channel gate's weights
KEPT = ("gates", "first")  # convolutions that stay in float32


def quantize(
    source: Path,
    target: Path,
    card: NetworkCard,
    images: Iterable[np.ndarray],
    *,
    kept: Collection[str] = KEPT,
) -> None:
    """An ONNX file in eight bits, by ONNX Runtime's static quantisation (QDQ).

    Args:
        card: of the new file.
        images: for calibration, (B, 3, H, W) float32 each, normalised.
        kept: of :data:`KEPT`.
    Raises:
        UsageError: a package is missing.
    """
    require_packages("onnx", "onnxruntime")
    import onnx
    from onnxruntime import quantization

    from vireid.deploy.model_files import put_card

    nodes = [node for node in onnx.load(source).graph.node if node.op_type == "Conv"]
    named = {"gates": [node.name for node in nodes if GATE in node.input[1]]}
    named["first"] = [node.name for node in nodes if INPUT in node.input]
    with _quiet():
        quantization.quantize_static(
            source,
            target,
            _reader(quantization.CalibrationDataReader, images),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[name for kind in kept for name in named[kind]],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    put_card(target, card)


def _reader(base: type, images: Iterable[np.ndarray]) -> Any:
    class Reader(base):  # ONNX Runtime looks at the type
        def __init__(self) -> None:
            self._images: Iterator[np.ndarray] = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._images, None)
            return None if image is None else {INPUT: image}

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """The library advises its user in warnings; mistakes are raised all the same."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
