"""What the readers of video sets share: a track's frames must exist; how tracks are counted."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from vireid.data.datasets.files import is_file
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality
from vireid.utils.paths import exists_as
from vireid.utils.threads import threaded_map


@dataclass(frozen=True, slots=True)
class _FolderCheck:
    """What a folder's listing shows about the tracks in it.

    Args:
        absent: (position of the track, its first absent frame, how many are absent).
        repeated: frames that are in a track already, or in another one.
    """

    absent: Sequence[tuple[int, str, int]] = ()
    repeated: Sequence[str] = ()


def check_frames(root: Path, tracks: Sequence[ImageRecord], where: Sequence[str]) -> Iterator[str]:
    """Looks for the frames of all tracks, and yields a note if tracks share some of them.

    Every folder is listed once, which is faster than asking for each frame, above all on a network
    disk. No image is opened.

    Args:
        tracks: the frames of one track lie in one folder.
        where: the line of a list that names each track, for messages.
    Raises:
        DataError: frames are absent; counts them and names the first track and frame.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for position, track in enumerate(tracks):
        groups[str(PurePosixPath(track.path).parent)].append(position)
    check = partial(_check_folder, root, tracks)
    found = list(threaded_map(check, list(groups.items()), doing="looking for frames", unit="dir"))
    absent = sorted(one for folder in found for one in folder.absent)
    if absent:
        (position, frame, _), number = absent[0], sum(one[2] for one in absent)
        frames = "1 frame" if number == 1 else f"{number:,} frames"
        raise DataError(
            f"{frames} of {len(absent):,} of {len(tracks):,} tracks not found under {root}, the "
            f"first: {frame} of the track of {where[position]}{exists_as(root / frame)}: is the "
            "data set complete?"
        )
    repeated = sorted(frame for folder in found for frame in folder.repeated)
    if repeated:
        yield (
            f"frames that are in two tracks, or in one of them twice: {len(repeated):,}, such as "
            f"{repeated[0]}"
        )


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def _check_folder(
    root: Path, tracks: Sequence[ImageRecord], group: tuple[str, Sequence[int]]
) -> _FolderCheck:
    folder, positions = group
    try:
        with os.scandir(root / folder) as entries:
            there = {entry.name for entry in entries if _is_file(entry)}
    except (OSError, ValueError):
        there = set()
    absent, start = [], len(folder) + 1
    for position in positions:
        frames = tracks[position].frames
        gone = [
            frame
            for frame in frames
            if frame[start:] not in there and not (there and is_file(root / frame))
        ]
        if gone:
            absent.append((position, gone[0], len(gone)))
    counts = Counter(frame for position in positions for frame in tracks[position].frames)
    return _FolderCheck(absent, [frame for frame, count in counts.items() if count > 1])


def count_tracks(part: str, tracks: Iterable[ImageRecord]) -> dict[str, int]:
    """Tracks and frames of a part, of each modality and together."""
    counts: dict[str, int] = {f"{part} tracks": 0, f"{part} frames": 0}
    for modality in Modality:
        name = modality.name.lower()
        counts |= {f"{part} {name} tracks": 0, f"{part} {name} frames": 0}
    for track in tracks:
        for name in (part, f"{part} {track.modality.name.lower()}"):
            counts[f"{name} tracks"] += 1
            counts[f"{name} frames"] += len(track.frames)
    return counts
