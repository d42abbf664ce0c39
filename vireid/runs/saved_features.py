"""Features of a run that are kept in a file and used again."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from vireid.config.lists import options_in_names
from vireid.config.load import flatten
from vireid.config.option import Effect
from vireid.data.build import corruption_rule
from vireid.data.corruptions.draw import CorruptionRule
from vireid.engine.checkpoint import saved_options
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import DataError, UsageError
from vireid.evaluation.feature_files import read_features, read_source, write_features
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.evaluation.results import corruption_text
from vireid.runs.exits import require_one_exit, warn_of_untrained
from vireid.runs.features import (
    TORCH,
    Backend,
    backend_name,
    features_of,
    records_in,
    warn_of_few_levels,
)
from vireid.runs.names import write_names
from vireid.runs.trained_run import TrainedRun
from vireid.structures import FeatureSet, Splits
from vireid.utils.io import require_target
from vireid.utils.paths import is_model_folder

log = logging.getLogger(__name__)

# Options whose change makes other features of the same weights; they name the file.
NAMING = options_in_names(Effect.FEATURES) + options_in_names(Effect.POOLING)


@dataclass(frozen=True, slots=True)
class RunFeatures:
    """A run's features, and the data set that their paths belong to.

    Args:
        path: the file that holds them; None for a model folder, or where the run's folder cannot
            be written.
    """

    features: FeatureSet
    splits: Splits
    path: Path | None


def save_features(
    cfg: CfgNode, *, run: Path, split: str, out: Path, backend: Backend | None = None
) -> None:
    """Writes features.npz of one split's images, in the order in which the data set is read.

    ``TEST.CORRUPTION`` corrupts the images first, and the file says so.

    Beside it, ``<stem>_identities.csv`` and ``<stem>_cameras.csv`` for a set that names them.

    Args:
        cfg: the run's configuration, with what the user changed.
        split: ``test``, ``val`` or ``train``.
        backend: computes the features instead of torch.
    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another model.
        DataError: the split holds no image, or the model was trained on another one.
        UsageError: ``out`` cannot be written, or features of two exits were asked for.
    """
    require_one_exit(cfg)
    require_target(out)
    if out.exists() and out.suffix != ".npz":
        raise UsageError(f"{out} exists and is not a feature file: name another file with --out")
    trained = TrainedRun.open(cfg, run)
    rule = None if cfg.TEST.CORRUPTION == "none" else corruption_rule(cfg)
    features = _compute(trained, split, backend, rule)
    used = backend_name(backend)
    source = _source(trained, split) | ({} if used == TORCH else {"backend": used})
    source |= {"corruption": rule.fields} if rule else {}
    write_features(out, features, source=source)
    named = write_names(out.parent, trained.splits, stem=f"{out.stem}_")
    count, length = features.features.shape
    rows = f"{count} {features.unit}s, {length} numbers each, by {used}"
    print(f"wrote {out}: {rows}" + corruption_text(source))
    if named:
        print(f"wrote {' and '.join(map(str, named))}: the names of pids and camids")


def run_features(
    cfg: CfgNode, *, run: Path, split: str = "test", protocols: Sequence[RetrievalProtocol] = ()
) -> RunFeatures:
    """A run's features from its folder; computed and kept there if the folder lacks them.

    They are those of clean images.

    ``features.npz`` holds the run's own test features; the names of other files show which split
    and options differ. Each file records its source (checkpoint, data, options); features of
    another source are computed again.

    Args:
        protocols: that will score the features; none may be about identities that trained.
    Raises:
        CheckpointError, DataError, UsageError: see ``save_features``.
    """
    require_one_exit(cfg)
    trained = TrainedRun.open(cfg, run, protocols)
    _require_clean(trained)
    if is_model_folder(run):  # what people publish: nothing is kept in it
        return RunFeatures(_compute(trained, split), trained.splits, None)
    path = _place(trained, run, split)
    if kept := _kept(trained, path, split):
        return kept
    if read_source(path) is None:
        _require_no_features(path)
    features = _compute(trained, split)
    try:
        write_features(path, features, source=_source(trained, split))
    except UsageError as error:
        log.warning("the features must be computed again next time: %s", error)
        return RunFeatures(features, trained.splits, None)
    print(f"wrote {path}: {len(features)} images")
    return RunFeatures(features, trained.splits, path)


def kept_features(
    cfg: CfgNode, *, run: Path, split: str = "test", protocols: Sequence[RetrievalProtocol] = ()
) -> RunFeatures | None:
    """A run's features from its folder; None where it lacks them. Nothing is computed.

    Args, Raises: see :func:`run_features`.
    """
    require_one_exit(cfg)
    trained = TrainedRun.open(cfg, run, protocols)
    _require_clean(trained)
    return _kept(trained, _place(trained, run, split), split)


def _place(trained: TrainedRun, run: Path, split: str) -> Path:
    """The file in a run's folder for features of a split, with the options that differ."""
    tags = ([] if split == "test" else [split]) + trained.differences(NAMING)
    return run / ("_".join(["features", *tags]) + ".npz")


def _kept(trained: TrainedRun, path: Path, split: str) -> RunFeatures | None:
    """The features in a file, if they are of this checkpoint, these images and options."""
    if read_source(path) != _source(trained, split):
        return None
    features = _own_features(path, trained.splits, split)
    return RunFeatures(features, trained.splits, path) if features else None


def _own_features(path: Path, splits: Splits, split: str) -> FeatureSet | None:
    """The features in a file, unless another choice of test identities has put others there."""
    features = read_features(path)
    paths = [record.path for record in records_in(splits, split)]
    return features if features.paths.tolist() == paths else None


def _source(trained: TrainedRun, split: str) -> dict[str, Any]:
    """What the features depend on: the checkpoint's checksum, the data's, and options."""
    options = flatten(trained.cfg)
    model = [key for key in options if key.startswith("MODEL.")]
    keys = (*options_in_names(Effect.DATA), *model, *NAMING)
    return {
        "checkpoint": hashlib.sha256(trained.path.read_bytes()).hexdigest(),
        "data": trained.data,
        "split": split,
        "options": {key: options[key] for key in keys},
    }


def _require_clean(trained: TrainedRun) -> None:
    """Raises ``UsageError`` if corrupted images were asked for, where clean ones are used."""
    side = trained.cfg.TEST.CORRUPTION
    if side not in ("none", saved_options(trained.checkpoint)["TEST.CORRUPTION"]):
        raise UsageError(
            f"TEST.CORRUPTION {side}: features that this tool keeps in the run folder are of clean "
            f"images; write corrupted ones with the extract tool (TEST.CORRUPTION {side} --out "
            "FILE), and name that file in place of the run"
        )


def _compute(
    trained: TrainedRun,
    split: str,
    backend: Backend | None = None,
    corruption: CorruptionRule | None = None,
) -> FeatureSet:
    cfg, splits = trained.cfg, trained.splits
    records = records_in(splits, split)
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
    warn_of_untrained(cfg)
    warn_of_few_levels(cfg, splits.root, records)
    model = trained.model().to(device)
    return features_of(
        cfg, model, splits, records, device=device, backend=backend, corruption=corruption
    )


def _require_no_features(path: Path) -> None:
    """Refuses to overwrite features of unknown source; a damaged file may be overwritten."""
    if path.exists():
        try:
            read_features(path)
        except DataError:
            return
        raise UsageError(
            f"{path} does not record what its features were computed from, so they may not be "
            "this run's: move it elsewhere, or name it in place of the run"
        )
