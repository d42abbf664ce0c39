"""Every command of the documentation is run, or parsed by its own tool.

A new command needs no entry here. RUN lists what is run, in that order; each takes a second or two.
"""

import argparse
import importlib
import importlib.util
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from yacs.config import CfgNode

from tests.docs.markdown import PAGES, PROGRAMS, ROOT, Command, blocks_of, commands_of
from vireid.cli import TOOLS
from vireid.cli.arguments import is_key
from vireid.config import load_config
from vireid.evaluation.protocols import expand
from vireid.runs.options import choices, read_config
from vireid.sweeps.planner import plan_runs
from vireid.sweeps.spec import read_sweep

COMMANDS = list({c.text: c for page in PAGES for c in commands_of(page)}.values())
# Run where runs/demo/seed0 and runs/sysu/seed0 are finished runs
RUN = (
    "python tools/extract.py --run runs/sysu/seed0 --out features.npz",
    "python tools/evaluate.py --run runs/sysu/seed0 --protocols sysu_all_single TEST.FLIP true",
    "python tools/evaluate.py --run runs/sysu/seed0 TEST.EMBED global TEST.EXIT shallow1 "
    "TEST.GALLERY_EXIT deep",
    "python tools/evaluate.py --features features.npz --protocols sysu_all_single "
    "--gallery-draw seeded",
    "python tools/tsne.py --run runs/demo/seed0 --out tsne.png",
    "python tools/visualize.py ranks --run runs/demo/seed0 --worst --out failures.png",
    "python tools/visualize.py activations --run runs/demo/seed0 --out activations.png",
    "python tools/visualize.py distances runs/demo/seed0 --out distances.svg",
    "python tools/visualize.py curves runs/demo/seed0 --out curves.png",
    "python tools/report.py runs/demo/seed0 --out report.html",
    "python tools/table.py runs/sysu --format latex",
    "python tools/cost.py --cfg configs/sysu.yaml --exits all --rounds 0",
    "python tools/sweep.py --cfg configs/sweeps/shared_depth.yaml --dry-run",
    "vireid --help",
)
# Not parsed: programs of others, and the data set that test_extending.py adds
OTHERS = "apt-get cd conda git mkdocs mypy pip pre-commit pytest ruff source".split()
OTHER = re.compile(
    rf"({'|'.join(OTHERS)})\b|python -(c|m (build|venv))\b|.*(--dataset night|night\.yaml)\b"
)
PARSED = [command for command in COMMANDS if command.text not in RUN and not command.is_pattern]


class Parsed(BaseException):
    """Leaves a tool once its own parser has accepted the words."""


def parse(command: Command, monkeypatch) -> argparse.Namespace:
    """The arguments that the command's tool parses from its words."""
    for name in ("parse_args", "parse_intermixed_args"):
        original = getattr(argparse.ArgumentParser, name)

        def leave(line, *given, original=original):
            raise Parsed(original(line, *given))

        monkeypatch.setattr(argparse.ArgumentParser, name, leave)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # as for a script in that folder
    main, words = tool_of(command)
    monkeypatch.setattr(sys, "argv", ["tool", *words])
    with pytest.raises(Parsed) as left:
        main()
    return left.value.args[0]


def tool_of(command: Command):
    """The function that a command calls, and the words that it gets."""
    program, *words = command.words
    if program == "torchrun":
        from torch.distributed.run import get_args_parser

        given = [re.sub(r"^N$", "2", word) for word in words]
        known = argparse.ArgumentParser.parse_known_args(get_args_parser(), given)[0]
        program, words = "python", [known.training_script, *known.training_script_args]
    if program == "vireid":
        return importlib.import_module(f"vireid.cli.{words[0]}").main, words[1:]
    if words[0] == "-m":
        return importlib.import_module(words[1]).main, words[2:]
    assert program == "python", f"{command.page}: {program} is not in OTHERS"
    path = ROOT / words[0]
    assert path.is_file(), f"{command.page}: there is no {words[0]}"
    if path.parent.name == "tools":
        assert path.stem in TOOLS
        return importlib.import_module(f"vireid.cli.{path.stem}").main, words[1:]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module.main, words[1:]


def overrides_of(args: argparse.Namespace) -> list[str]:
    """``KEY VALUE`` words, also those that an argument of several words took."""
    found = []
    for value in vars(args).values():
        if isinstance(value, list):
            keys = [k for k, word in enumerate(value) if isinstance(word, str) and is_key(word)]
            found += value[keys[0] :] if keys else []
    return found


def resolve(args: argparse.Namespace, command: Command) -> list[CfgNode]:
    """The configurations that a command would use, all of them checked."""
    overrides, cfg = overrides_of(args), getattr(args, "cfg", None)
    if "sweep.py" in command.text:
        sweep = read_sweep(args.cfg)
        runs = plan_runs(sweep, overrides, lambda words: read_config(sweep.base, words),
                         environment={})  # fmt: skip
        return [run.cfg for run in runs]
    paths = [path for path in (cfg if isinstance(cfg, list) else [cfg]) if path]
    configs = [path for path in paths if str(path).endswith(".yaml")]
    if not configs:
        return [load_config(None, overrides, choices=choices(), environment={})]
    return [read_config(Path(path), overrides) for path in configs]


@pytest.mark.parametrize("command", PARSED, ids=lambda command: command.text)
def test_a_command_that_is_not_run_is_parsed(command, monkeypatch):
    """By its own tool, its configurations resolved and its protocols known."""
    if OTHER.match(command.text):
        return
    args = parse(command, monkeypatch)
    assert resolve(args, command)
    names = [name for name in getattr(args, "protocols", None) or [] if not is_key(name)]
    assert len(expand(names)) >= len(names)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.is_pattern], ids=lambda c: c.text)
def test_a_tool_that_is_only_named_exists(command):
    words = command.text.split()
    if words[0] == "vireid":
        assert words[1:2] == [] or words[1] in (*TOOLS, "NAME")
    elif len(words) > 1 and words[1].startswith(("tools/", "benchmarks/")):
        assert (ROOT / words[1]).is_file() or words[1] == "tools/NAME.py"


def test_what_pip_installs_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [extra for c in COMMANDS for extra in re.findall(r"^pip.*\[(\w+)\]", c.text)]
    assert {"dev", "docs", "export", "slurm"} <= set(extras)
    assert set(extras) <= project["optional-dependencies"].keys()


def test_blocks_without_a_language_hold_no_commands():
    for page in PAGES:
        for block in blocks_of(page):
            assert block.language in ("", "bash", "bibtex", "csv", "diff", "python", "yaml")
            first = block.text.split(maxsplit=1)[0]
            assert block.language or first not in PROGRAMS, f"{block.page}:{block.line}"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, finished_run) -> Path:
    """A folder in which the documentation's runs have been trained."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "configs").symlink_to(ROOT / "configs")
    for name in ("demo", "sysu"):
        shutil.copytree(finished_run, folder / f"runs/{name}/seed0")
    return folder


def test_every_command_that_runs_is_in_the_documentation():
    assert set(RUN) <= {command.text for command in COMMANDS}


@pytest.mark.parametrize("text", RUN)
def test_the_command_runs(text, workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    if text == "vireid --help":
        monkeypatch.setattr(sys, "argv", text.split())
        assert importlib.import_module("vireid.cli").main() == 0
    else:
        main, words = tool_of(Command("", text))
        monkeypatch.setattr(sys, "argv", ["tool", *words])
        assert main() == 0, capsys.readouterr().err
    out = re.search(r"--out (\S+)", text)
    assert capsys.readouterr().out
    assert out is None or (workplace / out[1]).stat().st_size > 500
