"""Inference backends: ONNX Runtime and OpenVINO, on the processor. Imports no torch."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from vireid.deploy.metadata import PREFIX
from vireid.errors import CheckpointError, UsageError, VireidError

INSTALL = "pip install 'vireid[export]'"


def require_packages(*names: str) -> None:
    """
    Raises:
        UsageError: one is missing; names the command that installs it.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} is not installed; install it with: {INSTALL}")


def import_openvino() -> Any:
    """OpenVINO without its telemetry package, which reports every import to its makers.

    Raises:
        UsageError: it is not installed.
    """
    require_packages("openvino")
    telemetry = "openvino_telemetry"
    withheld = telemetry not in sys.modules
    if withheld:
        sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        return import_module("openvino")
    finally:
        if withheld:
            del sys.modules[telemetry]


INPUT, OUTPUT = "images", "features"  # names in the file
Run = Callable[[np.ndarray], np.ndarray]  # (B, 3, H, W) float32 → (B, D) float32
HINTS = {"fp32": "f32", "bf16": "bf16"}  # of OpenVINO, by our names


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """An exported model, ready to run.

    Args:
        entries: the file's metadata.
        size: (height, width) of its input; not an integer where any size is accepted.
        dim: length of its output; not an integer where the file does not say.
    """

    run: Run
    entries: Mapping[str, str]
    size: tuple[object, ...]
    dim: object


def open_onnxruntime(path: Path, threads: int = 0) -> OpenedModel:
    """An ONNX file in ONNX Runtime, float32.

    Args:
        threads: of one operation; 0: the library's choice.
    Raises:
        CheckpointError: the file is missing, damaged or has other inputs.
        UsageError: the package is missing.
    """
    require_packages("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what goes wrong is raised as well
    try:
        session = onnxruntime.InferenceSession(
            path, sess_options=options, providers=["CPUExecutionProvider"]
        )
        entries, inputs = session.get_modelmeta().custom_metadata_map, session.get_inputs()
        _require_names(path, [one.name for one in inputs])
        size = tuple(inputs[0].shape[2:])
        dim = (session.get_outputs()[0].shape or [None])[-1]
    except VireidError:
        raise
    except Exception as error:  # a dozen types, of no common base
        raise _cannot_open(path, error) from error
    run = _with_plain_errors(path, lambda images: session.run(None, {INPUT: images})[0])
    return OpenedModel(run, entries, size, dim)


def open_openvino(path: Path, threads: int = 0, precision: str = "fp32") -> OpenedModel:
    """An ONNX or OpenVINO file in OpenVINO.

    Args:
        threads: of one request; 0: the library's choice.
        precision: fp32 or bf16; the library itself would choose bf16 where it can.
    Raises:
        CheckpointError, UsageError: as ``open_onnxruntime``.
    """
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        model = openvino_core().read_model(path)
        _require_names(path, [name for one in model.inputs for name in one.get_names()])
        entries = onnx_entries(path) if path.suffix == ".onnx" else _xml_entries(model)
        compiled = openvino_core().compile_model(model, "CPU", options)
        size = _lengths(model.inputs[0].partial_shape)[2:]
        dim = (_lengths(model.outputs[0].partial_shape) or (None,))[-1]
    except VireidError:
        raise
    except Exception as error:
        raise _cannot_open(path, error) from error
    one_at_a_time = Lock()

    def run(images: np.ndarray) -> np.ndarray:
        with one_at_a_time:  # calls share one request and its result
            return compiled(images)[0]

    return OpenedModel(_with_plain_errors(path, run), entries, size, dim)


def _with_plain_errors(path: Path, run: Run) -> Run:
    """Turns a library's exception into one line that names the file."""

    def run_or_raise(images: np.ndarray) -> np.ndarray:
        try:
            return run(images)
        except Exception as error:
            raise CheckpointError(
                f"{path} cannot be computed for {len(images)} images ({_reason(error)}): export it "
                "again, or take a smaller batch where memory is short"
            ) from error

    return run_or_raise


@cache
def openvino_core() -> Any:
    """The one core of this process, which is never released.

    A released core unmaps the stack of the thread's signal handlers, which is still in use
    (OpenVINO 2026.4): the next Ctrl-C would end in a segmentation fault.

    Raises:
        UsageError: the package is missing.
    """
    return import_openvino().Core()


def _lengths(shape: Any) -> tuple[object, ...]:
    """Of OpenVINO's shape; None stands for any."""
    if shape.rank.is_dynamic:
        return ()
    return tuple(None if one.is_dynamic else one.get_length() for one in shape)


def onnx_entries(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file.

    Raises:
        CheckpointError: it is missing or damaged.
        UsageError: the package that reads it is missing.
    """
    require_packages("onnx")
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's types differ from version to version
        raise _cannot_open(path, error) from error
    return {str(entry.key): str(entry.value) for entry in model.metadata_props}


def _xml_entries(model: Any) -> dict[str, str]:
    group = PREFIX.removesuffix(".")
    if not model.has_rt_info([group]):
        return {}
    found = model.get_rt_info([group]).value
    return {PREFIX + name: str(value) for name, value in found.items()}


def _require_names(path: Path, names: list[str]) -> None:
    if names != [INPUT]:
        raise CheckpointError(
            f"{path} is not a model exported by vireid: it takes {', '.join(names) or 'nothing'} "
            f"instead of {INPUT}; export a run with the export tool"
        )


def _cannot_open(path: Path, error: Exception) -> CheckpointError:
    if not path.is_file():
        return CheckpointError(f"exported model {path} does not exist")
    return CheckpointError(
        f"{path} is damaged or no exported model ({_reason(error)}): export it again"
    )


def _reason(error: Exception) -> str:
    """The error in one short line."""
    text = re.sub(r"\s+", " ", str(error)).strip()
    return f"{type(error).__name__}: {text[:120]}"


# name → (ONNX file, threads) → what computes features in float32
RUNTIMES: Mapping[str, Callable[[Path, int], Run]] = {
    "onnxruntime": lambda path, threads: open_onnxruntime(path, threads).run,
    "openvino": lambda path, threads: open_openvino(path, threads).run,
}
