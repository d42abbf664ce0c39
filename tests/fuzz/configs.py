"""Configuration files, sweep files and options of the command line, with mistakes in them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import yaml

from tests.fuzz.harness import Use
from tests.fuzz.mutate import (
    TEXTS,
    TOO_LONG,
    VALUES,
    as_bytes,
    encoded,
    mutate_bytes,
    mutate_text,
    mutate_tree,
)
from vireid.config import dump_config, load_config
from vireid.config.load import flatten
from vireid.config.schema import default_config
from vireid.runs.options import choices, read_config
from vireid.sweeps.spec import read_sweep

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


def _alias_bomb(form: str) -> str:
    """Each of nine lines names the line before it nine times."""
    lines = ["a: &a {x: 1}"]
    for last, name in pairwise("abcdefghij"):
        value = form.replace("ALIAS", f"*{last}").replace("NAME", name)
        lines.append(f"{name}: &{name} {value}")
    return "\n".join(lines)


NINE = ", ".join(["ALIAS"] * 9)
# Texts that are, or nearly are, YAML, and that readers have failed on.
ODD_YAML = (
    _alias_bomb(f"[{NINE}]"),
    _alias_bomb("{<<: [" + NINE + "], yNAME: 1}"),
    _alias_bomb("{" + ", ".join(f"{key}: ALIAS" for key in "klmnopqrs") + "}"),
    "DATA: &d {ROOT: *d}",
    "&d {DATA: *d}",
    "SOLVER: {EPOCHS: !!bool 3}",
    "SOLVER: {EPOCHS: !!int ''}",
    "SEED: !!timestamp x",
    "SEED: !!set {1}",
    "SEED: !!binary x",
    "SEED: 2001-99-99",
    "SEED: 2001-01-01 00:00:00 +99:99",
    "SEED: 0b_",
    "SEED: 1:2:3",
    f"SEED: {TOO_LONG}",
    "? [1]\n: 2",
    "!!python/object/apply:os.system ['touch %s']",
    "SEED: !!python/object/new:os.system ['touch %s']",
    "- 1",
    "---\n---\nSEED: 1",
    "%YAML 9.9\n---\nSEED: 1",
    "<<: 3\nSEED: 1",
    "<<: [[1]]\nSEED: 1",
    "_BASE_: config.yaml",
    "_BASE_: ~no_such_user/a.yaml",
    '_BASE_: "a\\0b"',
    f"_BASE_: {'a' * 300}",
    "_BASE_: ''",
    "_BASE_: [base.yaml]",
    "DATA.ROOT: ~no_such_user/data",
    '"\\e[31mSEED": 1',
)
WIDE = "BASE: base.yaml\nGRID:\n" + "".join(
    f"  {key}: {list(range(1, 40))}\n"
    for key in ("SOLVER.EPOCHS", "SAMPLER.IDENTITIES", "SAMPLER.IMAGES", "TEST.BATCH", "THREADS")
)
DEPTHS = "BASE: base.yaml\nGRID: {MODEL.SHARED_DEPTH: [1, 2]}\n"
ODD_SWEEPS = (
    *ODD_YAML,
    WIDE,
    DEPTHS.replace("base.yaml", "~no_such_user/a.yaml"),
    DEPTHS.replace("base.yaml", '"a\\0b"'),
    DEPTHS.replace("base.yaml", "a" * 300),
    DEPTHS.replace("[1, 2]", "{a: 1, A: 2}"),
    f"{DEPTHS}OUTPUT: ~no_such_user/x",
    f"{DEPTHS}BASELINE: [1]",
    f"{DEPTHS}BASELINE: {{a: {{b: 1}}}}",
    f"{DEPTHS}SEEDS: [1.5]",
    f"{DEPTHS}SLURM: {{time: [1]}}",
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
    """One or two ``KEY VALUE`` pairs; the key exists or nearly does."""
    (folder / "config.yaml").write_text("SEED: 1\n")
    words: list[str] = []
    for _ in range(random.randint(1, 2)):
        key = random.choice(list(flatten(default_config())))
        words.append(key if random.randint(0, 4) else mutate_text(key, random, times=1))
        words.append(random.choice((*TEXTS, *ODD_YAML, *map(repr, VALUES))))
    return lambda: read_config(folder / "config.yaml", words)


def _written(folder: Path, random: Random, good: str, odd: tuple[str, ...]) -> Path:
    """A changed file beside a good base; a third of them from the list of known mistakes."""
    (folder / "base.yaml").write_text("DATA: {ROOT: /data, WORKERS: 2}\n")
    path, how = folder / "config.yaml", random.randint(0, 5)
    if how <= 1:
        text = random.choice(odd).replace("%s", str(folder / "sentinel"))
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    elif how == 2:
        tree = mutate_tree(yaml.safe_load(good), random)
        path.write_bytes(as_bytes(tree, lambda tree: yaml.safe_dump(tree, allow_unicode=True)))
    elif how == 3:
        path.write_bytes(mutate_bytes(good.encode(), random))
    else:
        path.write_bytes(encoded(mutate_text(good, random), random))
    return path
