"""Scores of a run's model: features, protocols, results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from vireid.config.schema import Effect, options_in_names
from vireid.data.datasets import DATASETS
from vireid.engine.extract import labels_of
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import DataError, UsageError
from vireid.evaluation.evaluate import require_answerable
from vireid.evaluation.protocols import RetrievalProtocol, expand, with_draw
from vireid.evaluation.query_gallery import Permutations, read_permutations, require_complete
from vireid.evaluation.reranking.methods import METHODS, Reranking, reranking
from vireid.evaluation.results import (
    beside,
    describe_all,
    read_results,
    result_entries,
    results_table,
    write_results,
)
from vireid.models.reid_model import ReidModel
from vireid.runs.exits import embedding_name, exit_names, require_two_modalities, warn_of_untrained
from vireid.runs.features import (
    TORCH,
    Backend,
    backend_name,
    features_by_query,
    records_of,
    warn_of_few_levels,
)
from vireid.runs.options import require_no_model_folder
from vireid.runs.trained_run import TrainedRun
from vireid.structures import Splits
from vireid.utils.io import require_target

# Options whose change makes other scores of the same weights on the same data.
SCORING = options_in_names(Effect.FEATURES, Effect.POOLING, Effect.SCORES)
SCORING += options_in_names(Effect.ROUNDING)


def score_run(
    cfg: CfgNode, *, run: Path, out: Path | None = None, backend: Backend | None = None
) -> None:
    """Scores a finished run and writes its results; protocols scored before are kept.

    Args:
        cfg: the run's configuration, with what the user changed.
        run: its folder.
        out: file to write; by default ``results.json`` in the run folder for what the run itself
            scores, and a file beside it, named by the difference, for other options. Other data
            than the run's need one.
        backend: computes the features instead of torch.
    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another model.
        DataError: the data cannot answer a protocol, or the model was trained on them.
        UsageError: ``out`` cannot be written, or is needed.
    """
    if out is None:
        require_no_model_folder(run, "name the file of results with --out")
    protocols = chosen_protocols(cfg)
    trained = TrainedRun.open(cfg, run, protocols)
    if out is None and (other := trained.other_data()):
        raise UsageError(
            f"{other}: these are not the data of the run {run}, in whose folder are its own scores "
            "only: name a file for the results with --out"
        )
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
    out = out or run / ("_".join(["results", *trained.differences(SCORING)]) + ".json")
    require_target(out, inputs=[trained.path])
    if out.exists() and out.suffix != ".json":
        raise UsageError(f"{out} exists and is not a results file: name another file with --out")
    warn_of_untrained(cfg)
    model, splits = trained.model().to(device), trained.splits
    warn_of_few_levels(cfg, splits.root, splits.test)
    results = score(cfg, model, splits, protocols, device=device, backend=backend)
    used = backend_name(backend)
    epoch = trained.checkpoint["progress"]["epoch"]
    source = source_of(cfg, run=run, epoch=epoch, data=trained.data, backend=used)
    write_results(out, beside(_kept(out, source), results), source)
    print("\n".join(describe_all(protocols, results)))
    print(f"\n{results_table(results)}\n\nfeatures by {used}; wrote {out}")


def source_of(
    cfg: CfgNode, *, run: Path, epoch: int, data: str, backend: str = TORCH
) -> dict[str, Any]:
    """The ``source`` entry of results.json: which model's features of which images were scored.

    Args:
        data: fingerprint of the data set.
        backend: what computed the features.
    """
    return {
        "features": None,
        "run": str(run),
        "dataset": cfg.DATA.DATASET,
        "data": data,
        "epoch": epoch,
        "exit": exit_names(cfg),
        "embedding": embedding_name(cfg),
        "flip": cfg.TEST.FLIP,
        "input_size": list(cfg.INPUT.SIZE),
        "backend": backend,
        **({"frames": cfg.DATA.FRAMES} if DATASETS[cfg.DATA.DATASET].tracks else {}),
        **reader_options(cfg),
    }


def reader_options(cfg: CfgNode) -> dict[str, Any]:
    """What else than the images' fingerprint decides which of them are scored, if anything."""
    names = DATASETS[cfg.DATA.DATASET].options.values()
    return {"options": {f"DATA.{name}": cfg.DATA[name] for name in names}} if names else {}


def _kept(out: Path, source: Mapping[str, Any]) -> dict[str, Any]:
    """Earlier results in the same file, if they are of the same features."""
    try:
        before = read_results(out)
    except DataError:
        return {}
    own = {"backend": TORCH, **before["source"], "run": source["run"]}  # older, or moved
    protocols: dict[str, Any] = before["protocols"]
    return protocols if own == source else {}


def chosen_protocols(cfg: CfgNode) -> list[RetrievalProtocol]:
    """``TEST.PROTOCOLS``, or all protocols of the data set, with the draw that was asked for.

    Raises:
        UsageError: one of them has no such draw, or cannot have two exits.
    """
    names = list(cfg.TEST.PROTOCOLS) or [cfg.DATA.DATASET]
    protocols = expand(names, DATASETS[cfg.DATA.DATASET].modalities)
    require_two_modalities(cfg, protocols)
    return [with_draw(protocol, cfg.TEST.GALLERY_DRAW) for protocol in protocols]


def chosen_rerankings(cfg: CfgNode) -> list[Reranking]:
    """The methods that ``TEST`` asks for, with their constants.

    Raises:
        UsageError: a constant is out of range.
    """
    return [
        reranking(name, {c.name: cfg.TEST[f"{name}_{c.name}".upper()] for c in method.constants})
        for name, method in METHODS.items()
        if cfg.TEST[name.upper()]
    ]


def check_answerable(
    protocols: Sequence[RetrievalProtocol],
    splits: Splits,
    rerankings: Sequence[Reranking] = (),
) -> Permutations | None:
    """Draws every gallery once without features: fails before training rather than after it.

    Args:
        rerankings: of all these protocols.
    Returns:
        the official permutations, if a protocol draws by them.
    Raises:
        DataError: names what is missing and how to come by it.
    """
    permutations = None
    if any(protocol.draw == "official" for protocol in protocols):
        if splits.gallery_permutations is None:
            raise DataError(
                "the gallery is drawn by SYSU-MM01's rand_perm_cam.mat, which is neither in "
                f"{splits.root / 'exp'} nor in {splits.root}: copy it there from SYSU-MM01's "
                "official evaluation code (data_split/), or draw single-shot galleries by the "
                "seeded rule (TEST.GALLERY_DRAW seeded); other sets have other TEST.PROTOCOLS"
            )
        permutations = read_permutations(splits.gallery_permutations)
    for protocol in protocols:
        images = labels_of(records_of(protocol, splits))
        require_complete(protocol, images, permutations)
        require_answerable(protocol, images, permutations=permutations, rerankings=rerankings)
    return permutations


def score(
    cfg: CfgNode,
    model: ReidModel,
    splits: Splits,
    protocols: Sequence[RetrievalProtocol],
    *,
    device: torch.device,
    backend: Backend | None = None,
) -> dict[str, dict[str, Any]]:
    """Entries of results.json, by protocol; every image passes the model once per exit.

    Args:
        backend: computes the features instead of torch.
    Raises:
        DataError: the data cannot answer a protocol.
    """
    rerankings = chosen_rerankings(cfg)
    permutations = check_answerable(protocols, splits, rerankings)
    results: dict[str, dict[str, Any]] = {}
    for held_out in dict.fromkeys(protocol.held_out for protocol in protocols):
        group = [protocol for protocol in protocols if protocol.held_out == held_out]
        features = features_by_query(
            cfg,
            model,
            splits,
            records_of(group[0], splits),
            device=device,
            query_modalities=[protocol.query_modality for protocol in group],
            backend=backend,
        )
        # Protocols of equal features are scored together: they share what is costly.
        for same in {id(found): found for found in features.values()}.values():
            results |= result_entries(
                [protocol for protocol in group if features[protocol.query_modality] is same],
                same,
                permutations=permutations,
                metric=cfg.TEST.METRIC,
                rerankings=rerankings,
            )
    return results
