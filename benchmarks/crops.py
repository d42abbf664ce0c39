"""Measures how much accuracy is lost if queries are not crops as the model was trained on.

    python benchmarks/crops.py --run runs/demo/seed0

Every infrared test image is searched among all visible test images of the run's data set: as it is,
reduced to fewer pixels, with background at both sides, and with the lower part cut off. The bounds
in ``vireid/search/crops.py`` come from here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vireid.cli.arguments import tool
from vireid.data.build import build_splits
from vireid.data.images import read_image
from vireid.deploy import Extractor
from vireid.runs.options import run_config
from vireid.structures import Modality

FACTORS = (1.5, 2.0, 3.0, 4.0)


def reduced(image: Image.Image, factor: float, height: int) -> Image.Image:
    """So few pixels that the model's input of ``height`` enlarges them by ``factor``."""
    small = max(1, round(height / factor))
    return image.resize((max(1, round(image.width * small / image.height)), small))


def widened(image: Image.Image, factor: float) -> Image.Image:
    """The columns at the edges, repeated: height / width becomes ``factor`` times smaller."""
    columns = round(image.width * (factor - 1) / 2)
    return Image.fromarray(np.pad(image, ((0, 0), (columns, columns), (0, 0)), mode="edge"))


def cut(image: Image.Image, factor: float) -> Image.Image:
    """The upper part: height / width becomes ``factor`` times smaller."""
    return image.crop((0, 0, image.width, round(image.height / factor)))


def measure(run: Path) -> list[tuple[str, float]]:
    """Name of the change, and rank-1."""
    extractor, cfg = Extractor(run), run_config(run)
    root, records = Path(cfg.DATA.ROOT), build_splits(cfg, parts=("test",)).test
    parts = {kind: [one for one in records if one.modality is kind] for kind in Modality}
    images = {kind: [read_image(root / one.path) for one in part] for kind, part in parts.items()}
    pids = {kind: np.array([one.pid for one in part]) for kind, part in parts.items()}
    gallery = extractor(images[Modality.VISIBLE], "visible")

    def rank1(queries: Sequence[Image.Image]) -> float:
        best = np.argmax(extractor(queries, "infrared") @ gallery.T, axis=1)
        return float(np.mean(pids[Modality.VISIBLE][best] == pids[Modality.INFRARED]))

    height = extractor.metadata.size[0]
    changes: dict[str, Callable[[Image.Image, float], Image.Image]] = {
        "enlarged": lambda image, factor: reduced(image, factor, height),
        "background at the sides": widened,
        "lower part cut off": cut,
    }
    found = [("as they are", rank1(images[Modality.INFRARED]))]
    for name, change in changes.items():
        for factor in FACTORS:
            changed = [change(image, factor) for image in images[Modality.INFRARED]]
            found.append((f"{name}, × {factor:g}", rank1(changed)))
    return found


@tool
def main(arguments: Sequence[str] | None) -> None:
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--run", type=Path, required=True, metavar="DIR")
    print("| queries | rank-1 |\n|---|---|")
    for name, rank1 in measure(line.parse_args(arguments).run):
        print(f"| {name} | {100 * rank1:.1f} |")


if __name__ == "__main__":
    raise SystemExit(main())
