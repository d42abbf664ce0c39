"""Reads what ``torch.save`` wrote, without executing what is in the file."""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch


def load_values(path: Path) -> Any:
    """The tensors and plain values of a file; code inside the file is never executed.

    Returns:
        what the file holds, on the CPU; arrays of numpy as such, scalars of numpy as plain numbers,
        and ``Placeholder`` for other objects, such as paths.
    Raises:
        Exception: torch raises a dozen types on damaged files, and on objects that only code could
            build; ``refused_class`` names these.
    """
    with warnings.catch_warnings(), torch.serialization.safe_globals(STAND_INS):
        warnings.simplefilter("ignore")  # about pickles that it then refuses
        return _plain(torch.load(path, map_location="cpu", weights_only=True))


def refused_class(error: Exception) -> str:
    """The class in a file for which ``load_values`` failed; empty for another reason.

    Torch's own message has many lines and suggests executing the file's code.
    """
    found = re.search(r"GLOBAL (\S+)|DTensor", str(error))
    return (found[1] or found[0]) if found else ""


# Stand-ins. Training code saves more than tensors: scores as numbers of numpy, its options, paths.
# None of the real classes is called, not even numpy's: a forged dtype makes it read any memory.


class Placeholder:
    """Replaces an object that has no tensors, such as a path; its contents are dropped."""

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
    """Replaces numpy.dtype.

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
    """Replaces numpy.ndarray while a file is read."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if isinstance(dtype, _Dtype) and isinstance(data, bytes) and (kind := dtype.numbers()):
            order: Any = "F" if fortran else "C"
            numbers = np.frombuffer(data, kind) if data else np.empty(0, kind)
            self.value = numbers.reshape(shape, order=order)


def _array(*args: object) -> _Array:
    """Replaces numpy's ``_reconstruct``."""
    return _Array()


def _number(dtype: object, data: object = b"") -> object:
    """Replaces numpy's ``scalar``: the number as Python's."""
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
    "builtins.Ellipsis",
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
