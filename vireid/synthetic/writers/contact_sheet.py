"""Contact sheets: identities as rows; cameras, or the sides of a vehicle, as columns."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from vireid.synthetic.writers.layout import Layout
from vireid.synthetic.writers.pictures import Shot

ROWS = 6
CANDIDATES = 200  # identities from which the rows are chosen
HEADER = 14  # pixels
PAPER = (235, 235, 235)
GAP = 3  # pixels between modalities
COLOURS = 256  # palette of a PNG: a third of the bytes


def write_sheet(root: Path, layout: Layout, shots: Sequence[Shot], out: Path) -> None:
    """Save a sheet of the identities that most columns show.

    Args:
        root: folder that holds the set.
        out: image file to write; a PNG gets a palette.
    Raises:
        OSError: an image cannot be read, or ``out`` not written.
    """
    rows = _rows(layout, shots)
    width, height = (96, 96) if layout.vehicles else (64, 128)
    titles = [title for group in layout.columns for title, _, _ in group]
    gaps = [GAP * number for number, group in enumerate(layout.columns) for _ in group]
    left = [i * width + gap for i, gap in enumerate(gaps)]
    sheet = Image.new("RGB", (left[-1] + width, HEADER + height * len(rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, title in zip(left, titles, strict=True):
        draw.text((x + 4, 1), title, fill="black")
    for number, row in enumerate(rows):
        for x, path in zip(left, row, strict=True):
            if path is not None:
                with Image.open(root / path) as image:
                    cell = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
                sheet.paste(cell, (x, HEADER + number * height))
    _save(sheet, out)


def _rows(layout: Layout, shots: Sequence[Shot]) -> list[list[str | None]]:
    """One path per column; None where there is no such picture."""
    pids = set(sorted({shot.pid for shot in shots})[:CANDIDATES])
    paths: dict[tuple[int, int], list[str]] = defaultdict(list)
    for shot in shots if layout.vehicles else sorted(shots, key=lambda one: one.path):
        if shot.pid in pids:
            paths[shot.pid, shot.viewpoint if layout.vehicles else shot.camera].append(shot.path)

    columns = [(source, number) for group in layout.columns for _, source, number in group]
    rows = [
        [found[n % len(found)] if (found := paths[pid, source]) else None for source, n in columns]
        for pid in sorted(pids)
    ]
    return sorted(rows, key=lambda row: row.count(None))[:ROWS]


def _save(sheet: Image.Image, out: Path) -> None:
    if out.suffix.lower() == ".png":
        sample = sheet.resize((sheet.width // 4, sheet.height // 4), Image.Resampling.NEAREST)
        palette = sample.quantize(COLOURS, kmeans=3)  # refining on every pixel takes seconds
        sheet = sheet.quantize(palette=palette, dither=Image.Dither.NONE)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, optimize=True)
