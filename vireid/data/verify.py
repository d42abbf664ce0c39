"""What counting the images of a data set gives, beside what was published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image

from vireid.data.datasets.checks import CHECKS, absent_cameras, describe_ignored, ignored_files
from vireid.data.datasets.files import one_sided
from vireid.data.images import opened, read_image
from vireid.errors import DataError
from vireid.structures import Modality, Splits
from vireid.utils.threads import threaded_map

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


@dataclass(frozen=True, slots=True)
class Images:
    """What opening every image showed.

    Args:
        opened: how many there are.
        unreadable: one message for each that is missing, broken or truncated, by path.
        kinds: how many are not plain three-channel images, by what they are instead.
    """

    opened: int
    unreadable: tuple[str, ...]
    kinds: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a check found.

    Args:
        counts: expected and found.
        problems: one message each; counts that differ and unreadable images are not among them.
        notes: what is unusual but no mistake.
        where: where to ask for the data.
    """

    counts: tuple[Count, ...]
    images: Images
    where: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def faults(self) -> int:
        """How many things are wrong."""
        different = sum(count.differs for count in self.counts)
        return different + len(self.images.unreadable) + len(self.problems)


def check(dataset: str, folder: str | Path, *, reduced: bool = False) -> Report:
    """Reads a data set, counts, and opens every image.

    Args:
        dataset: one of :data:`CHECKS`.
        reduced: the set is a part of the published one, or another in its layout: nothing is
            compared with published counts.
    Raises:
        DataError: the set cannot be read at all.
    """
    source = CHECKS[dataset]
    reading = source.read(folder, {} if reduced else source.published)
    parts = [(part, s) for s in reading.splits for part in ("train", "test")]
    for part, splits in parts:
        for modality in source.modalities:
            if not any(record.modality is modality for record in getattr(splits, part)):
                reading.problems.append(f"no {modality.name.lower()} image in the {part} split")
    records = sorted({r for s in reading.splits for r in s.train + s.test}, key=lambda r: r.path)
    root = reading.splits[0].root
    test = [record for splits in reading.splits for record in splits.test]
    notes = [*reading.notes, *absent_cameras(test, source.cameras), *one_sided(records)]
    notes += describe_ignored(ignored_files(root, source.folders, records))
    return Report(
        counts=tuple(reading.counts),
        images=inspect_images(root, [record.path for record in records]),
        where=source.where,
        problems=tuple(dict.fromkeys(reading.problems)),
        notes=tuple(notes),
    )


def inspect_images(root: Path, paths: Sequence[str]) -> Images:
    """Opens and decodes every image, as training would."""
    kinds: Counter[str] = Counter()
    unreadable = []
    for kind, error in threaded_map(partial(_inspect, root), paths, doing="opening images"):
        if error:
            unreadable.append(error)
        elif kind:
            kinds[kind] += 1
    return Images(len(paths), tuple(unreadable), dict(sorted(kinds.items())))


def _inspect(root: Path, path: str) -> tuple[str, str]:
    """(what kind of image it is unless a plain one, why it cannot be read)."""
    try:
        read_image(root / path)
        with opened(root / path) as image:
            return _kind(image), ""
    except DataError as error:
        return "", str(error)


def _kind(image: Image.Image) -> str:
    if image.mode.startswith(("I", "F")):
        return "16-bit or deeper"
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        return "with an alpha channel"
    if image.mode in ("1", "L"):
        return "one-channel"
    return {"CMYK": "CMYK", "P": "with a palette"}.get(image.mode, "")
