"""Time per image of several models, with ratios that are fair on a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm


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
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda device: None
    wait(device)
    start = clock()
    call()
    wait(device)
    return clock() - start
