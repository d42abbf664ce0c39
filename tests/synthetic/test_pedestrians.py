import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat
from vireid.synthetic.pedestrians.cameras import regdb_cameras
from vireid.synthetic.pedestrians.clothing import BAGS, LOWER_CUTS, PATTERNS, UPPER_CUTS
from vireid.synthetic.pedestrians.surfaces import AMBIENT_WARMTH, MIN_TONE_STEP, Surface, luminance

from vireid.synthetic.pedestrians.person import HATS, Person, draw_person
from vireid.synthetic.pedestrians.render import RENDERER_VERSION, draw_view, render
from vireid.synthetic.writers import (
    LAYOUTS,
    person_of,
    sysu,
    sysu_cameras_of,
    sysu_image,
    write_sysu,
)

SMALL = {"train_ids": 8, "test_ids": 5, "images_per_camera": 2, "size": (64, 32), "seed": 7}


def digests(root: Path) -> dict[str, str]:
    """Everything but the .mat file, whose header holds the time it was written."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix != ".mat"
    }


def ids(root: Path, name: str) -> list[int]:
    return [int(pid) for pid in (root / "exp" / f"{name}_id.txt").read_text().split(",")]


def permutations(root: Path) -> np.ndarray:
    return loadmat(root / "exp" / "rand_perm_cam.mat")["rand_perm_cam"]


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "SYSU-MM01"
    write_sysu(root, **SMALL)
    return root


def test_equal_seeds_write_equal_bytes(small_set: Path, tmp_path: Path):
    write_sysu(tmp_path / "again", **SMALL)
    assert digests(tmp_path / "again") == digests(small_set)
    again = permutations(tmp_path / "again")
    for camera, cells in enumerate(permutations(small_set)[:, 0]):
        for pid, cell in enumerate(cells[:, 0]):
            np.testing.assert_array_equal(cell, again[camera, 0][pid, 0])


def test_seeds_differ_in_every_picture(small_set: Path, tmp_path: Path):
    write_sysu(tmp_path / "other", **{**SMALL, "seed": 8})
    ours, others = digests(small_set), digests(tmp_path / "other")
    shared = [name for name in ours if name in others and name.endswith(".jpg")]
    assert len(shared) >= 13 * 4 * 2  # cameras 3 to 6 see all 13 identities
    assert all(ours[name] != others[name] for name in shared)


def test_more_pictures_keep_the_first_ones(small_set: Path, tmp_path: Path):
    write_sysu(tmp_path / "more", **{**SMALL, "images_per_camera": 3})
    ours, more = digests(small_set), digests(tmp_path / "more")
    pictures = {name for name in ours if name.endswith(".jpg")}
    assert {name: more[name] for name in pictures} == {name: ours[name] for name in pictures}


def test_one_picture_can_be_made_alone(small_set: Path):
    alone = sysu_image(7, 3, camera=4, index=2, size=(64, 32))
    written = np.asarray(Image.open(small_set / "cam4/0003/0002.jpg"))
    assert alone.shape == written.shape == (64, 32, 3) and alone.dtype == np.uint8
    assert np.abs(alone.astype(int) - written).mean() < 8  # JPEG only
    other = np.asarray(Image.open(small_set / "cam4/0003/0001.jpg"))
    assert np.abs(alone.astype(int) - other).mean() > 12


def test_paths_are_those_of_sysu(small_set: Path):
    available = ids(small_set, "available")
    present = {
        camera: sorted(int(folder.name) for folder in (small_set / f"cam{camera}").iterdir())
        for camera in range(1, 7)
    }
    assert all(present[camera] == available for camera in (3, 4, 5, 6))
    assert present[1] == present[2]
    assert len(present[1]) == 4 + 1 + 3  # 60 % of 6, half or more of 2, 60 % of 5
    expected = {
        f"cam{camera}/{pid:04d}/{n:04d}.jpg"
        for camera, pids in present.items()
        for pid in pids
        for n in (1, 2)
    }
    expected |= {f"exp/{name}_id.txt" for name in ("train", "val", "test", "available")}
    expected |= {"exp/rand_perm_cam.mat", "synthetic.json"}
    found = {str(p.relative_to(small_set)) for p in small_set.rglob("*") if p.is_file()}
    assert found == expected
    with Image.open(small_set / "cam1" / f"{present[1][0]:04d}" / "0001.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 64))


def test_id_files_are_one_line_of_unpadded_ids(small_set: Path):
    text = (small_set / "exp" / "train_id.txt").read_text()
    assert text == "1,2,3,4,5,6\n"
    assert ids(small_set, "val") == [7, 8]  # one in four of 8
    assert ids(small_set, "test") == [9, 10, 11, 12, 13]
    assert ids(small_set, "available") == list(range(1, 14))


def test_permutations_match_the_files(small_set: Path):
    cells = permutations(small_set)
    assert cells.shape == (6, 1)
    for camera in range(1, 7):
        column = cells[camera - 1, 0]
        assert column.shape == (13, 1)
        for pid in range(1, 14):
            files = len(list((small_set / f"cam{camera}" / f"{pid:04d}").glob("*.jpg")))
            matrix = column[pid - 1, 0]
            assert matrix.shape == (10, files)
            assert np.issubdtype(matrix.dtype, np.integer)
            np.testing.assert_array_equal(
                np.sort(matrix, axis=1), np.tile(np.arange(1, files + 1), (10, 1))
            )


def test_permutations_differ_between_trials():
    presence = {camera: {1} for camera in range(1, 7)}
    cells = sysu.draw_permutations(presence, images=300, seed=0)
    matrix = cells[2, 0][0, 0]
    assert len({tuple(row) for row in matrix}) == 10
    assert matrix.max() == 300  # does not wrap in eight bits


def test_parameters_are_written(small_set: Path):
    expected = {**SMALL, "size": [64, 32], "layout": "sysu", "renderer_version": RENDERER_VERSION}
    assert json.loads((small_set / "synthetic.json").read_text()) == expected


def test_near_infrared_has_three_equal_channels(small_set: Path):
    spread = {
        camera: np.ptp(sysu_image(7, 2, camera=camera, index=1, size=(64, 32)), axis=2).mean()
        for camera in range(1, 7)
    }
    assert spread[3] == spread[6] == 0
    assert min(spread[camera] for camera in (1, 2, 4, 5)) > 5
    cameras = sysu_cameras_of(7)
    assert [cameras[c].modality for c in range(1, 7)] == [0, 0, 1, 0, 0, 1]
    for camera in (3, 6):
        for path in (small_set / f"cam{camera}").rglob("*.jpg"):
            assert np.ptp(np.asarray(Image.open(path)), axis=2).max() <= 1  # JPEG rounding


def test_cameras_2_and_3_watch_one_room():
    def borders(camera: int) -> np.ndarray:
        grey = sysu_cameras_of(1)[camera].scene.mean(axis=2)
        steps = np.abs(grey[:, 8:] - grey[:, :-8])
        return (steps > np.quantile(steps, 0.95)).astype(float).ravel()

    same = np.corrcoef(borders(2), borders(3))[0, 1]
    other = np.corrcoef(borders(1), borders(3))[0, 1]
    assert same > 0.3 and same > other + 0.2


def test_near_infrared_of_a_garment_tells_nothing_about_its_colour():
    persons = [draw_person(np.random.default_rng([11, pid])) for pid in range(500)]
    surfaces: dict[str, list[Surface]] = {
        "upper": [p.upper.base for p in persons],
        "lower": [p.lower.base for p in persons],
        "accent": [p.upper.accent for p in persons],
        "bag": [p.bag.surface for p in persons],
    }
    for name, drawn in surfaces.items():
        visible = [luminance(surface.visible) for surface in drawn]
        infrared = [surface.near_infrared for surface in drawn]
        assert np.std(visible) > 0.1 and np.std(infrared) > 0.07
        assert abs(np.corrcoef(visible, infrared)[0, 1]) < 0.15, name


def test_patterns_contrast_in_both_spectra_with_signs_of_their_own():
    persons = [draw_person(np.random.default_rng([12, pid])) for pid in range(500)]
    garments = [garment for p in persons for garment in (p.upper, p.lower)]
    visible = np.array([luminance(g.accent.visible) - luminance(g.base.visible) for g in garments])
    infrared = np.array([g.accent.near_infrared - g.base.near_infrared for g in garments])
    assert np.abs(visible).min() >= MIN_TONE_STEP and np.abs(infrared).min() > 0.24
    assert 0.45 < np.mean((visible > 0) == (infrared > 0)) < 0.55
    bases = [g.base.near_infrared for g in garments]
    assert 0.42 <= min(bases) and max(bases) <= 0.72
    assert 0.8 < np.mean([p.upper.pattern != "plain" for p in persons]) < 0.9
    assert 0.5 < np.mean([p.lower.pattern != "plain" for p in persons]) < 0.6


def recoloured(person: Person, rng: np.random.Generator) -> Person:
    """The same person with every visible colour and near-infrared reflectance drawn anew."""

    def other(surface: Surface) -> Surface:
        red, green, blue = rng.random(3).tolist()
        return dataclasses.replace(
            surface, visible=(red, green, blue), near_infrared=float(rng.random())
        )

    def changed(part: object) -> object:
        surfaces = {
            field.name: other(getattr(part, field.name))
            for field in dataclasses.fields(part)
            if isinstance(getattr(part, field.name), Surface)
        }
        return dataclasses.replace(part, **surfaces)

    parts = {name: changed(getattr(person, name)) for name in ("upper", "lower", "bag")}
    return dataclasses.replace(changed(person), **parts)


def test_thermal_ignores_colour():
    cameras = regdb_cameras(np.random.default_rng(0))
    for pid in range(1, 6):
        person = person_of(3, pid)
        other = recoloured(person, np.random.default_rng(pid))
        for number, same in ((1, False), (2, True)):
            view = draw_view(cameras[number], np.random.default_rng(pid))
            images = [
                render(p, cameras[number], view, (64, 32), np.random.default_rng(0))
                for p in (person, other)
            ]
            assert np.array_equal(*images) == same
            assert number == 1 or np.ptp(images[0], axis=2).max() == 0


def test_warmth_is_that_of_skin_then_thin_then_thick_cloth_then_things():
    persons = [draw_person(np.random.default_rng([14, pid])) for pid in range(500)]

    def mean(cut: str) -> float:
        return float(np.mean([p.upper.base.thermal for p in persons if p.upper.cut == cut]))

    assert 0.85 < persons[0].skin.thermal and mean("t_shirt") < 0.75
    assert mean("t_shirt") > mean("long_sleeve") > mean("hoodie") > mean("coat")
    assert mean("coat") > AMBIENT_WARMTH + 0.08
    assert all(p.bag.surface.thermal < AMBIENT_WARMTH + 0.1 for p in persons)
    prints = [abs(p.upper.accent.thermal - p.upper.base.thermal) for p in persons]
    assert max(prints) <= 0.026


def test_exposure_hides_absolute_grey_levels():
    camera = sysu_cameras_of(0)[3]
    images = []
    for index in range(30):
        rng = np.random.default_rng(index)
        view = draw_view(camera, rng)
        images.append(render(person_of(0, 1), camera, view, (64, 32), rng).mean())
    assert np.std(images) > 12


def test_every_choice_is_drawn():
    persons = [draw_person(np.random.default_rng([13, pid])) for pid in range(500)]
    assert {p.upper.cut for p in persons} == set(UPPER_CUTS)
    assert {p.lower.cut for p in persons} == set(LOWER_CUTS)
    assert {p.upper.pattern for p in persons} == set(PATTERNS)
    assert {p.bag.kind for p in persons} == set(BAGS)
    assert {p.hat for p in persons} == set(HATS)


def test_pattern_is_in_the_picture_in_both_spectra():
    """Black and white stripes make the chest vary down the picture, plain cloth does not."""
    camera_of = sysu_cameras_of(0)
    black, white = Surface((0.05, 0.05, 0.05), 0.1), Surface((0.95, 0.95, 0.95), 0.9)
    plain = dataclasses.replace(
        person_of(0, 1).upper, pattern="plain", cut="t_shirt", base=black, accent=white
    )
    striped = dataclasses.replace(plain, pattern="horizontal", period=0.1, duty=0.5)
    bare = dataclasses.replace(
        person_of(0, 1),
        hair_style="short",
        hood_up=False,
        bag=dataclasses.replace(person_of(0, 1).bag, kind="none"),
    )
    for number in (1, 3):
        camera = camera_of[number]
        view = dataclasses.replace(
            draw_view(camera, np.random.default_rng(0)),
            azimuth=0.0,
            scale=0.9,
            shift_x=0.0,
            shift_y=0.0,
            occluder="none",
        )
        chest = {}
        for name, upper in {"plain": plain, "striped": striped}.items():
            person = dataclasses.replace(bare, upper=upper)
            image = render(person, camera, view, (128, 64), np.random.default_rng(1))
            chest[name] = image[35:55, 30:34].mean(axis=(1, 2)).std()
        assert chest["striped"] > 3 * chest["plain"]


def test_colour_links_visible_pictures_only():
    """Mean torso colour finds the right person among 20 within visible light, not across."""

    def torso(camera: int, index: int) -> np.ndarray:
        rows = []
        for pid in range(1, 21):
            rng = np.random.default_rng([5, pid, camera, index])
            image = render(
                persons[pid], cameras[camera], draw_view(cameras[camera], rng), (64, 32), rng
            )
            rows.append(image[16:28, 12:20].mean(axis=(0, 1)))
        # Exposure differs from picture to picture, so hue and brightness are scaled apart.
        brightness = np.mean(rows, axis=1, keepdims=True)
        features = np.hstack([np.array(rows) / brightness, brightness / 255])
        return (features - features.mean(axis=0)) / features.std()

    def mean_rank(query: np.ndarray, gallery: np.ndarray) -> float:
        distance = np.linalg.norm(query[:, None] - gallery[None], axis=2)
        return float((distance < np.diag(distance)[:, None]).sum(axis=1).mean())

    persons, cameras = {pid: person_of(5, pid) for pid in range(1, 21)}, sysu_cameras_of(5)
    assert mean_rank(torso(1, 1), torso(4, 1)) < 4.5
    assert mean_rank(torso(3, 1), torso(4, 1)) > 6.5  # 9.5 is chance


def test_existing_set_is_left_alone(small_set: Path):
    before = digests(small_set)
    with pytest.raises(FileExistsError, match="not an empty folder"):
        write_sysu(small_set, **SMALL)
    assert digests(small_set) == before


def test_empty_root_is_filled(tmp_path: Path):
    root = tmp_path / "empty"
    root.mkdir()
    write_sysu(root, train_ids=1, test_ids=1, images_per_camera=1, size=(32, 16), seed=0)
    assert len(list(root.rglob("*.jpg"))) == 2 * 6
    assert (root / "exp" / "val_id.txt").read_text() == "\n"


def test_interrupted_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sysu, "write_lists", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_sysu(tmp_path / "set", **{**SMALL, "train_ids": 1, "test_ids": 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("train_ids", 0, "train_ids=0"),
        ("train_ids", 9999, "train_ids \\+ test_ids=10004"),
        ("test_ids", -1, "test_ids=-1"),
        ("images_per_camera", 10000, "images_per_camera=10000"),
        ("seed", -1, "seed=-1"),
        ("size", (64,), r"size=\(64,\)"),
        ("size", (8, 32), r"size \(height\)=8"),
        ("size", (64, 2.5), r"size \(width\)=2.5"),
    ],
)
def test_bad_argument_is_named(tmp_path: Path, name: str, value: object, message: str):
    with pytest.raises(ValueError, match=message + ".*(give|ask for)"):
        LAYOUTS["sysu"](tmp_path / "set", **{**SMALL, name: value})
    assert list(tmp_path.iterdir()) == []


def test_unknown_spectrum_names_the_choices():
    with pytest.raises(ValueError, match=r"'radar' is unknown.*visible.*near_infrared"):
        Surface((0.5, 0.5, 0.5), 0.5).seen_in("radar")
