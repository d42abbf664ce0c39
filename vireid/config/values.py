"""Values in YAML files and on the command line, and their conversion into an option's type."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from vireid.errors import UsageError

MOST_BYTES = 2**20  # of a file; the longest configuration has a hundredth of that
MOST_VALUES = 100_000  # of a file, where what an alias (*name) refers to counts every time
MOST_DIGITS = 3_000  # of a number; Python prints a few more
ITEMS = {int: "whole numbers", float: "numbers", str: "texts; put them in quotes"}
INFINITE = (".inf", "-.inf", "+.inf", ".nan")
TRUE, FALSE = {"true", "yes", "on"}, {"false", "no", "off"}


# Numbers in base ten, of one sign, with leading zeros or an exponent.
DECIMAL = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
WHOLE = re.compile(r"[-+]?[0-9]+")
CANONICAL = re.compile(r"0|-?[1-9][0-9]*")
OTHER_NOTATION = re.compile(r"[-+]?[0-9][\w:.+-]*")
BASE_TEN = " in base ten, without 0x, 0o, 0b, _ or :"
TAG = "tag:yaml.org,2002:"


class WordOrNumbers(str):
    """The default of an option that is a word or, instead, a list of numbers."""


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that reads numbers in base ten only, and refuses what is probably a mistake.

    A plain number stays text unless it is written as YAML would write it: an option for text keeps
    ``010`` and ``1.50`` so, and an option for numbers reads them as 10 and 1.5 (``coerce``).
    YAML 1.1 has 8 for ``010``, 90 for ``1:30``, true for ``on``, and a date for ``2024-01-01``;
    these are text here. A key given twice, a key that is no text, and endless numbers are refused.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str) or key in seen:
                problem = "is given twice" if isinstance(key, str) else "is not text: quote it"
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} {problem}", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_plain_number(self, node: yaml.ScalarNode) -> int | float | str:
        text = str(self.construct_scalar(node))
        if len(text) > MOST_DIGITS:
            raise yaml.MarkedYAMLError(
                problem="a number has too many digits", problem_mark=node.start_mark
            )
        if CANONICAL.fullmatch(text):
            return int(text)
        return float(text) if _float_text(float(text)) == text else text

    def construct_tagged_number(self, node: yaml.ScalarNode) -> int | float:
        """``!!int`` or ``!!float`` before a text."""
        convert = _to_int if node.tag == f"{TAG}int" else _to_float
        try:
            return convert(str(self.construct_scalar(node)))
        except ValueError as error:
            raise yaml.MarkedYAMLError(
                problem=f"{node.value!r:.60} {error}", problem_mark=node.start_mark
            ) from error


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in pairs if tag in (f"{TAG}null", f"{TAG}merge")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _form, _first in (
    ("!decimal", DECIMAL, "-+.0123456789"),
    (f"{TAG}float", re.compile(r"[-+]?\.inf|\.nan"), "-+."),
    (f"{TAG}bool", re.compile("true|True|TRUE|false|False|FALSE"), "tTfF"),
):
    _StrictLoader.add_implicit_resolver(_tag, re.compile(rf"(?:{_form.pattern})\Z"), list(_first))
_StrictLoader.add_constructor("!decimal", _StrictLoader.construct_plain_number)
_StrictLoader.add_constructor(f"{TAG}int", _StrictLoader.construct_tagged_number)
_StrictLoader.add_constructor(f"{TAG}float", _StrictLoader.construct_tagged_number)


def _float_text(value: float) -> str:
    """As YAML writes it."""
    return str(yaml.representer.SafeRepresenter().represent_float(value).value)


def parse_yaml(text: str) -> Any:
    """What a YAML text holds; plain values, lists and dictionaries only.

    Raises:
        ValueError: one line on what is wrong with it.
    """
    try:
        value = yaml.load(text, Loader=_StrictLoader)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"{error.problem}{where}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        raise ValueError(" ".join(str(error).split())) from error
    except Exception as error:  # PyYAML raises half a dozen types on these
        raise ValueError(f"a value is not what its tag (!!name) says ({error})") from error
    _require_finite(value)
    return value


def _require_finite(value: Any) -> None:
    """Raises ValueError when aliases make the value too long, or a part of itself."""
    pending, count = [value], 0
    while pending:
        count += 1
        if count > MOST_VALUES:
            raise ValueError(f"its aliases (*name) make it longer than {MOST_VALUES} values")
        part = pending.pop()
        if isinstance(part, (dict, list)):
            pending.extend(part.values() if isinstance(part, dict) else part)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file whose keys are text and given once.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UsageError(f"{path} has more than {MOST_BYTES:,} bytes: it is not a config file")
        values = parse_yaml(content.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read config file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"config file {path} is not UTF-8 text") from error
    except ValueError as error:
        raise UsageError(f"config file {path} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"config file {path} must hold KEY: VALUE pairs, got {values!r:.60}")
    return values


def parse_override(text: str, default: Any) -> Any:
    """A command-line value in the type of ``default``; text options keep their text.

    Raises:
        ValueError: the text is not of that type.
    """
    if isinstance(default, str) and not isinstance(default, WordOrNumbers):
        return text
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise ValueError("cannot be read as a value") from error
    return coerce(value, default)


def override_text(value: Any) -> str:
    """An option's value as the command line takes it; ``parse_override`` reads it back.

    >>> override_text([288, 144])
    '[288, 144]'
    """
    if isinstance(value, str):
        return value
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf)
    return text.strip().removesuffix("...").strip()  # the end of a document that is one scalar


def coerce(value: Any, default: Any) -> Any:
    """``value`` in the type of ``default``.

    Integers pass for floats, integral floats for integers, true/false/yes/no/on/off for booleans,
    numbers for strings, tuples for lists; list items take the type of the default's first item.
    A number passes for a list of one where the default is such a list.
    Texts pass for numbers when they are written in base ten: ``010`` is ten, ``0x10`` is refused.

    Raises:
        ValueError: says which type is wanted.
    """
    if isinstance(default, WordOrNumbers):
        return value if isinstance(value, str) else _to_list(value, [0.0])
    convert = {bool: _to_bool, int: _to_int, float: _to_float, str: _to_str}.get(type(default))
    return convert(value) if convert else _to_list(value, default)


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    raise ValueError("must be true or false")


def _to_float(value: Any) -> float:
    if isinstance(value, str):
        if not DECIMAL.fullmatch(value) and value not in INFINITE:
            raise ValueError(f"must be a number{_notation(value)}")
        return float(value.replace(".inf", "inf").replace(".nan", "nan"))
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError("must be a number")
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        raise ValueError("must be a number") from None


def _to_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and WHOLE.fullmatch(value) and len(value) <= MOST_DIGITS:
        return int(value)
    with suppress(ValueError):
        number = _to_float(value)
        if number.is_integer():
            return int(number)
    raise ValueError(f"must be a whole number{_notation(value)}")


def _notation(value: Any) -> str:
    """How a number must be written, for one that is written in another way."""
    if not isinstance(value, str) or DECIMAL.fullmatch(value):
        return ""
    return BASE_TEN if OTHER_NOTATION.fullmatch(value) else ""


def _to_str(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _float_text(value) if isinstance(value, float) else str(value)
    raise ValueError("must be text; put it in quotes")


def _to_list(value: Any, default: list) -> list:
    if isinstance(value, str) and not default:  # names need no brackets, which shells expand
        value = value.replace(",", " ").split()
    if len(default) == 1 and isinstance(value, (int, float, str)):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f'must be a list such as "{default or ["a_name"]}"')
    if not default:  # only lists of names are empty by default
        return [_to_str(item) for item in value]
    try:
        return [coerce(item, default[0]) for item in value]
    except ValueError as error:
        notation = BASE_TEN if BASE_TEN in str(error) else ""
        raise ValueError(f"must be a list of {ITEMS[type(default[0])]}{notation}") from error
