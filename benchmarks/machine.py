"""What the numbers of a benchmark depend on: the machine and the versions of packages."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("torch", "onnxruntime", "openvino")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def machine_facts(device: torch.device | str = "cpu") -> dict[str, object]:
    """Processor, threads, instructions that speed models up, load, GPU and versions.

    Args:
        device: named when it is a GPU.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not on Linux
        text = ""
    name, flags = re.search(r"model name\s*: (.*)", text), re.search(r"flags\s*: (.*)", text)
    known = set(flags[1].split()) if flags else set()
    device = torch.device(device)
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {
        "processor": name[1] if name else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": [flag for flag in INSTRUCTIONS if flag in known],
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        **gpu,
        **{package: _version(package) for package in PACKAGES},
    }


def describe_machine(facts: Mapping[str, object]) -> str:
    """The facts in one line."""
    return ", ".join(
        f"{key}: {' '.join(value) or 'none' if isinstance(value, list) else value}"
        for key, value in facts.items()
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
