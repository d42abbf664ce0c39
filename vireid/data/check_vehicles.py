"""What the lists and folders of the vehicle data sets tell before any image is opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vireid.data import vehicleid, veri
from vireid.data.check_counts import Published, Reading, compared
from vireid.data.layout import images_in
from vireid.structures import Role, Splits


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
