"""Writes a model folder: model.safetensors, config.yaml and README.md, together or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vireid.config import dump_config
from vireid.deploy.deployed_model import DeployedModel
from vireid.deploy.model_card import model_card, scores_in
from vireid.engine.model_folder import CONFIG_FILE, header_of, without_paths
from vireid.errors import UsageError
from vireid.models.model_file import is_classifier, write_safetensors
from vireid.runs.options import require_no_model_folder
from vireid.runs.thresholds import THRESHOLDS, is_of_model
from vireid.runs.trained_run import read_trained
from vireid.utils.io import write_text
from vireid.utils.paths import MODEL_FILE, is_model_folder

CARD = "README.md"
FILES = (MODEL_FILE, CONFIG_FILE, CARD)


def require_folder_target(out: Path, *, overwrite: bool) -> None:
    """Fails before the work is done rather than after it.

    Raises:
        UsageError: ``out`` is a file or a folder with other content, or cannot be written.
    """
    if out.suffix in (".safetensors", ".onnx", ".xml", ".pth"):
        raise UsageError(
            f"--out {out}: --format safetensors writes a folder; name one without {out.suffix}"
        )
    if not out.parent.is_dir() or (out.exists() and not out.is_dir()):
        raise UsageError(f"cannot write {out}: it must be a new folder in a folder that exists")
    if out.is_dir() and any(out.iterdir()):
        if not is_model_folder(out):
            raise UsageError(f"--out {out} holds other files: name a new folder")
        if not overwrite:
            raise UsageError(
                f"--out {out} holds a model already: replace it with --overwrite, or name another"
            )
    place = out if out.is_dir() else out.parent
    if not os.access(place.resolve(), os.W_OK):
        raise UsageError(f"cannot write {out}: {place} cannot be written")


def write_model_folder(trained: DeployedModel, run: Path, folder: Path, *, name: str) -> None:
    """Writes the three files into an empty folder, and the run's thresholds if it has any.

    Args:
        run: the run folder or checkpoint that ``trained`` is of.
        name: for the model card.
    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        UsageError: the disk is full.
    """
    require_no_model_folder(run, "copy it, it is what --format safetensors writes")
    path, checkpoint = read_trained(trained.cfg, run)
    cfg = without_paths(trained.cfg)
    state = {key: value for key, value in checkpoint["model"].items() if not is_classifier(key)}
    write_safetensors(folder / MODEL_FILE, state, header_of(checkpoint, cfg))
    write_text(folder / CONFIG_FILE, dump_config(cfg))
    card = model_card(
        name,
        metadata=trained.metadata,
        cfg=trained.cfg,
        checkpoint=checkpoint,
        parameters=sum(tensor.numel() for tensor in state.values()),
        scores=scores_in(run if run.is_dir() else path.parent.parent, trained.cfg, checkpoint),
    )
    write_text(folder / CARD, card)
    thresholds = run / THRESHOLDS
    if thresholds.is_file() and is_of_model(thresholds, trained.metadata.fingerprint):
        shutil.copyfile(thresholds, folder / THRESHOLDS)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """An empty folder that takes the place of ``out`` at the end, unless an error comes before.

    Where ``out`` holds a model already, its files are replaced one by one, and others stay.

    Raises:
        UsageError: it cannot be written.
    """
    target = out.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with _plain_errors(out):
            temporary.mkdir()
        yield temporary
        with _plain_errors(out):
            _publish(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(source: Path, target: Path) -> None:
    if not is_model_folder(target):
        source.rename(target)  # also in place of an empty folder
        return
    for name in FILES:
        (source / name).replace(target / name)
    if (source / THRESHOLDS).exists():
        (source / THRESHOLDS).replace(target / THRESHOLDS)
    else:  # of the model before
        (target / THRESHOLDS).unlink(missing_ok=True)


@contextmanager
def _plain_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error


def describe_folder(folder: Path) -> str:
    """What was written, in one line."""
    names = [name for name in (*FILES, THRESHOLDS) if (folder / name).is_file()]
    size = sum((folder / name).stat().st_size for name in names)
    return f"wrote {folder}: {', '.join(names)} ({size / 1e6:.1f} MB)"
