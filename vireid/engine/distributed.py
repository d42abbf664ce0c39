"""Several processes as one: ranks, exchanged tensors, and the error when a process dies."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vireid.data.loading import explain_loader_errors
from vireid.errors import DataError, ProcessError, UsageError, VireidError
from vireid.structures import Batch, ModelOutput

TIMEOUT = timedelta(minutes=30)  # of what the processes exchange within a step
# One process renders or evaluates while the others wait for it.
PATIENCE = timedelta(hours=12)
POLL = 0.02  # seconds
Result = TypeVar("Result")
# How torch's messages say that a process died.
PEER = re.compile(
    r"closed by peer|reset by peer|Socket closed|Broken pipe|NCCL|gloo", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class World:
    """This process among all that torchrun started; one process alone is rank 0 of 1.

    Args:
        patient: the processes again, for waits of hours; None alone.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    patient: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def barrier(self) -> None:
        """Waits for all processes; a signal can end the wait."""
        if self.size > 1:
            # torch's own wait keeps Python from handling signals
            work = dist.barrier(group=self.patient, async_op=True)
            while not work.is_completed():
                time.sleep(POLL)
            work.wait()  # raises the error of one that failed

    def largest(self, value: int) -> int:
        """The largest of the processes' values, on each of them."""
        if self.size == 1:
            return value
        backend_device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        tensor = torch.tensor(value, device=backend_device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return int(tensor)

    def from_main(self, lines: list[str]) -> list[str]:
        """The main process's lines, on each of them."""
        if self.size == 1:
            return lines
        content: list[Any] = [lines]
        dist.broadcast_object_list(content, src=0)
        return list(content[0])

    def any(self, flags: Tensor) -> Tensor:
        """Bool flags that are set on one process at least, on each of them."""
        if self.size == 1:
            return flags
        counts = flags.int()
        dist.all_reduce(counts, op=dist.ReduceOp.MAX)
        return counts.bool()

    def mean(self, tensor: Tensor) -> Tensor:
        """Mean over the processes, on each of them."""
        if self.size == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total / self.size

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Gives the main process's values to all, in place; the tensors have one type."""
        if self.size > 1 and tensors:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            dist.broadcast(flat, src=0)
            for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def collect(self, text: str) -> list[str]:
        """The processes' texts by rank, on each of them."""
        if self.size == 1:
            return [text]
        texts: list[Any] = [None] * self.size
        dist.all_gather_object(texts, text)
        return texts

    def together(self, work: Callable[[], Result]) -> Result:
        """The result of what every process does by itself; where one fails, all end at once.

        Raises:
            VireidError: this process's own error.
            ProcessError: another's, with its exit code.
        """
        try:
            result = work()
        except VireidError as error:
            self.collect(f"{error.exit_code} {socket.gethostname()}: {error}")
            raise
        for rank, text in enumerate(self.collect("")):
            if text:
                code, _, message = text.partition(" ")
                failed = ProcessError(f"process {rank} on {message}")
                failed.exit_code = int(code)
                raise failed
        return result

    def require_same(self, data: str, root: Path) -> None:
        """Compares the processes' fingerprints of the data set.

        Raises:
            DataError: they differ.
        """
        found = self.collect(f"{data[:12]} on {socket.gethostname()}")
        if len({text.partition(" ")[0] for text in found}) > 1:
            raise DataError(
                f"the machines do not have the same images in {root} (fingerprints "
                f"{', '.join(dict.fromkeys(found))}): copy one data set to all of them"
            )

    def gather_rows(self, tensor: Tensor) -> Tensor:
        """(b, ...) of every process → (Σ b, ...) by rank; gradients flow to this process's rows.

        The gradient of this process's rows is multiplied by the number of processes, because
        DistributedDataParallel averages what each of them finds for the same global loss.
        """
        return tensor if self.size == 1 else _GatherRows.apply(tensor, self.rank, self.size)

    def gather(self, output: ModelOutput, batch: Batch) -> tuple[ModelOutput, Batch]:
        """What one process would have seen of the global batch; images stay local."""
        if self.size == 1:
            return output, batch
        labels, is_infrared, indices = (
            self.gather_rows(t) for t in (batch.labels, batch.is_infrared, batch.indices)
        )
        return output.map(self.gather_rows), Batch(batch.images, labels, is_infrared, indices)


@contextmanager
def join_world(device_type: str) -> Iterator[World]:
    """Joins the processes that torchrun started, if it did, and leaves them at the end."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield World()
        return
    rank, size, local_rank = (
        int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    )
    if device_type == "cuda":
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        patient = dist.new_group(timeout=PATIENCE, backend="gloo")
        assert isinstance(patient, dist.ProcessGroup)
        yield World(rank, size, local_rank, patient)
    finally:
        dist.destroy_process_group()


def synchronise_norms(model: nn.Module) -> None:
    """Has every BatchNorm inside ``model`` take its statistics over all processes.

    Raises:
        UsageError: a layer does more than BatchNorm, such as timm's with an activation inside:
            torch would leave out the rest.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm) and type(module) not in (nn.BatchNorm1d, nn.BatchNorm2d):
            raise UsageError(
                f"MODEL.SYNC_BN cannot replace {type(module).__name__}, which this MODEL.BACKBONE "
                "has: set MODEL.SYNC_BN false, or choose another backbone"
            )
    nn.SyncBatchNorm.convert_sync_batchnorm(model)


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, rank: int, size: int) -> Tensor:
        counts = [torch.zeros(1, dtype=torch.int64, device=tensor.device) for _ in range(size)]
        dist.all_gather(counts, torch.tensor([len(tensor)], device=tensor.device))
        lengths = [int(count) for count in counts]
        # Shares differ where an identity exists in one modality only: pad to the longest.
        padded = tensor.new_zeros((max(lengths), *tensor.shape[1:]))
        padded[: len(tensor)] = tensor
        parts = [torch.empty_like(padded) for _ in range(size)]
        dist.all_gather(parts, padded)
        ctx.start, ctx.stop = sum(lengths[:rank]), sum(lengths[: rank + 1])
        ctx.size = size
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad[ctx.start : ctx.stop] * ctx.size, None, None


@contextmanager
def explain_worker_errors() -> Iterator[None]:
    """Turns torch's errors about processes that died into one line.

    Raises:
        ProcessError: a data-loading process, or another process of torchrun's, died.
    """
    try:
        with explain_loader_errors():
            yield
    except RuntimeError as error:
        if not PEER.search(str(error)):
            raise
        raise ProcessError(
            "another process of this training died or cannot be reached; its own output may say "
            f"why (here: {' '.join(str(error).split()):.160}); the last checkpoint is whole: "
            "continue with the same torchrun command and --resume"
        ) from error
