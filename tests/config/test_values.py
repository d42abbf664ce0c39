from pathlib import Path

import pytest
import yaml
from yacs.config import CfgNode

from tests.helpers import problems_of, value_of, write_text
from vireid.config import dump_config, load_config
from vireid.config.load import flatten
from vireid.config.schema import default_config
from vireid.config.values import BASE_TEN, override_text, parse_override, parse_yaml
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
    ("INPUT.JITTER", "0.25", [0.25]),
    ("INPUT.JITTER", "1", [1.0]),
    ("INPUT.JITTER", "[0.5, 1]", [0.5, 1.0]),
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
    ("INPUT.JITTER", "strong", "must be a list of numbers, got"),
    ("INPUT.JITTER", "true", "must be a list of numbers, got"),
    ("INPUT.JITTER", "{a: 1}", 'must be a list such as "[0.0]", got'),
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
        ("SEED", "2024-02-30", f"must be a whole number{BASE_TEN}, got '2024-02-30'"),
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
    ],
)
def test_wrong_type_in_a_file_names_file_key_and_type(tmp_path, key, text, phrase):
    path = write_text(tmp_path / "c.yaml", nested(key, text))
    with pytest.raises(UsageError) as error:
        load(path)
    (line,) = problems_of(error)
    assert line.startswith(f"{path}: {key} {phrase}")


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("SEED", "010", 10),
        ("SEED", "08", 8),
        ("SEED", "0008", 8),
        ("SEED", "+5", 5),
        ("SEED", "-0", 0),
        ("SEED", "4294967295", 4294967295),
        ("SOLVER.BASE_LR", "007.50", 7.5),
        ("SOLVER.BASE_LR", ".5", 0.5),
        ("SOLVER.BASE_LR", "5.", 5.0),
        ("SOLVER.BASE_LR", "1e-3", 1e-3),
        ("SOLVER.BASE_LR", "1E+1", 10.0),
        ("SOLVER.BASE_LR", "3.5e-4", 3.5e-4),
        ("SOLVER.BASE_LR", "010", 10.0),
        ("SOLVER.STEPS", "[010, 020]", [10, 20]),
        ("SOLVER.STEPS", "[08, 1e1]", [8, 10]),
        ("INPUT.SIZE", "[0128, +64]", [128, 64]),
        ("INPUT.MEAN", "[.5, 00.25, 1e-1]", [0.5, 0.25, 0.1]),
    ],
)
def test_numbers_are_read_in_base_ten_in_files_and_on_the_command_line(
    tmp_path, key, text, expected
):
    on_line = value_of(load(None, key, text), key)
    in_file = value_of(load(write_text(tmp_path / "c.yaml", nested(key, text))), key)
    dotted = value_of(load(write_text(tmp_path / "d.yaml", f"{key}: {text}")), key)
    assert repr(on_line) == repr(in_file) == repr(dotted) == repr(expected)


OTHER = ("0x10", "0X1F", "0b1", "0o17", "1_000", "1__0", "1:30", "190:20:30", "2024-01-01", "12abc")


@pytest.mark.parametrize("text", [*OTHER, "-0x10", "+1_0"])
@pytest.mark.parametrize(
    ("key", "form", "what"),
    [
        ("SEED", "{}", "a whole number"),
        ("SOLVER.BASE_LR", "{}", "a number"),
        ("SOLVER.STEPS", "[1, {}]", "a list of whole numbers"),
        ("MODEL.SDM.WEIGHTS", "[{}, 1, 1]", "a list of numbers"),
    ],
)
def test_other_notations_of_numbers_are_refused_with_the_remedy(tmp_path, key, form, what, text):
    wrong = form.format(text)
    path = write_text(tmp_path / "c.yaml", nested(key, wrong))
    for source in ((None, key, wrong), (path,)):
        with pytest.raises(UsageError) as error:
            load(*source)
        (line,) = problems_of(error)
        expected = f"{key} must be {what} in base ten, without 0x, 0o, 0b, _ or :, got "
        assert expected in line and text in line


@pytest.mark.parametrize("text", ["on", "off", "yes", "no", "y", "n", "~", "null", "True", "١٢"])
@pytest.mark.parametrize(("key", "form"), [("SEED", "{}"), ("SOLVER.STEPS", "[{}]")])
def test_words_are_no_numbers(tmp_path, key, form, text):
    path = write_text(tmp_path / "c.yaml", nested(key, form.format(text)))
    for source in ((None, key, form.format(text)), (path,)):
        with pytest.raises(UsageError) as error:
            load(*source)
        (line,) = problems_of(error)
        assert "must be a whole number" in line or "must be a list of whole numbers" in line


@pytest.mark.parametrize(
    "text",
    [*OTHER, "010", "08", "+5", ".5", "1.50", "1e-3", "1e5", "on", "no", "Yes", "off", "1.0e-05"],
)
def test_an_option_for_text_keeps_the_text(tmp_path, text):
    """Also within a list, in quotes or not, and once more from the run's own config.yaml."""
    written = f"{{OUTPUT_DIR: {text}, TEST: {{PROTOCOLS: [{text}, '{text}']}}}}"
    cfg = load(write_text(tmp_path / "c.yaml", written), "DATA.ROOT", text)
    assert (cfg.OUTPUT_DIR, cfg.DATA.ROOT, cfg.TEST.PROTOCOLS) == (text, text, [text, text])
    assert load(None, "TEST.PROTOCOLS", f"[{text}]").TEST.PROTOCOLS == [text]
    assert load(write_text(tmp_path / "d.yaml", dump_config(cfg))) == cfg


def test_what_was_dumped_is_read_with_its_types():
    """The texts of 0.1.0's checkpoints and config.yaml are compared without conversion."""
    values = {
        "a": [0, -5, 10**20, 0.5, 1e-5, 1e300, -2.5e-7, 1e16, True, None, "010", "no", "1:30"]
    }
    read = parse_yaml(yaml.safe_dump(values))
    assert repr(read) == repr(values)


MORE = (1e-5, 1e-300, -0.25, ["a, b", "yes", "1", "#"], ["x" * 200], [], "[a", "", True, 10**20)


@pytest.mark.parametrize("value", [*flatten(default_config()).values(), *MORE])
def test_a_value_written_for_the_command_line_is_read_back(value):
    kind = ["a"] if value == [] else value
    assert parse_override(override_text(value), kind) == value
