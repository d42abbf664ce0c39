"""Thresholds of a trained model: measured on its validation identities, and their file."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.error_rates import ErrorRates
from vireid.evaluation.protocols import RetrievalProtocol, expand
from vireid.evaluation.verification import (
    FALSE_ACCEPTS,
    FEWEST,
    FIRST,
    false_accept_intervals,
    verify,
)
from vireid.structures import Modality
from vireid.utils.io import write_text

if TYPE_CHECKING:  # reading the file needs no torch, which takes seconds to import
    from yacs.config import CfgNode

    from vireid.structures import FeatureSet

log = logging.getLogger(__name__)

FORMAT = 1
THRESHOLDS = "thresholds.json"  # in the folder of a run or of an exported model
PEOPLE = {"val": "validation identities", "test": "test identities"}
NUMBERS = ("identities", "genuine_pairs", "impostor_pairs", "equal_error_rate", "first")
OF_POINT = ("threshold", "false_accept", "false_reject", "fpir", "fnir")
OF_CURVE = ("threshold", "false_accept", "false_reject")


@dataclass(frozen=True, slots=True)
class ExpectedRates:
    """The rates that validation identities predict for a threshold.

    Args:
        threshold: images with this score or a higher one are accepted.
        false_accept: expected share of images of other people that are accepted, in [0, 1].
        false_reject: expected share of images of the same person that are rejected.
        identities: how many were measured.
        impostor_pairs: how many pairs of two identities.
        split: ``val`` or ``test``.
    """

    threshold: float
    false_accept: float
    false_reject: float
    identities: int
    impostor_pairs: int
    split: str

    def describe(self) -> str:
        """In one line."""
        least = FEWEST / self.impostor_pairs
        rate = f"about {_percent(self.false_accept)}"
        if self.false_accept < least:  # too few pairs to know more
            rate = f"less than {_percent(least)}"
        return (
            f"{rate} of the images of other people score {self.threshold:g} or more, and about "
            f"{_percent(self.false_reject)} of the images of the same person score less (measured "
            f"on {self.identities} {PEOPLE[self.split]})"
        )


def threshold_protocols(modalities: Sequence[Modality], split: str) -> list[RetrievalProtocol]:
    """The protocols whose pairs are scored: ``val_v2i`` and ``val_i2v``, or ``val_v2v``.

    Args:
        modalities: of the data set.
        split: with ``test``, the same rules for the test identities.
    """
    found = expand(["val"], modalities)
    if split == "val":
        return found
    return [replace(p, name=p.name.replace("val_", "test_"), held_out=False) for p in found]


def measure_thresholds(
    features: FeatureSet,
    protocols: Sequence[RetrievalProtocol],
    *,
    false_accepts: Sequence[float] = FALSE_ACCEPTS,
    scores: Sequence[float] = (),
    first: int = FIRST,
) -> dict[str, dict[str, Any]]:
    """Entries of thresholds.json by protocol.

    Args:
        false_accepts: FARs whose thresholds are listed.
        scores: thresholds whose rates are listed, too.
        first: gallery images that count in a search.
    Raises:
        DataError: no pair of one identity, or none of two.
    """
    entries = {}
    for protocol in protocols:
        entry = verify(protocol, features).entry(false_accepts, first=first, scores=scores)
        places = [point["threshold"] for point in entry["points"]]
        intervals = false_accept_intervals(protocol, features, places)
        for number, point in enumerate(entry["points"]):
            point["interval"] = intervals and intervals[number]
        entries[protocol.name] = entry
    return entries


def run_thresholds(
    cfg: CfgNode,
    *,
    run: Path,
    split: str = "val",
    false_accepts: Sequence[float] = FALSE_ACCEPTS,
    scores: Sequence[float] = (),
    first: int = FIRST,
) -> dict[str, Any]:
    """Measures a run's thresholds; its features are computed where its folder lacks them.

    Args:
        cfg: the run's configuration, with what the user changed.
        run: a run folder or a model folder.
        split: ``val``, or ``test`` for the test identities.
        false_accepts, scores, first: see :func:`measure_thresholds`.
    Returns:
        the content of thresholds.json, but for the model's fingerprint.
    Raises:
        CheckpointError, DataError, UsageError: see
            :func:`~vireid.runs.saved_features.run_features`; also without validation identities.
    """
    from vireid.data.datasets import DATASETS
    from vireid.data.datasets.files import fingerprint
    from vireid.runs.exits import embedding_name
    from vireid.runs.features import NoHeldOutError
    from vireid.runs.saved_features import run_features
    from vireid.runs.trained_run import trained_path

    protocols = threshold_protocols(DATASETS[cfg.DATA.DATASET].modalities, split)
    try:
        held = run_features(cfg, run=run, split=split, protocols=protocols)
    except NoHeldOutError as error:
        raise NoHeldOutError(
            f"{error}. A run that was trained without it must be trained again; or measure on its "
            "test identities: --split test"
        ) from error
    measured = measure_thresholds(
        held.features, protocols, false_accepts=false_accepts, scores=scores, first=first
    )
    return {
        "format": FORMAT,
        "split": split,
        "source": {
            "dataset": cfg.DATA.DATASET,
            "data": fingerprint(held.splits),
            "checkpoint": file_digest(trained_path(cfg, run)),
            "exit": cfg.TEST.EXIT,
            "embedding": embedding_name(cfg),
            "flip": cfg.TEST.FLIP,
        },
        "protocols": measured,
    }


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_thresholds(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces the file as a whole.

    Raises:
        UsageError: it cannot be written.
    """
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_thresholds(path: Path) -> dict[str, Any]:
    """The content of a file of thresholds.

    Raises:
        DataError: it is missing, damaged, or of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r:.40} instead of {FORMAT}")
        if content["split"] not in PEOPLE or not isinstance(content["fingerprint"], str):
            raise ValueError("its split or fingerprint is something else")
        for name, entry in content["protocols"].items():
            _check_entry(name, entry)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path} holds no thresholds ({type(error).__name__}: {error!s:.200}): measure them "
            "again with search threshold"
        ) from error
    return content


def is_of_model(path: Path, fingerprint: str) -> bool:
    """Whether a file holds thresholds of this model; a damaged one is named in a warning."""
    try:
        return bool(read_thresholds(path)["fingerprint"] == fingerprint)
    except DataError as error:
        log.warning("%s", error)
        return False


def _check_entry(name: str, entry: Mapping[str, Any]) -> None:
    numbers = [entry[key] for key in NUMBERS]
    numbers += [
        point[key] for point in [*entry["points"], entry["equal_error"]] for key in OF_POINT
    ]
    curve = [np.asarray(entry["curve"][key], dtype=np.float64) for key in OF_CURVE]
    lengths = {column.shape for column in curve}
    finite = all(np.isfinite(column).all() for column in [*curve, np.array(numbers, dtype=float)])
    if len(lengths) > 1 or curve[0].ndim != 1 or not len(curve[0]) or not finite:
        raise ValueError(f"{name}: not finite numbers in columns of one length")
    if entry["impostor_pairs"] < 1 or (np.diff(curve[0]) < 0).any():
        raise ValueError(f"{name}: no impostor pair, or thresholds that fall")


def expected_rates(
    model: Path,
    fingerprint: str,
    query_modality: Modality,
    gallery_modality: Modality,
    threshold: float,
) -> ExpectedRates | None:
    """What the thresholds of a model predict for one threshold.

    Args:
        model: a run folder, a model folder, a checkpoint or an exported file; the file of
            thresholds is looked for in its folder.
        fingerprint: of the model; thresholds of another one do not count.
        query_modality, gallery_modality: of the images that are compared.
    Returns:
        None where no thresholds of this model and these modalities were measured.
    """
    path = next((p for p in _places(model) if p.is_file()), None)
    if path is None or not is_of_model(path, fingerprint):
        return None
    content = read_thresholds(path)
    wanted = (query_modality.name.lower(), gallery_modality.name.lower())
    for entry in content["protocols"].values():
        if (entry["query_modality"], entry["gallery_modality"]) == wanted:
            columns = (np.array(entry["curve"][key], dtype=np.float64) for key in OF_CURVE)
            point = ErrorRates(*columns).interpolated(threshold)
            return ExpectedRates(
                threshold,
                point.false_accept,
                point.false_reject,
                entry["identities"],
                entry["impostor_pairs"],
                content["split"],
            )
    return None


def _places(model: Path) -> Iterator[Path]:
    """Where the thresholds of a model may be."""
    folder = model if model.is_dir() else model.parent
    yield folder / THRESHOLDS
    if folder.name == "checkpoints":
        yield folder.parent / THRESHOLDS


def threshold_rows(entry: Mapping[str, Any]) -> list[dict[str, str]]:
    """The operating points of a protocol as rows of a table, headers as keys."""
    rows = []
    for point in entry["points"]:
        given = point["far"] is None
        row = {"FAR at most": "–" if given else _percent(point["far"])}
        if not point["measurable"]:
            cells = ["not measurable", *["–"] * 5]
        else:
            interval = point["interval"]
            cells = [f"{100 * point[key]:.2f} %" for key in OF_POINT[1:]]
            cells.insert(1, "–" if interval is None else _interval(*interval))
            cells.insert(0, f"{point['threshold']:.5f}")
        names = ["threshold", "FAR", "95 % interval", "FRR", "FPIR", f"FNIR, top {entry['first']}"]
        rows.append(row | dict(zip(names, cells, strict=True)))
    return rows


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def describe_entry(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Lines about a protocol's pairs, its EER, and what cannot be measured."""
    yield (
        f"{name}: {entry['query_modality']} queries, {entry['gallery_modality']} gallery; "
        f"{entry['identities']} identities, {entry['queries']:,} × {entry['gallery']:,} images: "
        f"{entry['genuine_pairs']:,} genuine and {entry['impostor_pairs']:,} impostor pairs"
    )
    if entry["lowest_score"] == entry["highest_score"]:
        score = entry["lowest_score"]
        yield f"all scores are equal (about {score:.5f}): no threshold separates people"
        return
    yield (
        f"EER {100 * entry['equal_error_rate']:.2f} %, at about "
        f"{entry['equal_error']['threshold']:.5f}"
    )
    few = [point["far"] for point in entry["points"] if not point["measurable"]]
    if few:
        yield (
            f"not measurable from {entry['impostor_pairs']:,} impostor pairs: FAR "
            f"{', '.join(map(_percent, few))} ({FEWEST} false accepts are needed)"
        )


def _percent(rate: float) -> str:
    """A rate between 0 and 1 in per cent, with two digits.

    >>> [_percent(rate) for rate in (0.1, 0.01, 0.001, 0.00034)]
    ['10 %', '1 %', '0.1 %', '0.034 %']
    """
    return f"{100 * rate:.2g} %" if rate < 0.995 else "100 %"
