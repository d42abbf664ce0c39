"""Exported networks run by other libraries than torch, on the processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from vireid.deploy.export import INPUT, require_packages

Run = Callable[[np.ndarray], np.ndarray]  # (B, 3, H, W) float32 → (B, D) float32


def load_onnxruntime(path: Path, threads: int) -> Run:
    """An ONNX file in ONNX Runtime, float32.

    Args:
        threads: of one operation.
    Raises:
        UsageError: the package is missing.
    """
    require_packages("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        path, sess_options=options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {INPUT: images})[0]


def load_openvino(path: Path, threads: int) -> Run:
    """An ONNX file in OpenVINO, float32: by itself it would take bfloat16 where there is any.

    Args:
        threads: of one request.
    Raises:
        UsageError: the package is missing.
    """
    require_packages("openvino")
    import openvino

    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(path, "CPU", options)
    return lambda images: compiled(images)[0]


# name → (ONNX file, threads) → what computes features
RUNTIMES: Mapping[str, Callable[[Path, int], Run]] = {
    "onnxruntime": load_onnxruntime,
    "openvino": load_openvino,
}
