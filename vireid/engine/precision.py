"""What a step is computed with: device, threads, number format, compiler; its memory use."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from vireid.errors import UsageError

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

RECOMPILATIONS_PER_STAGE = 8  # training and evaluation, whole and last batches, autocast or not


@dataclass(frozen=True, slots=True)
class Precision:
    """How the forward pass is computed.

    Args:
        name: fp32, bf16 or fp16.
        dtype: of autocast.
    """

    name: str
    dtype: torch.dtype

    @property
    def autocast(self) -> bool:
        return self.dtype != torch.float32

    @property
    def scaled(self) -> bool:
        """fp16 gradients underflow unless the loss is scaled."""
        return self.dtype == torch.float16


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def use_threads(count: int) -> None:
    """Gives torch's operations ``count`` processor threads; 0 leaves them as they are."""
    if count:
        torch.set_num_threads(count)


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """``auto`` is the first CUDA device, or the process's own under torchrun, else the CPU.

    Raises:
        UsageError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"DEVICE={name!r} is unknown; choose auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"DEVICE={name!r} is not supported; choose auto, cpu, cuda or cuda:N")
    if device.type == "cpu":
        return torch.device("cpu")
    index = local_rank if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise UsageError(
            f"DEVICE={name!r} needs CUDA device {index}, but this machine offers "
            f"{torch.cuda.device_count()}; use DEVICE cpu"
        )
    return torch.device("cuda", index)


def resolve_precision(name: str, device: torch.device) -> Precision:
    """``auto`` is bf16 or, on older GPUs, fp16; on a CPU fp32 (see ``training_precision``).

    Raises:
        UsageError: fp16 on a CPU.
    """
    if name == "auto":
        name = "fp32"
        if device.type == "cuda":
            name = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if name == "fp16" and device.type == "cpu":
        raise UsageError("PRECISION fp16 needs a CUDA device; use bf16 or fp32 on a CPU")
    return Precision(name, DTYPES[name])


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 natively; emulated, it is slower than fp32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in probes)


def compile_stages(stages: Sequence[nn.Module], device: torch.device) -> None:
    """Compiles modules in place, or says in one line why they stay as they are."""
    if not _compiler_works(device):
        return
    # All stages run nn.Sequential's forward, and dynamo gives one function few compiled versions.
    torch._dynamo.config.cache_size_limit += RECOMPILATIONS_PER_STAGE * len(stages)
    for stage in stages:
        stage.compile()


@cache
def _compiler_works(device: torch.device) -> bool:
    try:
        probe = torch.compile(lambda x: torch.relu(x) + 1, dynamic=False)
        probe(torch.ones(8, device=device))
    except Exception as error:  # a missing compiler shows up as any of a dozen types
        reason = str(error).strip().splitlines()[0]
        log.warning(
            "COMPILE: no working compiler (%s: %.100s); training continues uncompiled",
            type(error).__name__,
            reason,
        )
        return False
    return True


class AsyncScalars:
    """Copies single numbers from a device to the CPU, in one transfer, while the device goes on.

    Args:
        values: () each, on one device.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self._names = tuple(values)
        stacked = torch.stack(list(values.values()))
        self._copy = stacked.to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event() if stacked.is_cuda else None
        if self._arrived is not None:
            self._arrived.record(torch.cuda.current_stream(stacked.device))

    def read(self) -> dict[str, float]:
        """Waits for the copy, but not for what the device was asked for after it."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return dict(zip(self._names, self._copy.tolist(), strict=True))


def peak_mib(device: torch.device) -> float:
    """Largest memory use so far: of the CUDA device, or of this process; 0 where it is unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if resource is None:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
