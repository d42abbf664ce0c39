"""What a run's training data and another set's test data have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vireid.crosseval.trained import EvaluatedRun
from vireid.data.build import build_splits
from vireid.data.datasets.files import fingerprint
from vireid.data.findings import shared_files
from vireid.errors import VireidError
from vireid.runs.names import read_training_names
from vireid.structures import ImageRecord, Splits

EXAMPLES = 2


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a run was trained with and would be tested on.

    Args:
        images: test images whose files have the content of training images; None: not checked.
        examples: some of them, as ``test image = training image``.
        reason: why the images were not checked; empty if they were.
        identities: test identities that have the number, or the name, of a training identity in
            other data of the same reader; they need not be the same people.
        tested: test identities.
    """

    images: int | None
    examples: tuple[str, ...] = ()
    reason: str = ""
    identities: int = 0
    tested: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"examples": list(self.examples)}

    @staticmethod
    def from_json(values: dict[str, Any]) -> Overlap:
        """The inverse of :meth:`as_json`; ``TypeError`` for anything else."""
        numbers = (values["identities"], values["tested"], values["images"] or 0)
        if not all(type(number) is int for number in numbers):
            raise TypeError(f"whole numbers are needed, got {numbers}")
        return Overlap(**{**values, "examples": tuple(values["examples"])})

    def lines(self) -> list[str]:
        """One line for each thing that makes scores too high, or that is not known."""
        lines = []
        if self.images:
            many = "1 test image is" if self.images == 1 else f"{self.images:,} test images are"
            lines.append(f"{many} among the training images, such as {'; '.join(self.examples)}")
        if self.images is None:
            lines.append(f"not checked for images that train and test share: {self.reason}")
        if self.identities:
            lines.append(
                f"{self.identities} of {self.tested} test identities have the number or name of a "
                "training identity: if they are the same people, the scores are too high"
            )
        return lines


class OverlapFinder:
    """Finds what runs and data sets share; runs with the same training images are read once."""

    def __init__(self) -> None:
        self._training: dict[Any, tuple[Path, list[str]] | str] = {}
        self._found: dict[Any, Overlap] = {}

    def __call__(self, run: EvaluatedRun, dataset: str, splits: Splits, data: str) -> Overlap:
        """Compares a run's training images with a data set's test images.

        Args:
            dataset: name of the reader of ``splits``.
            data: fingerprint of ``splits``.
        """
        trained = (run.dataset, run.data, run.split_trial, run.pids)
        key = (trained, dataset, data, splits.split_trial, run.path if splits.identities else "")
        if key not in self._found:
            if trained not in self._training:
                self._training[trained] = training_files(run)
            self._found[key] = _compare(run, self._training[trained], dataset, splits, data)
        return self._found[key]


def training_files(run: EvaluatedRun) -> tuple[Path, list[str]] | str:
    """Folder and paths of a run's training images; a reason if they are not there as they were."""
    try:
        splits = build_splits(run.own, parts=())
        found = fingerprint(splits)
    except VireidError as error:
        return f"the training data cannot be read ({str(error).splitlines()[0]:.200})"
    if found != run.data or splits.train_pids != run.pids:
        return f"{splits.root} has changed since the run was trained"
    return splits.root, _files(splits.train)


def _compare(
    run: EvaluatedRun,
    training: tuple[Path, list[str]] | str,
    dataset: str,
    splits: Splits,
    data: str,
) -> Overlap:
    tested = {record.pid for record in splits.test}
    known = _same_identities(run, splits) if (run.dataset, run.data) != (dataset, data) else 0
    known = known if run.dataset == dataset else 0
    if isinstance(training, str):
        return Overlap(None, reason=training, identities=known, tested=len(tested))
    root, paths = training
    pairs = shared_files(root, paths, splits.root, _files(splits.test))
    examples = tuple(f"{test} = {train}" for test, train in list(pairs.items())[:EXAMPLES])
    return Overlap(len(pairs), examples, identities=known, tested=len(tested))


def _same_identities(run: EvaluatedRun, splits: Splits) -> int:
    """Test identities with a name, or else a number, of a training identity."""
    pids = {record.pid for record in splits.test}
    if splits.identities:
        return len({splits.identities.get(pid) for pid in pids} & read_training_names(run.path))
    return len(pids & set(run.pids))


def _files(records: Sequence[ImageRecord]) -> list[str]:
    return [path for record in records for path in record.paths]
