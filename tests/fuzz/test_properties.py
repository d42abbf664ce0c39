"""What is read equals what was written, and impossible values are refused."""

import csv
import re
import string

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from vireid.config import dump_config, load_config
from vireid.config.load import flatten
from vireid.config.schema import default_config
from vireid.config.values import MOST_VALUES, coerce, override_text, parse_override, parse_yaml
from vireid.data.datasets import csv_set
from vireid.data.images import read_image
from vireid.errors import UsageError, printable
from vireid.evaluation.feature_files import read_features, write_features
from vireid.structures import FeatureSet, ImageRecord, Modality
from vireid.utils.paths import path_problem

DEFAULTS = flatten(default_config())
QUICK = settings(
    deadline=None,
    database=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=list(HealthCheck),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.text(string.ascii_letters + string.digits + "äπ -_.,'\"", min_size=1, max_size=12)


@QUICK
@given(st.sampled_from(sorted(DEFAULTS)), VALUES)
def test_a_value_takes_its_options_type_or_is_refused(key, value):
    try:
        taken = coerce(value, DEFAULTS[key])
    except ValueError as error:
        assert str(error)
        return
    assert type(taken) is type(DEFAULTS[key])
    assert coerce(taken, DEFAULTS[key]) == taken or taken != taken


def meant(default):
    """Values of an option's type."""
    if isinstance(default, list):
        return st.lists(meant(default[0]) if default else NAMES)
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    kinds = {bool: st.booleans(), int: st.integers(-(2**60), 2**60), float: numbers, str: st.text()}
    return kinds[type(default)]


@QUICK
@given(st.sampled_from(sorted(DEFAULTS)), st.data())
def test_a_value_on_the_command_line_comes_back(key, data):
    value = data.draw(meant(DEFAULTS[key]))
    assert parse_override(override_text(value), DEFAULTS[key]) == value


@QUICK
@given(st.dictionaries(st.sampled_from(sorted(DEFAULTS)), VALUES, max_size=4))
def test_a_configuration_is_refused_or_survives_being_saved(tmp_path_factory, values):
    words = [word for key, value in values.items() for word in (key, repr(value))]
    try:
        cfg = load_config(None, words, environment={})
    except UsageError as error:
        assert "\n  - " in str(error)
        return
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(dump_config(cfg), encoding="utf-8")
    assert load_config(path, environment={}) == cfg


@QUICK
@given(st.text())
def test_any_text_is_yaml_or_refused_in_one_line(text):
    try:
        parse_yaml(text)
    except ValueError as error:
        assert str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a [*a]", "longer than 100000 values"),
        ("a: &a {b: {c: *a}}", "longer than 100000 values"),
        ("a: 1\na: 2", "'a' is given twice"),
        ("1: 2", "key 1 is not text"),
        ("a: " + "9" * 3001, "too many digits"),
        ("a: !!bool maybe", "not what its tag (!!name) says ('maybe')"),
        ("a: !!timestamp soon", "not what its tag"),
        ("a: !!int ''", "'' must be a whole number (line 1, column 4)"),
        ("a: !!int 0x10", "'0x10' must be a whole number in base ten"),
        ("a: !!float 1:30.5", "'1:30.5' must be a number in base ten"),
        ("a: !!timestamp 2001-99-99", "month must be in 1..12"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_yaml_that_no_configuration_needs_is_refused(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_yaml(text)


def test_each_use_of_an_alias_counts():
    ten = "a: &a [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]\n"  # 1 + 10 values, its key and the mapping
    hundreds = ten + "b: [" + ", ".join(["*a"] * 100) + "]"
    assert len(parse_yaml(hundreds)["b"]) == 100
    many = ten + "b: [" + ", ".join(["*a"] * (MOST_VALUES // 11)) + "]"
    with pytest.raises(ValueError, match="longer than 100000 values"):
        parse_yaml(many)


@QUICK
@given(st.text())
def test_messages_cannot_steer_a_terminal(text):
    shown = printable(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    shown.encode()
    assert printable(shown) == shown
    assert all(c in shown for c in text if c.isprintable())


@pytest.mark.parametrize(
    ("path", "phrase"),
    [
        ("", ""),
        ("runs/a b/ä", ""),
        ("~", ""),
        ("~no_such_user/x", "no folder here"),
        ("a\0b", "no file name can have"),
        ("a\ud800", "no file name can have"),
        ("a" * 256, "longer"),
        ("ä" * 128, "longer"),  # 256 bytes
        ("a/" * 2050, "longer"),
    ],
)
def test_paths_that_no_system_can_open(path, phrase):
    assert (phrase in path_problem(path)) if phrase else path_problem(path) == ""


FILES = NAMES.map(str.strip).filter(lambda name: name.strip(" ."))
NUMBERS = st.integers(1, 2**63 - 1)
ROWS = st.lists(
    st.tuples(FILES, st.integers(0, 2**63 - 1), NUMBERS, st.sampled_from(Modality)),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row[0],
)


@QUICK
@given(ROWS, st.sampled_from(["train", "test"]))
def test_a_csv_set_is_read_as_it_was_written(tmp_path_factory, rows, part):
    folder = tmp_path_factory.mktemp("set")
    with (folder / "dataset.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "pid", "camid", "modality", "split"))
        writer.writerows((name, pid, c, modality.name, part) for name, pid, c, modality in rows)
    for name, *_ in rows:
        (folder / name).touch()
    splits = csv_set.load(folder)
    assert getattr(splits, part) == tuple(
        ImageRecord(name, pid, camera, modality) for name, pid, camera, modality in rows
    )


@QUICK
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(1, 5), st.integers(1, 4)),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    st.data(),
)
def test_features_come_back_bit_for_bit(tmp_path_factory, features, data):
    count = len(features)
    numbers = hnp.arrays(np.int64, count, elements=NUMBERS)
    written = FeatureSet(
        features,
        data.draw(numbers),
        data.draw(numbers),
        data.draw(hnp.arrays(np.uint8, count, elements=st.integers(0, 1))),
        np.array([f"a/{k}.jpg" for k in range(count)]),
    )
    path = tmp_path_factory.mktemp("features") / "features.npz"
    write_features(path, written)
    read = read_features(path)
    assert read.features.dtype == features.dtype
    assert read.features.tobytes() == features.tobytes()
    for name in ("pids", "camids", "modality", "paths"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))


@QUICK
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_pixels_come_back_bit_for_bit(tmp_path_factory, pixels):
    path = tmp_path_factory.mktemp("image") / "a.png"
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(np.asarray(read_image(path)), pixels)
