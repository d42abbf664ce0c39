"""Paints the head: face, hair, hats, hoods."""

from math import cos

from vireid.synthetic.pedestrians.clothing import UPPER_CUTS
from vireid.synthetic.pedestrians.painter import Painter, label
from vireid.synthetic.pedestrians.person import Person

BACK_OF_HEAD = -0.6  # cosine of the azimuth beyond which the face turns out of sight


def wears_hood(person: Person) -> bool:
    """Whether a hood is over the head instead of on the shoulders."""
    return UPPER_CUTS[person.upper.cut].hood and person.hood_up and person.hat == "none"


def paint_head(painter: Painter) -> None:
    """Skull, face and what is worn on them."""
    person, frame = painter.person, painter.frame
    head, facing = person.head, cos(frame.azimuth)
    middle = 1.0 - head / 2
    hair = label("skin", 1) if person.hair_style == "bald" else label("hair")
    skull = (frame.breadth(head * 0.4, head * 0.47), head * 0.5 * frame.unit_y)
    painter.ellipse(frame.point((0, middle + 0.006, -head * 0.06)), *skull, hair)
    hooded = wears_hood(person)
    if person.hair_style == "bun" and not hooded:
        knot = frame.point((0, 1.0 - 0.01, -head * 0.42))
        painter.ellipse(knot, 0.034 * frame.unit_x, 0.03 * frame.unit_y, hair)
    if hooded:
        _paint_hood(painter, middle)
    if facing > BACK_OF_HEAD:
        face = frame.point((0, middle - head * 0.1, head * 0.16))
        narrowing = min(1.0, 1.0 + facing) * (0.8 if hooded else 1.0)
        width = frame.breadth(head * 0.31, head * 0.27) * narrowing
        painter.ellipse(face, max(width, 1.0), head * 0.39 * frame.unit_y, label("skin"))
        if person.hair_style != "bald" and facing > 0.2 and not hooded:  # the hairline
            x, y = frame.point((0, middle + head * 0.3, head * 0.2))
            painter.ellipse((x, y), width * 0.95, head * 0.13 * frame.unit_y, hair)
    if person.hat != "none":
        _paint_hat(painter, middle, skull)


def _paint_hood(painter: Painter, middle: float) -> None:
    frame, head = painter.frame, painter.person.head
    half = (frame.breadth(head * 0.5, head * 0.54), head * 0.56 * frame.unit_y)
    centre = frame.point((0, middle, -head * 0.08))
    painter.ellipse(centre, *half, label("upper", 2))
    painter.ellipse(centre, half[0] * 0.94, half[1] * 0.95, label("upper", 1))


def _paint_hat(painter: Painter, middle: float, skull: tuple[float, float]) -> None:
    person, frame, head = painter.person, painter.frame, painter.person.head
    x, y = frame.point((0, middle + head * 0.12, 0))
    rise = skull[1] * (1.15 if person.hat == "beanie" else 0.98)
    box = (x - skull[0] * 1.1, y - rise, x + skull[0] * 1.1, y + rise)
    painter.draw.chord(box, 180, 360, fill=label("hat"))
    if person.hat == "cap":
        brim = frame.point((0, middle + head * 0.14, head * 0.55))
        reach = frame.breadth(head * 0.3, head * 0.38)
        painter.ellipse(brim, reach, 0.013 * frame.unit_y, label("hat", 1))
    elif person.hat == "brim":
        reach = frame.breadth(head * 0.85, head * 0.9)
        painter.ellipse((x, y), reach, head * 0.12 * frame.unit_y, label("hat", 1))
    else:  # the turned-up edge of a beanie
        painter.draw.rectangle(
            (box[0], y - 0.012 * frame.unit_y, box[2], y + 0.012 * frame.unit_y),
            fill=label("hat", 1),
        )


def paint_loose_hair(painter: Painter) -> None:
    """Hair that hangs behind the head, down to the neck or the shoulder blades."""
    length = {"bob": 0.83, "long": 0.73}.get(painter.person.hair_style)
    if length is None or wears_hood(painter.person):
        return
    head = painter.person.head
    painter.slab(
        [
            (0.97, head * 0.36, head * 0.3),
            (0.9, head * 0.48, head * 0.34),
            (length, head * 0.44, head * 0.2),
        ],
        label("hair", 1),
        forward=-head * 0.3,
    )
