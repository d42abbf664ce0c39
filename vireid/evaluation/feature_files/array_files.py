"""Named arrays from the files that people save them in; no code inside a file is executed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.feature_files.array_names import is_known
from vireid.utils.matlab import read_variables
from vireid.utils.paths import is_hidden

NPY = b"\x93NUMPY"  # first bytes of a file with one array
PICKLE = b"\x80"
HDF5 = b"\x89HDF"
MATLAB = b"MATLAB"
TORCH_SUFFIXES = (".pt", ".pth", ".tar", ".ckpt")
ALWAYS_UNPACKED = 2**28  # bytes: an archive may unpack to so many, whatever its size
LARGEST_RATIO = 20  # unpacked to packed bytes of a larger archive
NAMES = ("features", "pids", "camids", "modality", "paths")
REMEDY = (
    f"write {', '.join(NAMES)} with numpy.savez, as arrays of numbers and text without objects "
    "(docs/scoring_features.md), or name a folder of *_cam1.mat … *_cam6.mat"
)


Read = tuple[dict[str, np.ndarray], Collection[str]]  # arrays, and the names of all in the file


def read_arrays(path: Path) -> Read:
    """The arrays of a file that have known names, in this machine's byte order.

    Args:
        path: an .npz, a .mat of level 5, a .pt or .pth with a dictionary of tensors, arrays and
            lists, a .safetensors, or a folder with an .npy for each array.
    Returns:
        name → array, and the names of everything in the file.
    Raises:
        DataError: what is wrong with the file, and how to save it.
    """
    try:
        arrays, held = _reader(path)(path)
    except DataError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise a dozen types on damaged files
        reason = f"{type(error).__name__}: {error!s:.200}"
        raise DataError(f"{_cannot(path)} ({reason}): {REMEDY}") from error
    return {name: _native(array) for name, array in arrays.items() if is_known(name)}, held


def _cannot(path: Path) -> str:
    return f"{path} cannot be read as features.npz"


def _reader(path: Path) -> Callable[[Path], Read]:
    """The function that reads this kind of file, by its first bytes."""
    if path.is_dir():
        return _read_folder
    with path.open("rb") as raw:
        start = raw.read(16)
    if start.startswith(NPY):
        raise DataError(f"{_cannot(path)}: it is an .npy file, which holds one array; {REMEDY}")
    if start.startswith((MATLAB, HDF5)) or path.suffix.lower() == ".mat":
        return _read_mat
    if zipfile.is_zipfile(path):
        return _read_torch if _is_torch(path) else _read_npz
    if start[8:9] == b"{":
        return _read_safetensors
    if start.startswith(PICKLE) and path.suffix.lower() in TORCH_SUFFIXES:
        return _read_torch
    if start.startswith(PICKLE):
        raise DataError(
            f"{_cannot(path)}: it is a pickle, which may execute code when it is read, and is not "
            f"opened; {REMEDY}"
        )
    raise DataError(f"{_cannot(path)}: it is not a complete .npz archive; {REMEDY}")


def _is_torch(path: Path) -> bool:
    """Whether ``torch.save`` wrote the archive."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/data.pkl") for name in archive.namelist())


def _read_npz(path: Path) -> Read:
    require_modest(path)
    with np.load(path, allow_pickle=False) as file:
        held = list(file.files)
        return {name: file[name] for name in held if is_known(name)}, held


def _read_mat(path: Path) -> Read:
    arrays = read_variables(path)
    return arrays, list(arrays)


def require_modest(path: Path) -> None:
    """Raises ``DataError`` for an archive that would unpack to many times its size.

    Features hardly shrink when they are packed, labels by a hundred times and more.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > max(ALWAYS_UNPACKED, LARGEST_RATIO * path.stat().st_size):
        raise DataError(
            f"{path} would unpack to {size / 1e9:.1f} GB, {size / path.stat().st_size:.0f} times "
            "its size, too much for features; write it with numpy.savez, which does not pack"
        )


def array_files(folder: Path) -> list[Path]:
    """The .npy files in a folder."""
    return [file for file in sorted(folder.glob("*.npy")) if not is_hidden(file.name)]


def _read_folder(path: Path) -> Read:
    files = {file.stem: file for file in array_files(path)}
    known = [name for name in files if is_known(name)]
    return {name: np.load(files[name], allow_pickle=False) for name in known}, list(files)


def _read_safetensors(path: Path) -> Read:
    from safetensors.torch import load_file  # not its numpy part, which lacks bfloat16

    content = load_file(path)
    return dict(_arrays("", content)), list(content)


def _read_torch(path: Path) -> Read:
    # imports torch, which takes seconds, and no other kind of file needs it
    from vireid.utils.tensor_files import load_values, refused_class

    try:
        content = load_values(path)
    except Exception as error:  # a dozen types
        foreign = refused_class(error)
        name = f" ({foreign}, which is not executed)" if foreign else ""
        raise DataError(
            f"{_cannot(path)}: it is damaged or holds more than tensors, arrays, numbers and "
            f"text{name}; {REMEDY}"
        ) from error
    if not isinstance(content, Mapping):
        raise DataError(
            f"{path} holds a {type(content).__name__}: save a dictionary of tensors by name, such "
            "as query_feat, query_label, gall_feat, gall_label (docs/scoring_features.md)"
        )
    arrays = dict(_arrays("", content))
    return arrays, list(arrays) or list(map(str, content))


def _arrays(prefix: str, content: Mapping[Any, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays by name; those of a dictionary within a dictionary have both names."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _arrays(f"{name}_", value)
        elif (array := _array(value)) is not None:
            yield name, array


def _array(value: Any) -> np.ndarray | None:
    """A tensor, an array, or a list of numbers, texts or tensors; None for anything else."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (list, tuple)) and value:
        parts = [_array(one) for one in value]
        if all(part is not None and part.ndim == 2 for part in parts):  # batches
            return np.concatenate([part for part in parts if part is not None])
        plain = [one if part is None else part for one, part in zip(value, parts, strict=True)]
        try:
            found = np.asarray(plain)
        except ValueError:  # of several lengths
            return None
        return None if found.dtype == object else found
    if not hasattr(value, "detach"):
        return None
    tensor = value.detach()
    if tensor.is_sparse or tensor.is_quantized:
        return None
    # numpy has no bfloat16
    whole = not tensor.is_floating_point() or tensor.element_size() > 2
    return np.asarray((tensor if whole else tensor.float()).numpy())


def _native(array: np.ndarray) -> np.ndarray:
    """The same numbers in this machine's byte order."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)
