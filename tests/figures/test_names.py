import pytest

from vireid.figures.names import option_name, option_text, short_names, value_text

SWEEP = "/x/runs/sweeps/demo"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["runs/demo/seed0"], ["demo"]),
        (["runs/demo/seed0", "runs/demo/seed1"], ["demo, seed 0", "demo, seed 1"]),
        ([f"{SWEEP}/+_SDM/seed0", f"{SWEEP}/baseline/seed0"], ["+ SDM", "baseline"]),
        (["runs/demo/seed0", f"{SWEEP}/my_model/seed0"], ["demo", "my model"]),
        (["s1/base/seed0", "s2/base/seed0"], ["s1", "s2"]),
        (["a/split1/seed0", "a/split2/seed0"], ["a, split 1", "a, split 2"]),
        (["a_b", "a b"], ["a_b", "a b"]),
        (
            ["MODEL.SDM.ENABLED=true,INPUT.SIZE=96,48/seed2", "MODEL.SHARED_DEPTH=3/seed1"],
            ["SDM ✓, input size 96,48, seed 2", "shared depth 3, seed 1"],
        ),
    ],
)
def test_names_keep_what_differs(names, expected):
    assert short_names(names) == expected


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("MODEL.SDM.ENABLED", "true", "SDM ✓"),
        ("MODEL.MGIM.ENABLED", "false", "MGIM –"),
        ("SOLVER.BASE_LR", "0.01", "lr 0.01"),
        ("LOSS.WEIGHTED_TRIPLET.WEIGHT", "1.0", "weighted triplet weight 1.0"),
        ("MODEL.MGIM.GRANULARITIES", "[2, 3, 6]", "granularities 2, 3, 6"),
        ("TEACHER.WEIGHTS", "", "teacher none"),
    ],
)
def test_options_are_named_by_the_words_that_tell_which(key, value, text):
    assert option_text(key, value) == text == f"{option_name(key)} {value_text(value)}"
