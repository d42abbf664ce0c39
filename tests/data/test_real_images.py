"""benchmarks/real_images.py: folds that share no scene, and scores by overlap."""

from pathlib import Path

import numpy as np
import pytest
from real_images import Crop, crops_of, main, overlaps, read_crops, scene_folds, score

from tests.helpers import write_regdb, write_text
from vireid.config import load_config
from vireid.data.build import build_splits
from vireid.errors import DataError
from vireid.evaluation.feature_files import write_features
from vireid.structures import FeatureSet, ImageRecord, Modality

V, I = Modality.VISIBLE, Modality.INFRARED  # noqa: E741
WHERE = Path("crops.csv")
HEADER = "path,scene,centre_x,centre_y,width,height"


def square(x: float, y: float = 0.0, side: float = 2.0, scene: int = 0) -> Crop:
    return Crop(scene, (x, y), (x + side, y + side))


def features(angles: list[float], pids: list[int], modality: list[Modality]) -> FeatureSet:
    """Unit vectors in a plane: the nearest has the nearest angle."""
    turned = np.deg2rad(angles)
    return FeatureSet(
        np.stack([np.cos(turned), np.sin(turned)], axis=1),
        np.array(pids),
        np.array(modality) + 1,
        np.array(modality, dtype=np.uint8),
        np.array([f"{n}.jpg" for n in range(len(pids))]),
    )


def test_overlap_is_the_share_of_the_union():
    found = overlaps(
        [square(0), square(0, side=4)], [square(0), square(1), square(1, 1), square(5)]
    )
    # 4/4, 2/6, 1/7, 0; and of the larger square 4/16, 4/16, 4/16, 0
    np.testing.assert_allclose(found, [[1, 1 / 3, 1 / 7, 0], [1 / 4, 1 / 4, 1 / 4, 0]])


def test_scores_of_a_list_by_hand():
    # one query of identity 1; its list: 1 (all of it), 2, 1 (a third of it), 2 (all of it), 1
    images = features([0, 1, 2, 3, 4, 5], [1, 1, 2, 1, 2, 1], [V, I, I, I, I, I])
    crops = [square(0), square(0), square(0), square(1), square(0), square(9)]
    everything, less, least = score(images, crops, V, [2.0, 0.5, 0.3])
    assert everything == (1, 1.0, pytest.approx((1 + 2 / 3 + 3 / 5) / 3))
    assert less == (1, 0.0, pytest.approx((1 / 2 + 2 / 4) / 2))  # without the first match
    assert least == (1, 0.0, pytest.approx(1 / 3))  # the last match alone, behind two others
    with pytest.raises(DataError, match="no query has a match of less overlap"):
        score(images, crops, V, [0.0])
    with pytest.raises(DataError, match="features of both modalities are needed"):
        score(images.subset(np.arange(1)), crops[:1], V, [2.0])


@pytest.mark.parametrize("query", [V, I])
def test_scores_are_those_of_a_plain_loop(query):
    rng = np.random.default_rng(3)
    pids, modality = rng.integers(0, 6, 60), rng.integers(0, 2, 60).astype(np.uint8)
    images = FeatureSet(
        rng.standard_normal((60, 5)), pids, modality + 1, modality, np.arange(60).astype(str)
    )
    crops = [square(*rng.uniform(0, 3, 2)) for _ in range(60)]
    bounds = [2.0, 0.3, 0.1]
    for bound, found in zip(bounds, score(images, crops, query, bounds), strict=True):
        first, precision = [], []
        for row in np.flatnonzero(modality == query):
            cosines = images.features @ images.features[row]
            cosines /= np.linalg.norm(images.features, axis=1)
            hits = []
            for other in sorted(np.flatnonzero(modality != query), key=lambda n: -cosines[n]):
                match = pids[other] == pids[row]
                if not match or overlaps([crops[row]], [crops[other]])[0, 0] < bound:
                    hits.append(match)
            places = [place for place, hit in enumerate(hits, start=1) if hit]
            if places:
                first.append(hits[0])
                precision.append(np.mean([n / place for n, place in enumerate(places, start=1)]))
        assert found == pytest.approx((len(first), np.mean(first), np.mean(precision)))


def test_scenes_go_to_the_smallest_group_the_largest_first():
    scenes = {1: 5, 2: 5, 3: 5, 4: 7, 5: 9, 6: 9, 7: 2, 8: 3}
    records = [ImageRecord(f"{pid}.jpg", pid, 1, V) for pid in reversed(scenes)]
    crops = {f"{pid}.jpg": square(0, scene=scene) for pid, scene in scenes.items()}
    # Scene 5 (three identities), 9 (two), then 7, 3 and 2 of one identity each
    assert scene_folds(records, crops, WHERE, 2) == [[1, 2, 3, 8], [5, 6, 4, 7]]
    assert scene_folds(records, crops, WHERE, 3) == [[1, 2, 3], [5, 6, 7], [4, 8]]
    with pytest.raises(DataError, match="5 scenes are too few for 6 files"):
        scene_folds(records, crops, WHERE, 6)
    other = [*records, ImageRecord("7.jpg", 1, 1, V)]
    with pytest.raises(DataError, match=r"identity 1 is in two scenes: 7.jpg"):
        scene_folds(other, crops, WHERE)


def write_crops(path: Path, root: Path, scene_of: dict[int, int]) -> Path:
    images = sorted(one.relative_to(root).as_posix() for one in root.glob("*/*/*.bmp"))
    lines = [f"{one},{scene_of[int(one.split('/')[1])]},10,20,4,8" for one in images]
    return write_text(path, "\n".join([HEADER, *lines]))


def test_folds_are_written_for_the_training_identities(tmp_path, capsys):
    root = write_regdb(tmp_path / "r", {1: (range(1, 9), [20, 21])})
    path = write_crops(tmp_path / "crops.csv", root, {pid: pid // 2 for pid in range(30)})
    assert read_crops(path)["Visible/7/" + next((root / "Visible/7").iterdir()).name] == (
        3,
        (8.0, 16.0),
        (12.0, 24.0),
    )
    assert main(["folds", "--root", str(root), "--crops", str(path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"wrote {root / 'folds/1.txt'}: identities 2, scenes 1"
    words = ["DATA.DATASET", "regdb", "DATA.ROOT", str(root), "DATA.SPLIT", "train"]
    held_out = []
    for number in range(1, 6):
        cfg = load_config(None, [*words, "DATA.VAL_IDS", f"folds/{number}.txt"], environment={})
        held_out += sorted({record.pid for record in build_splits(cfg, parts=()).val})
    assert held_out == [6, 7, 4, 5, 2, 3, 8, 1]  # scenes 3, 2, 1 of two identities, then 4 and 0


def test_scores_of_files_and_descriptors_are_printed(tmp_path, capsys):
    root = write_regdb(tmp_path / "r", {1: ([1, 2], [20, 21])})
    path = write_crops(tmp_path / "crops.csv", root, dict.fromkeys(range(30), 0))
    records = build_splits(
        load_config(None, ["DATA.DATASET", "regdb", "DATA.ROOT", str(root)], environment={})
    ).test
    files = []
    for seed in (0, 1):
        noise = np.random.default_rng(seed).standard_normal((len(records), 3))
        columns = (np.array([getattr(r, name) for r in records]) for name in ("pid", "camid"))
        modality = np.array([r.modality for r in records], dtype=np.uint8)
        files.append(tmp_path / f"seed{seed}.npz")
        paths = np.array([r.path for r in records])
        write_features(files[-1], FeatureSet(noise, *columns, modality, paths))
    asked = ["score", *map(str, files), "--crops", str(path), "--root", str(root), "--bounds"]
    assert main(asked) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()]
    table = {row[1].strip(): [cell.strip() for cell in row[2:]] for row in rows}
    assert list(table)[4:] == ["mean of 2", "HOG", "grey pixels"]
    first, second = (float(table[name][1]) for name in list(table)[2:4])
    mean, spread = table["mean of 2"][1].split(" ± ")
    assert float(mean) == pytest.approx((first + second) / 2, abs=0.11)
    assert float(spread) == pytest.approx(abs(first - second) / 2**0.5, abs=0.15)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("path,scene\na.jpg,1", "line 2: expected the columns path, scene, centre_x"),
        (f"{HEADER}\na.jpg,one,1,2,3,4", "line 2: expected the columns"),
        (f"{HEADER}\na.jpg,1,1,2,3", "line 2: expected the columns"),
    ],
)
def test_a_file_of_other_columns_is_refused(tmp_path, text, phrase):
    with pytest.raises(DataError, match=phrase):
        read_crops(write_text(tmp_path / "crops.csv", text))


def test_images_without_a_crop_are_counted():
    with pytest.raises(DataError, match=r"crops.csv has no crop of 2 images, the first: b.jpg"):
        crops_of(["a.jpg", "b.jpg", "c.jpg"], {"a.jpg": square(0)}, WHERE)
