"""The training loop: one step for every precision, epochs that can stop and continue anywhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from tqdm import tqdm

from vireid.data.dataset import batches
from vireid.data.sampler import IdentityBatchSampler
from vireid.data.transforms import normalize
from vireid.engine.distributed import World
from vireid.engine.gradient_norms import gradient_norms
from vireid.engine.precision import Precision
from vireid.engine.schedule import Schedule
from vireid.engine.signals import StopFlag
from vireid.engine.unused_parameters import unused_parameters, zero_term
from vireid.errors import DivergedError
from vireid.losses.criterion import Criterion
from vireid.models.reid_model import ReidModel
from vireid.structures import Batch, ModelOutput

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

# (B, 3, H, W) uint8 images, (B,) bool is_infrared → (B, C) logits of a frozen model
TeacherLogits = Callable[[Tensor, Tensor], Tensor]
TIMING = ("seconds", "wait_share", "peak_memory_mib")  # last columns: the only ones that vary


@dataclass(slots=True)
class Progress:
    """How far a training has come; with the weights, all that a continuation needs.

    Args:
        epoch: whole epochs done.
        step: steps done of the epoch after those.
        sums: over those steps, of every logged quantity.
        gradients: of the epoch's first step, the norm of each term's gradient, if asked for.
        history: one row of metrics.csv per whole epoch.
        best: validation score and epoch of the best epoch; empty without validation.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)


@dataclass
class Trainer:
    """Everything that one step touches.

    Args:
        network: what is called in the forward pass: ``model``, or its DDP wrapper.
        loader, sampler: the sampler decides which batches the loader yields.
        mean, std: normalisation of the images, applied on the device.
        clip_norm: longest gradient that an optimiser step takes; 0 for any length.
        teacher: gives its logits of every batch, if there is one; not part of a checkpoint.
        gradient_norms: write the norm of each term's gradient in the backbone, taken at the first
            step of every epoch, into metrics.csv.
    """

    model: ReidModel
    network: nn.Module
    criterion: Criterion
    optimizer: Optimizer
    schedule: Schedule
    loader: DataLoader
    sampler: IdentityBatchSampler
    device: torch.device
    precision: Precision
    world: World
    mean: list[float]
    std: list[float]
    teacher: TeacherLogits | None = None
    clip_norm: float = 0.0
    gradient_norms: bool = False
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.scaled)

    def step(self, batch: Batch) -> dict[str, float]:
        """One optimiser step on this process's share of a batch.

        Returns:
            the global batch's loss terms and accuracy.
        Raises:
            DivergedError: the loss is not finite; the weights stay as they were.
        """
        flags = batch.is_infrared  # the network asks for them: a GPU would have to be waited for
        batch = batch.to(self.device)
        images = normalize(batch.images, self.mean, self.std)
        with torch.autocast(
            self.device.type, dtype=self.precision.dtype, enabled=self.precision.autocast
        ):
            own = self.network(images, flags)
            if self.teacher is not None:
                own = replace(own, teacher=self.teacher(batch.images, flags))
        output, batch = self.world.gather(own, batch)
        report = self.criterion(output, batch)
        numbers = Numbers(report.named() | accuracies(output, batch.labels))
        if self.gradient_norms and self.progress.step == 0:
            backbone = list(self.model.backbone.parameters())
            weights = self.criterion.weights
            norms = gradient_norms(report.terms, weights, backbone, world=self.world)
            self.progress.gradients = norms
        members = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._backward(report.total, own, members)
        found = numbers.read()  # while a GPU is busy with what was just asked for
        if not math.isfinite(found["loss"]):
            raise DivergedError(
                f"the loss is not finite in epoch {self.progress.epoch + 1}, step "
                f"{self.progress.step + 1}: {found}; lower SOLVER.BASE_LR or use PRECISION fp32"
            )
        self._update(members)
        return found

    def _backward(self, loss: Tensor, own: ModelOutput, members: list[nn.Parameter]) -> None:
        """Gradients of the members.

        Args:
            own: this process's outputs.
        """
        self.optimizer.zero_grad(set_to_none=True)
        if self.world.size > 1:
            idle = unused_parameters(loss, members, self.world)
            self.scaler.scale(loss + zero_term(own)).backward()
            for parameter in idle:
                parameter.grad = None
        else:
            self.scaler.scale(loss).backward()

    def _update(self, members: list[nn.Parameter]) -> None:
        if self.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(members, self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def advance(self, batch: Batch) -> None:
        """Trains the epoch's next step at the rate that the schedule has for it, and counts it."""
        progress = self.progress
        self._set_rate(progress.epoch + progress.step / len(self.sampler))
        for name, value in self.step(batch).items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        progress.step += 1

    def run_epoch(self, stop: StopFlag) -> int:
        """Trains from the current step to the end of the epoch, or until a signal came.

        Returns:
            the signal's number, 0 when the epoch is complete.
        """
        progress, total = self.progress, len(self.sampler)
        self.sampler.epoch, self.sampler.first_step = progress.epoch, progress.step
        self.network.train()
        started, waited = time.perf_counter(), 0.0
        bar = tqdm(
            total=total,
            initial=progress.step,
            desc=f"epoch {progress.epoch + 1}/{self.schedule.epochs}",
            disable=None if self.world.is_main else True,
            leave=False,
        )
        with bar:
            source = batches(self.loader)
            while progress.step < total:
                asked = time.perf_counter()
                batch = next(source)
                waited += time.perf_counter() - asked
                self.advance(batch)
                bar.update()
                received = self.world.largest(stop.received)
                if received and progress.step < total:
                    return received
        self._close_epoch(time.perf_counter() - started, waited)
        return self.world.largest(stop.received)

    def _set_rate(self, done: float) -> None:
        factor = self.schedule.factor(done)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor

    def _close_epoch(self, seconds: float, waited: float) -> None:
        """Turns the epoch's sums into a row of metrics.csv, timing columns last."""
        progress = self.progress
        row = {"epoch": progress.epoch + 1, "steps": progress.step}
        row["lr"] = self.optimizer.param_groups[-1]["lr"]
        row |= {name: value / progress.step for name, value in progress.sums.items()}
        row |= progress.gradients
        timing = round(seconds, 3), round(waited / seconds, 4), round(peak_mib(self.device), 1)
        row |= dict(zip(TIMING, timing, strict=True))
        progress.history.append(row)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.sums, progress.gradients = {}, {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the training itself."""
        return {
            "model": self.model.state_dict(),
            "criterion": self.criterion.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": asdict(self.progress),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state`, but for the network's weights.

        The optimiser's running averages continue; its options stay this configuration's.
        """
        self.criterion.load_state_dict(state["criterion"])
        groups = self.optimizer.param_groups
        options = [{k: v for k, v in group.items() if k != "params"} for group in groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, own in zip(self.optimizer.param_groups, options, strict=True):
            group.update(own)
        if state["scaler"] and self.scaler.is_enabled():  # empty when the other was not fp16
            self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])


class Numbers:
    """Single numbers on their way from a device to the processor, all in one copy.

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
        """Waits for what had been asked of the device before them, and for nothing after."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return dict(zip(self._names, self._copy.tolist(), strict=True))


def accuracies(output: ModelOutput, labels: Tensor) -> dict[str, Tensor]:
    """Share of a batch that the deepest classifier, and the teacher if there is one, tell right."""
    said = {"accuracy": output.deep.logits.detach()}
    if output.teacher is not None:
        said["teacher_accuracy"] = output.teacher
    return {name: (one.argmax(dim=1) == labels).float().mean() for name, one in said.items()}


def fit(trainer: Trainer, stop: StopFlag, *, end_of_epoch: Callable[[], None]) -> int:
    """Trains until the schedule's last epoch or a signal.

    Args:
        end_of_epoch: called after every whole epoch: validates, logs, saves.
    Returns:
        the signal's number, 0 when none came.
    """
    while trainer.progress.epoch < trainer.schedule.epochs:
        received = trainer.run_epoch(stop)
        if trainer.progress.step == 0:
            end_of_epoch()
        if received:
            return received
    return trainer.world.largest(stop.received)  # it may have come after the last step


def peak_mib(device: torch.device) -> float:
    """Most memory in use so far: of the CUDA device, or of this process; 0 where nobody tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if resource is None:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
