"""What a configuration must satisfy as a whole: every problem is found, not only the first."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from yacs.config import CfgNode

EXITS = ("deep", "shallow1", "shallow2", "shallow3")
CHOICES = {
    "DATA.SPLIT": ("", "train+val", "train"),
    "LOSS.PART_IDENTITY.REDUCTION": ("mean", "sum"),
    "LOSS.PART_TRIPLET.KIND": ("batch_hard", "weighted"),
    "MODEL.MGIM.CLASSIFIER": ("part", "granularity"),
    "MODEL.MGIM.POOL": ("gem", "avg", "max"),
    "MODEL.MGIM.REDUCE_SHARING": ("all", "granularity", "part"),
    "MODEL.MGIM.RELATION": ("one_vs_rest", "attention", "graph", "none"),
    "MODEL.MGIM.RELATION_SHARING": ("all", "granularity"),
    "MODEL.MGIM.SCOPE": ("within", "all"),
    "MODEL.NORM_STATISTICS": ("joint", "dual"),
    "MODEL.POOL": ("gem", "avg", "max"),
    "MODEL.SDM.HEAD": ("light", "pool_proj", "byot", "sepconv"),
    "MODEL.SDM.HINT": ("l2_norm", "mse_raw", "none"),
    "MODEL.SDM.TAPS": ("conv1", "conv2", "conv3", "conv4"),
    "MODEL.SDM.TEACHER": ("global", "global+parts", "ensemble"),
    "SOLVER.OPTIMIZER": ("adam", "adamw", "sgd"),
    "SOLVER.SCHEDULE": ("step", "cosine"),
    "SOLVER.SELECT": ("last", "best"),
    "TEST.METRIC": ("auto", "cosine", "euclidean"),
    "TEST.EMBED": ("global", "parts", "global+parts"),
    "TEST.EXIT": EXITS,
    "TEST.GALLERY_EXIT": ("", *EXITS),
    "TEST.GALLERY_DRAW": ("auto", "official", "seeded"),
    "PRECISION": ("auto", "fp32", "bf16", "fp16"),
}
POSITIVE = "must be greater than 0"
NOT_NEGATIVE = "must not be negative"
SHARE = "must lie between 0 and 1"
RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **{
        key: (lambda v: v > 0, POSITIVE)
        for key in (
            "DATA.SYNTHETIC.TRAIN_IDS",
            "DATA.SYNTHETIC.TEST_IDS",
            "DATA.SYNTHETIC.IMAGES_PER_CAMERA",
            "MODEL.GEM_P",
            "MODEL.MGIM.GEM_P",
            "MODEL.SDM.TEMPERATURE",
            "SAMPLER.IDENTITIES",
            "SAMPLER.IMAGES",
            "SOLVER.EPOCHS",
            "SOLVER.BASE_LR",
            "SOLVER.GAMMA",
            "TEST.BATCH",
        )
    },
    **{
        key: (lambda v: v >= 0, NOT_NEGATIVE)
        for key in (
            "DATA.SYNTHETIC.SEED",
            "DATA.WORKERS",
            "INPUT.PAD",
            "LOSS.HETERO_CENTER.MARGIN",
            "LOSS.HETERO_CENTER.WEIGHT",
            "LOSS.IDENTITY.WEIGHT",
            "LOSS.PART_IDENTITY.WEIGHT",
            "LOSS.PART_TRIPLET.MARGIN",
            "LOSS.PART_TRIPLET.WEIGHT",
            "LOSS.SDM.WEIGHT",
            "LOSS.TRIPLET.MARGIN",
            "LOSS.TRIPLET.WEIGHT",
            "LOSS.WEIGHTED_TRIPLET.WEIGHT",
            "MODEL.SDM.BETA",
            "SOLVER.BACKBONE_LR_FACTOR",
            "SOLVER.CHECKPOINT_EVERY",
            "THREADS",
            "SOLVER.CLIP_NORM",
            "SOLVER.MOMENTUM",
            "SOLVER.SPECIFIC_LR_FACTOR",
            "SOLVER.VAL_EVERY",
            "SOLVER.WARMUP_EPOCHS",
            "SOLVER.WEIGHT_DECAY",
        )
    },
    **{
        key: (lambda v: 0 <= v <= 1, SHARE)
        for key in (
            "INPUT.CHANNEL_EXCHANGE",
            "INPUT.ERASE",
            "INPUT.FLIP",
            "INPUT.GRAYSCALE",
            "INPUT.INFRARED.CHANNEL_EXCHANGE",
            "LOSS.IDENTITY.LABEL_SMOOTHING",
            "MODEL.SDM.ALPHA",
            "SOLVER.MIN_LR_FACTOR",
            "SOLVER.WARMUP_FACTOR",
        )
    },
    "INPUT.INFRARED.ERASE": (lambda v: v <= 1, "must be at most 1; negative: as INPUT.ERASE"),
    "SEED": (lambda v: 0 <= v < 2**32, "must be 0 to 4294967295, as numpy wants it"),
    "DATA.TRIAL": (lambda v: 1 <= v <= 10, "must be one of the splits 1 to 10"),
    "MODEL.MGIM.DIM": (lambda v: v >= 2, "must be at least 2"),  # attention halves it
    "MODEL.SHARED_DEPTH": (
        lambda v: 0 <= v <= 5,
        "must be 0 (two backbones) to 5 (one stream): stages shared, counted from the deepest",
    ),
}
MIN_SIDE = 32  # pixels: OSNet's stride is 16, and a map of one row or column has nothing to pool


def find_problems(cfg: CfgNode, choices: Mapping[str, Collection[str]]) -> list[str]:
    """One line per problem, empty when the configuration can be used.

    Args:
        choices: names that live outside this package (data sets, backbones, protocols), by key.
    """
    return [
        *_choices(cfg, {**CHOICES, **choices}),
        *_ranges(cfg),
        *_shapes(cfg),
        *_modules(cfg),
        *_relations(cfg),
    ]


def trained_exits(cfg: CfgNode) -> dict[str, bool]:
    """Whether some loss term trains each exit and, where the network has them, the ``parts``."""
    losses, sdm = cfg.LOSS, cfg.MODEL.SDM
    mine = {"PART_IDENTITY": "parts", "PART_TRIPLET": "parts", "SDM": "students"}
    found = {"deep": any(term.WEIGHT for name, term in losses.items() if name not in mine)}
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
                yield f"{key}={name!r} is unknown; choose one of {names}"


def _ranges(cfg: CfgNode) -> Iterator[str]:
    for key, (holds, rule) in RULES.items():
        value = _get(cfg, key)
        if not holds(value) or value == math.inf:  # not isfinite: a long integer is no float
            yield f"{key} {rule}, got {value}"


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
