"""A run from its configuration to its results: what the tools call."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from vireid.config import apply_overrides, dump_config
from vireid.config.load import absolute_paths, flatten
from vireid.data.build import build_splits, pixel_rules
from vireid.data.datasets import DATASETS
from vireid.data.datasets.files import fingerprint
from vireid.data.findings import findings, survey
from vireid.data.images import require_readable
from vireid.data.loading import end_processes
from vireid.data.verify import image_paths
from vireid.engine.build import build_trainer
from vireid.engine.checkpoint import (
    BEST,
    LAST,
    load_checkpoint,
    load_model,
    require_same_data,
    save_checkpoint,
)
from vireid.engine.distributed import World, explain_worker_errors, join_world
from vireid.engine.measured_precision import training_precision
from vireid.engine.precision import resolve_device, use_threads
from vireid.engine.selection import warn_of_few_identities
from vireid.engine.signals import Interrupted, StopFlag, last_resort
from vireid.engine.trainer import Trainer, fit
from vireid.errors import StoppedError, printable
from vireid.evaluation.results import write_results
from vireid.models.build import build_model
from vireid.models.pretrained import InitialWeights
from vireid.models.reid_model import ReidModel
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
from vireid.runs.run_dir import claim_folder, describe_run, seed_everything
from vireid.runs.score import (
    check_answerable,
    chosen_rerankings,
    score,
    scored_protocols,
    source_of,
    validation_protocols,
)
from vireid.runs.teacher import Teacher, load_teacher, require_elsewhere
from vireid.runs.trackers.feed import Trackers, chosen_trackers, require_trackers
from vireid.runs.trackers.tracker import TrackedRun
from vireid.runs.weights import (
    loaded_before,
    require_kept,
    warn_of_random_weights,
    warn_of_seen_identities,
    weights_file,
)
from vireid.structures import Splits
from vireid.utils.commands import own_command

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Training:
    """One training and what it was made of.

    Args:
        data: fingerprint of the data set.
        folder: of the run.
        origin: one line that says where the weights come from.
        saving: held while a checkpoint is written.
    """

    cfg: CfgNode
    splits: Splits
    data: str
    folder: Path
    teacher: Teacher | None
    trainer: Trainer
    origin: str
    saving: threading.Lock = field(default_factory=threading.Lock)


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
    given, cfg = cfg, absolute_paths(cfg)  # the run's folder is named as the user named it
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE, int(os.environ.get("LOCAL_RANK", 0)))
    with explain_worker_errors(), join_world(device.type) as world, ExitStack() as stack:
        if world.local_rank == 0:
            prepare_data(cfg)
        world.barrier()
        splits, start = world.together(
            lambda: _splits_and_start(cfg, given, config_path, resume, resume_from)
        )
        cfg, seen = _look_at(cfg, partial(_seen_in, cfg, splits, start, device, world), world)
        # Whatever can fail fails before the folder is touched, so that a mended command runs.
        training = _prepare(cfg, splits, start, device=device, world=world)
        stack.enter_context(last_resort(partial(_rescue, training)))
        stack.callback(lambda: end_processes(training.trainer.loader._iterator))
        if world.is_main:
            claim = claim_folder(start.folder, resume=start.in_place, overwrite=overwrite)
            stack.enter_context(claim)
            start_log(start.folder)
            describe_run(start.folder, cfg, splits=splits, data=training.data, device=device)
            _log_start(training, start, seen)
            settle_best(training.trainer.progress, start)
        trackers = stack.enter_context(_track(training, start))
        _train(training, start, trackers, verbose=verbose)
        if world.is_main:
            _score(training, trackers)
            _draw(training, trackers, draw)
        world.barrier()
    return start.folder if world.is_main else None


def _splits_and_start(
    cfg: CfgNode, given: CfgNode, config_path: Path, resume: bool, resume_from: Path | None
) -> tuple[Splits, Start]:
    splits = build_splits(cfg)
    check_answerable(scored_protocols(cfg), splits, chosen_rerankings(cfg))
    check_answerable(validation_protocols(cfg), splits)
    start = find_start(given, config_path, splits, resume=resume, resume_from=resume_from)
    return splits, start


@dataclass(frozen=True, slots=True)
class _Seen:
    """What looking at every image showed.

    Args:
        suspicious: one line each.
        became: what each ``auto`` that the run stores becomes: ``KEY``, ``VALUE``, …
        found: how these were found, one line each.
    """

    suspicious: list[str] = field(default_factory=list)
    became: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)


def _look_at(cfg: CfgNode, look: Callable[[], _Seen], world: World) -> tuple[CfgNode, _Seen]:
    """The configuration with the ranges and the precision found, and what the main process saw.

    Raises:
        DataError: an image cannot be read.
    """
    seen = world.together(look if world.is_main else _Seen)
    return apply_overrides(cfg, world.from_main(seen.became)), seen


def _seen_in(
    cfg: CfgNode, splits: Splits, start: Start, device: torch.device, world: World
) -> _Seen:
    records = splits.train + splits.val + splits.test
    headers = require_readable(splits.root, image_paths(records))
    ranges, found = training_ranges(cfg, splits, headers, start.checkpoint)
    rules = pixel_rules(apply_overrides(cfg, ranges))
    folders = DATASETS[cfg.DATA.DATASET].image_folders
    suspicious = findings(survey([splits], headers, folders, rules))
    precision, measured = training_precision(
        cfg, splits, device=device, processes=world.size, checkpoint=start.checkpoint
    )
    return _Seen(suspicious, ranges + precision, found + measured)


def _prepare(
    cfg: CfgNode, splits: Splits, start: Start, *, device: torch.device, world: World
) -> _Training:
    """Model, losses and optimiser, new or as the checkpoint left them."""
    data = fingerprint(splits)
    world.require_same(data, splits.root)
    # Before the seed: a student starts from the same weights with and without a teacher.
    teacher = load_teacher(cfg, splits, data, device=device)
    require_elsewhere(teacher, start.folder)
    seed_everything(cfg.SEED)
    model, initial = _initial_model(cfg, splits, start)
    origin, loaded = initial.origin, initial.loaded
    trainer = build_trainer(
        cfg, model, splits, device=device, world=world, teacher=teacher, loaded=loaded
    )
    if start.checkpoint is not None:
        remedy = "check DATA.*, or start a new run with MODEL.PRETRAINED"
        dataset, path = cfg.DATA.DATASET, start.path
        require_same_data(start.checkpoint, path, splits, dataset=dataset, data=data, remedy=remedy)
        trainer.load_weights(start.checkpoint, start.path)
        restore(trainer, start.checkpoint, start.path)
        start.changes.extend(teacher_changes(start.checkpoint, teacher, start.path))
        progress = trainer.progress
        origin = f"continuing {start.path} after epoch {progress.epoch}, step {progress.step}"
    return _Training(cfg, splits, data, start.folder, teacher, trainer, origin)


def _initial_model(cfg: CfgNode, splits: Splits, start: Start) -> tuple[ReidModel, InitialWeights]:
    """The model with the weights that ``MODEL.PRETRAINED`` names, unless a checkpoint follows."""
    classes, checkpoint = len(splits.train_pids), start.checkpoint
    if checkpoint is None:
        weights = weights_file(cfg.MODEL.PRETRAINED)
        require_kept(weights, start.folder)
        return build_model(cfg, classes, weights=weights)
    model, random = build_model(cfg, classes, load_weights=False)
    frozen_epochs = cfg.SOLVER.FREEZE_EPOCHS if cfg.MODEL.PRETRAINED != "none" else 0
    loaded = loaded_before(checkpoint, start.path, frozen_epochs)
    return model, replace(random, loaded=loaded)


def _log_start(training: _Training, start: Start, seen: _Seen) -> None:
    cfg = training.cfg
    for line in seen.suspicious:
        log.warning("data set: %s", line)
    log_start(cfg, training.splits, training.trainer, origin=training.origin)
    if training.teacher is not None:
        log_entry("teacher", training.teacher.origin)
        if not cfg.DISTILL.WEIGHT:  # which needs the student's identities
            path = training.teacher.path
            warn_of_seen_identities(path, training.splits, cfg.DATA.DATASET, training.data)
    for line in (*seen.found, *start.changes):
        log_entry("", line)
    if training.trainer.freeze.lasts(training.trainer.progress.epoch):
        log_entry("frozen", training.trainer.freeze.describe(training.trainer.model))
    if start.checkpoint is None:
        weights = weights_file(cfg.MODEL.PRETRAINED)
        warn_of_seen_identities(weights, training.splits, cfg.DATA.DATASET, training.data)
    if cfg.MODEL.PRETRAINED == "none":
        warn_of_random_weights(cfg)
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
    trackers.wait_for_start()
    every = training.cfg.SOLVER.VAL_EVERY
    epochs = EpochLog(trainer, validate_every=every, verbose=verbose)
    with StopFlag() as stop:
        received = fit(
            trainer,
            stop,
            all_steps_done=lambda: _before_validation(training),
            end_of_epoch=lambda: _end_epoch(training, stop, epochs, trackers),
        )
    if received:
        _save(training, LAST)
        trainer.world.barrier()
        done = f"stopped after epoch {progress.epoch}, step {progress.step}"
        raise _stopped(received, f"{done}, and saved {folder / LAST}", training)


def _stopped(number: int, what: str, training: _Training) -> StoppedError:
    """The error that ends a stopped run: what was kept, and the command that continues."""
    folder, processes = training.folder.absolute(), training.trainer.world.size
    tool = own_command()
    if processes > 1 and tool[0] == "python":
        tool[:1] = ["torchrun", "--standalone", "--nproc-per-node", str(processes)]
    command = [*tool, "--cfg", str(folder / "config.yaml"), "--resume", str(folder)]
    name = signal.Signals(number).name
    return StoppedError(f"{name}: {what}; continue with:\n  {shlex.join(command)}", number)


def _rescue(training: _Training, number: int) -> str:
    """Saves what a training has done that does not end by itself in time; what came of it."""
    name, folder, trainer = signal.Signals(number).name, training.folder, training.trainer
    if not trainer.world.is_main:
        return f"{name}: process {trainer.world.rank} did not wait for the others"
    training.saving.acquire(timeout=2)  # a checkpoint that is being written may be finished
    state = trainer.last_state()
    if state is not None:
        save_checkpoint(folder / LAST, _content(training, state))
    done = "ended within the work at hand" if state is None else "ended after the last whole step"
    what = f"{done}; {folder / LAST} is the last checkpoint"
    return str(_stopped(number, what, training))


def _score(training: _Training, trackers: Trackers) -> None:
    """Writes results.json of the selected epoch."""
    try:
        with StopFlag() as stop, stop.ending_waits():
            _write_scores(training, trackers)
    except (Interrupted, KeyboardInterrupt) as error:
        last = training.folder / LAST
        what = f"stopped before the scores were there; the trained model is in {last}"
        raise _stopped(getattr(error, "number", signal.SIGINT), what, training) from None


def _write_scores(training: _Training, trackers: Trackers) -> None:
    cfg, splits, folder = training.cfg, training.splits, training.folder
    check_unchanged(splits, training.data)
    epoch = _load_selected(training)
    path = folder / "results.json"
    results = score(
        cfg,
        training.trainer.scored_model,
        splits,
        scored_protocols(cfg),
        device=training.trainer.device,
    )
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
            "no figures (%s: %s); fix that, and draw them with the visualize tool",
            type(error).__name__,
            printable(" ".join(str(error).split())[:200]),
        )
    trackers.log_figures(training.trainer.progress.epoch, sorted(figures.glob("*.png")))


def _validation_due(training: _Training, epoch: int) -> bool:
    every = training.cfg.SOLVER.VAL_EVERY
    return bool(every) and epoch % every == 0


def _before_validation(training: _Training) -> None:
    """Saves: validation takes long, and a stop within it must not cost the epoch."""
    if _validation_due(training, training.trainer.progress.epoch + 1):
        _save(training, LAST)


def _end_epoch(training: _Training, stop: StopFlag, epochs: EpochLog, trackers: Trackers) -> None:
    """Validates when due, logs, and saves; the other processes wait.

    Raises:
        StoppedError: a signal came meanwhile; the last checkpoint is from before the validation.
    """
    folder, trainer = training.folder, training.trainer
    try:
        if trainer.world.is_main:
            _validate_and_save(training, stop, epochs, trackers)
        with stop.ending_waits() if trainer.world.size > 1 else nullcontext():
            trainer.world.barrier()
    except Interrupted as error:
        what = f"stopped at the end of epoch {trainer.progress.epoch}; saved {folder / LAST}"
        raise _stopped(error.number, what, training) from None


def _validate_and_save(
    training: _Training, stop: StopFlag, epochs: EpochLog, trackers: Trackers
) -> None:
    options, folder, trainer = training.cfg.SOLVER, training.folder, training.trainer
    progress, seconds = trainer.progress, 0.0
    if _validation_due(training, progress.epoch):
        started = time.monotonic()
        _validate(training, stop)
        seconds = time.monotonic() - started
    epochs.end_epoch(validation=seconds)
    if options.CHECKPOINT_EVERY and progress.epoch % options.CHECKPOINT_EVERY == 0:
        _save(training, f"checkpoints/epoch_{progress.epoch:03d}.pth")
    # Last: a run that is killed before continues with this epoch and all its files.
    _save(training, LAST)
    write_metrics(folder / "metrics.csv", progress.history)
    trackers.log_rows(progress.history)
    if progress.epoch == trainer.freeze.epochs < trainer.schedule.epochs:
        log.info("everything trains from epoch %d on", progress.epoch + 1)


def _validate(training: _Training, stop: StopFlag) -> None:
    """Adds the validation scores to the epoch's row."""
    cfg, trainer = training.cfg, training.trainer
    progress = trainer.progress
    protocols = validation_protocols(cfg)
    with stop.ending_waits():
        model, device = trainer.scored_model, trainer.device
        results = score(cfg, model, training.splits, protocols, device=device)
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
    trainer = training.trainer
    if not trainer.world.is_main:
        return
    trainer.require_finite()
    with training.saving:
        save_checkpoint(training.folder / name, _content(training, trainer.state()))


def _content(training: _Training, state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint: the state of the training, and what tells whether it fits another one."""
    cfg, splits = training.cfg, training.splits
    return {
        **state,
        "config": dump_config(cfg),
        "pids": list(splits.train_pids),
        "dataset": cfg.DATA.DATASET,
        "split_trial": splits.split_trial,
        "data": training.data,
        "teacher": training.teacher.digest if training.teacher else "",
        "loaded": sorted(training.trainer.freeze.names),
    }


def _load_selected(training: _Training) -> int:
    """Puts the weights that are the run's result into the model; returns their epoch."""
    trainer = training.trainer
    if training.cfg.SOLVER.SELECT == "last" or not trainer.progress.best:
        return trainer.progress.epoch
    path = training.folder / BEST
    checkpoint = load_checkpoint(path)
    load_model(trainer.scored_model, checkpoint["model"], path)
    return checkpoint["progress"]["epoch"]
