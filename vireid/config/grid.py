"""The cells of a grid: every combination of its entries, each with a folder's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

LONGEST_NAME = 150  # bytes of a folder's name; file systems take 255


@dataclass(frozen=True, slots=True)
class Axis:
    """One entry of a grid: options that vary together.

    Args:
        keys: names of the options.
        labels: what the values are called.
        values: per label, a value for every option, as on the command line.
        named: the file gives the labels; otherwise they are the values.
    """

    keys: tuple[str, ...]
    labels: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    named: bool

    @property
    def title(self) -> str:
        """The options' names, as the grid has them."""
        return ", ".join(self.keys)

    def settings(self, position: int) -> dict[str, str]:
        """Options and their values at one position."""
        return dict(zip(self.keys, self.values[position], strict=True))

    def folder_part(self, position: int) -> str:
        """What one position adds to the name of a cell's folder."""
        if self.named:
            return _plain(self.labels[position])
        return ",".join(f"{key}={_plain(text)}" for key, text in self.settings(position).items())


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of a grid's values.

    Args:
        name: of the folder that holds its runs.
        labels: one per axis.
        options: what it sets, as on the command line.
    """

    name: str
    labels: tuple[str, ...]
    options: Mapping[str, str]


def cells_of(axes: Sequence[Axis]) -> tuple[Cell, ...]:
    """All combinations; the last axis changes fastest."""
    return tuple(
        Cell(
            name=",".join(axis.folder_part(at) for axis, at in chosen),
            labels=tuple(axis.labels[at] for axis, at in chosen),
            options={key: text for axis, at in chosen for key, text in axis.settings(at).items()},
        )
        for chosen in (
            list(zip(axes, positions, strict=True))
            for positions in product(*(range(len(axis.labels)) for axis in axes))
        )
    )


def name_problems(cells: Sequence[Cell]) -> Iterator[str]:
    """One line per cell whose folder would be another's, or is no name for one."""
    seen: dict[str, str] = {}
    for cell in cells:
        label, name = " | ".join(cell.labels), cell.name.casefold()  # not every disk knows case
        if name in seen and seen[name] == label:
            yield f"{label} is there twice"
        elif name in seen:
            yield f"{label} and {seen[name]} would share the folder {cell.name}: change a label"
        elif not label.isprintable():
            yield f"the label {label!r} has characters that no table can print: choose another"
        elif not name or re.fullmatch(r"(seed|split)\d+", name):
            yield f"the label {label!r} makes no folder's name: choose another"
        elif len(name.encode()) > LONGEST_NAME:
            yield f"{label} is too long for a folder's name: give it a label"
        seen.setdefault(name, label)


def _plain(text: str) -> str:
    """``text`` as part of a folder's name: ``+ SDM`` → ``+_SDM``, ``[96, 48]`` → ``96,48``."""
    text = re.sub(r"[\[\]{}'\"]", "", text).replace(", ", ",")
    return re.sub(r"[^\w.+=,-]+", "_", text).strip("._")
