"""A run's error rates on its validation identities, as a table of its page."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vireid.data.datasets import DATASETS
from vireid.errors import VireidError
from vireid.reports.page_tables import ABSENT, PageTable
from vireid.reports.run_files import RunFiles
from vireid.runs.options import run_config
from vireid.runs.saved_features import kept_features
from vireid.runs.thresholds import (
    PEOPLE,
    THRESHOLDS,
    file_digest,
    measure_thresholds,
    read_thresholds,
    threshold_protocols,
)
from vireid.runs.trained_run import trained_path

log = logging.getLogger(__name__)


def threshold_tables(run: RunFiles, overrides: Sequence[str]) -> Iterator[PageTable]:
    """A table of thresholds.json, or of saved validation features; none without either.

    Args:
        overrides: KEY VALUE … over the run's configuration.
    """
    try:
        content = _of_file(run.folder, overrides) or _of_features(run.folder, overrides)
    except VireidError as error:  # the data are elsewhere, for example
        log.warning("no error rates of %s: %s", run.folder, str(error).splitlines()[0])
        return
    if content:
        yield threshold_table(content)


def _of_file(run: Path, overrides: Sequence[str]) -> dict[str, Any] | None:
    """The file, unless the run was trained again since it was written."""
    if not (run / THRESHOLDS).is_file():
        return None
    content = read_thresholds(run / THRESHOLDS)
    weights = trained_path(run_config(run, overrides), run)
    if weights.is_file() and content["source"]["checkpoint"] != file_digest(weights):
        return None
    return content


def _of_features(run: Path, overrides: Sequence[str]) -> dict[str, Any] | None:
    if not any(run.glob("features_val*.npz")):
        return None
    cfg = run_config(run, overrides)
    protocols = threshold_protocols(DATASETS[cfg.DATA.DATASET].modalities, "val")
    held = kept_features(cfg, run=run, split="val", protocols=protocols)
    if held is None:
        return None
    measured = measure_thresholds(held.features, protocols)
    return {"split": "val", "source": {"dataset": cfg.DATA.DATASET}, "protocols": measured}


def threshold_table(content: Mapping[str, Any]) -> PageTable:
    """Every protocol's EER, and its FRR and threshold at each FAR.

    Args:
        content: of thresholds.json.
    """
    entries = content["protocols"]
    rates = dict.fromkeys(
        point["far"] for entry in entries.values() for point in entry["points"] if point["far"]
    )
    header = ["protocol", "identities", "impostor pairs", "EER"]
    header += [f"FRR at FAR {100 * rate:g} % (score)" for rate in rates]
    people = PEOPLE[content["split"]]
    caption = (
        f"Error rates, per cent, on {people} of {content['source']['dataset']}: EER: false accepts "
        "= false rejects; FRR: pairs of one person below the score at which at most so many pairs "
        "of two people are accepted (FAR)"
    )
    rows = [_row(name, entry, list(rates)) for name, entry in entries.items()]
    return PageTable(caption, header, rows)


def _row(name: str, entry: Mapping[str, Any], rates: Sequence[float]) -> list[str]:
    start = [name, str(entry["identities"]), str(entry["impostor_pairs"])]
    if entry["lowest_score"] == entry["highest_score"]:
        return [*start, "all scores are equal", *[ABSENT] * len(rates)]
    points = {point["far"]: point for point in entry["points"]}
    cells = [f"{100 * entry['equal_error_rate']:.2f}"]
    for rate in rates:
        point = points.get(rate)
        if point is None or not point["measurable"]:
            cells.append("too few pairs" if point else ABSENT)
        else:
            cells.append(f"{100 * point['false_reject']:.2f} ({point['threshold']:.4f})")
    return [*start, *cells]
