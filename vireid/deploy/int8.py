"""Networks in eight bits: quantised after training, by ranges seen on some of its images.

Convolutions are quantised, weights by output channel. Whatever follows the last map (powers and
roots of the pooling, part relations, normalisation) stays in float32, and so do the channel gates
of OSNet, a few thousandths of the work.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vireid.deploy.card import NetworkCard
from vireid.deploy.packages import require_packages
from vireid.deploy.runtimes import INPUT

GATE = ".gate."  # in the names of a channel gate's weights
CONVOLUTIONS = ("Convolution", "GroupConvolution")  # OpenVINO's names


def quantize_onnx(
    source: Path, target: Path, card: NetworkCard, images: Sequence[np.ndarray]
) -> None:
    """An ONNX file in eight bits, by ONNX Runtime's static quantisation (QDQ).

    Args:
        card: of the new file.
        images: for calibration, (1, 3, H, W) float32 each, normalised.
    Raises:
        UsageError: a package is missing.
    """
    require_packages("onnx", "onnxruntime")
    import onnx
    from onnxruntime import quantization

    from vireid.deploy.files import put_card

    nodes = onnx.load(source).graph.node
    kept = [node.name for node in nodes if node.op_type == "Conv" and GATE in node.input[1]]
    with _quiet():
        quantization.quantize_static(
            source,
            target,
            _reader(quantization.CalibrationDataReader, images),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=kept,
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


def quantize_openvino(
    source: Path, target: Path, card: NetworkCard, images: Sequence[np.ndarray]
) -> None:
    """An ONNX file as OpenVINO's files in eight bits, by NNCF.

    Args:
        source, target: .onnx and .xml.
        card, images: see :func:`quantize_onnx`.
    Raises:
        UsageError: a package is missing.
    """
    require_packages("openvino", "nncf")
    import nncf
    import openvino

    from vireid.deploy.files import save_openvino

    model = openvino.Core().read_model(source)
    operations = model.get_ordered_ops()
    kept = [one.get_friendly_name() for one in operations if not _is_quantised(one)]
    with _quiet():
        nncf.set_log_level(logging.ERROR)
        quantised = nncf.quantize(
            model,
            nncf.Dataset(images),
            subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
        )
    save_openvino(quantised, target, card)


def _is_quantised(operation: Any) -> bool:
    if operation.get_type_name() not in CONVOLUTIONS:
        return False
    weights = operation.input_value(1).get_node()
    while weights.get_type_name() != "Constant":  # converted or reshaped
        weights = weights.input_value(0).get_node()
    return GATE not in weights.get_friendly_name()


@contextmanager
def _quiet() -> Iterator[None]:
    """Both libraries advise their user in warnings; mistakes are raised all the same."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
