"""What is suspicious about a data set but no error.

``check_data`` lists the findings, and training warns of them. A new one is a function (survey →
lines) in ``CHECKS``, and in ``REMARKS`` if only ``check_data`` shall mention it.
"""

from __future__ import annotations

import hashlib
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path

from vireid.data.datasets.files import IMAGE_SUFFIXES
from vireid.data.images import ImageHeader, read_image
from vireid.data.pixels import BACKGROUND, PixelRule
from vireid.structures import ImageRecord, Modality, Role, Splits
from vireid.utils.paths import is_hidden, is_hidden_below
from vireid.utils.threads import threaded_map

SHOWN = 3  # examples in a line
BLOCK = 2**20  # bytes that are read at a time
MOST_COPIES = 100  # of one picture that are compared with one another
SAMPLE = 32  # images of a modality whose grey levels are counted, about
SMALLEST = 512  # pixels; smaller images have few levels anyway
FEW = 64  # grey levels, of 256
PARTS = ("training", "validation", "test")


@dataclass(frozen=True, slots=True)
class Place:
    """An image or a frame in one of the ``PARTS``, and the data set's name of its identity."""

    path: str
    part: str
    record: ImageRecord
    identity: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known about a data set once every image was looked at.

    Args:
        splits: the train/test splits, one or (RegDB) ten.
        headers: of every image that can be read, by path.
        same: paths of images with the same content, two or more in each group.
        hidden: images in hidden files and folders, which are skipped.
        rules: how the images of each modality become RGB.
    """

    splits: Sequence[Splits]
    headers: Mapping[str, ImageHeader]
    same: Sequence[Sequence[str]]
    hidden: Sequence[str] = ()
    rules: Mapping[Modality, PixelRule] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.splits[0].root

    def headers_of(self, modality: Modality) -> list[ImageHeader]:
        """Of the images of a modality that can be read, by path."""
        lists = [records for s in self.splits for records in (s.train, s.val, s.test)]
        kept = (r for records in lists for r in records if r.modality is modality)
        paths = {path for record in kept for path in record.paths}
        return [self.headers[path] for path in sorted(paths & self.headers.keys())]

    def places(self) -> Iterator[dict[str, list[Place]]]:
        """For each split: path → where it is, of the images in ``same``."""
        wanted = {path for group in self.same for path in group}
        for one in self.splits:
            found: dict[str, list[Place]] = defaultdict(list)
            for part, records in zip(PARTS, (one.train, one.val, one.test), strict=True):
                for record in records:
                    name = one.identities.get(record.pid, str(record.pid))
                    for path in wanted.intersection(record.paths):
                        found[path].append(Place(path, part, record, name))
            yield found


def survey(
    splits: Sequence[Splits],
    headers: Iterable[ImageHeader],
    folders: Sequence[str],
    rules: Mapping[Modality, PixelRule],
) -> Survey:
    """Looks for images of the same content, which reads few files twice, and for hidden ones.

    Args:
        folders: that the data set's reader lists; see
            ``vireid.data.datasets.info.DatasetInfo``.
        rules: how the images of each modality become RGB.
    """
    known, root = {header.path: header for header in headers}, splits[0].root
    same = same_content(root, list(known.values()))
    return Survey(splits, known, same, hidden_images(root, folders), rules)


def hidden_images(root: Path, folders: Sequence[str]) -> list[str]:
    """Images in hidden files and folders in and above the given folders, up to ``root``.

    Args:
        folders: glob patterns.
    """
    places = {
        above
        for pattern in folders
        for place in root.glob(pattern)
        if place.is_dir() and not is_hidden_below(place, root)
        for above in (place, *place.parents)
        if above.is_relative_to(root)
    }
    found = []
    for place in places:
        try:
            hidden = [path for path in place.iterdir() if is_hidden(path.name)]
        except OSError:  # a folder whose files may be read, but not listed
            continue
        for path in hidden:
            inside = path.rglob("*") if path.is_dir() else [path]
            images = (one for one in inside if one.suffix.lower() in IMAGE_SUFFIXES)
            found += [one for one in images if not one.is_dir()]
    return sorted(path.relative_to(root).as_posix() for path in found)


def findings(seen: Survey) -> list[str]:
    """One line for each thing that training shall warn of."""
    return _lines(CHECKS, seen)


def remarks(seen: Survey) -> list[str]:
    """One line for each thing that only ``check_data`` mentions."""
    return _lines(REMARKS, seen)


Check = Callable[[Survey], Iterable[str]]


def _lines(checks: Sequence[Check], seen: Survey) -> list[str]:
    return list(dict.fromkeys(line for check in checks for line in check(seen)))


def same_content(root: Path, headers: Sequence[ImageHeader]) -> list[list[str]]:
    """Groups of paths whose images are the same, each with two paths or more.

    Decoded images are compared by their pixels. Others are compared byte for byte: those of equal
    length and equal last bytes by a digest of the whole file.
    """
    if headers and all(header.pixels for header in headers):
        return _groups((header.pixels, header.path) for header in headers)
    alike = _groups(((header.length, header.tail), header.path) for header in headers)
    paths = [path for group in alike for path in group]
    digests = threaded_map(partial(_digest, root), paths, doing="comparing images")
    return _groups((digest, path) for digest, path in zip(digests, paths, strict=True))


def shared_files(
    first: Path, paths: Sequence[str], second: Path, others: Sequence[str]
) -> dict[str, str]:
    """Files in two folders that are equal byte for byte: path in the second → path in the first.

    Only files whose length occurs in both folders are read.

    Args:
        first, second: the folders.
        paths, others: relative paths in the first and in the second one.
    """
    lengths = [_by_length(root, names) for root, names in ((first, paths), (second, others))]
    both = lengths[0].keys() & lengths[1].keys()
    digests = []
    for root, found in zip((first, second), lengths, strict=True):
        alike = [path for length in both for path in found[length]]
        of = threaded_map(partial(_digest, root), alike, doing="comparing images")
        digests.append(dict(zip(alike, of, strict=True)))
    names_of = {digest: path for path, digest in digests[0].items()}
    same = {path: names_of[digest] for path, digest in digests[1].items() if digest in names_of}
    return dict(sorted(same.items()))


def _by_length(root: Path, paths: Sequence[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for path in paths:
        found[(root / path).stat().st_size].append(path)
    return found


def _groups(items: Iterable[tuple[object, str]]) -> list[list[str]]:
    found: dict[object, list[str]] = defaultdict(list)
    for key, path in items:
        found[key].append(path)
    return [sorted(paths) for paths in found.values() if len(paths) > 1]


def _digest(root: Path, path: str) -> bytes:
    """Of a file's content; a file that vanished meanwhile equals no other."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with (root / path).open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError:
        digest.update(path.encode(errors="replace"))
    return digest.digest()


def _in_two_parts(seen: Survey) -> Iterator[str]:
    yield from _copies(
        seen,
        "the same picture is in two of the parts training, validation and test",
        wrong=lambda one, other: one.part != other.part,
        shown=lambda place: f"{place.path} ({place.part})",
    )


def _under_two_identities(seen: Survey) -> Iterator[str]:
    yield from _copies(
        seen,
        "the same picture shows two identities",
        wrong=lambda one, other: one.record.pid != other.record.pid,
        shown=lambda place: f"{place.path} ({place.identity})",
    )


def _in_both_modalities(seen: Survey) -> Iterator[str]:
    """Also a query that is in the gallery, where the two differ in modality."""
    yield from _copies(
        seen,
        "the same picture is a visible and an infrared image",
        wrong=lambda one, other: one.record.modality is not other.record.modality,
    )


def _query_in_gallery(seen: Survey) -> Iterator[str]:
    """A query's copy of the same camera is left out of its list (VeRi-776 has many of those)."""
    yield from _copies(
        seen,
        "the same picture is a query and in its gallery",
        wrong=lambda one, other: (
            {one.record.role, other.record.role} == {Role.QUERY, Role.GALLERY}
            and (one.record.pid, one.record.camid) != (other.record.pid, other.record.camid)
        ),
    )


def _twice(seen: Survey) -> Iterator[str]:
    """Copies that no other check names; frames of one track are alike where nothing moves."""

    def kind(place: Place) -> tuple[object, ...]:
        return place.part, place.record.pid, place.record.modality, place.record.role

    yield from _copies(
        seen,
        "the same picture is there twice under one identity",
        wrong=lambda one, other: (
            kind(one) == kind(other) and not (one.record.track and one.record is other.record)
        ),
    )


def _copies(
    seen: Survey,
    what: str,
    *,
    wrong: Callable[[Place, Place], bool],
    shown: Callable[[Place], str] = lambda place: place.path,
) -> Iterator[str]:
    """One line if some pictures have copies that they should not have.

    Args:
        what: is wrong with them.
        wrong: whether two places of a picture are such copies.
        shown: a place in words.
    """
    pairs: dict[int, str] = {}  # number of the group → one pair of it
    for places in seen.places():
        for number, group in enumerate(seen.same):
            found = [place for path in group for place in places.get(path, ())][:MOST_COPIES]
            if number not in pairs:
                for one, other in combinations(found, 2):
                    if wrong(one, other):
                        pairs[number] = f"{shown(one)} = {shown(other)}"
                        break
    if pairs:
        many = "1 picture" if len(pairs) == 1 else f"{len(pairs):,} pictures"
        yield f"{what}: {many}, such as {'; '.join(list(pairs.values())[:SHOWN])}"


def _hidden(seen: Survey) -> Iterator[str]:
    if seen.hidden:
        many = "1 image is" if len(seen.hidden) == 1 else f"{len(seen.hidden):,} images are"
        examples = ", ".join(seen.hidden[:SHOWN]) + ", …" * (len(seen.hidden) > SHOWN)
        yield f"{many} skipped, in hidden or system files and folders: {examples}"


def _turned(seen: Survey) -> Iterator[str]:
    yield from _counted(
        seen, lambda header: header.turned, "turned upright, as their EXIF orientation says"
    )


def _transparent(seen: Survey) -> Iterator[str]:
    """All rules have one background."""
    colour = next((rule.background for rule in seen.rules.values()), BACKGROUND)
    yield from _counted(
        seen,
        lambda header: header.transparent,
        f"partly transparent: the colour {list(colour)} (INPUT.BACKGROUND) shows through",
    )


def _min_is_white(seen: Survey) -> Iterator[str]:
    yield from _counted(
        seen,
        lambda header: header.white_is_zero,
        "TIFF files whose lowest value is white (min-is-white): they are inverted",
    )


def _counted(seen: Survey, holds: Callable[[ImageHeader], bool], what: str) -> Iterator[str]:
    """One line if some headers are so."""
    found = [path for path, header in sorted(seen.headers.items()) if holds(header)]
    if found:
        more = f", such as {', '.join(found[:SHOWN])}"
        yield f"{len(found):,} of {len(seen.headers):,} images are {what}{more}"


def _mixed_depth(seen: Survey) -> Iterator[str]:
    for modality in Modality:
        headers = seen.headers_of(modality)
        deep = [header.path for header in headers if header.deep]
        if 0 < len(deep) < len(headers):
            yield (
                f"{len(deep):,} of {len(headers):,} {modality.name.lower()} images have more than "
                f"eight bits and follow INPUT.{modality.name}.RANGE, such as {deep[0]}; the others "
                "have eight and stay as they are, so that their brightness may differ"
            )


def _few_levels(seen: Survey) -> Iterator[str]:
    """Decodes some images of each modality."""
    for modality, rule in seen.rules.items():
        headers = seen.headers_of(modality)
        line = few_levels(seen.root, [header.path for header in headers], modality, rule)
        if line:
            deep = any(header.deep for header in headers)
            yield line + (f": set INPUT.{modality.name}.RANGE" if deep else "")


def few_levels(root: Path, paths: Sequence[str], modality: Modality, rule: PixelRule) -> str:
    """A line if images use few of 256 grey levels; decodes about ``SAMPLE`` of them.

    Args:
        paths: of images of the modality.
        rule: by which they become RGB.
    """
    some = paths[:: max(1, len(paths) // SAMPLE)]
    greys = threaded_map(
        lambda path: read_image(root / path, rule).convert("L"), some, doing="counting grey levels"
    )
    large = [grey for grey in greys if grey.width * grey.height >= SMALLEST]
    levels = [sum(map(bool, grey.histogram())) for grey in large]
    if not levels or statistics.median(levels) >= FEW:
        return ""
    name, most = modality.name.lower(), statistics.median(levels)
    return f"{name} images use few of 256 grey levels, half of them at most {most:.0f}"


CHECKS: tuple[Check, ...] = (
    _in_two_parts,
    _under_two_identities,
    _in_both_modalities,
    _query_in_gallery,
    _hidden,
    _turned,
    _transparent,
    _min_is_white,
    _mixed_depth,
    _few_levels,
)
REMARKS: tuple[Check, ...] = (_twice,)
