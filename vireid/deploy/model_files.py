"""A deployed model as files that other libraries run: ONNX, or OpenVINO's .xml and .bin."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vireid.deploy.backends import INPUT, OUTPUT, import_openvino, openvino_core, require_packages
from vireid.deploy.deployed_model import DeployedFeatures, DeployedModel
from vireid.deploy.metadata import ExportMetadata, write_checksum
from vireid.errors import UsageError
from vireid.models.inference_model import InferenceModel
from vireid.models.modality_norm import ModalityNorm
from vireid.models.two_stream import TwoStream
from vireid.utils.io import replace_file

TORCH_OPSET = 18  # the oldest that torch writes by itself
Stage = Callable[[str], object]  # is told what comes next


def quietly(stage: str) -> None:
    """Shows no stages."""


def is_shared(model: InferenceModel) -> bool:
    """Whether both modalities share the whole model."""
    return not len(model.backbone.visible) and not model.has_modality_norms


def streams(trained: DeployedModel) -> list[tuple[str, ...]]:
    """The modalities of each file of a complete export."""
    known = trained.metadata.modalities
    return [known] if is_shared(trained.model) else [(name,) for name in known]


def export_streams(
    trained: DeployedModel, folder: Path, *, unit_length: bool = True
) -> list[tuple[ExportMetadata, Path]]:
    """Writes a model as ONNX: one file, or one for each modality.

    Raises:
        UsageError: a package is missing.
    """
    files = []
    for modalities in streams(trained):
        path = folder / f"{'+'.join(modalities)}.onnx"
        files.append((export_onnx(trained, path, modalities, unit_length=unit_length), path))
    return files


def export_onnx(
    trained: DeployedModel,
    path: Path,
    modalities: tuple[str, ...],
    *,
    unit_length: bool = True,
    opset: int | None = None,
    stage: Stage = quietly,
) -> ExportMetadata:
    """Writes the stream of one modality, or of a model that both modalities share.

    Args:
        opset, stage: see ``write_onnx``.
    Returns:
        the metadata in the file.
    Raises:
        UsageError: a package is missing, or the model cannot be written in this opset.
    """
    stream = OneStream(trained.model, infrared=modalities == ("infrared",))
    model = DeployedFeatures(stream, flip=trained.metadata.flip, unit_length=unit_length)
    write_onnx(model.eval(), path, size=trained.metadata.size, opset=opset, stage=stage)
    metadata = trained.metadata_for(modalities)
    write_metadata(path, metadata)
    return metadata


def write_metadata(path: Path, metadata: ExportMetadata) -> None:
    """Writes metadata into an ONNX file.

    The exporter's notes on each operation are removed: they are half of a small file, and hold
    paths of the machine.
    """
    import onnx

    model = onnx.load(path)
    for noted in (*model.graph.node, *model.graph.value_info):
        del noted.metadata_props[:]
    onnx.helper.set_model_props(model, metadata.entries())
    onnx.save(model, path)


def convert_to_openvino(source: Path, target: Path, metadata: ExportMetadata) -> None:
    """Writes an ONNX file's model as .xml and .bin, in float32.

    Raises:
        UsageError: the package is missing.
    """
    model = openvino_core().read_model(source)
    for name, value in metadata.entries().items():
        model.set_rt_info(value, name.split(".", 1))
    import_openvino().save_model(model, target, compress_to_fp16=False)


def publish(source: Path, target: Path) -> list[Path]:
    """Copies an exported file, with its .bin and checksum, to its target.

    Each file appears whole or not at all. The checksum comes last: where a stop comes before it,
    files without a checksum stay, or files that their old checksum refuses.

    Returns:
        the files written.
    Raises:
        UsageError: the disk is full, or the folder cannot be written.
    """
    written = []
    for part in (source.with_suffix(".bin"), source):
        if part.exists():
            whole = target.with_suffix(part.suffix)
            replace_file(whole, methodcaller("write", part.read_bytes()))
            written.append(whole)
    return [*written, write_checksum(target)]


class OneStream(nn.Module):
    """A model for images of one modality; weights are copied.

    Args:
        model: in evaluation mode from here on.
        infrared: which stream.
    """

    def __init__(self, model: InferenceModel, *, infrared: bool) -> None:
        super().__init__()
        copied = copy.deepcopy(model)
        streams = copied.backbone
        own = streams.infrared if infrared else streams.visible
        self.model = InferenceModel(
            TwoStream((), (), [*own, *streams.shared]),
            aggregate=copied.aggregate,
            bnneck=copied.bnneck,
            parts=copied.parts,
        )
        _keep_one_norm(self.model, infrared=infrared)
        self.register_buffer("flag", torch.tensor([infrared]), persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised → (B, D)."""
        return self.model(images, self.flag)  # a single stream ignores the flag


def _keep_one_norm(module: nn.Module, *, infrared: bool) -> None:
    """Replaces every ``ModalityNorm`` by a BatchNorm with one modality's statistics."""
    for name, child in module.named_children():
        if isinstance(child, ModalityNorm):
            norm = child.norm
            if infrared:
                norm.load_state_dict(child.infrared.state_dict(), strict=False)
            setattr(module, name, norm)
        else:
            _keep_one_norm(child, infrared=infrared)


def write_onnx(
    model: nn.Module,
    path: Path,
    *,
    size: Sequence[int],
    opset: int | None = None,
    stage: Stage = quietly,
) -> None:
    """Writes ``model`` as ONNX, for any number of images.

    Args:
        model: (B, 3, H, W) → (B, D), on the processor and in evaluation mode.
        size: [height, width] of the images.
        opset: version of ONNX's operators; None: torch's usual one.
        stage: is called with the name of each stage of the work.
    Raises:
        UsageError: the packages for it are missing (names the command that installs them), or
            torch cannot write the model in this opset.
    """
    require_packages("onnx", "onnxscript")
    example = torch.zeros(2, 3, *size)  # one image would fix the number to one
    stage("tracing")
    try:
        with quiet():
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=opset and max(opset, TORCH_OPSET),
                optimize=False,  # a stage of its own
                verbose=False,
            )
            assert program is not None  # what dynamo=True returns
            stage("optimising")
            program.optimize()
    except Exception as error:  # the exporter and its converter raise errors of any type
        if opset is None:
            raise
        raise _not_in(opset, error) from error
    program.save(path)
    if opset is not None:
        _use_opset(path, opset)


def _not_in(opset: int, reason: object) -> UsageError:
    why = " ".join(str(reason).split())[:200]
    return UsageError(f"opset {opset}: this model cannot be written in it ({why}): choose another")


def _use_opset(path: Path, opset: int) -> None:
    """Makes a file say and hold what an opset asks for, with the oldest file format that has it.

    Raises:
        UsageError: the file holds operators that this opset has not.
    """
    import onnx

    model = onnx.load(path)
    (found,) = (entry for entry in model.opset_import if not entry.domain)
    if opset < TORCH_OPSET:
        _lower(model)
        found.version -= 1
    if found.version != opset:
        torch_version = torch.__version__
        raise _not_in(opset, f"torch {torch_version} writes opset {found.version} instead")
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _not_in(opset, error) from error
    onnx.save(model, path)


def _lower(model: Any) -> None:
    """Undoes what opset 18 changed: axes became an input of reductions, and Split counts its parts.

    Reductions by other than constant axes, and new operators, are left; the checker finds them.
    """
    from onnx import helper, numpy_helper

    constants = {one.name: one for one in model.graph.initializer}
    for node in model.graph.node:
        dropped = {"Split": "num_outputs"}.get(node.op_type, "noop_with_empty_axes")
        reduces = node.op_type.startswith("Reduce") and node.op_type != "ReduceSum"  # as before
        if reduces and len(node.input) == 2 and node.input[1] in constants:
            axes = numpy_helper.to_array(constants[node.input.pop()])
            node.attribute.append(helper.make_attribute("axes", axes.tolist()))
        if reduces or node.op_type == "Split":
            kept = [one for one in node.attribute if one.name != dropped]
            del node.attribute[:]
            node.attribute.extend(kept)
    used = {name for node in model.graph.node for name in node.input}
    for name in set(constants) - used:
        model.graph.initializer.remove(constants[name])


@contextmanager
def quiet() -> Iterator[None]:
    """Hides warnings of exporters for their developers; they raise errors as exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
