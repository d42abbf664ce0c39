"""What a sweep leaves beside its runs: tables and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid.analysis.sweep_costs import costs_of
from vireid.analysis.sweep_plot import draw_sweep
from vireid.analysis.sweep_stats import read_scores, tidy_csv
from vireid.analysis.sweep_table import as_csv, as_latex, as_markdown, tables
from vireid.config.sweep import Sweep
from vireid.engine.sweep import Run
from vireid.evaluation.output import replace_file

FIGURE = "sweep.png"


def write_results(sweep: Sweep, runs: Sequence[Run], finished: Sequence[Run], output: Path) -> None:
    """Tables and picture into the sweep's folder; the tables are printed, too.

    Args:
        runs: all of them, which tell what the networks cost.
        finished: those that have results.
    """
    values, costs = read_scores(finished), costs_of(runs)
    absolute, relative = tables(sweep, values, costs)
    both = [table for table in (absolute, relative) if table.rows]
    texts = {
        "sweep.csv": tidy_csv(sweep, values, costs),
        "table.md": "\n\n".join(map(as_markdown, both)) + "\n",
        "table.csv": as_csv(absolute),
        "differences.csv": as_csv(relative),
        "table.tex": "\n\n".join(map(as_latex, both)) + "\n",
    }
    for name, text in texts.items():
        replace_file(output / name, lambda file, text=text: file.write(text.encode()))
    print("\n" + texts["table.md"])
    drawn = draw_sweep(sweep, values, output / FIGURE, costs)
    names = [*texts, FIGURE] if drawn else [*texts]
    print(f"in {output}: {', '.join(names)}")
    if not drawn:
        print(f"no {FIGURE}: the grid has {len(sweep.axes)} entries, and a picture shows two")
