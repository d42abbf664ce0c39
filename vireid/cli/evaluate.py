"""Scores a trained run, or features that any code base saved."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from vireid.cli.arguments import OVERRIDES_HELP, device_override, is_key, parser, tool
from vireid.cli.sources import run_config
from vireid.errors import UsageError
from vireid.evaluation.distance import METRICS
from vireid.evaluation.results import score_features

SPLITS_FOLDER = "VIREID_SYSU_SPLITS"  # folder of the official split files, in the environment


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/evaluate.py --help``."""
    line = _parser()
    args = line.parse_intermixed_args(sys.argv[1:] if arguments is None else arguments)
    # --protocols takes every word that follows, so options after it end up among its names.
    names = list(takewhile(lambda word: not is_key(word), args.protocols))
    overrides = args.overrides + args.protocols[len(names) :]
    if args.features is not None:
        _score_features(args, names, overrides)
    else:
        _score_run(args, names, overrides)


def _parser() -> argparse.ArgumentParser:
    line = parser(
        __doc__,
        "python tools/evaluate.py --run runs/demo/seed0 --protocols sysu\n"
        "         python tools/evaluate.py --features features.npz --protocols llcm",
    )
    scored = line.add_mutually_exclusive_group(required=True)
    scored.add_argument("--run", type=Path, metavar="DIR", help="run folder")
    scored.add_argument(
        "--features",
        type=Path,
        metavar="PATH",
        help="features.npz, or a folder of official *_cam1.mat … *_cam6.mat; loads no network",
    )
    line.add_argument(
        "--protocols",
        nargs="+",
        metavar="NAME",
        default=[],
        help="protocols or groups (default of a run: the data set's)",
    )
    line.add_argument("--metric", choices=METRICS, help="default: the protocol's own")
    line.add_argument(
        "--gallery-draw", choices=("official", "seeded"), help="default: the protocol's own"
    )
    line.add_argument("--rerank", action="store_true", help="score k-reciprocal re-ranking too")
    line.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: results.json beside the features or in the run folder; for other data or "
        "options than the run's a file beside it, named by the difference",
    )
    _add_groups(line)
    return line


def _add_groups(line: argparse.ArgumentParser) -> None:
    features = line.add_argument_group("with --features")
    features.add_argument(
        "--permutations",
        type=Path,
        metavar="FILE",
        help=f"rand_perm_cam.mat of the official draw (default: the one in ${SPLITS_FOLDER})",
    )
    features.add_argument("--test-ids", type=Path, metavar="FILE", help="identities to score")
    run = line.add_argument_group("with --run")
    run.add_argument("--dataset", help="score on another data set; short for DATA.DATASET")
    run.add_argument("--root", help="that data set's folder; short for DATA.ROOT")
    run.add_argument(
        "--device",
        help="auto, cpu, cuda or cuda:N; short for DEVICE (features are scored on the processor)",
    )
    run.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=OVERRIDES_HELP)


def _score_features(args: argparse.Namespace, names: list[str], overrides: list[str]) -> None:
    for given, option in (
        (overrides, "KEY VALUE"),
        (args.dataset, "--dataset"),
        (args.root, "--root"),
    ):
        if given:
            raise UsageError(f"{option} goes with --run, not with --features; got {given}")
    if not names:
        raise UsageError("--features needs --protocols: a file does not tell which rules it is for")
    if args.device not in (None, "auto", "cpu"):
        print(f"--device {args.device} has no effect: features are scored on the processor")
    permutations, folder = args.permutations, os.environ.get(SPLITS_FOLDER)
    if permutations is None and folder:
        permutations = Path(folder) / "rand_perm_cam.mat"
    score_features(
        args.features,
        names,
        metric=args.metric or "auto",
        draw=args.gallery_draw or "auto",
        permutations=permutations,
        test_ids=args.test_ids,
        rerank=args.rerank,
        out=args.out,
    )


def _score_run(args: argparse.Namespace, names: list[str], overrides: list[str]) -> None:
    from vireid.deploy.evaluation_backend import backend_of  # imports torch
    from vireid.runs.score import score_run

    for given, option in ((args.permutations, "--permutations"), (args.test_ids, "--test-ids")):
        if given:
            raise UsageError(
                f"{option} goes with --features; a run reads these files from its data set's folder"
            )
    chosen = {
        "DATA.DATASET": args.dataset,
        "DATA.ROOT": args.root,
        "TEST.METRIC": args.metric,
        "TEST.GALLERY_DRAW": args.gallery_draw,
        "TEST.RERANK": "true" if args.rerank else None,
        "TEST.PROTOCOLS": f"[{', '.join(names)}]" if names else None,
    }
    overrides = overrides + device_override(args.device)
    overrides += [word for key, value in chosen.items() if value for word in (key, value)]
    cfg = run_config(args.run, overrides)
    score_run(cfg, run=args.run, out=args.out, backend=backend_of(cfg, args.run, overrides))
