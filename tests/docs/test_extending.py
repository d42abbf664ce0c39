"""The worked examples of docs/extending.md, done to a copy of the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.docs.markdown import ROOT, Block, blocks_of

BLOCKS = list(blocks_of(ROOT / "docs/extending.md"))
TRAIN, TEST = range(1, 6), range(6, 9)
COMMANDS = """
import sys
from vireid.cli import check_data, train
code = check_data.main(["--dataset", "night", "--root", "night"])
sys.exit(code or train.main(["--cfg", "night.yaml"]))
"""


def change(text: str, block: Block) -> str:
    """A file's text with a block's ``+`` and ``-`` lines applied where the others stand."""
    lines = block.text.splitlines()
    before = "\n".join(line[1:] for line in lines if line[0] != "+") + "\n"
    after = "\n".join(line[1:] for line in lines if line[0] != "-") + "\n"
    assert before != after, f"docs/extending.md:{block.line} changes nothing"
    places = ("\n" + text).count("\n" + before)
    assert places == 1, f"docs/extending.md:{block.line}: {places} places in {block.title}"
    return ("\n" + text).replace("\n" + before, "\n" + after)[1:]


def draw_people(root: Path) -> None:
    """Noise in the example's layout: two images in each modality."""
    random = np.random.default_rng(0)
    for part, pids in (("train", TRAIN), ("test", TEST)):
        for pid in pids:
            for modality, camera in (("visible", 1), ("infrared", 2)):
                for number in (1, 2):
                    path = root / part / modality / f"{pid:04d}_c{camera}_{number:02d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    pixels = random.integers(0, 256, (32, 16, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The package and the examples' files, with their changes made."""
    folder = tmp_path_factory.mktemp("extended")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "vireid", folder / "vireid", ignore=ignore)
    for block in BLOCKS:
        path = folder / (block.title or "nothing")
        if block.language == "diff":
            path.write_text(change(path.read_text(encoding="utf-8"), block), encoding="utf-8")
        elif block.title:
            assert not path.exists(), f"{block.title} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_every_example_has_its_test():
    tests = [block.title for block in BLOCKS if block.title.startswith("tests/")]
    assert len(tests) == 6
    assert all("assert" in block.text for block in BLOCKS if block.title in tests)


def test_nothing_outside_the_tables_is_touched():
    changed = {block.title.split("/")[1] for block in BLOCKS if block.language == "diff"}
    assert changed == {"config", "data", "evaluation", "losses", "models"}


def test_the_examples_tests_pass(copy):
    done = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 passed" in done.stdout


def test_all_of_them_train_together(copy):
    draw_people(copy / "night")
    done = run(copy, "-c", COMMANDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is wrong" in done.stdout
    folder = copy / "runs/night/seed0"
    columns = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert "loss_modality_gap" in columns and "loss_sdm_kl_shallow1" in columns
    entry = json.loads((folder / "results.json").read_text())["protocols"]["night"]
    assert (entry["num_query"], entry["num_gallery"]) == (2 * len(TEST), 2 * len(TEST))


def test_the_examples_are_linted_as_the_project_is(copy):
    done = run(copy, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), ".")
    assert done.returncode == 0, done.stdout
