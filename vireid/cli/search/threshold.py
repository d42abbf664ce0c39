"""``search threshold``: which score separates people, measured on a run's validation identities."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from vireid.cli.arguments import MODALITY_HELP, at_least, device_override, modality
from vireid.errors import DataError, UsageError
from vireid.evaluation.verification import FALSE_ACCEPTS, FIRST
from vireid.runs.options import run_config
from vireid.runs.thresholds import (
    PEOPLE,
    THRESHOLDS,
    describe_entry,
    read_thresholds,
    run_thresholds,
    threshold_rows,
    write_thresholds,
)
from vireid.utils.io import require_target
from vireid.utils.tables import markdown

log = logging.getLogger(__name__)

ABOUT = "find the score that separates people, from a run's validation identities"
EXAMPLE = "--run runs/demo/seed0 --far 0.01"
LEGEND = """\
FAR: share of the pairs of two people with this score or a higher one; 95 % interval: of the FAR of
other people, by drawing identities; FRR: share of the pairs of one person with a lower score.
FPIR: share of the queries whose identity is not in the gallery that find any image at or above the
threshold; FNIR: share of the queries whose identity is in the gallery that do not find it at or
above the threshold among the first {first} images. FPIR and FNIR are for a gallery of this size."""


def add_arguments(line: argparse.ArgumentParser) -> None:
    """The arguments of ``search threshold``."""
    line.add_argument("--run", type=Path, required=True, metavar="DIR", help="run or model folder")
    about = "false-accept rate whose threshold is wanted, between 0 and 1 (0.01)"
    line.add_argument("--far", type=_rate, default=0.01, metavar="RATE", help=about)
    about = "state the rates of this score, too; may be given several times"
    line.add_argument(
        "--min-score", type=float, action="append", default=[], metavar="S", help=about
    )
    about = "identities to measure on: val, those held out from training (val), or test"
    line.add_argument("--split", choices=tuple(PEOPLE), default="val", help=about)
    about = f"print only the rates of queries of this modality: {MODALITY_HELP}"
    line.add_argument("--query-modality", type=modality, metavar="NAME", help=about)
    about = f"gallery images that count in the rates of a search ({FIRST})"
    line.add_argument("--top", type=at_least(1), default=FIRST, metavar="K", help=about)
    line.add_argument("--json", type=Path, metavar="FILE", help="write the results here, too")
    line.add_argument("--device", help="auto, cpu, cuda or cuda:N (same as DEVICE)")
    about = "options that replace those of the run, e.g. DATA.ROOT /data/photos"
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=about)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, such as 0.01, got {text!r}")
    return rate


def threshold(args: argparse.Namespace) -> None:
    """Measures, writes and prints the thresholds of a run.

    Raises:
        CheckpointError, DataError, UsageError: see
            :func:`~vireid.runs.thresholds.run_thresholds`.
    """
    from vireid.deploy.deployed_model import deployed_model  # torch

    if args.json:
        require_target(args.json, inputs=[args.run])
    overrides = [*args.overrides, *device_override(args.device)]
    cfg = run_config(args.run, overrides)
    _require_queries(args, cfg)
    content = run_thresholds(
        cfg,
        run=args.run,
        split=args.split,
        false_accepts=sorted({*FALSE_ACCEPTS, args.far}, reverse=True),
        scores=args.min_score,
        first=args.top,
    )
    model = deployed_model(args.run, overrides).metadata.fingerprint
    content = {"format": content["format"], "fingerprint": model, **content}
    written = _write(args, content)
    print("\n".join([*_lines(args, content), *written]))


def _require_queries(args: argparse.Namespace, cfg: CfgNode) -> None:
    """Raises ``UsageError`` where no query is of ``--query-modality``."""
    from vireid.data.datasets import DATASETS

    modalities = DATASETS[cfg.DATA.DATASET].modalities
    if args.query_modality not in (None, *modalities):
        names = " and ".join(one.name.lower() for one in modalities)
        raise UsageError(
            f"--query-modality {args.query_modality.name.lower()}: the images of "
            f"{cfg.DATA.DATASET} are {names}"
        )


def _write(args: argparse.Namespace, content: Mapping[str, Any]) -> list[str]:
    """Writes the files; what was written, in lines."""
    lines = []
    own = args.run / THRESHOLDS
    if args.split == "test" and _holds_validation(own):
        lines.append(f"kept {own}, which is of validation identities; --json FILE writes these")
    else:
        try:
            write_thresholds(own, content)
            lines.append(f"wrote {own}")
        except UsageError as error:
            log.warning("queries cannot state the error rates of their threshold: %s", error)
    if args.json:
        write_thresholds(args.json, content)
        lines.append(f"wrote {args.json}")
    return lines


def _holds_validation(path: Path) -> bool:
    try:
        return bool(read_thresholds(path)["split"] == "val")
    except DataError:
        return False


def _lines(args: argparse.Namespace, content: Mapping[str, Any]) -> list[str]:
    chosen = "" if args.split == "val" else " (--split test)"
    lines = [
        f"{PEOPLE[content['split']]}{chosen} of {content['source']['dataset']}, for {args.run}",
        "",
    ]
    queries = args.query_modality and args.query_modality.name.lower()
    shown = {
        name: entry
        for name, entry in content["protocols"].items()
        if queries in (None, entry["query_modality"])
    }
    for name, entry in shown.items():
        lines += [*describe_entry(name, entry), ""]
        if entry["lowest_score"] == entry["highest_score"]:
            continue
        lines += [markdown(threshold_rows(entry)), ""]
        point = next(point for point in entry["points"] if point["far"] == args.far)
        if point["measurable"]:
            wanted = f"--min-score {point['threshold']:.5f}"
            lines += [f"for a FAR of at most {100 * args.far:g} %: query {wanted}", ""]
    if any(entry["lowest_score"] < entry["highest_score"] for entry in shown.values()):
        lines += [LEGEND.format(first=args.top), ""]
    return lines
