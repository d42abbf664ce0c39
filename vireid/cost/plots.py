"""What networks score beside what they cost."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yacs.config import CfgNode

from vireid.config.load import flatten
from vireid.config.schema import Effect, options_of, options_of_cost
from vireid.cost.tables import Cost, Subject
from vireid.errors import DataError, UsageError
from vireid.evaluation.results import read_results
from vireid.figures.style import COLORS, DOUBLE, drawn, tidy
from vireid.runs.options import recipe_of
from vireid.runs.scores import mean_and_std, recipe_names, require_same_rules

if TYPE_CHECKING:
    from matplotlib.axes import Axes
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer


@dataclass(frozen=True, slots=True)
class Recipe:
    """Runs of one network: other seeds, other splits.

    Args:
        runs: folder → its configuration.
    """

    name: str
    runs: Mapping[Path, CfgNode]


@dataclass(frozen=True, slots=True)
class Point:
    """A network's cost and its scores.

    Args:
        mean, std: of COLUMNS, in per cent, over ``runs`` runs; the population's deviation.
    """

    cost: Cost
    mean: Mapping[str, float]
    std: Mapping[str, float]
    runs: int


def group(runs: Mapping[Path, CfgNode]) -> list[Recipe]:
    """Runs by recipe, as the table tool groups them.

    Raises:
        UsageError: runs of a recipe are of different networks.
    """
    folders: dict[Path, dict[Path, CfgNode]] = {}
    for run, cfg in runs.items():
        folders.setdefault(recipe_of(run.resolve()), {})[run] = cfg
    for members in folders.values():
        _require_alike(members)
    names = recipe_names(folders)
    return [Recipe(names[folder], members) for folder, members in folders.items()]


def _require_alike(members: Mapping[Path, CfgNode]) -> None:
    (first, cfg), *others = members.items()
    expected, starts = flatten(cfg), options_of(Effect.START)
    for run, other in others:
        for key, value in flatten(other).items():
            decides = (key.startswith("MODEL.") and key not in starts) or key in options_of_cost()
            if decides and value != expected[key]:
                raise UsageError(
                    f"{run} and {first} are no seeds of one network: {key} is {value!r} and "
                    f"{expected[key]!r}; name one of them only, or move it to another folder"
                )


def points(
    costs: Sequence[Cost], members: Sequence[Mapping[Path, str]], dataset: str, protocol: str
) -> list[Point]:
    """One point per network.

    Args:
        members: for each network, its runs and the fingerprints of their data.
        dataset: as DATA.DATASET names it.
    Raises:
        DataError: a run was not scored so, or not by the same rules as the others.
    """
    found = []
    scored: list[tuple[Path, dict[str, Any]]] = []
    for cost, runs in zip(costs, members, strict=True):
        entries = {run: _entry(run, cost.subject, dataset, data, protocol)
                   for run, data in runs.items()}  # fmt: skip
        scored += entries.items()
        require_same_rules(protocol, scored)
        found.append(Point(cost, *mean_and_std(entries.values()), len(entries)))
    return found


def _entry(run: Path, subject: Subject, dataset: str, data: str, protocol: str) -> dict[str, Any]:
    """The scores of just these features of just these images."""
    wanted = {
        "dataset": dataset,
        "data": data,
        "exit": subject.exit_name,
        "embedding": subject.embedding,
        "flip": subject.flip,
        "input_size": list(subject.size),
    }
    files = [run / "results.json", *sorted(run.glob("results_*.json"))]
    for results in map(read_results, files):
        same = all(results["source"].get(key, value) == value for key, value in wanted.items())
        if same and protocol in results["protocols"]:
            return results["protocols"][protocol]
    options = f"TEST.EXIT {subject.exit_name} TEST.EMBED {subject.embedding}"
    raise DataError(
        f"{run} has no scores by {protocol} of the exit {subject.exit_name} ({subject.features}): "
        f"score them with the evaluate tool and --protocols {protocol} {options}"
    )


def scored_protocols(run: Path) -> list[str]:
    """Names of the protocols in a run's results.json, in its order.

    Raises:
        DataError: it is missing or damaged.
    """
    return list(read_results(run / "results.json")["protocols"])


HATCHES = ("", "///", "...", "xx")  # runtimes, told apart without colours, too
LONG_BAR_LABEL = 28  # characters of a row's name


def draw_bars(costs: Sequence[Cost], path: Path) -> None:
    """Milliseconds per image: a panel for each batch, a bar for each network and runtime.

    The line over a bar's end runs from the first to the third quartile.

    Args:
        costs: with times of the same runtimes and batches.
        path: PNG, PDF or SVG.
    """
    runtimes = list(dict.fromkeys(runtime for runtime, _ in costs[0].times))
    batches = list(dict.fromkeys(batch for _, batch in costs[0].times))
    labels = _bar_labels(costs)
    rows = len(costs) * len(runtimes)
    lines = max(rows, sum(label.count("\n") + 1 for label in labels))
    with drawn(path, DOUBLE, 1.0 + 0.24 * lines) as figure:
        panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
        for axes, batch in zip(panels, batches, strict=True):
            for place, runtime in enumerate(runtimes):
                _draw_runtime(axes, costs, (runtime, batch), place, len(runtimes))
            axes.set_yticks(range(len(costs)), labels)
            axes.margins(x=0.2)  # the numbers behind the bars
            axes.set_xlabel(f"ms per image, batch {batch}")
            tidy(axes)
            axes.grid(visible=False, axis="y")
        panels[0].invert_yaxis()
        if len(runtimes) > 1:
            handles = panels[0].get_legend_handles_labels()
            figure.legend(*handles, loc="outside upper center", ncols=len(runtimes), frameon=False)


def _draw_runtime(
    axes: Axes, costs: Sequence[Cost], key: tuple[str, int], place: int, places: int
) -> None:
    times = [cost.times[key] for cost in costs]
    height = 0.8 / places
    at = [row + (place - (places - 1) / 2) * height for row in range(len(costs))]
    quartiles = [time.quartiles_ms for time in times]
    medians = [time.median_ms for time in times]
    bars = axes.barh(
        at,
        medians,
        height=height * 0.9,
        xerr=[
            [median - low for median, (low, _) in zip(medians, quartiles, strict=True)],
            [high - median for median, (_, high) in zip(medians, quartiles, strict=True)],
        ],
        error_kw={"linewidth": 0.8, "capsize": 2},
        color=COLORS[place % len(COLORS)],
        hatch=HATCHES[place % len(HATCHES)],
        edgecolor="white",
        label=key[0],
    )
    axes.bar_label(bars, [f"{median:.3g}" for median in medians], padding=3, fontsize=7)


def _bar_labels(costs: Sequence[Cost]) -> list[str]:
    """A network's name, and its exit where those differ."""
    several = len({cost.subject.exit_name for cost in costs}) > 1
    names = [
        f"{cost.subject.name}, {cost.subject.exit_name}" if several else cost.subject.name
        for cost in costs
    ]
    return [textwrap.fill(name, LONG_BAR_LABEL) for name in names]


METRICS = {"rank1": "rank-1 (%)", "mAP": "mAP (%)"}
MARKERS = "os^DvPX*<>"
LONG_LABEL = 46  # characters that half the width holds
FAR_APART = 20  # from this ratio of the highest cost to the lowest on, the axis is logarithmic


def _first_time(cost: Cost) -> float:
    return next(iter(cost.times.values())).median_ms


# What stands below the axis, and the number of a network
AXES: Mapping[str, tuple[str, Callable[[Cost], float]]] = {
    "macs": ("multiply-accumulates per image (M)", lambda cost: cost.macs / 1e6),
    "parameters": ("deployed parameters (M)", lambda cost: cost.parameters / 1e6),
    "latency": ("milliseconds per image", _first_time),
}


def draw_scatter(points: Sequence[Point], path: Path, *, protocol: str, over: str) -> None:
    """Rank-1 and mAP over cost; bars are standard deviations over runs.

    Args:
        protocol: what the scores are of.
        over: a key of :data:`AXES`; times are those of the first runtime and batch.
        path: PNG, PDF or SVG.
    """
    labels = [_label(point, points) for point in points]
    columns = 2 if max(map(len, labels)) <= LONG_LABEL else 1
    lines = sum(text.count("\n") + 1 for text in labels) / columns
    title = protocol + ("; bars: std over runs" if any(p.runs > 1 for p in points) else "")
    with drawn(path, DOUBLE, 2.9 + 0.17 * lines) as figure:
        for axes, metric in zip(figure.subplots(1, 2), METRICS, strict=True):
            handles = _draw_panel(axes, points, metric=metric, over=over)
        style = {"ncols": columns, "title": title, "frameon": False}
        figure.legend(handles, labels, loc="outside upper center", **style)


def _draw_panel(
    axes: Axes, points: Sequence[Point], *, metric: str, over: str
) -> list[ErrorbarContainer]:
    """Draws a mark for each network, and returns them in that order."""
    label, cost_of = AXES[over]
    at = [cost_of(point.cost) for point in points]
    names = list(dict.fromkeys(point.cost.subject.name for point in points))
    marks = [
        axes.errorbar(
            x,
            point.mean[metric],
            yerr=point.std[metric] if point.runs > 1 else None,
            fmt=MARKERS[i % len(MARKERS)],
            color=COLORS[names.index(point.cost.subject.name) % len(COLORS)],
            markersize=7,
            markeredgecolor="black",
            markeredgewidth=0.5,
            capsize=3,
        )
        for i, (x, point) in enumerate(zip(at, points, strict=True))
    ]
    if min(at) > 0 and max(at) / min(at) > FAR_APART:
        axes.set_xscale("log")
    axes.margins(0.12, 0.15)
    axes.set_xlabel(label + _conditions(points[0].cost, over))
    axes.set_ylabel(METRICS[metric])
    tidy(axes)
    return marks


def _conditions(cost: Cost, over: str) -> str:
    if over != "latency":
        return ""
    (runtime, batch), time = next(iter(cost.times.items()))
    plural = "s" if time.threads > 1 else ""
    return f"\n({runtime}, batch {batch}, {time.device}, {time.threads} CPU thread{plural})"


def _label(point: Point, points: Sequence[Point]) -> str:
    """The network's name; its exit and features where those differ."""
    kinds = {(p.cost.subject.exit_name, p.cost.subject.features) for p in points}
    subject = point.cost.subject
    words = [subject.name]
    if len(kinds) > 1:
        words.append(f"{subject.exit_name}, {subject.features}")
    return textwrap.fill(": ".join(words), 2 * LONG_LABEL)
