"""A trained run: its checkpoint, its model, and the data set to use them on."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from vireid.config.lists import options_of
from vireid.config.load import flatten
from vireid.config.option import Effect
from vireid.data.build import build_splits
from vireid.data.datasets.files import fingerprint
from vireid.data.datasets.names import label_of
from vireid.engine.checkpoint import (
    BEST,
    LAST,
    load_model,
    load_trained,
    saved_options,
    unfinished,
)
from vireid.engine.model_folder import read_model_folder
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.models.build import build_model
from vireid.models.model_file import is_classifier
from vireid.models.reid_model import ReidModel
from vireid.runs.exits import embedding_name
from vireid.runs.features import records_of
from vireid.runs.names import read_training_names
from vireid.runs.rendered_data import require_rendered
from vireid.structures import Splits
from vireid.utils.paths import MODEL_FILE, expand, is_model_folder

log = logging.getLogger(__name__)

# Options that choose test images among those of one fingerprint.
CHOOSING_VALIDATION = ("DATA.SPLIT", "DATA.VAL_IDS")  # among the others
CHOOSING_TEST = tuple(
    key
    for key in options_of(Effect.DATA)
    if key not in CHOOSING_VALIDATION and not key.startswith("DATA.SYNTHETIC.")
)


def trained_path(cfg: CfgNode, run: Path) -> Path:
    """The file of a run's weights; it may be missing.

    Args:
        run: a run folder, a model folder, or a checkpoint.
    """
    if is_model_folder(run):
        return run / MODEL_FILE
    return run if run.is_file() else run / (BEST if cfg.SOLVER.SELECT == "best" else LAST)


def read_trained(cfg: CfgNode, run: Path) -> tuple[Path, dict[str, Any]]:
    """The checkpoint that is a run's result, and where it lies.

    Args:
        run: a run folder; a model folder, whose content has a checkpoint's form, without
            classifiers and the state of the training; or a checkpoint.
    Raises:
        CheckpointError: missing, damaged, or saved before the first epoch ended.
        UsageError: ``SOLVER.SELECT`` asks a model folder for another epoch than it holds.
    """
    if is_model_folder(run):
        checkpoint = read_model_folder(run)
        if cfg.SOLVER.SELECT != (held := saved_options(checkpoint)["SOLVER.SELECT"]):
            raise UsageError(f"SOLVER.SELECT {cfg.SOLVER.SELECT}: {run} holds the {held} epoch")
        return run / MODEL_FILE, checkpoint
    if run.is_dir() and not (run / LAST).parent.is_dir():
        raise CheckpointError(f"{run} holds neither {LAST}, as runs do, nor {MODEL_FILE}")
    path = trained_path(cfg, run)
    checkpoint = load_trained(path)
    if problem := unfinished(checkpoint, path):
        log.warning("%s was %s", path, problem)
    return path, checkpoint


def trained_model(cfg: CfgNode, checkpoint: Mapping[str, Any], path: Path) -> ReidModel:
    """The checkpoint's model, on the CPU.

    Raises:
        CheckpointError: the options describe another model.
    """
    use_parts = embedding_name(cfg) != "global"
    model, _ = build_model(cfg, len(checkpoint["pids"]), load_weights=False, check_parts=use_parts)
    state = checkpoint["model"]
    if path.name == MODEL_FILE:  # it has no classifiers, which features do not need
        own = model.state_dict().items()
        state = {k: torch.zeros_like(v) for k, v in own if is_classifier(k)} | state
    load_model(model, state, path)
    return model


def open_model(cfg: CfgNode, run: Path) -> tuple[ReidModel, torch.device]:
    """The model of a run, a model folder or a checkpoint, on the device of ``DEVICE``.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    path, checkpoint = read_trained(cfg, run)
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
    return trained_model(cfg, checkpoint, path).to(device), device


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run's checkpoint, and a data set: the run's own, or another.

    Args:
        cfg: the run's configuration, with what the user changed.
        path: of the checkpoint.
        data: fingerprint of the data set.
    """

    cfg: CfgNode
    path: Path
    checkpoint: Mapping[str, Any]
    splits: Splits
    data: str

    @staticmethod
    def open(cfg: CfgNode, folder: Path, protocols: Sequence[RetrievalProtocol] = ()) -> TrainedRun:
        """Reads a run's checkpoint and the data set that ``cfg`` names.

        Args:
            protocols: that the model will be scored by.
        Raises:
            CheckpointError: the checkpoint is missing or damaged.
            DataError: the model was trained on identities that it would be scored on.
        """
        path, checkpoint = read_trained(cfg, folder)
        require_rendered(cfg)
        tested = any(not protocol.held_out for protocol in protocols)
        splits = build_splits(cfg, parts=("test",) if tested else ())
        run = TrainedRun(cfg, path, checkpoint, splits, fingerprint(splits))
        run.require_unseen(folder, protocols)
        return run

    def model(self) -> ReidModel:
        """The trained model, on the CPU."""
        return trained_model(self.cfg, self.checkpoint, self.path)

    def require_unseen(self, folder: Path, protocols: Sequence[RetrievalProtocol]) -> None:
        """Raises ``DataError`` if protocols would score identities that the model trained with.

        Args:
            folder: of the run.
        """
        self._require_unseen(protocols)
        self._check_names(read_training_names(folder), protocols)

    def _check_names(
        self, trained: Collection[str], protocols: Sequence[RetrievalProtocol]
    ) -> None:
        """Of a set with names that changed since: no one who trained may be scored.

        Numbers of identities say nothing here, because new names change them. In another folder
        the same name may be another person, so that this is only a warning.

        Args:
            trained: names of the identities that trained.
        """
        if self.checkpoint["data"] == self.data or not trained:
            return
        records = [record for p in protocols for record in records_of(p, self.splits)]
        names = {self.splits.identities.get(record.pid, "") for record in records}
        seen = sorted(names & set(trained))
        before = saved_options(self.checkpoint)
        places = [expand(root).resolve() for root in (before["DATA.ROOT"], self.cfg.DATA.ROOT)]
        if seen and places[0] == places[1] and self.checkpoint["dataset"] == self.cfg.DATA.DATASET:
            raise DataError(
                f"{self.splits.root} changed since {self.path} was trained, on {len(seen)} of the "
                f"{len(names)} identities that would be scored, the first {seen[:3]}: train again, "
                "or choose test identities that are new to it"
            )
        seen = [name for name in seen if not name.isdecimal()]
        if seen:
            log.warning(
                "%d of the %d scored identities have the names of identities that trained %s, the "
                "first %s: if they are the same people, the scores will be too high",
                len(seen),
                len(names),
                self.path,
                seen[:3],
            )

    def differences(self, keys: Sequence[str]) -> list[str]:
        """Words for file names: what differs from the run's own data and options.

        Args:
            keys: options that count.
        """
        checkpoint, dataset = self.checkpoint, self.cfg.DATA.DATASET
        tags = []
        if dataset != checkpoint["dataset"]:
            tags.append(dataset)
        elif self.data != checkpoint["data"]:
            tags += [dataset, self.data[:8]]
        own, now = saved_options(checkpoint), flatten(self.cfg)
        for options in (own, now):  # an empty one is the queries'
            if options["TEST.GALLERY_EXIT"] == options["TEST.EXIT"]:
                options["TEST.GALLERY_EXIT"] = ""
            if options["TEST.CORRUPTION"] == "none":  # results.json holds both kinds of entries
                options["TEST.CORRUPTION"] = "visible"
        for key in keys:
            if now[key] != own[key]:
                values = now[key] if isinstance(now[key], list) else [now[key]]
                tags.append("-".join([key.rpartition(".")[2], *map(str, values)]).lower())
        return tags

    def other_data(self, protocols: Sequence[RetrievalProtocol]) -> str:
        """Words about data that are not the run's own, empty where they are.

        Args:
            protocols: that are scored.
        """
        checkpoint, dataset = self.checkpoint, self.cfg.DATA.DATASET
        if dataset != checkpoint["dataset"]:
            return f"{dataset} in {self.splits.root}"
        own, now = saved_options(checkpoint), flatten(self.cfg)
        held_out = any(protocol.held_out for protocol in protocols)
        keys = (*CHOOSING_TEST, *(["DATA.VAL_IDS"] if held_out else []))
        changed = [f"{key} {now[key]}" for key in keys if now[key] != own[key]]
        if changed:
            return ", ".join(changed)
        return f"other images in {self.splits.root}" if self.data != checkpoint["data"] else ""

    def _require_unseen(self, protocols: Sequence[RetrievalProtocol]) -> None:
        """A model scored on the identities that it was trained with would show its memory."""
        cfg, checkpoint, path = self.cfg, self.checkpoint, self.path
        trained = checkpoint["split_trial"]
        if checkpoint["dataset"] == cfg.DATA.DATASET and trained not in (None, cfg.DATA.TRIAL):
            raise DataError(
                f"{path} was trained on split {trained}; scoring it on DATA.TRIAL="
                f"{cfg.DATA.TRIAL} would test it on identities that it was trained with"
            )
        for protocol in protocols:
            pids = {record.pid for record in records_of(protocol, self.splits)}
            same_data = checkpoint["data"] == self.data
            seen = sorted(pids & set(checkpoint["pids"])) if same_data else []
            if seen:
                shown = [label_of(pid, self.splits.identities) for pid in seen[:3]]
                raise DataError(
                    f"{protocol.name}: {path} was trained on {len(seen)} of its {len(pids)} "
                    f"identities, the first {shown}; train with the DATA.SPLIT and "
                    "DATA.VAL_IDS that you score"
                )
