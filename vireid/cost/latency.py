"""Time per image of several models, with ratios that are fair on a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm


def measure_latency(
    calls: Mapping[Any, Callable[[], object]],
    *,
    batch: int,
    runs: int = 100,
    warmup: int = 20,
    device: torch.device | str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> pd.DataFrame:
    """Times several callables round-robin: each runs once in every round.

    Every second round runs in reverse order, so that none always follows the same one. Gradients
    are off. On a CUDA device each call is waited for before the clock is read.

    Args:
        calls: name → a call without arguments on fixed inputs, models in evaluation mode.
        batch: images that one call works on.
        runs: timed rounds.
        warmup: rounds before them, not timed.
        clock: seconds.
    Returns:
        milliseconds per image, a row per round and a column per call.
    Raises:
        ValueError: nothing to time, or a number out of range.
    """
    if not calls or batch < 1 or runs < 1 or warmup < 0:
        raise ValueError(
            "needs at least one call, batch and runs of at least 1 and a warm-up of at least 0, "
            f"got {len(calls)} calls, batch {batch}, {runs} runs, warm-up {warmup}"
        )
    device = torch.device(device)
    times: dict[Any, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        rounds = range(-warmup, runs)
        for turn in tqdm(rounds, desc=f"batch {batch}", disable=None, leave=False):
            for name in list(calls) if turn % 2 == 0 else reversed(list(calls)):
                seconds = _seconds(calls[name], device, clock)
                if turn >= 0:
                    times[name].append(1000 * seconds / batch)
    return pd.DataFrame(times)


def latency_statistics(times: pd.DataFrame) -> pd.DataFrame:
    """A row per call, from the times of :func:`measure_latency`.

    Returns:
        ``median_ms``, ``low_ms`` and ``high_ms`` (quartiles), ``iqr_ms``, and ``ratio``: the median
        over the rounds of how many times longer the call took than the first one. Both ran in
        every round, so what slows the machine for a while slows both.
    """
    low, median, high = (times.quantile(q) for q in (0.25, 0.5, 0.75))
    ratio = times.div(times.iloc[:, 0], axis=0).median()
    columns = {"median_ms": median, "low_ms": low, "high_ms": high, "iqr_ms": high - low}
    return pd.DataFrame(columns | {"ratio": ratio})


def _seconds(call: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda device: None
    wait(device)
    start = clock()
    call()
    wait(device)
    return clock() - start
