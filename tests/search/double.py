"""A stand-in for a trained model: features are a fixed function of an image's colours."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
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
            raise CheckpointError(f"there is no model {path}: name another")
        self.fingerprint = Path(path).read_text() if path else "colours"
        self.dim, self.modalities = DIM, ("visible", "infrared")
        self.metadata = SimpleNamespace(size=(6, 4))
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


def new_gallery(place, /, *, fingerprint: str = "colours", dim: int = DIM, **model):
    """An empty gallery."""
    from vireid.search.gallery import Gallery, GalleryModel

    return Gallery.create(place, GalleryModel(fingerprint, dim, **model))


def fill(place, images, extractor=None, *, modality=Modality.VISIBLE, replace=False):
    """Fills a gallery, made if it is missing; all steps, then the last one."""
    from vireid.search.ingest import ingest
    from vireid.search.listing import list_images

    extractor = extractor or ColourExtractor()
    gallery = new_gallery(place, fingerprint=extractor.fingerprint)
    steps = ingest(gallery, list_images(images, modality), extractor, modality, replace=replace)
    return list(steps)[-1]


def make_rows(
    vectors: np.ndarray, *, further: Mapping[str, Sequence] | None = None, **own: Sequence
) -> pa.Table:
    """Rows with the ids i0000, i0001 … and the paths /x/0000.png … unless ``own`` has others."""
    from vireid.search.columns import build_rows

    count = len(vectors)
    values: dict[str, Sequence] = {
        "id": [f"i{k:04d}" for k in range(count)],
        "path": [f"/x/{k:04d}.png" for k in range(count)],
        "name": [f"{k:04d}.png" for k in range(count)],
        "modality": ["visible"] * count,
    }
    return build_rows(values | own, vectors, pa.table(dict(further)) if further else None)


def content(gallery, *, by: str = "path") -> dict[str, dict]:
    """Every row of a gallery, as other processes see it now."""
    gallery.refresh()
    rows = gallery.rows(gallery.schema.names).to_pylist()
    found = {row[by]: row for row in rows}
    assert len(found) == len(rows), "a row is there twice"
    return found
