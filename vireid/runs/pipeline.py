"""A run from its configuration to its results: what the tools call."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from vireid.config import apply_overrides, dump_config
from vireid.config.load import flatten
from vireid.data.build import build_splits, pixel_rules
from vireid.data.datasets import DATASETS
from vireid.data.datasets.files import fingerprint
from vireid.data.findings import findings, survey
from vireid.data.images import require_readable
from vireid.data.loading import end_processes
from vireid.engine.build import build_trainer
from vireid.engine.checkpoint import (
    BEST,
    LAST,
    load_checkpoint,
    load_model,
    require_same_data,
    rng_state,
    save_checkpoint,
)
from vireid.engine.distributed import World, explain_worker_errors, join_world
from vireid.engine.precision import resolve_device, use_threads
from vireid.engine.signals import StopFlag
from vireid.engine.trainer import Trainer, fit
from vireid.errors import DivergedError, StoppedError, printable
from vireid.evaluation.protocols import expand
from vireid.evaluation.results import write_results
from vireid.models.build import build_model
from vireid.runs.console import EpochLog, log_entry, log_start, score_lines
from vireid.runs.exits import warn_of_untrained
from vireid.runs.features import training_ranges
from vireid.runs.logs import start_log, write_metrics
from vireid.runs.options import recipe_of
from vireid.runs.rendered_data import prepare_data
from vireid.runs.resume import (
    Start,
    check_unchanged,
    find_start,
    restore,
    settle_best,
    teacher_changes,
)
from vireid.runs.run_dir import claim_folder, describe_run, own_command, seed_everything
from vireid.runs.score import check_answerable, chosen_protocols, score, source_of
from vireid.runs.selection import warn_of_few_identities
from vireid.runs.teacher import Teacher, load_teacher, require_elsewhere
from vireid.runs.trackers.feed import Trackers, chosen_trackers, require_trackers
from vireid.runs.trackers.tracker import TrackedRun
from vireid.runs.weights import require_kept, weights_file
from vireid.structures import Splits

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Training:
    """One training and what it was made of.

    Args:
        data: fingerprint of the data set.
        folder: of the run.
        origin: one line that says where the weights come from.
    """

    cfg: CfgNode
    splits: Splits
    data: str
    folder: Path
    teacher: Teacher | None
    trainer: Trainer
    origin: str


def train_and_score(
    cfg: CfgNode,
    *,
    config_path: Path,
    resume: bool = False,
    resume_from: Path | None = None,
    overwrite: bool = False,
    verbose: bool = False,
    draw: Callable[[Path], None] | None = None,
) -> Path | None:
    """Trains, scores, and fills a run folder.

    Args:
        config_path: names the default run folder.
        resume: continue from ``resume_from``, or from the run folder's last checkpoint.
        resume_from: a checkpoint or a run folder.
        overwrite: replace the run that the folder holds.
        verbose: log every loss term of every epoch.
        draw: draws a finished run's figures into its ``figures/``; what it raises is a warning.
    Returns:
        the run folder, on the process that wrote it; None on the others.
    Raises:
        UsageError, DataError, CheckpointError, DivergedError, ProcessError: as their names say.
        StoppedError: a signal came; a checkpoint that continues was written.
    """
    require_trackers(cfg.TRACKERS)
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE, int(os.environ.get("LOCAL_RANK", 0)))
    with explain_worker_errors(), join_world(device.type) as world, ExitStack() as stack:
        if world.local_rank == 0:
            prepare_data(cfg)
        world.barrier()
        splits = build_splits(cfg)
        check_answerable(chosen_protocols(cfg), splits)
        start = find_start(cfg, config_path, splits, resume=resume, resume_from=resume_from)
        seen = _look_at(cfg, splits, start) if world.is_main else _Seen()
        cfg = apply_overrides(cfg, world.from_main(seen.ranges))
        # Whatever can fail fails before the folder is touched, so that a mended command runs.
        training = _prepare(cfg, splits, start, device=device, world=world)
        stack.callback(lambda: end_processes(training.trainer.loader._iterator))
        if world.is_main:
            claim = claim_folder(start.folder, resume=start.in_place, overwrite=overwrite)
            stack.enter_context(claim)
            start_log(start.folder)
            for line in seen.suspicious:
                log.warning("data set: %s", line)
            for line in seen.found:
                log_entry("range", line)
            describe_run(start.folder, cfg, splits=splits, data=training.data, device=device)
            _log_start(training, start)
            settle_best(training.trainer.progress, start)
        trackers = stack.enter_context(_track(training, start))
        _train(training, start, trackers, verbose=verbose)
        if world.is_main:
            _score(training, trackers)
            _draw(training, trackers, draw)
        world.barrier()
    return start.folder if world.is_main else None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What looking at every image showed.

    Args:
        suspicious: one line each.
        ranges: what each ``INPUT.*.RANGE auto`` becomes: ``KEY``, ``VALUE``, …
        found: how these were found, one line each.
    """

    suspicious: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)


def _look_at(cfg: CfgNode, splits: Splits, start: Start) -> _Seen:
    """Errors: of ``require_readable``."""
    records = splits.train + splits.val + splits.test
    headers = require_readable(splits.root, [record.path for record in records])
    ranges, found = training_ranges(cfg, splits, headers, start.checkpoint)
    rules = pixel_rules(apply_overrides(cfg, ranges))
    folders = DATASETS[cfg.DATA.DATASET].image_folders
    return _Seen(findings(survey([splits], headers, folders, rules)), ranges, found)


def _prepare(
    cfg: CfgNode, splits: Splits, start: Start, *, device: torch.device, world: World
) -> _Training:
    """Model, losses and optimiser, new or as the checkpoint left them."""
    data = fingerprint(splits)
    # Before the seed: a student starts from the same weights with and without a teacher.
    teacher = load_teacher(cfg, splits, data, device=device)
    require_elsewhere(teacher, start.folder)
    seed_everything(cfg.SEED)
    fresh = start.checkpoint is None
    weights = weights_file(cfg.MODEL.PRETRAINED) if fresh else None
    require_kept(weights, start.folder)
    classes = len(splits.train_pids)
    model, initial = build_model(cfg, classes, load_weights=fresh, weights=weights)
    origin = initial.origin
    trainer = build_trainer(cfg, model, splits, device=device, world=world, teacher=teacher)
    if start.checkpoint is not None:
        remedy = "check DATA.*, or start a new run with MODEL.PRETRAINED"
        dataset, path = cfg.DATA.DATASET, start.path
        require_same_data(start.checkpoint, path, splits, dataset=dataset, data=data, remedy=remedy)
        load_model(model, start.checkpoint["model"], start.path)
        restore(trainer, start.checkpoint, start.path)
        start.changes.extend(teacher_changes(start.checkpoint, teacher, start.path))
        progress = trainer.progress
        origin = f"continuing {start.path} after epoch {progress.epoch}, step {progress.step}"
    return _Training(cfg, splits, data, start.folder, teacher, trainer, origin)


def _log_start(training: _Training, start: Start) -> None:
    cfg = training.cfg
    log_start(cfg, training.splits, training.trainer, origin=training.origin)
    if training.teacher is not None:
        log_entry("teacher", training.teacher.origin)
    for line in start.changes:
        log_entry("", line)
    warn_of_untrained(cfg)
    warn_of_few_identities(cfg.SOLVER.SELECT, training.splits.val)


def _track(training: _Training, start: Start) -> Trackers:
    """The run in its trackers; in none on a process that does not write."""
    folder = training.folder.resolve()
    name = str(folder.relative_to(recipe_of(folder).parent))
    run = TrackedRun(folder, name, flatten(training.cfg))
    main = training.trainer.world.is_main
    names = chosen_trackers(training.cfg.TRACKERS) if main else []
    return Trackers(names, run, training.trainer.progress.history, continued=start.in_place)


def _train(training: _Training, start: Start, trackers: Trackers, *, verbose: bool) -> None:
    """Runs the schedule; a signal saves a checkpoint that continues and raises StoppedError."""
    folder, trainer = training.folder, training.trainer
    progress = trainer.progress
    if start.checkpoint is None or start.path.resolve() != (folder / LAST).resolve():
        _save(training, LAST)  # a run killed in its first epoch can be resumed
    if trainer.world.is_main:  # a process killed after the checkpoint has left a row less
        write_metrics(folder / "metrics.csv", progress.history)
    every = training.cfg.SOLVER.VAL_EVERY
    epochs = EpochLog(trainer, validate_every=every, verbose=verbose)
    with StopFlag() as stop:
        received = fit(trainer, stop, end_of_epoch=lambda: _end_epoch(training, epochs, trackers))
    if received:
        _save(training, LAST)
        trainer.world.barrier()
        done = f"stopped after epoch {progress.epoch}, step {progress.step}"
        raise _stopped(received, f"{done}, and saved {folder / LAST}", training)


def _stopped(number: int, what: str, training: _Training) -> StoppedError:
    """The error that ends a stopped run: what was kept, and the command that continues."""
    folder, processes = training.folder, training.trainer.world.size
    tool = own_command()
    if processes > 1 and tool[0] == "python":
        tool[:1] = ["torchrun", "--standalone", "--nproc-per-node", str(processes)]
    command = [*tool, "--cfg", str(folder / "config.yaml"), "--resume", str(folder)]
    name = signal.Signals(number).name
    return StoppedError(f"{name}: {what}; continue with:\n  {shlex.join(command)}", number)


def _score(training: _Training, trackers: Trackers) -> None:
    """Writes results.json of the selected epoch."""
    cfg, splits, folder = training.cfg, training.splits, training.folder
    check_unchanged(splits, training.data)
    epoch = _load_selected(training)
    path = folder / "results.json"
    try:
        results = score(
            cfg,
            training.trainer.model,
            splits,
            chosen_protocols(cfg),
            device=training.trainer.device,
            rerank=cfg.TEST.RERANK,
        )
    except KeyboardInterrupt:
        what = f"stopped before the scores were there; the trained model is in {folder / LAST}"
        raise _stopped(signal.SIGINT, what, training) from None
    write_results(path, results, source_of(cfg, run=folder, epoch=epoch, data=training.data))
    log.info("\n%s\n", "\n".join(score_lines(results, epoch)))
    log.info("results in %s", path)
    trackers.log_results(epoch, results)


def _draw(training: _Training, trackers: Trackers, draw: Callable[[Path], None] | None) -> None:
    """Draws the run's figures; a training whose figures fail is finished all the same."""
    figures = training.folder / "figures"
    try:
        if draw is not None:
            draw(training.folder)
    except Exception as error:
        log.warning(
            "no figures (%s: %s); mend that, and draw them with the tool visualize",
            type(error).__name__,
            printable(" ".join(str(error).split())[:200]),
        )
    trackers.log_figures(training.trainer.progress.epoch, sorted(figures.glob("*.png")))


def _end_epoch(training: _Training, epochs: EpochLog, trackers: Trackers) -> None:
    """Validates when due, logs, and saves; the other processes wait."""
    options, folder, trainer = training.cfg.SOLVER, training.folder, training.trainer
    progress = trainer.progress
    if trainer.world.is_main:
        seconds = 0.0
        if options.VAL_EVERY and progress.epoch % options.VAL_EVERY == 0:
            started = time.monotonic()
            _validate(training)
            seconds = time.monotonic() - started
        epochs.end_epoch(validation=seconds)
        if options.CHECKPOINT_EVERY and progress.epoch % options.CHECKPOINT_EVERY == 0:
            _save(training, f"checkpoints/epoch_{progress.epoch:03d}.pth")
        # Last: a run that is killed before continues with this epoch and all its files.
        _save(training, LAST)
        write_metrics(folder / "metrics.csv", progress.history)
        trackers.log_rows(progress.history)
    trainer.world.barrier()


def _validate(training: _Training) -> None:
    """Adds the validation scores to the epoch's row."""
    cfg, trainer = training.cfg, training.trainer
    progress = trainer.progress
    protocols = expand(["val"], DATASETS[cfg.DATA.DATASET].modalities)
    results = score(cfg, trainer.model, training.splits, protocols, device=trainer.device)
    scores = {
        f"{name}_{metric}": entry["mean"][metric]
        for name, entry in results.items()
        for metric in ("rank1", "mAP")
    }
    progress.history[-1].update(scores)
    mean_ap = sum(entry["mean"]["mAP"] for entry in results.values()) / len(results)
    if mean_ap > progress.best.get("mAP", -1.0):
        progress.best = {"mAP": mean_ap, "epoch": progress.epoch}
        _save(training, BEST)


def _save(training: _Training, name: str) -> None:
    """Writes a checkpoint, unless training has broken the model: the last good one stays."""
    cfg, splits, trainer = training.cfg, training.splits, training.trainer
    if not trainer.world.is_main:
        return
    state = trainer.model.state_dict()
    broken = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise DivergedError(
            f"{len(broken)} tensors of the model are not finite after epoch "
            f"{trainer.progress.epoch}, step {trainer.progress.step}, the first is {broken[0]}; "
            "lower SOLVER.BASE_LR or use PRECISION fp32"
        )
    content: dict[str, Any] = {
        **trainer.state(),
        "rng": rng_state(),
        "config": dump_config(cfg),
        "pids": list(splits.train_pids),
        "dataset": cfg.DATA.DATASET,
        "split_trial": splits.split_trial,
        "data": training.data,
        "teacher": training.teacher.digest if training.teacher else "",
    }
    save_checkpoint(training.folder / name, content)


def _load_selected(training: _Training) -> int:
    """Puts the weights that are the run's result into the model; returns their epoch."""
    trainer = training.trainer
    if training.cfg.SOLVER.SELECT == "last" or not trainer.progress.best:
        return trainer.progress.epoch
    path = training.folder / BEST
    checkpoint = load_checkpoint(path)
    load_model(trainer.model, checkpoint["model"], path)
    return checkpoint["progress"]["epoch"]
