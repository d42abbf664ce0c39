"""Rendered vehicles: what an identity is, and its sides."""

from collections import Counter
from dataclasses import replace
from math import pi

import numpy as np
import pytest

from vireid.synthetic.cameras import road_cameras
from vireid.synthetic.vehicles.body import solids_of
from vireid.synthetic.vehicles.render import draw_vehicle_view, render_vehicle
from vireid.synthetic.vehicles.solids import Solid, Viewer
from vireid.synthetic.vehicles.vehicle import FAMILY, KINDS, draw_vehicle
from vireid.synthetic.writers import Shot, Studio
from vireid.synthetic.writers.layout import SetNumbers
from vireid.synthetic.writers.vehicles import viewpoints_of

CAMERAS = road_cameras(np.random.default_rng([3, 0]), 4)


def picture(pid: int, side: int) -> np.ndarray:
    """Pictures that differ in identity and side only; pid 0 is an empty road."""
    view = draw_vehicle_view(CAMERAS[1], 0, np.random.default_rng(2))
    view = replace(view, azimuth=side * pi / 4, occluder="none")
    vehicle = draw_vehicle(3, pid) if pid else None
    return render_vehicle(vehicle, CAMERAS[1], view, (64, 64), np.random.default_rng(5))


def test_a_viewer_sees_what_faces_it():
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
        viewer = Viewer(azimuth, 0.3, 20.0, np.zeros(3))
        seen[name] = [tuple(p.middle.astype(int)) for p in solid.patches if viewer.sees(p)]
    assert seen["front"] == [(1, 0, 0), (0, 0, 1)]
    assert seen["left"] == [(0, 1, 0), (0, 0, 1)]
    assert seen["corner"] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


def test_a_viewer_projects_by_hand():
    viewer = Viewer(0.0, 0.0, 10.0, np.zeros(3))  # before the vehicle, on the ground
    found = viewer.project(np.array([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0], [0.0, -1.0, 0.0]]))
    # The vehicle's left is the picture's right when it comes towards the viewer.
    np.testing.assert_allclose(found, [[0.2, 0.1], [0.4, 0.2], [-0.1, 0.0]], atol=1e-12)


def test_a_family_shares_model_and_colour_and_nothing_small():
    first = [draw_vehicle(5, pid) for pid in range(1, FAMILY + 1)]
    assert len({vehicle.model for vehicle in first}) == 1
    assert draw_vehicle(5, FAMILY + 1).model != first[0].model
    many = [draw_vehicle(5, pid) for pid in range(1, 301)]
    small = [
        (v.model, v.roof, v.side, v.hood, v.spokes, v.rim, v.stickers, v.plate, v.accent, v.mirror)
        for v in many
    ]
    assert len(set(small)) == 300  # no two are alike
    assert {vehicle.model.kind for vehicle in many} == set(KINDS)
    kinds = Counter((vehicle.model.kind, vehicle.model.paint) for vehicle in many)
    assert len(kinds) < 70  # so that most vehicles share kind and colour with other families, too


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_made_of_finite_solids_on_the_ground(kind):
    vehicle = next(v for v in (draw_vehicle(1, p) for p in range(1, 600)) if v.model.kind == kind)
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


def test_picture_is_of_its_vehicle_index_and_camera():
    shot, studio = Shot(2, 3, 1, "", viewpoint=5), Studio(CAMERAS, 3, (48, 64))
    picture = studio.picture(shot)
    assert picture.shape == (48, 64, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(studio.picture(shot), picture)
    for change in ({"index": 2}, {"pid": 1}, {"camera": 2}):
        assert np.abs(studio.picture(replace(shot, **change)).astype(int) - picture).mean() > 3
    assert np.abs(studio.picture(shot, empty=True).astype(int) - picture).mean() > 3


def test_cameras_see_vehicles_from_different_sides():
    numbers = SetNumbers(59, 0, images=3, seed=1)
    seen = [viewpoints_of(p, numbers, cameras=20, seen_by=(6, 8)) for p in numbers.pids]
    for sides in seen:
        assert 6 <= len(sides) <= 8 and list(sides) == sorted(sides)
        assert len({first for first, *_ in sides.values()}) == len(sides)
        for first, *rest in sides.values():
            assert len(rest) == 2 and {(side - first) % 8 for side in rest} <= {0, 1, 7}
    assert set().union(*seen) == set(range(1, 21))
    assert seen[3] == viewpoints_of(4, numbers, cameras=20, seen_by=(6, 8))
