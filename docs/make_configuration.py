"""Writes docs/configuration.md from the table of options in vireid/config/schema.py.

python docs/make_configuration.py            writes the page
"""

from __future__ import annotations

import re
from pathlib import Path

from vireid.config.schema import GROUPS, OPTIONS, Effect, Option, Rule
from vireid.config.values import override_text
from vireid.runs.options import choices

PAGE = Path(__file__).resolve().parents[1] / "docs/configuration.md"
INTRODUCTION = """\
# Options

Written by `python docs/make_configuration.py` from the table in `vireid/config/schema.py`; do not
edit. Any option stands in a config file, nested by its dots, or on the command line as `KEY VALUE`:

```bash
python tools/train.py --cfg configs/demo.yaml MODEL.SHARED_DEPTH 5 INPUT.SIZE "[96, 48]" SEED 1
```

Precedence: defaults < `_BASE_` < file < `VIREID_DATA` (`DATA.ROOT` only) < command line. `_BASE_`
names another config file, relative to the one it stands in, whose options apply first. Where the
working folder has no such file, `configs/…` is what came with the installed project. Mistyped keys,
wrong types and values out of range are refused, all of them in one message.

Numbers are read in base ten: `010` is 10, `1e-3` is 0.001; `0x10`, `1_000`, `1:30` and dates are
refused where a number is wanted. An option for text keeps its text: a folder `010`, `1.50` or `no`
needs no quotes. An option that is true or false also takes `yes`, `no`, `on` and `off`.

Relative paths begin in the working folder. A run's `config.yaml` holds them absolute, and its
`command.txt` the folder that each command was given in, so that every tool works from any folder,
and so does the command that continues a stopped run. A run that was moved is continued where it
is. Only training renders a synthetic data set (`DATA.SYNTHETIC.*`): where it is gone, the other
tools print the command that renders it again. `evaluate --run` writes the scores of other data than
the run's only into a file that `--out` names.

[field]: what most published code of the field uses. [ours]: a choice of this project. Other names
in brackets say whose code or paper a value is from. [method.md](method.md) explains the options.
The column "changes" says what a change of an option changes, and with it all that follows from it:

"""
HEAD = ("| option | default | may be | changes | |", "|---|---|---|---|---|")


def page() -> str:
    """The page's text."""
    lines = [INTRODUCTION + "\n".join(f"- {_label(e)}: {e.value}" for e in Effect)]
    tables = choices()
    section, shown = "", set()
    for key, option in OPTIONS.items():
        top = key.split(".")[0] if "." in key else "The whole run"
        if top != section:
            section = top
            about = [f"{GROUPS[top]}.\n"] if top in GROUPS else []
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
        may_be = "see docs/protocols.md"
    elif isinstance(option.allowed, Rule):
        may_be = option.allowed.words
    else:
        may_be = ", ".join(f"`{name}`" if name else "empty" for name in table or option.allowed)
    cells = (f"`{key}`", default, _cell(may_be), _label(option.effect), _cell(option.help))
    return f"| {' | '.join(cells)} |"


def _label(effect: Effect) -> str:
    return effect.name.lower()


def _cell(text: str) -> str:
    text = text.replace("|", "\\|").replace("<", "&lt;")
    return re.sub(r"docs/(\w+\.md)", r"[\1](\1)", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
