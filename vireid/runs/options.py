"""Configurations, checked, from a file or from a run's folder."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from yacs.config import CfgNode

from vireid.config import apply_overrides, load_config
from vireid.config.load import parse_config
from vireid.errors import CheckpointError, UsageError
from vireid.evaluation.protocols import GROUPS, PROTOCOLS, plain_name
from vireid.utils.paths import MODEL_FILE, is_model_folder


class ProtocolNames(Collection[str]):
    """Names of protocols and groups; each may end in ``+corrupted``, which is not listed."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and plain_name(name) in {*PROTOCOLS, *GROUPS}

    def __iter__(self) -> Iterator[str]:
        return iter((*PROTOCOLS, *GROUPS))

    def __len__(self) -> int:
        return len(PROTOCOLS) + len(GROUPS)


class BackboneNames(Collection[str]):
    """Names of this project's backbones, and ``timm:`` with any network of timm.

    Whether timm is installed and has it, is checked when the model is built: timm takes seconds to
    import.
    """

    def __init__(self, own: Collection[str], prefix: str) -> None:
        self._own, self._prefix = tuple(own), prefix

    def __contains__(self, name: object) -> bool:
        return name in self._own or (isinstance(name, str) and name.startswith(self._prefix))

    def __iter__(self) -> Iterator[str]:
        return iter((*self._own, f"{self._prefix}<name>"))

    def __len__(self) -> int:
        return len(self._own) + 1


def choices() -> dict[str, Collection[str]]:
    """The names that an option may have, from the table that implements it.

    The config package imports none of these tables; its options whose ``allowed`` is ``TABLE`` are
    all here. Most tables import torch, which takes seconds; so this file does not at its top.
    """
    from vireid.data.corruptions import CORRUPTIONS
    from vireid.data.datasets import DATASETS
    from vireid.engine.optim import DECAYS, OPTIMIZERS
    from vireid.engine.precision import DTYPES
    from vireid.evaluation.distance import METRICS
    from vireid.losses.build import HINT_LOSSES, PART_METRICS
    from vireid.losses.distillation import SDM_TEACHERS
    from vireid.models import directional_pooling
    from vireid.models.build import BACKBONES, POOLS, STAGES, TIMM
    from vireid.models.part_relations import RELATIONS
    from vireid.models.parts import SHARINGS
    from vireid.models.student_heads import STUDENT_HEADS
    from vireid.models.teacher import POSTERIORS
    from vireid.runs.trackers import TRACKERS

    return {
        "DATA.DATASET": tuple(DATASETS),
        "LOSS.PART_TRIPLET.KIND": tuple(PART_METRICS),
        "MODEL.BACKBONE": BackboneNames(BACKBONES, TIMM),
        "MODEL.DIRECTIONAL.DIRECTIONS": directional_pooling.DIRECTIONS,
        "MODEL.DIRECTIONAL.MODE": directional_pooling.MODES,
        "MODEL.DIRECTIONAL.SPATIAL_NORM": directional_pooling.NORMS,
        "MODEL.MGIM.POOL": tuple(POOLS),
        "MODEL.MGIM.REDUCE_SHARING": tuple(SHARINGS),
        "MODEL.MGIM.RELATION": tuple(RELATIONS),
        "MODEL.POOL": tuple(POOLS),
        "MODEL.SDM.HEAD": tuple(STUDENT_HEADS),
        "MODEL.SDM.HINT": (*HINT_LOSSES, "none"),
        "MODEL.SDM.TAPS": STAGES[:-1],  # behind the last one stands the deepest head
        "MODEL.SDM.TEACHER": tuple(SDM_TEACHERS),
        "PRECISION": ("auto", *DTYPES),
        "SOLVER.OPTIMIZER": tuple(OPTIMIZERS),
        "SOLVER.SCHEDULE": tuple(DECAYS),
        "TEACHER.POSTERIOR": tuple(POSTERIORS),
        "TEST.METRIC": ("auto", *METRICS),
        "TEST.CORRUPTION_KINDS": tuple(CORRUPTIONS),
        "TEST.PROTOCOLS": ProtocolNames(),
        "TRACKERS": tuple(TRACKERS),
    }


def read_config(path: Path, overrides: Sequence[str]) -> CfgNode:
    """A checked configuration; a synthetic set without a folder of its own gets one.

    Raises:
        UsageError: one message with all the problems.
    """
    from vireid.runs.rendered_data import RENDERED, synthetic_root

    cfg, root = load_config(path, overrides, choices=choices()), ""
    if cfg.DATA.SYNTHETIC.ENABLED:
        before, given = Path(cfg.DATA.ROOT), overrides[::2]
        if not cfg.DATA.ROOT:
            root = str(synthetic_root(cfg))
        elif (
            RENDERED.fullmatch(before.name)  # a run's own set, and options of another one
            and "DATA.ROOT" not in given
            and any(key.startswith("DATA.SYNTHETIC.") for key in given)
        ):
            root = str(synthetic_root(cfg, before.parent))
    return apply_overrides(cfg, ["DATA.ROOT", root]) if root else cfg


def recipe_of(run: Path) -> Path:
    """``runs/regdb/split3/seed0`` → ``runs/regdb``, which runs of other seeds and splits share."""
    while re.fullmatch(r"(seed|split)\d+", run.name):
        run = run.parent
    return run


def require_run(run: Path) -> None:
    """Raises ``CheckpointError`` unless the folder holds a run, or an exported model."""
    if run.is_file():
        raise CheckpointError(f"{run} is a file, not a run folder: name the folder of its run")
    if not run.is_dir():
        raise CheckpointError(f"there is no run folder {run}: train one, or name another")
    if is_model_folder(run):
        from vireid.engine.model_folder import require_own_config  # imports torch

        require_own_config(run)
    elif not (run / "config.yaml").is_file():
        raise CheckpointError(
            f"{run} is neither a run folder (it has no config.yaml) nor a model folder (it has no "
            f"{MODEL_FILE})"
        )


def run_config(run: Path, overrides: Sequence[str] = ()) -> CfgNode:
    """The configuration of a run folder or a model folder, with what the user changed.

    Raises:
        CheckpointError: see ``require_run``.
        UsageError: one message with all the problems.
    """
    require_run(run)
    return read_config(run / "config.yaml", overrides)


def checkpoint_config(path: Path, overrides: Sequence[str] = ()) -> CfgNode:
    """The configuration in a checkpoint, with what the user changed.

    Raises:
        CheckpointError: it is missing, damaged, or of another project.
        UsageError: one message with all the problems.
    """
    from vireid.engine.checkpoint import load_trained  # imports torch

    known = choices()
    try:
        content = load_trained(path)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; weights of other projects go into MODEL.PRETRAINED"
        ) from error
    cfg = parse_config(content["config"], source=f"in {path}", choices=known)
    return apply_overrides(cfg, overrides, choices=known)


def require_no_model_folder(run: Path, what: str) -> None:
    """Raises ``UsageError`` for a model folder, where only the folder of a run will do."""
    if is_model_folder(run):
        raise UsageError(f"{run} is a model folder, not the folder of a run: {what}")
