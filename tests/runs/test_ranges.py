"""What ``INPUT.*.RANGE auto`` becomes when training starts, and what counts as unchanged."""

from pathlib import Path

import pytest

from vireid.config import apply_overrides, dump_config, load_config
from vireid.config.lists import with_found
from vireid.config.load import flatten, parse_config
from vireid.data.images import ImageHeader
from vireid.data.pixels import ValueRange
from vireid.runs.features import training_ranges
from vireid.structures import ImageRecord, Modality, Splits

KEY, OTHER = "INPUT.INFRARED.RANGE", "INPUT.VISIBLE.RANGE"


def header(path: str, low: int, high: int) -> ImageHeader:
    """Of an image of eight bits where both are 0."""
    values = ValueRange(low, high, low, high, True) if high else None
    return ImageHeader(path, "PNG", "I;16", 0, 0, deep=bool(high), values=values)


def splits_of(*paths: str) -> Splits:
    """Training images (t…) and test images (u…), visible (v) or infrared by their second letter."""
    records = [
        ImageRecord(p, 1, 1, Modality.VISIBLE if p[1] == "v" else Modality.INFRARED) for p in paths
    ]
    train = tuple(record for record in records if record.path[0] == "t")
    return Splits(Path(), train, (), tuple(r for r in records if r not in train))


HEADERS = [header("ti1", 3000, 4000), header("ti2", 2900, 3900), header("tv", 0, 0)]
TEST_ONLY = [header("ti", 0, 0), header("ui", 100, 900), header("uv", 5, 70_000)]


@pytest.mark.parametrize(
    ("headers", "given", "found"),
    [
        (HEADERS, [], {KEY: [2900, 4000]}),
        (HEADERS, [KEY, "percentile"], {KEY: "percentile"}),
        (HEADERS, [KEY, "[1, 2]"], {KEY: [1, 2]}),
        ([*HEADERS, header("ui", 7, 70_000)], [], {KEY: [2900, 4000]}),
        (TEST_ONLY, [], {KEY: [100, 900], OTHER: [5, 70_000]}),
        ([header("ti", 0, 0)], [], {}),
    ],
)
def test_ranges_come_from_the_training_images_if_they_are_deep(headers, given, found):
    cfg = load_config(None, given, environment={})
    splits = splits_of(*(header.path for header in headers))
    now = apply_overrides(cfg, training_ranges(cfg, splits, headers)[0])
    wanted = {KEY: "auto", OTHER: "auto"} | found
    assert {key: flatten(now)[key] for key in wanted} == wanted
    assert flatten(parse_config(dump_config(now), source="it")) == flatten(now)


def test_a_checkpoints_range_stays_and_counts_as_auto():
    cfg = load_config(None, [], environment={})
    saved = {"config": dump_config(apply_overrides(cfg, [KEY, "[1, 9]"]))}
    ranges, lines = training_ranges(cfg, splits_of("ti1", "ti2", "tv"), HEADERS, saved)
    assert (ranges, lines) == ([KEY, "[1.0, 9.0]"], [])
    old = {"config": "SEED: 0"}  # of version 0.1
    (line,) = training_ranges(cfg, splits_of("ti1", "ti2", "tv"), HEADERS, old)[1]
    assert line.startswith(f"{KEY} auto: 2900 becomes black and 4000 white, found from 2 images")
    assert with_found({KEY: "auto", "SEED": 1}, {KEY: [1, 9], "SEED": 0}) == {
        KEY: [1, 9],
        "SEED": 1,
    }
    assert with_found({KEY: "percentile"}, {KEY: [1, 9]}) == {KEY: "percentile"}


@pytest.mark.parametrize("text", ["[2900, 4100]", "[-12.5, 4e1]", "percentile", "auto"])
def test_a_range_is_read_back_as_it_was_given(text, tmp_path):
    cfg = load_config(None, [KEY, text], environment={})
    (tmp_path / "c.yaml").write_text(f"INPUT: {{INFRARED: {{RANGE: {text}}}}}")
    assert flatten(load_config(tmp_path / "c.yaml", environment={})) == flatten(cfg)
