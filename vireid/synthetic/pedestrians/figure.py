"""Paints a person as a map of parts: geometry only, the same in every spectrum."""

from math import cos, sin

from PIL import Image

from vireid.synthetic.pedestrians.painter import Painter, label
from vireid.synthetic.pedestrians.person import Person
from vireid.synthetic.pedestrians.skeleton import (
    SHOULDER_HEIGHT,
    Frame,
    Joint,
    Skeleton,
    first_part,
    walk,
)

BACK_OF_HEAD = -0.6  # cosine of the azimuth beyond which the face turns out of sight


def paint_person(person: Person, frame: Frame, size: tuple[int, int], phase: float) -> Image.Image:
    """Map of parts at a gait phase in radians.

    Args:
        size: (width, height) in pixels.
    Returns:
        "L" image of ``label`` values, BACKGROUND where the person is not.
    """
    painter, skeleton = Painter(person, frame, size), walk(person, phase)
    far_side = frame.nearness(1.0, 0.0) < 0  # True where the person's left is the far side
    facing_away = cos(frame.azimuth) < 0
    _paint_bags(painter, skeleton, near=False)
    if not facing_away:
        _paint_loose_hair(painter)
    _paint_arm(painter, skeleton.arms[far_side], 1)
    _paint_leg(painter, skeleton.legs[far_side], 1)
    _paint_leg(painter, skeleton.legs[not far_side], 0)
    if person.lower_cut.skirt:
        _paint_skirt(painter, skeleton)
    _paint_torso(painter)
    _paint_head(painter)
    if facing_away:
        _paint_loose_hair(painter)
    _paint_bags(painter, skeleton, near=True)
    _paint_arm(painter, skeleton.arms[not far_side], 0)
    if person.bag.kind == "handbag" and person.bag.left != far_side:
        _paint_side_bag(painter, skeleton)
    return painter.image


def _paint_leg(painter: Painter, chain: list[Joint], shade: int) -> None:
    person, cut = painter.person, painter.person.lower_cut
    widths = [0.05 * person.limb, 0.036 * person.limb, 0.023 * person.limb]
    painter.limb(chain, widths, label("skin", shade))
    side, up, forward = chain[2]
    foot, frame = painter.frame.point((side, up - 0.02, forward + 0.03)), painter.frame
    painter.ellipse(foot, frame.breadth(0.03, 0.068), 0.022 * frame.unit_y, label("shoes"))
    if person.shoe_height > 0.05:
        shank = [chain[2], first_part(chain, 0.72)[-1]]
        painter.limb(shank, [0.03, 0.034 * person.limb], label("shoes", shade))
    if cut.skirt:
        return
    ease = cut.ease * person.lower.ease
    covered = first_part(chain, cut.length * person.lower.length)
    # Wide trousers keep their width down to the hem, where a leg gets thin.
    loose = [widths[0] * (1 + 0.25 * (ease - 1)), widths[1] * ease, widths[2] * (2 * ease - 1)]
    if len(covered) == 2:
        loose[1] = (loose[0] + loose[1]) / 2
    painter.limb(covered, loose, painter.lower[shade], crease=label("lower.base", 2))


def _paint_skirt(painter: Painter, skeleton: Skeleton) -> None:
    person, cut = painter.person, painter.person.lower_cut
    waist = person.hip_height + 0.07
    hem = person.hip_height - (person.hip_height - 0.04) * cut.length * person.lower.length
    stride = max(abs(leg[2][2]) for leg in skeleton.legs.values()) * cut.length * 0.7
    flare = person.hip * (0.6 + 0.6 * cut.ease * person.lower.ease - 0.3)
    levels = [
        (waist, person.waist, 0.06),
        (person.hip_height, person.hip * 1.08, 0.074 * person.depth),
        (hem, flare, 0.06 + stride),
    ]
    painter.slab(levels, painter.lower[0], crease=label("lower.base", 2))


def _torso_levels(person: Person) -> list[tuple[float, float, float]]:
    """Outline of the upper garment for ``Painter.slab``."""
    cut, hip = person.upper_cut, person.hip_height
    ease = cut.ease * person.upper.ease
    shoulder = person.shoulder if cut.length > 0 else person.shoulder * 0.72
    thick = person.depth * ease
    levels = [
        (0.86, 0.028, 0.03),
        (SHOULDER_HEIGHT + 0.01, shoulder * 0.9, 0.05),
        (0.79, shoulder, 0.062 * thick),
        (0.72, person.shoulder * 0.86 * ease, 0.074 * thick),
        (0.62, person.waist * ease, 0.066 * thick),
    ]
    hem = hip - cut.hem * (person.upper.hem if cut.hem > 0 else 1.0)
    if hem < hip:
        levels.append((hip, person.hip * 1.03 * ease, 0.07 * thick))
    levels.append((hem, person.hip * (1.03 * ease) + cut.flare, 0.068 * thick + cut.flare))
    return levels


def _paint_torso(painter: Painter) -> None:
    person, frame = painter.person, painter.frame
    hip, crease = person.hip_height, label("upper.base", 2)
    painter.slab([(0.88, 0.03, 0.035), (0.81, 0.035, 0.04)], label("skin", 1))  # neck
    if not person.lower_cut.skirt:
        seat = (hip, person.hip, 0.072 * person.depth)
        levels = [(hip + 0.08, person.waist, 0.06), seat, (hip - 0.05, person.hip * 0.85, 0.06)]
        painter.slab(levels, painter.lower[0])
    painter.slab(_torso_levels(person), painter.upper[0], crease=crease)
    if person.upper_cut.length == 0:  # bare shoulders beside the straps of a tank top
        for side in (-1, 1):
            shoulder = (side * (person.shoulder - 0.02), 0.80, 0.0)
            painter.ball(shoulder, 0.022, 0.02, label("skin"))
    if person.upper.pattern == "logo" and cos(frame.azimuth) > 0.25:
        logo = [(0.77, 0.06, 0.0), (0.72 - person.upper.period, 0.06, 0.0)]
        painter.slab(logo, label("upper.accent"), forward=0.07)
    if person.upper_cut.hood and not person.hooded:
        drop = 0.05 if frame.nearness(0.0, -1.0) > 0.2 else 0.015
        hood = [(0.875, 0.05, 0.05), (0.85, 0.062, 0.06), (0.85 - drop, 0.04, 0.05)]
        painter.slab(hood, label("upper.base", 1), forward=-0.02, crease=crease)


def _paint_arm(painter: Painter, chain: list[Joint], shade: int) -> None:
    person, cut = painter.person, painter.person.upper_cut
    widths = [0.034 * person.limb, 0.027 * person.limb, 0.018 * person.limb]
    side, up, forward = chain[0]
    top = (side * 0.9, up + 0.022, forward)  # rounds the shoulder off
    painter.limb([top, *chain], [widths[0] * 0.5, *widths], label("skin", shade))
    side, up, forward = chain[2]
    painter.ball((side, up - 0.02, forward + 0.008), 0.02, 0.026, label("skin", shade))
    if cut.length > 0:
        ease = max(cut.ease * person.upper.ease, 1.0)
        sleeve = [top, *first_part(chain, cut.length * person.upper.length)]
        widths = [widths[0] * ease * 1.05, widths[1] * ease * 1.15, widths[2] * ease * 1.3]
        widths = [widths[0] * 0.5, *widths]
        painter.limb(sleeve, widths, painter.sleeves[shade], crease=label("upper.base", 2))


def _paint_head(painter: Painter) -> None:
    """Skull, face and what is worn on them."""
    person, frame = painter.person, painter.frame
    head, facing, hooded = person.head, cos(frame.azimuth), person.hooded
    middle = 1.0 - head / 2
    hair = label("skin", 1) if person.hair_style == "bald" else label("hair")
    skull = (frame.breadth(head * 0.4, head * 0.47), head * 0.5 * frame.unit_y)
    painter.ellipse(frame.point((0, middle + 0.006, -head * 0.06)), *skull, hair)
    if person.hair_style == "bun" and not hooded:
        painter.ball((0, 1.0 - 0.01, -head * 0.42), 0.034, 0.03, hair)
    if hooded:
        half = (frame.breadth(head * 0.5, head * 0.54), head * 0.56 * frame.unit_y)
        centre = frame.point((0, middle, -head * 0.08))
        painter.ellipse(centre, *half, label("upper.base", 2))
        painter.ellipse(centre, half[0] * 0.94, half[1] * 0.95, label("upper.base", 1))
    if facing > BACK_OF_HEAD:
        face = frame.point((0, middle - head * 0.1, head * 0.16))
        narrowing = min(1.0, 1.0 + facing) * (0.8 if hooded else 1.0)
        width = frame.breadth(head * 0.31, head * 0.27) * narrowing
        painter.ellipse(face, max(width, 1.0), head * 0.39 * frame.unit_y, label("skin"))
        if person.hair_style != "bald" and facing > 0.2 and not hooded:
            hairline = frame.point((0, middle + head * 0.3, head * 0.2))
            painter.ellipse(hairline, width * 0.95, head * 0.13 * frame.unit_y, hair)
    if person.hat != "none":
        _paint_hat(painter, middle, skull)


def _paint_hat(painter: Painter, middle: float, skull: tuple[float, float]) -> None:
    person, frame, head = painter.person, painter.frame, painter.person.head
    x, y = frame.point((0, middle + head * 0.12, 0))
    rise = skull[1] * (1.15 if person.hat == "beanie" else 0.98)
    box = (x - skull[0] * 1.1, y - rise, x + skull[0] * 1.1, y + rise)
    painter.draw.chord(box, 180, 360, fill=label("hat_surface"))
    shaded = label("hat_surface", 1)
    if person.hat == "cap":
        peak = frame.point((0, middle + head * 0.14, head * 0.55))
        half = frame.breadth(head * 0.3, head * 0.38)
        painter.ellipse(peak, half, 0.013 * frame.unit_y, shaded)
    elif person.hat == "brim":
        half = frame.breadth(head * 0.85, head * 0.9)
        painter.ellipse((x, y), half, head * 0.12 * frame.unit_y, shaded)
    else:  # the turned-up edge of a beanie
        half = 0.012 * frame.unit_y
        painter.draw.rectangle((box[0], y - half, box[2], y + half), fill=shaded)


def _paint_loose_hair(painter: Painter) -> None:
    """Hair that hangs behind the head, down to the neck or the shoulder blades."""
    end = {"bob": 0.83, "long": 0.73}.get(painter.person.hair_style)
    if end is None or painter.person.hooded:
        return
    head = painter.person.head
    crown = [(0.97, head * 0.36, head * 0.3), (0.9, head * 0.48, head * 0.34)]
    levels = [*crown, (end, head * 0.44, head * 0.2)]
    painter.slab(levels, label("hair", 1), forward=-head * 0.3)


def _paint_bags(painter: Painter, skeleton: Skeleton, *, near: bool) -> None:
    """Whatever of the bag lies on the camera's side of the body (near) or behind it."""
    bag, frame = painter.person.bag, painter.frame
    if bag.kind == "backpack":
        if (frame.nearness(0.0, -1.0) >= 0) == near:
            _paint_backpack(painter)
        elif near:
            for s in (-1, 1):
                strap = [(s * 0.06, 0.84, 0.03), (s * 0.068, 0.75, 0.08), (s * 0.085, 0.67, 0.05)]
                painter.limb(strap, [0.011, 0.012, 0.01], label("bag.surface"))
    elif bag.kind != "none":
        if near and bag.kind == "shoulder_bag":
            hip, forward = painter.person.hip + 0.02, 0.09 if cos(frame.azimuth) > 0 else -0.09
            end = (bag.sign * hip, painter.person.hip_height + 0.05, 0.0)
            strap = [(-bag.sign * 0.06, 0.845, 0.0), (0.0, 0.7, forward), end]
            painter.limb(strap, [0.009] * 3, label("bag.surface"))
        if (-bag.sign * sin(frame.azimuth) > -0.3) == near:
            _paint_side_bag(painter, skeleton)


def _paint_backpack(painter: Painter) -> None:
    bag = painter.person.bag
    top, half = 0.83, bag.half_width * 1.05
    bottom = top - bag.height * 1.25
    shoulders = [(top, half * 0.7, 0.035), (top - 0.03, half, 0.05)]
    levels = [*shoulders, (bottom + 0.02, half, 0.06), (bottom, half * 0.85, 0.055)]
    painter.slab(levels, label("bag.surface"), forward=-0.105, crease=label("bag.surface", 2))
    if painter.frame.nearness(0.0, -1.0) > 0.3:  # front pocket of the pack
        half *= 0.7
        pocket = [(bottom + bag.height * 0.5, half, 0.0), (bottom + 0.02, half, 0.0)]
        painter.slab(pocket, label("bag.surface", 1), forward=-0.15)


def _paint_side_bag(painter: Painter, skeleton: Skeleton) -> None:
    person, bag = painter.person, painter.person.bag
    if bag.kind == "handbag":
        side, up, forward = skeleton.arms[bag.left][2]
        top = up - 0.055
        handle = [(side, up - 0.02, forward), (side, top - 0.01, forward)]
        painter.limb(handle, [0.012, 0.024], label("bag.surface", 1))
    else:
        side, forward, top = bag.sign * (person.hip + 0.035), 0.0, person.hip_height + 0.05
    depth = bag.half_width * 1.1
    levels = [(top, 0.03, depth * 0.85), (top - bag.height * 0.8, 0.036, depth)]
    painter.slab(
        levels, label("bag.surface"), side=side, forward=forward, crease=label("bag.surface", 2)
    )
