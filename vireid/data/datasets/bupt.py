"""BUPTCampus: tracks of six cameras, each filmed in both spectra (Du et al., TIFS 2023).

Layout and counts as in data/manager.py of workingcoder/M3-ReID.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vireid.data.datasets.files import (
    check_apart,
    has_list,
    hold_out,
    read_lines,
    require_root,
)
from vireid.data.datasets.info import DatasetInfo, ListCheck
from vireid.data.datasets.track_files import check_frames, count_tracks
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Role, Splits
from vireid.utils.io import NUMBER, read_text

CAMERAS = {name: n for n, name in enumerate(("LS3", "G25", "CQ1", "W4", "TSG1", "TSG2"), 1)}
# A line RGB/IR names two tracks, in the order of the published code.
MODALITIES = {
    "RGB/IR": (("IR", Modality.INFRARED), ("RGB", Modality.VISIBLE)),
    "RGB": (("RGB", Modality.VISIBLE),),
    "IR": (("IR", Modality.INFRARED),),
}
FRAME = re.compile(r"\w[\w.-]*\.\w+", flags=re.ASCII)
PATHS = "data_paths.json"
LISTS = {"train": "train.txt", "query": "query.txt", "gallery": "gallery.txt"}
AUXILIARY = "train_auxiliary.txt"


@dataclass(slots=True)
class _Tracks:
    """Tracks by what ``data_paths.json`` calls them, in the order of the lists.

    Args:
        root: of the data set.
        paths: content of ``data_paths.json``.
        known: (identity, modality, camera, track) → record.
        where: the same → the line that names it first.
    """

    root: Path
    paths: Mapping[str, Any]
    known: dict[tuple[str, str, str, str], ImageRecord] = field(default_factory=dict)
    where: dict[tuple[str, str, str, str], str] = field(default_factory=dict)

    def read(self, name: str, role: Role) -> list[ImageRecord]:
        """The tracks of a list; one that an earlier list has keeps its number.

        Raises:
            DataError: a line is malformed, names an absent track, or a track once more.
        """
        found: dict[tuple[str, str, str, str], ImageRecord] = {}
        for number, line in enumerate(read_lines(self.root / name), 1):
            if not line.strip():
                continue
            where = f"{self.root / name}, line {number}"
            pid, kind, camera, track = _words(line, where)
            for folder, modality in MODALITIES[kind]:
                key = pid, folder, camera, track
                if key in found:
                    raise DataError(
                        f"{where}: track {' '.join(key)} is listed already: a track counts once"
                    )
                self.where.setdefault(key, f"{name}, line {number}")
                found[key] = self._record(key, modality, role, where)
        if not found:
            raise DataError(f"{self.root / name} lists no track")
        return list(found.values())

    def _record(
        self, key: tuple[str, str, str, str], modality: Modality, role: Role, where: str
    ) -> ImageRecord:
        if key in self.known:
            return replace(self.known[key], role=role)
        frames = _frames(self.root, self.paths, key, where)
        number = len(self.known) + 1
        self.known[key] = ImageRecord(
            frames[0],
            int(key[0]),
            CAMERAS[key[2]],
            modality,
            role,
            frames=frames,
            track=number,
        )
        return self.known[key]

    def unlisted(self) -> Iterator[str]:
        """A note if no list names some tracks of ``data_paths.json``."""
        found = [
            (pid, kind, camera, track)
            for pid, kinds in self.paths.items()
            for kind, cameras in _inside(kinds)
            for camera, own in _inside(cameras)
            for track, _ in _inside(own)
        ]
        others = [key for key in found if key not in self.known]
        if others:
            yield (
                f"tracks of {PATHS} that no list names, and that are not read: {len(others):,} of "
                f"{len(found):,}, the first: {' '.join(others[0])}"
            )

    def check(self) -> tuple[str, ...]:
        """Notes; ``DataError`` if a frame is absent."""
        where = [self.where[key] for key in self.known]
        return tuple(check_frames(self.root, list(self.known.values()), where))


def load(
    root: str | Path,
    *,
    split: str = "train+val",
    split_trial: int = 1,
    auxiliary: bool = False,
) -> Splits:
    """Reads the lists of tracks; the frames must exist but are not opened.

    A line ``RGB/IR`` is two tracks, one of each modality. Tracks are numbered from 1 in the order
    of the lists. Images under ``FakeIR`` are not read. A track that is a query and in the gallery
    is one record.

    Args:
        split: ``train`` keeps every fifth identity of ``train.txt`` for validation.
        auxiliary: train on the identities of ``train_auxiliary.txt``, too, each of which one
            camera saw.
    Raises:
        DataError: names file, line and value of what is malformed.
    """
    lists = _read(root)
    if auxiliary and not lists.auxiliary:
        raise DataError(
            f"DATA.AUXILIARY true trains on the tracks of {AUXILIARY}, which {lists.root} lacks: "
            "copy it there or use DATA.AUXILIARY false"
        )
    train, val = hold_out(lists.train, split)
    train = (*train, *lists.auxiliary) if auxiliary else train
    return _splits(lists, train, val)


@dataclass(frozen=True, slots=True)
class _Lists:
    """The tracks of the four lists; there may be no auxiliary ones."""

    root: Path
    train: Sequence[ImageRecord]
    test: Sequence[ImageRecord]
    auxiliary: Sequence[ImageRecord]
    notes: Sequence[str]


def _read(root: str | Path) -> _Lists:
    root = require_root(root, INFO, ["DATA", PATHS, *LISTS.values()])
    tracks = _Tracks(root, _read_paths(root / PATHS))
    train = tracks.read(LISTS["train"], Role.BOTH)
    test = _test_tracks(tracks)
    auxiliary = tracks.read(AUXILIARY, Role.BOTH) if has_list(root / AUXILIARY) else []
    unlisted = tuple(tracks.unlisted())
    tracks.paths = {}  # hundreds of megabytes
    groups = {"training": train, "auxiliary": auxiliary, "test": test}
    check_apart({name: {track.pid for track in of} for name, of in groups.items()}, root)
    return _Lists(root, train, test, auxiliary, (*unlisted, *tracks.check()))


def _splits(lists: _Lists, train: Sequence[ImageRecord], val: Sequence[ImageRecord] = ()) -> Splits:
    cameras = {number: name for name, number in CAMERAS.items()}
    return Splits(
        lists.root,
        tuple(train),
        tuple(val),
        tuple(lists.test),
        cameras=cameras,
        notes=tuple(lists.notes),
    )


def _test_tracks(tracks: _Tracks) -> list[ImageRecord]:
    """Queries, then the gallery; a track of both lists is in the gallery's place."""
    queries = tracks.read(LISTS["query"], Role.QUERY)
    gallery = tracks.read(LISTS["gallery"], Role.GALLERY)
    both = {track.track for track in queries} & {track.track for track in gallery}
    return [
        *(track for track in queries if track.track not in both),
        *(replace(t, role=Role.BOTH) if t.track in both else t for t in gallery),
    ]


def _words(line: str, where: str) -> list[str]:
    """Identity, modality, camera and track of a line."""
    words = line.split()
    if len(words) != 4 or not NUMBER.fullmatch(words[0]):
        raise DataError(
            f"{where}: expected '<identity> <RGB|IR|RGB/IR> <camera> <track>', got {line!r:.100}"
        )
    for word, known in ((words[1], MODALITIES), (words[2], CAMERAS)):
        if word not in known:
            what = "modality" if known is MODALITIES else "camera"
            raise DataError(
                f"{where}: unknown {what} {word!r:.60}; choose one of {', '.join(known)}"
            )
    return words


def _read_paths(path: Path) -> Mapping[str, Any]:
    """``data_paths.json``, whose inner parts are checked as they are needed."""
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors
        reason = f"{error!s:.200}".splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"cannot read {path}: {reason}: copy it again") from error
    if not isinstance(content, dict):
        raise _other_content(path, "it", content)
    return content


def _other_content(path: Path, what: str, found: object) -> DataError:
    kind = "an empty list" if found == [] else f"of the kind {type(found).__name__}"
    return DataError(
        f"{path} must hold {{identity: {{RGB|IR: {{camera: {{track: [paths below DATA]}}}}}}}}, "
        f"but {what} is {kind}: copy it again"
    )


def _inside(found: object) -> Iterable[tuple[str, object]]:
    """The entries of a part of ``data_paths.json``; none where it is malformed."""
    return found.items() if isinstance(found, dict) else ()


def _frames(
    root: Path, paths: Mapping[str, Any], key: tuple[str, str, str, str], where: str
) -> tuple[str, ...]:
    """Paths of the frames of a track, which ``DATA`` holds in the folder of its names.

    Raises:
        DataError: the track is absent, or its entry is no list of such paths.
    """
    found: Any = paths
    for depth, name in enumerate(key):
        if not isinstance(found, dict):
            raise _other_content(root / PATHS, f"the entry of {' '.join(key[:depth])}", found)
        if name not in found:
            raise DataError(
                f"{where}: track {' '.join(key)} is not in {PATHS}, which has no {name!r:.60}"
                f"{' in ' + ' '.join(key[:depth]) if depth else ''}"
            )
        found = found[name]
    if not isinstance(found, list) or not found:
        raise _other_content(root / PATHS, f"the entry of {' '.join(key)}", found)
    folder = "/".join(key[:3]) + "/"
    for one in found:
        inside = isinstance(one, str) and one.startswith(folder)
        if not inside or not FRAME.fullmatch(one, len(folder)):
            raise DataError(
                f"{root / PATHS}, track {' '.join(key)}: a frame is {folder}<image>.jpg, got "
                f"{one!r:.100}"
            )
    return tuple(f"DATA/{one}" for one in found)


def check_lists(root: str | Path, reduced: bool) -> ListCheck:
    """Counts tracks and frames; those of auxiliary identities are opened with the others."""
    lists = _read(root)
    queries = [track for track in lists.test if track.role is not Role.GALLERY]
    gallery = [track for track in lists.test if track.role is not Role.QUERY]
    found = {"training identities": len({track.pid for track in lists.train})}
    found |= count_tracks("training", lists.train)
    found["auxiliary identities"] = len({track.pid for track in lists.auxiliary})
    found |= count_tracks("auxiliary", lists.auxiliary)
    found["test identities"] = len({track.pid for track in lists.test})
    found |= count_tracks("query", queries) | count_tracks("gallery", gallery)
    notes = list(lists.notes)
    if not lists.auxiliary:
        notes.append(f"no {AUXILIARY}: DATA.AUXILIARY true needs it")
    splits = _splits(lists, [*lists.train, *lists.auxiliary])
    return ListCheck([splits], found, notes=notes)


def _published() -> dict[str, int]:
    """Counts of the published code, whose training pairs are as long in both modalities."""
    counts = {"training identities": 1_074, "auxiliary identities": 930, "test identities": 1_076}
    for part, tracks, frames in (
        ("training", 3_574, 398_069),
        ("auxiliary", 930, 104_575),
        ("gallery", 2_422, 298_771),
    ):
        counts |= {f"{part} tracks": 2 * tracks, f"{part} frames": 2 * frames}
        for modality in ("visible", "infrared"):
            counts |= {f"{part} {modality} tracks": tracks, f"{part} {modality} frames": frames}
    return counts | {
        "query tracks": 1_076,
        "query frames": 101_938,
        "query visible tracks": 540,
        "query visible frames": 48_521,
        "query infrared tracks": 536,
        "query infrared frames": 53_417,
    }


INFO = DatasetInfo(
    name="bupt",
    load=load,
    tree="""\
  ROOT/DATA/<identity>/{RGB,IR}/<camera>/<identity>_<RGB|IR>_<camera>_<track>_<frame>.jpg
  ROOT/data_paths.json       {identity: {RGB|IR: {camera: {track: [paths below DATA]}}}}
  ROOT/train.txt  query.txt  gallery.txt   lines: <identity> <RGB|IR|RGB/IR> <camera> <track>
  ROOT/train_auxiliary.txt                 identities that one camera saw; may be left out""",
    where_to_get=(
        "BUPTCampus is for academic use only, under the licence on its page: "
        "https://github.com/dyhBUPT/BUPTCampus"
    ),
    published=_published(),
    image_folders=("DATA/*/RGB/*", "DATA/*/IR/*"),
    test_cameras=dict.fromkeys(Modality, tuple(CAMERAS.values())),
    check_lists=check_lists,
    tracks=True,
    options={"auxiliary": "AUXILIARY"},
)
