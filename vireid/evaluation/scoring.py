"""From features to entries of results.json: what scoring a run and scoring a file share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vireid.errors import DataError, UsageError
from vireid.evaluation.evaluate import evaluate_all, evaluate_reranked
from vireid.evaluation.files import read_features, read_test_ids
from vireid.evaluation.gallery import Permutations, read_permutations, require_complete
from vireid.evaluation.output import require_target
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
    target = out or path_of_results(path)
    require_target(target, inputs=[p for p in (path, permutations, test_ids) if p])
    if target.exists() and not _is_about(target, path):
        raise UsageError(f"{target} holds something else: name another file with --out")
    known = None
    if permutations and any(protocol.draw == "official" for protocol in protocols):
        known = read_permutations(permutations)
    features = read_features(path, read_test_ids(test_ids) if test_ids else None)
    for protocol in protocols:
        require_complete(protocol, features, known)
    entries = result_entries(protocols, features, permutations=known, metric=metric, rerank=rerank)
    source: dict[str, Any] = dict.fromkeys(
        ("run", "epoch", "exit", "embedding", "flip", "input_size")
    )
    source |= {"features": str(path.resolve()), "digest": _digest(features)}
    before = read_results(target) if target.exists() else {}
    kept = before["protocols"] if before and before["source"] == source else {}
    write_results(target, {**kept, **entries}, source)
    print("\n".join(describe(protocol, entries[protocol.name]) for protocol in protocols))
    print(f"\n{results_table(entries)}\n\nwrote {target}")


def path_of_results(features: Path) -> Path:
    """results.json in the folder of features, or beside the file."""
    return (features if features.is_dir() else features.parent) / "results.json"


def _digest(features: FeatureSet) -> str:
    """Of the features and whose they are: a file made anew has other scores."""
    digest = hashlib.sha256()
    known = (features.features, features.pids, features.camids, features.modality)
    for array in (*known, features.role, features.test_list):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _is_about(results: Path, features: Path) -> bool:
    """Whether a file holds scores of what lies at this path."""
    try:
        named = read_results(results)["source"].get("features")
    except DataError:
        return False
    return named == str(features.resolve())
