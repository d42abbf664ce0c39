import pytest
from yacs.config import CfgNode

from tests.helpers import problems_of, value_of
from vireid.config import apply_overrides, load_config, schema
from vireid.config.rules import Rule
from vireid.config.schema import OPTIONS
from vireid.config.validate import trained_exits
from vireid.errors import UsageError
from vireid.runs.options import choices
from vireid.runs.score import SCORING


def load(*overrides: str) -> CfgNode:
    return load_config(None, overrides, choices=choices(), environment={})


# Nothing but self-distillation is left to train on.
ALONE = " ".join(
    f"LOSS.{name}.WEIGHT 0" for name in ("IDENTITY", "TRIPLET", "PART_IDENTITY", "PART_TRIPLET")
)
BRANCHES = "MODEL.SDM.ENABLED false MODEL.MGIM.ENABLED false MODEL.DIRECTIONAL.ENABLED true"
# Rule → texts that break it; numbers that are no whole ones are tried on options of that type only.
WRONG = {
    schema.POSITIVE: ("0", "-1", ".nan", ".inf", "-.inf"),
    schema.NOT_NEGATIVE: ("-1", "-0.1", ".nan", ".inf"),
    schema.SHARE: ("-0.1", "1.1", ".nan", ".inf"),
    schema.DECAY: ("-0.1", "1", ".nan"),
    schema.SHARE_OR_NEGATIVE: ("1.1", ".nan"),
    schema.SEVERITY: ("-1", "6", "9" * 400),
    schema.SEEDS: ("-1", str(2**32), "9" * 400),
    schema.TRIALS: ("0", "11"),
    schema.DEPTH: ("-1", "6"),
    schema.AT_LEAST_2: ("0", "1"),
    schema.SIZE: ("[]", "[64]", "[64, 32, 3]", "[64, 31]", "[31, 64]"),
    schema.MEAN: ("[0.5, 0.5]", "[.nan, 0, 0]", "[0, .nan, 0]", "[124, 0, 0]"),
    schema.STD: ("[1, 1, 1, 1]", "[1, 0, 1]", "[1, -1, 1]", "[1, .nan, 1]", "[1, .inf, 1]"),
    schema.RANGE: ("none", "[]", "[5]", "[5, 5]", "[6, 5]", "[0, .inf]", "[.nan, 1]"),
    schema.COLOUR: ("[]", "[1, 2]", "[1, 2, 256]", "[-1, 2, 3]"),
    schema.AREA: ("[]", "[0.1]", "[0, 0.1]", "[0.4, 0.1]", "[0.1, 1.1]", "[0.1, .nan]"),
    schema.ANGLE: ("-1", "181", ".nan"),
    schema.JITTER: ("[]", "-0.1", "[0, .nan]", "[1, .inf]", "[0, 0, 0, 0.6]", "[0, 0, 0, 0, 0]"),
    schema.INFRARED_JITTER: ("[]", "-0.1", "[-1, 0]", "[0, .nan]", "[0, 0, 0]"),
    schema.ASCENDING: ("[90, 60]", "[60, 60]", "[0, 60]"),
    schema.STRIPES: ("[]", "[2, 0]", "[2, 2]"),
    schema.PATTERN: ("cam", "(cam)(1)", "(cam", "*(a)", "(?:cam)"),
    schema.PATH: ("~nobody_of_this_name/x", "a" * 300),
}


def with_rules() -> list[tuple[str, str, str]]:
    """Every option that has a rule, with each text that breaks it and the rule's words."""
    return [
        (key, text, option.allowed.words)
        for key, option in OPTIONS.items()
        if isinstance(option.allowed, Rule)
        for text in WRONG.get(option.allowed, ())
        if not (isinstance(option.default, int) and "." in text)
    ]


def test_every_rule_is_broken_by_some_value():
    used = {o.allowed for o in OPTIONS.values() if isinstance(o.allowed, Rule)}
    assert used == {*WRONG, schema.ANY}


def test_every_number_and_every_text_is_checked():
    free = [key for key, option in OPTIONS.items() if option.allowed is schema.ANY]
    others = {key for key in free if not isinstance(OPTIONS[key].default, bool)}
    assert others == {"DEVICE", "MODEL.SDM.WEIGHTS"}  # checked with the machine, and the taps


def test_names_of_results_show_the_options_in_the_order_of_0_1_0():
    younger = {"DATA.FRAMES", "INPUT.BACKGROUND", "INPUT.VISIBLE.RANGE", "INPUT.INFRARED.RANGE"}
    prefixes = tuple(f"TEST.{name}" for name in ("CORRUPTION", "RERANK_", "EXPANSION_", "AIM_"))
    younger |= {key for key in OPTIONS if key.startswith(prefixes)}
    names = "SIZE MEAN STD POOL DIRECTIONS SPATIAL_NORM SELECT METRIC GALLERY_DRAW FLIP EXIT"
    names += " GALLERY_EXIT EMBED BACKEND"
    assert [key.rpartition(".")[2] for key in SCORING if key not in younger] == names.split()


@pytest.mark.parametrize(("key", "text", "words"), with_rules())
def test_value_out_of_range_is_named_with_its_rule(key, text, words):
    with pytest.raises(UsageError) as error:
        load(key, text)
    (line,) = (line for line in problems_of(error) if line.startswith(f"{key} "))
    assert line.startswith(f"{key} must be {words}, got " if words else key)


def test_the_tables_of_other_packages_are_those_that_the_options_ask_for():
    asked = {key for key, option in OPTIONS.items() if option.allowed == schema.TABLE}
    assert asked == choices().keys()


@pytest.mark.parametrize("key", [k for k, o in OPTIONS.items() if isinstance(o.allowed, tuple)])
def test_unknown_name_lists_the_choices(key):
    value = OPTIONS[key].default
    with pytest.raises(UsageError) as error:
        load(key, "[nonsense]" if isinstance(value, list) else "nonsense")
    (line,) = problems_of(error)
    assert line.startswith(f"{key}='nonsense' is unknown; choose one of ")
    usual = value if isinstance(value, list) else [value or "''"]
    assert all(name in line.split("choose one of ")[1] for name in usual)


@pytest.mark.parametrize(
    ("overrides", "phrase"),
    [
        (
            "LOSS.IDENTITY.WEIGHT 0 LOSS.TRIPLET.WEIGHT 0 MODEL.SDM.ENABLED false "
            "MODEL.MGIM.ENABLED false",
            "every LOSS.*.WEIGHT is 0",
        ),
        ("SOLVER.GRADIENT_NORMS true COMPILE true", "SOLVER.GRADIENT_NORMS walks the graph"),
        ("MODEL.SYNC_BN true MODEL.NORM_STATISTICS dual", "MODEL.SYNC_BN knows joint"),
        ("MODEL.SYNC_BN true MODEL.NORM_STATISTICS separate", "MODEL.SYNC_BN knows joint"),
        *(
            (f"{ALONE} {students}", "every LOSS.*.WEIGHT is 0")
            for students in (
                "MODEL.SDM.TAPS []",
                "MODEL.SDM.WEIGHTS [0,0,0]",
                "MODEL.SDM.TAPS [conv2] MODEL.SDM.WEIGHTS [0,1,1]",
                "LOSS.SDM.WEIGHT 0",
                "LOSS.SDM.WEIGHT 0 LOSS.MMD.WEIGHT 1 LOSS.CROSS_MODAL_KL.WEIGHT 1",
            )
        ),
        *(
            (f"MODEL.SDM.TAPS {taps}", "MODEL.SDM.TAPS must be at most three stages, each once")
            for taps in ("[conv4,conv2]", "[conv2,conv2]", "[conv1,conv2,conv3,conv4]")
        ),
        *(
            (f"MODEL.SDM.WEIGHTS {weights}", "MODEL.SDM.WEIGHTS must hold a finite number")
            for weights in ("[1,1]", "[1,1,-1]", "[1,1,.inf]", "[1,.nan,1]")
        ),
        (
            "MODEL.MGIM.SCOPE all MODEL.MGIM.RELATION_SHARING granularity",
            "MODEL.MGIM.SCOPE all relates",
        ),
        (
            "MODEL.SDM.TEACHER global+parts MODEL.MGIM.ENABLED false",
            "MODEL.SDM.TEACHER global+parts needs parts",
        ),
        ("TEST.EXIT shallow1 MODEL.SDM.ENABLED false", "TEST.EXIT='shallow1': MODEL.SDM gives"),
        (
            "TEST.GALLERY_EXIT shallow3 MODEL.SDM.TAPS [conv2,conv3] TEST.EMBED global",
            "TEST.GALLERY_EXIT='shallow3': MODEL.SDM gives this model the exits deep, shallow1, ",
        ),
        ("TEST.EMBED parts MODEL.MGIM.ENABLED false", "TEST.EMBED parts needs parts"),
        ("TEST.EXIT shallow1 TEST.EMBED parts", "TEST.EMBED parts: the exit shallow1"),
        ("TEST.EXIT shallow1 TEST.GALLERY_EXIT deep", "students have global features only"),
        *(
            (f"{BRANCHES} MODEL.{name}.ENABLED true", "MODEL.DIRECTIONAL.ENABLED true: " + what)
            for name, what in (("SDM", "students beside"), ("MGIM", "parts beside"))
        ),
        (
            f"{BRANCHES} MODEL.DIRECTIONAL.DIRECTIONS []",
            "MODEL.DIRECTIONAL.DIRECTIONS must name a direction",
        ),
        (
            f"{BRANCHES} MODEL.DIRECTIONAL.DIRECTIONS [global,global] "
            "MODEL.DIRECTIONAL.BACKBONES shared",
            "MODEL.DIRECTIONAL.BACKBONES shared gives equal directions equal vectors",
        ),
        (
            f"{BRANCHES} MODEL.DIRECTIONAL.DIRECTIONS [global] "
            "MODEL.DIRECTIONAL.SPATIAL_NORM channel",
            "MODEL.DIRECTIONAL.SPATIAL_NORM channel makes every number",
        ),
        ("TEACHER.CONFIG a.yaml", "TEACHER.CONFIG='a.yaml' describes a teacher that is not there"),
        (
            f"{BRANCHES} LOSS.IDENTITY.WEIGHT 0 LOSS.TRIPLET.WEIGHT 0 "
            "LOSS.BRANCH_IDENTITY.WEIGHT 0",
            "every LOSS.*.WEIGHT is 0",
        ),
        (
            f"{ALONE} MODEL.SDM.ENABLED false TEACHER.WEIGHTS a.pth DISTILL.WEIGHT 0",
            "every LOSS.*.WEIGHT is 0",
        ),
        (
            "SOLVER.SELECT best SOLVER.VAL_EVERY 9 SOLVER.EPOCHS 8 DATA.SPLIT train",
            "SOLVER.SELECT best never validates",
        ),
        ("SOLVER.SELECT best", "SOLVER.SELECT best needs validation identities"),
        ("SOLVER.SELECT best DATA.SPLIT train", "SOLVER.SELECT best needs validation identities"),
        ("DATA.ROOT a/b DATA.CACHE a/b", "DATA.CACHE must be another folder than DATA.ROOT"),
        ("SOLVER.VAL_EVERY 5", "SOLVER.VAL_EVERY needs validation identities held out"),
        ("SOLVER.VAL_EVERY 5 DATA.SPLIT train+val", "SOLVER.VAL_EVERY needs validation"),
    ],
)
def test_options_that_contradict_one_another_are_refused(overrides, phrase):
    with pytest.raises(UsageError) as error:
        load(*overrides.split())
    (line,) = problems_of(error)
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
    dumped = load(key, text)
    assert value_of(apply_overrides(load(), [key, text]), key) == value_of(dumped, key)
    assert value_of(dumped, key) != value_of(load(), key)


@pytest.mark.parametrize("students", ["MODEL.SDM.WEIGHTS [0,0,1]", "LOSS.SDM.WEIGHT 0.1"])
def test_one_student_is_enough_to_train_on(students):
    cfg = load(*ALONE.split(), *students.split())
    assert trained_exits(cfg) == {
        "deep": False,
        "parts": False,
        "shallow1": "LOSS" in students,
        "shallow2": "LOSS" in students,
        "shallow3": True,
    }


@pytest.mark.parametrize(
    "options",
    [
        f"{BRANCHES} LOSS.IDENTITY.WEIGHT 0 LOSS.TRIPLET.WEIGHT 0",  # the branches' classifiers
        f"{ALONE} MODEL.SDM.ENABLED false TEACHER.WEIGHTS a.pth",  # the teacher's word
    ],
)
def test_branches_or_a_teacher_are_enough_to_train_on(options):
    assert trained_exits(load(*options.split()))["deep"]


@pytest.mark.parametrize(
    "options",
    [
        "MODEL.DIRECTIONAL.DIRECTIONS [global,global,global,global]",
        "MODEL.DIRECTIONAL.DIRECTIONS [diagonal] MODEL.DIRECTIONAL.BACKBONES shared",
        "MODEL.SHARED_DEPTH 0 MODEL.NORM_STATISTICS dual",
        "TEACHER.WEIGHTS runs/teacher",  # a teacher may be taught itself
        "SOLVER.SELECT best SOLVER.VAL_EVERY 5 DATA.SPLIT train",
    ],
)
def test_branches_combine_with_streams_a_teacher_and_validation(options):
    assert load(*BRANCHES.split(), *options.split()).MODEL.DIRECTIONAL.ENABLED
