"""The cells of the table: one run on one data set, scored once and kept in a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from vireid.config import apply_overrides
from vireid.config.load import flatten
from vireid.config.schema import OPTIONS
from vireid.config.values import override_text
from vireid.crosseval.overlap import Overlap
from vireid.crosseval.sets import EvaluationSet
from vireid.crosseval.trained import RERANKINGS, EvaluatedRun
from vireid.data.build import build_splits
from vireid.data.datasets import DATASETS
from vireid.data.datasets.files import fingerprint
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import DataError, UsageError, VireidError
from vireid.evaluation.protocols import RetrievalProtocol, with_draw
from vireid.evaluation.results import read_results, write_results
from vireid.runs.exits import require_two_modalities, warn_of_untrained
from vireid.runs.features import Backend, backend_name, warn_of_few_levels
from vireid.runs.options import choices
from vireid.runs.score import SCORING, check_answerable, score, source_of
from vireid.runs.trained_run import CHOOSING_TEST, CHOOSING_VALIDATION, TrainedRun, read_trained
from vireid.structures import Splits
from vireid.utils.paths import expand

FOLDER = "cells"  # in the folder of the table
KEPT = "crosseval"  # entry of a cell's file that says what it is of
BackendOf = Callable[[CfgNode, Path, Sequence[str]], Backend | None]


@dataclass(frozen=True, slots=True)
class Cell:
    """A run on a data set.

    Args:
        cfg: the run's configuration, with the data set instead of the run's own.
        words: ``KEY VALUE`` words that make it of the run's.
        splits, data: the data set and its fingerprint.
        file: where its results are kept.
    """

    run: EvaluatedRun
    on: EvaluationSet
    protocols: Sequence[RetrievalProtocol]
    cfg: CfgNode
    words: Sequence[str]
    splits: Splits
    data: str
    file: Path

    @property
    def name(self) -> str:
        return f"{self.run.name} on {self.on.label}"

    @property
    def own(self) -> bool:
        """Whether the run was trained on this data set, on its other identities."""
        return (self.run.dataset, self.run.data) == (self.on.dataset, self.data)

    def key(self) -> dict[str, Any]:
        """What the scores depend on: they are kept as long as this stays the same."""
        values = flatten(self.cfg)
        names = dict.fromkeys((*SCORING, *CHOOSING_TEST, *CHOOSING_VALIDATION))
        if self.splits.split_trial is None:
            names.pop("DATA.TRIAL", None)
        options = {name: override_text(values[name]) for name in names}
        return {"checkpoint": self.run.digest, "data": self.data, "options": options}

    def kept(self) -> tuple[dict[str, Any], Overlap | None]:
        """Entries of earlier calls by protocol, and what they found; nothing of anything else."""
        try:
            content = read_results(self.file)
            known = content["source"][KEPT]
            overlap = Overlap.from_json(known["overlap"])
        except (DataError, KeyError, TypeError):
            return {}, None
        if known["key"] != self.key():
            return {}, None
        return content["protocols"], overlap


def plan_cells(
    runs: Sequence[EvaluatedRun],
    sets: Sequence[EvaluationSet],
    protocols: Mapping[str, Sequence[RetrievalProtocol]],
    overrides: Sequence[str],
    out: Path,
) -> list[Cell]:
    """Every run on every data set, each data set read once for each split.

    Args:
        protocols: by the labels of the data sets.
        overrides: ``KEY VALUE`` words of the command line.
        out: folder of the table.
    Raises:
        DataError: a data set cannot be read.
        UsageError: runs that were trained on one data set read it by different options.
    """
    read: dict[tuple[str, ...], tuple[Splits, str]] = {}
    shared = {one.label: _reader_words(one, runs, overrides) for one in sets}
    cells = []
    for run in runs:
        for one in sets:
            words = ["DATA.DATASET", one.dataset, "DATA.ROOT", str(one.root)]
            words += ["TEST.PROTOCOLS", "[]", *(w for key in RERANKINGS for w in (key, "false"))]
            words += [*_trial_words(run, overrides), *shared[one.label]]
            if run.cfg.DATA.VAL_IDS and not _is_own(run, one):
                words += ["DATA.VAL_IDS", ""]
            cfg = apply_overrides(run.cfg, words, choices=choices())
            require_two_modalities(cfg, protocols[one.label])
            tested = any(not protocol.held_out for protocol in protocols[one.label])
            key = (*words, cfg.DATA.SPLIT, cfg.DATA.VAL_IDS, str(tested))
            if key not in read:
                splits = build_splits(cfg, parts=("test",) if tested else ())
                read[key] = splits, fingerprint(splits)
            stem = re.sub(r"[^\w.+-]+", "_", run.name)[-80:].strip("_")
            file = out / FOLDER / one.stem / f"{stem}-{run.digest[:8]}.json"
            cells.append(Cell(run, one, protocols[one.label], cfg, words, *read[key], file))
    return cells


def _trial_words(run: EvaluatedRun, overrides: Sequence[str]) -> list[str]:
    """The split that a run may be scored on: its own; otherwise that of the command line, or 1."""
    if run.split_trial is not None:
        return ["DATA.TRIAL", str(run.split_trial)]
    return [] if "DATA.TRIAL" in overrides[::2] else ["DATA.TRIAL", "1"]


def _reader_words(
    one: EvaluationSet, runs: Sequence[EvaluatedRun], overrides: Sequence[str]
) -> list[str]:
    """Options of a data set's reader: the same for all runs, so that they see the same images.

    Those of the command line; else those of the runs that were trained on the data set; else the
    defaults.
    """
    there = [run for run in runs if _is_own(run, one)]
    words = []
    for key in (f"DATA.{name}" for name in DATASETS[one.dataset].options.values()):
        if key in overrides[::2]:
            continue
        found = {override_text(flatten(run.own)[key]): run.name for run in there}
        if len(found) > 1:
            differing = ", ".join(f"{value!r} in {name}" for value, name in found.items())
            raise UsageError(
                f"{key} of {one.root} is {differing}: these runs were trained and tested on "
                f"different identities of it; score them in two calls, or give {key}"
            )
        words += [key, next(iter(found), override_text(OPTIONS[key].default))]
    return words


def _is_own(run: EvaluatedRun, one: EvaluationSet) -> bool:
    """Whether a data set is the one, in its folder, that a run was trained on."""
    root = run.own.DATA.ROOT
    same = run.dataset == one.dataset and bool(root)
    return same and expand(root).resolve() == one.root.resolve()


def score_cell(
    cell: Cell, overlap: Overlap, overrides: Sequence[str], backend_of: BackendOf
) -> tuple[dict[str, Any], dict[str, str]]:
    """Scores the protocols of a cell that its file lacks, and writes the file.

    Args:
        overlap: what the run's training data and the data set share.
        overrides: ``KEY VALUE`` words of the command line.
        backend_of: (configuration, run, words) → what computes the features instead of torch.
    Returns:
        entries of results.json by protocol; reasons by protocol for those that cannot be scored.
    """
    entries, known = cell.kept()
    wanted = [protocol for protocol in cell.protocols if protocol.name not in entries]
    failures: dict[str, str] = {}
    possible: list[RetrievalProtocol] = []
    if wanted:
        try:
            trained = _trained(cell)
            for protocol, reason in _answerable(cell, trained, wanted):
                if reason:
                    failures[protocol.name] = reason
                else:
                    possible.append(protocol)
            if possible:
                backend = backend_of(cell.cfg, cell.run.path, [*overrides, *cell.words])
                entries = entries | _scored(cell, trained, possible, backend)
                _write(cell, entries, overlap, backend)
        except VireidError as error:
            reason = " ".join(str(error).split())
            failures |= {p.name: reason for p in wanted if p.name not in failures}
    if entries and known != overlap and not possible:
        _write(cell, entries, overlap, None)
    return {p.name: entries[p.name] for p in cell.protocols if p.name in entries}, failures


def _trained(cell: Cell) -> TrainedRun:
    """The run's checkpoint with the cell's data.

    Raises:
        DataError: the run was trained on another kind of set.
    """
    own, other = DATASETS[cell.run.dataset].modalities, cell.on.info.modalities
    if set(own) != set(other):
        names = [" and ".join(m.name.lower() for m in kind) for kind in (own, other)]
        raise DataError(
            f"the run was trained on {names[0]} images ({cell.run.dataset}), and "
            f"{cell.on.dataset} is a set of {names[1]} images: it has no such queries and gallery"
        )
    path, checkpoint = read_trained(cell.cfg, cell.run.path)
    return TrainedRun(cell.cfg, path, checkpoint, cell.splits, cell.data)


def _answerable(
    cell: Cell, trained: TrainedRun, wanted: Sequence[RetrievalProtocol]
) -> Iterator[tuple[RetrievalProtocol, str]]:
    """Each protocol with the draw that was asked for, and why it cannot be scored, if so."""
    for held_out in (False, True):
        group = [protocol for protocol in wanted if protocol.held_out == held_out]
        seen = _reason(partial(trained.require_unseen, cell.run.path, group))
        for plain in group:
            # where nothing is drawn, a draw that was asked for changes nothing
            draw = "auto" if plain.draw == "all" else cell.cfg.TEST.GALLERY_DRAW
            if reason := seen or _reason(partial(with_draw, plain, draw)):
                yield plain, reason
                continue
            protocol = with_draw(plain, draw)
            yield protocol, _reason(partial(check_answerable, [protocol], cell.splits))


def _reason(work: Callable[[], object]) -> str:
    """Why some work cannot be done, as one line; empty if it can."""
    try:
        work()
    except VireidError as error:
        return " ".join(str(error).split())
    return ""


def _scored(
    cell: Cell,
    trained: TrainedRun,
    protocols: Sequence[RetrievalProtocol],
    backend: Backend | None,
) -> dict[str, Any]:
    cfg, splits = cell.cfg, cell.splits
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
    warn_of_untrained(cfg)
    warn_of_few_levels(cfg, splits.root, splits.test)
    model = trained.model().to(device)
    return score(cfg, model, splits, protocols, device=device, backend=backend)


def _write(
    cell: Cell, entries: Mapping[str, Any], overlap: Overlap, backend: Backend | None
) -> None:
    cell.file.parent.mkdir(parents=True, exist_ok=True)
    source = source_of(
        cell.cfg,
        run=cell.run.path.absolute(),
        epoch=cell.run.epoch,
        data=cell.data,
        backend=backend_name(backend),
    )
    own = {"own": cell.own, "overlap": overlap.as_json(), "key": cell.key()}
    write_results(cell.file, entries, {**source, KEPT: own})
