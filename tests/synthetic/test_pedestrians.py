"""Rendered pedestrians: what links an identity's pictures within and across spectra."""

import dataclasses
from functools import cache
from operator import attrgetter

import numpy as np
import pytest

from vireid.synthetic.cameras import Camera, regdb_cameras, sysu_cameras
from vireid.synthetic.optics import View
from vireid.synthetic.pedestrians import person as people_module
from vireid.synthetic.pedestrians.caption import caption
from vireid.synthetic.pedestrians.person import MIN_TONE_STEP, Garment, Person, draw_person
from vireid.synthetic.pedestrians.render import draw_view, render_person
from vireid.synthetic.surfaces import AMBIENT_WARMTH, Surface, luminance
from vireid.synthetic.writers import Shot, Studio, person_of

SIZE = (64, 32)


@cache
def cameras_of(seed: int) -> dict[int, Camera]:
    return sysu_cameras(np.random.default_rng([seed, 0]))


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return [draw_person(np.random.default_rng([11, pid])) for pid in range(500)]


def test_near_infrared_has_three_equal_channels():
    studio = Studio(cameras_of(7), 7, SIZE)
    spread = {c: np.ptp(studio.picture(Shot(2, c, 1, "")), axis=2).mean() for c in range(1, 7)}
    assert spread[3] == spread[6] == 0
    assert min(spread[camera] for camera in (1, 2, 4, 5)) > 5


def test_picture_is_of_its_person_index_and_camera():
    studio, shot = Studio(cameras_of(7), 7, SIZE), Shot(3, 4, 2, "")
    picture = studio.picture(shot)
    assert picture.shape == (64, 32, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(studio.picture(shot), picture)
    for change in ({"pid": 2}, {"index": 1}, {"camera": 5}):
        other = studio.picture(dataclasses.replace(shot, **change))
        assert np.abs(other.astype(int) - picture).mean() > 12
    assert np.abs(studio.picture(shot, empty=True).astype(int) - picture).mean() > 3


def test_cameras_2_and_3_watch_one_room():
    def borders(camera: int) -> np.ndarray:
        grey = cameras_of(1)[camera].scene.mean(axis=2)
        steps = np.abs(grey[:, 8:] - grey[:, :-8])
        return (steps > np.quantile(steps, 0.95)).astype(float).ravel()

    same = np.corrcoef(borders(2), borders(3))[0, 1]
    other = np.corrcoef(borders(1), borders(3))[0, 1]
    assert same > 0.3 and same > other + 0.2


@pytest.mark.parametrize("name", ["upper.base", "lower.base", "upper.accent", "bag.surface"])
def test_near_infrared_of_a_thing_is_independent_of_its_colour(people, name):
    drawn: list[Surface] = [attrgetter(name)(person) for person in people]
    visible = [luminance(surface.visible) for surface in drawn]
    infrared = [surface.near_infrared for surface in drawn]
    assert np.std(visible) > 0.1 and np.std(infrared) > 0.07
    assert abs(np.corrcoef(visible, infrared)[0, 1]) < 0.15


def test_patterns_contrast_in_both_spectra_with_independent_signs(people):
    garments = [garment for p in people for garment in (p.upper, p.lower)]
    visible = np.array([luminance(g.accent.visible) - luminance(g.base.visible) for g in garments])
    infrared = np.array([g.accent.near_infrared - g.base.near_infrared for g in garments])
    assert np.abs(visible).min() >= MIN_TONE_STEP and np.abs(infrared).min() > 0.24
    assert 0.45 < np.mean((visible > 0) == (infrared > 0)) < 0.55
    bases = [g.base.near_infrared for g in garments]
    assert 0.42 <= min(bases) and max(bases) <= 0.72
    assert 0.8 < np.mean([p.upper.pattern != "plain" for p in people]) < 0.9
    assert 0.5 < np.mean([p.lower.pattern != "plain" for p in people]) < 0.6


def recoloured(person: Person, rng: np.random.Generator) -> Person:
    """The same person with other visible colours and near-infrared reflectances."""

    def changed(part: object) -> object:
        if isinstance(part, Surface):
            red, green, blue, near_infrared = rng.random(4).tolist()
            return Surface((red, green, blue), near_infrared, part.thermal)
        if not dataclasses.is_dataclass(part):
            return part
        fields = dataclasses.fields(part)
        return type(part)(*(changed(getattr(part, field.name)) for field in fields))

    return changed(person)


def test_thermal_ignores_colour():
    cameras = regdb_cameras(np.random.default_rng(0))
    for pid in range(1, 6):
        person = person_of(3, pid)
        other = recoloured(person, np.random.default_rng(pid))
        for number, same in ((1, False), (2, True)):
            view = draw_view(cameras[number], np.random.default_rng(pid))
            images = [
                render_person(p, cameras[number], view, SIZE, np.random.default_rng(0))
                for p in (person, other)
            ]
            assert np.array_equal(*images) == same
            assert number == 1 or np.ptp(images[0], axis=2).max() == 0


def test_warmth_is_that_of_skin_then_thin_then_thick_cloth_then_things(people):
    def mean(cut: str) -> float:
        return float(np.mean([p.upper.base.thermal for p in people if p.upper.cut == cut]))

    assert 0.85 < people[0].skin.thermal and mean("t_shirt") < 0.75
    assert mean("t_shirt") > mean("long_sleeve") > mean("hoodie") > mean("coat")
    assert mean("coat") > AMBIENT_WARMTH + 0.08
    assert all(p.bag.surface.thermal < AMBIENT_WARMTH + 0.1 for p in people)
    prints = [abs(p.upper.accent.thermal - p.upper.base.thermal) for p in people]
    assert max(prints) <= 0.026


def test_exposure_hides_absolute_grey_levels():
    camera = cameras_of(0)[3]
    images = []
    for index in range(30):
        rng = np.random.default_rng(index)
        view = draw_view(camera, rng)
        images.append(render_person(person_of(0, 1), camera, view, SIZE, rng).mean())
    assert np.std(images) > 12


def test_every_choice_is_drawn(people):
    choices = {"upper.cut": "UPPER_CUTS", "lower.cut": "LOWER_CUTS", "upper.pattern": "PATTERNS"}
    for name, table in {**choices, "bag.kind": "BAGS", "hat": "HATS"}.items():
        assert set(map(attrgetter(name), people)) == set(getattr(people_module, table))


@pytest.mark.parametrize("number", [1, 3])
def test_pattern_is_in_the_picture_in_both_spectra(number):
    """Black and white stripes make the chest vary down the picture, plain cloth does not."""
    replace, person, camera = dataclasses.replace, person_of(0, 1), cameras_of(0)[number]
    dark, light = Surface((0.05, 0.05, 0.05), 0.1), Surface((0.95, 0.95, 0.95), 0.9)
    plain = replace(person.upper, pattern="plain", cut="t_shirt", base=dark, accent=light)
    striped = replace(plain, pattern="horizontal", period=0.1, duty=0.5)
    bare = replace(person, hair_style="short", hood_up=False, bag=replace(person.bag, kind="none"))
    view: View = draw_view(camera, np.random.default_rng(0))
    view = replace(view, azimuth=0.0, scale=0.9, shift_x=0.0, shift_y=0.0, occluder="none")

    def variation(upper: Garment) -> float:
        dressed = replace(bare, upper=upper)
        image = render_person(dressed, camera, view, (128, 64), np.random.default_rng(1))
        return image[35:55, 30:34].mean(axis=(1, 2)).std()

    assert variation(striped) > 3 * variation(plain)


def test_colour_links_visible_pictures_only():
    """Mean torso colour finds the right person among 20 within visible light, not across."""

    def torso(camera: int, index: int) -> np.ndarray:
        rows = []
        for pid in range(1, 21):
            rng = np.random.default_rng([5, pid, camera, index])
            view = draw_view(cameras[camera], rng)
            image = render_person(person_of(5, pid), cameras[camera], view, SIZE, rng)
            rows.append(image[16:28, 12:20].mean(axis=(0, 1)))
        # Exposure differs from picture to picture, so hue and brightness are scaled apart.
        brightness = np.mean(rows, axis=1, keepdims=True)
        features = np.hstack([np.array(rows) / brightness, brightness / 255])
        return (features - features.mean(axis=0)) / features.std()

    def mean_rank(query: np.ndarray, gallery: np.ndarray) -> float:
        distance = np.linalg.norm(query[:, None] - gallery[None], axis=2)
        return float((distance < np.diag(distance)[:, None]).sum(axis=1).mean())

    cameras = cameras_of(5)
    assert mean_rank(torso(1, 1), torso(4, 1)) < 4.5
    assert mean_rank(torso(3, 1), torso(4, 1)) > 6.5  # 9.5 is chance


def test_a_caption_names_what_is_worn():
    def plain(red: float, green: float, blue: float) -> Surface:
        return Surface((red, green, blue), 0.5)

    replace, person = dataclasses.replace, person_of(0, 1)
    navy, orange, white = plain(0.1, 0.15, 0.35), plain(0.9, 0.5, 0.2), plain(0.9, 0.9, 0.9)
    upper = replace(person.upper, cut="t_shirt", pattern="horizontal", base=orange, accent=navy)
    lower = replace(person.lower, cut="skirt", pattern="plain", base=white)
    bag = replace(person.bag, kind="shoulder_bag", surface=navy)
    dressed = replace(person, upper=upper, lower=lower, bag=bag, hat="none", shoes=navy)
    assert caption(dressed) == (
        "A person in a horizontally striped orange and navy T-shirt, a white skirt and navy shoes, "
        "with a navy shoulder bag."
    )
    more = replace(dressed, hat="cap", hat_surface=orange, bag=replace(bag, kind="none"))
    more = replace(more, lower=replace(lower, cut="wide"))
    assert caption(more).endswith("T-shirt, white wide trousers, navy shoes and an orange cap.")
