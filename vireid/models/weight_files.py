"""Reads files of weights, from this project and from others, without executing what is in them."""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vireid.errors import CheckpointError
from vireid.models.model_file import read_safetensors

REMEDY = "copy it again, or save only its tensors"  # for a damaged published file
LONGEST_HEADER = 100_000_000  # bytes: of a safetensors file, by its specification
# Keys under which files keep a state dict, the preferred one first.
WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "weights"),
    *("params", "backbone", "student", "ema", "model_ema", "state_dict_ema", "params_ema"),
)
DEEPEST = 6  # wrappings inside one another


def read_tensors(path: Path, *, what: str = "weights file", remedy: str = REMEDY) -> Any:
    """Reads a file of tensors and plain values; code inside a file is never executed.

    Args:
        path: a file of ``torch.save``, or a ``.safetensors`` file under any name.
        what: the kind of file, for messages.
        remedy: for a damaged file, for messages.
    Returns:
        what the file holds; arrays of numpy as such, scalars of numpy as plain numbers, and
        :class:`Placeholder` for other objects, such as paths.
    Raises:
        CheckpointError: missing, damaged, or holds something that only its code could build.
    """
    try:
        if _is_safetensors(path):
            return read_safetensors(path)[0]
        with warnings.catch_warnings(), torch.serialization.safe_globals(STAND_INS):
            warnings.simplefilter("ignore")  # about pickles that it then refuses
            return _plain(torch.load(path, map_location="cpu", weights_only=True))
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{what} {path} does not exist") from error
    except (IsADirectoryError, PermissionError) as error:
        raise CheckpointError(f"{what} {path} cannot be read ({error.strerror})") from error
    except Exception as error:  # torch raises a dozen types on damaged files, IndexError too
        # Its message has many lines and suggests executing the file's code.
        foreign = re.search(r"GLOBAL (\S+)|DTensor", str(error))
        name = f" ({foreign[1] or foreign[0]}, which is not executed)" if foreign else ""
        raise CheckpointError(
            f"{what} {path} is damaged or holds more than tensors{name}: {remedy}"
        ) from error


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as one: the length of its header, and an opening brace."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < LONGEST_HEADER


def state_dict_of(content: object, path: Path) -> dict[str, Tensor]:
    """The named tensors of what a file holds, whatever they are wrapped in.

    Raises:
        CheckpointError: there are none.
    """
    found = _unwrapped(content, DEEPEST)
    if found is None:
        held = ", ".join(map(str, content)) if isinstance(content, Mapping) else ""
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}{f' of {held:.100}' if held else ''}, "
            "not a state dict"
        )
    return found


def _unwrapped(content: object, depth: int) -> dict[str, Tensor] | None:
    if not isinstance(content, Mapping) or not depth:
        return None
    for key in WRAPPERS:
        if key in content and (found := _unwrapped(content[key], depth - 1)):
            return found
    named = {str(key): _tensor(value) for key, value in content.items()}
    return {key: value for key, value in named.items() if value is not None} or None


def _tensor(value: object) -> Tensor | None:
    """A dense tensor of numbers; None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        value = torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="))))
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_quantized:
        return None
    return None if value.is_complex() else value.detach()


# Stand-ins. Training code saves more than tensors: scores as numbers of numpy, its options, paths.
# None of the real classes is called, not even numpy's: a forged dtype makes it read any memory.


class Placeholder:
    """Stands for an object that has no tensors, such as a path; its contents are dropped."""

    def __new__(cls, *args: object, **kwargs: object) -> Placeholder:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Options:
    """Makes a plain mapping in place of a class of options."""

    def __new__(cls, *args: object) -> Any:
        return OrderedDict()  # the only mapping with items and attributes that torch fills


class _Dtype:
    """Stands for numpy.dtype.

    Args:
        code: kind and size, such as ``f8``.
    """

    def __init__(self, code: object, *flags: object) -> None:
        self.code, self.order = str(code), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])

    def numbers(self) -> np.dtype | None:
        """The dtype, if it is one of numbers or texts."""
        plain = re.fullmatch(r"[?bhilqBHILQ]|[biufcUSmM]\d{1,6}", self.code)
        order = self.order if self.order in "<>=" else "="
        return np.dtype(order + self.code) if plain else None


class _Array:
    """Stands for numpy.ndarray while a file is read."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if isinstance(dtype, _Dtype) and isinstance(data, bytes) and (kind := dtype.numbers()):
            order: Any = "F" if fortran else "C"
            numbers = np.frombuffer(data, kind) if data else np.empty(0, kind)
            self.value = numbers.reshape(shape, order=order)


def _array(*args: object) -> _Array:
    """Stands for numpy's ``_reconstruct``."""
    return _Array()


def _number(dtype: object, data: object = b"") -> object:
    """Stands for numpy's ``scalar``: the number as Python's."""
    kind = dtype.numbers() if isinstance(dtype, _Dtype) else None
    if kind is None or not isinstance(data, bytes):
        return Placeholder()
    return np.frombuffer(data, kind, count=1)[0].item()


def _plain(value: Any) -> Any:
    """The same with arrays in place of their stand-ins."""
    if isinstance(value, _Array):
        return Placeholder() if value.value is None else value.value
    if isinstance(value, dict):
        # Not value.items(): options of a file are its attributes, and may have that name.
        return type(value)({key: _plain(one) for key, one in dict.items(value)})
    if type(value) in (list, tuple):
        return type(value)(_plain(one) for one in value)
    return value


OPTION_CLASSES = (
    *("argparse.Namespace", "types.SimpleNamespace", "collections.defaultdict"),
    *("yacs.config.CfgNode", "fvcore.common.config.CfgNode", "detectron2.config.config.CfgNode"),
    *("fastreid.config.config.CfgNode", "easydict.EasyDict", "addict.addict.Dict", "munch.Munch"),
    *("mmcv.utils.config.ConfigDict", "mmengine.config.config.ConfigDict"),
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)
PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
CALLBACKS = ("model_checkpoint.ModelCheckpoint", "early_stopping.EarlyStopping")
VALUE_CLASSES = (
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in PATHS),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(f"builtins.{name}" for name in ("bool", "int", "float", "str", "bytes", "object")),
    *(f"builtins.{name}" for name in ("list", "dict", "tuple", "frozenset", "range", "slice")),
    *(
        f"{package}.callbacks.{name}"
        for package in ("pytorch_lightning", "lightning.pytorch")
        for name in CALLBACKS
    ),
    *("uuid.UUID", "decimal.Decimal", "fractions.Fraction"),
    *("numpy.bool_", "numpy.int32", "numpy.int64", "numpy.float32", "numpy.float64"),
)


def _stand_ins() -> Iterator[tuple[Any, str]]:
    """What is built in place of each class, by its name in files."""
    for core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
        yield _number, f"{core}.multiarray.scalar"
        yield _array, f"{core}.multiarray._reconstruct"
    yield _Array, "numpy.ndarray"
    yield _Dtype, "numpy.dtype"
    for name in OPTION_CLASSES:
        yield _Options, name
    for name in VALUE_CLASSES:
        yield Placeholder, name


STAND_INS: Any = list(_stand_ins())
