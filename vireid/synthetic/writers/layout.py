"""What describes a layout on disk, and what a set in it consists of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator

from vireid.synthetic.cameras import Camera
from vireid.synthetic.writers.pictures import Shot, Studio

# Identity, camera and picture numbers start at 1; the zeros keep these random streams apart.
STREAMS = {"cameras": (0,), "presence": (0, 0, 1), "split": (0, 0, 2), "names": (0, 0, 3)}


@dataclass(frozen=True, slots=True)
class SetNumbers:
    """What is asked of a set; ``images`` per identity and camera, or per track."""

    train_ids: int
    test_ids: int
    images: int
    seed: int

    @property
    def pids(self) -> range:
        """All identities, from 1."""
        return range(1, self.train_ids + self.test_ids + 1)

    def random(self, stream: str, *numbers: int) -> Generator:
        """For one of STREAMS, and in it for one identity, camera or split."""
        return np.random.default_rng([self.seed, *STREAMS[stream], *numbers])


@dataclass(frozen=True, slots=True)
class SetContent:
    """All files of a set; paths are relative to its folder.

    Args:
        shots: the pictures to render.
        files: text or bytes by path.
        copies: path of a copy → path of the picture it repeats.
    """

    shots: Sequence[Shot]
    files: Mapping[str, str | bytes]
    copies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """One data set's layout on disk.

    Args:
        draw_cameras: generator → cameras by number.
        content: what a set of given numbers consists of.
        images: per identity and camera by default; per track in a set of tracks.
        counted_content: a set with the identities and image counts of a file; raises DataError for
            a file that is missing, or not what it should be.
        vehicles: instead of pedestrians.
        least_test_ids: fewest test identities that fill the lists.
        least_images: fewest ``images`` that readers keep.
    """

    draw_cameras: Callable[[Generator], dict[int, Camera]]
    content: Callable[[SetNumbers], SetContent]
    images: int
    counted_content: Callable[[Path], SetContent] | None = None
    vehicles: bool = False
    least_test_ids: int = 1
    least_images: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of pictures by default, in pixels."""
        return (128, 128) if self.vehicles else (288, 144)

    def studio(self, seed: int, size: tuple[int, int]) -> Studio:
        """Takes the pictures of the set made with ``seed``; ``size`` is (height, width)."""
        cameras = self.draw_cameras(np.random.default_rng([seed, *STREAMS["cameras"]]))
        return Studio(cameras, seed, size)
