"""Contact sheets: identities as rows; cameras, or the sides of a vehicle, as columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vireid.synthetic.vehicles.render import VIEWPOINTS
from vireid.synthetic.writers.vehicles import viewpoints_by_identity

ROWS = 6
HEADER = 14  # pixels
PAPER = (235, 235, 235)
GAP = 3  # pixels between modalities
COLOURS = 256  # palette of a PNG: a third of the bytes

Column = tuple[str, str, int]  # title, pattern of the files with {pid}, which of them

COLUMNS: dict[str, tuple[tuple[Column, ...], ...]] = {  # by layout, one group per modality
    "sysu": (
        tuple((f"cam{c}", f"cam{c}/{{pid:04d}}/*.jpg", k) for c in (1, 2, 4, 5) for k in (0, 1)),
        tuple((f"cam{c} IR", f"cam{c}/{{pid:04d}}/*.jpg", k) for c in (3, 6) for k in (0, 1)),
    ),
    "regdb": (
        tuple(("visible", "Visible/{pid}/*.bmp", k) for k in range(5)),
        tuple(("thermal", "Thermal/{pid}/*.bmp", k) for k in range(5)),
    ),
    "llcm": (
        tuple((f"c{c} vis", f"vis/{{pid:04d}}/*_c{c:02d}_*.jpg", 0) for c in (1, 2, 4, 5, 6, 7)),
        tuple((f"c{c} nir", f"nir/{{pid:04d}}/*_c{c:02d}_*.jpg", 0) for c in (1, 2, 4, 5, 6, 7)),
    ),
}


@dataclass(frozen=True, slots=True)
class _Grid:
    """What stands where.

    Args:
        groups: titles of the columns, one group per modality.
        files: by identity, one per column; None where there is no such picture.
        cell: (height, width) in pixels.
    """

    groups: Sequence[Sequence[str]]
    files: Mapping[int, Sequence[Path | None]]
    cell: tuple[int, int]


def write_sheet(root: Path, layout: str, out: Path) -> None:
    """Save a sheet of the identities of a written set that most columns show.

    Args:
        root: folder that a writer of ``layout`` filled.
        out: image file to write; a PNG gets a palette.
    Raises:
        OSError: an image cannot be read, or ``out`` not written.
    """
    grid = _people(root, layout) if layout in COLUMNS else _vehicles(root)
    gaps = {pid: sum(path is None for path in files) for pid, files in grid.files.items()}
    pids = sorted(sorted(gaps)[:200], key=lambda pid: (gaps[pid], pid))[:ROWS]
    titles = [title for group in grid.groups for title in group]
    height, width = grid.cell
    left = [i * width + GAP * _group_of(grid.groups, i) for i in range(len(titles))]
    sheet = Image.new("RGB", (left[-1] + width, HEADER + height * len(pids)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, title in zip(left, titles, strict=True):
        draw.text((x + 4, 1), title, fill="black")
    for row, pid in enumerate(pids):
        for x, path in zip(left, grid.files[pid], strict=True):
            if path is not None:
                with Image.open(path) as image:
                    cell = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
                sheet.paste(cell, (x, HEADER + row * height))
    _save(sheet, out)


def _save(sheet: Image.Image, out: Path) -> None:
    if out.suffix.lower() == ".png":
        sample = sheet.resize((sheet.width // 4, sheet.height // 4), Image.Resampling.NEAREST)
        palette = sample.quantize(COLOURS, kmeans=3)  # refining on every pixel takes seconds
        sheet = sheet.quantize(palette=palette, dither=Image.Dither.NONE)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, optimize=True)


def _group_of(groups: Sequence[Sequence[str]], column: int) -> int:
    ends = np.cumsum([len(group) for group in groups])
    return int(np.searchsorted(ends, column, side="right"))


def _people(root: Path, layout: str) -> _Grid:
    groups = COLUMNS[layout]
    columns = [column for group in groups for column in group]
    folders = {Path(pattern).parts[0] for _, pattern, _ in columns}
    pids = sorted({int(path.name) for folder in folders for path in (root / folder).iterdir()})
    files = {pid: [_file(root, column, pid) for column in columns] for pid in pids[:200]}
    return _Grid([[title for title, _, _ in group] for group in groups], files, (128, 64))


def _file(root: Path, column: Column, pid: int) -> Path | None:
    _, pattern, k = column
    found = sorted(root.glob(pattern.format(pid=pid)))
    return found[k % len(found)] if found else None


def _vehicles(root: Path) -> _Grid:
    """A row shows a vehicle from eight sides, each in the first camera that saw it from there."""
    files = {
        pid: [root / sides[side] if side in sides else None for side in VIEWPOINTS]
        for pid, sides in viewpoints_by_identity(root).items()
    }
    return _Grid([VIEWPOINTS], files, (96, 96))
