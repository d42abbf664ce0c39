"""Contact sheets: identities as rows, cameras as columns."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROWS = 6
CELL = (128, 64)  # height, width in pixels
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


def write_sheet(root: Path, layout: str, out: Path) -> None:
    """Save a sheet of the identities of a written set that most cameras saw.

    Args:
        root: folder that a writer of ``layout`` filled.
        out: image file to write; a PNG gets a palette.
    Raises:
        OSError: an image cannot be read, or ``out`` not written.
    """
    groups = COLUMNS[layout]
    columns = [column for group in groups for column in group]
    pids = _identities(root, columns)
    height, width = CELL
    left = [i * width + GAP * _group_of(groups, i) for i in range(len(columns))]
    sheet = Image.new("RGB", (left[-1] + width, HEADER + height * len(pids)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, (title, _, _) in zip(left, columns, strict=True):
        draw.text((x + 4, 1), title, fill="black")
    for row, pid in enumerate(pids):
        for x, column in zip(left, columns, strict=True):
            path = _file(root, column, pid)
            if path is not None:
                with Image.open(path) as image:
                    cell = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
                sheet.paste(cell, (x, HEADER + row * height))
    if out.suffix.lower() == ".png":
        sample = sheet.resize((sheet.width // 4, sheet.height // 4), Image.Resampling.NEAREST)
        palette = sample.quantize(COLOURS, kmeans=3)  # refining on every pixel takes seconds
        sheet = sheet.quantize(palette=palette, dither=Image.Dither.NONE)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, optimize=True)


def _group_of(groups: tuple[tuple[Column, ...], ...], column: int) -> int:
    ends = np.cumsum([len(group) for group in groups])
    return int(np.searchsorted(ends, column, side="right"))


def _file(root: Path, column: Column, pid: int) -> Path | None:
    _, pattern, k = column
    found = sorted(root.glob(pattern.format(pid=pid)))
    return found[k % len(found)] if found else None


def _identities(root: Path, columns: list[Column]) -> list[int]:
    """The first ones of those that the most columns show."""
    folders = {Path(pattern).parts[0] for _, pattern, _ in columns}
    pids = {int(path.name) for folder in folders for path in (root / folder).iterdir()}
    gaps = {pid: sum(_file(root, column, pid) is None for column in columns) for pid in pids}
    return sorted(sorted(pids)[:200], key=lambda pid: (gaps[pid], pid))[:ROWS]
