"""How far scores spread over seeds, and how many seeds a difference needs.

The statistics take scores of different seeds as independent and normally distributed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid.errors import DataError
from vireid.evaluation.results import read_results
from vireid.runs.options import recipe_of
from vireid.runs.run_scores import RESULTS, recipe_names, require_same_rules
from vireid.utils import tables

if TYPE_CHECKING:  # pandas takes half a second to import
    import pandas as pd

METRICS = ("rank1", "mAP")
CONFIDENCE = 0.95  # of intervals and tolerances; 1 - it is the error of a two-sided test
POWER = 0.8  # how often as many seeds as are named show the difference
MOST_SEEDS = 10_000
COLUMNS = ("recipe", "protocol", "metric", "seeds", "mean", "sd", "95 % interval of sd")
NEEDED = ("seeds of each for", "pairs for")  # … so many points
NOTE = (
    "Per cent and points; sd: sample standard deviation (n - 1). The last two columns: how many "
    "seeds or pairs a two-sided t-test with 5 % error needs to show the difference in 80 % of the "
    "experiments; in brackets: at the limits of sd's interval. Pairs have the same seed and split."
)
NOTHING = "–"


def mean_tolerance(sd: float, measured: int, again: int) -> float:
    """How far the mean of other seeds may be from a measured one, when nothing has changed.

    t · sd · √(1/n + 1/m): 95 % of the means over m seeds are within it of a mean over n seeds.

    Args:
        sd: sample standard deviation over the ``measured`` seeds (n ≥ 2).
        again: how many seeds the other mean has (m).
    """
    from scipy.stats import t

    quantile = t.ppf(0.5 + CONFIDENCE / 2, measured - 1)
    return float(quantile * sd * math.sqrt(1 / measured + 1 / again))


def deviation_interval(sd: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a standard deviation, from the χ² distribution.

    Args:
        sd: sample standard deviation of ``count`` ≥ 2 values.
    """
    from scipy.stats import chi2

    low, high = chi2.ppf([0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2], count - 1)
    return sd * math.sqrt((count - 1) / high), sd * math.sqrt((count - 1) / low)


def seeds_needed(sd: float, difference: float, *, paired: bool) -> int:
    """The fewest seeds with which a t-test shows a true difference in 80 % of the experiments.

    Two-sided, with an error of 5 %.

    Args:
        sd: of the differences of pairs, or of the scores of either variant.
        difference: of the true means, > 0.
        paired: both variants have the same seeds; otherwise each has as many.
    Returns:
        number of pairs, or of seeds of each variant; ``MOST_SEEDS`` when more are needed.
    """
    if difference <= 0:
        raise ValueError(f"the difference must be > 0, got {difference}")
    low, high = 1, 2  # too few, perhaps enough
    while high < MOST_SEEDS and _power(high, sd, difference, paired) < POWER:
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        enough = _power(middle, sd, difference, paired) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return high


def _power(count: int, sd: float, difference: float, paired: bool) -> float:
    """How often the test shows the difference."""
    from scipy.stats import nct, t

    if sd == 0:
        return 1.0
    freedom = count - 1 if paired else 2 * count - 2
    shift = difference / sd * math.sqrt(count if paired else count / 2)
    limit = t.ppf(0.5 + CONFIDENCE / 2, freedom)
    # the other tail is below 1e-3 where the power is near 0.8
    return float(nct.sf(limit, freedom, shift))


def seed_table(runs: Sequence[Path], difference: float) -> pd.DataFrame:
    """A row per recipe, protocol and metric, and one for each recipe's difference to the first.

    Args:
        runs: finished; those of several recipes are paired by seed and split.
        difference: of the true means, in points.
    Returns:
        texts; per cent and points. Behind each number of seeds: at the limits of sd's interval.
    Raises:
        DataError: results are missing, were not scored alike, or a recipe has one run only.
    """
    import pandas as pd

    recipes = _scores_by_recipe(runs)
    names = recipe_names(recipes)
    protocols = dict.fromkeys(protocol for of in recipes.values() for protocol, _ in of)
    rows = []
    for protocol, metric in product(protocols, METRICS):
        columns = {
            names[recipe]: _column(recipe, scores, protocol, metric)
            for recipe, scores in recipes.items()
        }
        title, first = next(iter(columns.items()))
        rows += [(name, protocol, metric, *_row(of, difference)) for name, of in columns.items()]
        for name, of in list(columns.items())[1:]:
            what = f"{name} − {title}"
            rows.append((what, protocol, metric, *_difference_row(first, of, difference)))
    return pd.DataFrame(rows, columns=[*COLUMNS, *(f"{one} {difference:g}" for one in NEEDED)])


Column = dict[str, float]  # one metric of one protocol in per cent, by seed and split


def _scores_by_recipe(runs: Sequence[Path]) -> dict[Path, dict[tuple[str, str], dict[str, float]]]:
    """Recipe → (protocol, run's path within the recipe) → score by metric, a fraction."""
    recipes: dict[Path, dict[tuple[str, str], dict[str, float]]] = {}
    entries: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    for run in (run.resolve() for run in runs):
        for protocol, entry in read_results(run / RESULTS)["protocols"].items():
            entries.setdefault(protocol, []).append((run, entry))
            recipe = recipe_of(run)
            scores = recipes.setdefault(recipe, {})
            scores[protocol, str(run.relative_to(recipe))] = entry["mean"]
    for protocol, of_runs in entries.items():
        require_same_rules(protocol, of_runs)
    return recipes


def _column(
    recipe: Path, scores: Mapping[tuple[str, str], Mapping[str, float]], protocol: str, metric: str
) -> Column:
    found = {run: 100 * of[metric] for (name, run), of in scores.items() if name == protocol}
    if len(found) < 2:
        raise DataError(
            f"{recipe} has {len(found)} finished run(s) with {protocol}: a spread needs two seeds"
        )
    return found


def _row(values: Column, difference: float) -> tuple[str, ...]:
    sd, count = statistics.stdev(values.values()), len(values)
    mean, interval = statistics.fmean(values.values()), deviation_interval(sd, count)
    needed = _needed(sd, interval, difference, paired=False)
    return (*_statistics(count, f"{mean:.2f}", sd, interval), needed, NOTHING)


def _difference_row(first: Column, other: Column, difference: float) -> tuple[str, ...]:
    """The pairs are runs of the same seed and split; the unpaired test takes all runs."""
    variances = [statistics.variance(of.values()) for of in (first, other)]
    pooled = math.sqrt(statistics.fmean(variances))
    interval = deviation_interval(pooled, len(first) + len(other) - 1)
    unpaired = _needed(pooled, interval, difference, paired=False)
    pairs = [other[run] - first[run] for run in first if run in other]
    if len(pairs) < 2:
        change = statistics.fmean(other.values()) - statistics.fmean(first.values())
        return (str(len(pairs)), f"{change:+.2f}", NOTHING, NOTHING, unpaired, NOTHING)
    sd, count = statistics.stdev(pairs), len(pairs)
    interval = deviation_interval(sd, count)
    paired = _needed(sd, interval, difference, paired=True)
    shown = _statistics(count, f"{statistics.fmean(pairs):+.2f}", sd, interval)
    return (*shown, unpaired, paired)


def _statistics(
    count: int, mean: str, sd: float, interval: tuple[float, float]
) -> tuple[str, str, str, str]:
    return str(count), mean, f"{sd:.2f}", f"{interval[0]:.2f} – {interval[1]:.2f}"


def _needed(sd: float, interval: tuple[float, float], difference: float, *, paired: bool) -> str:
    """``18 (9 – 63)``: with the standard deviation as measured, and at its limits."""
    own, low, high = (seeds_needed(one, difference, paired=paired) for one in (sd, *interval))
    return f"{own} ({low} – {high})"


def _as_latex(table: pd.DataFrame) -> str:
    return tables.latex(table, note=NOTE, columns="lll" + "r" * (len(table.columns) - 3))


SEED_FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "md": lambda table: f"{NOTE}\n\n{tables.markdown(table)}",
    "csv": tables.csv,
    "latex": _as_latex,
}
