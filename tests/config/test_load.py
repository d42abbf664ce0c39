import re
from pathlib import Path
from typing import Any

import pytest
from yacs.config import CfgNode

from vireid.config import apply_overrides, dump_config, load_config
from vireid.config.defaults import default_config
from vireid.config.load import flatten, to_dict
from vireid.errors import UsageError


def value_of(cfg: CfgNode, key: str) -> Any:
    return flatten(to_dict(cfg))[key]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(path: Path | None = None, *overrides: str, **environment: str) -> CfgNode:
    return load_config(path, overrides, environment=environment)


def nested(key: str, text: str) -> str:
    """``A.B`` and ``1`` → the YAML text ``{A: {B: 1}}``."""
    return "".join(f"{{{name}: " for name in key.split(".")) + text + "}" * len(key.split("."))


def problems(error: pytest.ExceptionInfo[UsageError]) -> list[str]:
    return str(error.value).split("\n  - ")[1:]


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
    value = value_of(load(write(tmp_path / "c.yaml", nested(key, text))), key)
    assert repr(value) == repr(expected)


@pytest.mark.parametrize("text", ["true", "null", "[a]", "010", "1e3", "2024-02-30", "- x: ["])
def test_command_line_text_is_never_read_as_yaml(text):
    assert load(None, "OUTPUT_DIR", text).OUTPUT_DIR == text


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
    ("SOLVER.STEPS", "[60, x]", "must be a whole number, got"),
    ("SOLVER.STEPS", "{a: 1}", 'must be a list such as "[60, 90]", got'),
    ("TEST.PROTOCOLS", "sysu", "must be a list such as \"['sysu_all_single']\", got"),
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
    (line,) = problems(error)
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
    path = write(tmp_path / "c.yaml", nested(key, text))
    with pytest.raises(UsageError) as error:
        load(path)
    (line,) = problems(error)
    assert line.startswith(f"{path}: {key} {phrase}")


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("SOLVER.LRR", "SOLVER.BASE_LR"),
        ("SOLVER.EPOCH", "SOLVER.EPOCHS"),
        ("solver.epochs", "SOLVER.EPOCHS"),
        ("MODEL.SHAREDDEPTH", "MODEL.SHARED_DEPTH"),
        ("LOSS.TRIPLET.WIEGHT", "LOSS.TRIPLET.WEIGHT"),
        ("SEED.A", "SEED"),
    ],
)
def test_unknown_key_names_the_nearest_known_one(tmp_path, key, known):
    with pytest.raises(UsageError) as error:
        load(write(tmp_path / "c.yaml", nested(key, "1")), key, "1")
    in_file, on_line = problems(error)
    assert in_file == f"{tmp_path / 'c.yaml'}: unknown key {key}; did you mean {known}?"
    assert on_line == f"unknown key {key}; did you mean {known}?"


@pytest.mark.parametrize("text", ["1", "null", "{}"])
def test_group_given_a_value_lists_its_options(tmp_path, text):
    path = write(tmp_path / "c.yaml", f"LOSS: {{TRIPLET: {text}}}")
    with pytest.raises(UsageError) as error:
        load(path)
    (line,) = problems(error)
    assert line == (
        f"{path}: LOSS.TRIPLET is a group, not an option; "
        "its options are LOSS.TRIPLET.WEIGHT, LOSS.TRIPLET.MARGIN"
    )


def test_unknown_empty_group_is_not_passed_over(tmp_path):
    with pytest.raises(UsageError, match="unknown key SOLVR; did you mean"):
        load(write(tmp_path / "c.yaml", "SOLVR: {}"))


@pytest.mark.parametrize("overrides", [["SEED"], ["SEED", "1", "COMPILE"]])
def test_odd_number_of_overrides_names_the_one_without_partner(overrides):
    with pytest.raises(UsageError, match=f"KEY VALUE pairs, but '{overrides[-1]}' has no partner"):
        load(None, *overrides)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("SEED: 1\nCOMPILE: true\nSEED: 2", 3, "SEED"),
        ("SOLVER:\n  GAMMA: 1\n  GAMMA: 1", 3, "GAMMA"),
    ],
)
def test_key_given_twice_is_refused_with_its_line(tmp_path, text, line, key):
    path = write(tmp_path / "c.yaml", text)
    phrase = f"config file {path} is not valid YAML: key '{key}' is given twice (line {line},"
    with pytest.raises(UsageError, match=re.escape(phrase)):
        load(path)


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (b"SEED: [1", "is not valid YAML"),
        (b"\tSEED: 1", "is not valid YAML: found character '\\t'"),
        (b"OUTPUT_DIR: 2024-02-30", "is not valid YAML: day"),
        (b"yes: 1", "is not valid YAML: key True is not text (line 1, column 1)"),
        (b"- SEED", "must hold KEY: VALUE pairs, got ['SEED']"),
        (b"SEED", "must hold KEY: VALUE pairs, got 'SEED'"),
        (b"OUTPUT_DIR: \xff", "is not UTF-8 text"),
        (b"SEED: !!python/name:os.system", "is not valid YAML: could not determine a constructor"),
    ],
)
def test_unreadable_file_says_why_in_one_line(tmp_path, content, phrase):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        load(path)
    assert str(error.value).startswith(f"config file {path} {phrase}")
    assert "\n" not in str(error.value)


def test_missing_file_and_folder_are_named(tmp_path):
    for path, reason in [(tmp_path / "no.yaml", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(UsageError, match=re.escape(f"config file {path}: {reason}")):
            load(path)


def test_empty_file_gives_the_defaults(tmp_path):
    assert load(write(tmp_path / "c.yaml", "# nothing\n")) == default_config()


def test_base_is_found_beside_the_file_that_names_it(tmp_path, monkeypatch):
    write(tmp_path / "shared" / "deep.yaml", "SEED: 1\nSOLVER: {EPOCHS: 1, GAMMA: 0.5}")
    write(tmp_path / "shared" / "mid.yaml", "_BASE_: deep.yaml\nSEED: 2\nSOLVER: {EPOCHS: 2}")
    top = write(tmp_path / "mine" / "top.yaml", "_BASE_: ../shared/mid.yaml\nSEED: 3")
    monkeypatch.chdir(tmp_path)
    cfg = load(top.relative_to(tmp_path))
    assert (cfg.SEED, cfg.SOLVER.EPOCHS, cfg.SOLVER.GAMMA) == (3, 2, 0.5)
    assert "_BASE_" not in cfg


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_base_that_leads_back_is_refused(tmp_path, names):
    for name, base in zip(names, names[1:] + names[:1], strict=True):
        write(tmp_path / f"{name}.yaml", f"_BASE_: ./{base}.yaml")
    with pytest.raises(UsageError, match="_BASE_ leads back to a file"):
        load(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("base", "phrase"),
    [
        ("gone.yaml", "cannot read config file {folder}/gone.yaml: No such file"),
        ("[a.yaml]", "{folder}/c.yaml: _BASE_ must be a file name, got ['a.yaml']"),
    ],
)
def test_missing_base_is_named(tmp_path, base, phrase):
    path = write(tmp_path / "c.yaml", f"_BASE_: {base}")
    with pytest.raises(UsageError, match=re.escape(phrase.format(folder=tmp_path))):
        load(path)


def test_later_sources_overrule_earlier_ones(tmp_path):
    base = write(tmp_path / "base.yaml", "DATA: {ROOT: /base}\nSEED: 5")
    silent = write(tmp_path / "silent.yaml", "_BASE_: base.yaml\nSEED: 6")
    top = write(tmp_path / "top.yaml", "_BASE_: base.yaml\nDATA: {ROOT: /file}")
    assert load().DATA.ROOT == ""
    assert load(base).DATA.ROOT == "/base"
    assert (load(silent).DATA.ROOT, load(silent).SEED) == ("/base", 6)
    assert (load(top).DATA.ROOT, load(top).SEED) == ("/file", 5)
    assert load(top, VIREID_DATA="/environment").DATA.ROOT == "/environment"
    assert load(top, VIREID_DATA="").DATA.ROOT == "/file"
    assert load(top, "DATA.ROOT", "/line", VIREID_DATA="/environment").DATA.ROOT == "/line"


def test_the_last_of_two_overrides_holds():
    assert load(None, "SEED", "1", "SEED", "2").SEED == 2


def test_data_root_comes_from_the_process_environment(monkeypatch):
    monkeypatch.setenv("VIREID_DATA", "/environment")
    assert load_config(None).DATA.ROOT == "/environment"


def test_every_problem_stands_in_one_message(tmp_path):
    write(tmp_path / "base.yaml", "SOLVER: {EPOCHZ: 5, GAMMA: big}")
    path = write(tmp_path / "c.yaml", "_BASE_: base.yaml\nSEED: 1.5\nINPUT: {PAD: -1}")
    with pytest.raises(UsageError) as error:
        load(path, "TEST.METRIC", "cosin", "SAMPLER.IMAGES", "many", "FOO", "1")
    assert str(error.value).startswith(f"configuration ({path}) has problems:\n")
    lines = problems(error)
    starts = [
        f"{tmp_path / 'base.yaml'}: unknown key SOLVER.EPOCHZ",
        f"{tmp_path / 'base.yaml'}: SOLVER.GAMMA must be a number",
        f"{path}: SEED must be a whole number",
        "SAMPLER.IMAGES must be a whole number",
        "unknown key FOO",
        "TEST.METRIC='cosin' is unknown",
        "INPUT.PAD must not be negative",
    ]
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))


def test_loaded_configuration_is_frozen():
    cfg = load()
    with pytest.raises(AttributeError):
        cfg.SEED = 3
    with pytest.raises(AttributeError):
        cfg.SOLVER.EPOCHS = 3


def test_two_configurations_share_nothing():
    first = load()
    first.SOLVER.STEPS.append(99)
    assert load().SOLVER.STEPS == [60, 90]


def test_overrides_make_a_frozen_copy_and_leave_the_original_alone():
    cfg = load(None, "SEED", "1")
    before = dump_config(cfg)
    changed = apply_overrides(cfg, ["SEED", "2", "SOLVER.STEPS", "[5]"])
    assert (changed.SEED, changed.SOLVER.STEPS) == (2, [5])
    assert changed.is_frozen() and cfg.is_frozen()
    assert dump_config(cfg) == before
    with pytest.raises(UsageError, match=r"configuration \(the overrides\) has problems"):
        apply_overrides(cfg, ["SEED", "-1"])
    assert dump_config(cfg) == before


@pytest.mark.parametrize("root", ["", "2024", "on", "1e-3", "~", "a: b", "déjà vu", "12:30", "#x"])
def test_a_dumped_configuration_loads_as_the_same(tmp_path, root):
    overrides = ["SOLVER.BASE_LR", "1e-7", "TEST.PROTOCOLS", "[a, 'no']", "COMPILE", "yes"]
    cfg = load(None, "OUTPUT_DIR", root, "INPUT.ERASE_AREA", "[0.1, 1]", *overrides)
    again = load(write(tmp_path / "config.yaml", dump_config(cfg)))
    assert again == cfg
    assert repr(flatten(to_dict(again))) == repr(flatten(to_dict(cfg)))


def test_a_dump_names_every_option():
    keys = re.findall(r"([A-Z_]+):", dump_config(load()))
    assert set(keys) >= {name for key in flatten(to_dict(load())) for name in key.split(".")}


def test_choices_of_other_packages_are_enforced():
    choices = {"DATA.DATASET": {"sysu": None}, "TEST.PROTOCOLS": ("one", "two")}
    cfg = load_config(None, ["TEST.PROTOCOLS", "[two]"], choices=choices, environment={})
    assert cfg.TEST.PROTOCOLS == ["two"]
    overrides = ["TEST.PROTOCOLS", "[one, six]", "DATA.DATASET", "llcm"]
    for attempt in (
        lambda: load_config(None, overrides, choices=choices, environment={}),
        lambda: apply_overrides(cfg, overrides, choices=choices),
    ):
        with pytest.raises(UsageError) as error:
            attempt()
        assert problems(error) == [
            "DATA.DATASET='llcm' is unknown; choose one of sysu",
            "TEST.PROTOCOLS='six' is unknown; choose one of one, two",
        ]


SIDE = "must be [height, width] of at least 32 pixels each"
AREA = "must be [smallest, largest] share of the image"
RULES = [
    *(
        (key, value, "must be greater than 0")
        for key in ("MODEL.GEM_P", "SOLVER.BASE_LR", "SOLVER.GAMMA")
        for value in ("0", "-1", ".nan", ".inf", "-.inf")
    ),
    *(
        (key, "0", "must be greater than 0")
        for key in (
            "SAMPLER.IDENTITIES",
            "SAMPLER.IMAGES",
            "SOLVER.EPOCHS",
            "TEST.BATCH",
            "DATA.SYNTHETIC.TRAIN_IDS",
            "DATA.SYNTHETIC.TEST_IDS",
            "DATA.SYNTHETIC.IMAGES_PER_CAMERA",
        )
    ),
    *(
        (key, value, "must not be negative")
        for key in (
            "LOSS.TRIPLET.MARGIN",
            "LOSS.IDENTITY.WEIGHT",
            "LOSS.TRIPLET.WEIGHT",
            "LOSS.WEIGHTED_TRIPLET.WEIGHT",
            "LOSS.HETERO_CENTER.WEIGHT",
            "LOSS.HETERO_CENTER.MARGIN",
            "SOLVER.WEIGHT_DECAY",
            "SOLVER.BACKBONE_LR_FACTOR",
            "SOLVER.MOMENTUM",
        )
        for value in ("-0.1", ".nan", ".inf")
    ),
    *(
        (key, "-1", "must not be negative")
        for key in (
            "DATA.WORKERS",
            "INPUT.PAD",
            "SOLVER.WARMUP_EPOCHS",
            "SOLVER.CHECKPOINT_EVERY",
            "DATA.SYNTHETIC.SEED",
        )
    ),
    *(
        (key, value, "must lie between 0 and 1")
        for key in (
            "INPUT.FLIP",
            "INPUT.ERASE",
            "LOSS.IDENTITY.LABEL_SMOOTHING",
            "SOLVER.WARMUP_FACTOR",
            "SOLVER.MIN_LR_FACTOR",
        )
        for value in ("-0.1", "1.1", ".nan", ".inf")
    ),
    *(("SEED", value, "must be 0 to 4294967295") for value in ("-1", str(2**32), "9" * 400)),
    *(("DATA.TRIAL", value, "must be one of the splits 1 to 10") for value in ("0", "11")),
    *(
        ("MODEL.SHARED_DEPTH", v, "must be 0 (two backbones) to 5 (one stream)")
        for v in ("-1", "6")
    ),
    *(
        ("INPUT.SIZE", value, SIDE)
        for value in ("[]", "[64]", "[64, 32, 3]", "[64, 31]", "[31, 64]")
    ),
    ("DATA.SYNTHETIC.SIZE", "[16, 8]", SIDE),
    ("INPUT.MEAN", "[0.5, 0.5]", "must hold three numbers"),
    *(("INPUT.MEAN", f"[{v}, 0, 0]", "must hold numbers between 0 and 1") for v in (".nan", "124")),
    ("INPUT.STD", "[1, 1, 1, 1]", "must hold three numbers"),
    *(
        ("INPUT.STD", f"[1, {value}, 1]", "must hold positive numbers")
        for value in ("0", "-1", ".nan", ".inf")
    ),
    *(
        ("INPUT.ERASE_AREA", value, AREA)
        for value in ("[]", "[0.1]", "[0, 0.1]", "[0.4, 0.1]", "[0.1, 1.1]", "[0.1, .nan]")
    ),
    *(
        ("SOLVER.STEPS", value, "must be ascending epochs from 1")
        for value in ("[90, 60]", "[60, 60]", "[0, 60]")
    ),
]


@pytest.mark.parametrize(("key", "text", "phrase"), RULES)
def test_value_out_of_range_is_the_only_problem_named(key, text, phrase):
    with pytest.raises(UsageError) as error:
        load(None, key, text)
    (line,) = problems(error)
    assert line.startswith(f"{key} {phrase}")


@pytest.mark.parametrize(
    "key",
    [
        "DATA.SPLIT",
        "MODEL.POOL",
        "SOLVER.OPTIMIZER",
        "SOLVER.SCHEDULE",
        "SOLVER.SELECT",
        "TEST.METRIC",
        "PRECISION",
    ],
)
def test_unknown_name_lists_the_choices(key):
    with pytest.raises(UsageError) as error:
        load(None, key, "nonsense")
    (line,) = problems(error)
    assert line.startswith(f"{key}='nonsense' is unknown; choose one of ")
    assert (value_of(load(), key) or "''") in line.split("choose one of ")[1]


@pytest.mark.parametrize(
    ("overrides", "phrase"),
    [
        ("LOSS.IDENTITY.WEIGHT 0 LOSS.TRIPLET.WEIGHT 0", "every LOSS.*.WEIGHT is 0"),
        ("SOLVER.SELECT best", "SOLVER.SELECT best needs validation identities"),
        ("SOLVER.SELECT best DATA.SPLIT train", "SOLVER.SELECT best needs validation identities"),
        ("SOLVER.VAL_EVERY 5", "SOLVER.VAL_EVERY needs validation identities held out"),
        ("SOLVER.VAL_EVERY 5 DATA.SPLIT train+val", "SOLVER.VAL_EVERY needs validation"),
    ],
)
def test_options_that_contradict_one_another_are_refused(overrides, phrase):
    with pytest.raises(UsageError) as error:
        load(None, *overrides.split())
    (line,) = problems(error)
    assert line.startswith(phrase)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("SEED", str(2**32 - 1)),
        ("MODEL.SHARED_DEPTH", "0"),
        ("MODEL.SHARED_DEPTH", "5"),
        ("DATA.TRIAL", "10"),
        ("INPUT.SIZE", "[32, 32]"),
        ("INPUT.MEAN", "[0, 0, 1]"),
        ("INPUT.ERASE_AREA", "[1, 1]"),
        ("INPUT.FLIP", "1"),
        ("INPUT.PAD", "0"),
        ("LOSS.TRIPLET.WEIGHT", "0"),
        ("SOLVER.STEPS", "[1]"),
        ("DATA.WORKERS", "0"),
    ],
)
def test_values_at_the_edge_of_their_range_are_accepted(key, text):
    dumped = load(None, key, text)
    assert value_of(apply_overrides(load(), [key, text]), key) == value_of(dumped, key)
    assert value_of(dumped, key) != value_of(load(), key)


def test_best_epoch_with_held_out_identities_is_accepted():
    cfg = load(None, *"SOLVER.SELECT best SOLVER.VAL_EVERY 5 DATA.SPLIT train".split())
    assert (cfg.SOLVER.SELECT, cfg.SOLVER.VAL_EVERY, cfg.DATA.SPLIT) == ("best", 5, "train")
