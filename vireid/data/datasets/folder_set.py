"""A user's own photos in folders: the modality's folder holds one folder for each identity."""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import ceil
from pathlib import Path

from vireid.data.datasets.files import (
    check_apart,
    hold_out,
    images_below,
    is_image,
    require_root,
    subfolders,
)
from vireid.data.datasets.info import DatasetInfo
from vireid.data.datasets.names import (
    SHOWN,
    alike,
    composed,
    label_of,
    nameless,
    names_by_number,
    number_cameras,
    unidentified_notes,
)
from vireid.errors import DataError
from vireid.structures import MODALITY_NAMES, ImageRecord, Modality, Splits
from vireid.utils.identities import number_identities, unidentified

PARTS = {"train": "training", "val": "validation", "test": "test"}
WHOLE, LEFT_OUT = "", "left out"  # the only part of a set without folders of parts; no part


@dataclass(frozen=True, slots=True)
class _Photo:
    """One image: its path, relative to the set, and what its folders say about it."""

    path: str
    part: str
    modality: Modality
    identity: str


def load(
    root: str | Path,
    *,
    split: str = "train+val",
    split_trial: int = 1,
    test_share: float = 0.5,
    split_seed: int = 0,
    camera_pattern: str = "",
) -> Splits:
    """Reads the folders; opens no image.

    Identities are numbered by ``vireid.utils.identities.number_identities``. Junk and
    distractors (``vireid.utils.identities.unidentified``) train nothing; in a set
    without ``train`` and ``test`` they test.

    Args:
        root: holds ``train`` and ``test`` (and ``val``, if validation identities are chosen by
            hand), or the folders of the modalities; then the identities are split here.
        split: ``train`` keeps the identities of ``val`` apart or, if there are none, every fifth
            training identity that has images of both modalities.
        test_share: share of the identities that test, in a set without ``train`` and ``test``.
        split_seed: chooses which; see ``choose_test``.
        camera_pattern: regular expression with one group, the camera's name; see
            ``camera_names``. Empty: one camera for each modality.
    Raises:
        DataError: the folders are not as expected, an identity is in two parts, or a name does
            not match the pattern.
    """
    folder = require_root(root, INFO)
    photos, notes = _read(folder)
    identities, _ = number_identities([photo.identity for photo in photos], zeros_differ=True)
    names = names_by_number(identities)
    records, cameras = _records(folder, photos, identities, camera_pattern)
    parts = _by_part(zip(photos, records, strict=True), unidentified(identities.values()))
    chosen = choose_test(parts[WHOLE], names, share=test_share, seed=split_seed)
    for record in parts[WHOLE]:
        parts["test" if record.pid in chosen else "train"].append(record)
    labels = {p: {label_of(r.pid, names) for r in parts[p]} for p in PARTS}
    check_apart({PARTS[part]: found for part, found in labels.items()}, folder)
    train, val = _held_out(parts["train"], parts["val"], split)
    notes += [*alike(identities, "identity"), *alike(cameras, "camera")]
    notes += [*nameless(identities), *unidentified_notes([*parts[LEFT_OUT], *parts["test"]])]
    return Splits(
        root=folder,
        train=train,
        val=val,
        test=tuple(parts["test"]),
        identities=names,
        cameras=names_by_number(cameras),
        left_out=tuple(parts[LEFT_OUT]),
        notes=tuple(notes),
    )


def choose_test(
    records: Sequence[ImageRecord], names: Mapping[int, str], *, share: float, seed: int
) -> set[int]:
    """The identities of a set that test.

    Every identity has a place in an order that depends on its name and the seed alone, and the
    first ones test: an identity that is added later moves one other at most to the other side.
    Of the identities with both modalities, at least one trains and one tests if there are two and
    the share is neither 0 nor 1. Those with one modality are split by themselves.

    Args:
        names: number → name.
        share: of the identities, rounded to a whole number; of two equally near, to the smaller.
    """

    def place(pid: int) -> bytes:
        text = f"{seed}\n{names[pid]}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()

    whole, one_sided = _by_modalities(records)
    count = ceil(share * len(whole) - 0.5)
    if 0 < share < 1 and len(whole) > 1:
        count = min(max(count, 1), len(whole) - 1)
    chosen = sorted(whole, key=place)[:count]
    return {*chosen, *sorted(one_sided, key=place)[: ceil(share * len(one_sided) - 0.5)]}


def camera_names(paths: Sequence[str], pattern: str, root: Path) -> dict[str, str]:
    """The camera of every image, by path; empty without a pattern.

    The pattern is searched in the files' names. Unless it is in all of them, it is searched in the
    paths, relative to the set's folder: an image of a set is never judged by another rule than the
    images beside it.

    Args:
        pattern: regular expression whose only group is the camera's name.
    Raises:
        DataError: the pattern is neither in all names nor in all paths.
    """
    if not pattern:
        return {}
    camera = re.compile(pattern)
    tries = []
    for texts in (
        {path: path.rpartition("/")[2] for path in paths},
        {path: path for path in paths},
    ):
        found = {path: camera.search(text) for path, text in texts.items()}
        names = {path: composed(match[1]) for path, match in found.items() if match and match[1]}
        if len(names) == len(paths):
            return names
        tries.append(names)
    best = max(tries, key=len)
    missing = [path for path in paths if path not in best]
    raise DataError(
        f"{root}: DATA.CAMERA_PATTERN {pattern!r} finds no camera in {len(missing)} of "
        f"{len(paths)} images, the first: {missing[0]}; change it, rename them, or leave it out "
        "for one camera per modality"
    )


def _records(
    root: Path, photos: Sequence[_Photo], identities: Mapping[str, int], camera_pattern: str
) -> tuple[list[ImageRecord], dict[str, int]]:
    """A record of each photo, and the cameras' numbers by name, if a pattern names them."""
    camera_of = camera_names([photo.path for photo in photos], camera_pattern, root)
    cameras = number_cameras(camera_of.values())
    records = [
        ImageRecord(
            photo.path,
            identities[photo.identity],
            cameras[camera_of[photo.path]] if camera_of else int(photo.modality) + 1,
            photo.modality,
        )
        for photo in photos
    ]
    return records, cameras


def _by_part(
    photos: Iterable[tuple[_Photo, ImageRecord]], apart: set[int]
) -> dict[str, list[ImageRecord]]:
    """The images by part; junk and distractors, ``apart``, test or are left out."""
    parts: dict[str, list[ImageRecord]] = defaultdict(list)
    for photo, record in photos:
        part = photo.part
        if part != "test" and record.pid in apart:
            part = "test" if part == WHOLE else LEFT_OUT
        parts[part].append(record)
    return parts


def _held_out(
    train: list[ImageRecord], val: list[ImageRecord], split: str
) -> tuple[tuple[ImageRecord, ...], tuple[ImageRecord, ...]]:
    """(training, validation) images."""
    if split == "train+val":
        return (*train, *val), ()
    if not val:
        whole, _ = _by_modalities(train)
        _, val_of = hold_out([record for record in train if record.pid in whole], split)
        held = {record.pid for record in val_of}
        val = [record for record in train if record.pid in held]
        train = [record for record in train if record.pid not in held]
    return tuple(train), tuple(val)


def _by_modalities(records: Iterable[ImageRecord]) -> tuple[set[int], set[int]]:
    """Identities with both modalities, and those with one."""
    seen: dict[int, set[Modality]] = defaultdict(set)
    for record in records:
        seen[record.pid].add(record.modality)
    whole = {pid for pid, found in seen.items() if len(found) == len(Modality)}
    return whole, set(seen) - whole


def _read(root: Path) -> tuple[list[_Photo], list[str]]:
    """All images, and notes about what was passed over."""
    parts, modalities = _named(root, PARTS), _named(root, MODALITY_NAMES)
    if parts and modalities:
        raise DataError(
            f"{root} has both {parts[0].name}/ and {modalities[0].name}/: either all images are "
            "under train/ and test/, or none is"
        )
    twice = [name for name, n in Counter(p.name.lower() for p in parts).items() if n > 1]
    if twice:
        same = ", ".join(place.name for place in parts if place.name.lower() == twice[0])
        raise DataError(f"{root} has the folders {same}: put all of it into one, {twice[0]}")
    places = {place.name.lower(): place for place in parts} if parts else {WHOLE: root}
    photos: list[_Photo] = []
    known, empty = set(parts), []
    for part, place in places.items():
        folders = _modality_folders(place)
        known.update(folders.values())
        for modality, folder in folders.items():
            for identity in _identities(folder):
                images = images_below(identity)
                photos += [
                    _Photo(i.relative_to(root).as_posix(), part, modality, composed(identity.name))
                    for i in images
                ]
                empty += [identity] * (not images)
    if not photos:
        raise DataError(f"{root} holds no image{_other_files(places.values())}{_expected()}")
    others = [place for place in subfolders(root) if place not in known]
    others += [one for place in parts for one in subfolders(place) if one not in known]
    return photos, [
        *_listing(root, others, "folders that are not read"),
        *_listing(root, empty, "identity folders without an image"),
    ]


def _named(place: Path, names: Iterable[str]) -> list[Path]:
    """The folders in ``place`` that have one of these names, in any case."""
    return [folder for folder in subfolders(place) if folder.name.lower() in set(names)]


def _modality_folders(place: Path) -> dict[Modality, Path]:
    """The folder of each modality that is there.

    Raises:
        DataError: there is none, or two of one modality.
    """
    found: dict[Modality, Path] = {}
    for folder in _named(place, MODALITY_NAMES):
        modality = MODALITY_NAMES[folder.name.lower()]
        if modality in found:
            raise DataError(
                f"{place} has two folders of {modality.name.lower()} images, "
                f"{found[modality].name} and {folder.name}: put all of them into one"
            )
        found[modality] = folder
    if not found:
        raise DataError(f"{place} {_why_not(place)}{_expected()}")
    return dict(sorted(found.items()))


def _identities(folder: Path) -> list[Path]:
    """The identity folders of a modality.

    Raises:
        DataError: there are images beside them, whose identity is not known.
    """
    loose = [path.name for path in sorted(folder.iterdir()) if is_image(path) and path.is_file()]
    if loose:
        raise DataError(
            f"{folder} holds {len(loose)} images directly, the first: {loose[0]}: put each into "
            f"the folder of its identity, such as {folder.name}/anna/{loose[0]}{_expected()}"
        )
    return subfolders(folder)


def _why_not(place: Path) -> str:
    """What is in a folder where the modalities' folders should be."""
    folders = subfolders(place)
    for folder in folders:
        inside = _named(folder, [*PARTS, *MODALITY_NAMES])
        if inside and (len(folders) == 1 or any(map(subfolders, inside))):
            return f"holds the data set one level deeper: set DATA.ROOT {folder}"
        if inside:
            return (
                f"holds folders of identities, {_some(folders)}, and in them those of the "
                f"modalities: it must be {inside[0].name}/{folder.name}, not "
                f"{folder.name}/{inside[0].name}"
            )
    if any(map(images_below, folders)):
        near = [f for f in folders if get_close_matches(f.name.lower(), MODALITY_NAMES, 1, 0.7)]
        hint = f" (is {near[0].name!r} meant for one?)" if near else ""
        return (
            f"has no folder of a modality{hint}, but {_some(folders)}: put the folders of the "
            "identities into visible/ and infrared/"
        )
    loose = [path for path in sorted(place.iterdir()) if is_image(path)]
    if loose:
        return (
            f"holds {len(loose)} images directly, the first: {loose[0].name}: put each into the "
            "folder of its modality and identity"
        )
    names = ", ".join(path.name for path in sorted(place.iterdir())[:SHOWN])
    return f"has no folder of a modality; found: {names or 'nothing'}"


def _some(folders: Sequence[Path]) -> str:
    names = ", ".join(folder.name for folder in folders[:SHOWN])
    return names + (" …" if len(folders) > SHOWN else "")


def _other_files(places: Iterable[Path]) -> str:
    """The endings of the files below some folders, for a message."""
    endings = {
        Path(name).suffix.lower() or "none"
        for place in places
        for _, _, names in os.walk(place)
        for name in names
    }
    return (
        f" by its name; the endings found are {', '.join(sorted(endings)[:8])}" if endings else ""
    )


def _listing(root: Path, folders: Sequence[Path], what: str) -> Iterator[str]:
    if folders:
        names = ", ".join(f.relative_to(root).as_posix() for f in folders[:SHOWN])
        yield f"{what}: {len(folders)}, {names}{' …' if len(folders) > SHOWN else ''}"


def _expected() -> str:
    return f"\nexpected:\n{INFO.tree}"


INFO = DatasetInfo(
    name="folder",
    load=load,
    tree="""\
  ROOT/visible/<identity>/<image>        ROOT/infrared/<identity>/<image>
or, with identities for training and test that you choose,
  ROOT/train/visible/<identity>/<image>  ROOT/train/infrared/<identity>/<image>
  ROOT/test/visible/<identity>/<image>   ROOT/test/infrared/<identity>/<image>
(also rgb, vis; ir, nir, thermal; an identity's folder has any name and may hold folders)""",
    where_to_get="A folder set is your own: docs/datasets.md describes its folders",
    image_folders=("*/**",),
    options={
        "test_share": "TEST_SHARE",
        "split_seed": "SPLIT_SEED",
        "camera_pattern": "CAMERA_PATTERN",
    },
)
