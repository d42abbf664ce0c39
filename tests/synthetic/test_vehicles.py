"""Rendered vehicles: what an identity is, its sides, and the two layouts."""

import csv
import re
from collections import Counter
from dataclasses import replace
from math import pi
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vireid.cli import make_synthetic
from vireid.data.datasets import vehicleid, veri
from vireid.data.verify import check_dataset
from vireid.structures import Role
from vireid.synthetic.vehicles.body import solids_of
from vireid.synthetic.vehicles.render import VIEWPOINTS, draw_vehicle_view, render_vehicle
from vireid.synthetic.vehicles.shape import KINDS
from vireid.synthetic.vehicles.solids import Eye, Solid
from vireid.synthetic.vehicles.vehicle import FAMILY, vehicle_of
from vireid.synthetic.writers import LAYOUTS, Shot
from vireid.synthetic.writers.vehicles import (
    VehicleStudio,
    passages,
    read_viewpoints,
    road_cameras_of,
)

SMALL = {"train_ids": 4, "test_ids": 5, "size": (40, 40), "seed": 7}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("vehicles")
    for layout in ("veri", "vehicleid"):
        LAYOUTS[layout](parent / layout, **SMALL)
    return {layout: parent / layout for layout in ("veri", "vehicleid")}


def picture(pid: int, side: int) -> np.ndarray:
    """All else than identity and side the same; 0 is nobody."""
    camera = road_cameras_of(3, 4)[1]
    view = draw_vehicle_view(camera, 0, np.random.default_rng(2))
    view = replace(view, azimuth=side * pi / 4, hidden_by="none")
    vehicle = vehicle_of(3, pid) if pid else None
    return render_vehicle(vehicle, camera, view, (64, 64), np.random.default_rng(5))


def test_an_eye_sees_what_looks_at_it():
    solid = Solid(0, np.zeros(3), np.zeros(3))
    for axis in range(3):
        for end in (1.0, -1.0):
            corners = np.zeros((4, 3))
            corners[:, axis] = end
            others = [k for k in range(3) if k != axis]
            corners[:, others] = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
            solid.add(corners.tolist(), (0.5, 0.5, 0.5))
    for patch in solid.patches:  # out of the solid, whichever way round its corners are given
        np.testing.assert_allclose(patch.normal, patch.middle)
    seen = {}
    for name, azimuth in (("front", 0.0), ("left", pi / 2), ("corner", pi / 4)):
        eye = Eye(azimuth, 0.3, 20.0, np.zeros(3))
        seen[name] = [tuple(p.middle.astype(int)) for p in solid.patches if eye.sees(p)]
    assert seen["front"] == [(1, 0, 0), (0, 0, 1)]
    assert seen["left"] == [(0, 1, 0), (0, 0, 1)]
    assert seen["corner"] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


def test_an_eye_projects_by_hand():
    eye = Eye(0.0, 0.0, 10.0, np.zeros(3))  # before the vehicle, on the ground
    found = eye.project(np.array([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0], [0.0, -1.0, 0.0]]))
    # The vehicle's left is the picture's right when it comes towards the eye.
    np.testing.assert_allclose(found, [[0.2, 0.1], [0.4, 0.2], [-0.1, 0.0]], atol=1e-12)


def test_a_family_shares_model_and_colour_and_nothing_small():
    first = [vehicle_of(5, pid) for pid in range(1, FAMILY + 1)]
    assert len({vehicle.model for vehicle in first}) == 1
    assert vehicle_of(5, FAMILY + 1).model != first[0].model
    many = [vehicle_of(5, pid) for pid in range(1, 301)]
    small = [
        (v.model, v.roof, v.side, v.hood, v.spokes, v.rim, v.stickers, v.plate, v.accent, v.mirror)
        for v in many
    ]
    assert len(set(small)) == 300  # nobody is another's double
    assert {vehicle.model.kind for vehicle in many} == set(KINDS)
    kinds = Counter((vehicle.model.kind, vehicle.model.paint) for vehicle in many)
    assert len(kinds) < 70  # so that most vehicles share kind and colour with other families, too


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_made_of_finite_solids_on_the_ground(kind: str):
    vehicle = next(v for v in (vehicle_of(1, p) for p in range(1, 600)) if v.model.kind == kind)
    corners = np.concatenate([p.corners for solid in solids_of(vehicle) for p in solid.patches])
    assert np.isfinite(corners).all()
    assert corners[:, 2].min() == pytest.approx(0.0, abs=0.02)
    length, width, height = corners.max(axis=0) - corners.min(axis=0)
    assert 3.3 < length < 10 and 1.7 < width < 3 and 1.2 < height < 4.2


def test_sides_change_a_picture_more_than_identities_of_a_family_do():
    pictures = {(pid, side): picture(pid, side) / 255 for pid in (1, 2, 3) for side in range(8)}
    empty = picture(0, 0) / 255
    assert np.abs(pictures[1, 0] - empty).mean() > 0.05

    def gap(one: tuple[int, int], other: tuple[int, int]) -> float:
        return float(np.abs(pictures[one] - pictures[other]).mean())

    siblings = [gap((a, s), (b, s)) for s in range(8) for a, b in ((1, 2), (1, 3), (2, 3))]
    turned = [gap((p, s), (p, (s + 2) % 8)) for s in range(8) for p in (1, 2, 3)]
    assert 0.003 < np.mean(siblings) < 0.5 * np.mean(turned)


def test_a_studio_draws_every_picture_of_its_numbers_alone():
    shot = Shot(2, 3, 1, "", viewpoint=5)
    first, again = (VehicleStudio(road_cameras_of(3, 4), 3, (48, 64)).picture(shot) for _ in "ab")
    np.testing.assert_array_equal(first, again)
    assert first.shape == (48, 64, 3) and first.dtype == np.uint8
    studio = VehicleStudio(road_cameras_of(3, 4), 3, (48, 64))
    for other in (replace(shot, index=2), replace(shot, pid=1), replace(shot, camera=2)):
        assert np.abs(studio.picture(other).astype(int) - first).mean() > 3
    assert np.abs(studio.picture(shot, empty=True).astype(int) - first).mean() > 3


def test_cameras_see_vehicles_from_different_sides():
    seen = [passages(pid, seed=1, cameras=20, seen_by=(6, 8), images=3) for pid in range(1, 60)]
    for made in seen:
        assert 6 <= len(made) <= 8
        cameras = [one.camera for one in made]
        assert cameras == sorted(set(cameras)) and 1 <= cameras[0] and cameras[-1] <= 20
        assert len({one.viewpoints[0] for one in made}) == len(made)
        for one in made:
            turns = {(side - one.viewpoints[0]) % 8 for side in one.viewpoints}
            assert len(one.viewpoints) == 3 and turns <= {0, 1, 7}
    assert len({one.camera for made in seen for one in made}) == 20
    assert seen[3] == passages(4, seed=1, cameras=20, seen_by=(6, 8), images=3)


def test_veri_is_read_back_with_its_names(sets: dict[str, Path]):
    root = sets["veri"]
    splits = veri.load(root)
    assert splits.train_pids == (1, 2, 3, 4)
    assert {r.pid for r in splits.test} == {5, 6, 7, 8, 9}
    name = re.compile(r"image_(train|query|test)/\d{4}_c0(0[1-9]|1\d|20)_\d{8}_\d\.jpg")
    assert all(name.fullmatch(record.path) for record in splits.train + splits.test)
    gallery = {r.path for r in splits.test if r.role is Role.GALLERY}
    queries = [r for r in splits.test if r.role is Role.QUERY]
    places = Counter((r.pid, r.camid) for r in splits.test if r.role is Role.GALLERY)
    assert set(places.values()) == {2}
    assert Counter((r.pid, r.camid) for r in queries) == Counter(dict.fromkeys(places, 1))
    for query in queries:  # each repeats an image of the gallery
        twin = query.path.replace("image_query", "image_test")
        assert twin in gallery and (root / twin).read_bytes() == (root / query.path).read_bytes()
    report = check_dataset("veri", root, reduced=True)
    assert report.faults == 0 and not any("query" in note for note in report.notes)


def test_vehicleid_is_read_back_with_lists_that_hold_thirds(sets: dict[str, Path]):
    splits = vehicleid.load(sets["vehicleid"])
    assert splits.train_pids == (1, 2, 3, 4)
    assert set(Counter(r.pid for r in splits.train + splits.test).values()) == {8}
    smallest = {r.pid: r.test_list for r in splits.test}
    assert smallest == {5: 800, 6: 800, 7: 1600, 8: 1600, 9: 2400}
    numbers = sorted(int(Path(r.path).stem) for r in splits.train + splits.test)
    assert numbers == list(range(1, 73))
    ordered = [r.pid for r in sorted(splits.train, key=lambda r: r.path)]
    assert ordered != sorted(ordered)  # numbers do not tell the vehicle
    assert check_dataset("vehicleid", sets["vehicleid"], reduced=True).faults == 0


def test_each_test_list_needs_a_vehicle_of_its_own(tmp_path: Path):
    with pytest.raises(ValueError, match="test_ids=2 is out of range: give a whole number from 3"):
        LAYOUTS["vehicleid"](tmp_path / "set", **{**SMALL, "test_ids": 2})
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("layout", ["veri", "vehicleid"])
def test_sides_of_all_images_are_written_beside_them(sets: dict[str, Path], layout: str):
    root = sets[layout]
    sides = read_viewpoints(root)
    assert set(sides) == {p.relative_to(root).as_posix() for p in root.rglob("*.jpg")}
    assert set(sides.values()) <= set(VIEWPOINTS)
    with (root / "viewpoints.csv").open() as file:
        by_pid = {(int(row["pid"]), row["viewpoint"]) for row in csv.DictReader(file)}
    assert len({pid for pid, _ in by_pid}) == 9


def test_an_identity_does_not_depend_on_the_others(tmp_path: Path, sets: dict[str, Path]):
    LAYOUTS["veri"](tmp_path / "more", **{**SMALL, "train_ids": 4, "test_ids": 9})
    for path in (sets["veri"] / "image_train").iterdir():
        assert (tmp_path / "more/image_train" / path.name).read_bytes() == path.read_bytes()


def test_tool_makes_squares_unless_told_otherwise(tmp_path: Path):
    numbers = ["--train-ids", "1", "--test-ids", "3", "--images-per-camera", "1"]
    for layout, folder in (("veri", "image_test"), ("vehicleid", "image")):
        arguments = ["--layout", layout, "--out", str(tmp_path / layout), *numbers]
        assert make_synthetic.main(arguments) == 0
        with Image.open(next((tmp_path / layout / folder).iterdir())) as image:
            assert image.size == (128, 128)
