"""Is a data set on disk what was published, and can every image be read?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat

from vireid.data import csv_set, llcm, regdb, sysu
from vireid.data.images import read_image
from vireid.data.layout import one_sided
from vireid.data.parallel import threaded_map
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits

Published = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Count:
    """How many of something a data set has; ``expected`` is None where nothing was published."""

    name: str
    found: int
    expected: int | None = None

    @property
    def differs(self) -> bool:
        return self.expected is not None and self.found != self.expected


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


@dataclass(slots=True)
class _Reading:
    """What a data set's lists and folders tell before any image is opened."""

    splits: list[Splits]
    counts: list[Count]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(dataset: str, root: str | Path, *, reduced: bool = False) -> Report:
    """Reads a data set, counts, and opens every image.

    Args:
        dataset: one of :data:`CHECKS`.
        reduced: the set is a part of the published one, or another in its layout: nothing is
            compared with published counts.
    Raises:
        DataError: the set cannot be read at all.
    """
    source = CHECKS[dataset]
    reading = source.read(root, {} if reduced else source.published)
    parts = [(part, s) for s in reading.splits for part in ("train", "test")]
    for part, splits in parts:
        for modality in Modality:
            if not any(record.modality is modality for record in getattr(splits, part)):
                reading.problems.append(f"no {modality.name.lower()} image in the {part} split")
    records = sorted({r for s in reading.splits for r in s.train + s.test}, key=lambda r: r.path)
    return Report(
        counts=tuple(reading.counts),
        images=inspect_images(reading.splits[0].root, [record.path for record in records]),
        where=source.where,
        problems=tuple(dict.fromkeys(reading.problems)),
        notes=(*reading.notes, *one_sided(records)),
    )


def count_images(splits: Splits) -> dict[str, int]:
    """Identities and images of each modality, of the training and of the test part."""
    counts = {}
    for part, records in (("training", splits.train), ("test", splits.test)):
        counts[f"{part} identities"] = len({record.pid for record in records})
        for modality in Modality:
            found = sum(record.modality is modality for record in records)
            counts[f"{part} {modality.name.lower()} images"] = found
    return counts


def count_sysu(test: Iterable[ImageRecord]) -> dict[str, int]:
    """Queries and gallery sizes of SYSU-MM01's protocols.

    A query of camera 3 does not see gallery images of camera 2, which looks at the same room.
    """
    folders = Counter((record.camid, record.pid) for record in test)
    infrared = {key: n for key, n in folders.items() if key[0] in sysu.INFRARED_CAMERAS}
    answerable = sum(
        n
        for (camera, pid), n in infrared.items()
        if (1, pid) in folders or (camera != 3 and (2, pid) in folders)
    )
    counts = {"queries": sum(infrared.values()), "queries answerable indoors": answerable}
    for place, cameras in (("all-search", (1, 2, 4, 5)), ("indoor", (1, 2))):
        sizes = [n for (camera, _), n in folders.items() if camera in cameras]
        for name, shots in (("single-shot", 1), ("multi-shot", 10)):
            counts[f"gallery {place} {name}"] = sum(min(shots, n) for n in sizes)
    return counts


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
        with Image.open(root / path) as image:
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


def _compared(found: Mapping[str, int], published: Published) -> list[Count]:
    return [Count(name, number, published.get(name)) for name, number in found.items()]


def _read_single(load: Callable[..., Splits], root: str | Path, published: Published) -> _Reading:
    """A data set with one split and nothing but its images to count."""
    splits = load(root)
    return _Reading([splits], _compared(count_images(splits), published))


def _read_sysu(root: str | Path, published: Published) -> _Reading:
    splits = sysu.load(root)
    found = {**count_images(splits), **count_sysu(splits.test)}
    reading = _Reading([splits], _compared(found, published))
    if splits.gallery_permutations is None:
        reading.notes.append(
            f"no {sysu.PERMUTATION_FILES[0]}: the official gallery draw needs it; copy it from "
            "the data set's evaluation code (data_split/)"
        )
    else:
        reading.problems += unfit_permutations(splits.gallery_permutations, splits.test)
    return reading


def unfit_permutations(path: Path, test: Iterable[ImageRecord]) -> Iterator[str]:
    """A message when ``rand_perm_cam.mat`` is not of the test folders' numbers of images."""
    folders = Counter((record.camid, record.pid) for record in test)
    try:
        known = {
            (camid, pid): np.asarray(rows)
            for camid, camera in enumerate(loadmat(path)["rand_perm_cam"].ravel(), start=1)
            for pid, rows in enumerate(np.asarray(camera).ravel(), start=1)
            if np.ndim(rows) == 2
        }
    except Exception as error:  # scipy raises a dozen types on damaged files
        yield f"{path} cannot be read ({type(error).__name__}: {error}): copy it anew"
        return
    lengths = {key: rows.shape[1] for key, rows in known.items()}
    pids = {pid for _, pid in folders}
    keys = folders.keys() | {key for key in lengths if key[1] in pids}
    wrong = [key for key in sorted(keys) if folders[key] != lengths.get(key, 0)]
    odd = [key for key in sorted(folders) if key in known and not _are_permutations(known[key])]
    if odd:
        yield f"{path}: camera {odd[0][0]}, identity {odd[0][1]}: rows that are no permutations"
    if wrong:
        camid, pid = wrong[0]
        yield (
            f"{path} does not fit {len(wrong)} of {len(keys)} test folders; the first is camera "
            f"{camid}, identity {pid}: {folders[wrong[0]]} images on disk, "
            f"{lengths.get(wrong[0], 0)} in the file"
        )


def _are_permutations(rows: np.ndarray) -> bool:
    return bool((np.sort(rows, axis=1) == np.arange(1, rows.shape[1] + 1)).all())


def _read_regdb(root: str | Path, published: Published) -> _Reading:
    """All ten splits; of a reduced set those that have a list."""
    found, reading = {}, _Reading([], [])
    for trial in regdb.TRIALS:
        try:
            splits = regdb.load(root, split_trial=trial)
        except DataError as error:
            if trial == 1 and not (Path(root).expanduser() / "idx").is_dir():
                raise
            if published or any(Path(root).expanduser().glob(f"idx/*_{trial}.txt")):
                reading.problems.append(f"split {trial}: {error}")
            continue
        found[trial] = count_images(splits)
        reading.splits.append(splits)
    if not found:
        raise DataError("\n".join(reading.problems) or f"{root}/idx holds no list of any split")
    everyone = {r.pid for splits in reading.splits for r in splits.train + splits.test}
    reading.counts += _compared({"splits": len(found), "identities": len(everyone)}, published)
    for name in count_images(reading.splits[0]):
        numbers = {trial: counts[name] for trial, counts in found.items()}
        if len(set(numbers.values())) == 1:
            alike = next(iter(numbers.values()))
            reading.counts.append(Count(f"{name}, each split", alike, published.get(name)))
        else:
            reading.counts += [
                Count(f"{name}, split {trial}", number, published.get(name))
                for trial, number in numbers.items()
            ]
    return reading


@dataclass(frozen=True, slots=True)
class _Source:
    read: Callable[[str | Path, Published], _Reading]
    published: Published
    where: str


CHECKS: dict[str, _Source] = {
    "sysu": _Source(_read_sysu, sysu.EXPECTED, sysu.WHERE),
    "regdb": _Source(_read_regdb, regdb.EXPECTED, regdb.WHERE),
    "llcm": _Source(partial(_read_single, llcm.load), llcm.EXPECTED, llcm.WHERE),
    "csv": _Source(partial(_read_single, csv_set.load), csv_set.EXPECTED, csv_set.WHERE),
}
