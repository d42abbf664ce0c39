"""What a network scores when there is nothing to learn: the controls of a synthetic set.

    python benchmarks/controls.py --cfg configs/demo.yaml [KEY VALUE ...]

Trains the configuration three times on its own rendered SYSU-MM01 tree: as it is; with the training
images dealt at random among the identities of each camera (shuffled labels); with the same pictures
without the person (background alone); and scores an untrained network. A set is honest if the last
three score alike and far below the first.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from yacs.config import CfgNode

from vireid.config import apply_overrides
from vireid.data.build import build_splits
from vireid.evaluation.protocols import expand
from vireid.models.build import build_model
from vireid.runs.options import read_config
from vireid.runs.pipeline import train_and_score
from vireid.runs.rendered_data import prepare_data
from vireid.runs.run_dir import seed_everything
from vireid.runs.score import score
from vireid.structures import ImageRecord, Splits
from vireid.synthetic.writers import LAYOUTS, Shot

PROTOCOL = "sysu_all_single"


def shuffled_labels(splits: Splits, root: Path) -> None:
    """A copy of the set whose training images changed owners within their camera."""
    rng = np.random.default_rng(0)
    shutil.copytree(splits.root, root, copy_function=os.link)
    for camid in sorted({record.camid for record in splits.train}):
        records = [record for record in splits.train if record.camid == camid]
        for record, other in zip(records, rng.permutation(len(records)), strict=True):
            (root / record.path).unlink()
            os.link(splits.root / records[other].path, root / record.path)


def backgrounds_alone(splits: Splits, root: Path) -> None:
    """A copy of the set in which every picture is rendered again without a person."""
    made = json.loads((splits.root / "synthetic.json").read_text(encoding="utf-8"))
    studio = LAYOUTS["sysu"].studio(made["seed"], tuple(made["size"]))
    shutil.copytree(splits.root / "exp", root / "exp")
    for record in splits.train + splits.val + splits.test:
        (root / record.path).parent.mkdir(parents=True, exist_ok=True)
        picture = studio.picture(_shot(record), empty=True)
        Image.fromarray(picture).save(root / record.path, quality=92)


def _shot(record: ImageRecord) -> Shot:
    return Shot(record.pid, record.camid, int(Path(record.path).stem), record.path)


def untrained(cfg: CfgNode, splits: Splits) -> float:
    """Rank-1 of a network as it was born."""
    seed_everything(cfg.SEED)
    model, _ = build_model(cfg, len(splits.train_pids))
    results = score(cfg, model, splits, expand([PROTOCOL]), device=torch.device("cpu"))
    return results[PROTOCOL]["mean"]["rank1"]


def trained(cfg: CfgNode, root: Path, output: Path) -> float:
    """Rank-1 of a training on the set in ``root``."""
    overrides = ["DATA.ROOT", str(root), "OUTPUT_DIR", str(output), "TEST.PROTOCOLS", PROTOCOL]
    train_and_score(apply_overrides(cfg, overrides), config_path=Path("controls"))
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))
    return results["protocols"][PROTOCOL]["mean"]["rank1"]


def main() -> None:
    """Prints one line for each control."""
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--cfg", type=Path, default=Path("configs/demo.yaml"), metavar="FILE")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    args = line.parse_intermixed_args()
    cfg = read_config(args.cfg, args.overrides)
    prepare_data(cfg)
    splits = build_splits(cfg)
    with tempfile.TemporaryDirectory(dir=splits.root.parent) as folder:
        place = Path(folder)
        shuffled_labels(splits, place / "shuffled")
        backgrounds_alone(splits, place / "backgrounds")
        roots = {
            "as it is": splits.root,
            "shuffled labels": place / "shuffled",
            "background alone": place / "backgrounds",
        }
        found = {name: trained(cfg, root, place / f"run {name}") for name, root in roots.items()}
    found["untrained"] = untrained(cfg, splits)
    for name, rank1 in found.items():
        print(f"{PROTOCOL}  {name:17} rank-1 {rank1:.3f}")


if __name__ == "__main__":
    main()
