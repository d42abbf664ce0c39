"""What the lists and folders of each data set tell before any image is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from vireid.data.datasets import csv_set, llcm, regdb, sysu, vehicleid, veri
from vireid.data.datasets.files import IMAGE_SUFFIXES, home_of, images_in, is_image
from vireid.data.verify import (
    Cameras,
    Count,
    Published,
    Reading,
    compared,
    count_images,
    read_single,
)
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Role, Splits
from vireid.utils.matlab import read_mat


def ignored_files(root: Path, folders: Sequence[str], records: Iterable[ImageRecord]) -> list[str]:
    """Paths of files that lie among the images and that no name makes one.

    Args:
        folders: patterns of the identities' folders; if there are none, the records' own are
            searched, but for ``root`` itself, which holds lists too.
    """
    known = {record.path for record in records}
    places = {place for pattern in folders for place in root.glob(pattern) if place.is_dir()}
    if not folders:
        places = {(root / path).parent for path in known} - {root}
    return sorted(
        relative
        for place in places
        for path in place.iterdir()
        if not is_image(path) and path.is_file()
        if (relative := path.relative_to(root).as_posix()) not in known
    )


def describe_ignored(files: Sequence[str]) -> Iterator[str]:
    """One line, if there are any."""
    if files:
        yield (
            f"files among the images that are ignored: {len(files)}, the first: {files[0]} (images "
            f"end in {', '.join(sorted(IMAGE_SUFFIXES))})"
        )


def absent_cameras(test: Sequence[ImageRecord], cameras: Cameras) -> Iterator[str]:
    """One line per modality that some of its cameras show no test identity in."""
    for modality, expected in cameras.items():
        seen = {record.camid for record in test if record.modality is modality}
        absent = [camera for camera in expected if camera not in seen]
        if seen and absent:  # no image at all is a problem of its own
            named = ", ".join(map(str, absent))
            yield f"no {modality.name.lower()} test image of camera {named}"


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


def _read_sysu(root: str | Path, published: Published) -> Reading:
    splits = sysu.load(root)
    found = {**count_images(splits), **count_sysu(splits.test)}
    reading = Reading([splits], compared(found, published))
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
        cameras = read_mat(path, "rand_perm_cam")
    except DataError as error:
        yield str(error)
        return
    known = {
        (camid, pid): rows
        for camid, camera in enumerate(() if cameras is None else cameras.ravel(), start=1)
        for pid, rows in enumerate(camera.ravel() if _is_array(camera) else (), start=1)
        if _is_array(rows) and rows.ndim == 2 and rows.dtype.kind in "fiu"
    }
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


def _is_array(cell: object) -> bool:
    return isinstance(cell, np.ndarray)


def _are_permutations(rows: np.ndarray) -> bool:
    return bool((np.sort(rows, axis=1) == np.arange(1, rows.shape[1] + 1)).all())


def _read_regdb(root: str | Path, published: Published) -> Reading:
    """All ten splits; of a reduced set those that have a list."""
    found, reading = {}, Reading([], [])
    for trial in regdb.TRIALS:
        try:
            splits = regdb.load(root, split_trial=trial)
        except DataError as error:
            if trial == 1 and not (home_of(root) / "idx").is_dir():
                raise
            if published or any(home_of(root).glob(f"idx/*_{trial}.txt")):
                reading.problems.append(f"split {trial}: {error}")
            continue
        found[trial] = count_images(splits)
        reading.splits.append(splits)
    if not found:
        raise DataError("\n".join(reading.problems) or f"{root}/idx holds no list of any split")
    everyone = {r.pid for splits in reading.splits for r in splits.train + splits.test}
    reading.counts += compared({"splits": len(found), "identities": len(everyone)}, published)
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


def _read_llcm(root: str | Path, published: Published) -> Reading:
    reading = read_single(llcm.load, root, published)
    for name, folder in llcm.TEST_LISTS.items():
        if (reading.splits[0].root / name).is_file():
            reading.problems += unlike_list(reading.splits[0], name, folder)
        else:
            reading.notes.append(f"no {name} to compare the images of {folder} with")
    return reading


def unlike_list(splits: Splits, name: str, folder: str) -> Iterator[str]:
    """Messages when a list of test images and the folder that is scored hold different ones.

    The lists name the images in another folder (``vis/0007/…`` for ``test_vis/cam1/0007/…``): what
    is compared is identity and file name.
    """
    try:
        lines = (splits.root / name).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        yield f"{name} cannot be read ({error}): copy it anew"
        return
    paths = [PurePosixPath(line.rpartition(" ")[0].replace("\\", "/")) for line in lines]
    listed = {path.parts[-2:] for path in paths if path.name}
    held = {
        PurePosixPath(record.path).parts[-2:]
        for record in splits.test
        if record.path.startswith(f"{folder}/")
    }
    for first, second, what in (
        (listed, held, f"{name} lists {{}} images that {folder} has not"),
        (held, listed, f"{folder} has {{}} images that {name} does not list"),
    ):
        only = sorted(first - second)
        if only:
            shown = "/".join(only[0])
            yield f"{what.format(len(only))} of the identities of {llcm.TEST_IDS}, first: {shown}"


def read_veri(root: str | Path, published: Published) -> Reading:
    """VeRi-776; images that no list of names holds, and queries without an answer, are told."""
    splits = veri.load(root)
    queries = [record for record in splits.test if record.role is Role.QUERY]
    gallery = [record for record in splits.test if record.role is Role.GALLERY]
    found = {
        "training identities": len(splits.train_pids),
        "training images": len(splits.train),
        "test identities": len({record.pid for record in splits.test}),
        "queries": len(queries),
        "gallery images": len(gallery),
    }
    reading = Reading([splits], compared(found, published))
    reading.notes += _unlisted(splits)
    places = {(record.pid, record.camid) for record in gallery}
    cameras: dict[int, set[int]] = {}
    for pid, camid in places:
        cameras.setdefault(pid, set()).add(camid)
    alone = [r.path for r in queries if not cameras.get(r.pid, set()) - {r.camid}]
    if alone:
        reading.notes.append(
            f"{len(alone)} queries have no image of their vehicle in another camera and are not "
            f"scored, the first: {alone[0]}"
        )
    return reading


def _unlisted(splits: Splits) -> Iterator[str]:
    known = {record.path for record in splits.train + splits.test}
    for folder, name in veri.NAME_LISTS.items():
        if not (splits.root / name).is_file():
            yield f"no {name}: every image of {folder} counts"
            continue
        paths = [f"{folder}/{path.name}" for path in images_in(splits.root / folder)]
        extra = [path for path in paths if path not in known]
        if extra:
            yield f"{len(extra)} images that {name} does not list are not read, first: {extra[0]}"


def read_vehicleid(root: str | Path, published: Published) -> Reading:
    """VehicleID; its three test lists are counted apart."""
    splits = vehicleid.load(root)
    found = {
        "training identities": len(splits.train_pids),
        "training images": len(splits.train),
        "test identities": len({record.pid for record in splits.test}),
        "test images": len(splits.test),
    }
    reading = Reading([splits], [])
    for size in vehicleid.TEST_LISTS:
        listed = [record for record in splits.test if record.test_list <= size]
        counts: dict[int, int] = {}
        for record in listed:
            counts[record.pid] = counts.get(record.pid, 0) + 1
        found[f"test list {size} identities"] = len(counts)
        found[f"test list {size} images"] = len(listed)
        if not any(record.test_list == size for record in splits.test):
            reading.problems.append(
                f"test list {size} holds no image that a shorter list has not, so that "
                f"vehicleid_{size} is refused"
            )
        single = [pid for pid, number in counts.items() if number == 1]
        if single:
            reading.notes.append(
                f"test list {size}: {len(single)} vehicles have one image only, so that nobody "
                f"searches for them, the first: {single[0]}"
            )
    reading.counts += compared(found, published)
    return reading


@dataclass(frozen=True, slots=True)
class Source:
    """How one data set is checked.

    Args:
        read: (root, published counts, or none of a reduced set) → what the files tell.
        published: counts.
        where: to ask for the data.
        folders: patterns of the folders in which the images of an identity lie.
        cameras: that took test images, by modality.
        modalities: that its images have.
    """

    read: Callable[[str | Path, Published], Reading]
    published: Published
    where: str
    folders: tuple[str, ...] = ()
    cameras: Cameras = field(default_factory=dict)
    modalities: Sequence[Modality] = tuple(Modality)


CHECKS: dict[str, Source] = {
    "sysu": Source(_read_sysu, sysu.EXPECTED, sysu.WHERE, ("cam[1-6]/*",), sysu.CAMERAS_OF),
    "regdb": Source(_read_regdb, regdb.EXPECTED, regdb.WHERE, ("Visible/*", "Thermal/*")),
    "llcm": Source(
        _read_llcm,
        llcm.EXPECTED,
        llcm.WHERE,
        ("vis/*", "nir/*", "test_vis/cam*/*", "test_nir/cam*/*"),
        llcm.TEST_CAMERAS,
    ),
    "csv": Source(partial(read_single, csv_set.load), csv_set.EXPECTED, csv_set.WHERE),
    "veri": Source(
        read_veri,
        veri.EXPECTED,
        veri.WHERE,
        tuple(veri.FOLDERS),
        dict.fromkeys(veri.MODALITIES, veri.CAMERAS),
        veri.MODALITIES,
    ),
    "vehicleid": Source(
        read_vehicleid,
        vehicleid.EXPECTED,
        vehicleid.WHERE,
        ("image",),
        modalities=vehicleid.MODALITIES,
    ),
}
