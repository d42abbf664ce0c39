"""results.json and the tables made of it; the only place where fractions become percentages."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vireid.errors import DataError, UsageError
from vireid.evaluation.distance import collapse_problem
from vireid.evaluation.evaluate import (
    TrialScores,
    evaluate_all,
    evaluate_given,
    evaluate_reranked,
)
from vireid.evaluation.feature_files import (
    FeatureFile,
    read_feature_file,
    read_source,
    read_test_ids,
)
from vireid.evaluation.protocols import RetrievalProtocol, expand, plain_name, with_draw
from vireid.evaluation.query_gallery import (
    Permutations,
    left_out_counts,
    read_permutations,
    require_complete,
)
from vireid.evaluation.reranking.methods import METHODS, Reranking, parse_name, rule_notes, rule_of
from vireid.structures import FeatureSet, Modality
from vireid.utils.io import require_target, write_text
from vireid.utils.tables import markdown

log = logging.getLogger(__name__)

FORMAT = 1
LARGEST_SCORE = 1 + 1e-9  # the mean of ones may be rounded up
OF_A_RUN = ("run", "epoch", "exit", "embedding", "flip", "input_size")  # not known of a file
COLUMNS = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")


def summarise(
    protocol: RetrievalProtocol,
    trials: Sequence[TrialScores],
    *,
    metric: str = "auto",
    reranking: Reranking | None = None,
) -> dict[str, Any]:
    """One protocol's entry of results.json: rules, counts, mean, population std, every trial."""
    metric = protocol.metric if metric == "auto" else metric
    table = {name: np.array([trial.metrics[name] for trial in trials]) for name in COLUMNS}
    length = min(len(trial.cmc) for trial in trials)
    cmc = np.mean([trial.cmc[:length] for trial in trials], axis=0)
    return {
        "gallery_draw": protocol.draw,
        "metric": reranking.metric_of(metric) if reranking else metric,
        "reranked": reranking is not None,
        **(reranking.fields if reranking else {}),
        "cmc_unit": protocol.cmc_unit,
        "num_query": trials[0].num_query,
        "num_valid_query": trials[0].num_valid_query,
        "num_gallery": trials[0].num_gallery,
        "mean": {name: float(values.mean()) for name, values in table.items()},
        "std": {name: float(values.std()) for name, values in table.items()},
        "trials": [dict(trial.metrics) for trial in trials],
        "cmc": [float(value) for value in cmc],
    }


def write_results(
    path: Path, protocols: Mapping[str, Mapping[str, Any]], source: Mapping[str, Any]
) -> None:
    """Writes results.json.

    Raises:
        UsageError: it cannot be written.
    """
    content = {"format": FORMAT, "protocols": dict(protocols), "source": dict(source)}
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def beside(
    before: Mapping[str, Mapping[str, Any]], entries: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Earlier entries of the same features, and new ones.

    Re-ranked entries whose plain ones were now scored with another draw or metric are left out:
    only entries of the same rules may be side by side.
    """

    def agrees(name: str, entry: Mapping[str, Any]) -> bool:
        plain, method = parse_name(name)
        if not method or plain not in entries:
            return True
        now = entries[plain]
        rules = now["gallery_draw"], METHODS[method].metric or now["metric"]
        return (entry.get("gallery_draw"), entry.get("metric")) == rules

    return {**{name: one for name, one in before.items() if agrees(name, one)}, **entries}


def read_results(path: Path) -> dict[str, Any]:
    """The content of a results.json.

    Raises:
        DataError: missing, damaged, or of something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or not isinstance(content["protocols"], dict):
            raise ValueError(f"format {content['format']}, not {FORMAT}")
        for entry in content["protocols"].values():
            if not all(is_score(entry["mean"][column]) for column in COLUMNS):
                raise ValueError("scores that are not numbers from 0 to 1")
        return {**content, "source": dict(content["source"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path} holds no results ({type(error).__name__}: {error!s:.200}): let the run "
            "finish, or score it with the evaluate tool"
        ) from error


def is_score(value: object) -> bool:
    """Whether a value of results.json is a fraction: JSON may also hold NaN and huge numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 <= value <= LARGEST_SCORE


def require_curve(path: Path, protocol: str, entry: Mapping[str, Any]) -> None:
    """Raises :class:`DataError` if an entry of results.json holds no CMC curve."""
    curve = entry.get("cmc")
    if not isinstance(curve, list) or not curve or not all(map(is_score, curve)):
        raise DataError(
            f"{path}: the curve of {protocol} is missing or holds something else than numbers from "
            "0 to 1: score the run again with the evaluate tool"
        )


def describe(protocol: RetrievalProtocol, entry: Mapping[str, Any]) -> str:
    """One line: a protocol's query and gallery images, its rules, and the numbers of images."""
    drawn = _drawn(protocol, len(entry["trials"]))
    unit = "tracks" if entry["cmc_unit"] == "track" else "images"
    selection = f" (test list {protocol.test_list})" if protocol.test_list else ""
    if protocol.by_role:
        sides = ["query", "gallery"]
        first, second = sides[::-1] if protocol.roles_exchanged else sides
        selection = f" ({first} {unit} → {second} {unit})"
    removed = [f"camera {g} for queries of camera {q}" for q, g in protocol.ignored_cameras]
    removed += ["same identity and same camera"] if protocol.drops_own_camera else []
    return (
        f"{protocol.name}: "
        f"{_images(protocol.query_modality, protocol.query_cameras)} → "
        f"{_images(protocol.gallery_modality, protocol.gallery_cameras)}{selection}; "
        f"gallery: {drawn}; "
        f"left out: {', '.join(sorted(removed)) or 'nothing'}; metric: {entry['metric']}; CMC "
        f"counts: {entry['cmc_unit']}; {entry['num_valid_query']} of {entry['num_query']} queries "
        f"answerable, {entry['num_gallery']} gallery {unit}"
        + _left_out(entry)
        + corruption_text(entry)
    )


def describe_all(
    protocols: Sequence[RetrievalProtocol], entries: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """A line on each protocol, and one on each re-ranking that entries have."""
    lines = [describe(protocol, entries[protocol.name]) for protocol in protocols]
    return lines + rule_notes((name, rule_of(name, one)) for name, one in entries.items())


def corruption_text(entry: Mapping[str, Any]) -> str:
    """Words on how the images of an entry were corrupted; empty for clean ones."""
    rule = entry.get("corruption")
    if not rule:
        return ""
    side = "all" if rule["side"] == "both" else rule["side"]
    kinds, levels = rule["kinds"], rule["severities"]
    which = kinds[0] if len(kinds) == 1 else f"one of {len(kinds)} kinds"
    severity = f"{levels[0]}" if len(levels) == 1 else f"{levels[0]} to {levels[-1]}"
    resized = ", resized first," if rule.get("resized_first") else ""
    return (
        f"; {side} images{resized} corrupted, each by {which} at severity {severity}, drawn by "
        f"seed {rule['seed']} and path"
    )


def _left_out(entry: Mapping[str, Any]) -> str:
    """Words on images that show no identity; empty where there are none."""
    junk, distractors = entry.get("num_junk", 0), entry.get("num_distractor", 0)
    text = f"; {junk} junk images (negative identities) in no list" if junk else ""
    return text + (f"; {distractors} distractors (identity 0), no queries" if distractors else "")


def _drawn(protocol: RetrievalProtocol, trials: int) -> str:
    if protocol.undrawn_are_queries:
        return (
            "one image per identity, drawn by NumPy's generator, seeded with 0, 1, …, "
            f"{trials} trials; all others are queries"
        )
    if protocol.draws_queries:
        return (
            "every image; queries: drawn by Python's generator, seeded with 0, 1, …, "
            f"{protocol.shots} per identity and camera, {trials} trials"
        )
    text = {
        "official": "drawn by the official permutations",
        "seeded": "drawn by Python's generator, seeded with 0, 1, …",
        "all": "every track" if protocol.cmc_unit == "track" else "every image",
        "given": "the gallery images that the file lists, 1 trial",
    }[protocol.draw]
    if protocol.shots:
        text += f", {protocol.shots} per identity and camera, {trials} trials"
    return text


def _images(modality: Modality, cameras: frozenset[int]) -> str:
    names = ", ".join(map(str, sorted(cameras)))
    return modality.name.lower() + (f" (cameras {names})" if names else "")


def results_table(protocols: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table in per cent, mean ± std over the gallery trials where there are several."""
    rows = [
        {"protocol": name}
        | {column: _percent(entry, column) for column in COLUMNS}
        | {"queries": _queries(entry), "gallery": str(entry["num_gallery"])}
        for name, entry in protocols.items()
    ]
    return markdown(rows)


def _percent(entry: Mapping[str, Any], column: str) -> str:
    mean = f"{100 * entry['mean'][column]:.2f}"
    return mean if len(entry["trials"]) == 1 else f"{mean} ± {100 * entry['std'][column]:.2f}"


def _queries(entry: Mapping[str, Any]) -> str:
    total, scored = entry["num_query"], entry["num_valid_query"]
    return str(total) if total == scored else f"{scored} of {total}"


def result_entries(
    protocols: Sequence[RetrievalProtocol],
    features: FeatureSet,
    *,
    permutations: Permutations | None = None,
    metric: str = "auto",
    rerankings: Sequence[Reranking] = (),
) -> dict[str, dict[str, Any]]:
    """Entries of results.json by protocol; re-ranked ones follow their plain ones.

    Raises:
        DataError: see ``evaluate_all`` and ``evaluate_reranked``.
    """
    if problem := collapse_problem(features.features):
        log.warning(
            "the model gives every image the same feature (%s): these scores are chance", problem
        )
    entries = {}
    if features.tracks is not None:  # val_v2i counts what the data set consists of
        units = {"image": "track"}
        protocols = [replace(p, cmc_unit=units.get(p.cmc_unit, p.cmc_unit)) for p in protocols]
    scores = evaluate_all(protocols, features, permutations=permutations, metric=metric)
    for protocol in protocols:
        counts = left_out_counts(protocol, features)
        entries[protocol.name] = summarise(protocol, scores[protocol.name], metric=metric) | counts
        for one in rerankings:
            rules: dict[str, Any] = {"permutations": permutations, "metric": metric}
            trials = evaluate_reranked(protocol, features, one, **rules)
            entry = summarise(protocol, trials, metric=metric, reranking=one)
            entries[protocol.name + one.suffix] = entry | counts
    return entries


def score_features(
    path: Path,
    names: Sequence[str],
    *,
    metric: str = "auto",
    draw: str = "auto",
    permutations: Path | None = None,
    test_ids: Path | None = None,
    rerankings: Sequence[Reranking] = (),
    out: Path | None = None,
) -> None:
    """Scores features that any code base saved, prints the rules and the scores, writes them.

    Args:
        path: a features.npz, arrays of query and gallery images, or a folder of SYSU-MM01's
            official .mat files; see ``read_feature_file``.
        names: protocols or groups.
        metric: ``cosine``, ``euclidean``, ``auto`` for the protocol's own, or ``given`` for the
            file's matrix of distances, which is also used where it holds no features.
        draw: ``auto``, ``official``, ``seeded`` or ``given``.
        permutations: rand_perm_cam.mat, for the official draw.
        test_ids: file of the identities to score; all in ``path`` by default.
        rerankings: also score these.
        out: by default results.json in the folder, or beside the file.
    Raises:
        DataError: the features are malformed or cannot answer a protocol.
        UsageError: an unknown protocol or draw, or a file that must not be written over.
    """
    protocols = _chosen(names, draw)
    if not path.exists():
        raise DataError(f"features {path} do not exist: name a features.npz or a folder of .mat")
    target = out or (path if path.is_dir() else path.parent) / "results.json"
    require_target(target, inputs=[p for p in (path, permutations, test_ids) if p])
    before = _results_before(target, path)
    official = any(protocol.draw == "official" for protocol in protocols)
    known = read_permutations(permutations) if permutations and official else None
    corruption = _corruption_of(path, protocols)
    held = read_feature_file(path)
    if line := held.describe():
        print(line)
    held = held.subset(read_test_ids(test_ids)) if test_ids else held
    features, protocols = held.for_protocols(protocols)
    for protocol in protocols:
        require_complete(protocol, features, known)
    distances = _given_distances(held, metric, [one.method for one in rerankings])
    if distances is None:
        rules: dict[str, Any] = {"metric": metric, "rerankings": rerankings}
        entries = result_entries(protocols, features, permutations=known, **rules)
    else:
        entries = given_entries(protocols, features, distances, permutations=known)
    entries = {name: {**entry, **corruption} for name, entry in entries.items()}
    source: dict[str, Any] = dict.fromkeys(OF_A_RUN)
    source |= {"features": str(path.resolve()), "digest": _digest(features, distances)}
    kept = before["protocols"] if before and before["source"] == source else {}
    write_results(target, beside(kept, entries), source)
    print("\n".join(describe_all(protocols, entries)))
    print(f"\n{results_table(entries)}\n\nwrote {target}")


def _chosen(names: Sequence[str], draw: str) -> list[RetrievalProtocol]:
    try:
        return [with_draw(protocol, draw) for protocol in expand(list(names))]
    except ValueError as error:
        raise UsageError(str(error)) from error


def _corruption_of(path: Path, protocols: Sequence[RetrievalProtocol]) -> dict[str, Any]:
    """What a file of features says of its corrupted images; nothing of clean ones.

    Raises:
        UsageError: a protocol needs corrupted images, and the file does not say that it has them.
    """
    found = (read_source(path) or {}).get("corruption")
    if isinstance(found, dict) and found.keys() >= {"side", "kinds", "severities", "seed"}:
        return {"corruption": found}
    for protocol in protocols:
        if protocol.corrupted:
            raise UsageError(
                f"{protocol.name}: {path} does not say that its images were corrupted: write such "
                "features with the extract tool (--run RUN_DIR TEST.CORRUPTION visible), or name "
                f"{plain_name(protocol.name)} for features of other code"
            )
    return {}


def _results_before(target: Path, path: Path) -> dict[str, Any]:
    """What a file of results holds, if it is of features in the same place; else nothing.

    Raises:
        UsageError: it is of something else.
    """
    before: dict[str, Any] = {}
    if target.exists():
        with suppress(DataError):
            before = read_results(target)
        if not before or before["source"].get("features") != str(path.resolve()):
            raise UsageError(f"{target} holds something else: name another file with --out")
    return before


def _given_distances(
    held: FeatureFile, metric: str, rerankings: Sequence[str]
) -> np.ndarray | None:
    """The file's matrix, if it is what to score.

    Args:
        rerankings: names of the methods that are asked for.
    Raises:
        DataError: it cannot be scored so, or there is none.
        UsageError: a metric of features, where there are only distances.
    """
    if metric != "given" and (held.distances is None or held.has_features):
        if held.distances is not None:
            print("scored: the features; --metric given scores the file's matrix instead")
        return None
    if held.distances is None:
        raise DataError(
            f"--metric given: {held.path} holds no query × gallery matrix under a known name "
            "(docs/scoring_features.md): save one as distmat, or leave the metric out"
        )
    if metric not in ("auto", "given"):
        raise UsageError(
            f"--metric {metric} compares features, and {held.path} holds distances: leave it out"
        )
    if rerankings:
        uses = METHODS[rerankings[0]].uses
        pairs = "queries with queries" if "queries" in uses else "gallery images with each other"
        raise DataError(
            f"--{rerankings[0]} compares all images by their features, also {pairs}, and "
            f"{held.path} holds distances only: save the features"
        )
    return held.distances


def given_entries(
    protocols: Sequence[RetrievalProtocol],
    images: FeatureSet,
    distances: np.ndarray,
    *,
    permutations: Permutations | None = None,
) -> dict[str, dict[str, Any]]:
    """Entries of results.json for distances of another code base; see ``evaluate_given``."""
    entries = {}
    for protocol in protocols:
        trials = evaluate_given(protocol, images, distances, permutations=permutations)
        entry = summarise(protocol, trials, metric="given")
        entries[protocol.name] = entry | left_out_counts(protocol, images)
    _warn_of_similarities(images, distances)
    return entries


def _warn_of_similarities(images: FeatureSet, distances: np.ndarray) -> None:
    """Says so where images of one identity are farther apart than others on the whole."""
    rows, columns = distances.shape
    same = images.pids[:rows, None] == images.pids[len(images) - columns :]
    if same.all() or not same.any():
        return
    within, between = (float(distances[which].mean(dtype=np.float64)) for which in (same, ~same))
    if within > between:
        print(
            f"warning: the matrix puts images of one identity farther apart ({within:.4g}) than "
            f"others ({between:.4g}) on average: does it hold similarities? They are read from "
            "simmat or similarity, and distances from distmat (docs/scoring_features.md)",
            file=sys.stderr,
        )


def _digest(features: FeatureSet, distances: np.ndarray | None) -> str:
    """SHA-256 of the features, labels and cameras: scores of other features are not kept."""
    digest = hashlib.sha256()
    known = (features.features, features.pids, features.camids, features.modality)
    for array in (*known, features.role, features.test_list, distances):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
