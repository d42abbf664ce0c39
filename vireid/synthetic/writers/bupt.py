"""The layout of BUPTCampus: tracks that a visible and an infrared sensor take at the same moments.

``DATA/{pid}/{RGB,IR}/{camera}/{pid}_{RGB,IR}_{camera}_{track}_{frame}.jpg`` (and a few ``FakeIR``);
``data_paths.json`` with the frames of every track; ``train.txt``, ``train_auxiliary.txt``,
``query.txt`` and ``gallery.txt`` with lines ``<pid> <RGB|IR|RGB/IR> <camera> <track>``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vireid.synthetic.cameras import INFRARED, paired_cameras
from vireid.synthetic.writers.layout import Layout, SetContent, SetNumbers
from vireid.synthetic.writers.pictures import Shot

CAMERAS = ("LS3", "G25", "CQ1", "W4", "TSG1", "TSG2")
MODALITIES = ("RGB", "IR")
BOTH = "RGB/IR"
SECOND_TRACK = 0.2  # how often a camera takes an identity twice
AUXILIARY = 4  # training identities for each auxiliary one, which a single camera sees
FRAMES = 12

Paths = dict[str, dict[str, dict[str, dict[str, list[str]]]]]  # of data_paths.json


@dataclass(frozen=True, slots=True)
class BuptTrack:
    """One track, in both modalities.

    Args:
        camera: one of CAMERAS.
        number: from 1, in its identity and camera.
        frames: numbers of its frames.
    """

    pid: int
    camera: str
    number: int
    frames: Sequence[int]

    def paths(self, modality: str) -> list[str]:
        """Files of the frames, relative to DATA."""
        stem = f"{self.pid}_{modality}_{self.camera}_{self.number}"
        folder = f"{self.pid}/{modality}/{self.camera}"
        return [f"{folder}/{stem}_{frame}.jpg" for frame in self.frames]

    def line(self, modality: str) -> str:
        """Of a list; ``modality`` may be BOTH."""
        return f"{self.pid} {modality} {self.camera} {self.number}\n"


def data_paths(tracks: Iterable[tuple[BuptTrack, str]]) -> str:
    """``data_paths.json``: identity, modality, camera and track → frames.

    Args:
        tracks: each with one of its modalities.
    """
    found: Paths = {}
    for track, modality in tracks:
        cameras = found.setdefault(str(track.pid), {}).setdefault(modality, {})
        cameras.setdefault(track.camera, {})[str(track.number)] = track.paths(modality)
    return json.dumps(found)


def _tracks(pid: int, numbers: SetNumbers, *, auxiliary: bool) -> Iterator[BuptTrack]:
    """One or two tracks in each of two to four cameras; an auxiliary identity has one track."""
    rng = numbers.random("presence", pid)
    cameras = rng.permutation(CAMERAS)[: 1 if auxiliary else int(rng.integers(2, 5))]
    for camera in sorted(cameras.tolist(), key=CAMERAS.index):
        for number in range(1, 2 + int(not auxiliary and rng.random() < SECOND_TRACK)):
            first = int(rng.integers(1, 9000))
            frames = numbers.images + int(rng.integers(numbers.images // 2 + 1))
            yield BuptTrack(pid, camera, number, range(first, first + frames))


def _test_lines(tracks: Sequence[BuptTrack], numbers: SetNumbers) -> tuple[str, str]:
    """(query, gallery) lines of one test identity.

    Its query is one track in one modality, infrared and visible by turns; the other modality of
    that track is in no list, all other tracks are in the gallery in both.
    """
    pid = tracks[0].pid
    place = int(numbers.random("split", pid).integers(len(tracks)))
    query = tracks[place].line(MODALITIES[(pid - numbers.train_ids) % 2])
    rest = [*tracks[:place], *tracks[place + 1 :]]
    return query, "".join(track.line(kind) for track in rest for kind in MODALITIES)


def _shots(track: BuptTrack) -> Iterator[Shot]:
    """The infrared picture of a frame shows the same moment as the visible one."""
    camera = CAMERAS.index(track.camera) + 1
    for modality, number, aligned in (("RGB", camera, 0), ("IR", camera + INFRARED, camera)):
        for index, path in enumerate(track.paths(modality), start=1):
            yield Shot(
                track.pid, number, index, f"DATA/{path}", track=track.number, aligned=aligned
            )


def _fake_infrared(track: BuptTrack) -> Mapping[str, str]:
    """Copies in place of the infrared images that the authors' network made from visible ones."""
    pairs = zip(track.paths("RGB"), track.paths("IR"), strict=True)
    return {f"DATA/{rgb.replace('/RGB/', '/FakeIR/')}": f"DATA/{ir}" for rgb, ir in pairs}


def _content(numbers: SetNumbers) -> SetContent:
    """Training identities come first, then test identities, then auxiliary ones."""
    last = numbers.pids[-1]
    extra = range(last + 1, last + 1 - (-numbers.train_ids // AUXILIARY))
    tracks = {pid: list(_tracks(pid, numbers, auxiliary=False)) for pid in numbers.pids}
    auxiliary = {pid: list(_tracks(pid, numbers, auxiliary=True)) for pid in extra}
    every = [track for many in (*tracks.values(), *auxiliary.values()) for track in many]
    train = [track for pid in numbers.pids[: numbers.train_ids] for track in tracks[pid]]
    test = [_test_lines(tracks[pid], numbers) for pid in numbers.pids[numbers.train_ids :]]
    files = {
        "data_paths.json": data_paths((t, kind) for t in every for kind in MODALITIES),
        "train.txt": "".join(track.line(BOTH) for track in train),
        "train_auxiliary.txt": "".join(t.line(BOTH) for many in auxiliary.values() for t in many),
        "query.txt": "".join(query for query, _ in test),
        "gallery.txt": "".join(gallery for _, gallery in test),
    }
    shots = [shot for track in every for shot in _shots(track)]
    return SetContent(shots, files, _fake_infrared(train[0]))


BUPT = Layout(
    draw_cameras=lambda rng: paired_cameras(rng, len(CAMERAS)),
    content=_content,
    images=FRAMES,
    least_test_ids=2,  # a query of each modality
)
