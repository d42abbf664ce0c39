"""The frames of tracks as records of single images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vireid.structures import ImageRecord


def frame_records(records: Sequence[ImageRecord], count: int = 0) -> Sequence[ImageRecord]:
    """A record for each frame that is read, in order; images stay as they are.

    A frame's record keeps its track's number, by which features are averaged.

    Args:
        count: most frames of a track, evenly spaced; 0: all.
    """
    if not any(record.frames for record in records):
        return records
    return [image for record in records for image in _images(record, count)]


def _images(record: ImageRecord, count: int) -> Iterator[ImageRecord]:
    for path in evenly_spaced(record.paths, count):
        yield replace(record, path=path, frames=())


def evenly_spaced(frames: Sequence[str], count: int) -> Sequence[str]:
    """The middle frame of each of ``count`` equal parts; all frames for 0, or if there are fewer.

    >>> evenly_spaced("abcdefghijkl", 3)
    ['c', 'g', 'k']
    """
    if count == 0 or len(frames) <= count:
        return frames
    return [frames[(2 * part + 1) * len(frames) // (2 * count)] for part in range(count)]
