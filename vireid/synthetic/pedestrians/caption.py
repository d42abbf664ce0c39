"""What a person wears, in words."""

import numpy as np

from vireid.synthetic.pedestrians.person import CLOTH_COLOURS, Garment, Person
from vireid.synthetic.surfaces import Surface

COLOUR_NAMES = (
    "black", "white", "grey", "navy", "blue", "red", "maroon", "green",
    "olive", "beige", "brown", "yellow", "orange", "pink", "purple", "teal",
)  # fmt: skip  # in the order of CLOTH_COLOURS
GARMENTS = {"tank": "tank top", "t_shirt": "T-shirt", "long_sleeve": "long-sleeved shirt"}
GARMENTS |= {"bomber": "bomber jacket", "tight": "tight trousers", "wide": "wide trousers"}
GARMENTS |= {"cropped": "cropped trousers", "long_skirt": "long skirt"}
PLURAL = ("tight", "trousers", "wide", "cropped", "shorts")
PATTERNS = {"horizontal": "horizontally striped", "vertical": "vertically striped"}
PATTERNS |= {"checks": "checked", "diagonal": "diagonally striped", "dots": "dotted"}
PATTERNS |= {"contrast_sleeves": "two-coloured", "two_tone": "two-coloured", "logo": "printed"}
PATTERNS |= {"block": "two-coloured", "chest_band": "banded"}
HATS = {"brim": "hat with a brim"}


def caption(person: Person) -> str:
    """One sentence about clothes, shoes, hat and bag.

    >>> from vireid.synthetic.writers import person_of
    >>> caption(person_of(0, 1))[:9]
    'A person '
    """
    worn = [_worn(person.upper), _worn(person.lower), f"{_colour(person.shoes)} shoes"]
    if person.hat != "none":
        worn.append(_one(f"{_colour(person.hat_surface)} {HATS.get(person.hat, person.hat)}"))
    text = f"A person in {', '.join(worn[:-1])} and {worn[-1]}"
    if person.bag.kind == "none":
        return text + "."
    bag = f"{_colour(person.bag.surface)} {person.bag.kind.replace('_', ' ')}"
    return f"{text}, with {_one(bag)}."


def _worn(garment: Garment) -> str:
    name = GARMENTS.get(garment.cut, garment.cut)
    words = [_colour(garment.base), name]
    if garment.pattern != "plain":
        words[:1] = [
            PATTERNS.get(garment.pattern, garment.pattern),
            f"{_colour(garment.base)} and {_colour(garment.accent)}",
        ]
    text = " ".join(words)
    return text if garment.cut in PLURAL else _one(text)


def _one(text: str) -> str:
    """With its article."""
    return f"an {text}" if text[0] in "aeiou" else f"a {text}"


def _colour(surface: Surface) -> str:
    """The nearest of the colours that clothes have."""
    differences = np.square(np.array(CLOTH_COLOURS) - np.array(surface.visible)).sum(axis=1)
    return COLOUR_NAMES[int(differences.argmin())]
