"""The protocols of track sets, ORBench and LLCM's exchanged branch, against loops over plain lists.

The loops know the rules only, and read what the file of features holds: rows are dictionaries, and
every draw, list and score is made one query at a time.
"""

import json
import math
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from vireid.evaluation.results import score_features

VISIBLE, INFRARED = 0, 1
BOTH, QUERY, GALLERY = 0, 1, 2
SAME = 1e-9  # cosines that differ less are ties
# query modality; do roles decide, and are they exchanged; same identity and camera left out
TRACKS = {
    "vcm_i2v": (INFRARED, True, False, True),
    "vcm_v2i": (VISIBLE, True, True, True),
    "bupt_i2v": (INFRARED, True, False, True),
    "bupt_v2i": (VISIBLE, True, False, True),
    "val_v2i": (VISIBLE, False, False, False),
    "val_i2v": (INFRARED, False, False, False),
    "orbench_n2v": (INFRARED, False, False, False),
}


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(math.fsum(x * x for x in row))
    return [x / length for x in row]


def cosine(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(unit(a), unit(b), strict=True))


def pooled(rows: list[dict]) -> list[dict]:
    """Each track once: the mean of its frames' unit features, of unit length."""
    frames = defaultdict(list)
    for row in rows:
        frames[row["track"]].append(row)
    found = []
    for members in frames.values():
        members.sort(key=lambda row: row["path"])
        units = [unit(row["feature"]) for row in members]
        mean = [math.fsum(column) / len(units) for column in zip(*units, strict=True)]
        found.append({**members[0], "feature": unit(mean)})
    return found


def ranked(query: dict, gallery: list[dict], own_camera: bool) -> list[dict]:
    """The query's list; equal cosines keep the order of the gallery."""
    kept = [
        item
        for item in gallery
        if not (own_camera and (item["pid"], item["camid"]) == (query["pid"], query["camid"]))
    ]
    near = [(-cosine(query["feature"], item["feature"]), place) for place, item in enumerate(kept)]
    near.sort()
    steps: list[list[int]] = []  # places of ties
    last = None
    for value, place in near:
        if last is None or value - last > SAME:
            steps.append([])
        steps[-1].append(place)
        last = value
    return [kept[place] for step in steps for place in sorted(step)]


def scores_of(
    queries: list[dict], gallery: list[dict], own_camera: bool, unit_of_cmc: str
) -> dict[str, float]:
    precisions, penalties, firsts = [], [], []
    for query in queries:
        pids = [item["pid"] for item in ranked(query, gallery, own_camera)]
        hits = [rank for rank, pid in enumerate(pids, 1) if pid == query["pid"]]
        if not hits:
            continue
        precisions.append(sum(n / rank for n, rank in enumerate(hits, 1)) / len(hits))
        penalties.append(len(hits) / hits[-1])
        shown = list(dict.fromkeys(pids)) if unit_of_cmc == "identity" else pids
        firsts.append(shown.index(query["pid"]) + 1)
    count = len(firsts)
    found = {f"rank{k}": sum(first <= k for first in firsts) / count for k in (1, 5, 10, 20)}
    found |= {"mAP": sum(precisions) / count, "mINP": sum(penalties) / count}
    return {
        **found,
        "num_query": len(queries),
        "num_valid_query": count,
        "num_gallery": len(gallery),
    }


def track_scores(rows: list[dict], protocol: str) -> dict[str, float]:
    modality, by_role, exchanged, own_camera = TRACKS[protocol]
    tracks = sorted(pooled(rows), key=lambda row: row["path"])
    first, second = (GALLERY, QUERY) if exchanged else (QUERY, GALLERY)
    queries = [t for t in tracks if t["modality"] == modality]
    gallery = [t for t in tracks if t["modality"] != modality]
    if by_role:
        queries = [t for t in queries if t["role"] in (BOTH, first)]
        gallery = [t for t in gallery if t["role"] in (BOTH, second)]
    return scores_of(queries, gallery, own_camera, "track")


def llcm_scores(rows: list[dict]) -> list[dict[str, float]]:
    """Ten draws of one near-infrared image per identity and camera, each against all visible."""
    visible = [row for row in rows if row["modality"] == VISIBLE]
    visible.sort(key=lambda row: row["path"])  # nothing of it is drawn
    folders = defaultdict(list)
    for row in rows:
        if row["modality"] == INFRARED:
            folders[row["pid"], row["camid"]].append(row)
    trials = []
    for trial in range(10):
        random.seed(trial)
        drawn = []
        for key in sorted(folders):
            paths = sorted(row["path"] for row in folders[key])
            path = random.choice(paths)
            drawn += [row for row in folders[key] if row["path"] == path]
        trials.append(scores_of(drawn, visible, True, "identity"))
    return trials


def random_feature(rng: np.random.Generator, pid: int) -> list[float]:
    """Near those of the same identity."""
    center = np.random.default_rng(pid).standard_normal(5)
    return (center + rng.standard_normal(5)).astype(np.float32).tolist()


def random_frames(
    rng: np.random.Generator, pid: int, known: list[list[list[float]]]
) -> list[list[float]]:
    """Features of one to four frames; often copies of another track's, in another order."""
    if known and rng.random() < 0.4:
        frames = known[rng.integers(len(known))]
        return [frames[k] for k in rng.permutation(len(frames))]
    known.append([random_feature(rng, pid) for _ in range(rng.integers(1, 5))])
    return known[-1]


def random_tracks(seed: int) -> list[dict]:
    """Tracks in any order of frames; some identities lack a camera or their visible tracks."""
    rng = np.random.default_rng(seed)
    rows, number = [], 0
    known: dict[int, list] = {VISIBLE: [], INFRARED: []}
    for pid in rng.choice(40, 7, replace=False) + 1:
        for modality in (VISIBLE, INFRARED):
            if modality == VISIBLE and rng.random() < 0.15:
                continue  # queries without a match
            for camid in rng.choice(6, rng.integers(1, 5), replace=False) + 1:
                for _ in range(rng.integers(1, 3)):
                    number += 1
                    role = rng.choice([QUERY, GALLERY, GALLERY if modality == VISIBLE else QUERY])
                    folder = f"{pid:04d}/{'ir' if modality else 'rgb'}/D{camid}"
                    for feature in random_frames(rng, pid, known[modality]):
                        rows.append(
                            {
                                "feature": feature,
                                "pid": int(pid),
                                "camid": int(camid),
                                "modality": modality,
                                "role": int(role),
                                "track": number,
                                "path": f"{folder}/{len(rows)}.jpg",
                            }
                        )
    numbers = rng.permutation(number) + 1
    for row in rows:
        row["track"] = int(numbers[row["track"] - 1])
    return [rows[k] for k in rng.permutation(len(rows))]


def random_llcm(seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows: list[dict] = []
    for pid in rng.choice(900, 6, replace=False) + 1:
        for modality in (VISIBLE, INFRARED):
            for camid in rng.choice(9, rng.integers(1, 5), replace=False) + 1:
                for shot in range(rng.integers(1, 4)):
                    name = f"test_{'nir' if modality else 'vis'}/cam{camid}/{pid:04d}/"
                    name += f"{pid:04d}_c{camid:02d}_s{seed}_{shot}.jpg"
                    copied = rows and rng.random() < 0.3
                    other = rows[rng.integers(len(rows))] if copied else {}
                    feature = other.get("feature") or random_feature(rng, pid)
                    one = {"feature": feature, "pid": int(pid), "role": BOTH}
                    rows.append({**one, "camid": int(camid), "modality": modality, "path": name})
    return [rows[k] for k in rng.permutation(len(rows))]


def saved(rows: list[dict], path: Path, **columns: str) -> Path:
    """A features.npz.

    Args:
        columns: name of an array → key of the rows, beside those that every file has.
    """
    arrays = {
        "features": np.array([row["feature"] for row in rows], dtype=np.float32),
        "pids": np.array([row["pid"] for row in rows]),
        "camids": np.array([row["camid"] for row in rows]),
        "modality": np.array([row["modality"] for row in rows], dtype=np.uint8),
        "paths": np.array([row["path"] for row in rows]),
    }
    for name, key in columns.items():
        arrays[name] = np.array([row[key] for row in rows])
    np.savez(path, **arrays)
    return path


def entry_of(path: Path, protocol: str) -> dict:
    out = path.with_suffix(".json")
    score_features(path, [protocol], out=out)
    return json.loads(out.read_text())["protocols"][protocol]


def assert_equal(entry: dict, trials: list[dict[str, float]]) -> None:
    assert len(entry["trials"]) == len(trials)
    for found, expected in zip(entry["trials"], trials, strict=True):
        names = [name for name in expected if not name.startswith("num")]
        assert found == pytest.approx({name: expected[name] for name in names}, abs=1e-9)
    for count in ("num_query", "num_valid_query", "num_gallery"):
        assert entry[count] == trials[0][count]


@pytest.mark.parametrize("protocol", TRACKS)
def test_tracks_are_scored_as_plain_loops_do(protocol, tmp_path):
    for seed in range(4):
        rows = random_tracks(seed)
        path = saved(rows, tmp_path / f"{seed}.npz", tracks="track", role="role")
        assert_equal(entry_of(path, protocol), [track_scores(rows, protocol)])


def test_exchanged_llcm_is_scored_as_plain_loops_do(tmp_path):
    for seed in range(3):
        rows = random_llcm(seed)
        entry = entry_of(saved(rows, tmp_path / f"{seed}.npz"), "llcm_n2v_multi")
        assert_equal(entry, llcm_scores(rows))
