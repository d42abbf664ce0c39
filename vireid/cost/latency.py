"""Time per image of several models, with ratios that are fair on a busy machine; the machine."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

PACKAGES = ("torch", "onnxruntime", "openvino")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


@dataclass(frozen=True, slots=True)
class Latency:
    """Times of one callable.

    Args:
        times_ms: milliseconds per image, in the order of the rounds.
        batch: images per call.
        threads: of torch's operations on the CPU.
        device: what was waited for.
    """

    name: str
    times_ms: tuple[float, ...]
    batch: int
    threads: int
    device: str

    @property
    def median_ms(self) -> float:
        """Median of the milliseconds per image."""
        return float(np.median(self.times_ms))

    @property
    def quartiles_ms(self) -> tuple[float, float]:
        """First and third quartile of the milliseconds per image."""
        low, high = np.percentile(self.times_ms, [25, 75])
        return float(low), float(high)

    @property
    def iqr_ms(self) -> float:
        """Third quartile minus first quartile of the milliseconds per image."""
        low, high = self.quartiles_ms
        return high - low


def median_ratio(first: Latency, second: Latency) -> float:
    """Median over the rounds of how many times longer ``first`` took than ``second``.

    Both ran in every round, so what slows the machine for a while slows both.

    Raises:
        ValueError: the two were not measured in the same rounds.
    """
    if len(first.times_ms) != len(second.times_ms):
        raise ValueError(
            f"{first.name} has {len(first.times_ms)} runs and {second.name} "
            f"{len(second.times_ms)}: measure them in one call"
        )
    return float(np.median(np.divide(first.times_ms, second.times_ms)))


def measure_latency(
    calls: Mapping[str, Callable[[], object]],
    *,
    batch: int,
    runs: int = 100,
    warmup: int = 20,
    device: torch.device | str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Latency]:
    """Times several callables round-robin: each runs once in every round.

    Every second round runs in reverse order, so that none always follows the same one. Gradients
    are off. On a CUDA device each call is waited for before the clock is read.

    Args:
        calls: name → a call without arguments on fixed inputs, models in evaluation mode.
        batch: images that one call works on.
        runs: timed rounds.
        warmup: rounds before them, not timed.
        clock: seconds.
    Raises:
        ValueError: nothing to time, or a number out of range.
    """
    if not calls or batch < 1 or runs < 1 or warmup < 0:
        raise ValueError(
            "needs at least one call, batch and runs of at least 1 and a warm-up of at least 0, "
            f"got {len(calls)} calls, batch {batch}, {runs} runs, warm-up {warmup}"
        )
    device = torch.device(device)
    times: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        rounds = range(-warmup, runs)
        for turn in tqdm(rounds, desc=f"batch {batch}", disable=None, leave=False):
            for name in list(calls) if turn % 2 == 0 else reversed(list(calls)):
                seconds = _seconds(calls[name], device, clock)
                if turn >= 0:
                    times[name].append(1000 * seconds / batch)
    threads = torch.get_num_threads()
    return {
        name: Latency(name, tuple(values), batch, threads, str(device))
        for name, values in times.items()
    }


def _seconds(call: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    _wait_for(device)
    start = clock()
    call()
    _wait_for(device)
    return clock() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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
