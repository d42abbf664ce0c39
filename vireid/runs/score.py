"""Scores of a run's model: features, protocols, results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from yacs.config import CfgNode

from vireid.config.lists import options_in_names
from vireid.config.option import Effect
from vireid.data.build import corruption_rule
from vireid.data.datasets import DATASETS
from vireid.engine.extract import labels_of
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import DataError, UsageError
from vireid.evaluation.evaluate import require_answerable
from vireid.evaluation.protocols import (
    RetrievalProtocol,
    expand,
    plain_name,
    with_corruption,
    with_draw,
)
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
    corrupted_by_query,
    features_by_query,
    records_of,
    warn_of_few_levels,
)
from vireid.runs.options import require_no_model_folder
from vireid.runs.trained_run import TrainedRun
from vireid.structures import FeatureSet, Modality, Splits
from vireid.utils.io import require_target

# Options whose change makes other scores of the same weights on the same data.
SCORING = options_in_names(Effect.FEATURES, Effect.POOLING, Effect.SCORES)
SCORING += options_in_names(Effect.ROUNDING)
CLEAN = "clean"  # kind of no corruption


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
    protocols = scored_protocols(cfg)
    trained, out = _opened(cfg, run, out, protocols)
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
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


def _opened(
    cfg: CfgNode, run: Path, out: Path | None, protocols: Sequence[RetrievalProtocol]
) -> tuple[TrainedRun, Path]:
    """A run, and the file for its results; errors as of ``score_run``."""
    if out is None:
        require_no_model_folder(run, "name the file of results with --out")
    trained = TrainedRun.open(cfg, run, protocols)
    if out is None and (other := trained.other_data(protocols)):
        raise UsageError(
            f"{other}: these are not the data of the run {run}, in whose folder are its own scores "
            "only: name a file for the results with --out"
        )
    out = out or run / ("_".join(["results", *trained.differences(SCORING)]) + ".json")
    require_target(out, inputs=[trained.path])
    if out.exists() and out.suffix != ".json":
        raise UsageError(f"{out} exists and is not a results file: name another file with --out")
    return trained, out


@dataclass(frozen=True, slots=True)
class KindScores:
    """The scores of one protocol whose images are corrupted by one kind at one severity.

    Args:
        kind: its name; ``CLEAN`` for clean images.
        severity: 1 to 5; 0 for clean images.
        mean: rank1 … mINP, as in results.json.
    """

    protocol: str
    kind: str
    severity: int
    mean: Mapping[str, float]


def score_run_by_kind(
    cfg: CfgNode, *, run: Path, out: Path | None = None, backend: Backend | None = None
) -> tuple[list[KindScores], Path]:
    """Scores a finished run by every kind of corruption and every severity.

    The corrupted images pass the model once for each of them, so 100 times by default.

    Args:
        cfg, run, out, backend: as of ``score_run``; ``TEST.CORRUPTION_*`` restricts kinds, severity
            and side.
    Returns:
        the scores, clean ones first, and a folder for them beside the file of results.
    Raises:
        CheckpointError, DataError, UsageError: as ``score_run``.
    """
    corrupted = [protocol for protocol in scored_protocols(cfg) if protocol.corrupted]
    protocols = [replace(p, name=plain_name(p.name), corrupted=False) for p in corrupted]
    trained, out = _opened(cfg, run, out, protocols)
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
    model, splits = trained.model().to(device), trained.splits
    computed: dict[str, Any] = {"device": device, "backend": backend}
    scores: list[KindScores] = []
    for held_out in dict.fromkeys(protocol.held_out for protocol in protocols):
        group = [protocol for protocol in protocols if protocol.held_out == held_out]
        scores += _scores_by_kind(cfg, model, splits, group, **computed)
    scores.sort(key=lambda one: one.kind != CLEAN)
    return scores, out.with_name(f"{out.stem}_by_kind")


def _scores_by_kind(
    cfg: CfgNode,
    model: ReidModel,
    splits: Splits,
    protocols: Sequence[RetrievalProtocol],
    **computed: Any,
) -> list[KindScores]:
    """Scores of protocols of the same images; ``computed``: as of ``features_by_query``."""
    permutations = check_answerable(protocols, splits)
    records, rule = records_of(protocols[0], splits), corruption_rule(cfg)
    modalities = [protocol.query_modality for protocol in protocols]
    clean = features_by_query(cfg, model, splits, records, query_modalities=modalities, **computed)

    def scored(features: Mapping[Modality, FeatureSet], kind: str, severity: int) -> None:
        entries = _entries(cfg, protocols, features, permutations=permutations)
        scores.extend(KindScores(p, kind, severity, one["mean"]) for p, one in entries.items())

    scores: list[KindScores] = []
    scored(clean, CLEAN, 0)
    cells = list(product(rule.fields["kinds"], rule.fields["severities"]))
    for kind, severity in tqdm(cells, desc="kinds × severities", disable=None):
        one = replace(rule, kinds=(kind,), severity=severity)
        present = {record.modality for record in records} & one.modalities
        if any(map(one.kinds_of, present)):  # saturate leaves infrared images as they are
            features = corrupted_by_query(cfg, model, splits, records, clean, one, **computed)
            scored(features, kind, severity)
    return scores


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
    """``TEST.PROTOCOLS``, or all protocols of the data set, of clean images.

    Raises:
        UsageError: one of them lacks the draw that was asked for, or cannot have two exits.
    """
    return _with_draws(cfg, [plain_name(name) for name in cfg.TEST.PROTOCOLS])


def scored_protocols(cfg: CfgNode) -> list[RetrievalProtocol]:
    """Those, and the same ones of corrupted images, as far as ``TEST`` asks for them.

    Raises:
        UsageError: see ``chosen_protocols``; also if the data set has no image to corrupt.
    """
    protocols = _with_draws(cfg, cfg.TEST.PROTOCOLS)
    if cfg.TEST.CORRUPTION != "none":
        protocols += [with_corruption(protocol) for protocol in protocols]
    rule, modalities = corruption_rule(cfg), DATASETS[cfg.DATA.DATASET].modalities
    corrupts = any(map(rule.kinds_of, modalities))
    if not corrupts and any(protocol.corrupted for protocol in protocols):
        kinds = f" with TEST.CORRUPTION_KINDS {list(rule.kinds)}" if rule.kinds else ""
        raise UsageError(
            f"TEST.CORRUPTION {cfg.TEST.CORRUPTION}{kinds} leaves every image of "
            f"{cfg.DATA.DATASET} clean: choose another modality or kind"
        )
    return list({protocol.name: protocol for protocol in protocols}.values())


def validation_protocols(cfg: CfgNode) -> list[RetrievalProtocol]:
    """By which epochs of a training are scored; none if no epoch is."""
    if not 0 < cfg.SOLVER.VAL_EVERY <= cfg.SOLVER.EPOCHS:
        return []
    return expand(["val"], DATASETS[cfg.DATA.DATASET].modalities)


def _with_draws(cfg: CfgNode, names: Sequence[str]) -> list[RetrievalProtocol]:
    """The protocols of names or, without any, of the data set, with ``TEST.GALLERY_DRAW``."""
    names = list(names) or [cfg.DATA.DATASET]
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
    """Entries of results.json, by protocol.

    Every clean image passes the model once per exit, every corrupted one, too.

    Args:
        backend: computes the features instead of torch.
    Raises:
        DataError: the data cannot answer a protocol.
    """
    rerankings, rule = chosen_rerankings(cfg), corruption_rule(cfg)
    permutations = check_answerable(protocols, splits, rerankings)
    enter = partial(_entries, cfg, permutations=permutations, rerankings=rerankings)
    results: dict[str, dict[str, Any]] = {}
    for held_out in dict.fromkeys(protocol.held_out for protocol in protocols):
        group = [protocol for protocol in protocols if protocol.held_out == held_out]
        records = records_of(group[0], splits)
        computed: dict[str, Any] = {"device": device, "backend": backend}
        modalities = [protocol.query_modality for protocol in group]
        features = features_by_query(
            cfg, model, splits, records, query_modalities=modalities, **computed
        )
        results |= enter([protocol for protocol in group if not protocol.corrupted], features)
        if corrupted := [protocol for protocol in group if protocol.corrupted]:
            features = corrupted_by_query(cfg, model, splits, records, features, rule, **computed)
            found = enter(corrupted, features)
            results |= {name: {**one, "corruption": rule.fields} for name, one in found.items()}
    return results


def _entries(
    cfg: CfgNode,
    protocols: Sequence[RetrievalProtocol],
    features: Mapping[Modality, FeatureSet],
    *,
    permutations: Permutations | None,
    rerankings: Sequence[Reranking] = (),
) -> dict[str, dict[str, Any]]:
    """Entries of results.json of features by the queries' modality.

    Protocols of equal features are scored together: they share what is costly.
    """
    entries: dict[str, dict[str, Any]] = {}
    for same in {id(found): found for found in features.values()}.values():
        asked = [protocol for protocol in protocols if features[protocol.query_modality] is same]
        if asked:
            rules: dict[str, Any] = {"metric": cfg.TEST.METRIC, "rerankings": rerankings}
            entries |= result_entries(asked, same, permutations=permutations, **rules)
    return entries
