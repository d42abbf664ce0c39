"""Writes docs/configuration.md from the comments in vireid/config/defaults.py.

python docs/make_configuration.py            writes the page
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vireid.config.coerce import override_text
from vireid.config.load import flatten, to_dict
from vireid.config.rules import CHOICES, NOT_NEGATIVE, POSITIVE, RULES, SHARE
from vireid.config.schema import default_config
from vireid.runs.options import choices

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "vireid/config/defaults.py"
PAGE = ROOT / "docs/configuration.md"
INTRODUCTION = """\
# Options

Written by `python docs/make_configuration.py` from the comments in `vireid/config/defaults.py`; do
not edit. Any option stands in a config file, nested by its dots, or on the command line as `KEY
VALUE`:

```bash
python tools/train.py --cfg configs/demo.yaml MODEL.SHARED_DEPTH 5 INPUT.SIZE "[96, 48]" SEED 1
```

Precedence: defaults < `_BASE_` < file < `VIREID_DATA` (`DATA.ROOT` only) < command line. `_BASE_`
names another config file, relative to the one it stands in, whose options apply first. Where the
working folder has no such file, `configs/…` is what came with the installed project. Mistyped keys,
wrong types and values out of range are refused, all of them in one message.

[field]: what most published code of the field uses. [ours]: a choice of this project. Other names
in brackets say whose code or paper a value is from. [method.md](method.md) tells what options do.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """An option or a group of them.

    Args:
        key: dotted name.
        text: its comments, in one line.
        is_group: whether options stand below it.
    """

    key: str
    text: str
    is_group: bool


def read_entries(source: str) -> list[Entry]:
    """Options and groups of a defaults file, in its order.

    A comment belongs to the key that it stands above, or behind.
    """
    functions = {
        node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = {t.start[0]: t for t in tokens if t.type == tokenize.COMMENT}
    lines = source.splitlines()
    comments = {
        number: (token.string.lstrip("# "), not lines[number - 1][: token.start[1]].strip())
        for number, token in found.items()
    }
    tree = functions["default_config"].body[-1]
    assert isinstance(tree, ast.Return) and isinstance(tree.value, ast.Call)
    return list(_walk(tree.value.args[0], "", functions, comments))


Comments = dict[int, tuple[str, bool]]  # line → text, whether it stands alone


def _walk(
    tree: ast.expr, prefix: str, functions: dict[str, ast.FunctionDef], comments: Comments
) -> Iterator[Entry]:
    assert isinstance(tree, ast.Dict)
    for name, value in zip(tree.keys, tree.values, strict=True):
        assert isinstance(name, ast.Constant)
        key, told = f"{prefix}{name.value}", [_comment(name.lineno, value, comments)]
        if isinstance(value, ast.Call):  # a function of its own holds the group
            assert isinstance(value.func, ast.Name)
            function = functions[value.func.id]
            told.append(ast.get_docstring(function) or "")
            returned = function.body[-1]
            assert isinstance(returned, ast.Return) and returned.value is not None
            value = returned.value
        is_group = isinstance(value, ast.Dict)
        yield Entry(key, " ".join(" ".join(told).split()), is_group)
        if is_group:
            whole = value.lineno == value.end_lineno  # a comment behind is the group's alone
            yield from _walk(value, f"{key}.", functions, {} if whole else comments)


def _comment(line: int, value: ast.expr, comments: Comments) -> str:
    """What stands above a key, behind it and, where its value is one line, behind that."""
    above: list[str] = []
    while comments.get(line - 1 - len(above), ("", False))[1]:
        above.insert(0, comments[line - 1 - len(above)][0])
    behind = [comments[n][0] for n in sorted({line, value.end_lineno or line}) if n in comments]
    return "; ".join(part for part in (" ".join(above), *behind) if part)


RANGES = {POSITIVE: "greater than 0", NOT_NEGATIVE: "0 or more", SHARE: "0 to 1"}


def allowed(key: str, names: dict[str, Sequence[str]]) -> str:
    """What an option may be, where more is known than its type."""
    if key == "TEST.PROTOCOLS":
        return "see [protocols.md](protocols.md)"
    if key in names:
        return ", ".join(f"`{name}`" if name else "empty" for name in names[key])
    rule = RULES[key][1] if key in RULES else ""
    return RANGES.get(rule, rule.removeprefix("must be "))


def page(source: str) -> str:
    """The page's text."""
    names = {**CHOICES, **{key: tuple(known) for key, known in choices().items()}}
    defaults, rows = flatten(to_dict(default_config())), {"": [INTRODUCTION]}
    section = ""
    for entry in read_entries(source):
        top = entry.key.split(".")[0]
        if entry.is_group and entry.key == top:
            section = top
            about = [f"{entry.text[0].upper()}{entry.text[1:]}.\n"] if entry.text else []
            rows[top] = [f"## {top}\n", *about, *HEAD]
        elif entry.key == top:
            rows.setdefault("of the whole run", ["## The whole run\n", *HEAD])
            section = "of the whole run"
        if not entry.is_group:
            rows[section].append(_row(entry, defaults[entry.key], allowed(entry.key, names)))
        elif entry.key != top and entry.text:
            rows[section].append(f"| **{entry.key}** | | | {_cell(entry.text)} |")
    return "\n".join("\n".join(part) + "\n" for part in rows.values())


HEAD = ("| option | default | may be | |", "|---|---|---|---|")


def _row(entry: Entry, default: object, may_be: str) -> str:
    shown = f"`{override_text(default)}`" if default != "" else "empty"
    return f"| `{entry.key}` | {shown} | {_cell(may_be)} | {_cell(entry.text)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
