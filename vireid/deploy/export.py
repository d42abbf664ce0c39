"""Exports a run's model: files are written, compared with torch, and then published."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vireid.data.build import build_splits
from vireid.deploy.deployed_model import DeployedModel, open_torch
from vireid.deploy.extractor import Extractor
from vireid.deploy.model_files import convert_to_openvino, export_onnx, publish, streams
from vireid.deploy.preprocessing import load_resized, normalized
from vireid.deploy.quantisation import CheckImages, check_images, evenly_spaced, quantize
from vireid.deploy.verify_export import Comparison, compare, scores_of
from vireid.errors import UsageError
from vireid.runs.rendered_data import require_rendered
from vireid.utils.io import require_target, say

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
CHECKED_WITH = {"onnx": "onnxruntime", "openvino": "openvino"}  # what the files are checked with
ENOUGH = 1000  # queries: the standard error of a share of them is at most 1.6 points
SAMPLE = 64  # images of each modality whose features are compared


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


def export_model(
    trained: DeployedModel,
    targets: Mapping[tuple[str, ...], Path],
    file_format: str,
    int8: Int8 | None = None,
) -> None:
    """Writes, checks and publishes the files; prints the comparison.

    Args:
        targets: see :func:`targets_of`.
        file_format: onnx or openvino.
        int8: quantise, and publish the INT8 files.
    Raises:
        AccuracyError: INT8 loses more accuracy than allowed.
        CheckpointError: an exported model computes other features than torch.
        DataError: the data set, which INT8 needs, is missing.
        UsageError: a package is missing, or a file cannot be written.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        known, groups = trained.metadata.modalities, list(targets)
        samples = {m: check_images(trained.cfg, trained.metadata, m, SAMPLE) for m in known}
        if int8 is not None:  # scores need both modalities: the other one is for them alone
            groups += [(m,) for m in known if not any(m in group for group in targets)]
        found = {g: _exported(trained, folder, file_format, g, samples) for g in groups}
        if int8 is not None:
            found |= _quantised(trained, found, targets, file_format, int8)
        for group, target in targets.items():
            _publish(found[group], target)


def _exported(
    trained: DeployedModel,
    folder: Path,
    file_format: str,
    group: tuple[str, ...],
    samples: Mapping[str, CheckImages],
) -> Path:
    """One file in float32, compared with torch."""
    path = folder / f"{'+'.join(group)}.onnx"
    metadata = export_onnx(trained, path, group)
    if file_format == "openvino":
        convert_to_openvino(path, path.with_suffix(".xml"), metadata)
    path = path.with_suffix(SUFFIXES[file_format])
    extractor = Extractor(path, CHECKED_WITH[file_format])
    runs = open_torch(trained, device=trained.cfg.DEVICE)
    for name in group:
        images = samples[name].images
        resized = [load_resized(image, metadata.size, metadata.rule(name)) for image in images]
        expected = runs[name](normalized(resized, metadata.mean, metadata.std))
        parity = compare(expected, extractor(images, name, progress=False))
        parity.require(f"{CHECKED_WITH[file_format]} ({name} images)")
        say(f"parity with torch, {samples[name].origin}: {parity}")
    return path


def _quantised(
    trained: DeployedModel,
    exported: Mapping[tuple[str, ...], Path],
    targets: Iterable[tuple[str, ...]],
    file_format: str,
    int8: Int8,
) -> dict[tuple[str, ...], Path]:
    """INT8 files of the targets; ``exported`` holds all float32 files that the protocols need."""
    require_rendered(trained.cfg)
    splits, files = build_splits(trained.cfg), {}
    for group in targets:
        source = exported[group].with_suffix(".onnx")
        target = source.with_stem(f"{source.stem}_int8")
        metadata = trained.metadata_for(group, "int8")
        records = [r for name in group for r in evenly_spaced(splits.train, name, int8.calibration)]
        say(f"int8: ranges of {len(records)} {' and '.join(group)} training images")
        images = (
            load_resized(
                splits.root / record.path,
                metadata.size,
                metadata.rule(record.modality.name.lower()),
            )
            for record in records
        )
        inputs = (normalized([one], metadata.mean, metadata.std) for one in images)
        quantize(source, target, metadata, inputs)
        if file_format == "openvino":
            convert_to_openvino(target, target.with_suffix(".xml"), metadata)
        files[group] = target.with_suffix(SUFFIXES[file_format])
    runner = CHECKED_WITH[file_format]
    before = {name: Extractor(file, runner) for g, file in exported.items() for name in g}
    after = before | {name: Extractor(file, runner) for g, file in files.items() for name in g}
    scores = [scores_of(trained.cfg, splits, extractors) for extractors in (before, after)]
    _report(Comparison(*scores), int8)
    return files


def _report(comparison: Comparison, int8: Int8) -> None:
    """Prints the scores in float32 and INT8, and raises AccuracyError when INT8 loses too much."""
    change = "falls" if comparison.drop >= 0 else "rises"
    say(
        f"\n{comparison}\n\nrank-1 {change} by {abs(comparison.drop):.2f} points, mean over the "
        f"protocols ({comparison.queries} queries); a fall of {int8.max_drop:g} is allowed"
    )
    if comparison.queries < ENOUGH:
        say(f"warning: fewer than {ENOUGH} queries; such a drop may be chance")
    if not int8.force:
        comparison.require(int8.max_drop)


def _publish(source: Path, target: Path) -> None:
    found = Extractor(source).metadata
    for path in publish(source, target):
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    print(
        f"  {' and '.join(found.modalities)} images of {found.size[0]} × {found.size[1]} → "
        f"{found.dim} numbers; exit {found.exit}, {found.embedding}"
        f"{', mirrored too' if found.flip else ''}; {found.precision}; "
        f"model {found.fingerprint[:12]}"
    )
