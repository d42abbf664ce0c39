"""The check of a whole configuration: it finds every problem, not only the first."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from yacs.config import CfgNode

from vireid.config.rules import Rule
from vireid.config.schema import EXITS, OPTIONS

ALIGNING = ("CROSS_MODAL_KL", "MMD")  # losses that separate no identities: none trains alone


def find_problems(
    cfg: CfgNode, values: Mapping[str, Any], choices: Mapping[str, Collection[str]]
) -> list[str]:
    """One line per problem, empty when the configuration can be used.

    Args:
        values: those of ``cfg``, by dotted names.
        choices: names that the tables of other packages allow, by option.
    """
    return [
        *_option_problems(values, choices),
        *_module_problems(cfg),
        *_exit_problems(cfg),
        *_corruption_problems(cfg.TEST),
        *_branch_problems(cfg.MODEL),
        *_training_problems(cfg),
    ]


def is_taught(cfg: CfgNode) -> bool:
    """Whether a teacher takes part in the training."""
    options = cfg.DISTILL
    weights = options.WEIGHT, options.FEATURE_WEIGHT, options.RELATION_WEIGHT
    return bool(cfg.TEACHER.WEIGHTS and any(weights))


def trained_exits(cfg: CfgNode) -> dict[str, bool]:
    """Whether some loss term trains each exit and, where the model has them, the ``parts``."""
    losses, sdm = cfg.LOSS, cfg.MODEL.SDM
    elsewhere = ("PART_IDENTITY", "PART_TRIPLET", "SDM", "BRANCH_IDENTITY", *ALIGNING)
    by_labels = any(term.WEIGHT for name, term in losses.items() if name not in elsewhere)
    # A branch's own classifier trains what the joint one sees
    by_branches = cfg.MODEL.DIRECTIONAL.ENABLED and losses.BRANCH_IDENTITY.WEIGHT
    found = {"deep": bool(by_labels or by_branches or is_taught(cfg))}
    if cfg.MODEL.MGIM.ENABLED:
        found["parts"] = bool(losses.PART_IDENTITY.WEIGHT or losses.PART_TRIPLET.WEIGHT)
    if sdm.ENABLED:
        for number, weight in enumerate(sdm.WEIGHTS[: len(sdm.TAPS)], start=1):
            found[f"shallow{number}"] = bool(losses.SDM.WEIGHT and weight)
    return found


def _option_problems(
    values: Mapping[str, Any], choices: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """What is wrong with single options."""
    for key, option in OPTIONS.items():
        value = values[key]
        if isinstance(option.allowed, Rule):
            if problem := option.allowed.problem(value):
                yield f"{key} {problem}, got {value!r:.200}"
        elif allowed := choices.get(key, option.allowed):
            for name in value if isinstance(value, list) else [value]:
                if name not in allowed:
                    names = ", ".join(known or "'' (as usual)" for known in allowed)
                    yield f"{key}={name!r:.100} is unknown; choose one of {names}"


def _module_problems(cfg: CfgNode) -> Iterator[str]:
    """What is wrong with students and parts."""
    sdm, mgim = cfg.MODEL.SDM, cfg.MODEL.MGIM
    if sorted(set(sdm.TAPS)) != sdm.TAPS or len(sdm.TAPS) > 3:
        yield (
            "MODEL.SDM.TAPS must be at most three stages, each once and in their order, got "
            f"{sdm.TAPS}"
        )
    elif len(sdm.WEIGHTS) < len(sdm.TAPS) or not all(0 <= w < math.inf for w in sdm.WEIGHTS):
        yield (
            "MODEL.SDM.WEIGHTS must hold a finite number that is not negative for each of the "
            f"{len(sdm.TAPS)} MODEL.SDM.TAPS, got {sdm.WEIGHTS}"
        )
    if sdm.TEACHER == "global+parts" and sdm.ENABLED and not mgim.ENABLED:
        yield "MODEL.SDM.TEACHER global+parts needs parts: set MODEL.MGIM.ENABLED true"
    if sdm.TEACHER == "ema" and sdm.ENABLED and not cfg.SOLVER.EMA:
        yield "MODEL.SDM.TEACHER ema needs averaged weights: set SOLVER.EMA, such as 0.997"
    if mgim.SCOPE == "all" and mgim.RELATION_SHARING != "all":
        yield "MODEL.MGIM.SCOPE all relates parts across granularities: RELATION_SHARING all"
    if cfg.TEST.EMBED == "parts" and not mgim.ENABLED:
        yield "TEST.EMBED parts needs parts: set MODEL.MGIM.ENABLED true"


def _exit_problems(cfg: CfgNode) -> Iterator[str]:
    """Exits must exist, and features that are compared must be of one kind."""
    sdm, query, gallery = cfg.MODEL.SDM, cfg.TEST.EXIT, cfg.TEST.GALLERY_EXIT or cfg.TEST.EXIT
    exits = EXITS[: 1 + len(sdm.TAPS) * sdm.ENABLED]
    for key in ("EXIT", "GALLERY_EXIT"):
        if cfg.TEST[key] in EXITS and cfg.TEST[key] not in exits:
            known = ", ".join(exits)
            yield f"TEST.{key}={cfg.TEST[key]!r}: MODEL.SDM gives this model the exits {known}"
    across = query != gallery and {query, gallery} <= set(EXITS)
    if across and "deep" in (query, gallery) and cfg.MODEL.MGIM.ENABLED:
        if cfg.TEST.EMBED != "global":
            yield "students have global features only: across exits, set TEST.EMBED global"
    elif query != "deep" and cfg.TEST.EMBED == "parts":
        yield f"TEST.EMBED parts: the exit {query} has a global feature only"


def _corruption_problems(test: CfgNode) -> Iterator[str]:
    """Kinds must apply to the images that they corrupt."""
    if test.CORRUPTION == "infrared" and test.CORRUPTION_KINDS == ["saturate"]:
        yield "TEST.CORRUPTION_KINDS [saturate] leaves infrared images clean: choose other kinds"
    if len(set(test.CORRUPTION_KINDS)) < len(test.CORRUPTION_KINDS):
        yield f"TEST.CORRUPTION_KINDS names a kind twice: {test.CORRUPTION_KINDS}"


def _branch_problems(model: CfgNode) -> Iterator[str]:
    """What directional branches need of one another and of the other modules."""
    branches = model.DIRECTIONAL
    if not branches.ENABLED:
        return
    for name, what in (("SDM", "students"), ("MGIM", "parts")):
        if model[name].ENABLED:
            yield (
                f"MODEL.DIRECTIONAL.ENABLED true: {what} beside directional branches are not "
                f"built: set MODEL.{name}.ENABLED false (a student of such a model may have them)"
            )
    directions = branches.DIRECTIONS
    if not directions:
        yield "MODEL.DIRECTIONAL.DIRECTIONS must name a direction at least, got []"
    if branches.BACKBONES == "shared" and len(set(directions)) < len(directions):
        yield (
            "MODEL.DIRECTIONAL.BACKBONES shared gives equal directions equal vectors: name each of "
            f"MODEL.DIRECTIONAL.DIRECTIONS once, got {directions}"
        )
    if branches.SPATIAL_NORM == "channel" and "global" in directions:
        yield (
            "MODEL.DIRECTIONAL.SPATIAL_NORM channel makes every number of a global mean 1: choose "
            "branch or none"
        )


def _training_problems(cfg: CfgNode) -> Iterator[str]:
    solver = cfg.SOLVER
    if not cfg.MODEL.PRETRAINED:
        yield "MODEL.PRETRAINED must be a file, a folder, imagenet or none, got an empty text"
    if cfg.MODEL.SYNC_BN and cfg.MODEL.NORM_STATISTICS != "joint":
        yield "MODEL.SYNC_BN knows joint statistics only: set MODEL.NORM_STATISTICS joint"
    if cfg.DATA.VAL_IDS and cfg.DATA.SPLIT != "train":
        yield (
            f"DATA.VAL_IDS={cfg.DATA.VAL_IDS!r} names identities to hold out: set DATA.SPLIT train"
        )
    if cfg.DATA.CACHE and cfg.DATA.CACHE == cfg.DATA.ROOT:
        yield f"DATA.CACHE must be another folder than DATA.ROOT, got {cfg.DATA.CACHE!r}"
    if cfg.TEACHER.CONFIG and not cfg.TEACHER.WEIGHTS:
        yield (
            f"TEACHER.CONFIG={cfg.TEACHER.CONFIG!r} describes a teacher that is not there: name "
            "its checkpoint or run folder in TEACHER.WEIGHTS"
        )
    if not any(trained_exits(cfg).values()):
        yield (
            "every LOSS.*.WEIGHT is 0, or what it weighs is (MODEL.SDM.WEIGHTS) or is not there "
            "(MODEL.SDM.TAPS, MODEL.*.ENABLED), or separates no identities (LOSS."
            f"{', LOSS.'.join(ALIGNING)}): there is nothing to train on"
        )
    if solver.GRADIENT_NORMS and cfg.COMPILE:
        yield "SOLVER.GRADIENT_NORMS walks the graph once per term: set COMPILE false"
    if solver.SELECT == "best" and solver.VAL_EVERY > solver.EPOCHS:
        yield (
            f"SOLVER.SELECT best never validates: SOLVER.VAL_EVERY {solver.VAL_EVERY} is longer "
            f"than SOLVER.EPOCHS {solver.EPOCHS}"
        )
    if solver.SELECT == "best" and (cfg.DATA.SPLIT != "train" or not solver.VAL_EVERY):
        yield (
            "SOLVER.SELECT best needs validation identities and validations: set DATA.SPLIT train "
            "and SOLVER.VAL_EVERY"
        )
    if solver.VAL_EVERY > 0 and cfg.DATA.SPLIT != "train":
        yield "SOLVER.VAL_EVERY needs validation identities held out: set DATA.SPLIT train"
