"""Checks, indexes and scores sets of tracks that are as large as HITSZ-VCM and BUPTCampus.

    python benchmarks/full_size_tracks.py --layout vcm --folder /data/scratch
    python benchmarks/full_size_tracks.py --layout bupt --folder /data/scratch --json bupt.json

Writes a set with the published numbers of identities, tracks and frames (463,259 and 1,704,768
files of 32 × 16 pixels, no two alike; 2 and 7 GB), compares it with ``check_data``, and prints
processor seconds and the peak memory of reading its lists, of the check, and of scoring random
features in both directions. The set is removed afterwards. ``--share 0.01`` makes a smaller one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from scale import Figures, measured
from tqdm import tqdm

from vireid.cli.arguments import tool
from vireid.cli.check_data import lines_of
from vireid.data.datasets import DATASETS
from vireid.data.tracks import frame_records
from vireid.data.verify import check_dataset
from vireid.engine.extract import labels_of
from vireid.errors import DataError
from vireid.evaluation.evaluate import evaluate_all
from vireid.evaluation.protocols import expand
from vireid.evaluation.tracks import pool_tracks
from vireid.structures import FeatureSet, Splits
from vireid.synthetic.writers import LAYOUTS, Shot
from vireid.synthetic.writers.bupt import BOTH, CAMERAS, MODALITIES, BuptTrack, data_paths
from vireid.synthetic.writers.vcm import LEAST_FRAMES, STEP, VcmTrack, vcm_lists
from vireid.utils.io import replace_file

SIZE = (32, 16)  # height and width of a frame, in pixels
DRAWN = 2_000  # rendered pictures; the frames are these, shifted and mirrored
VCM_CAMERAS = 12
FRAMES = 6  # of a track are scored: DATA.FRAMES by default
DIM = 512  # numbers of a feature


@dataclass(frozen=True, slots=True)
class Group:
    """Tracks of one kind: how many, with how many frames together, of ``least`` to ``most``."""

    tracks: int
    frames: int
    least: int = 1
    most: int = 400

    def part(self, share: float) -> Group:
        """A share of the tracks, with tracks as long as before."""
        tracks = max(1, round(self.tracks * share))
        return Group(tracks, round(self.frames * tracks / self.tracks), self.least, self.most)

    def lengths(self, rng: np.random.Generator) -> list[int]:
        """Frames of each track; they differ, and their sum is exact."""
        room = self.most - self.least
        spare = self.frames - self.least * self.tracks
        places = rng.permutation(self.tracks * room)[:spare] // room
        return (self.least + np.bincount(places, minlength=self.tracks)).tolist()


KEPT, DROPPED = (LEAST_FRAMES, 100), (1, LEAST_FRAMES - 1)  # least and most frames
# (modality, part) → tracks that readers keep, and those that they drop. Published are the sums of
# each part; that 682 and 544 dropped tracks are visible is what the sums of modalities leave.
VCM_GROUPS = {
    (2, "train"): (Group(5_460, 126_543, *KEPT), Group(682, 3_767, *DROPPED)),
    (1, "train"): (Group(4_291, 98_214, *KEPT), Group(628, 3_972, *DROPPED)),
    (2, "test"): (Group(5_099, 118_137, *KEPT), Group(544, 3_005, *DROPPED)),
    (1, "test"): (Group(4_584, 105_979, *KEPT), Group(575, 3_642, *DROPPED)),
}
VCM_IDENTITIES = {"train": 500, "test": 427}
BUPT_GROUPS = {  # pairs of tracks, but for the queries
    "train": Group(3_574, 398_069),
    "auxiliary": Group(930, 104_575),
    "gallery": Group(2_422, 298_771),
    "RGB": Group(540, 48_521),
    "IR": Group(536, 53_417),
}
BUPT_IDENTITIES = {"train": 1_074, "auxiliary": 930}


@dataclass(frozen=True, slots=True)
class Plan:
    """A set to write: paths of its frames, its lists by path, and the counts that it shall have."""

    frames: Sequence[str]
    files: Mapping[str, str]
    counts: Mapping[str, int]


def plan_vcm(share: float) -> Plan:
    """Tracks go round the identities, and the tracks of an identity round the cameras."""
    rng, tracks, counts = np.random.default_rng(0), {}, {}
    before = 0
    for part, full in VCM_IDENTITIES.items():
        identities = max(2, round(full * share))
        found: list[VcmTrack] = []
        for modality in (2, 1):
            kept, dropped = (group.part(share) for group in VCM_GROUPS[modality, part])
            lengths = kept.lengths(rng) + dropped.lengths(rng)
            found += _vcm_tracks(lengths, modality, range(before + 1, before + 1 + identities))
            name = _vcm_name(part, modality)
            counts |= {f"{name} tracks": kept.tracks, f"{name} frames": kept.frames}
            listed = f"{name.split()[0]} tracks listed"
            counts[listed] = counts.get(listed, 0) + kept.tracks + dropped.tracks
        tracks[part] = sorted(found, key=lambda t: (t.pid, -t.modality, t.camera, t.number))
        before += identities
        long = "training" if part == "train" else part
        counts[f"{long} identities"] = identities
    files = vcm_lists(tracks["train"], tracks["test"])
    frames = [path for part in tracks for one in tracks[part] for path in one.paths(part.title())]
    return Plan(frames, files, counts)


def _vcm_name(part: str, modality: int) -> str:
    """Of a group, as ``check_data`` calls it."""
    if part == "test":
        return "query" if modality == 1 else "gallery"
    return f"training {'infrared' if modality == 1 else 'visible'}"


def _vcm_tracks(lengths: Sequence[int], modality: int, pids: range) -> Iterator[VcmTrack]:
    ends: dict[tuple[int, int], int] = {}  # identity and camera → frames so far
    for k, length in enumerate(lengths):
        turn, place = divmod(k, len(pids))
        pid, camera = pids[place], (turn + place) % VCM_CAMERAS + 1
        first = ends.get((pid, camera), 0) * STEP + 1
        ends[pid, camera] = ends.get((pid, camera), 0) + length
        frames = range(first, first + STEP * length, STEP)
        yield VcmTrack(pid, modality, camera, turn // VCM_CAMERAS + 1, frames)


def plan_bupt(share: float) -> Plan:
    """Every test identity has one query, in a camera that no gallery track of it is from."""
    rng = np.random.default_rng(0)
    groups = {name: group.part(share) for name, group in BUPT_GROUPS.items()}
    lengths = {name: group.lengths(rng) for name, group in groups.items()}
    train_ids, auxiliary_ids = (max(1, round(n * share)) for n in BUPT_IDENTITIES.values())
    test_ids = groups["RGB"].tracks + groups["IR"].tracks
    test = range(train_ids + 1, train_ids + 1 + test_ids)
    extra = range(test[-1] + 1, test[-1] + 1 + auxiliary_ids)
    train = _bupt_tracks(lengths["train"], range(1, train_ids + 1))
    auxiliary = _bupt_tracks(lengths["auxiliary"], extra)
    queries = _bupt_tracks(lengths["RGB"] + lengths["IR"], test)
    kinds = ["RGB"] * groups["RGB"].tracks + ["IR"] * groups["IR"].tracks
    gallery = _bupt_tracks(lengths["gallery"], test, turn=1)
    pairs = [(track, kind) for track in [*train, *auxiliary, *gallery] for kind in MODALITIES]
    pairs += zip(queries, kinds, strict=True)
    files = {
        "data_paths.json": data_paths(pairs),
        "train.txt": "".join(track.line(BOTH) for track in train),
        "train_auxiliary.txt": "".join(track.line(BOTH) for track in auxiliary),
        "query.txt": "".join(t.line(kind) for t, kind in zip(queries, kinds, strict=True)),
        "gallery.txt": "".join(t.line(kind) for t in gallery for kind in MODALITIES),
    }
    names = {"train": "training", "RGB": "query visible", "IR": "query infrared"}
    counts = {"training identities": train_ids, "test identities": test_ids}
    for name, group in groups.items():
        times = 1 if name in MODALITIES else len(MODALITIES)
        label = names.get(name, name)
        counts[f"{label} tracks"] = times * group.tracks
        counts[f"{label} frames"] = times * group.frames
    return Plan([f"DATA/{p}" for track, kind in pairs for p in track.paths(kind)], files, counts)


def _bupt_tracks(lengths: Sequence[int], pids: range, *, turn: int = 0) -> list[BuptTrack]:
    """``turn``: how many tracks of each identity there are already, in the first cameras."""
    found = []
    for k, length in enumerate(lengths):
        turns, place = divmod(k, len(pids))
        camera = CAMERAS[(turns + turn + place) % len(CAMERAS)]
        number = (turns + turn) // len(CAMERAS) + 1
        found.append(BuptTrack(pids[place], camera, number, range(1, length + 1)))
    return found


PLANS: dict[str, Callable[[float], Plan]] = {"vcm": plan_vcm, "bupt": plan_bupt}


def pictures(layout: str, count: int) -> Iterator[Image.Image]:
    """Pictures of which no two are alike: rendered ones, each shifted and mirrored in all ways."""
    studio = LAYOUTS[layout].studio(0, SIZE)
    drawn = [studio.picture(Shot(pid, 1, 1, "", track=1)) for pid in range(1, DRAWN + 1)]
    for k in range(count):
        turn, place = divmod(k, DRAWN)
        shifts, mirrored = turn // 2, turn % 2
        picture = np.roll(drawn[place], (shifts // SIZE[1], shifts % SIZE[1]), axis=(0, 1))
        yield Image.fromarray(picture[:, ::-1] if mirrored else picture)


def write_tree(plan: Plan, layout: str, root: Path) -> None:
    """Frames and lists of a set, in a folder that exists."""
    for folder in {(root / path).parent for path in (*plan.frames, *plan.files)}:
        folder.mkdir(parents=True, exist_ok=True)
    images = zip(plan.frames, pictures(layout, len(plan.frames)), strict=True)
    for path, image in tqdm(images, "frames", total=len(plan.frames), disable=None):
        encoded = BytesIO()  # saving to a path takes twice as long
        image.save(encoded, "JPEG", quality=80)
        (root / path).write_bytes(encoded.getvalue())
    for path, text in plan.files.items():
        (root / path).write_text(text)


def check(layout: str, root: Path, plan: Plan, *, reduced: bool) -> None:
    """Prints what ``check_data`` prints.

    Raises:
        DataError: something is wrong, or a count is not the planned one.
    """
    report = check_dataset(layout, root, reduced=reduced)
    print("\n".join(lines_of(report)), flush=True)
    found = {count.name: count.found for count in report.counts}
    wrong = {name: n for name, n in plan.counts.items() if found.get(name) != n}
    if report.faults or report.findings or wrong:
        raise DataError(f"{root}: {report.faults} faults; counts that should be: {wrong}")


def random_features(splits: Splits) -> FeatureSet:
    """Normal noise for ``FRAMES`` frames of every test track."""
    labels = labels_of(frame_records(splits.test, FRAMES))
    rng = np.random.default_rng(0)
    return replace(labels, features=rng.standard_normal((len(labels), DIM), dtype=np.float32))


def measure(layout: str, root: Path, plan: Plan, *, reduced: bool) -> Figures:
    """Reads, checks and scores the set in a folder."""
    figures: Figures = {}
    with measured("index", figures):
        splits = DATASETS[layout].load(root)
    images = random_features(splits)
    with measured("pool the frames", figures):
        tracks = pool_tracks(images)
    for protocol in expand([layout]):
        with measured(protocol.name, figures):
            (trial,) = evaluate_all([protocol], tracks)[protocol.name]
        print(f"{protocol.name}: rank-1 {100 * trial.metrics['rank1']:.2f} % by chance")
    del splits, images, tracks
    with measured("check_data", figures):
        check(layout, root, plan, reduced=reduced)
    return figures


def table(figures: Figures) -> str:
    """Markdown: a row per step."""
    rows = [f"| {step} | {f['seconds']:.1f} | {f['peak_mib']:.0f} |" for step, f in figures.items()]
    return "\n".join(["| step | processor seconds | peak MiB |", "|---|---|---|", *rows])


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the check and a table; measures in a process of its own."""
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--layout", choices=sorted(PLANS), required=True)
    line.add_argument("--share", type=float, default=1.0, help="of the tracks (1)")
    line.add_argument("--folder", type=Path, help="for the set; default: a temporary one")
    line.add_argument("--json", type=Path, metavar="FILE", help="the numbers")
    line.add_argument("--measure", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    args = line.parse_args(sys.argv[1:] if arguments is None else arguments)
    plan = PLANS[args.layout](args.share)
    if args.measure:
        figures = measure(args.layout, args.measure, plan, reduced=args.share < 1)
        (args.measure / "figures.json").write_text(json.dumps(figures))
        return
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="vireid_tracks_") as folder:
        write_tree(plan, args.layout, Path(folder))
        words = ["--layout", args.layout, "--share", str(args.share), "--measure", folder]
        subprocess.run([sys.executable, __file__, *words], check=True)
        figures = json.loads((Path(folder) / "figures.json").read_text())
    print(f"{len(plan.frames):,} frames\n\n{table(figures)}")
    if args.json:
        replace_file(args.json, lambda file: file.write(json.dumps(figures, indent=1).encode()))


if __name__ == "__main__":
    raise SystemExit(main())
