"""The data sets that runs are scored on, and the protocols of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vireid.data.datasets import DATASETS
from vireid.data.datasets.info import DatasetInfo
from vireid.errors import UsageError
from vireid.evaluation.protocols import (
    RetrievalProtocol,
    expand,
    plain_name,
    with_corruption,
)
from vireid.utils.paths import expand as expand_path

FORM = "write NAME=ROOT or LABEL:NAME=ROOT, where NAME is a reader of data sets and ROOT its folder"
LABEL = re.compile(r"\w[\w .+-]{0,39}")


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """A data set on which runs are scored.

    Args:
        label: its name in tables, figures and files.
        dataset: name of its reader, a value of ``DATA.DATASET``.
        root: its folder, absolute.
    """

    label: str
    dataset: str
    root: Path

    @property
    def info(self) -> DatasetInfo:
        return DATASETS[self.dataset]

    @property
    def stem(self) -> str:
        """The label as the name of a folder."""
        return self.label.replace(" ", "_")

    def has(self, protocol: RetrievalProtocol) -> bool:
        """Whether a protocol is one of this data set, or one of validation identities."""
        name = plain_name(protocol.name)
        return name == self.dataset or name.startswith(f"{self.dataset}_") or protocol.held_out

    def short(self, protocol: str) -> str:
        """A protocol's name without that of the reader: ``csv_v2i`` → ``v2i``."""
        return protocol.removeprefix(f"{self.dataset}_")

    def column(self, protocol: str) -> str:
        """Title of a protocol's column."""
        return protocol if self.label == self.dataset else f"{self.label}: {self.short(protocol)}"


def parse_sets(texts: Sequence[str]) -> list[EvaluationSet]:
    """Data sets as ``--sets`` names them.

    Raises:
        UsageError: another form, an unknown reader, or one label or folder twice.
    """
    sets: list[EvaluationSet] = []
    for text in texts:
        one = _parse(text)
        for other in sets:
            if other.stem.casefold() == one.stem.casefold():
                raise UsageError(
                    f"--sets {text}: {other.root} has the label {other.label!r}, too: give each "
                    f"set a label of its own, such as {one.root.name or 'second'}:{text}"
                )
            if (other.dataset, other.root.resolve()) == (one.dataset, one.root.resolve()):
                raise UsageError(f"--sets {text}: this data set is named twice")
        sets.append(one)
    return sets


def _parse(text: str) -> EvaluationSet:
    name, equals, root = text.partition("=")
    label, colon, dataset = name.rpartition(":")
    if not equals or not root or not dataset or (colon and not label):
        raise UsageError(f"--sets {text!r:.200}: {FORM}")
    if dataset not in DATASETS:
        choices = ", ".join(DATASETS)
        raise UsageError(
            f"--sets {text:.200}: no reader is named {dataset!r:.40}; choose one of {choices}"
        )
    label = label or dataset
    if not LABEL.fullmatch(label):
        raise UsageError(
            f"--sets {text:.200}: the label {label!r:.60} must begin with a letter or digit and "
            "have at most 40 letters, digits, blanks and . _ + -"
        )
    return EvaluationSet(label, dataset, expand_path(root).absolute())


def protocols_of(
    sets: Sequence[EvaluationSet], names: Sequence[str] = (), *, corrupted: bool = False
) -> Mapping[str, list[RetrievalProtocol]]:
    """The protocols of each data set, by its label.

    Args:
        names: protocols or groups, each for the data sets that it is about; all protocols of every
            data set if there are none.
        corrupted: every protocol is followed by that on corrupted images.
    Raises:
        UsageError: an unknown protocol, one of none of the data sets, or a data set without any.
    """
    chosen = {one.label: _chosen(one, names or [one.dataset], corrupted) for one in sets}
    for name in names:
        if not any(one.has(protocol) for one in sets for protocol in _expand([name], one)):
            known = ", ".join(f"{one.label} ({one.dataset})" for one in sets)
            raise UsageError(f"--protocols {name} is about none of the --sets {known}")
    for label, protocols in chosen.items():
        if not protocols:
            raise UsageError(
                f"--protocols {' '.join(names)}: none is about the data set {label}: name one of "
                "its protocols, too, or leave it out of --sets"
            )
    return chosen


def _chosen(one: EvaluationSet, names: Sequence[str], corrupted: bool) -> list[RetrievalProtocol]:
    chosen = [protocol for protocol in _expand(names, one) if one.has(protocol)]
    if corrupted:
        pairs = [(protocol, with_corruption(protocol)) for protocol in chosen]
        chosen = list({member.name: member for pair in pairs for member in pair}.values())
    return chosen


def _expand(names: Sequence[str], one: EvaluationSet) -> list[RetrievalProtocol]:
    try:
        return expand(names, one.info.modalities)
    except ValueError as error:
        raise UsageError(f"--protocols: {error}") from error
