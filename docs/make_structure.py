"""Draws the packages of vireid and their imports: docs/figures/structure.svg.

    python docs/make_structure.py [--repo DIR] [--out FILE]

A box is a package with its number of lines. Every arrow points down, to a package that is imported;
arrows that follow from others are left out.
"""

from __future__ import annotations

import argparse
import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

from vireid.figures.style import DOUBLE, drawn

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1.05, 0.42  # inches, of a box
# The order within a floor that keeps arrows from running behind boxes.
LEFT_TO_RIGHT = (
    *("search", "deploy", "cost", "reports", "crosseval", "figures"),
    *("evaluation", "config", "data", "models", "losses", "synthetic", "structures", "utils"),
)


def read_package(folder: Path) -> tuple[dict[str, int], dict[str, set[str]]]:
    """Lines of each package in ``folder``, and the packages that each one imports."""
    lines: dict[str, int] = defaultdict(int)
    imports: dict[str, set[str]] = defaultdict(set)
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).parts[0].removesuffix(".py")
        if name.startswith("__"):
            continue
        text = path.read_text(encoding="utf-8")
        lines[name] += text.count("\n")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vireid."):
                imports[name].add(str(node.module).split(".")[1])
    return dict(lines), {name: imports[name] & lines.keys() - {name} for name in lines}


def floors_of(imports: dict[str, set[str]]) -> dict[str, int]:
    """A package's floor, 0 the top one: right above the highest package that it imports.

    A package that imports nothing is right below the lowest package that imports it.
    """
    importers = {name: {n for n in imports if name in imports[n]} for name in imports}
    order = list(TopologicalSorter(importers).static_order())  # raises CycleError
    floors: dict[str, int] = {}
    for name in order:
        floors[name] = max((floors[other] for other in importers[name]), default=-1) + 1
    for name in reversed(order):
        if imports[name]:
            floors[name] = min(floors[other] for other in imports[name]) - 1
    return floors


def direct(imports: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Imports that do not follow from others: no detour from importer to imported package."""

    def below(name: str) -> set[str]:
        return imports[name].union(*(below(other) for other in imports[name]))

    return {
        (name, other)
        for name, others in imports.items()
        for other in others
        if not any(other in below(third) for third in others - {other})
    }


def place(floors: dict[str, int]) -> dict[str, tuple[float, float]]:
    """The centre of each package's box in inches, floors from the top downwards."""
    rank = {name: number for number, name in enumerate(LEFT_TO_RIGHT)}
    places = {}
    for floor in range(max(floors.values()) + 1):
        names = sorted((n for n in floors if floors[n] == floor), key=lambda n: rank.get(n, 99))
        step = min(2.15, (DOUBLE - 0.1) / len(names))
        for number, name in enumerate(names):
            places[name] = (DOUBLE / 2 + step * (number - (len(names) - 1) / 2), -0.7 * floor)
    return places


def draw(folder: Path, out: Path) -> None:
    """Draws the packages in ``folder``, floor by floor."""
    lines, imports = read_package(folder)
    places = place(floors_of(imports))
    lowest = min(y for _, y in places.values())
    with drawn(out, DOUBLE, 0.5 - lowest, layout=None) as figure:
        from matplotlib.patches import FancyBboxPatch

        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, DOUBLE), ylim=(lowest - 0.25, 0.25))
        axes.axis("off")
        for name, (x, y) in places.items():
            corner = (x - WIDTH / 2 + 0.04, y - HEIGHT / 2 + 0.04)
            rounded = {"boxstyle": "round,pad=0.04", "facecolor": "#dbe7f3", "edgecolor": "#33506d"}
            axes.add_patch(FancyBboxPatch(corner, WIDTH - 0.08, HEIGHT - 0.08, zorder=2, **rounded))
            words = {"ha": "center", "va": "center", "zorder": 3}
            axes.text(x, y + 0.075, name, fontsize=10, weight="bold", **words)
            axes.text(x, y - 0.1, f"{lines[name]:,} lines", fontsize=8, **words)
        for name, other in sorted(direct(imports)):
            (x, y), (to_x, to_y) = places[name], places[other]
            ends = (to_x + 0.09 * (x - to_x), to_y + HEIGHT / 2), (x, y - HEIGHT / 2)
            style = {"arrowstyle": "-|>", "color": "#4d6176", "lw": 0.9}
            axes.annotate("", *ends, arrowprops=style | {"shrinkA": 0, "shrinkB": 0}, zorder=1)


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--repo", type=Path, default=ROOT, help="checkout to draw (this one)")
    line.add_argument("--out", type=Path, default=ROOT / "docs/figures/structure.svg")
    args = line.parse_args()
    draw(args.repo / "vireid", args.out)


if __name__ == "__main__":
    main()
