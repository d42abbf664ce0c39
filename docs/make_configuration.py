"""Writes docs/configuration.md from the table of options in vireid/config/schema.py.

python docs/make_configuration.py            writes the page
"""

from __future__ import annotations

import re
from pathlib import Path

from vireid.config.option import GROUPS, Effect, Option
from vireid.config.rules import BELOW_ROOT, PATH, PATTERN, WEIGHTS, Rule
from vireid.config.schema import OPTIONS, WEIGHT_NAMES
from vireid.config.values import override_text
from vireid.runs.options import choices

PAGE = Path(__file__).resolve().parents[1] / "docs/configuration.md"
INTRODUCTION = """\
# Configuration

This page lists every option with its default, its allowed values, and what changes when you change
it. `python docs/make_configuration.py` writes it from `vireid/config/schema.py`; do not edit it by
hand.

## How to set an option

On the command line, as `KEY VALUE`, anywhere among the other arguments:

```bash
python tools/train.py --cfg configs/demo.yaml MODEL.SHARED_DEPTH 5 INPUT.SIZE "[96, 48]" SEED 1
```

In a config file, nested by the dots of its name:

```yaml
_BASE_: configs/demo.yaml
MODEL: {SHARED_DEPTH: 5}
INPUT: {SIZE: [96, 48]}
SEED: 1
```

`_BASE_` names another config file whose options apply first. Its path is relative to the file that
names it. If the working folder has no file `configs/…`, the one that was installed with the project
is used.

Where an option is set several times, the last one in this list applies:

1. its default
2. the files named by `_BASE_`
3. the config file
4. the environment variable `VIREID_DATA`, for `DATA.ROOT` only
5. the command line

The tool checks all options before it starts. Misspelt names, wrong types and values out of range
are reported together in one message.

## How values are read

- Numbers are decimal: `010` is 10, and `1e-3` is 0.001. `0x10`, `1_000`, `1:30` and dates are
  refused where a number is expected.
- An option for text keeps the text as it is. A folder `010`, `1.50` or `no` needs no quotes.
- An option that is true or false also accepts `yes`, `no`, `on` and `off`.
- A relative path starts in the working folder. A run's `config.yaml` stores it as an absolute
  path, so every tool works from any folder. `command.txt` names the folder in which each command
  was typed.
- A run folder that was moved is continued in its new place.
- Only `train` renders a synthetic data set (`DATA.SYNTHETIC.*`). If it was deleted, the other tools
  print the command that renders it again.
- `evaluate --run` on other data than the run's needs `--out` for the scores.

## How to read the tables

[field]: what most published code of the field uses. [ours]: a choice of this project. Another name
in brackets is the paper or code that the value comes from. [Method](method.md) explains the
options.

The column "changes" says what a new value of the option changes. Everything that is computed from
that changes, too.

| changes | meaning |
|---|---|
"""
HEAD = ("| option | default | allowed values | changes | meaning |", "|---|---|---|---|---|")
OTHERS = "Other options"
WITHOUT_WORDS = {  # rules that say by themselves what is wrong with a value
    id(PATH): "a path",  # by identity: WEIGHTS is equal to it
    id(BELOW_ROOT): "a path below `DATA.ROOT`, or an absolute one",
    id(PATTERN): "a regular expression with one group",
    id(WEIGHTS): f"{', '.join(WEIGHT_NAMES)}, a path",
}


def page() -> str:
    """The page's text."""
    lines = [INTRODUCTION + "\n".join(f"| {_label(e)} | {e.value} |" for e in Effect)]
    tables = choices()
    section, shown = "", set()
    for key, option in OPTIONS.items():
        top = key.split(".")[0] if "." in key else OTHERS
        if top != section:
            section = top
            about = [f"{_cell(GROUPS[top])}.\n"] if top in GROUPS else []
            lines += [f"\n## {top}\n", *about, *HEAD]
        group = key.rpartition(".")[0]
        if group in GROUPS and group != top and group not in shown:
            lines.append(f"| **{group}** | | | | {_cell(GROUPS[group])} |")
        shown.add(group)
        lines.append(_row(key, option, tuple(tables.get(key, ()))))
    return "\n".join(lines) + "\n"


def _row(key: str, option: Option, table: tuple[str, ...]) -> str:
    default = f"`{override_text(option.default)}`" if option.default != "" else "empty"
    if key == "TEST.PROTOCOLS":
        allowed = "names in docs/protocols.md"
    elif isinstance(option.default, bool):
        allowed = "true, false"
    elif isinstance(option.allowed, Rule):
        allowed = option.allowed.words or WITHOUT_WORDS.get(id(option.allowed), "")
    else:
        allowed = ", ".join(f"`{name}`" if name else "empty" for name in table or option.allowed)
    cells = (f"`{key}`", default, _cell(allowed), _label(option.effect), _cell(option.help))
    return f"| {' | '.join(cells)} |"


def _label(effect: Effect) -> str:
    return effect.name.lower()


def _cell(text: str) -> str:
    return re.sub(r"docs/(\w+\.md)", r"[\1](\1)", text.replace("|", "\\|"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
