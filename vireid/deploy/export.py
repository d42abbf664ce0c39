"""Exports a run's model: files are written, compared with torch, and then published."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vireid.data.build import build_splits
from vireid.deploy.deployed_model import DeployedModel, open_torch
from vireid.deploy.extractor import Extractor
from vireid.deploy.metadata import write_checksum
from vireid.deploy.model_files import convert_to_openvino, export_onnx, publish, streams
from vireid.deploy.model_folder import (
    describe_folder,
    new_folder,
    require_folder_target,
    write_model_folder,
)
from vireid.deploy.preprocessing import ImageLike, load_resized, normalized
from vireid.deploy.quantisation import check_images, evenly_spaced, quantize
from vireid.deploy.verify_export import Comparison, compare, require_distinct, scores_of
from vireid.errors import UsageError
from vireid.runs.rendered_data import require_rendered
from vireid.structures import Splits
from vireid.utils.io import require_target, say
from vireid.utils.progress import Stages

FOLDER = "safetensors"  # the format that is a folder
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
CHECKED_WITH = {"onnx": "onnxruntime", "openvino": "openvino"}  # what the files are checked with
ENOUGH = 1000  # queries: the standard error of a share of them is at most 1.6 points
SAMPLE = 64  # images of each modality whose features are compared
OLDEST_OPSET = 17


@dataclass(frozen=True, slots=True)
class Int8:
    """How to quantise.

    Args:
        calibration: training images of each modality, at most.
        max_drop: points of rank-1 that may be lost, mean over the protocols.
        force: write the files whatever they lose.
    """

    calibration: int = 300
    max_drop: float = 0.5
    force: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """Images of one modality, and their features as torch computes them.

    Args:
        features: (N, D), of unit length.
        origin: where the images come from, for messages.
    """

    images: Sequence[ImageLike]
    features: np.ndarray
    origin: str


def targets_of(
    trained: DeployedModel, file_format: str, out: Path, modality: str | None
) -> dict[tuple[str, ...], Path]:
    """The files to write, by the modalities that each is for.

    ``out`` itself where one file is enough; else ``<stem>.<modality><suffix>`` for each modality.

    Raises:
        UsageError: the model has no such modality, or a file cannot be written.
    """
    if out.suffix != SUFFIXES[file_format]:
        ending = SUFFIXES[file_format]
        raise UsageError(f"--out {out}: a file of --format {file_format} ends in {ending}")
    known = trained.metadata.modalities
    if modality is not None and modality not in known:
        raise UsageError(f"--modality {modality}: this model's are {' and '.join(known)}")
    groups = streams(trained) if modality is None else [(modality,)]
    if len(groups) == 1:
        targets = {groups[0]: out}
    else:
        targets = {group: out.with_suffix(f".{group[0]}{out.suffix}") for group in groups}
        if out.exists():  # Extractor and search would take it for this model
            names = " and ".join(target.name for target in targets.values())
            raise UsageError(
                f"--out {out}: this model becomes {names}, but {out.name} is there already: "
                "delete it, or name another file"
            )
    for target in targets.values():
        require_target(target)
        if file_format == "openvino":
            require_target(target.with_suffix(".bin"))
    return targets


def export_folder(trained: DeployedModel, run: Path, out: Path, *, overwrite: bool = False) -> None:
    """Writes, checks and publishes a model folder; prints the comparison.

    Args:
        run: the run folder or checkpoint that ``trained`` is of.
        overwrite: replace the model in ``out``.
    Raises:
        CheckpointError: the model collapsed, or the folder computes other features.
        UsageError: it cannot be written.
    """
    require_folder_target(out, overwrite=overwrite)
    known = trained.metadata.modalities
    with Stages(2 + len(known)) as stages:
        samples = _samples(trained, stages)
        with new_folder(out) as folder:
            stages("writing tensors, options and model card")
            write_model_folder(trained, run, folder, name=out.resolve().name)
            extractor = Extractor(folder, device=trained.cfg.DEVICE)
            _compare(extractor, known, samples, stages)
    say(f"{describe_folder(out)}\n  {trained.metadata.summary}")


def export_model(
    trained: DeployedModel,
    targets: Mapping[tuple[str, ...], Path],
    file_format: str,
    int8: Int8 | None = None,
    *,
    opset: int | None = None,
) -> None:
    """Writes, checks and publishes the files; prints the comparison.

    Args:
        targets: see ``targets_of``.
        file_format: onnx or openvino.
        int8: quantise, and publish the INT8 files.
        opset: version of ONNX's operators; None: torch's usual one.
    Raises:
        AccuracyError: INT8 loses more accuracy than allowed.
        CheckpointError: the model collapsed, or an exported one computes other features.
        DataError: the data set, which INT8 needs, is missing.
        UsageError: a package is missing, or a file cannot be written.
    """
    known, groups, converts = trained.metadata.modalities, list(targets), file_format == "openvino"
    if int8 is not None:  # scores need both modalities: the other one is for them alone
        groups += [(m,) for m in known if not any(m in group for group in targets)]
    count = 1 + sum(2 + converts + len(group) for group in groups)
    if int8 is not None:
        count += (1 + converts) * len(targets) + 1
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, Stages(count) as stages:
        samples, folder = _samples(trained, stages), Path(name)
        found = {}
        for group in groups:
            path = folder / f"{'+'.join(group)}.onnx"
            found[group] = _exported(trained, path, file_format, opset, stages)
            _compare(Extractor(found[group], CHECKED_WITH[file_format]), group, samples, stages)
        if int8 is not None:
            found |= _quantised(trained, found, targets, file_format, int8, stages)
        for group, target in targets.items():
            _publish(found[group], target, stages)


def _samples(trained: DeployedModel, stages: Stages) -> dict[str, Sample]:
    """The images to compare features of, by modality.

    Raises:
        CheckpointError: the model gives all of them the same feature.
    """
    stages("features by torch")
    metadata, samples = trained.metadata, {}
    for name, run in open_torch(trained, device=trained.cfg.DEVICE).items():
        chosen = check_images(trained.cfg, metadata, name, SAMPLE)
        resized = [
            load_resized(image, metadata.size, metadata.rule(name)) for image in chosen.images
        ]
        features = run(normalized(resized, metadata.mean, metadata.std))
        require_distinct(features, resized, name)
        samples[name] = Sample(chosen.images, features, chosen.origin)
    return samples


def _compare(
    extractor: Extractor, names: Iterable[str], samples: Mapping[str, Sample], stages: Stages
) -> None:
    """Compares what was exported with torch, by modality."""
    for name in names:
        sample = samples[name]
        stages(f"comparing features of {len(sample.images)} {name} images")
        parity = compare(sample.features, extractor(sample.images, name, progress=False))
        parity.require(f"{extractor.backend} ({name} images)")
        stages.print(f"parity with torch, {sample.origin}: {parity}")


def _exported(
    trained: DeployedModel, path: Path, file_format: str, opset: int | None, stages: Stages
) -> Path:
    """One file in float32.

    Args:
        path: its modalities joined by ``+``, and .onnx.
    """
    group = tuple(path.stem.split("+"))
    title = f" ({' and '.join(group)})"
    metadata = export_onnx(
        trained, path, group, opset=opset, stage=lambda stage: stages(stage + title)
    )
    if file_format == "openvino":
        stages("converting to OpenVINO" + title)
        convert_to_openvino(path, path.with_suffix(".xml"), metadata)
    written = path.with_suffix(SUFFIXES[file_format])
    write_checksum(written)
    return written


def _quantised(
    trained: DeployedModel,
    exported: Mapping[tuple[str, ...], Path],
    targets: Iterable[tuple[str, ...]],
    file_format: str,
    int8: Int8,
    stages: Stages,
) -> dict[tuple[str, ...], Path]:
    """INT8 files of the targets; ``exported`` holds all float32 files that the protocols need."""
    require_rendered(trained.cfg)
    splits, files = build_splits(trained.cfg), {}
    for group in targets:
        source = exported[group].with_suffix(".onnx")
        target = source.with_stem(f"{source.stem}_int8")
        metadata = trained.metadata_for(group, "int8")
        records = [r for name in group for r in evenly_spaced(splits.train, name, int8.calibration)]
        title = f"{' and '.join(group)} training images"
        stages(f"quantising by {len(records)} {title}")
        stages.print(f"int8: ranges of {len(records)} {title}")
        shown = tqdm(records, desc="ranges", unit="image", leave=False, disable=None)
        rules = {name: metadata.rule(name) for name in group}
        images = (
            load_resized(splits.root / r.path, metadata.size, rules[r.modality.name.lower()])
            for r in shown
        )
        inputs = (normalized([one], metadata.mean, metadata.std) for one in images)
        quantize(source, target, metadata, inputs)
        if file_format == "openvino":
            stages(f"converting to OpenVINO (int8, {' and '.join(group)})")
            convert_to_openvino(target, target.with_suffix(".xml"), metadata)
        files[group] = target.with_suffix(SUFFIXES[file_format])
        write_checksum(files[group])
    _require_accuracy(trained, splits, exported, files, int8, stages)
    return files


def _require_accuracy(
    trained: DeployedModel,
    splits: Splits,
    exported: Mapping[tuple[str, ...], Path],
    files: Mapping[tuple[str, ...], Path],
    int8: Int8,
    stages: Stages,
) -> None:
    """Scores float32 and INT8 files; raises AccuracyError when INT8 loses too much."""
    before = {name: Extractor(file) for group, file in exported.items() for name in group}
    after = before | {name: Extractor(file) for group, file in files.items() for name in group}
    stages("scoring float32 and int8")
    scores = [scores_of(trained.cfg, splits, extractors) for extractors in (before, after)]
    _report(Comparison(*scores), int8, stages)


def _report(comparison: Comparison, int8: Int8, stages: Stages) -> None:
    """Prints the scores in float32 and INT8, and raises AccuracyError when INT8 loses too much."""
    change = "falls" if comparison.drop >= 0 else "rises"
    stages.print(
        f"\n{comparison}\n\nrank-1 {change} by {abs(comparison.drop):.2f} points, mean over the "
        f"protocols ({comparison.queries} queries); a fall of {int8.max_drop:g} is allowed"
    )
    if comparison.queries < ENOUGH:
        stages.print(f"warning: fewer than {ENOUGH} queries; such a drop may be chance")
    if not int8.force:
        comparison.require(int8.max_drop)


def _publish(source: Path, target: Path, stages: Stages) -> None:
    found = Extractor(source).metadata
    for path in publish(source, target):
        stages.print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    stages.print(f"  {found.summary}")
