from pathlib import Path

import pytest
from yacs.config import CfgNode

from tests.helpers import problems_of, value_of, write_text
from vireid.config import load_config
from vireid.config.load import flatten
from vireid.config.schema import default_config
from vireid.config.values import override_text, parse_override
from vireid.errors import UsageError


def load(path: Path | None, *overrides: str) -> CfgNode:
    return load_config(path, overrides, environment={})


def nested(key: str, text: str) -> str:
    """``A.B`` and ``1`` → the YAML text ``{A: {B: 1}}``."""
    return "".join(f"{{{name}: " for name in key.split(".")) + text + "}" * len(key.split("."))


READ = [
    ("SOLVER.BASE_LR", "1e-3", 0.001),
    ("SOLVER.BASE_LR", "1", 1.0),
    ("SOLVER.BASE_LR", ".5", 0.5),
    ("SOLVER.EPOCHS", "1e2", 100),
    ("SOLVER.EPOCHS", "60.0", 60),
    ("SOLVER.EPOCHS", "60", 60),
    ("SOLVER.STEPS", "[5]", [5]),
    ("SOLVER.STEPS", "[1e1, 20.0]", [10, 20]),
    ("SOLVER.STEPS", "[]", []),
    ("INPUT.ERASE_AREA", "[0.1, 1]", [0.1, 1.0]),
    ("INPUT.SIZE", "[64, 32]", [64, 32]),
    ("TEST.PROTOCOLS", "[sysu_all_single, 7]", ["sysu_all_single", "7"]),
    ("TEST.PROTOCOLS", "sysu_all_single", ["sysu_all_single"]),
    ("TEST.PROTOCOLS", "'one,two three'", ["one", "two", "three"]),
    *(("COMPILE", text, True) for text in ("true", "True", "yes", "on", "ON", "'yes'")),
    *(("TEST.FLIP", text, False) for text in ("false", "no", "off", "No", "'off'")),
]
TEXT = [
    ("OUTPUT_DIR", "2024", "2024"),
    ("MODEL.PRETRAINED", "none", "none"),
    ("DATA.ROOT", "/data/SYSU MM01/[a]", "/data/SYSU MM01/[a]"),
    ("DATA.ROOT", "", ""),
]


@pytest.mark.parametrize(("key", "text", "expected"), READ + TEXT)
def test_command_line_value_takes_the_options_type(key, text, expected):
    value = value_of(load(None, key, text), key)
    assert value == expected
    assert repr(value) == repr(expected)  # 1 == 1.0 == True, but their texts differ


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [*READ, ("OUTPUT_DIR", "2024", "2024"), ("OUTPUT_DIR", "0.5", "0.5")],
)
def test_file_value_takes_the_options_type(tmp_path, key, text, expected):
    value = value_of(load(write_text(tmp_path / "c.yaml", nested(key, text))), key)
    assert repr(value) == repr(expected)


@pytest.mark.parametrize("text", ["true", "null", "[a]", "010", "1e3", "2024-02-30", "- x: ["])
def test_command_line_text_is_never_read_as_yaml(text):
    cfg = load(None, "OUTPUT_DIR", text)
    assert cfg.OUTPUT_DIR == text


WRONG = [
    ("SOLVER.EPOCHS", "1.5", "must be a whole number, got"),
    ("SOLVER.EPOCHS", "true", "must be a whole number, got"),
    ("SOLVER.EPOCHS", "", "must be a whole number, got"),
    ("SOLVER.EPOCHS", ".inf", "must be a whole number, got"),
    ("SOLVER.EPOCHS", ".nan", "must be a whole number, got"),
    ("SOLVER.BASE_LR", "fast", "must be a number, got"),
    ("SOLVER.BASE_LR", "true", "must be a number, got"),
    ("SOLVER.BASE_LR", "[1]", "must be a number, got"),
    ("SOLVER.BASE_LR", "9" * 400, "must be a number, got"),
    ("COMPILE", "1", "must be true or false, got"),
    ("COMPILE", "maybe", "must be true or false, got"),
    ("SOLVER.STEPS", "5", 'must be a list such as "[60, 90]", got'),
    ("SOLVER.STEPS", "[60, x]", "must be a list of whole numbers, got"),
    ("SOLVER.STEPS", "{a: 1}", 'must be a list such as "[60, 90]", got'),
    ("MODEL.MGIM.GRANULARITIES", "[2.5]", "must be a list of whole numbers, got"),
    ("MODEL.SDM.WEIGHTS", "[1, x]", "must be a list of numbers, got"),
    ("TEST.PROTOCOLS", "7", "must be a list such as \"['a_name']\", got"),
    ("TEST.PROTOCOLS", "[true]", "must be text; put it in quotes, got"),
]


@pytest.mark.parametrize(
    ("key", "text", "phrase"),
    [
        *WRONG,
        ("SEED", "[1", "cannot be read as a value, got '[1'"),
        ("SEED", "2024-02-30", "cannot be read as a value, got '2024-02-30'"),
        ("SEED", "{a: 1}", "must be a whole number, got '{a: 1}'"),
    ],
)
def test_wrong_type_on_the_command_line_names_key_and_type(key, text, phrase):
    with pytest.raises(UsageError) as error:
        load(None, key, text)
    (line,) = problems_of(error)
    assert line.startswith(f"{key} {phrase}")


@pytest.mark.parametrize(
    ("key", "text", "phrase"),
    [
        *(row for row in WRONG if "{" not in row[1]),
        ("SEED", "{}", "must be a whole number, got {}"),
        ("OUTPUT_DIR", "true", "must be text; put it in quotes, got True"),
        ("OUTPUT_DIR", "null", "must be text; put it in quotes, got None"),
        ("OUTPUT_DIR", "2024-02-28", "must be text; put it in quotes, got"),
    ],
)
def test_wrong_type_in_a_file_names_file_key_and_type(tmp_path, key, text, phrase):
    path = write_text(tmp_path / "c.yaml", nested(key, text))
    with pytest.raises(UsageError) as error:
        load(path)
    (line,) = problems_of(error)
    assert line.startswith(f"{path}: {key} {phrase}")


MORE = (1e-5, 1e-300, -0.25, ["a, b", "yes", "1", "#"], ["x" * 200], [], "[a", "", True, 10**20)


@pytest.mark.parametrize("value", [*flatten(default_config()).values(), *MORE])
def test_a_value_written_for_the_command_line_is_read_back(value):
    kind = ["a"] if value == [] else value
    assert parse_override(override_text(value), kind) == value
