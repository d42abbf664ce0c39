"""The layout of HITSZ-VCM: tracks of people, in cameras that take visible and infrared.

``{Train,Test}/{pid:04d}/{ir,rgb}/D{camera}/{frame}.jpg``; in ``info/``, the frames by name
(``0001M2D3T1F1.jpg``: identity, modality, camera, track, frame), the tracks as rows of names, and
the rows of tracks that are queries: the infrared ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vireid.synthetic.cameras import INFRARED, paired_cameras
from vireid.synthetic.writers.layout import Layout, SetContent, SetNumbers
from vireid.synthetic.writers.pictures import Shot

CAMERAS = 6
LEAST_FRAMES = 12  # readers drop shorter tracks
FOLDERS = {1: "ir", 2: "rgb"}  # by the number of the modality
STEP = 5  # every fifth frame of the recording is kept
SHORT_SHARE = 0.35  # of the tracks beyond the first one of a camera
TRACK_ODDS = (0.6, 0.25, 0.15)  # of 1, 2, 3 tracks in a camera


@dataclass(frozen=True, slots=True)
class VcmTrack:
    """One track.

    Args:
        modality: 1 infrared, 2 visible.
        number: from 1, in its identity, modality and camera.
        frames: numbers of its frames, which name the files; no two tracks of one identity,
            modality and camera share any.
    """

    pid: int
    modality: int
    camera: int
    number: int
    frames: Sequence[int]

    @property
    def names(self) -> Iterator[str]:
        """Of the frames, as the lists have them."""
        stem = f"{self.pid:04d}M{self.modality}D{self.camera}T{self.number}F"
        return (f"{stem}{frame}.jpg" for frame in self.frames)

    def paths(self, part: str) -> Iterator[str]:
        """Files of the frames; ``part`` is Train or Test."""
        folder = f"{part}/{self.pid:04d}/{FOLDERS[self.modality]}/D{self.camera}"
        return (f"{folder}/{frame}.jpg" for frame in self.frames)


def vcm_lists(train: Sequence[VcmTrack], test: Sequence[VcmTrack]) -> dict[str, str]:
    """The files of ``info/`` by path; every infrared test track is a query."""
    files = {}
    for part, tracks in (("train", train), ("test", test)):
        rows, end = [], 0
        for track in tracks:
            start, end = end + 1, end + len(track.frames)
            rows.append(f"{track.modality} {start} {end} {track.pid:04d} {track.camera}\n")
        files[f"info/track_{part}_info.txt"] = "".join(rows)
        names = (name for track in tracks for name in track.names)
        files[f"info/{part}_name.txt"] = "".join(f"{name}\n" for name in names)
    queries = (row for row, track in enumerate(test, start=1) if track.modality == 1)
    files["info/query_IDX.txt"] = "".join(f"{row}\n" for row in queries)
    return files


def _tracks(pid: int, numbers: SetNumbers) -> Iterator[VcmTrack]:
    """An identity's tracks: one of full length in each camera that sees it, and further ones.

    At least two cameras see it in each modality, so that a query has a match in another camera.
    """
    rng = numbers.random("presence", pid)
    for modality in (2, 1):
        seen = int(rng.integers(2, 5))
        for camera in sorted(rng.permutation(CAMERAS)[:seen].tolist()):
            first = 1
            for number in range(1, int(rng.choice(3, p=TRACK_ODDS)) + 2):
                frames = numbers.images + int(rng.integers(numbers.images // 2 + 1))
                if number > 1 and rng.random() < SHORT_SHARE:
                    frames = int(rng.integers(4, LEAST_FRAMES))
                last = first + STEP * frames
                yield VcmTrack(pid, modality, camera + 1, number, range(first, last, STEP))
                first = last + STEP * int(rng.integers(5, 50))


def _shots(tracks: Iterable[VcmTrack], part: str) -> Iterator[Shot]:
    for track in tracks:
        camera = track.camera + (INFRARED if track.modality == 1 else 0)
        for index, path in enumerate(track.paths(part), start=1):
            yield Shot(track.pid, camera, index, path, track=track.number)


def _content(numbers: SetNumbers) -> SetContent:
    """The first identities train."""
    tracks = [track for pid in numbers.pids for track in _tracks(pid, numbers)]
    train = [track for track in tracks if track.pid <= numbers.train_ids]
    test = tracks[len(train) :]
    return SetContent([*_shots(train, "Train"), *_shots(test, "Test")], vcm_lists(train, test))


VCM = Layout(
    draw_cameras=lambda rng: paired_cameras(rng, CAMERAS),
    content=_content,
    images=LEAST_FRAMES,
    least_images=LEAST_FRAMES,
)
