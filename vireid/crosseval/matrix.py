"""Every run on every data set: the plan, the cells one after another, the table and the figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vireid.config.schema import WEIGHT_NAMES
from vireid.crosseval.cells import FOLDER, BackendOf, Cell, plan_cells, score_cell
from vireid.crosseval.overlap import OverlapFinder
from vireid.crosseval.plot import draw_matrix
from vireid.crosseval.sets import EvaluationSet, parse_sets, protocols_of
from vireid.crosseval.tables import (
    CellResult,
    as_csv,
    as_latex,
    as_markdown,
    mean_scores,
    problems,
)
from vireid.crosseval.trained import EvaluatedRun, open_runs
from vireid.data.datasets import DATASETS
from vireid.errors import CellsError, UsageError
from vireid.runs.run_scores import CONFIG
from vireid.utils.io import locked, say, write_text
from vireid.utils.paths import MODEL_FILE

CORRUPTION = "TEST.CORRUPTION"  # as in evaluate, which images to corrupt asks for it
MARKDOWN, CSV, LATEX, FIGURE = (f"crosseval.{kind}" for kind in ("md", "csv", "tex", "png"))


def cross_evaluate(
    folders: Sequence[Path],
    sets: Sequence[str],
    protocols: Sequence[str] = (),
    *,
    corrupted: bool = False,
    overrides: Sequence[str] = (),
    out: Path,
    backend_of: BackendOf,
) -> None:
    """Scores every run on every data set, and writes tables and a figure into a folder.

    Cells that an earlier call finished with the same weights, data and options are kept.

    Args:
        folders: of the runs.
        sets: ``NAME=ROOT`` or ``LABEL:NAME=ROOT``.
        protocols: or groups; of every data set all of its own if there are none.
        corrupted: also score every protocol on corrupted images.
        overrides: ``KEY VALUE`` words that apply to all runs.
        backend_of: see :func:`~vireid.crosseval.cells.score_cell`.
    Raises:
        CellsError: some cells cannot be scored; the others are, and the files are written.
        CheckpointError, DataError, UsageError: what is wrong before the first cell.
    """
    chosen = parse_sets(sets)
    asked = dict(zip(overrides[::2], overrides[1::2], strict=False)).get(CORRUPTION, "none")
    by_set = protocols_of(chosen, protocols, corrupted=corrupted or asked != "none")
    _require_place(out, chosen)
    runs = open_runs(folders, overrides)
    with _claimed(out):
        cells = plan_cells(runs, chosen, by_set, overrides, out)
        say(_plan(runs, chosen, cells))
        results = list(_results(cells, overrides, backend_of))
        scores = mean_scores(results)
        text = as_markdown(scores)
        write_text(out / MARKDOWN, text)
        write_text(out / CSV, as_csv(scores))
        write_text(out / LATEX, as_latex(scores))
        draw_matrix(scores, out / FIGURE)
    say(f"\n{text}\nin {out}: {', '.join((MARKDOWN, CSV, LATEX, FIGURE))}")
    if failed := problems(scores):
        missing, total = sum(s.of - s.runs for s in scores), sum(s.of for s in scores)
        many = f"{missing} of {total} scores are missing (some cells failed)"
        raise CellsError("\n  ".join([f"{many}; the same command tries them again:", *failed]))


def _require_place(out: Path, sets: Sequence[EvaluationSet]) -> None:
    """Raises ``UsageError`` if the folder of the table belongs to something else."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: name a folder")
    if any((out / name).exists() for name in (CONFIG, MODEL_FILE)):
        raise UsageError(f"--out {out} holds a run or a model: name a folder of its own")
    for one in sets:
        if out.resolve().is_relative_to(one.root.resolve()):
            raise UsageError(f"--out {out} is in the data set {one.root}: name another folder")
    kept = (out / FOLDER).is_dir()
    for name in () if kept else (MARKDOWN, CSV, LATEX, FIGURE):
        if (out / name).exists():
            raise UsageError(f"--out {out} has a {name} of something else: name another folder")


@contextmanager
def _claimed(out: Path) -> Iterator[None]:
    """Makes the folder, and keeps other processes out."""
    try:
        (out / FOLDER).mkdir(parents=True, exist_ok=True)
        with locked(out):
            yield
    except BlockingIOError as error:
        raise UsageError(f"--out {out}: another process works in it; wait for it") from error


def _plan(
    runs: Sequence[EvaluatedRun], sets: Sequence[EvaluationSet], cells: Sequence[Cell]
) -> str:
    """How many cells there are, and a line for data sets that may show the same people."""
    total = sum(len(cell.protocols) for cell in cells)
    lines = [f"{len(runs)} × {len(sets)} cells (runs × data sets), {total} scores"]
    for run in runs:
        start, teacher = run.own.MODEL.PRETRAINED, run.own.TEACHER.WEIGHTS
        sources = {"started from": "" if start in WEIGHT_NAMES else start, "learnt from": teacher}
        lines += [
            f"note: {run.name} {how} {source}: what trained that is not checked"
            for how, source in sources.items()
            if source
        ]
    pairs = {
        tuple(sorted((cell.run.dataset, cell.on.dataset)))
        for cell in cells
        if not cell.own and _related(cell.run.dataset, cell.on.dataset)
    }
    lines += [
        f"note: it is not known whether {one} and {other} show the same people or places; if they "
        "do, the scores are too high"
        for one, other in sorted(pairs)
    ]
    return "\n".join(lines)


def _related(one: str, other: str) -> bool:
    return other in DATASETS[one].related or one in DATASETS[other].related


def _results(
    cells: Sequence[Cell], overrides: Sequence[str], backend_of: BackendOf
) -> Iterator[CellResult]:
    """The cells in their order, a line on the console for each."""
    find = OverlapFinder()
    said: set[str] = set()
    for number, cell in enumerate(cells, 1):
        entries, overlap = cell.kept()
        finished = all(protocol.name in entries for protocol in cell.protocols)
        if overlap is None or overlap.images is None:
            overlap = find(cell.run, cell.on.dataset, cell.splits, cell.data)
        for line in overlap.lines():
            if line not in said:
                say(f"note: {cell.name}: {line}")
                said.add(line)
        entries, failures = score_cell(cell, overlap, overrides, backend_of)
        how = "kept from before" if finished else "scored"
        scores = [f"{name} {100 * entry['mean']['mAP']:.2f}" for name, entry in entries.items()]
        text = f"{how}, mAP: {', '.join(scores)}" if scores else "not scored"
        text += f" ({len(failures)} protocols cannot be scored)" if failures and scores else ""
        say(f"{number} of {len(cells)}: {cell.name}: {text}")
        yield CellResult(cell, overlap, entries, failures)
