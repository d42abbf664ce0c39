"""Files of maps, from which a figure can be drawn again without the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vireid.errors import DataError, UsageError
from vireid.structures import Modality
from vireid.utils.io import replace_file, require_target

FORMAT = 1
Found = TypeVar("Found")


def write_maps(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name, and the number of the format."""
    content = {"format": np.array(FORMAT), **arrays}
    replace_file(path, lambda file: np.savez_compressed(file, allow_pickle=False, **content))


def read_maps(
    path: Path, make: Callable[[Mapping[str, np.ndarray]], Found], *, kind: str, figure: str
) -> Found:
    """What ``make`` finds in the arrays of a file.

    Args:
        make: raises whatever it likes where the arrays do not fit.
        kind, figure: what the file should hold, and the figure that it belongs to, for messages.
    Raises:
        DataError: the file is missing, damaged, or another.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, np.ndarray] = {name: file[name] for name in file.files}
        if int(arrays["format"]) != FORMAT:
            raise ValueError(f"format {arrays['format']}, not {FORMAT}")
        return make(arrays)
    except Exception as error:  # numpy raises a dozen types on damaged files
        raise DataError(
            f"{path} holds no {kind} ({type(error).__name__}: {error}): name the .npz that "
            f"visualize {figure} wrote beside its picture"
        ) from error


def require_images(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises :class:`ValueError` if ``images`` and ``modality`` of a file do not fit a figure."""
    images, modality = arrays["images"], arrays["modality"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not images.size:
        raise ValueError("its images are no (N, H, W, 3) uint8, or there is none")
    if not set(modality.tolist()) <= {int(one) for one in Modality}:
        raise ValueError("its modality holds something else than 0 and 1")


def require_energies(maps: np.ndarray, dimensions: int) -> None:
    """Raises :class:`ValueError` for maps that are not finite, or not of so many dimensions."""
    if maps.ndim != dimensions or not maps.size or not np.isfinite(maps).all():
        raise ValueError("its maps are of another shape, or not finite")


def require_maps(path: Path, read: Callable[[Path], object]) -> None:
    """Raises :class:`UsageError` if maps cannot be written, or would replace something else.

    Args:
        read: raises :class:`DataError` for a file of another kind.
    """
    require_target(path)
    if path.exists():
        try:
            read(path)
        except DataError as error:
            raise UsageError(
                f"{path} holds something else than maps: name another --out"
            ) from error
