"""From features to entries of results.json: what scoring a run and scoring a file share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vireid.errors import DataError, UsageError
from vireid.evaluation.evaluate import evaluate_all, evaluate_reranked
from vireid.evaluation.files import read_features, read_test_ids
from vireid.evaluation.gallery import Permutations, read_permutations
from vireid.evaluation.protocols import RetrievalProtocol, expand, with_draw
from vireid.evaluation.report import (
    describe,
    read_results,
    results_table,
    summarise,
    write_results,
)
from vireid.structures import FeatureSet

RERANKED = "+rerank"


def result_entries(
    protocols: Sequence[RetrievalProtocol],
    features: FeatureSet,
    *,
    permutations: Permutations | None = None,
    metric: str = "auto",
    rerank: bool = False,
) -> dict[str, dict[str, Any]]:
    """Entries of results.json by protocol; re-ranked ones stand behind their plain ones.

    Raises:
        DataError: see :func:`evaluate_all`.
    """
    entries = {}
    scores = evaluate_all(protocols, features, permutations=permutations, metric=metric)
    for protocol in protocols:
        entries[protocol.name] = summarise(protocol, scores[protocol.name], metric=metric)
        if rerank:
            trials = evaluate_reranked(protocol, features, permutations=permutations, metric=metric)
            entry = summarise(protocol, trials, metric=metric, reranked=True)
            entries[protocol.name + RERANKED] = entry
    return entries


def score_features(
    path: Path,
    names: Sequence[str],
    *,
    metric: str = "auto",
    draw: str = "auto",
    permutations: Path | None = None,
    test_ids: Path | None = None,
    rerank: bool = False,
    out: Path | None = None,
) -> None:
    """Scores features that any code base saved, prints the rules and the scores, writes them.

    Args:
        path: a features.npz, or a folder of SYSU-MM01's official .mat files.
        names: protocols or groups.
        draw: ``auto``, ``official`` or ``seeded``.
        permutations: rand_perm_cam.mat, for the official draw.
        test_ids: file of the identities to score; all in ``path`` by default.
        out: by default results.json in the folder, or beside the file.
    Raises:
        DataError: the features are malformed or cannot answer a protocol.
        UsageError: an unknown protocol or draw, or a file that must not be written over.
    """
    try:
        protocols = [with_draw(protocol, draw) for protocol in expand(list(names))]
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not path.exists():
        raise DataError(f"features {path} do not exist: name a features.npz or a folder of .mat")
    target = out or _beside(path)
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"cannot write {target}: it must be a file in a folder that exists")
    known = None
    if permutations and any(protocol.draw == "official" for protocol in protocols):
        known = read_permutations(permutations)
    features = read_features(path, read_test_ids(test_ids) if test_ids else None)
    entries = result_entries(protocols, features, permutations=known, metric=metric, rerank=rerank)
    source = dict.fromkeys(("run", "epoch", "exit", "embedding", "flip", "input_size"))
    write_results(target, entries, {"features": str(path), **source})
    print("\n".join(describe(protocol, entries[protocol.name]) for protocol in protocols))
    print(f"\n{results_table(entries)}\n\nwrote {target}")


def _beside(path: Path) -> Path:
    """The default file, unless it holds the scores of something else."""
    target = (path if path.is_dir() else path.parent) / "results.json"
    if target.exists():
        try:
            source = read_results(target)["source"].get("features")
        except DataError:
            source = None
        if source != str(path):
            raise UsageError(f"{target} holds other scores: name another file with --out")
    return target
