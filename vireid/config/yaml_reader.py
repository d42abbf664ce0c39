"""YAML read with care: keys are text and given once, and nothing grows out of proportion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vireid.errors import UsageError

MOST_BYTES = 2**20  # of a file; the longest configuration has a hundredth of that
MOST_VALUES = 100_000  # of a file, where what an alias (*name) stands for counts every time
MOST_BITS = 10_000  # of a whole number; Python prints some more digits than that


class _CarefulLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, and aliases that make a file endless."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _values(node, {}) > MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"its aliases (*name) make it longer than {MOST_VALUES} values",
                problem_mark=node.start_mark,
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} is not text: quote it", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int:
        number = int(super().construct_yaml_int(node))
        if number.bit_length() > MOST_BITS:
            raise yaml.MarkedYAMLError(
                problem="a number has too many digits", problem_mark=node.start_mark
            )
        return number


_CarefulLoader.add_constructor("tag:yaml.org,2002:int", _CarefulLoader.construct_number)


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node comes to when every alias is written out.

    Args:
        known: of nodes that were counted already, by their id; 0 while one is being counted.
    """
    if id(node) not in known:
        known[id(node)] = 0
        held = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [
            part for entry in held for part in (entry if isinstance(entry, tuple) else [entry])
        ]
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    elif known[id(node)] == 0:
        raise yaml.MarkedYAMLError(
            problem="an alias (*name) stands within what it names", problem_mark=node.start_mark
        )
    return known[id(node)]


def parse_yaml(text: str) -> Any:
    """What a YAML text holds; plain values, lists and dictionaries only.

    Raises:
        ValueError: one line on what is wrong with it.
    """
    try:
        return yaml.load(text, Loader=_CarefulLoader)
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


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file whose keys are text and given once.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UsageError(f"{path} has more than {MOST_BYTES:,} bytes: it is no config file")
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
