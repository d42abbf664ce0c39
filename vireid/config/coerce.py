"""Turns what stands in a YAML file or on the command line into an option's own type."""

import math
from typing import Any

import yaml

from vireid.config.yaml_reader import parse_yaml

ITEMS = {int: "whole numbers", float: "numbers", str: "texts; put them in quotes"}
TRUE, FALSE = {"true", "yes", "on"}, {"false", "no", "off"}


def coerce(value: Any, default: Any) -> Any:
    """``value`` in the type of ``default``.

    Integers pass for floats, integral floats for integers, true/false/yes/no/on/off for booleans,
    numbers for strings, tuples for lists; list items take the type of the default's first item.

    Raises:
        ValueError: says which type is wanted.
    """
    if isinstance(default, bool):
        return _to_bool(value)
    if isinstance(default, int):
        return _to_int(value)
    if isinstance(default, float):
        return _to_float(value)
    if isinstance(default, str):
        return _to_str(value)
    return _to_list(value, default)


def parse_override(text: str, default: Any) -> Any:
    """A command-line value in the type of ``default``; text options keep their text.

    Raises:
        ValueError: the text is not of that type.
    """
    if isinstance(default, str):
        return text
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise ValueError("cannot be read as a value") from error
    return coerce(value, default)


def override_text(value: Any) -> str:
    """What stands on the command line for an option's value: undone by :func:`parse_override`.

    >>> override_text([288, 144])
    '[288, 144]'
    """
    if isinstance(value, str):
        return value
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf)
    return text.strip().removesuffix("...").strip()  # which end a document that is one scalar


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    raise ValueError("must be true or false")


def _to_float(value: Any) -> float:
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        raise ValueError("must be a number")
    try:
        return float(value)
    except (ValueError, OverflowError):  # OverflowError: an integer of more than 308 digits
        raise ValueError("must be a number") from None


def _to_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        number = _to_float(value)
    except ValueError:
        raise ValueError("must be a whole number") from None
    if not number.is_integer():
        raise ValueError("must be a whole number")
    return int(number)


def _to_str(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise ValueError("must be text; put it in quotes")


def _to_list(value: Any, default: list) -> list:
    if isinstance(value, str) and not default:  # names need no brackets, which shells expand
        value = value.replace(",", " ").split()
    if not isinstance(value, (list, tuple)):
        raise ValueError(f'must be a list such as "{default or ["a_name"]}"')
    if not default:  # only lists of names are empty by default
        return [_to_str(item) for item in value]
    try:
        return [coerce(item, default[0]) for item in value]
    except ValueError as error:
        raise ValueError(f"must be a list of {ITEMS[type(default[0])]}") from error
