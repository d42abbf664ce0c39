"""Compares a data set with what was published about it, and opens every image."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vireid.data.datasets import DATASETS
from vireid.data.datasets.files import IMAGE_SUFFIXES
from vireid.data.datasets.info import ListCheck, count_images
from vireid.data.datasets.names import label_of
from vireid.data.findings import findings, remarks, survey
from vireid.data.grey_range import FoundRange, auto_range
from vireid.data.images import ImageHeader, decoded_header
from vireid.data.pixels import PixelRule
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits, is_junk
from vireid.utils.paths import is_hidden_below
from vireid.utils.threads import threaded_map


@dataclass(frozen=True, slots=True)
class Count:
    """How many of something a data set has; ``expected`` is None if nothing was published."""

    name: str
    found: int
    expected: int | None = None

    @property
    def differs(self) -> bool:
        return self.expected is not None and self.found != self.expected


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """What opening every image showed.

    Args:
        opened: how many images there are.
        unreadable: one message for each that is missing, broken or truncated, by path.
        kinds: how many are not plain three-channel images, by kind.
        headers: of those that can be read.
    """

    opened: int
    unreadable: tuple[str, ...]
    kinds: Mapping[str, int]
    headers: tuple[ImageHeader, ...] = ()


@dataclass(frozen=True, slots=True)
class DataCheck:
    """Everything that a check found.

    Args:
        counts: expected and found.
        problems: one message each; counts that differ and unreadable images are not among them.
        notes: what is unusual but no mistake.
        findings: what is suspicious, and is no fault; training warns of it.
    """

    counts: tuple[Count, ...]
    images: ImageCheck
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def faults(self) -> int:
        """How many things are wrong."""
        different = sum(count.differs for count in self.counts)
        return different + len(self.images.unreadable) + len(self.problems)


def check_dataset(
    name: str,
    folder: str | Path,
    *,
    reduced: bool = False,
    options: Mapping[str, Any] | None = None,
) -> DataCheck:
    """Reads a data set, counts, and opens every image.

    Args:
        name: one of ``DATASETS``.
        reduced: the set is a part of the published one, or another in its layout: nothing is
            compared with published counts.
        options: by the names that ``DatasetInfo.options`` has.
    Raises:
        DataError: the set cannot be read at all.
    """
    info = DATASETS[name]
    published = {} if reduced else info.published
    if info.check_lists is None:
        splits = info.read(folder, options or {})
        lists = ListCheck([splits], count_images(splits), notes=list(splits.notes))
    else:
        lists = info.check_lists(folder, reduced)
    root = lists.splits[0].root
    test = [record for splits in lists.splits for record in splits.test]
    records = sorted({r for s in lists.splits for r in s.train + s.test}, key=lambda r: r.path)
    absent = [line for s in lists.splits for line in _missing(s, info.modalities)]
    names = lists.splits[0].identities
    images = inspect_images(root, image_paths(records))
    ranges = _found_ranges(lists.splits[0], images.headers)
    seen = survey(lists.splits, images.headers, info.image_folders, _rules(ranges))
    return DataCheck(
        counts=tuple(
            Count(name, number, published.get(name.partition(",")[0]))
            for name, number in lists.found.items()
        ),
        images=images,
        problems=tuple(dict.fromkeys([*lists.problems, *absent])),
        notes=(
            *lists.notes,
            *_absent_cameras(test, info.test_cameras),
            *_untrained(lists.splits),
            *one_sided(records, names),
            *_ignored_files(root, info.image_folders, [*records, *lists.splits[0].left_out]),
            *(f"INPUT.{m.name}.RANGE auto: {found}" for m, found in ranges.items()),
            *remarks(seen),
        ),
        findings=tuple(findings(seen)),
    )


def missing_modalities(
    splits: Splits, modalities: Sequence[Modality], parts: Sequence[str] = ("train", "test")
) -> Iterator[str]:
    """One line per part and modality without an image."""
    for part in parts:
        for modality in modalities:
            people = (r for r in getattr(splits, part) if not is_junk(r.pid))
            if not any(record.modality is modality for record in people):
                yield f"no {modality.name.lower()} image in the {part} split"


def _missing(splits: Splits, modalities: Sequence[Modality]) -> Iterator[str]:
    """What is missing; a set without training images is there to be scored."""
    parts = ("train", "test") if splits.train else ("test",)
    yield from missing_modalities(splits, modalities, parts)


def _untrained(splits: Sequence[Splits]) -> Iterator[str]:
    if not any(one.train for one in splits):
        yield "no training images: a trained model can be scored on this set, none can be trained"
    elif max(len(one.train_pids) for one in splits) == 1:
        yield "one identity trains, and training needs two: add images of others"


def one_sided(
    records: Iterable[ImageRecord], names: Mapping[int, str] | None = None
) -> Iterator[str]:
    """One line per modality that is the only one of some identities; names them.

    Nothing for a data set with one modality.

    Args:
        names: of identities that have other names than their numbers, by number.
    """
    pids: dict[Modality, set[int]] = {modality: set() for modality in Modality}
    for record in records:
        if not is_junk(record.pid):
            pids[record.modality].add(record.pid)
    visible, infrared = pids[Modality.VISIBLE], pids[Modality.INFRARED]
    if not (visible and infrared):
        return
    for name, only in (("visible", visible - infrared), ("infrared", infrared - visible)):
        if only:
            labels = [str(label_of(pid, names or {})) for pid in sorted(only)[:20]]
            shown = ", ".join(" ".join(label.split()) for label in labels) + (
                " …" if len(only) > 20 else ""
            )
            who = "1 identity has" if len(only) == 1 else f"{len(only)} identities have"
            yield f"{who} {name} images only: {shown}"


def _absent_cameras(
    test: Sequence[ImageRecord], cameras: Mapping[Modality, Sequence[int]]
) -> Iterator[str]:
    """One line per modality in which some of its cameras have no test image."""
    for modality, expected in cameras.items():
        seen = {record.camid for record in test if record.modality is modality}
        absent = [camera for camera in expected if camera not in seen]
        if seen and absent:  # no image at all is a problem of its own
            named = ", ".join(map(str, absent))
            yield f"no {modality.name.lower()} test image of camera {named}"


def _ignored_files(
    root: Path, folders: Sequence[str], records: Iterable[ImageRecord]
) -> Iterator[str]:
    """One line if there are files among the images that are no images by their names.

    Args:
        folders: glob patterns; if there are none, the folders of the records are searched, except
            ``root`` itself, which also holds lists.
    """
    known = set(image_paths(records))
    found = (place for pattern in folders for place in root.glob(pattern) if place.is_dir())
    places = {place for place in found if not is_hidden_below(place, root)}
    if not folders:
        places = {(root / path).parent for path in known} - {root}
    ignored = sorted(
        relative
        for place in places
        for path in place.iterdir()
        if path.suffix.lower() not in IMAGE_SUFFIXES and path.is_file()
        if (relative := path.relative_to(root).as_posix()) not in known
    )
    if ignored:
        yield (
            f"files among the images that are ignored: {len(ignored)}, the first: {ignored[0]} "
            f"(images end in {', '.join(sorted(IMAGE_SUFFIXES))})"
        )


def image_paths(records: Iterable[ImageRecord]) -> list[str]:
    """Every image of the records once; all frames of tracks."""
    return list(dict.fromkeys(path for record in records for path in record.paths))


def inspect_images(root: Path, paths: Sequence[str]) -> ImageCheck:
    """Opens and decodes every image, as training would."""
    kinds: Counter[str] = Counter()
    unreadable, headers = [], []
    for kind, found in threaded_map(partial(_inspect, root), paths, doing="opening images"):
        if isinstance(found, str):
            unreadable.append(found)
        else:
            headers.append(found)
            kinds.update([kind] if kind else [])
    return ImageCheck(len(paths), tuple(unreadable), dict(sorted(kinds.items())), tuple(headers))


def _inspect(root: Path, path: str) -> tuple[str, ImageHeader | str]:
    """(kind of image, empty for a plain one; its header, or why it cannot be read)."""
    try:
        header = decoded_header(root, path, digest=True)
        return _kind(header), header
    except DataError as error:
        return "", str(error)


def _kind(header: ImageHeader) -> str:
    if header.deep:
        return "16-bit or deeper"
    if header.alpha:
        return "with an alpha channel"
    if header.mode in ("1", "L"):
        return "one-channel"
    return {"CMYK": "CMYK", "P": "with a palette"}.get(header.mode, "")


def _rules(ranges: Mapping[Modality, FoundRange]) -> dict[Modality, PixelRule]:
    return {m: PixelRule(ranges[m].limits if m in ranges else None) for m in Modality}


def _found_ranges(splits: Splits, headers: Sequence[ImageHeader]) -> dict[Modality, FoundRange]:
    """What ``INPUT.*.RANGE auto`` becomes, where there are images of more than eight bits."""
    seen = {header.path: header for header in headers}
    groups = [splits.train, splits.val + splits.test]
    found = {modality: auto_range(modality, groups, seen) for modality in Modality}
    return {modality: one for modality, one in found.items() if one is not None}
