"""What an option is, what a change of it can change, and what the groups of options are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from yacs.config import CfgNode

from vireid.config.rules import Rule


class Effect(Enum):
    """What a change of an option changes, and with it everything that is computed from that."""

    LAYERS = "the layers of the model, and with them its weights"
    POOLING = "the features of trained weights, through layers that have no weights"
    STUDENTS = "the layers of the student heads, and with them the weights"
    START = "the weights that training starts from; no effect on a resumed run"
    EPOCH = "losses or batches; a resumed run may change it only between two epochs"
    TRAINING = "the trained weights in any other way"
    DATA = "the images that train or test"
    FEATURES = "the features of trained weights"
    SCORES = "the scores of given features"
    ROUNDING = "only the last digits of weights, features or scores"
    NOTHING = "no result"


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Args:
        default: of the type that all its values have.
        allowed: a rule, or the names to choose from; of a list, what each item may be.
        effect: what a change of it changes.
        help: meaning, unit and source, in Markdown. [field] marks what most published code of the
            field uses (AGW, CAJ, HcTri, MPANet), [ours] a choice of this project; another name in
            brackets names the paper or code that a value is from.
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


# What a group of options is for.
GROUPS = {
    "DATA": "Which data set is read, how it is split, and how images are loaded",
    "DATA.SYNTHETIC": "A data set that vireid renders itself. It is used when `ENABLED` is true "
    "and `DATA.ROOT` is empty, and is rendered once, under `datasets/`",
    "INPUT": "Image size, augmentation in training, and normalisation",
    "INPUT.VISIBLE": "Visible images only",
    "INPUT.INFRARED": "Infrared images only, where they need other values than visible ones",
    "SAMPLER": "A batch holds P identities × K images of each modality",
    "MODEL": "Layers of the network and the weights it starts from",
    "MODEL.DIRECTIONAL": "Directional pooling, instead of `MODEL.POOL`: each branch averages a "
    "square feature map along one direction",
    "MODEL.SDM": "Self-distillation module: student heads on shallow stages learn from the deepest "
    "head (docs/method.md)",
    "MODEL.MGIM": "Multi-granularity information mining: part features at several granularities, "
    "and relations between the parts (docs/method.md)",
    "TEACHER": "A trained, frozen model that teaches this one (viewpoint robust knowledge "
    "distillation, VRKD)",
    "DISTILL": "The losses between a student and the teacher of `TEACHER`: of their class "
    "probabilities, of their features, and of the relations within a batch (docs/method.md)",
    "LOSS": "Weights and margins of the losses",
    "LOSS.TRIPLET": "Batch-hard triplets over both modalities",
    "LOSS.PART_IDENTITY": "Classification of the part features of `MODEL.MGIM`, with the label "
    "smoothing of `LOSS.IDENTITY`",
    "LOSS.PART_TRIPLET": "Metric loss on the part features. The parts of a granularity are "
    "concatenated; the loss is the mean over the granularities",
    "SOLVER": "Length of the training, optimiser, learning rate, validation, checkpoints",
    "TEST": "Which features are scored, and by which rules",
}


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
