"""What counting the images of a data set gives, beside what was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vireid.structures import Modality, Splits

Published = Mapping[str, int]
Cameras = Mapping[Modality, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Count:
    """How many of something a data set has; ``expected`` is None where nothing was published."""

    name: str
    found: int
    expected: int | None = None

    @property
    def differs(self) -> bool:
        return self.expected is not None and self.found != self.expected


@dataclass(slots=True)
class Reading:
    """What a data set's lists and folders tell before any image is opened."""

    splits: list[Splits]
    counts: list[Count]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def count_images(splits: Splits) -> dict[str, int]:
    """Identities and images of each modality, of the training and of the test part."""
    counts = {}
    for part, records in (("training", splits.train), ("test", splits.test)):
        counts[f"{part} identities"] = len({record.pid for record in records})
        for modality in Modality:
            found = sum(record.modality is modality for record in records)
            counts[f"{part} {modality.name.lower()} images"] = found
    return counts


def compared(found: Mapping[str, int], published: Published) -> list[Count]:
    return [Count(name, number, published.get(name)) for name, number in found.items()]


def read_single(load: Callable[..., Splits], root: str | Path, published: Published) -> Reading:
    """A data set with one split and nothing but its images to count."""
    splits = load(root)
    return Reading([splits], compared(count_images(splits), published))
