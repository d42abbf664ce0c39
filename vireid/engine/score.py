"""A network's scores on a data set: features, protocols, results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from vireid.data.build import build_eval_loader, build_splits, prepare_data
from vireid.engine.checkpoint import load_checkpoint, load_model
from vireid.engine.device import resolve_device
from vireid.engine.extract import extract_features
from vireid.engine.run import BEST, LAST
from vireid.errors import CheckpointError, DataError
from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.gallery import Permutations, read_permutations
from vireid.evaluation.protocols import GROUPS, RetrievalProtocol, expand
from vireid.evaluation.report import results_table, summarise, write_results
from vireid.models.build import build_model
from vireid.models.reid_model import ReidModel
from vireid.structures import ImageRecord, Splits


def score_run(cfg: CfgNode, *, run: Path, out: Path) -> None:
    """Scores a finished run and writes results.json; protocols scored before are kept.

    Args:
        cfg: the run's configuration, with what the user changed.
        run: its folder.
        out: file to write.
    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another network.
        DataError: the data cannot answer a protocol, or belong to another split.
    """
    path = run / (BEST if cfg.SOLVER.SELECT == "best" else LAST)
    checkpoint = load_checkpoint(path)
    _check_split(cfg, checkpoint, path)
    if checkpoint["progress"]["epoch"] == 0:
        raise CheckpointError(f"{path} was saved before the first epoch ended: train it first")
    device = resolve_device(cfg.DEVICE)
    prepare_data(cfg)
    splits = build_splits(cfg)
    model, _ = build_model(cfg, len(checkpoint["pids"]), load_weights=False)
    load_model(model, checkpoint["model"], path)
    results = score(cfg, model.to(device), splits, chosen_protocols(cfg), device=device)
    source = source_of(cfg, run=run, epoch=checkpoint["progress"]["epoch"])
    write_results(out, {**_kept(out, source), **results}, source)
    print(f"{results_table(results)}\n\nwrote {out}")


def source_of(cfg: CfgNode, *, run: Path, epoch: int) -> dict[str, Any]:
    """The ``source`` entry of results.json: which network's which features were scored."""
    return {
        "features": None,
        "run": str(run),
        "dataset": cfg.DATA.DATASET,
        "epoch": epoch,
        "exit": "deep",
        "embedding": "global",
        "flip": cfg.TEST.FLIP,
        "input_size": list(cfg.INPUT.SIZE),
    }


def _check_split(cfg: CfgNode, checkpoint: dict[str, Any], path: Path) -> None:
    """A network scored on a split that it was not trained for has seen the test identities."""
    trained = checkpoint["split_trial"]
    if checkpoint["dataset"] == cfg.DATA.DATASET and trained not in (None, cfg.DATA.TRIAL):
        raise DataError(
            f"{path} was trained on split {trained}; scoring it on DATA.TRIAL={cfg.DATA.TRIAL} "
            "would test it on identities that it was trained with"
        )


def _kept(out: Path, source: dict[str, Any]) -> dict[str, Any]:
    """Earlier results in the same file, if they are of the same features."""
    try:
        before = json.loads(out.read_text(encoding="utf-8"))
        return before["protocols"] if before["source"] == source else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def chosen_protocols(cfg: CfgNode) -> list[RetrievalProtocol]:
    """``TEST.PROTOCOLS``, or all protocols of the data set."""
    return expand(list(cfg.TEST.PROTOCOLS) or [cfg.DATA.DATASET])


def records_of(protocol: RetrievalProtocol, splits: Splits) -> Sequence[ImageRecord]:
    """The images that a protocol is about.

    Raises:
        DataError: a validation protocol, but no identities were held out.
    """
    if protocol.name not in GROUPS["val"]:
        return splits.test
    if not splits.val:
        raise DataError(f"{protocol.name} needs validation identities: set DATA.SPLIT train")
    return splits.val


def check_answerable(protocols: Sequence[RetrievalProtocol], splits: Splits) -> None:
    """Fails before training rather than after it, when the data cannot answer a protocol.

    Raises:
        DataError: names what is missing and how to come by it.
    """
    for protocol in protocols:
        records_of(protocol, splits)
        if protocol.draw == "official" and splits.gallery_permutations is None:
            raise DataError(
                f"{protocol.name} draws its gallery by rand_perm_cam.mat, which is neither in "
                f"{splits.root / 'exp'} nor in {splits.root}: copy it there from the data set's "
                "official evaluation code (data_split/), or ask for other TEST.PROTOCOLS"
            )


def score(
    cfg: CfgNode,
    model: ReidModel,
    splits: Splits,
    protocols: Sequence[RetrievalProtocol],
    *,
    device: torch.device,
) -> dict[str, dict[str, Any]]:
    """Entries of results.json, by protocol; every image is put through the network once.

    Raises:
        DataError: the data cannot answer a protocol.
    """
    check_answerable(protocols, splits)
    permutations: Permutations | None = None
    if any(protocol.draw == "official" for protocol in protocols):
        assert splits.gallery_permutations is not None
        permutations = read_permutations(splits.gallery_permutations)
    features, results = {}, {}
    for protocol in protocols:
        records = records_of(protocol, splits)
        if id(records) not in features:
            features[id(records)] = extract_features(
                model,
                build_eval_loader(cfg, splits.root, records, device=device),
                records,
                device=device,
                mean=cfg.INPUT.MEAN,
                std=cfg.INPUT.STD,
                flip=cfg.TEST.FLIP,
            )
        trials = evaluate(
            protocol,
            features[id(records)],
            permutations=permutations,
            metric=cfg.TEST.METRIC,
        )
        results[protocol.name] = summarise(protocol, trials, metric=cfg.TEST.METRIC)
    return results
