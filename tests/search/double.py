"""A stand-in for a trained network: features are a fixed function of an image's colours."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vireid.data.images import read_image
from vireid.errors import CheckpointError
from vireid.structures import Modality

DIM = 12


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class ColourExtractor:
    """What vireid.deploy.extractor.Extractor does, of any image and without a network.

    Args:
        path: a file whose text is the fingerprint.
        watch: called before every call.
    """

    def __init__(self, path=None, backend=None, threads=None, *, device="auto",
                 range=None, watch: Callable | None = None):  # fmt: skip
        if path and not Path(path).is_file():
            raise CheckpointError(f"there is no network {path}: name another")
        self.fingerprint = Path(path).read_text() if path else "colours"
        self.dim, self.modalities = DIM, ("visible", "infrared")
        self.watch, self.seen = watch, []

    def __call__(self, images: Sequence[Path], modality: str, *, batch=32, progress=None):
        if self.watch:
            self.watch()
        self.seen.append([Path(image).name for image in images])
        colours = [np.asarray(read_image(Path(i)).resize((2, 2))).reshape(-1) for i in images]
        return unit(np.array(colours) + 1.0)


def write_images(folder: Path, count: int, *, seed: int = 0) -> Path:
    """``count`` images of noise, 00.png … in two folders."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        path = folder / f"{'ab'[k % 2]}/{k:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 4, 3), dtype=np.uint8)).save(path)
    return folder


def fill(folder: Path, images, extractor=None, *, new=True, block=4, **options):
    """All steps of filling a gallery; the last one."""
    from vireid.search.ingest import ingest

    extractor, modality = extractor or ColourExtractor(), options.pop("modality", Modality.VISIBLE)
    steps = ingest(folder, images, extractor, modality, new=new, block=block, **options)
    return list(steps)[-1]
