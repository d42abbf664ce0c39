"""``PRECISION auto`` on a CPU: bf16 where a short measurement finds it faster than float32."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from vireid.config.lists import with_found
from vireid.config.load import flatten
from vireid.data.datasets import DATASETS
from vireid.engine.checkpoint import saved_options
from vireid.engine.gradients import zero_term
from vireid.engine.precision import cpu_has_bf16, resolve_precision
from vireid.models.build import build_model
from vireid.models.reid_model import ReidModel
from vireid.structures import Splits

FASTER = 1.1  # bf16 rounds more, so it must be clearly faster
ROUNDS = 3  # of one step in each format, after one that is not counted
STEP = 1.0  # seconds that a measured step may take
FEW = 8  # images of the step that shows how long one takes


def training_precision(
    cfg: CfgNode,
    splits: Splits,
    *,
    device: torch.device,
    processes: int = 1,
    checkpoint: Mapping[str, Any] | None = None,
) -> tuple[list[str], list[str]]:
    """What ``PRECISION auto`` becomes: ``KEY``, ``VALUE``, and a line that says why, if it must.

    Args:
        processes: that share a batch.
        checkpoint: what training continues from; its format stays.
    """
    saved = {} if checkpoint is None else saved_options(checkpoint)
    known = with_found(flatten(cfg), saved)["PRECISION"]
    if cfg.PRECISION == "auto" and known == "fp16" and device.type == "cpu":
        known = "auto"  # the run began on a GPU
    if known != "auto":
        return ["PRECISION", known], []
    if device.type != "cpu":
        return ["PRECISION", resolve_precision("auto", device).name], []
    if not cpu_has_bf16():
        return ["PRECISION", "fp32"], []
    images = cfg.SAMPLER.IDENTITIES * cfg.SAMPLER.IMAGES * cfg.SAMPLER.FRAMES
    images = images * len(DATASETS[cfg.DATA.DATASET].modalities) // processes
    with torch.random.fork_rng(devices=[]):
        model, _ = build_model(cfg, len(splits.train_pids), load_weights=False)
        count, ratio = bf16_speed(_step_of(model.train(), cfg), images)
    name = "bf16" if ratio >= FASTER else "fp32"
    line = f"PRECISION auto: {name} (a step of {count} images is {ratio:.2f} times as fast in bf16)"
    return ["PRECISION", name], [line]


def bf16_speed(step: Callable[[int, torch.dtype], None], images: int) -> tuple[int, float]:
    """How many times faster a step is in bf16 than in float32, and with how many images.

    Args:
        step: (images, format) → computes one step.
        images: of a whole batch; fewer are taken where a step would be long.
    """
    few = min(FEW, images)
    _seconds(step, few, torch.float32)
    each = _seconds(step, few, torch.float32) / few
    count = max(few, min(images, int(STEP / each)))
    ratios = []
    for _ in range(1 + ROUNDS):
        plain, half = (_seconds(step, count, kind) for kind in (torch.float32, torch.bfloat16))
        ratios.append(plain / half)
    return count, median(ratios[1:])


def _seconds(step: Callable[[int, torch.dtype], None], images: int, kind: torch.dtype) -> float:
    started = time.perf_counter()
    step(images, kind)
    return time.perf_counter() - started


def _step_of(model: ReidModel, cfg: CfgNode) -> Callable[[int, torch.dtype], None]:
    """Forward and backward pass of random images through ``model``, which nothing else uses."""
    height, width = cfg.INPUT.SIZE
    both = len(DATASETS[cfg.DATA.DATASET].modalities) > 1
    layout = torch.channels_last if cfg.CHANNELS_LAST else torch.contiguous_format

    def step(count: int, kind: torch.dtype) -> None:
        images: Tensor = torch.rand(count, 3, height, width).contiguous(memory_format=layout)
        is_infrared = (torch.arange(count) % 2 == 1) & both
        with torch.autocast("cpu", dtype=kind, enabled=kind != torch.float32):
            output = model(images, is_infrared)
        zero_term(output).backward()
        model.zero_grad(set_to_none=True)

    return step
