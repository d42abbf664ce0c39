"""What an option is, and what a change of it can change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

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
