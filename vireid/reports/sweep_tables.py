"""A sweep's folder for its page: tables over cells, the state of every run, its figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vireid.config.load import find_config
from vireid.errors import DataError, UsageError
from vireid.reports.figures import PageFigure, drawn_figure
from vireid.reports.page_tables import PageTable
from vireid.runs.options import recipe_of
from vireid.sweeps.planner import RunState, SweepRun, saved_runs
from vireid.sweeps.plots import draw_sweep
from vireid.sweeps.spec import SWEEP_FILE, Sweep, read_sweep
from vireid.sweeps.tables import SweepTable, read_scores, sweep_tables

STATES = {
    RunState.FINISHED: "finished",
    RunState.INTERRUPTED: "not finished",
    RunState.UNSAVED: "not finished",
    RunState.NEW: "missing",
}


@dataclass(frozen=True, slots=True)
class RunLink:
    """The state of one run, and the anchor of its section where it has one."""

    state: str
    anchor: str


@dataclass(frozen=True, slots=True)
class StateTable:
    """A row per cell, and a column per seed (and split)."""

    header: Sequence[str]
    rows: Mapping[str, Sequence[RunLink]]


@dataclass(frozen=True, slots=True)
class SweepFolder:
    """A sweep, and what its folder holds.

    Args:
        runs: all of them, also those that are missing.
    """

    sweep: Sweep
    folder: Path
    runs: Mapping[SweepRun, RunState]

    @property
    def finished(self) -> list[SweepRun]:
        """The runs with results, by cells."""
        done = [run for run, state in self.runs.items() if state is RunState.FINISHED]
        order = {cell.name: at for at, cell in enumerate(self.sweep.cells)}
        return sorted(done, key=lambda run: order[run.cell.name])

    @property
    def names(self) -> dict[str, str]:
        """What tables call the cells, by their folders' names."""
        return {cell.name: self.sweep.describe(cell) for cell in self.sweep.cells}

    @property
    def baseline(self) -> str:
        return self.sweep.describe(self.sweep.baseline)

    def cell_of(self, run: Path) -> str:
        return self.names[recipe_of(run).name]

    def summary(self) -> str:
        """How many runs are in which state."""
        counts = Counter(STATES[state] for state in self.runs.values())
        return ", ".join(f"{count} {state}" for state, count in counts.items())

    def tables(self) -> list[PageTable]:
        """Means over each cell's runs, and differences to the baseline."""
        scores, costs = read_scores(self.finished), self._costs()
        both = sweep_tables(self.sweep, scores, costs)
        return [_page_table(table) for table in both if len(table.labels)]

    def figures(self) -> list[PageFigure]:
        """The sweep's figure, where its grid is one that a figure can show."""
        if len(self.sweep.axes) > 2:
            return []
        scores, costs = read_scores(self.finished), self._costs()
        caption = f"Scores of {self.folder.name} over what it varies"
        return [drawn_figure(lambda path: draw_sweep(self.sweep, scores, costs, path), caption)]

    def states(self, anchors: Mapping[str, str]) -> StateTable:
        """Which runs are finished.

        Args:
            anchors: of the runs' sections, by their folders within the sweep's.
        """
        columns: dict[str, None] = {}
        rows: dict[str, list[RunLink]] = {}
        for run, state in self.runs.items():
            split = "" if run.trial is None else f"split {run.trial}, "
            columns[f"{split}seed {run.seed}"] = None
            link = RunLink(STATES[state], anchors.get(run.name, ""))
            rows.setdefault(self.sweep.describe(run.cell), []).append(link)
        return StateTable(list(columns), rows)

    def _costs(self) -> pd.DataFrame:
        """``parameters`` and ``macs`` by cell, as the sweep tool counted them; empty without it."""
        columns = ["parameters", "macs"]
        path = self.folder / "sweep.csv"
        try:
            saved = pd.read_csv(path)[["cell", *columns]].drop_duplicates("cell")
        except (OSError, ValueError, KeyError):
            return pd.DataFrame(columns=columns)
        by_title = {title: name for name, title in self.names.items()}
        saved = saved.assign(cell=saved["cell"].map(by_title)).dropna()
        return saved.set_index("cell")[columns].astype("Int64")


def sweep_folder(folder: Path, file: Path | None = None) -> SweepFolder | None:
    """The sweep that a folder holds; None where it holds none whose file is known.

    Args:
        file: of the sweep; None: the copy in the folder, or else the project's own of that name.
    Raises:
        UsageError: the file cannot be read, or describes other runs.
        DataError: no run is finished.
    """
    folder = folder.resolve()
    copy, own = folder / SWEEP_FILE, find_config(Path(f"configs/sweeps/{folder.name}.yaml"))
    known = file or next((path for path in (copy, own) if path.is_file()), None)
    if known is None:
        return None
    sweep = read_sweep(known, need_base=False)
    found = SweepFolder(sweep, folder, saved_runs(sweep, folder))
    if any(state is not RunState.NEW for state in found.runs.values()):
        if found.finished:
            return found
        raise DataError(f"{folder}: no run of this sweep is finished yet")
    if file is not None:
        raise UsageError(f"--sweep {file}: {folder} holds none of its runs")
    return None


def _page_table(table: SweepTable) -> PageTable:
    texts = table.texts()
    header = [" ".join(title).strip() for title in texts.columns]
    rows = texts.astype(str).to_numpy().tolist()
    return PageTable(table.note, header, rows, names=len(table.labels.columns))
