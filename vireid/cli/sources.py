"""Run folders and files of features that are named on a command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import modality
from vireid.errors import DataError, UsageError
from vireid.evaluation.feature_files import FeatureFile, holds_features, read_feature_file
from vireid.figures.names import short_names
from vireid.runs.names import IDENTITIES, read_identity_names
from vireid.runs.options import run_config
from vireid.runs.run_scores import find_runs
from vireid.structures import FeatureSet, Modality
from vireid.utils.paths import exists_as


def is_run(path: Path) -> bool:
    """Whether a path is meant as a run folder, complete or not, rather than as features."""
    return path.is_dir() and not holds_features(path)


def add_query_modality(line: argparse.ArgumentParser) -> None:
    """``--query-modality`` of figures of features that other code saved."""
    about = "modality of the queries, for files of query and gallery arrays that do not name it"
    line.add_argument("--query-modality", type=modality, metavar="NAME", help=about)


def add_runs(line: argparse.ArgumentParser) -> None:
    """The argument of tools that read any number of finished runs."""
    about = "folders of finished runs, or folders that contain such folders at any depth"
    line.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help=about)


def finished_runs(folders: Sequence[Path]) -> list[Path]:
    """The runs in and below folders; prints those that are left out because they lack results."""
    runs, unfinished = find_runs(folders)
    if unfinished:
        print(f"left out, without results yet: {', '.join(map(str, unfinished))}", file=sys.stderr)
    return runs


def _read_run(path: Path, overrides: Sequence[str], split: str) -> FeatureSet:
    """Features of a run, extracted if its folder does not hold them yet."""
    from vireid.runs.saved_features import run_features  # torch, which files do not need

    return run_features(run_config(path, overrides), run=path, split=split).features


def _read_file(path: Path) -> FeatureFile:
    if not path.exists():
        raise DataError(
            f"features {path} do not exist{exists_as(path)}: name a run folder or a features.npz"
        )
    held = read_feature_file(path)
    if line := held.describe():
        print(line)
    return held


def read_sets(
    paths: Sequence[Path],
    overrides: Sequence[str] = (),
    *,
    split: str = "test",
    query_modality: Modality | None = None,
    same_identities: bool = False,
) -> list[FeatureSet]:
    """Features of several runs and files.

    Args:
        paths: run folders, features.npz, arrays of other code, or folders of .mat files.
        overrides, split: options for runs, and which of their images.
        query_modality: of files with a query list that do not name it.
        same_identities: a number must mean the same identity in all of them.
    Raises:
        CheckpointError, DataError: what is missing or wrong.
        UsageError: options or a split without a run.
    """
    if (overrides or split != "test") and not any(map(is_run, paths)):
        given = " ".join(overrides) or f"--split {split}"
        raise UsageError(f"{given} goes with run folders; files of features hold one split already")
    if query_modality is not None and all(map(is_run, paths)):
        raise UsageError("--query-modality goes with files of features; a run knows its modalities")
    files = {path: _read_file(path) for path in paths if not is_run(path)}
    numbered = {files[path].names if path in files else () for path in paths}
    if same_identities and len(numbered) > 1:
        raise DataError(
            f"{' '.join(map(str, paths))}: identities are names that differ from file to file, so "
            "that one number would mean several of them: save numbers, the same in all files"
        )
    return [
        files[path].for_figures(query_modality)
        if path in files
        else _read_run(path, overrides, split)
        for path in paths
    ]


def identity_names(paths: Sequence[Path]) -> dict[int, str]:
    """Names of identities by number, from the ``identities.csv`` of runs and beside files.

    Empty where one number has two names.
    """
    found: dict[int, str] = {}
    for path in paths:
        folder = path if is_run(path) else path.parent
        stem = "" if is_run(path) else f"{path.stem}_"
        files = [folder / f"{stem}{IDENTITIES}", folder / IDENTITIES]
        names = read_identity_names(next((file for file in files if file.is_file()), files[0]))
        if any(found.get(pid, name) != name for pid, name in names.items()):
            return {}
        found |= names
    return found


def titles_of(paths: Sequence[Path], titles: Sequence[str]) -> list[str]:
    """A title for each path: the given ones, or short names that differ where the paths do.

    Raises:
        UsageError: more or fewer titles than paths, or one twice.
    """
    if titles:
        if len(titles) != len(paths) or len(set(titles)) < len(titles):
            raise UsageError(
                f"--titles {' '.join(titles)}: {len(paths)} different ones are needed, one each "
                "(they come last on the command line)"
            )
        return list(titles)
    whole = [path.resolve() for path in paths]
    if len(set(whole)) < len(whole):
        raise UsageError(f"{' '.join(map(str, paths))}: one of these is named twice")
    plain = [path.with_suffix("") if path.suffix == ".npz" else path for path in whole]
    # a folder may be beside a file of its name
    return short_names([str(path) for path in (plain if len(set(plain)) == len(plain) else whole)])
