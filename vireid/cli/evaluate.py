"""Scores a trained run, or features saved by any code base."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from vireid.cli.arguments import LIST, OVERRIDES_HELP, ToolParser, as_overrides, parser, tool
from vireid.errors import UsageError
from vireid.evaluation.distance import METRICS
from vireid.evaluation.reranking.methods import METHODS, reranking
from vireid.evaluation.results import score_features
from vireid.runs.options import run_config

GALLERY_DRAWS = ("official", "seeded", "given")
SPLITS_FOLDER = "VIREID_SYSU_SPLITS"  # folder of the official split files, in the environment


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/evaluate.py --help``."""
    args = _parser().parse(arguments)
    if args.features is not None:
        _score_features(args)
    else:
        _score_run(args)


def _parser() -> ToolParser:
    line = parser(
        __doc__,
        "python tools/evaluate.py --run runs/demo/seed0 --protocols sysu\n"
        "         python tools/evaluate.py --features features.npz --protocols llcm",
    )
    scored = line.add_mutually_exclusive_group(required=True)
    about = "run folder or model folder"
    scored.add_argument("--run", type=Path, metavar="DIR", help=about)
    about = (
        "features.npz; query and gallery arrays (query_feat, gall_feat, …) or distances as .npz, "
        ".mat, .pt, .safetensors or a folder of .npy; a folder of SYSU-MM01's *_cam1.mat …; loads "
        "no model"
    )
    scored.add_argument("--features", type=Path, metavar="PATH", help=about)
    about = "protocols or groups of protocols (default with --run: those of the data set)"
    line.add_argument("--protocols", metavar="NAME", help=about, **LIST)
    about = "default: the protocol's own; given: the distances in the file"
    line.add_argument("--metric", choices=(*METRICS, "given"), help=about)
    about = "default: the protocol's own; given: exactly the gallery in the file"
    line.add_argument("--gallery-draw", choices=GALLERY_DRAWS, help=about)
    about = (
        "default: results.json beside the features or in the run folder; with changed options, a "
        "file beside it that is named by them; required for other data than the run's"
    )
    line.add_argument("--out", type=Path, metavar="FILE", help=about)
    _add_groups(line)
    _add_rerankings(line)
    return line


def _add_groups(line: ToolParser) -> None:
    features = line.add_argument_group("with --features")
    about = f"rand_perm_cam.mat of the official draw (default: from the folder ${SPLITS_FOLDER})"
    features.add_argument("--permutations", type=Path, metavar="FILE", help=about)
    features.add_argument(
        "--test-ids", type=Path, metavar="FILE", help="list of the identities to score"
    )
    run = line.add_argument_group("with --run")
    run.add_argument("--dataset", help="score on another data set (same as DATA.DATASET)")
    run.add_argument("--root", help="folder of that data set (same as DATA.ROOT)")
    run.add_argument(
        "--device",
        help="auto, cpu, cuda or cuda:N (same as DEVICE); --features uses the CPU",
    )
    about = (
        "also score corrupted images, beside the clean ones: visible ones unless TEST.CORRUPTION "
        "is set (names of protocols may end in +corrupted instead)"
    )
    run.add_argument("--corrupted", action="store_true", help=about)
    about = (
        "with --corrupted, and score every kind of corruption at every severity; writes a table "
        "and heat maps beside the results. Takes 100 times the corrupted images"
    )
    run.add_argument("--by-kind", action="store_true", help=about)
    run.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=OVERRIDES_HELP)


def _add_rerankings(line: ToolParser) -> None:
    """``--rerank``, ``--rerank-k1`` and so on, of every method."""
    group = line.add_argument_group("re-ranking, beside the plain scores")
    for name, method in METHODS.items():
        group.add_argument(f"--{name}", action="store_true", help=f"also score {method.title}")
        for constant in method.constants:
            kind = type(constant.default)
            about = f"{constant.help} ({constant.default:g})"
            letter = "N" if kind is int else "X"
            flag = f"--{name}-{constant.name}"
            group.add_argument(flag, type=kind, metavar=letter, help=about)


def _constants(args: argparse.Namespace, method: str) -> dict[str, float | None]:
    """What the command line says about a method's constants; ``None``: nothing."""
    names = [constant.name for constant in METHODS[method].constants]
    return {name: getattr(args, f"{method}_{name}") for name in names}


def _require_methods(args: argparse.Namespace, asked: Collection[str]) -> None:
    """Raises ``UsageError`` for a constant of a method that is not asked for."""
    for method in METHODS:
        given = [name for name, value in _constants(args, method).items() if value is not None]
        if given and method not in asked:
            raise UsageError(
                f"--{method}-{given[0]} is a constant of --{method}: add --{method}, or leave it "
                "out"
            )


def _reranking_options(args: argparse.Namespace) -> dict[str, str | None]:
    """The options of a run's configuration that the command line sets."""
    options = {name.upper(): "true" if getattr(args, name) else None for name in METHODS}
    for method in METHODS:
        for name, value in _constants(args, method).items():
            options[f"{method}_{name}".upper()] = None if value is None else str(value)
    return {f"TEST.{key}": value for key, value in options.items()}


def official_permutations(given: Path | None) -> Path | None:
    """``--permutations``, or else the file in the folder that the environment names."""
    folder = os.environ.get(SPLITS_FOLDER)
    return Path(folder) / "rand_perm_cam.mat" if given is None and folder else given


def _score_features(args: argparse.Namespace) -> None:
    of_runs = {"KEY VALUE": args.overrides, "--dataset": args.dataset, "--root": args.root}
    for option, given in of_runs.items():
        if given:
            raise UsageError(f"{option} goes with --run, not with --features; got {given}")
    if args.corrupted or args.by_kind:
        raise UsageError(
            "--corrupted and --by-kind go with --run: write features of corrupted images with the "
            "extract tool (TEST.CORRUPTION visible), and score that file"
        )
    if not args.protocols:
        raise UsageError("--features needs --protocols: the file does not say which rules apply")
    asked = [name for name in METHODS if getattr(args, name)]
    _require_methods(args, asked)
    if args.device not in (None, "auto", "cpu"):
        print(f"--device {args.device} has no effect: features are scored on the processor")
    score_features(
        args.features,
        args.protocols,
        metric=args.metric or "auto",
        draw=args.gallery_draw or "auto",
        permutations=official_permutations(args.permutations),
        test_ids=args.test_ids,
        rerankings=[reranking(name, _constants(args, name)) for name in asked],
        out=args.out,
    )


def _score_run(args: argparse.Namespace) -> None:
    from vireid.deploy.evaluation_backend import backend_of  # imports torch
    from vireid.runs.score import score_run, score_run_by_kind

    for option, given in {"--permutations": args.permutations, "--test-ids": args.test_ids}.items():
        if given:
            raise UsageError(
                f"{option} goes with --features; a run reads these files from its data set's folder"
            )
    for option, value in {"--metric": args.metric, "--gallery-draw": args.gallery_draw}.items():
        if value == "given":
            raise UsageError(f"{option} given goes with --features: a run computes its distances")
    chosen = {
        "DEVICE": args.device,
        "DATA.DATASET": args.dataset,
        "DATA.ROOT": args.root,
        "TEST.METRIC": args.metric,
        "TEST.GALLERY_DRAW": args.gallery_draw,
        **_reranking_options(args),
        "TEST.PROTOCOLS": f"[{', '.join(args.protocols)}]" if args.protocols else None,
    }
    if args.dataset and "TEST.PROTOCOLS" not in args.overrides and not args.protocols:
        chosen["TEST.PROTOCOLS"] = "[]"  # the run's own are about its own data set
    overrides = args.overrides + as_overrides(chosen)
    cfg = run_config(args.run, overrides)
    if (args.corrupted or args.by_kind) and cfg.TEST.CORRUPTION == "none":
        overrides += ["TEST.CORRUPTION", "visible"]
        cfg = run_config(args.run, overrides)
    _require_methods(args, [name for name in METHODS if cfg.TEST[name.upper()]])
    scored: dict[str, Any] = {"run": args.run, "out": args.out}
    scored["backend"] = backend_of(cfg, args.run, overrides)
    score_run(cfg, **scored)
    if args.by_kind:
        from vireid.figures.corruption import write_breakdown

        scores, folder = score_run_by_kind(cfg, **scored)
        print(f"\n{write_breakdown(scores, folder)}\n\nwrote {folder}")
