"""Every option: its default, what it may be, what a change of it changes, and what it means.

Add an option here and read it in the ``build.py`` that needs it: the check of its values, the page
docs/configuration.md, what may differ on resume and the names of results follow from the table.

No option defaults to ``None`` (its type would be unknown); "not set" is an empty text, an empty
list or zero, and the help says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from yacs.config import CfgNode

from vireid.config.values import WordOrNumbers
from vireid.utils.paths import path_problem


class Effect(Enum):
    """What a change of an option changes, and with it everything that is computed from that."""

    LAYERS = "the weights, by the layers of the model"
    POOLING = "the features, by layers without weights"
    STUDENTS = "the weights, by the layers of the student heads"
    START = "the weights, by where they start; a resumed run takes the checkpoint's"
    EPOCH = "the weights, by losses and batches; fixed until the current epoch ends"
    TRAINING = "the weights, by the rest of the training"
    DATA = "the weights, by the images"
    FEATURES = "the features of trained weights"
    SCORES = "the scores of given features"
    ROUNDING = "the last digits of features and scores, or of the weights"
    NOTHING = "no result"


LAYERS, POOLING, STUDENTS, START, EPOCH, TRAINING, DATA, FEATURES, SCORES, ROUNDING, NOTHING = (
    Effect
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What the value of an option must satisfy.

    Args:
        words: what it must be, for messages and the documentation.
        problem: value → what is wrong with it; empty when nothing is.
    """

    words: str
    problem: Callable[[Any], str]


def _rule(words: str, holds: Callable[[Any], bool]) -> Rule:
    # `math.inf` by comparison: `isfinite` fails for whole numbers of more than 308 digits
    return Rule(words, lambda v: "" if holds(v) and v != math.inf else f"must be {words}")


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Args:
        default: of the type that all its values have.
        allowed: a rule, or the names to choose from; of a list, what each item may be.
        effect: what a change of it changes.
        help: meaning, unit and source. [field] marks what most published code of the field uses
            (AGW, CAJ, HcTri, MPANet), [ours] a choice of this project; other names in brackets
            say whose paper or code a value is from.
        in_names: False keeps the option out of the names of results and kept features, and out of
            what is recorded beside those: something else distinguishes its values, such as the
            fingerprint of the images, or only the last digits differ.
        costs: whether it also changes what the deployed model costs (parameters, MACs, length of
            the feature). Layers always do.
    """

    default: Any
    allowed: Rule | tuple[str, ...]
    effect: Effect
    help: str
    in_names: bool = True
    costs: bool = False


def _pattern_problem(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except (re.error, RecursionError, OverflowError) as error:
        return f"must be a regular expression with one group ({error})"
    if groups == 1 or not pattern:
        return ""
    return (
        f"must be a regular expression with one group (…), the camera's name, and has {groups}; "
        "parentheses that are no group are written (?:…)"
    )


TABLE: tuple[str, ...] = ()  # names of the table that implements the option: runs/options.py
EXITS = ("deep", "shallow1", "shallow2", "shallow3")
MIN_SIDE = 32  # pixels: OSNet's stride is 16, and a map of one row or column has nothing to pool

ANY = Rule("", lambda value: "")
PATH = Rule("", path_problem)
WEIGHTS = Rule("", path_problem)  # a path, or one of the WEIGHT_NAMES
WEIGHT_NAMES = ("imagenet", "none")
PATTERN = Rule("", _pattern_problem)
POSITIVE = _rule("greater than 0", lambda v: v > 0)
NOT_NEGATIVE = _rule("0 or more", lambda v: v >= 0)
SHARE = _rule("between 0 and 1", lambda v: 0 <= v <= 1)
SHARE_OR_NEGATIVE = _rule("at most 1", lambda v: v <= 1)
SEEDS = _rule("0 to 4294967295, the seeds of numpy", lambda v: 0 <= v < 2**32)
TRIALS = _rule("one of the splits 1 to 10", lambda v: 1 <= v <= 10)
DEPTH = _rule("0 (two backbones) to 5 (one stream)", lambda v: 0 <= v <= 5)
AT_LEAST_2 = _rule("at least 2", lambda v: v >= 2)  # attention halves it
SIZE = _rule(
    f"[height, width] of at least {MIN_SIDE} pixels each",
    lambda v: len(v) == 2 and min(v) >= MIN_SIDE,
)
MEAN = _rule(
    "three numbers between 0 and 1", lambda v: len(v) == 3 and all(0 <= one <= 1 for one in v)
)
STD = _rule(
    "three positive numbers", lambda v: len(v) == 3 and all(0 < one < math.inf for one in v)
)
RANGE = _rule(
    "auto, percentile, or [value that becomes black, larger value that becomes white]",
    lambda v: (
        v in ("auto", "percentile")
        if isinstance(v, str)
        else len(v) == 2 and -math.inf < v[0] < v[1] < math.inf
    ),
)
COLOUR = _rule(
    "a colour [red, green, blue] of whole numbers from 0 to 255",
    lambda v: len(v) == 3 and all(0 <= one <= 255 for one in v),
)
AREA = _rule(
    "[smallest, largest] share of the image", lambda v: len(v) == 2 and 0 < v[0] <= v[1] <= 1
)
ASCENDING = _rule(
    "ascending epochs from 1", lambda v: v == sorted(set(v)) and min(v, default=1) >= 1
)
STRIPES = _rule(
    "different numbers of stripes, at least one",
    lambda v: bool(v) and min(v) >= 1 and len(set(v)) == len(v),
)

# What a group of options is about.
GROUPS = {
    "DATA.SYNTHETIC": "Used when ENABLED and ROOT is empty: rendered once, under datasets/",
    "INPUT.VISIBLE": "Of visible images alone",
    "INPUT.INFRARED": "Where infrared images are treated in another way than visible ones",
    "MODEL.DIRECTIONAL": "Branches that average a square map along one direction each, instead of "
    "MODEL.POOL",
    "MODEL.SDM": "Self-distillation: shallow heads learn from the deepest one. docs/method.md says "
    "why",
    "MODEL.MGIM": "Part features at several granularities, and relations between the parts",
    "TEACHER": "A trained, frozen model that teaches this one (VRKD)",
    "DISTILL": "Divergence of the student's posterior from the teacher's",
    "LOSS.PART_IDENTITY": "Of MODEL.MGIM: classification of the parts, with the label smoothing of "
    "IDENTITY",
    "LOSS.PART_TRIPLET": "A metric loss on each granularity's parts side by side, mean over "
    "granularities",
    "LOSS.TRIPLET": "Batch-hard triplets over both modalities",
}

# fmt: off
OPTIONS: dict[str, Option] = {
    "DATA.DATASET": Option("sysu", TABLE, DATA, "docs/datasets.md says what each needs"),
    "DATA.ROOT": Option("", PATH, NOTHING,
        "Folder of the data set (csv: or a CSV file). VIREID_DATA in the environment overrides "
        "the config file's"),
    "DATA.TRIAL": Option(1, TRIALS, DATA, "RegDB: which of its ten train/test splits"),
    "DATA.SPLIT": Option("", ("", "train+val", "train"), DATA,
        "train+val: every training identity trains. train: validation identities are held out "
        "(SYSU: its val_id.txt; CSV: its val rows; else every fifth identity). Empty: the data "
        "set's usual"),
    # in_names: lists of the images that were scored or extracted distinguish their values
    "DATA.TEST_SHARE": Option(0.5, SHARE, DATA,
        "folder: share of the identities that test, where the folders do not say which; 1: all",
        in_names=False),
    "DATA.SPLIT_SEED": Option(0, SEEDS, DATA, "folder: chooses those identities", in_names=False),
    "DATA.CAMERA_PATTERN": Option("", PATTERN, DATA,
        "folder: regular expression whose one group is the camera's name, searched in the names "
        "of the files or, unless all have it, in their paths below ROOT. Empty: one camera per "
        "modality", in_names=False),
    "DATA.WORKERS": Option(4, NOT_NEGATIVE, NOTHING,
        "Loader processes at most, of each of torchrun's processes; 0 reads in the main process"),
    "DATA.TIMEOUT": Option(600.0, NOT_NEGATIVE, NOTHING,
        "Seconds to wait for a batch of the loader processes before the tool ends with an error; "
        "0: for ever"),
    "DATA.CACHE": Option("", PATH, NOTHING,
        "Folder for decoded and resized images, memory-mapped. SYSU-MM01's training images at "
        "288 × 144 take 4.3 GB. Empty: none"),
    # in_names: rendered sets have different fingerprints
    "DATA.SYNTHETIC.ENABLED": Option(False, ANY, DATA, "Render a data set", in_names=False),
    "DATA.SYNTHETIC.TRAIN_IDS": Option(60, POSITIVE, DATA,
        "Training and validation identities together", in_names=False),
    "DATA.SYNTHETIC.TEST_IDS": Option(20, POSITIVE, DATA, "Test identities", in_names=False),
    "DATA.SYNTHETIC.IMAGES_PER_CAMERA": Option(6, POSITIVE, DATA, "Of each identity",
        in_names=False),
    "DATA.SYNTHETIC.SIZE": Option([128, 64], SIZE, DATA, "Of the rendered images, pixels",
        in_names=False),
    "DATA.SYNTHETIC.SEED": Option(0, NOT_NEGATIVE, DATA, "Of the rendering", in_names=False),

    "INPUT.SIZE": Option([288, 144], SIZE, FEATURES, "Pixels [field: AGW, CAJ, HcTri]", costs=True),
    "INPUT.PAD": Option(10, NOT_NEGATIVE, TRAINING,
        "Pixels of padding before the random crop, on both sides [field]"),
    "INPUT.FLIP": Option(0.5, SHARE, TRAINING, "Probability of a horizontal flip [field]"),
    "INPUT.ERASE": Option(0.5, SHARE, TRAINING,
        "Probability of random erasing [field: CAJ, DEEN, MPANet]"),
    "INPUT.ERASE_AREA": Option([0.02, 0.4], AREA, TRAINING,
        "Share of the image that is erased [field]"),
    "INPUT.GRAYSCALE": Option(0.0, SHARE, TRAINING,
        "Probability of a grey visible image [DEEN: 0.5]"),
    "INPUT.CHANNEL_EXCHANGE": Option(0.0, SHARE, TRAINING,
        "Probability that a visible image shows one of its colour channels, drawn at random, in "
        "all three [CAJ: always, in the second view]"),
    "INPUT.SECOND_VISIBLE": Option(False, ANY, TRAINING,
        "Every visible image comes a second time with its channels exchanged, so that a batch has "
        "P × 3K images [CAJ]"),
    "INPUT.BACKGROUND": Option([128, 128, 128], COLOUR, FEATURES,
        "RGB colour behind transparent pixels; mid-grey, as normalisation makes it nearly zero"),
    "INPUT.VISIBLE.RANGE": Option(WordOrNumbers("auto"), RANGE, FEATURES,
        "Values that become black and white in visible images of more than eight bits. auto: found "
        "from the training images, and recorded in the run; percentile: of each image its own, the "
        "1st and the 99th percentile; docs/datasets.md"),
    "INPUT.INFRARED.RANGE": Option(WordOrNumbers("auto"), RANGE, FEATURES,
        "The same of infrared images"),
    "INPUT.INFRARED.ERASE": Option(-1.0, SHARE_OR_NEGATIVE, TRAINING,
        "Probability of random erasing; negative: as INPUT.ERASE"),
    "INPUT.INFRARED.CHANNEL_EXCHANGE": Option(0.0, SHARE, TRAINING,
        "For false-colour files [CAJ: 0.5]"),
    "INPUT.MEAN": Option([0.485, 0.456, 0.406], MEAN, FEATURES,
        "Of each channel, in the data that OSNet's published weights saw"),
    "INPUT.STD": Option([0.229, 0.224, 0.225], STD, FEATURES,
        "Standard deviation of each channel in the same data"),

    "SAMPLER.IDENTITIES": Option(8, POSITIVE, EPOCH,
        "P: identities in a batch, over all processes [field]"),
    "SAMPLER.IMAGES": Option(4, POSITIVE, EPOCH, "K: images per identity and modality [field]"),

    "MODEL.BACKBONE": Option("osnet_x1_0", TABLE, LAYERS, "Stages from image to feature maps"),
    "MODEL.PRETRAINED": Option("imagenet", WEIGHTS, START,
        "imagenet, none, or a path: a file of weights, a run folder, a run's checkpoint, or the "
        "folder of an exported model. docs/finetuning.md says what is loaded"),
    "MODEL.SHARED_DEPTH": Option(3, DEPTH, LAYERS,
        "Stages shared by both streams, counted from the deepest [ours; equals HcTri's "
        "share_net 2]"),
    "MODEL.POOL": Option("gem", TABLE, POOLING, "Of the global head and of the students"),
    "MODEL.GEM_P": Option(3.0, POSITIVE, START, "Initial exponent of gem; learnt [field: AGW]"),
    "MODEL.NORM_STATISTICS": Option("joint", ("joint", "dual"), LAYERS,
        "Of BatchNorm in layers that both streams share: joint over both modalities [field: AGW], "
        "or each modality's own (dual), with one scale and shift"),
    "MODEL.BN_EVAL": Option(False, ANY, TRAINING,
        "Use the running statistics of BatchNorm while training, instead of the batch's; they stay "
        "as they are"),
    "MODEL.BN_EVAL_SCOPE": Option("all", ("all", "backbone"), TRAINING,
        "Which BatchNorm layers BN_EVAL means. backbone: those of the heads follow the batch, "
        "which suits fine-tuning on few identities (docs/finetuning.md)"),
    "MODEL.SYNC_BN": Option(False, ANY, TRAINING,
        "BatchNorm statistics over all processes; CUDA only"),
    "MODEL.DIRECTIONAL.ENABLED": Option(False, ANY, LAYERS, "Use the branches"),
    "MODEL.DIRECTIONAL.DIRECTIONS": Option(["horizontal", "vertical", "diagonal", "antidiagonal"],
        TABLE, POOLING,
        "One branch each. global averages everything, as a control of equal size [QD-DLF: the "
        "first four]"),
    "MODEL.DIRECTIONAL.MODE": Option("linear", TABLE, LAYERS,
        "linear: 2n − 1 diagonals; wrap: n, which continue at the opposite edge [ours]"),
    "MODEL.DIRECTIONAL.SPATIAL_NORM": Option("branch", TABLE, POOLING,
        "What is brought to unit length [ours]"),
    "MODEL.DIRECTIONAL.BACKBONES": Option("separate", ("separate", "shared"), LAYERS,
        "One backbone per branch, or one for all [ours]"),
    "MODEL.SDM.ENABLED": Option(True, ANY, STUDENTS, "Add the student heads and their losses"),
    "MODEL.SDM.TAPS": Option(["conv2", "conv3", "conv4"], TABLE, STUDENTS,
        "Stages behind which shallow1, shallow2, … stand; at most three [ours]"),
    "MODEL.SDM.HEAD": Option("light", TABLE, STUDENTS, "Layers of a student head"),
    "MODEL.SDM.TEMPERATURE": Option(3.0, POSITIVE, EPOCH, "Of both posteriors [BYOT]"),
    "MODEL.SDM.ALPHA": Option(0.3, SHARE, EPOCH,
        "Share of the divergence; 1 − ALPHA is the labels' [BYOT]"),
    "MODEL.SDM.BETA": Option(0.1, NOT_NEGATIVE, EPOCH, "Weight of the feature hint [ours]"),
    "MODEL.SDM.SCALE_T2": Option(True, ANY, EPOCH,
        "Divergence × TEMPERATURE², so that another temperature is not another weight"),
    "MODEL.SDM.TEACHER": Option("global", TABLE, EPOCH,
        "The deepest classifier, the mean logits of it and the parts', or of all exits (ensemble)"),
    "MODEL.SDM.DETACH_TEACHER": Option(True, ANY, EPOCH,
        "Students send no gradient into their teacher [BYOT]"),
    "MODEL.SDM.HINT": Option("l2_norm", TABLE, EPOCH,
        "Distance of embeddings: of unit vectors (l2_norm), as they are (mse_raw), or none"),
    "MODEL.SDM.WEIGHTS": Option([1.0, 1.0, 1.0], ANY, EPOCH, "Of each student's three terms"),
    "MODEL.MGIM.ENABLED": Option(True, ANY, LAYERS, "Add the parts and their losses"),
    "MODEL.MGIM.GRANULARITIES": Option([2, 3, 6], STRIPES, LAYERS,
        "Each must divide the rows of the map, 18 at 288 pixels [ours]"),
    "MODEL.MGIM.ALLOW_OVERLAP": Option(False, ANY, LAYERS,
        "Let stripes share a row where a granularity does not divide"),
    "MODEL.MGIM.DIM": Option(256, AT_LEAST_2, LAYERS,
        "Length of a part's vector [field: PCB, MGN, RRID]"),
    "MODEL.MGIM.POOL": Option("gem", TABLE, LAYERS, "Of a stripe"),
    # As MODEL.GEM_P a start, but fingerprints of exported models have contained it from the first
    "MODEL.MGIM.GEM_P": Option(3.0, POSITIVE, LAYERS, "Initial exponent of gem; learnt"),
    "MODEL.MGIM.RELATION": Option("one_vs_rest", TABLE, LAYERS,
        "What a part learns of the others"),
    "MODEL.MGIM.SCOPE": Option("within", ("within", "all"), LAYERS,
        "Which parts are related: those of one granularity, or all"),
    "MODEL.MGIM.REDUCE_SHARING": Option("granularity", TABLE, LAYERS,
        "Which parts share the weights that shorten their vectors"),
    "MODEL.MGIM.RELATION_SHARING": Option("all", ("all", "granularity"), LAYERS,
        "Which parts share the weights of their relation"),
    "MODEL.MGIM.BNNECK": Option(True, ANY, LAYERS,
        "Batch normalisation without parameters between the parts and their classifiers; its "
        "output is what retrieval compares"),
    "MODEL.MGIM.CLASSIFIER": Option("part", ("part", "granularity"), LAYERS,
        "What has a classifier of its own"),

    "TEACHER.WEIGHTS": Option("", PATH, TRAINING,
        "Checkpoint or run folder, in which {SEED} and {TRIAL} stand for this run's. Empty: none"),
    "TEACHER.CONFIG": Option("", PATH, EPOCH,
        "Config file that describes it; empty: the one in the checkpoint"),
    "TEACHER.POSTERIOR": Option("joint_fc", TABLE, EPOCH,
        "Posterior that the student learns: of the deepest classifier (joint_fc), or of the "
        "branches of MODEL.DIRECTIONAL, mean of logits or of probabilities [ours]"),
    "DISTILL.TEMPERATURE": Option(4.0, POSITIVE, EPOCH, "Of both posteriors [ours]"),
    "DISTILL.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH,
        "λ [the value at which the paper varies the temperature]"),
    "DISTILL.SCALE_T2": Option(True, ANY, EPOCH, "× TEMPERATURE² [ours]; see MODEL.SDM.SCALE_T2"),

    "LOSS.IDENTITY.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH, "Classification [field: BoT]"),
    "LOSS.IDENTITY.LABEL_SMOOTHING": Option(0.1, SHARE, EPOCH, "[field: BoT]"),
    "LOSS.TRIPLET.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH, "[field]"),
    "LOSS.TRIPLET.MARGIN": Option(0.3, NOT_NEGATIVE, EPOCH, "[field]"),
    "LOSS.WEIGHTED_TRIPLET.WEIGHT": Option(0.0, NOT_NEGATIVE, EPOCH,
        "AGW's weighted regularisation, which has no margin"),
    "LOSS.HETERO_CENTER.WEIGHT": Option(0.0, NOT_NEGATIVE, EPOCH,
        "Triplets of the centres of each identity and modality [HcTri]"),
    "LOSS.HETERO_CENTER.MARGIN": Option(0.3, NOT_NEGATIVE, EPOCH, "[HcTri]"),
    "LOSS.PART_IDENTITY.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH, "Over all parts"),
    "LOSS.PART_IDENTITY.REDUCTION": Option("mean", ("mean", "sum"), EPOCH,
        "Over the classifiers [HcTri: sum]"),
    "LOSS.PART_TRIPLET.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH, "Over all granularities"),
    "LOSS.PART_TRIPLET.KIND": Option("batch_hard", TABLE, EPOCH, "weighted: AGW's, without margin"),
    "LOSS.PART_TRIPLET.MARGIN": Option(0.3, NOT_NEGATIVE, EPOCH, "Of batch_hard"),
    "LOSS.SDM.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH, "Of all terms of MODEL.SDM together"),
    "LOSS.BRANCH_IDENTITY.WEIGHT": Option(1.0, NOT_NEGATIVE, EPOCH,
        "Of MODEL.DIRECTIONAL: the branches' own classifiers, sum over them; with the label "
        "smoothing of IDENTITY"),

    "SOLVER.EPOCHS": Option(120, POSITIVE, TRAINING, "Length of the training"),
    "SOLVER.FREEZE_EPOCHS": Option(0, NOT_NEGATIVE, TRAINING,
        "First epochs in which only what MODEL.PRETRAINED did not load trains; all other "
        "parameters and the statistics of their BatchNorms stay. From EPOCHS on: always; 0: none"),
    "SOLVER.BASE_LR": Option(3.5e-4, POSITIVE, TRAINING, "[field: AGW's and MPANet's Adam]"),
    "SOLVER.BACKBONE_LR_FACTOR": Option(1.0, NOT_NEGATIVE, TRAINING,
        "Learning rate of the backbone over BASE_LR"),
    "SOLVER.SPECIFIC_LR_FACTOR": Option(1.0, NOT_NEGATIVE, TRAINING,
        "Learning rate of the stages that each stream has for itself over the backbone's [ours]: "
        "from random weights at a high rate, two stems drift apart before anything holds them"),
    "SOLVER.OPTIMIZER": Option("adam", TABLE, TRAINING, "Its state does not fit another one"),
    "SOLVER.WEIGHT_DECAY": Option(5e-4, NOT_NEGATIVE, TRAINING, "[field]"),
    "SOLVER.CLIP_NORM": Option(0.0, NOT_NEGATIVE, TRAINING,
        "Longest gradient, over all parameters; longer ones are shortened to it. 0: none"),
    "SOLVER.MOMENTUM": Option(0.9, NOT_NEGATIVE, TRAINING, "sgd only, as Nesterov's [field]"),
    "SOLVER.SCHEDULE": Option("step", TABLE, TRAINING, "Of the learning rate after the warm-up"),
    "SOLVER.STEPS": Option([60, 90], ASCENDING, TRAINING,
        "Epochs after which a step schedule multiplies by GAMMA"),
    "SOLVER.GAMMA": Option(0.1, POSITIVE, TRAINING, "Factor of a step"),
    "SOLVER.WARMUP_EPOCHS": Option(10, NOT_NEGATIVE, TRAINING, "Linear [field]"),
    "SOLVER.WARMUP_FACTOR": Option(0.1, SHARE, TRAINING, "Where the warm-up starts, over BASE_LR"),
    "SOLVER.MIN_LR_FACTOR": Option(0.01, SHARE, TRAINING, "Where cosine ends, over BASE_LR"),
    "SOLVER.SELECT": Option("last", ("last", "best"), FEATURES,
        "Epoch that is scored and exported; best: by validation mAP, needs DATA.SPLIT train"),
    "SOLVER.VAL_EVERY": Option(0, NOT_NEGATIVE, TRAINING, "Epochs between validations; 0: none"),
    "SOLVER.GRADIENT_NORMS": Option(False, ANY, NOTHING,
        "Write the norm of each term's gradient in the backbone, at the first step of every epoch, "
        "into metrics.csv; of the global batch on several processes"),
    "SOLVER.CHECKPOINT_EVERY": Option(0, NOT_NEGATIVE, NOTHING,
        "Epochs between checkpoints that are kept beside last.pth; 0: none"),

    # in_names: results.json has an entry for each protocol, and for re-ranking
    "TEST.PROTOCOLS": Option([], TABLE, SCORES,
        "Names or groups; empty: all of the data set's", in_names=False),
    "TEST.METRIC": Option("auto", TABLE, SCORES, "Distance of features; auto: the protocol's own"),
    "TEST.GALLERY_DRAW": Option("auto", ("auto", "official", "seeded"), SCORES,
        "auto: the protocol's own"),
    "TEST.RERANK": Option(False, ANY, SCORES,
        "Score k-reciprocal re-ranking too, beside the plain scores", in_names=False),
    "TEST.BATCH": Option(64, POSITIVE, ROUNDING, "Images", in_names=False),
    "TEST.FLIP": Option(False, ANY, FEATURES,
        "Average the features of an image and of its mirror image", costs=True),
    "TEST.EXIT": Option("deep", EXITS, FEATURES, "Head whose features are scored", costs=True),
    "TEST.GALLERY_EXIT": Option("", ("", *EXITS), SCORES,
        "Exit of the gallery's images where it is another one than the queries'; empty: the same",
        costs=True),
    "TEST.BACKEND": Option("torch", ("torch", "onnxruntime", "openvino", "auto"), ROUNDING,
        "What computes features in evaluate and extract. auto: the fastest for many images without "
        "a GPU; the same scores to a thousandth"),
    "TEST.EMBED": Option("global+parts", ("global", "parts", "global+parts"), FEATURES,
        "Students, and models without MGIM, have the global one", costs=True),

    "PRECISION": Option("auto", TABLE, TRAINING, "Number format of the forward pass; fp16: CUDA"),
    "COMPILE": Option(False, ANY, ROUNDING,
        "torch.compile; falls back to eager where no compiler is", in_names=False),
    "THREADS": Option(0, NOT_NEGATIVE, ROUNDING,
        "Processor threads of torch's operations; 0: torch's choice. A small model trains faster "
        "on one: more wait for one another", in_names=False),
    "DEVICE": Option("auto", ANY, NOTHING, "auto, cpu, cuda or cuda:N"),
    "SEED": Option(0, SEEDS, EPOCH, "Of initial weights, batches and augmentation"),
    "TRACKERS": Option([], TABLE, NOTHING,
        "Experiment trackers that get the run, beside its folder. TensorBoard always does, where "
        "it is installed"),
    "OUTPUT_DIR": Option("", PATH, NOTHING, "Empty: runs/<config stem>[/split<t>]/seed<k>"),
}
# fmt: on


def default_config() -> CfgNode:
    """A fresh node of all options that can be changed."""
    values = {key: option.default for key, option in OPTIONS.items()}
    return nested({k: str(v) if isinstance(v, str) else v for k, v in values.items()})


def nested(values: Mapping[str, Any]) -> CfgNode:
    """``{"A.B": 1}`` → the node whose ``.A.B`` is 1; lists are copied."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *groups, name = key.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = value
    return CfgNode(tree)


def options_of(*effects: Effect) -> tuple[str, ...]:
    """Names of the options with one of these effects, in the table's order."""
    return tuple(key for key, option in OPTIONS.items() if option.effect in effects)


def is_path(key: str, value: Any) -> bool:
    """Whether an option's value names a file or folder."""
    allowed = OPTIONS[key].allowed
    return bool(value) and (allowed is PATH or (allowed is WEIGHTS and value not in WEIGHT_NAMES))


def options_in_names(*effects: Effect) -> tuple[str, ...]:
    """Those of ``options_of`` that names of results and kept features show."""
    return tuple(key for key in options_of(*effects) if OPTIONS[key].in_names)


def with_found(now: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Options by dotted names, where what ``auto`` became in a run counts as what was asked for."""
    ranges = [key for key in now if key.endswith(".RANGE") and now[key] == "auto"]
    return {**now, **{key: found[key] for key in ranges if key in found}}


def options_of_cost() -> tuple[str, ...]:
    """Names of the options that change what a deployed model costs."""
    layers = options_of(LAYERS, POOLING, STUDENTS)
    return tuple(key for key, option in OPTIONS.items() if option.costs or key in layers)
