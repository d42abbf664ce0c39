import re
from pathlib import Path

import pytest
from yacs.config import CfgNode

from tests.helpers import problems_of, write_text
from vireid.config import apply_overrides, dump_config, load_config
from vireid.config.load import flatten
from vireid.config.schema import default_config
from vireid.errors import UsageError


def load(path: Path | None = None, *overrides: str, **environment: str) -> CfgNode:
    return load_config(path, overrides, environment=environment)


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
        load(write_text(tmp_path / "c.yaml", f"{key}: 1"), key, "1")
    in_file, on_line = problems_of(error)
    assert in_file == f"{tmp_path / 'c.yaml'}: unknown key {key}; did you mean {known}?"
    assert on_line == f"unknown key {key}; did you mean {known}?"


@pytest.mark.parametrize("text", ["1", "null", "{}"])
def test_group_given_a_value_lists_its_options(tmp_path, text):
    path = write_text(tmp_path / "c.yaml", f"LOSS: {{TRIPLET: {text}}}")
    with pytest.raises(UsageError) as error:
        load(path)
    (line,) = problems_of(error)
    assert line == (
        f"{path}: LOSS.TRIPLET is a group, not an option; "
        "its options are LOSS.TRIPLET.WEIGHT, LOSS.TRIPLET.MARGIN"
    )


def test_unknown_empty_group_is_not_passed_over(tmp_path):
    with pytest.raises(UsageError, match="unknown key SOLVR; did you mean"):
        load(write_text(tmp_path / "c.yaml", "SOLVR: {}"))


@pytest.mark.parametrize("overrides", [["SEED"], ["SEED", "1", "COMPILE"]])
def test_odd_number_of_overrides_names_the_one_without_partner(overrides):
    with pytest.raises(UsageError, match=f"KEY VALUE pairs, but '{overrides[-1]}' has no value"):
        load(None, *overrides)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("SEED: 1\nCOMPILE: true\nSEED: 2", 3, "SEED"),
        ("SOLVER:\n  GAMMA: 1\n  GAMMA: 1", 3, "GAMMA"),
    ],
)
def test_key_given_twice_is_refused_with_its_line(tmp_path, text, line, key):
    path = write_text(tmp_path / "c.yaml", text)
    phrase = f"config file {path} is not valid YAML: key '{key}' is given twice (line {line},"
    with pytest.raises(UsageError, match=re.escape(phrase)):
        load(path)


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (b"SEED: [1", "is not valid YAML"),
        (b"\tSEED: 1", "is not valid YAML: found character '\\t'"),
        (b"true: 1", "is not valid YAML: key True is not text: quote it (line 1, column 1)"),
        (b"SEED: !!int 0o17", "is not valid YAML: '0o17' must be a whole number in base ten"),
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
    assert load(write_text(tmp_path / "c.yaml", "# nothing\n")) == default_config()


def test_base_is_found_beside_the_file_that_names_it(tmp_path, monkeypatch):
    write_text(tmp_path / "shared" / "deep.yaml", "SEED: 1\nSOLVER: {EPOCHS: 1, GAMMA: 0.5}")
    write_text(tmp_path / "shared" / "mid.yaml", "_BASE_: deep.yaml\nSEED: 2\nSOLVER: {EPOCHS: 2}")
    top = write_text(tmp_path / "mine" / "top.yaml", "_BASE_: ../shared/mid.yaml\nSEED: 3")
    monkeypatch.chdir(tmp_path)
    cfg = load(top.relative_to(tmp_path))
    assert (cfg.SEED, cfg.SOLVER.EPOCHS, cfg.SOLVER.GAMMA) == (3, 2, 0.5)
    assert "_BASE_" not in cfg


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_base_that_leads_back_is_refused(tmp_path, names):
    for name, base in zip(names, names[1:] + names[:1], strict=True):
        write_text(tmp_path / f"{name}.yaml", f"_BASE_: ./{base}.yaml")
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
    path = write_text(tmp_path / "c.yaml", f"_BASE_: {base}")
    with pytest.raises(UsageError, match=re.escape(phrase.format(folder=tmp_path))):
        load(path)


def test_later_sources_overrule_earlier_ones(tmp_path):
    base = write_text(tmp_path / "base.yaml", "DATA: {ROOT: /base}\nSEED: 5")
    silent = write_text(tmp_path / "silent.yaml", "_BASE_: base.yaml\nSEED: 6")
    top = write_text(tmp_path / "top.yaml", "_BASE_: base.yaml\nDATA: {ROOT: /file}")
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
    write_text(tmp_path / "base.yaml", "SOLVER: {EPOCHZ: 5, GAMMA: big}")
    path = write_text(tmp_path / "c.yaml", "_BASE_: base.yaml\nSEED: 1.5\nINPUT: {PAD: -1}")
    with pytest.raises(UsageError) as error:
        load(path, "TEST.GALLERY_DRAW", "none", "SAMPLER.IMAGES", "many", "FOO", "1")
    assert str(error.value).startswith(f"configuration ({path}) has problems:\n")
    lines = problems_of(error)
    starts = [
        f"{tmp_path / 'base.yaml'}: unknown key SOLVER.EPOCHZ",
        f"{tmp_path / 'base.yaml'}: SOLVER.GAMMA must be a number",
        f"{path}: SEED must be a whole number",
        "SAMPLER.IMAGES must be a whole number",
        "unknown key FOO",
        "INPUT.PAD must be 0 or more",
        "TEST.GALLERY_DRAW='none' is unknown",
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
    again = load(write_text(tmp_path / "config.yaml", dump_config(cfg)))
    assert again == cfg
    assert repr(flatten(again)) == repr(flatten(cfg))


def test_a_dump_names_every_option():
    keys = re.findall(r"([A-Z0-9_]+):", dump_config(load()))
    assert set(keys) >= {name for key in flatten(load()) for name in key.split(".")}


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
        assert problems_of(error) == [
            "DATA.DATASET='llcm' is unknown; choose one of sysu",
            "TEST.PROTOCOLS='six' is unknown; choose one of one, two",
        ]


def test_one_option_written_in_two_ways_in_one_file_is_refused(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("SOLVER: {EPOCHS: 5}\nSOLVER.EPOCHS: 6\n")
    with pytest.raises(UsageError, match="SOLVER.EPOCHS is given twice"):
        load_config(path, environment={})


def test_a_file_too_long_for_a_configuration_is_not_read_to_its_end(tmp_path):
    (tmp_path / "a.yaml").write_text("SEED: 1\n" + "#" * 2**20)
    with pytest.raises(UsageError, match="more than 1,048,576 bytes: it is not a config file"):
        load_config(tmp_path / "a.yaml", environment={})
