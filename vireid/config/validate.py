"""What a configuration must satisfy as a whole: every problem is found, not only the first."""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from yacs.config import CfgNode

from vireid.config.rules import CHOICES, EXITS, MIN_SIDE, PATHS, RULES
from vireid.utils.paths import path_problem


def find_problems(cfg: CfgNode, choices: Mapping[str, Collection[str]]) -> list[str]:
    """One line per problem, empty when the configuration can be used.

    Args:
        choices: names that live outside this package (data sets, backbones, protocols), by key.
    """
    return [
        *_choices(cfg, {**CHOICES, **choices}),
        *_ranges(cfg),
        *_paths(cfg),
        *_shapes(cfg),
        *_modules(cfg),
        *_directional(cfg.MODEL),
        *_relations(cfg),
    ]


def is_taught(cfg: CfgNode) -> bool:
    """Whether a teacher takes part in the training."""
    return bool(cfg.TEACHER.WEIGHTS and cfg.DISTILL.WEIGHT)


def trained_exits(cfg: CfgNode) -> dict[str, bool]:
    """Whether some loss term trains each exit and, where the network has them, the ``parts``."""
    losses, sdm = cfg.LOSS, cfg.MODEL.SDM
    mine = {"PART_IDENTITY": "parts", "PART_TRIPLET": "parts", "SDM": "students"}
    mine["BRANCH_IDENTITY"] = "branches"
    by_labels = any(term.WEIGHT for name, term in losses.items() if name not in mine)
    found = {"deep": by_labels or is_taught(cfg)}
    if cfg.MODEL.DIRECTIONAL.ENABLED:  # a branch's own classifier trains what the joint one sees
        found["deep"] = found["deep"] or bool(losses.BRANCH_IDENTITY.WEIGHT)
    if cfg.MODEL.MGIM.ENABLED:
        found["parts"] = any(losses[name].WEIGHT for name in mine if mine[name] == "parts")
    if sdm.ENABLED:
        for number, weight in enumerate(sdm.WEIGHTS[: len(sdm.TAPS)], start=1):
            found[f"shallow{number}"] = bool(losses.SDM.WEIGHT and weight)
    return found


def _get(cfg: CfgNode, key: str) -> Any:
    for name in key.split("."):
        cfg = cfg[name]
    return cfg


def _choices(cfg: CfgNode, choices: Mapping[str, Collection[str]]) -> Iterator[str]:
    for key, allowed in choices.items():
        value = _get(cfg, key)
        for name in value if isinstance(value, list) else [value]:
            if name not in allowed:
                names = ", ".join(known or "'' (as usual)" for known in allowed)
                yield f"{key}={name!r:.100} is unknown; choose one of {names}"


def _ranges(cfg: CfgNode) -> Iterator[str]:
    for key, (holds, rule) in RULES.items():
        value = _get(cfg, key)
        if not holds(value) or value == math.inf:  # not isfinite: a long integer is no float
            yield f"{key} {rule}, got {value}"


def _paths(cfg: CfgNode) -> Iterator[str]:
    for key in PATHS:
        if problem := path_problem(_get(cfg, key)):
            yield f"{key} {problem}, got {_get(cfg, key)!r:.200}"


def _shapes(cfg: CfgNode) -> Iterator[str]:
    for key in ("INPUT.SIZE", "DATA.SYNTHETIC.SIZE"):
        size = _get(cfg, key)
        if len(size) != 2 or min(size, default=0) < MIN_SIDE:
            yield f"{key} must be [height, width] of at least {MIN_SIDE} pixels each, got {size}"
    for key in ("INPUT.MEAN", "INPUT.STD"):
        if len(_get(cfg, key)) != 3:
            yield f"{key} must hold three numbers, got {_get(cfg, key)}"
    if not all(0 <= value <= 1 for value in cfg.INPUT.MEAN):
        yield f"INPUT.MEAN must hold numbers between 0 and 1, got {cfg.INPUT.MEAN}"
    if not all(0 < value < math.inf for value in cfg.INPUT.STD):
        yield f"INPUT.STD must hold positive numbers, got {cfg.INPUT.STD}"
    low_high = cfg.INPUT.ERASE_AREA
    if len(low_high) != 2 or not 0 < low_high[0] <= low_high[1] <= 1:
        yield f"INPUT.ERASE_AREA must be [smallest, largest] share of the image, got {low_high}"
    if sorted(set(cfg.SOLVER.STEPS)) != cfg.SOLVER.STEPS or min(cfg.SOLVER.STEPS, default=1) < 1:
        yield f"SOLVER.STEPS must be ascending epochs from 1, got {cfg.SOLVER.STEPS}"


def _modules(cfg: CfgNode) -> Iterator[str]:
    """What self-distillation, the parts and the exits need of one another."""
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
    counts = mgim.GRANULARITIES
    if not counts or min(counts) < 1 or len(set(counts)) < len(counts):
        yield f"MODEL.MGIM.GRANULARITIES must hold different numbers of stripes, got {counts}"
    if mgim.SCOPE == "all" and mgim.RELATION_SHARING != "all":
        yield "MODEL.MGIM.SCOPE all relates parts across granularities: RELATION_SHARING all"
    if sdm.TEACHER == "global+parts" and sdm.ENABLED and not mgim.ENABLED:
        yield "MODEL.SDM.TEACHER global+parts needs parts: set MODEL.MGIM.ENABLED true"
    exits = ["deep", *(f"shallow{k + 1}" for k in range(len(sdm.TAPS) * sdm.ENABLED))]
    for key in ("EXIT", "GALLERY_EXIT"):
        if cfg.TEST[key] in EXITS and cfg.TEST[key] not in exits:
            known = ", ".join(exits)
            yield f"TEST.{key}={cfg.TEST[key]!r}: MODEL.SDM gives this network the exits {known}"
    if cfg.TEST.EMBED == "parts" and not mgim.ENABLED:
        yield "TEST.EMBED parts needs parts: set MODEL.MGIM.ENABLED true"
    yield from _exit_problems(cfg)


def _directional(options: CfgNode) -> Iterator[str]:
    """What directional branches need of one another and of the other modules."""
    branches = options.DIRECTIONAL
    if not branches.ENABLED:
        return
    for name, stands in (("SDM", "students"), ("MGIM", "parts")):
        if options[name].ENABLED:
            yield (
                f"MODEL.DIRECTIONAL.ENABLED true: {stands} beside directional branches are not "
                f"built: set MODEL.{name}.ENABLED false (a student of such a network may have them)"
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


def _exit_problems(cfg: CfgNode) -> Iterator[str]:
    """Features that are compared must be of one kind."""
    query, gallery = cfg.TEST.EXIT, cfg.TEST.GALLERY_EXIT or cfg.TEST.EXIT
    across = query != gallery and {query, gallery} <= set(EXITS)
    if across and "deep" in (query, gallery) and cfg.MODEL.MGIM.ENABLED:
        if cfg.TEST.EMBED != "global":
            yield "students have global features only: across exits, set TEST.EMBED global"
    elif query != "deep" and cfg.TEST.EMBED == "parts":
        yield f"TEST.EMBED parts: the exit {query} has a global feature only"


def _relations(cfg: CfgNode) -> Iterator[str]:
    if cfg.SOLVER.GRADIENT_NORMS and cfg.COMPILE:
        yield "SOLVER.GRADIENT_NORMS walks the graph once per term: set COMPILE false"
    if cfg.MODEL.SYNC_BN and cfg.MODEL.NORM_STATISTICS == "dual":
        yield "MODEL.SYNC_BN knows joint statistics only: set MODEL.NORM_STATISTICS joint"
    if cfg.DATA.CACHE and cfg.DATA.CACHE == cfg.DATA.ROOT:
        yield f"DATA.CACHE must be a folder of its own, not DATA.ROOT, got {cfg.DATA.CACHE!r}"
    if cfg.TEACHER.CONFIG and not cfg.TEACHER.WEIGHTS:
        yield (
            f"TEACHER.CONFIG={cfg.TEACHER.CONFIG!r} describes a teacher that is not there: name "
            "its checkpoint or run folder in TEACHER.WEIGHTS"
        )
    if not cfg.MODEL.PRETRAINED:
        yield "MODEL.PRETRAINED must be a file, imagenet or none, got an empty text"
    if not any(trained_exits(cfg).values()):
        yield (
            "every LOSS.*.WEIGHT is 0, or what it weighs is (MODEL.SDM.WEIGHTS) or is not there "
            "(MODEL.SDM.TAPS, MODEL.*.ENABLED): there is nothing to train on"
        )
    if cfg.SOLVER.SELECT == "best" and cfg.SOLVER.VAL_EVERY > cfg.SOLVER.EPOCHS:
        yield (
            f"SOLVER.SELECT best never validates: SOLVER.VAL_EVERY {cfg.SOLVER.VAL_EVERY} is "
            f"longer than SOLVER.EPOCHS {cfg.SOLVER.EPOCHS}"
        )
    if cfg.SOLVER.SELECT == "best" and (cfg.DATA.SPLIT != "train" or not cfg.SOLVER.VAL_EVERY):
        yield (
            "SOLVER.SELECT best needs validation identities and validations: set DATA.SPLIT train "
            "and SOLVER.VAL_EVERY"
        )
    if cfg.SOLVER.VAL_EVERY > 0 and cfg.DATA.SPLIT != "train":
        yield "SOLVER.VAL_EVERY needs validation identities held out: set DATA.SPLIT train"
