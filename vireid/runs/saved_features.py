"""A trained run's features of its data set: computed once, kept in a file, reused."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from vireid.config.load import flatten
from vireid.config.schema import Effect, options_in_names
from vireid.data.build import build_splits
from vireid.data.datasets.files import fingerprint
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import DataError, UsageError
from vireid.evaluation.feature_files import read_features, read_source, write_features
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.runs.features import (
    TORCH,
    Runtime,
    backend_name,
    features_of,
    require_one_exit,
    warn_of_untrained,
)
from vireid.runs.rendered_data import prepare_data
from vireid.runs.score import check_unseen, differences, read_trained, trained_model
from vireid.structures import FeatureSet, ImageRecord, Splits
from vireid.utils.io import require_target

log = logging.getLogger(__name__)

# Options whose change makes other features of the same weights; they name the file.
NAMING = options_in_names(Effect.FEATURES) + options_in_names(Effect.POOLING)


@dataclass(frozen=True, slots=True)
class RunFeatures:
    """A run's features, and the data set that their paths belong to.

    Args:
        path: the file that holds them; None where the run's folder cannot be written.
    """

    features: FeatureSet
    splits: Splits
    path: Path | None


def save_features(
    cfg: CfgNode, *, run: Path, split: str, out: Path, runtime: Runtime | None = None
) -> None:
    """Writes features.npz of one split's images, in the order in which the data set is read.

    Args:
        cfg: the run's configuration, with what the user changed.
        split: ``test``, ``val`` or ``train``.
        runtime: what computes the features instead of torch.
    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another network.
        DataError: the split holds no image, or the network was trained on another one.
        UsageError: ``out`` cannot be written, or features of two exits were asked for.
    """
    require_one_exit(cfg)
    require_target(out)
    if out.exists() and out.suffix != ".npz":
        raise UsageError(f"{out} exists and is no file of features: name another one with --out")
    wanted = _Wanted.of(cfg, run, split)
    features = wanted.extract(cfg, runtime)
    backend = backend_name(runtime)
    source = wanted.source | ({} if backend == TORCH else {"backend": backend})
    write_features(out, features, source=source)
    count, length = features.features.shape
    print(f"wrote {out}: {count} images, {length} numbers each, by {backend}")


def run_features(
    cfg: CfgNode,
    *,
    run: Path,
    split: str = "test",
    protocols: Sequence[RetrievalProtocol] = (),
) -> RunFeatures:
    """A run's features from its folder; made, and kept there, if there are none of this network.

    ``features.npz`` is the run's own test features; other splits and options are named by their
    difference. A file tells what it was made of: after the checkpoint, the data or an option has
    changed it is made anew.

    Args:
        protocols: that the features are to be searched by: not about identities that trained.
    Raises:
        CheckpointError, DataError, UsageError: see :func:`save_features`.
    """
    require_one_exit(cfg)
    wanted = _Wanted.of(cfg, run, split, protocols)
    path = run / wanted.name
    source = read_source(path)
    if source == wanted.source:
        return RunFeatures(read_features(path), wanted.splits, path)
    if source is None:
        _require_no_features(path)
    features = wanted.extract(cfg)
    try:
        write_features(path, features, source=wanted.source)
    except UsageError as error:
        log.warning("the features will have to be made again: %s", error)
        return RunFeatures(features, wanted.splits, None)
    print(f"wrote {path}: {len(features)} images")
    return RunFeatures(features, wanted.splits, path)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What features are to be made of.

    Args:
        name: file name that tells what differs from the run's own test features.
        source: what decides them: the checkpoint's digest, the data's, and options.
    """

    path: Path
    checkpoint: Mapping[str, Any]
    splits: Splits
    split: str
    name: str
    source: dict[str, Any]

    @staticmethod
    def of(
        cfg: CfgNode, run: Path, split: str, protocols: Sequence[RetrievalProtocol] = ()
    ) -> _Wanted:
        path, checkpoint = read_trained(cfg, run)
        prepare_data(cfg)
        splits = build_splits(cfg)
        data = fingerprint(splits)
        check_unseen(cfg, checkpoint, protocols, splits, data=data, path=path)
        tags = ([] if split == "test" else [split]) + differences(cfg, checkpoint, data, NAMING)
        name = "_".join(["features", *tags]) + ".npz"
        options = flatten(cfg)
        data_options = options_in_names(Effect.DATA)
        network = [key for key in options if key.startswith("MODEL.")]
        source = {
            "checkpoint": hashlib.sha256(path.read_bytes()).hexdigest(),
            "data": data,
            "split": split,
            "options": {key: options[key] for key in (*data_options, *network, *NAMING)},
        }
        return _Wanted(path, checkpoint, splits, split, name, source)

    def extract(self, cfg: CfgNode, runtime: Runtime | None = None) -> FeatureSet:
        records = self._records()
        use_threads(cfg.THREADS)
        device = resolve_device(cfg.DEVICE)
        warn_of_untrained(cfg)
        model = trained_model(cfg, self.checkpoint, self.path).to(device)
        return features_of(cfg, model, self.splits, records, device=device, runtime=runtime)

    def _records(self) -> Sequence[ImageRecord]:
        splits = self.splits
        records = {"test": splits.test, "val": splits.val, "train": splits.train}[self.split]
        if not records:
            raise DataError(
                f"{splits.root}: no {self.split} image; DATA.SPLIT train holds some out"
            )
        return records


def _require_no_features(path: Path) -> None:
    """Somebody else's features are not overwritten; half a file is nobody's."""
    if path.exists():
        try:
            read_features(path)
        except DataError:
            return
        raise UsageError(
            f"{path} does not tell what its features were made of, so they may not be this run's: "
            "move it elsewhere, or name it in place of the run"
        )
