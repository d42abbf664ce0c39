"""INT8 quantisation after training, with activation ranges from calibration images.

Convolutions are quantised, weights by output channel. The layers that stay in float32 were measured
(docs/deployment.md): OSNet's channel gates, a few thousandths of the work, whose sigmoids scale
whole channels; the first convolution, which sees the finest steps of brightness; and all that
follows the last map (powers and roots of the pooling, part relations, normalisation).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from yacs.config import CfgNode

from vireid.data.build import build_splits
from vireid.deploy.backends import INPUT, require_packages
from vireid.deploy.metadata import ExportMetadata
from vireid.deploy.model_files import quiet, write_metadata
from vireid.deploy.preprocessing import ImageLike
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality

GATE = ".gate."  # in the names of a channel gate's weights
KEPT = ("gates", "first")  # convolutions that stay in float32


def quantize(
    source: Path,
    target: Path,
    metadata: ExportMetadata,
    images: Iterable[np.ndarray],
    *,
    kept: Collection[str] = KEPT,
) -> None:
    """Quantises an ONNX file to INT8 by ONNX Runtime's static quantisation (QDQ).

    Args:
        metadata: of the new file.
        images: for calibration, (B, 3, H, W) float32 each, normalised.
        kept: of ``KEPT``.
    Raises:
        UsageError: a package is missing.
    """
    require_packages("onnx", "onnxruntime")
    import onnx
    from onnxruntime import quantization

    nodes = [node for node in onnx.load(source).graph.node if node.op_type == "Conv"]
    named = {"gates": [node.name for node in nodes if GATE in node.input[1]]}
    named["first"] = [node.name for node in nodes if INPUT in node.input]
    with quiet():
        quantization.quantize_static(
            source,
            target,
            _Reader(images),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[name for kind in kept for name in named[kind]],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    write_metadata(target, metadata)


class _Reader:  # ONNX Runtime takes a class with this method for its CalibrationDataReader
    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT: image}


@dataclass(frozen=True, slots=True)
class CheckImages:
    """Images of one modality.

    Args:
        origin: where they come from, for messages.
    """

    images: Sequence[ImageLike]
    origin: str


def evenly_spaced(records: Sequence[ImageRecord], modality: str, count: int) -> list[ImageRecord]:
    """At most ``count`` records of a modality, evenly spaced over the list."""
    own = [record for record in records if record.modality is Modality[modality.upper()]]
    places = np.linspace(0, len(own) - 1, min(count, len(own))).round().astype(int)
    return [own[place] for place in places]


def check_images(cfg: CfgNode, metadata: ExportMetadata, modality: str, count: int) -> CheckImages:
    """Test images of a modality; noise patterns when the data set is missing."""
    try:
        splits = build_splits(cfg, parts=())
        chosen = evenly_spaced(splits.test, modality, count)
        if len(chosen) < 2:
            raise DataError(f"too few {modality} images")
    except DataError as error:
        reason = str(error).splitlines()[0]
        return CheckImages(patterns(metadata, count), f"synthetic patterns, for {reason}")
    paths = [splits.root / record.path for record in chosen]
    return CheckImages(paths, f"the run's own {modality} test images")


def patterns(metadata: ExportMetadata, count: int) -> list[np.ndarray]:
    """(H, W, 3) uint8 each: coarse noise, brought to the images' size; the same every time."""
    generator = np.random.default_rng(0)
    height, width = metadata.size
    coarse = generator.integers(0, 256, (count, -(-height // 8), -(-width // 8), 3), np.uint8)
    return list(coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width])
