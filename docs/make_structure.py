"""Draws the packages of vireid and their imports: docs/figures/structure.png.

    python docs/make_structure.py [--repo DIR] [--out FILE]

A box is a package, its area the number of lines. Every arrow points down, to a package that is
imported; arrows that follow from others are left out.
"""

from __future__ import annotations

import argparse
import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

from vireid.figures.style import drawn

ROOT = Path(__file__).resolve().parents[1]


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
    """A package's floor, 0 the top one: one below the lowest package that imports it."""
    importers = {name: {n for n in imports if name in imports[n]} for name in imports}
    order = list(TopologicalSorter(importers).static_order())  # raises CycleError
    floors: dict[str, int] = {}
    for name in order:
        floors[name] = max((floors[other] for other in importers[name]), default=-1) + 1
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


def draw(folder: Path, out: Path) -> None:
    """Draws the packages in ``folder``, floor by floor."""
    lines, imports = read_package(folder)
    floors = floors_of(imports)
    boxes = {}
    for level in range(max(floors.values()) + 1):
        names = sorted((n for n in floors if floors[n] == level), key=lambda n: -lines[n])
        widths = {name: 0.95 + lines[name] / 2600 for name in names}
        x = 6 - (sum(widths.values()) + 0.45 * (len(names) - 1)) / 2
        for name in names:
            boxes[name] = (x + widths[name] / 2, -level, widths[name])
            x += widths[name] + 0.45
    with drawn(out, 11, 1.15 * (max(floors.values()) + 1)) as figure:
        from matplotlib.patches import Rectangle

        axes = figure.subplots()
        for name, (x, y, width) in boxes.items():
            corner, height = (x - width / 2, y - 0.24), 0.48
            colors = {"facecolor": "#dbe7f3", "edgecolor": "#33506d"}
            axes.add_patch(Rectangle(corner, width, height, zorder=2, **colors))
            axes.text(
                x, y, f"{name}\n{lines[name]:,}", ha="center", va="center", fontsize=8, zorder=3
            )
        for name, other in sorted(direct(imports)):
            (x, y, _), (to_x, to_y, _) = boxes[name], boxes[other]
            style = {"arrowstyle": "->", "color": "#7a8ca0", "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", (to_x, to_y + 0.24), (x, y - 0.24), arrowprops=style, zorder=1)
        axes.set(xlim=(0.5, 11.5), ylim=(-max(floors.values()) - 0.4, 0.4))
        axes.axis("off")


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--repo", type=Path, default=ROOT, help="checkout to draw (this one)")
    line.add_argument("--out", type=Path, default=ROOT / "docs/figures/structure.png")
    args = line.parse_args()
    draw(args.repo / "vireid", args.out)


if __name__ == "__main__":
    main()
