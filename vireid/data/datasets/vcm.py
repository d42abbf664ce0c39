"""HITSZ-VCM: tracks of twelve cameras, in visible and near-infrared light (Lin et al., CVPR 2022).

Layout and counts as in data/manager.py of workingcoder/M3-ReID, which drops short tracks, too.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from vireid.data.datasets.files import make_splits, read_lines, require_root
from vireid.data.datasets.info import DatasetInfo, ListCheck
from vireid.data.datasets.track_files import check_frames, count_tracks
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Role, Splits
from vireid.utils.io import NUMBER

SHORTEST = 12  # frames; shorter tracks are left out, as in all published code
CAMERAS = range(1, 13)
MODALITIES = {1: Modality.INFRARED, 2: Modality.VISIBLE}
FOLDERS = {Modality.INFRARED: "ir", Modality.VISIBLE: "rgb"}
NAME = re.compile(r"(\d{1,9})M(\d{1,2})D(\d{1,9})T\d{1,9}F(\w[\w.-]*\.\w+)", flags=re.ASCII)
NAMES = {"train": "info/train_name.txt", "test": "info/test_name.txt"}
TRACKS = {"train": "info/track_train_info.txt", "test": "info/track_test_info.txt"}
QUERIES = "info/query_IDX.txt"


@dataclass(frozen=True, slots=True)
class _Lists:
    """All tracks that the lists name, short ones too, and the numbers of names in no track."""

    root: Path
    train: Sequence[ImageRecord]
    test: Sequence[ImageRecord]
    unused: dict[str, int]


def load(root: str | Path, *, split: str = "train+val", split_trial: int = 1) -> Splits:
    """Reads the lists of names and of tracks; the frames must exist but are not opened.

    A row of ``track_*_info.txt`` is a track: rows ``start`` to ``end`` of the list of names. Its
    number is that row's. Tracks of fewer than ``SHORTEST`` frames are left out. The rows that
    ``query_IDX.txt`` lists are the queries, the other test tracks the gallery.

    Raises:
        DataError: names list, line and value of what is malformed.
    """
    return _splits(_read(root), split)


def _read(root: str | Path) -> _Lists:
    parts = ["Train", "Test", *NAMES.values(), *TRACKS.values(), QUERIES]
    root = require_root(root, INFO, parts)
    train, unused_train = _read_tracks(root, "train")
    test, unused_test = _read_tracks(root, "test")
    queries = _query_rows(root, len(test))
    roles = {True: Role.QUERY, False: Role.GALLERY}
    test = [replace(track, role=roles[track.track in queries]) for track in test]
    return _Lists(root, train, test, {"train": unused_train, "test": unused_test})


def _splits(lists: _Lists, split: str) -> Splits:
    parts = {"train": lists.train, "test": lists.test}
    kept = {name: [t for t in found if len(t.frames) >= SHORTEST] for name, found in parts.items()}
    notes = [
        note for name in parts for note in _short_notes(lists.root, name, parts[name], kept[name])
    ]
    tracks = [track for found in kept.values() for track in found]
    where = [f"{TRACKS[name]}, line {track.track}" for name in kept for track in kept[name]]
    notes += check_frames(lists.root, tracks, where)
    splits = make_splits(lists.root, kept["train"], kept["test"], split)
    return replace(splits, notes=tuple(notes))


def _short_notes(
    root: Path, part: str, listed: Sequence[ImageRecord], kept: Sequence[ImageRecord]
) -> Iterator[str]:
    """Raises ``DataError`` if every track is short."""
    if not kept:
        raise DataError(
            f"every track of {root / TRACKS[part]} has fewer than {SHORTEST} frames, "
            "and such tracks are left out: is the data set complete?"
        )
    if short := len(listed) - len(kept):
        lost = sorted({track.pid for track in listed} - {track.pid for track in kept})
        gone = f", and with them identities {lost[:5]}" if lost else ""
        yield (
            f"left out of {TRACKS[part]} as shorter than {SHORTEST} frames: {short:,} of "
            f"{len(listed):,} tracks{gone}"
        )


def _read_tracks(root: Path, part: str) -> tuple[list[ImageRecord], int]:
    """The tracks of a part by their rows, and how many names are in none of them."""
    names, lines = _rows(root / NAMES[part]), _rows(root / TRACKS[part])
    tracks, spans = [], []
    for number, line in enumerate(lines, 1):
        where = f"{root / TRACKS[part]}, line {number}"
        modality, start, end, pid, camid = _numbers(line, where)
        if modality not in MODALITIES:
            raise DataError(f"{where}: the modality is 1 (ir) or 2 (rgb), got {modality}")
        if not 1 <= start <= end <= len(names):
            raise DataError(
                f"{where}: a track is rows <start> to <end> of {NAMES[part]}, which has rows 1 to "
                f"{len(names)}, got {start} to {end}"
            )
        if camid not in CAMERAS:
            raise DataError(f"{where}: the camera is a number from 1 to 12, got {camid}")
        one = ImageRecord("", pid, camid, MODALITIES[modality], track=number)
        frames = _frames(root, part, one, enumerate(names[start - 1 : end], start))
        tracks.append(replace(one, path=frames[0], frames=frames))
        spans.append((start, end, number))
    _check_overlap(root / TRACKS[part], spans, NAMES[part])
    return tracks, len(names) - sum(end - start + 1 for start, end, _ in spans)


def _rows(path: Path) -> list[str]:
    """Lines, whose numbers other lists refer to; blank ones at the end do not count."""
    rows = read_lines(path)
    while rows and not rows[-1].strip():
        rows.pop()
    if not rows:
        raise DataError(f"{path} is empty")
    return rows


def _numbers(line: str, where: str) -> list[int]:
    words = line.split()
    if len(words) != 5 or not all(NUMBER.fullmatch(word) for word in words):
        raise DataError(
            f"{where}: expected five numbers, '<modality> <start> <end> <identity> <camera>', got "
            f"{line!r:.100}"
        )
    return [int(word) for word in words]


def _frames(
    root: Path, part: str, track: ImageRecord, rows: Iterable[tuple[int, str]]
) -> tuple[str, ...]:
    """Paths of the frames that rows of the list of names are.

    Raises:
        DataError: a name is no name, or of another identity, camera or modality than the track.
    """
    frames, known, folder = [], ("", "", ""), ""
    for row, text in rows:
        name = NAME.fullmatch(text.strip())
        if name is None:
            raise DataError(
                f"{root / NAMES[part]}, line {row}: expected a name as 0001M2D3T1F1.jpg (identity, "
                f"M modality, D camera, T track, F frame), got {text!r:.100}"
            )
        pid, kind, camera, image = name.groups()
        if (pid, kind, camera) != known:
            modality = Modality.INFRARED if int(kind) == 1 else Modality.VISIBLE
            if (int(pid), modality, int(camera)) != (track.pid, track.modality, track.camid):
                raise DataError(
                    f"{root / NAMES[part]}, line {row}: {name[0]} is in the track of "
                    f"{TRACKS[part]}, line {track.track}, which is of identity {track.pid}, camera "
                    f"{track.camid}, {track.modality.name.lower()}: one of the two lists is wrong"
                )
            known = pid, kind, camera
            folder = f"{part.capitalize()}/{pid}/{FOLDERS[modality]}/D{camera}/"
        frames.append(folder + image)
    return tuple(frames)


def _check_overlap(path: Path, spans: list[tuple[int, int, int]], names: str) -> None:
    spans.sort()
    for (_, end, first), (later, _, second) in pairwise(spans):
        if later <= end:
            raise DataError(
                f"{path}, lines {first} and {second}: row {later} of {names} is in both tracks: a "
                "frame is in one track"
            )


def _query_rows(root: Path, tracks: int) -> set[int]:
    """Rows of the list of test tracks that are queries."""
    path = root / QUERIES
    words = [word for line in read_lines(path) for word in line.split()]
    wanted = f"{path} must list rows of {TRACKS['test']}, numbers from 1 to {tracks}"
    if not words:
        raise DataError(f"{wanted}; it is empty")
    for word in words:
        if not NUMBER.fullmatch(word) or not 1 <= int(word) <= tracks:
            raise DataError(f"{wanted}, got {word!r:.60}")
    rows = [int(word) for word in words]
    if len(set(rows)) < len(rows):
        twice = next(row for row in rows if rows.count(row) > 1)
        raise DataError(f"{path} lists row {twice} more than once: a query counts once")
    return set(rows)


def check_lists(root: str | Path, reduced: bool) -> ListCheck:
    """Counts tracks and frames before and after short tracks are left out."""
    lists = _read(root)
    splits = _splits(lists, "train+val")
    queries = [track for track in splits.test if track.role is Role.QUERY]
    gallery = [track for track in splits.test if track.role is Role.GALLERY]
    listed = [track.role for track in lists.test]
    found = {
        "training identities": len({track.pid for track in lists.train}),
        "training tracks listed": len(lists.train),
        **count_tracks("training", splits.train),
        "test identities": len({track.pid for track in lists.test}),
        "query tracks listed": listed.count(Role.QUERY),
        "query tracks": len(queries),
        "query frames": sum(len(track.frames) for track in queries),
        "gallery tracks listed": listed.count(Role.GALLERY),
        "gallery tracks": len(gallery),
        "gallery frames": sum(len(track.frames) for track in gallery),
    }
    notes = [*splits.notes, *_role_notes(queries, gallery)]
    for part, number in lists.unused.items():
        if number:
            notes.append(f"rows of {NAMES[part]} that are in no track: {number:,}")
    return ListCheck([splits], found, notes=notes)


def _role_notes(queries: Sequence[ImageRecord], gallery: Sequence[ImageRecord]) -> Iterator[str]:
    for name, tracks, usual in (
        ("queries", queries, Modality.INFRARED),
        ("gallery tracks", gallery, Modality.VISIBLE),
    ):
        others = [track for track in tracks if track.modality is not usual]
        if others:
            yield (
                f"{name} that are not {usual.name.lower()} and count in no protocol: "
                f"{len(others):,}, the first is row {others[0].track} of {TRACKS['test']}"
            )


INFO = DatasetInfo(
    name="vcm",
    load=load,
    tree="""\
  ROOT/Train/<identity>/{ir,rgb}/D<camera>/<frame>.jpg   ROOT/Test/…
  ROOT/info/train_name.txt  test_name.txt   one name a line: 0001M2D3T1F1.jpg (identity, M1 ir or
                                            M2 rgb, D camera, T track, F frame)
  ROOT/info/track_train_info.txt  track_test_info.txt   <modality> <start> <end> <identity> <camera>
  ROOT/info/query_IDX.txt                   rows of track_test_info.txt, separated by blanks""",
    where_to_get=(
        "HITSZ-VCM is for academic use only, under the licence on its page: "
        "https://github.com/VCM-project233/HITSZ-VCM-data"
    ),
    published={
        "training identities": 500,
        "training tracks listed": 11_061,
        "training tracks": 9_751,
        "training frames": 224_757,
        "training visible tracks": 5_460,
        "training visible frames": 126_543,
        "training infrared tracks": 4_291,
        "training infrared frames": 98_214,
        "test identities": 427,  # 927 in all
        "query tracks listed": 5_159,
        "query tracks": 4_584,
        "query frames": 105_979,
        "gallery tracks listed": 5_643,
        "gallery tracks": 5_099,
        "gallery frames": 118_137,
    },
    image_folders=("Train/*/*/D*", "Test/*/*/D*"),
    check_lists=check_lists,
    tracks=True,
)
