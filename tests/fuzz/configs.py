"""Configuration files, sweep files and options of the command line, spoilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import yaml

from tests.fuzz.mutate import TEXTS, VALUES, encoded, mutate_bytes, mutate_text, mutate_tree
from vireid.config import dump_config, load_config
from vireid.config.load import flatten
from vireid.config.schema import default_config
from vireid.runs.options import choices, read_config
from vireid.sweeps.spec import read_sweep

Use = Callable[[], object]
CONFIG = """\
_BASE_: base.yaml
DATA:
  DATASET: regdb
  SPLIT: train
INPUT: {SIZE: [288, 144], FLIP: 0.5}
MODEL.SHARED_DEPTH: 3
MODEL:
  SDM: {TAPS: [conv2, conv3], WEIGHTS: [1.0, 0.5]}
SOLVER: {EPOCHS: 60, STEPS: [20, 40], BASE_LR: 3.5e-4}
SEED: 3
OUTPUT_DIR: runs/x
"""
SWEEP = """\
BASE: base.yaml
SET: {SOLVER.EPOCHS: 60}
GRID:
  MODEL.SHARED_DEPTH: [0, 3, 5]
  LOSS.TRIPLET.WEIGHT, LOSS.WEIGHTED_TRIPLET.WEIGHT:
    hardest: [1, 0]
    weighted: [0, 1]
SEEDS: [0, 1, 2]
TRIALS: [1, 2]
BASELINE: {MODEL.SHARED_DEPTH: 3, "LOSS.TRIPLET.WEIGHT,LOSS.WEIGHTED_TRIPLET.WEIGHT": hardest}
OUTPUT: runs/sweeps/depth
SLURM: {partition: gpu, time: "4:00:00"}
"""
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(f'*{a}' for _ in range(9))}]\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b} {{<<: [{', '.join(f'*{a}' for _ in range(9))}], y{b}: 1}}\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
NESTED = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b} {{{', '.join(f'k{n}: *{a}' for n in range(9))}}}\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
# Texts that are, or nearly are, YAML, and that readers have stumbled over.
ODD_YAML = (
    LAUGHS,
    MERGES,
    NESTED,
    "DATA: &d {ROOT: *d}",
    "DATA: &d [*d]",
    "&d {DATA: *d}",
    "SOLVER: {EPOCHS: !!bool 3}",
    "SOLVER: {EPOCHS: !!int ''}",
    "SEED: !!timestamp x",
    "SEED: !!float ''",
    "SEED: 2001-99-99",
    "SEED: 2001-01-01 00:00:00 +99:99",
    "? [1]\n: 2",
    "? {a: 1}\n: 2",
    "!!python/object/apply:os.system ['touch %s']",
    "SEED: !!python/object/new:os.system ['touch %s']",
    "- 1",
    "---\n---\nSEED: 1",
    "%YAML 9.9\n---\nSEED: 1",
    "SEED: !!set {1}",
    "SEED: !!binary x",
    "SEED: 0b_",
    "SEED: 1:2:3",
    "SEED: " + "9" * 5000,
    "<<: 3\nSEED: 1",
    "<<: [[1]]\nSEED: 1",
    "_BASE_: config.yaml",
    "_BASE_: ~nobody_of_this_name/a.yaml",
    '_BASE_: "a\\0b"',
    "_BASE_: " + "a" * 300,
    "_BASE_: ''",
    "_BASE_: [base.yaml]",
    "DATA.ROOT: ~nobody_of_this_name/data",
    '"\\e[31mSEED": 1',
    "OUTPUT_DIR: ~nobody_of_this_name/x",
    "DATA: {CACHE: ~nobody_of_this_name/x}",
)
WIDE = "BASE: base.yaml\nGRID:\n" + "".join(
    f"  {key}: {list(range(1, 40))}\n"
    for key in ("SOLVER.EPOCHS", "SAMPLER.IDENTITIES", "SAMPLER.IMAGES", "TEST.BATCH", "THREADS")
)
ODD_SWEEPS = (
    *ODD_YAML,
    WIDE,
    "BASE: ~nobody_of_this_name/a.yaml\nGRID: {SEED: [1]}",
    '{BASE: "a\\0b", GRID: {MODEL.SHARED_DEPTH: [1]}}',
    "BASE: " + "a" * 300,
    "{BASE: base.yaml, GRID: {MODEL.SHARED_DEPTH: [1]}, OUTPUT: ~nobody_of_this_name/x}",
    "{BASE: base.yaml, GRID: {MODEL.SHARED_DEPTH: {a: 1, A: 2}}}",
    "{BASE: base.yaml, GRID: {MODEL.SHARED_DEPTH: [1, 2]}, BASELINE: [1]}",
    "{BASE: base.yaml, GRID: {MODEL.SHARED_DEPTH: [1, 2]}, BASELINE: {a: {b: 1}}}",
    "{BASE: base.yaml, GRID: {MODEL.SHARED_DEPTH: [1, 2]}, SEEDS: [1.5]}",
    "{BASE: base.yaml, GRID: {MODEL.SHARED_DEPTH: [1, 2]}, SLURM: {time: [1]}}",
)


def config(folder: Path, random: Random) -> Use:
    """A file on a base, read as the train tool reads it; what is accepted survives being saved."""
    path = _written(folder, random, CONFIG, ODD_YAML)

    def use() -> None:
        cfg = read_config(path, [])
        dump = folder / "dump.yaml"
        dump.write_text(dump_config(cfg), encoding="utf-8")
        assert load_config(dump, choices=choices(), environment={}) == cfg

    return use


def sweep(folder: Path, random: Random) -> Use:
    """A sweep file."""
    path = _written(folder, random, SWEEP, ODD_SWEEPS)
    return lambda: read_sweep(path)


def override(folder: Path, random: Random) -> Use:
    """Two ``KEY VALUE`` pairs with a known or a spoilt key."""
    (folder / "config.yaml").write_text("SEED: 1\n")
    keys = list(flatten(default_config()))
    words: list[str] = []
    for _ in range(random.randint(1, 2)):
        key = random.choice(keys)
        words.append(key if random.randint(0, 4) else mutate_text(key, random, times=1))
        words.append(random.choice((*TEXTS, *ODD_YAML, *map(repr, VALUES))))
    return lambda: read_config(folder / "config.yaml", words)


def _written(folder: Path, random: Random, good: str, odd: tuple[str, ...]) -> Path:
    """A spoilt file beside a good base; a third of them from the list of known stumbling blocks."""
    (folder / "base.yaml").write_text("DATA: {ROOT: /data, WORKERS: 2}\n")
    path, how = folder / "config.yaml", random.randint(0, 5)
    if how <= 1:
        text = random.choice(odd).replace("%s", str(folder / "sentinel"))
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    elif how == 2:
        tree = mutate_tree(yaml.safe_load(good), random)
        path.write_bytes(_dumped(tree).encode("utf-8", "surrogatepass"))
    elif how == 3:
        path.write_bytes(mutate_bytes(good.encode(), random))
    else:
        path.write_bytes(encoded(mutate_text(good, random), random))
    return path


def _dumped(tree: object) -> str:
    try:
        return yaml.safe_dump(tree, allow_unicode=True)
    except (ValueError, yaml.YAMLError):  # a number of more digits than Python prints
        return "SEED: " + "9" * 5000
