"""A run from its configuration to its results: what the tools call."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from vireid.config import dump_config
from vireid.data.build import build_splits, prepare_data
from vireid.engine.build import build_trainer
from vireid.engine.checkpoint import (
    load_checkpoint,
    load_model,
    restore_rng,
    rng_state,
    save_checkpoint,
)
from vireid.engine.device import resolve_device
from vireid.engine.distributed import World, join_world
from vireid.engine.events import write_events
from vireid.engine.resume import Start, check_same_classes, find_start
from vireid.engine.run import (
    BEST,
    LAST,
    claim_folder,
    describe_run,
    seed_everything,
    start_log,
    write_metrics,
)
from vireid.engine.score import check_answerable, chosen_protocols, score, source_of
from vireid.engine.signals import StopFlag
from vireid.engine.train import TIMING, Trainer, fit
from vireid.errors import StoppedError
from vireid.evaluation.protocols import expand
from vireid.evaluation.report import results_table, write_results
from vireid.models.build import build_model
from vireid.structures import Splits

log = logging.getLogger(__name__)


def train_and_score(
    cfg: CfgNode,
    *,
    config_path: Path,
    resume: bool = False,
    resume_from: Path | None = None,
    overwrite: bool = False,
) -> Path | None:
    """Trains, scores, and fills a run folder.

    Args:
        config_path: names the default run folder.
        resume: continue from ``resume_from``, or from the run folder's last checkpoint.
        resume_from: a checkpoint or a run folder.
        overwrite: replace the run that the folder holds.
    Returns:
        the run folder, on the process that wrote it; None on the others.
    Raises:
        UsageError, DataError, CheckpointError, DivergedError: as their names say.
        StoppedError: a signal came; a checkpoint that continues was written.
    """
    device = resolve_device(cfg.DEVICE, int(os.environ.get("LOCAL_RANK", 0)))
    with join_world(device.type) as world:
        if world.local_rank == 0:
            prepare_data(cfg)
        world.barrier()
        splits = build_splits(cfg)
        protocols = chosen_protocols(cfg)
        check_answerable(protocols, splits)
        start = find_start(cfg, config_path, splits, resume=resume, resume_from=resume_from)
        # Whatever can fail fails before the folder is touched, so that a mended command runs.
        trainer, origin = _prepare(cfg, splits, start, device=device, world=world)
        if world.is_main:
            claim_folder(start.folder, resume=start.in_place, overwrite=overwrite)
            start_log(start.folder)
            describe_run(start.folder, cfg, splits, device)
            _log_start(cfg, trainer, splits, [origin, *start.changes])
        _train(cfg, trainer, splits, start.folder)
        if world.is_main:
            epoch = _load_selected(cfg, trainer, start.folder)
            results = score(cfg, trainer.model, splits, protocols, device=device)
            source = source_of(cfg, run=start.folder, epoch=epoch)
            write_results(start.folder / "results.json", results, source)
            log.info(
                "\n%s\n\nresults of epoch %d in %s",
                results_table(results),
                epoch,
                start.folder / "results.json",
            )
        world.barrier()
    return start.folder if world.is_main else None


def _prepare(
    cfg: CfgNode, splits: Splits, start: Start, *, device: torch.device, world: World
) -> tuple[Trainer, str]:
    """Network, losses and optimiser, new or as the checkpoint left them; and where from."""
    seed_everything(cfg.SEED)
    fresh = start.checkpoint is None
    model, origin = build_model(cfg, len(splits.train_pids), load_weights=fresh)
    trainer = build_trainer(cfg, model, splits, device=device, world=world)
    if start.checkpoint is not None:
        check_same_classes(start.checkpoint, splits, start.path)
        load_model(model, start.checkpoint["model"], start.path)
        trainer.restore(start.checkpoint)
        restore_rng(start.checkpoint["rng"])
        progress = trainer.progress
        origin = f"continuing {start.path} after epoch {progress.epoch}, step {progress.step}"
    return trainer, origin


def _log_start(cfg: CfgNode, trainer: Trainer, splits: Splits, origin: list[str]) -> None:
    log.info(
        "%s: %d images of %d identities train; device %s, %s, %d steps an epoch",
        cfg.DATA.DATASET,
        len(splits.train),
        len(splits.train_pids),
        trainer.device,
        trainer.precision.name,
        len(trainer.sampler),
    )
    log.info("stages shared by both streams: %d", cfg.MODEL.SHARED_DEPTH)
    for line in origin:
        log.info("%s", line)


def _train(cfg: CfgNode, trainer: Trainer, splits: Splits, folder: Path) -> None:
    """Runs the schedule; a signal saves a checkpoint that continues and raises StoppedError."""
    save = partial(_save, cfg, trainer, splits, folder)
    if trainer.progress.epoch == trainer.progress.step == 0:
        save(LAST)  # so that a run killed in its first epoch can be resumed
    with StopFlag() as stop:
        received = fit(
            trainer, stop, end_of_epoch=lambda: _end_epoch(cfg, trainer, splits, folder, save)
        )
    if received:
        save(LAST)
        trainer.world.barrier()
        progress = trainer.progress
        raise StoppedError(
            f"{signal.Signals(received).name}: stopped after epoch {progress.epoch}, step "
            f"{progress.step}, and saved {folder / LAST}; continue with:\n  {_resume_command()}",
            received,
        )


def _end_epoch(cfg: CfgNode, trainer: Trainer, splits: Splits, folder: Path, save) -> None:
    """Validates when due, logs, and saves; the other processes wait."""
    progress, world = trainer.progress, trainer.world
    if world.is_main:
        if cfg.SOLVER.VAL_EVERY and progress.epoch % cfg.SOLVER.VAL_EVERY == 0:
            _validate(cfg, trainer, splits, save)
        _log_epoch(progress.history[-1], trainer.schedule.epochs)
        save(LAST)
        if cfg.SOLVER.CHECKPOINT_EVERY and progress.epoch % cfg.SOLVER.CHECKPOINT_EVERY == 0:
            save(f"checkpoints/epoch_{progress.epoch:03d}.pth")
        write_metrics(folder / "metrics.csv", progress.history)
        write_events(folder, progress.history[-1])
    world.barrier()


def _validate(cfg: CfgNode, trainer: Trainer, splits: Splits, save) -> None:
    """Adds the validation scores to the epoch's row, before the timing columns."""
    progress = trainer.progress
    results = score(cfg, trainer.model, splits, expand(["val"]), device=trainer.device)
    scores = {
        f"{name}_{metric}": entry["mean"][metric]
        for name, entry in results.items()
        for metric in ("rank1", "mAP")
    }
    row = progress.history[-1]
    timing = {name: row.pop(name) for name in TIMING}
    row.update(scores | timing)
    mean_ap = sum(entry["mean"]["mAP"] for entry in results.values()) / len(results)
    if mean_ap > progress.best.get("mAP", -1.0):
        progress.best = {"mAP": mean_ap, "epoch": progress.epoch}
        save(BEST)


def _save(cfg: CfgNode, trainer: Trainer, splits: Splits, folder: Path, name: str) -> None:
    if trainer.world.is_main:
        content: dict[str, Any] = {
            **trainer.state(),
            "rng": rng_state(),
            "config": dump_config(cfg),
            "pids": list(splits.train_pids),
            "dataset": cfg.DATA.DATASET,
            "split_trial": splits.split_trial,
        }
        save_checkpoint(folder / name, content)


def _load_selected(cfg: CfgNode, trainer: Trainer, folder: Path) -> int:
    """Puts the weights that are the run's result into the network; returns their epoch."""
    if cfg.SOLVER.SELECT == "last" or not trainer.progress.best:
        return trainer.progress.epoch
    checkpoint = load_checkpoint(folder / BEST)
    load_model(trainer.model, checkpoint["model"], folder / BEST)
    return checkpoint["progress"]["epoch"]


def _log_epoch(row: Mapping[str, float], epochs: int) -> None:
    shown = {k: v for k, v in row.items() if k not in ("epoch", "steps", "lr", *TIMING)}
    figures = "  ".join(
        f"{name.removeprefix('loss_')} {value:.4f}" for name, value in shown.items()
    )
    log.info(
        "epoch %d/%d  %s  lr %.2e  %.1f s", row["epoch"], epochs, figures, row["lr"], row["seconds"]
    )


def _resume_command() -> str:
    """The command that was typed, with --resume."""
    kept = [a for a in sys.argv if a != "--overwrite" and not a.startswith("--resume")]
    return shlex.join(["python", kept[0], "--resume", *kept[1:]])
