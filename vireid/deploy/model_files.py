"""Exported files, written: a network with its card, as ONNX or as OpenVINO's pair of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vireid.deploy.backends import import_openvino, openvino_core
from vireid.deploy.checksum import seal
from vireid.deploy.metadata import NetworkCard
from vireid.deploy.onnx_export import OneStream, write_onnx
from vireid.deploy.trained_model import TrainedNetwork, UnitFeatures
from vireid.models.inference_model import InferenceModel
from vireid.utils.io import replace_file


def is_shared(network: InferenceModel) -> bool:
    """Whether images of both modalities take one way through the network."""
    return not len(network.backbone.visible) and not network.has_modality_norms


def streams(trained: TrainedNetwork) -> list[tuple[str, ...]]:
    """The modalities of each file that it takes to export all of a network."""
    known = trained.card.modalities
    return [known] if is_shared(trained.network) else [(name,) for name in known]


def export_streams(trained: TrainedNetwork, folder: Path) -> list[tuple[NetworkCard, Path]]:
    """Writes all of a network as ONNX: one file, or one for each modality.

    Raises:
        UsageError: a package is missing.
    """
    files = []
    for modalities in streams(trained):
        path = folder / f"{'+'.join(modalities)}.onnx"
        files.append((export_onnx(trained, path, modalities), path))
    return files


def export_onnx(trained: TrainedNetwork, path: Path, modalities: tuple[str, ...]) -> NetworkCard:
    """Writes the stream of one modality, or of all of a network that does not tell them apart.

    Args:
        modalities: that the file is for.
    Returns:
        what the file says of itself.
    Raises:
        UsageError: a package is missing.
    """
    infrared = modalities == ("infrared",)
    network = UnitFeatures(OneStream(trained.network, infrared=infrared), flip=trained.card.flip)
    write_onnx(network.eval(), path, size=trained.card.size)
    card = trained.card_for(modalities)
    put_card(path, card)
    return card


def put_card(path: Path, card: NetworkCard) -> None:
    """Writes a card into the metadata of an ONNX file, and seals it.

    What the exporter notes of each operation goes: more than half of a small file, and paths of
    the machine.
    """
    import onnx

    model = onnx.load(path)
    for noted in (*model.graph.node, *model.graph.value_info):
        del noted.metadata_props[:]
    onnx.helper.set_model_props(model, card.entries())
    onnx.save(model, path)
    seal(path)


def convert_to_openvino(source: Path, target: Path, card: NetworkCard) -> None:
    """Writes an ONNX file's network as .xml and .bin, in float32.

    Raises:
        UsageError: the package is missing.
    """
    save_openvino(openvino_core().read_model(source), target, card)


def save_openvino(model: Any, target: Path, card: NetworkCard) -> None:
    """Writes OpenVINO's model with its card, sealed.

    Args:
        model: an openvino.Model.
    """
    openvino = import_openvino()
    for name, value in card.entries().items():
        model.set_rt_info(value, name.split(".", 1))
    openvino.save_model(model, target, compress_to_fp16=False)
    seal(target)


def publish(source: Path, target: Path) -> list[Path]:
    """Copies an exported file, and what belongs to it, to where it is wanted.

    Each file appears whole or not at all; the .xml comes last, and is sealed with its weights.

    Returns:
        the files written.
    Raises:
        UsageError: the disk is full, or the folder cannot be written.
    """
    written = []
    for suffix in (".bin", source.suffix):
        part, whole = source.with_suffix(suffix), target.with_suffix(suffix)
        if part.exists():
            content = part.read_bytes()
            replace_file(whole, lambda file, content=content: file.write(content))
            written.append(whole)
    return written
