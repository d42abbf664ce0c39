"""Contact sheets of a data set: a row for each identity, a column for each camera."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from vireid.data.datasets.names import label_of
from vireid.errors import DataError, UsageError
from vireid.figures.image_rows import (
    GAP,
    LINE,
    TEXT,
    draw_header,
    draw_image,
    end_page,
    page_axes,
    show_image,
    write,
)
from vireid.figures.style import DOUBLE, GREY, drawn
from vireid.figures.text import fit_text, text_width
from vireid.structures import ImageRecord, Modality, Role, Splits
from vireid.utils.identities import unidentified

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IDENTITIES, ACROSS = 6, 12  # rows, and images in a row, unless the user asks for others
LEAST, HIGHEST = 0.3, 1.6  # inches: narrowest cell, highest image
CLOSE, APART = 0.03, 0.16  # inches between images of one camera, and between modalities
LABEL = 0.8  # inches: widest identity name
MISSING = "#eeeeee"  # colour of cells without an image


@dataclass(frozen=True, slots=True)
class SheetColumns:
    """Neighbouring columns of one modality and, unless the camera varies, of one camera.

    Args:
        camera: its name; None where each image has the name of its camera below it.
        images: how many columns.
    """

    modality: Modality
    camera: str | None
    images: int


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """What a contact sheet shows.

    Args:
        title: which images these are.
        columns: the visible ones first.
        rows: identity → paths of its images, one for each column; None where there is none.
        cameras: path → camera, of images whose columns are of several cameras.
    """

    title: str
    columns: Sequence[SheetColumns]
    rows: Mapping[str, Sequence[str | None]]
    cameras: Mapping[str, str] = field(default_factory=dict)


def contact_sheet(
    splits: Splits,
    split: str,
    *,
    name: str,
    ids: int | None = None,
    seed: int = 0,
    images: int | None = None,
    cameras: Collection[str] = (),
) -> ContactSheet:
    """Chooses identities at random, and images of each from every camera.

    The images of an identity and a camera are evenly spaced in the order of their paths. Each
    camera has its own columns unless more than half of the cells would then be empty.

    Args:
        split: ``train``, ``val`` or ``test``.
        name: of the data set, for the title.
        ids: how many identities; None for 6, or all of fewer.
        images: of each identity and camera; None for as many as fill a row of 12.
        cameras: only these, by name or number.
    Raises:
        DataError: the split has no image, or none of these cameras.
        UsageError: there are fewer identities.
    """
    records = _records(splits, split, cameras)
    pids = sorted({record.pid for record in records})
    count = min(IDENTITIES, len(pids)) if ids is None else ids
    if not 1 <= count <= len(pids):
        raise UsageError(f"--ids {count}: {len(pids)} identities have images here")
    chosen = sorted(np.random.default_rng(seed).choice(pids, count, replace=False).tolist())
    paths: dict[tuple[int, Modality, int], list[str]] = defaultdict(list)
    for record in sorted(records, key=lambda one: one.path):
        if record.pid in chosen:
            paths[record.pid, record.modality, record.camid].append(record.path)
    columns = sorted({(record.modality, record.camid) for record in records})
    each = max(1, ACROSS // len(columns)) if images is None else images
    each = min(each, max(map(len, paths.values())))
    shown = f"first frames of {split} tracks" if records[0].frames else f"{split} images"
    title = f"{name}, {shown}: {count} of {len(pids)} identities, seed {seed}"
    named = {pid: str(label_of(pid, splits.identities)) for pid in chosen}
    labels = {camid: str(label_of(camid, splits.cameras)) for _, camid in columns}
    cells = {
        named[pid]: {column: _spread(paths.get((pid, *column), []), each) for column in columns}
        for pid in chosen
    }
    if 2 * len(paths) < len(columns) * len(chosen):
        return _without_camera_columns(title, cells, labels)
    rows = {name: [path for many in row.values() for path in many] for name, row in cells.items()}
    each_column = [SheetColumns(modality, labels[camid], each) for modality, camid in columns]
    return ContactSheet(title, each_column, rows)


def _without_camera_columns(
    title: str,
    cells: Mapping[str, Mapping[tuple[Modality, int], Sequence[str | None]]],
    labels: Mapping[int, str],
) -> ContactSheet:
    """A sheet whose images are side by side, whatever camera took them.

    Args:
        cells: identity → modality and camera → paths.
        labels: names of the cameras.
    """
    kinds = sorted({modality for row in cells.values() for modality, _ in row})
    found: dict[tuple[str, Modality], list[str]] = defaultdict(list)
    cameras: dict[str, str] = {}
    for name, row in cells.items():
        for (modality, camid), paths in row.items():
            taken = [path for path in paths if path]
            found[name, modality] += taken
            cameras |= dict.fromkeys(taken, labels[camid])
    most = {kind: max(len(found[name, kind]) for name in cells) for kind in kinds}
    each = {kind: min(most[kind], ACROSS // len(kinds)) for kind in kinds}
    rows = {
        name: [path for kind in kinds for path in _spread(found[name, kind], each[kind])]
        for name in cells
    }
    columns = [SheetColumns(kind, None, each[kind]) for kind in kinds]
    return ContactSheet(title, columns, rows, cameras)


def _records(splits: Splits, split: str, cameras: Collection[str]) -> list[ImageRecord]:
    """The images of identities, without copies of them, of some cameras or all."""
    found: Sequence[ImageRecord] = getattr(splits, split)
    if not found:
        remedy = ": DATA.SPLIT train keeps some" if split == "val" else ""
        raise DataError(f"{splits.root} has no {split} images{remedy}")
    unknown = unidentified({record.pid for record in found})
    # VeRi-776 holds its queries twice
    both = {_file(record) for record in found if record.role is Role.GALLERY}
    found = [r for r in found if not (r.role is Role.QUERY and _file(r) in both)]
    found = [r for r in found if r.pid not in unknown]
    names = {str(c): str(label_of(c, splits.cameras)) for c in {r.camid for r in found}}
    for camera in cameras:
        if camera not in names and camera not in names.values():
            listed = ", ".join(sorted(names.values(), key=lambda name: (len(name), name)))
            raise DataError(f"no {split} image is of camera {camera!r}; there are {listed}")
    if cameras:
        found = [r for r in found if {str(r.camid), names[str(r.camid)]} & set(cameras)]
    return list(found)


def _file(record: ImageRecord) -> tuple[int, int, Modality, str]:
    return record.pid, record.camid, record.modality, PurePosixPath(record.path).name


def _spread(paths: Sequence[str], count: int) -> list[str | None]:
    """``count`` of the paths, evenly spaced; None for those that are missing."""
    if len(paths) <= count:
        return [*paths, *[None] * (count - len(paths))]
    return [paths[(2 * k + 1) * len(paths) // (2 * count)] for k in range(count)]


def draw_contact_sheet(sheet: ContactSheet, root: Path, path: Path) -> None:
    """Draws rows of identities, their names at the left, and the cameras' names above.

    Args:
        root: folder that the paths are relative to.
    Raises:
        DataError: an image is missing or cannot be read.
        UsageError: the figure would be too large.
    """
    places = {place for row in sheet.rows.values() for place in row if place}
    pictures = {place: show_image(root / place) for place in sorted(places)}
    slope = min(3.0, max(picture.height / picture.width for picture in pictures.values()))
    names = {name: fit_text(name, LABEL, TEXT, lines=3) for name in sheet.rows}
    lines = [line for name in names.values() for line in name.split("\n")]
    label = max(text_width(line, TEXT) for line in [*lines, "identity"]) + GAP
    width, cell, lefts = _columns(sheet.columns, slope, GAP + label)
    height = slope * cell
    with drawn(path, width, 1, layout=None) as figure:
        axes = page_axes(figure)
        upper = draw_header(axes, sheet.title, {}, _notes(sheet), width=width) + 2 * GAP
        upper = _draw_titles(axes, sheet.columns, lefts, cell, upper)
        for name, row in sheet.rows.items():
            number = names[name].count("\n") + 1
            write(axes, GAP, upper + max(0, height - LINE * number) / 2, names[name])
            lower = max(upper + height, upper + LINE * number)
            for left, one in zip(lefts, row, strict=True):
                place = (left, upper, cell, height)
                if one:
                    draw_image(axes, pictures[one], place)
                    if sheet.cameras:
                        text = fit_text(sheet.cameras[one], cell, TEXT, lines=2)
                        below = write(
                            axes, left + cell / 2, upper + height + 0.02, text, ha="center"
                        )
                        lower = max(lower, below)
                elif not sheet.cameras:
                    _draw_missing(axes, place)
            upper = lower + CLOSE
        end_page(figure, upper + GAP)


def _notes(sheet: ContactSheet) -> list[str]:
    if sheet.cameras:
        return ["below each image: its camera"]
    missing = any(None in row for row in sheet.rows.values())
    return ["– no image, or no further one, of this identity by this camera"] * missing


def _draw_missing(axes: Axes, place: tuple[float, float, float, float]) -> None:
    from matplotlib.patches import Rectangle

    left, upper, width, height = place
    axes.add_patch(Rectangle((left, upper), width, height, color=MISSING, linewidth=0))
    write(axes, left + width / 2, upper + (height - LINE) / 2, "–", ha="center")


def _columns(
    columns: Sequence[SheetColumns], slope: float, left: float
) -> tuple[float, float, list[float]]:
    """Inches: width of the figure and of a cell, and where each column begins."""
    steps: list[float] = []  # before each column, but for the cells
    for before, after in zip([None, *columns], columns, strict=False):
        apart = 0 if before is None else GAP if before.modality is after.modality else APART
        steps += [apart, *[CLOSE] * (after.images - 1)]
    room = DOUBLE - left - GAP - sum(steps)
    cell = max(LEAST, min(HIGHEST / slope, room / len(steps)))
    lefts = [left + sum(steps[: k + 1]) + k * cell for k in range(len(steps))]
    return max(DOUBLE, lefts[-1] + cell + GAP), cell, lefts


def _draw_titles(
    axes: Axes, columns: Sequence[SheetColumns], lefts: Sequence[float], cell: float, upper: float
) -> float:
    """Names of modalities and cameras above their columns; returns where the images begin."""
    first, titles = 0, []
    spans: dict[Modality, list[float]] = defaultdict(list)
    for one in columns:
        left, right = lefts[first], lefts[first + one.images - 1] + cell
        first += one.images
        spans[one.modality] += [left, right]
        titles += [(left, right - left, one.camera)] if one.camera else []
    narrow = any(width < text_width("camera", TEXT) for _, width, _ in titles)
    write(axes, GAP, upper, "identity", color=GREY)
    for modality, edges in spans.items():
        name = modality.name.lower() + (", by camera" if narrow else "")
        write(axes, min(edges), upper, name, weight="bold")
        line = upper + 1.15 * LINE
        axes.plot([min(edges), max(edges)], [line, line], color="black", linewidth=0.6)
    below = lower = upper + 1.4 * LINE
    for left, width, camera in titles:
        name = camera if narrow else f"camera {camera}"
        text = fit_text(name, width + CLOSE, TEXT, lines=3)
        lower = max(lower, write(axes, left + width / 2, below, text, ha="center"))
    return lower + GAP / 2
