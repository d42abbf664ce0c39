import pytest
from yacs.config import CfgNode

from tests.helpers import problems_of, value_of
from vireid.config import apply_overrides, load_config
from vireid.config.rules import CHOICES as NAMES
from vireid.config.rules import RULES as CHECKED
from vireid.config.validate import trained_exits
from vireid.errors import UsageError


def load(*overrides: str) -> CfgNode:
    return load_config(None, overrides, environment={})


# Nothing but self-distillation is left to train on.
ALONE = " ".join(
    f"LOSS.{name}.WEIGHT 0" for name in ("IDENTITY", "TRIPLET", "PART_IDENTITY", "PART_TRIPLET")
)
BRANCHES = "MODEL.SDM.ENABLED false MODEL.MGIM.ENABLED false MODEL.DIRECTIONAL.ENABLED true"
SIDE = "must be [height, width] of at least 32 pixels each"
AREA = "must be [smallest, largest] share of the image"
RULES = [
    *(
        (key, value, "must be greater than 0")
        for key in (
            "MODEL.GEM_P",
            "MODEL.MGIM.GEM_P",
            "MODEL.SDM.TEMPERATURE",
            "DISTILL.TEMPERATURE",
            "SOLVER.BASE_LR",
            "SOLVER.GAMMA",
        )
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
            "DISTILL.WEIGHT",
            "LOSS.BRANCH_IDENTITY.WEIGHT",
            "LOSS.PART_IDENTITY.WEIGHT",
            "LOSS.PART_TRIPLET.MARGIN",
            "LOSS.PART_TRIPLET.WEIGHT",
            "LOSS.SDM.WEIGHT",
            "LOSS.TRIPLET.MARGIN",
            "LOSS.IDENTITY.WEIGHT",
            "LOSS.TRIPLET.WEIGHT",
            "LOSS.WEIGHTED_TRIPLET.WEIGHT",
            "LOSS.HETERO_CENTER.WEIGHT",
            "LOSS.HETERO_CENTER.MARGIN",
            "MODEL.SDM.BETA",
            "SOLVER.CLIP_NORM",
            "SOLVER.WEIGHT_DECAY",
            "SOLVER.BACKBONE_LR_FACTOR",
            "SOLVER.SPECIFIC_LR_FACTOR",
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
            "THREADS",
            "SOLVER.VAL_EVERY",
            "DATA.SYNTHETIC.SEED",
        )
    ),
    *(
        (key, value, "must lie between 0 and 1")
        for key in (
            "INPUT.FLIP",
            "INPUT.ERASE",
            "INPUT.CHANNEL_EXCHANGE",
            "INPUT.GRAYSCALE",
            "INPUT.INFRARED.CHANNEL_EXCHANGE",
            "LOSS.IDENTITY.LABEL_SMOOTHING",
            "MODEL.SDM.ALPHA",
            "SOLVER.WARMUP_FACTOR",
            "SOLVER.MIN_LR_FACTOR",
        )
        for value in ("-0.1", "1.1", ".nan", ".inf")
    ),
    *(("SEED", value, "must be 0 to 4294967295") for value in ("-1", str(2**32), "9" * 400)),
    *(("INPUT.INFRARED.ERASE", value, "must be at most 1") for value in ("1.1", ".nan")),
    *(("MODEL.MGIM.DIM", value, "must be at least 2") for value in ("0", "1")),
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


def test_every_rule_has_a_value_that_breaks_it():
    assert {key for key, _, _ in RULES} >= set(CHECKED)


@pytest.mark.parametrize(("key", "text", "phrase"), RULES)
def test_value_out_of_range_is_the_only_problem_named(key, text, phrase):
    with pytest.raises(UsageError) as error:
        load(key, text)
    (line,) = problems_of(error)
    assert line.startswith(f"{key} {phrase}")


@pytest.mark.parametrize("key", sorted(NAMES))
def test_unknown_name_lists_the_choices(key):
    value = value_of(load(), key)
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
        *(
            (f"{ALONE} {students}", "every LOSS.*.WEIGHT is 0")
            for students in (
                "MODEL.SDM.TAPS []",
                "MODEL.SDM.WEIGHTS [0,0,0]",
                "MODEL.SDM.TAPS [conv2] MODEL.SDM.WEIGHTS [0,1,1]",
                "LOSS.SDM.WEIGHT 0",
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
        ("MODEL.MGIM.GRANULARITIES []", "MODEL.MGIM.GRANULARITIES must hold different"),
        ("MODEL.MGIM.GRANULARITIES [2,0]", "MODEL.MGIM.GRANULARITIES must hold different"),
        ("MODEL.MGIM.GRANULARITIES [2,2]", "MODEL.MGIM.GRANULARITIES must hold different"),
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
            "TEST.GALLERY_EXIT='shallow3': MODEL.SDM gives this network the exits deep, shallow1, ",
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
        ("SOLVER.SELECT best", "SOLVER.SELECT best needs validation identities"),
        ("SOLVER.SELECT best DATA.SPLIT train", "SOLVER.SELECT best needs validation identities"),
        ("DATA.ROOT a/b DATA.CACHE a/b", "DATA.CACHE must be a folder of its own, not DATA.ROOT"),
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


def test_best_epoch_with_held_out_identities_is_accepted():
    cfg = load("SOLVER.SELECT", "best", "SOLVER.VAL_EVERY", "5", "DATA.SPLIT", "train")
    assert (cfg.SOLVER.SELECT, cfg.SOLVER.VAL_EVERY, cfg.DATA.SPLIT) == ("best", 5, "train")


def test_selecting_the_best_epoch_without_ever_validating_is_refused():
    overrides = "SOLVER.SELECT best SOLVER.VAL_EVERY 9 SOLVER.EPOCHS 8 DATA.SPLIT train".split()
    with pytest.raises(UsageError, match="never validates"):
        load_config(None, overrides, environment={})


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
    ],
)
def test_branches_combine_with_streams_and_a_teacher(options):
    assert load(*BRANCHES.split(), *options.split()).MODEL.DIRECTIONAL.ENABLED
