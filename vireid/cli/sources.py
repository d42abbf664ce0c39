"""Run folders and files of features that are named on a command line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from vireid.errors import DataError, UsageError
from vireid.evaluation.feature_files import holds_features, read_features
from vireid.runs.options import run_config
from vireid.runs.run_scores import find_runs
from vireid.structures import FeatureSet, Modality, modality_named
from vireid.utils.paths import exists_as


def is_run(path: Path) -> bool:
    """Whether a path is meant as a run folder, complete or not, rather than as features."""
    return path.is_dir() and not holds_features(path)


def add_query_modality(line: argparse.ArgumentParser) -> None:
    """``--query-modality`` of figures of features that other code saved."""
    about = "of files with query and gallery arrays that do not say which: visible, infrared, …"
    line.add_argument("--query-modality", type=_modality, metavar="NAME", help=about)


def _modality(name: str) -> Modality:
    try:
        return modality_named(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_runs(line: argparse.ArgumentParser) -> None:
    """The argument of tools that read any number of finished runs."""
    about = "folders of finished runs, or folders that hold some, at any depth"
    line.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help=about)


def finished_runs(folders: Sequence[Path]) -> list[Path]:
    """The runs in and below folders; prints those that are left out because they lack results."""
    runs, unfinished = find_runs(folders)
    if unfinished:
        print(f"left out, without results yet: {', '.join(map(str, unfinished))}", file=sys.stderr)
    return runs


def read_set(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    split: str = "test",
    query_modality: Modality | None = None,
) -> FeatureSet:
    """Features of a run, extracted if its folder does not hold them yet, or of a file.

    Args:
        path: a run folder, a features.npz, arrays of other code, or a folder of .mat files.
        overrides, split: options for a run, and which of its images.
        query_modality: of a file's query list, where the file does not name it.
    Raises:
        CheckpointError, DataError, UsageError: what is missing or wrong.
    """
    if is_run(path):
        from vireid.runs.saved_features import run_features  # torch, which files do not need

        return run_features(run_config(path, overrides), run=path, split=split).features
    if not path.exists():
        raise DataError(
            f"features {path} do not exist{exists_as(path)}: name a run folder or a features.npz"
        )
    return read_features(path, query_modality=query_modality)


def read_sets(
    paths: Sequence[Path],
    overrides: Sequence[str] = (),
    *,
    split: str = "test",
    query_modality: Modality | None = None,
) -> list[FeatureSet]:
    """Features of several runs and files.

    Raises:
        CheckpointError, DataError: see :func:`read_set`.
        UsageError: options or a split without a run.
    """
    if (overrides or split != "test") and not any(map(is_run, paths)):
        given = " ".join(overrides) or f"--split {split}"
        raise UsageError(f"{given} goes with run folders; files of features hold one split already")
    if query_modality is not None and all(map(is_run, paths)):
        raise UsageError("--query-modality goes with files of features; a run knows its modalities")
    return [read_set(path, overrides, split=split, query_modality=query_modality) for path in paths]


def titles_of(paths: Sequence[Path], titles: Sequence[str]) -> list[str]:
    """A title for each path: the given ones, or the shortest ends of the paths that differ.

    Raises:
        UsageError: more or fewer titles than paths, or one twice.
    """
    if titles:
        if len(titles) != len(paths) or len(set(titles)) < len(titles):
            raise UsageError(
                f"--titles {' '.join(titles)}: {len(paths)} different ones are needed, one each "
                "(they stand last on the command line)"
            )
        return list(titles)
    whole = [path.resolve() for path in paths]
    if len(set(whole)) < len(whole):
        raise UsageError(f"{' '.join(map(str, paths))}: one of these is named twice")
    parts = [(path.with_suffix("") if path.suffix == ".npz" else path).parts for path in whole]
    if len(set(parts)) < len(parts):  # a folder and a file beside it
        parts = [path.parts for path in whole]
    named = all(re.fullmatch(r"(seed|split)\d+", part[-1]) is None for part in parts)
    for length in range(1 if named else 2, max(map(len, parts)) + 1):
        ends = ["/".join(part[-length:]) for part in parts]
        if len(set(ends)) == len(ends):
            return ends
    return [str(path) for path in paths]
