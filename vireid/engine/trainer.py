"""The training loop: one step for every precision, epochs that can stop and continue anywhere."""

from __future__ import annotations

import copy
import gc
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from tqdm import tqdm

from vireid.data.loading import batches
from vireid.data.sampler import IdentityBatchSampler
from vireid.data.transforms import normalize
from vireid.engine.averaging import WeightAverage
from vireid.engine.checkpoint import RAW, load_model, rng_state
from vireid.engine.distributed import World
from vireid.engine.freezing import Freeze
from vireid.engine.gradients import gradient_norms, unused_parameters, zero_term
from vireid.engine.optim import Schedule, complete_momentum
from vireid.engine.precision import AsyncScalars, Precision, peak_mib
from vireid.engine.signals import Interrupted, StopFlag
from vireid.errors import DivergedError, UsageError
from vireid.losses.criterion import Criterion
from vireid.models.reid_model import ReidModel
from vireid.structures import Batch, ModelOutput, TeacherOutput

SLOW_STEP = 2.0  # seconds; the state before it is kept for a signal that cannot wait for its end
TIMING = ("seconds", "wait_share", "peak_memory_mib")  # last columns: the only ones that vary


class BatchTeacher(Protocol):
    """A frozen model that teaches."""

    @property
    def feature_dim(self) -> int:
        """Length of the features that it gives."""
        ...

    def __call__(self, images: Tensor, is_infrared: Tensor) -> TeacherOutput:
        """(B, 3, H, W) uint8 images and (B,) bool flags → what losses need of them."""
        ...


@dataclass(slots=True)
class TrainingProgress:
    """How far a training has come; with the weights, all that a continuation needs.

    Args:
        epoch: whole epochs done.
        step: steps done of the next epoch.
        sums: of every logged quantity over those steps.
        gradients: norm of each loss term's gradient at the epoch's first step, if asked for.
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
    """Everything that one step uses.

    Args:
        wrap: the model → itself, or DistributedDataParallel around it.
        freeze: weights that do not train in the first epochs.
        sampler: decides which batches the loader yields.
        mean, std: normalisation of the images, applied on the device.
        channels_last: the maps' layout in memory; weights keep theirs.
        frames: images in a row of a batch that show one track; their outputs are averaged.
        accumulate: batches of the sampler in one step.
        clip_norm: longest gradient that an optimiser step takes; 0 for any length.
        teacher: sees every batch, if there is one; not part of a checkpoint.
        average: of the model's weights over the steps, if one is kept.
        gradient_norms: write the norm of each term's gradient in the backbone, taken at the first
            step of every epoch, into metrics.csv.
    Attributes:
        wrapped: what ``wrap`` returned.
    """

    model: ReidModel
    wrap: Callable[[ReidModel], nn.Module]
    criterion: Criterion
    optimizer: Optimizer
    schedule: Schedule
    loader: DataLoader[Batch]
    sampler: IdentityBatchSampler
    device: torch.device
    precision: Precision
    world: World
    mean: list[float]
    std: list[float]
    teacher: BatchTeacher | None = None
    channels_last: bool = False
    average: WeightAverage | None = None
    frames: int = 1
    accumulate: int = 1
    clip_norm: float = 0.0
    gradient_norms: bool = False
    freeze: Freeze = field(default_factory=Freeze)
    progress: TrainingProgress = field(default_factory=TrainingProgress)

    def __post_init__(self) -> None:
        self.images = 0  # of the global batches of this epoch that this program has trained on
        self.speed = 0.0  # such images per second, of the last epoch
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.scaled)
        self._stepping = threading.Lock()  # held by whatever changes the state within an epoch
        self._stepping.acquire()
        self._kept: dict[str, Any] | None = None  # state before the current step
        self._last_step = self._seconds = self._waited = 0.0
        self._frozen = self.freeze.lasts(self.progress.epoch)
        self.freeze.set_gradients(self.model, self._frozen)
        self.wrapped = self.wrap(self.model)

    @property
    def scored_model(self) -> ReidModel:
        """The model whose weights are the run's result: the averaged one, if there is one."""
        return self.model if self.average is None else self.average.model

    def prepare_epoch(self) -> None:
        """Freezes and unfreezes what the coming epoch asks for, and turns on training mode."""
        frozen = self.freeze.lasts(self.progress.epoch)
        if frozen != self._frozen:
            self._frozen = frozen
            # A wrapper knows the parameters that train; the old one must not see the new gradients.
            self.wrapped = self.model
            gc.collect()
            self.freeze.set_gradients(self.model, frozen)
            self.wrapped = self.wrap(self.model)
        self.wrapped.train()
        if frozen:
            self.freeze.hold_statistics(self.model)
        elif self.freeze.epochs:
            complete_momentum(self.optimizer)

    @property
    def steps(self) -> int:
        """Optimiser steps of an epoch; the last one may have fewer batches than the others."""
        return math.ceil(len(self.sampler) / self.accumulate)

    def step(self, *batches: Batch) -> dict[str, float]:
        """One optimiser step by the mean gradient of this process's shares of batches.

        Returns:
            loss terms and accuracy, mean over the global batches.
        Raises:
            DivergedError: a loss is not finite; the weights stay as they were.
        """
        self.optimizer.zero_grad(set_to_none=True)
        values = [self._add_gradient(batch, 1 / len(batches)) for batch in batches]
        self._update()
        return {name: sum(one[name] for one in values) / len(values) for name in values[0]}

    def _add_gradient(self, batch: Batch, share: float) -> dict[str, float]:
        """Adds a share of a batch's gradient to those that are there; the batch's values."""
        is_infrared = batch.is_infrared  # stays on the CPU: the model need not wait for a GPU
        batch = batch.to(self.device)
        images = self._normalized(batch.images)
        with torch.autocast(
            self.device.type, dtype=self.precision.dtype, enabled=self.precision.autocast
        ):
            own = self.wrapped(images, is_infrared)
            if self.teacher is not None:
                own = replace(own, teacher=self.teacher(batch.images, is_infrared))
            if self.average is not None and self.average.teaches:
                own = replace(own, averaged=self.average(images, is_infrared))
        if self.frames > 1:
            own, batch = own.per_track(self.frames), batch.per_track(self.frames)
        output, batch = self.world.gather(own, batch)
        self.images += len(batch.labels) * self.frames
        report = self.criterion(output, batch)
        if not report.total.requires_grad:
            raise UsageError(
                "SOLVER.FREEZE_EPOCHS: no loss depends on a parameter that is not frozen: give "
                "LOSS.IDENTITY.WEIGHT a value, or set SOLVER.FREEZE_EPOCHS 0"
            )
        scalars = AsyncScalars(report.named() | accuracies(output, batch.labels))
        if self.gradient_norms and self.progress.step == 0 and not self.progress.gradients:
            self.progress.gradients = gradient_norms(
                report.terms,
                self.criterion.weights,
                [p for p in self.model.backbone.parameters() if p.requires_grad],
                world=self.world,
            )
        self._backward(share * report.total, own)
        values = scalars.read()  # while a GPU still computes the gradients
        if not math.isfinite(values["loss"]):
            raise DivergedError(
                f"the loss is not finite in epoch {self.progress.epoch + 1}, step "
                f"{self.progress.step + 1}: {values}; lower SOLVER.BASE_LR or use PRECISION fp32"
            )
        return values

    def _normalized(self, images: Tensor) -> Tensor:
        images = normalize(images, self.mean, self.std)
        # Convolutions pass the layout of their input on, whatever that of their weights is.
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.contiguous(memory_format=layout)

    def _parameters(self) -> list[nn.Parameter]:
        """The model's and the criterion's."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _backward(self, loss: Tensor, own: ModelOutput) -> None:
        """Adds the gradients to those that are there.

        Args:
            own: this process's outputs.
        """
        if self.world.size == 1:
            self.scaler.scale(loss).backward()
            return
        idle = [parameter for parameter in self._parameters() if parameter.grad is None]
        unused = unused_parameters(loss, idle, self.world)
        self.scaler.scale(loss + zero_term(own)).backward()
        for parameter in unused:
            parameter.grad = None

    def _update(self) -> None:
        if self.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self._parameters(), self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.progress.epoch * self.steps + self.progress.step)

    def advance(self, *batches: Batch) -> None:
        """Trains the epoch's next step at the scheduled learning rate, and counts it."""
        progress, started = self.progress, time.perf_counter()
        slow = self._last_step > SLOW_STEP and self.world.is_main
        self._kept = copy.deepcopy(self.state()) if slow else None
        factor = self._lr_factor(progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        for name, value in self.step(*batches).items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        progress.step += 1
        self._last_step = time.perf_counter() - started

    def _lr_factor(self, step: int) -> float:
        """Of a step of the current epoch, counted from 0."""
        return self.schedule.factor(self.progress.epoch + step / self.steps)

    def run_epoch(self, stop: StopFlag) -> int:
        """Trains from the current step to the last of the epoch, or until a signal comes.

        Returns:
            the signal's number, 0 when all steps are done and none came.
        """
        progress, sampler = self.progress, self.sampler
        sampler.epoch, sampler.first_step = progress.epoch, progress.step * self.accumulate
        self.prepare_epoch()
        self.images, waited = 0, 0.0
        started = time.perf_counter()
        with self._bar() as bar, self._open_to_other_threads():
            source = batches(self.loader)
            while progress.step < self.steps:
                asked = time.perf_counter()
                try:
                    # several processes stop after the same step
                    with nullcontext() if self.world.size > 1 else stop.ending_waits():
                        group = list(islice(source, self.accumulate))
                except Interrupted as signal:
                    return signal.number
                waited += time.perf_counter() - asked
                with self._stepping:
                    self.advance(*group)
                speed = self.images / (time.perf_counter() - started)
                loss = progress.sums["loss"] / progress.step
                bar.set_postfix_str(f"loss {loss:.3f}, {speed:.0f} img/s", refresh=False)
                bar.update()
                received = self.world.largest(stop.received)
                if received:
                    return received
        self._seconds, self._waited = time.perf_counter() - started, waited
        return self.world.largest(stop.received)

    @contextmanager
    def _open_to_other_threads(self) -> Iterator[None]:
        self._stepping.release()
        try:
            yield
        finally:
            self._stepping.acquire()
            self._kept = None

    def last_state(self) -> dict[str, Any] | None:
        """The state after the last step, for another thread that is about to end the process.

        Training cannot go on after it. None outside of an epoch, whose end has been saved, and
        within a step that was expected to be short.
        """
        return self.state() if self._stepping.acquire(blocking=False) else self._kept

    def _bar(self) -> tqdm[Any]:
        """Of the epoch's steps: on a terminal only, and gone when the epoch is complete."""
        progress = self.progress
        return tqdm(
            total=self.steps,
            initial=progress.step,
            desc=f"epoch {progress.epoch + 1}/{self.schedule.epochs}",
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} "
            "[{elapsed}<{remaining}{postfix}]",
            disable=None if self.world.is_main else True,
            dynamic_ncols=True,
            leave=False,
        )

    def close_epoch(self) -> None:
        """Turns the epoch's sums into a row of metrics.csv, timing columns last."""
        progress = self.progress
        seconds = max(self._seconds, 1e-9)  # of a run that was stopped after the last step
        self.speed = self.images / seconds
        row: dict[str, float] = {"epoch": progress.epoch + 1, "steps": progress.step}
        row["lr"] = self.optimizer.param_groups[-1]["base_lr"] * self._lr_factor(progress.step - 1)
        row |= {name: value / progress.step for name, value in progress.sums.items()}
        row |= progress.gradients
        share = self._waited / seconds
        timing = round(seconds, 3), round(share, 4), round(peak_mib(self.device), 1)
        row |= dict(zip(TIMING, timing, strict=True))
        progress.history.append(row)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.sums, progress.gradients = {}, {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the training itself.

        ``model`` is what readers of a checkpoint use; the weights that go on training are kept
        beside it, where it is their average.
        """
        raw = {} if self.average is None else {RAW: self.model.state_dict()}
        return raw | {
            "model": self.scored_model.state_dict(),
            "criterion": self.criterion.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": asdict(self.progress),
            "rng": rng_state(),
        }

    def require_finite(self) -> None:
        """Raises ``DivergedError`` if training has broken the model."""
        state = self.scored_model.state_dict()  # an average is as broken as what it averages
        broken = [key for key, value in state.items() if not torch.isfinite(value).all()]
        if broken:
            raise DivergedError(
                f"{len(broken)} tensors of the model are not finite after epoch "
                f"{self.progress.epoch}, step {self.progress.step}, the first is {broken[0]}; "
                "lower SOLVER.BASE_LR or use PRECISION fp32"
            )

    def load_weights(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Those that train and their average, if one is kept; it begins with what is there.

        Raises:
            CheckpointError: the checkpoint is of another model.
        """
        load_model(self.model, checkpoint.get(RAW, checkpoint["model"]), path)
        if self.average is not None:
            load_model(self.average.model, checkpoint["model"], path)

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state``, except for the weights of models and the generators.

        The optimiser's running averages continue; its options stay this configuration's. The
        learning rate is the last step's, as in the training that saved it; ``advance`` sets it.
        """
        self.criterion.load_state_dict(state["criterion"])
        groups = self.optimizer.param_groups
        kept = ("params", "lr")
        options = [{k: v for k, v in group.items() if k not in kept} for group in groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, own in zip(self.optimizer.param_groups, options, strict=True):
            group.update(own)
        if state["scaler"] and self.scaler.is_enabled():  # empty unless the other run was fp16
            self.scaler.load_state_dict(state["scaler"])
        self.progress = TrainingProgress(**state["progress"])


def fit(
    trainer: Trainer,
    stop: StopFlag,
    *,
    end_of_epoch: Callable[[], None],
    all_steps_done: Callable[[], None] = lambda: None,
) -> int:
    """Trains until the schedule's last epoch or a signal.

    Args:
        all_steps_done: called before an epoch counts as done.
        end_of_epoch: called after every whole epoch: validates, logs, saves.
    Returns:
        the signal's number, 0 when none came.
    """
    while trainer.progress.epoch < trainer.schedule.epochs:
        received = trainer.run_epoch(stop)
        if received:
            return received
        all_steps_done()
        trainer.close_epoch()
        end_of_epoch()
    return trainer.world.largest(stop.received)  # it may have come after the last step


def accuracies(output: ModelOutput, labels: Tensor) -> dict[str, Tensor]:
    """Share of a batch that the deepest classifier, and a teacher with logits, classifies right."""
    logits = {"accuracy": output.deep.logits.detach()}
    if output.teacher is not None and output.teacher.logits is not None:
        logits["teacher_accuracy"] = output.teacher.logits
    return {name: (one.argmax(dim=1) == labels).float().mean() for name, one in logits.items()}
