"""Takes the pictures of a set, in as many processes as wanted.

Every picture is a pure function of (seed, identity, camera, track, index), so any part of a set
can be made again alone, in any order, and by any process.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from vireid.synthetic.cameras import Camera
from vireid.synthetic.optics import draw_exposure
from vireid.synthetic.pedestrians.person import Person, draw_person
from vireid.synthetic.pedestrians.render import draw_view, render_person
from vireid.synthetic.pedestrians.track import draw_track
from vireid.synthetic.vehicles.render import draw_vehicle_view, render_vehicle
from vireid.synthetic.vehicles.vehicle import draw_vehicle
from vireid.utils.threads import processors

JPEG_QUALITY = 92
BATCH = 8  # pictures handed to a process at once; a signal waits until five such are finished
PICTURES_PER_PROCESS = 400  # they take about as long as a process takes to start


@lru_cache(maxsize=64)
def person_of(seed: int, pid: int) -> Person:
    """The identity ``pid`` >= 1 of the set of pedestrians made with ``seed``."""
    return draw_person(np.random.default_rng([seed, pid]))


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a set.

    Args:
        camera: key in ``Studio.cameras``.
        index: from 1, among the pictures of this identity by this camera, or of its track.
        path: relative to the set's folder; its ending names the format.
        from_behind: seen from the back, by a camera that sees front and back only.
        viewpoint: of a vehicle, in eighths of a turn; 0 is its front.
        track: from 1, among the tracks of this identity by this camera; 0: a picture of its own.
        aligned: camera that takes the same track at the same moments, and decides how the person
            moves; 0: the camera itself.
    """

    pid: int
    camera: int
    index: int
    path: str
    from_behind: bool = False
    viewpoint: int = 0
    track: int = 0
    aligned: int = 0


@dataclass(frozen=True, slots=True)
class Studio:
    """What all pictures of a set have in common; ``size`` is (height, width) in pixels."""

    cameras: dict[int, Camera]
    seed: int
    size: tuple[int, int]

    def picture(self, shot: Shot, *, empty: bool = False) -> np.ndarray:
        """(height, width, 3) uint8, before it is saved; ``empty``: without person or vehicle."""
        camera = self.cameras[shot.camera]
        rng = np.random.default_rng((self.seed, shot.pid, shot.camera, shot.index))
        if camera.road_light is not None:
            vehicle = None if empty else draw_vehicle(self.seed, shot.pid)
            vehicle_view = draw_vehicle_view(camera, shot.viewpoint, rng)
            return render_vehicle(vehicle, camera, vehicle_view, self.size, rng)
        person = None if empty else person_of(self.seed, shot.pid)
        if shot.track:
            return self._frame(person, shot)
        view = draw_view(camera, rng, from_behind=shot.from_behind)
        return render_person(person, camera, view, self.size, rng)

    def _frame(self, person: Person | None, shot: Shot) -> np.ndarray:
        """One picture of a track."""
        camera, leader = self.cameras[shot.camera], self.cameras[shot.aligned or shot.camera]
        moves = (self.seed, shot.pid, shot.aligned or shot.camera, shot.track)
        track = draw_track(leader, np.random.default_rng((*moves, 0)))
        view = track.view(shot.index, np.random.default_rng((*moves, shot.index)))
        own = (self.seed, shot.pid, shot.camera, shot.track)
        if shot.aligned:  # another sensor before the same scene
            exposure = draw_exposure(camera, np.random.default_rng((*own, 0)))
            view = replace(view, exposure=exposure)
        rng = np.random.default_rng((*own, shot.index, 1))
        return render_person(person, camera, view, self.size, rng)

    def save(self, folder: Path, shot: Shot) -> None:
        """Renders a shot to a file in a folder that exists."""
        Image.fromarray(self.picture(shot)).save(folder / shot.path, quality=JPEG_QUALITY)


def save_all(
    studio: Studio, folder: Path, shots: Sequence[Shot], *, workers: int, progress: bool
) -> None:
    """Renders every shot to its file in ``folder``, whose subfolders exist.

    Args:
        workers: processes; 0 for as many as there are processors to use and work to share.
        progress: show a bar when standard error is a terminal.
    Raises:
        ChildProcessError: a worker was killed.
    """
    workers = workers or min(processors(), -(-len(shots) // PICTURES_PER_PROCESS))
    workers = min(workers, -(-len(shots) // BATCH))
    bar = partial(tqdm, total=len(shots), desc="rendering", disable=None if progress else True)
    save = partial(studio.save, folder)
    if workers <= 1:
        for shot in bar(shots):
            save(shot)
        return
    # Fresh processes: a fork would inherit locks that other threads of a trainer hold.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        for _ in bar(pool.map(save, shots, chunksize=BATCH)):
            pass
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a rendering process ended early, perhaps for lack of memory: use fewer workers"
        ) from error
    finally:  # the folder is removed only after the last process has stopped writing to it
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C interrupts the parent, which ends us
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """A parent that is killed cannot end its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
