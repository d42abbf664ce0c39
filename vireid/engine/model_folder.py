"""A model folder, which ``export --format safetensors`` writes, read as a run's checkpoint is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from yacs.config import CfgNode

import vireid
from vireid.config.load import dump_config, flatten, load_config, parse_config
from vireid.config.option import nested
from vireid.config.schema import OPTIONS, PATH, PATTERN, WEIGHTS, Effect, default_config
from vireid.errors import CheckpointError, UsageError
from vireid.models.model_file import REMEDY, read_facts, read_safetensors
from vireid.utils.paths import MODEL_FILE

FORMAT = 1
CONFIG_FILE = "config.yaml"
# What a checkpoint knows besides weights, options and the state of its training
FACTS = ("pids", "dataset", "split_trial", "data")
# Options by which the features of given weights differ
SHAPING = (Effect.LAYERS, Effect.POOLING, Effect.STUDENTS, Effect.FEATURES, Effect.DATA)
# Stand for files of another machine where an empty text would mean something else
REPLACED = {"MODEL.PRETRAINED": "none", "TEACHER.WEIGHTS": "teacher"}
NAMES = ("", "none", "imagenet")  # values of options of paths that are no paths


def without_paths(cfg: CfgNode) -> CfgNode:
    """A copy whose options name no file or folder of this machine."""
    values, usual = flatten(cfg), flatten(default_config())
    for key, value in values.items():
        named = OPTIONS[key].allowed in (PATH, WEIGHTS) and value not in NAMES
        if named or (OPTIONS[key].allowed is not PATTERN and _is_absolute(value)):
            values[key] = REPLACED.get(key, usual[key])
    copy = nested(values)
    copy.freeze()
    return copy


def _is_absolute(value: object) -> bool:
    if not isinstance(value, str):
        return False
    kinds = PurePosixPath(value), PureWindowsPath(value)
    return value.startswith("~") or any(kind.is_absolute() for kind in kinds)


def header_of(checkpoint: Mapping[str, Any], cfg: CfgNode) -> dict[str, Any]:
    """The facts in model.safetensors: what loading needs besides tensors.

    Args:
        checkpoint: of a run.
        cfg: see ``without_paths``.
    """
    return {name: checkpoint[name] for name in FACTS} | {
        "format": FORMAT,
        "version": vireid.__version__,
        "epoch": checkpoint["progress"]["epoch"],
        "config": dump_config(cfg),
    }


def read_model_folder(folder: Path) -> dict[str, Any]:
    """The weights, and what a checkpoint knows besides: ``pids``, ``dataset``, ``config``, ….

    Classifiers and the state of the training are not there.

    Raises:
        CheckpointError: a file is missing, damaged, or written by a later version.
    """
    tensors, facts = read_safetensors(folder / MODEL_FILE)
    known = _checked(facts, folder / MODEL_FILE)
    return {
        "format": FORMAT,
        "model": tensors,
        "config": known["config"],
        "progress": {"epoch": known["epoch"], "step": 0},
        **{name: known[name] for name in FACTS},
    }


def require_own_config(folder: Path) -> None:
    """Compares ``config.yaml`` with what ``model.safetensors`` says that it holds.

    Options that change neither the model nor its features may differ.

    Raises:
        CheckpointError: one of the files is missing, damaged or changed.
    """
    weights, path = folder / MODEL_FILE, folder / CONFIG_FILE
    known = _checked(read_facts(weights), weights)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: the model folder is incomplete; {REMEDY}")
    try:
        own = flatten(parse_config(known["config"], source=f"in {weights}"))
        found = flatten(load_config(path, environment={}))
    except UsageError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path} is damaged, or of a later version than {vireid.__version__} (written by "
            f"{known['version']:.20}): {reason:.300}; {REMEDY}"
        ) from error
    for key, value in own.items():
        shapes = OPTIONS[key].effect in SHAPING and not key.startswith("DATA.")
        if shapes and found[key] != value:
            raise CheckpointError(
                f"{path} was changed: {key} is {found[key]!r}, but the model was exported with "
                f"{value!r}; {REMEDY}, and give other options on the command line"
            )


def _checked(known: dict[str, Any], path: Path) -> dict[str, Any]:
    """The facts in a header, unless they are damaged, of another project or a later version."""
    if "format" not in known:
        raise CheckpointError(
            f"{path} is not a model exported by vireid, as its header does not describe one: "
            "export a run with the export tool (MODEL.PRETRAINED takes tensors of other projects)"
        )
    try:
        if known["format"] != FORMAT:
            raise CheckpointError(
                f"{path} was exported by vireid {known['version']!s:.20} in format "
                f"{known['format']!s:.20}; this version reads format {FORMAT}"
            )
        pids, numbers = known["pids"], (known["epoch"], known["split_trial"] or 0)
        texts = [known[name] for name in ("config", "version", "dataset", "data")]
        whole = pids and all(type(number) is int for number in (*pids, *numbers))
        if not whole or not all(type(text) is str for text in texts):
            raise ValueError("a value is of another type")
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: its header is damaged ({type(error).__name__}: {error!s:.100}): {REMEDY}"
        ) from error
    return known
