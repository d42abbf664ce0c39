"""Small sets of photos: without training, fine-tuned, and trained from random weights.

    python benchmarks/finetuning.py --run runs/demo/seed0 --out runs/finetuning \
        [--identities 3 5 15 40] [--seeds 101 102 103] [KEY VALUE ...]

For each seed, people and cameras are rendered that the run has not seen (``make_synthetic --layout
folder``). 40 identities test; the given numbers of others train, by ``configs/finetune.yaml`` from
the run, and by the run's own recipe from random weights. Options go to the fine-tuning. Prints
rank-1 and mAP, each the mean over both directions, as mean ± standard deviation over the seeds.
What is there already is not trained again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vireid.cli.arguments import parser, tool

ROOT = Path(__file__).parents[1]
TESTED = 40
SCRATCH = ("MODEL.PRETRAINED", "none", "DATA.SYNTHETIC.ENABLED", "false")


def call(name: str, *words: object) -> None:
    """Runs a tool; what it prints is shown only if it fails."""
    command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def scores(path: Path) -> list[float]:
    """Rank-1 and mAP in per cent, means over both directions."""
    found = json.loads(path.read_text(encoding="utf-8"))["protocols"].values()
    return [100 * float(np.mean([one["mean"][key] for one in found])) for key in ("rank1", "mAP")]


def measure(run: Path, out: Path, identities: int, seed: int, options: Sequence[str]) -> dict:
    """Renders one set, and scores it in three ways."""
    photos, folder = out / f"photos{seed}_{identities}", out / f"seed{seed}_{identities}"
    if not photos.is_dir():
        counts = ("--train-ids", identities, "--test-ids", TESTED, "--images-per-camera", 3)
        call("make_synthetic", "--layout", "folder", "--out", photos, *counts,
             "--seed", seed, "--size", 128, 64)  # fmt: skip
    share = TESTED / (TESTED + identities)
    data = ("DATA.DATASET", "folder", "DATA.ROOT", photos, "DATA.TEST_SHARE", share)
    folder.mkdir(exist_ok=True)
    if not (folder / "none.json").exists():
        call("evaluate", "--run", run, "--dataset", "folder", "--root", photos,
             "--out", folder / "none.json", "DATA.TEST_SHARE", share)  # fmt: skip
    trained = {
        "fine-tuned": (ROOT / "configs/finetune.yaml", ("MODEL.PRETRAINED", run, *options)),
        "from scratch": (run / "config.yaml", SCRATCH),
    }
    files = {"not trained": folder / "none.json"}
    for name, (recipe, words) in trained.items():
        files[name] = folder / name / "results.json"
        if not files[name].exists():
            call(
                "train", "--cfg", recipe, "--overwrite", "OUTPUT_DIR", folder / name, *data, *words
            )
    return {name: scores(path) for name, path in files.items()}


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    line = parser(
        __doc__, "python benchmarks/finetuning.py --run runs/demo/seed0 --out runs/finetuning"
    )
    line.add_argument("--run", type=Path, required=True, help="fine-tuned from")
    line.add_argument("--out", type=Path, required=True, help="folder of sets and runs")
    line.add_argument("--identities", type=int, nargs="+", default=[3, 5, 15, 40])
    line.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    args = line.parse(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    print("| training identities | | rank-1 | mAP |\n|---|---|---|---|")
    for identities in args.identities:
        found = [
            measure(args.run.absolute(), args.out.absolute(), identities, seed, args.overrides)
            for seed in args.seeds
        ]
        rows = {name: np.array([one[name] for one in found]) for name in found[0]}  # (seeds, 2)
        rows["change by fine-tuning"] = rows["fine-tuned"] - rows["not trained"]
        for name, values in rows.items():
            sign = "+" if name.startswith("change") else ""
            pairs = zip(values.mean(0), values.std(0), strict=True)
            cells = (f"{mean:{sign}.1f} ± {deviation:.1f}" for mean, deviation in pairs)
            print(f"| {identities} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
