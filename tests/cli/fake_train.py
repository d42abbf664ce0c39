"""Stands in for the train tool: leaves a run folder with made-up scores within a moment.

LOSS.TRIPLET.MARGIN 0.9 makes it fail as a diverging run does, SOLVER.EPOCHS 999 makes it train
until a signal asks it to save.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from vireid.config import dump_config, load_config

SCORES = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")


def main(words: list[str]) -> int:
    flags = [word for word in words if word in ("--resume", "--overwrite")]
    base, *overrides = [word for word in words[1:] if word not in flags]
    cfg = load_config(Path(base), overrides)
    folder = Path(cfg.OUTPUT_DIR)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(dump_config(cfg))
    with (folder / "calls.txt").open("a") as file:
        file.write(" ".join(flags) + "\n")
    if cfg.LOSS.TRIPLET.MARGIN == 0.9:
        print("error: the loss is not finite\n  in step 3", file=sys.stderr)
        return 5
    if flags == ["--resume"] and (folder / "checkpoints/last.pth").read_text() == "damaged":
        print("error: checkpoint is damaged", file=sys.stderr)
        return 4
    if cfg.SOLVER.EPOCHS == 999:
        return wait_for_a_signal(folder)
    rows = ["epoch,loss,seconds", *(f"{e},1.0,{50}" for e in range(1, cfg.SOLVER.EPOCHS + 1))]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    rank1 = 0.1 * cfg.MODEL.SHARED_DEPTH + 0.02 * cfg.SEED
    mean = {**dict.fromkeys(SCORES, 0.5), "rank1": rank1}
    content = {"format": 1, "protocols": {"sysu_all_single": {"mean": mean}}, "source": {}}
    (folder / "results.json").write_text(json.dumps(content))
    return 0


def wait_for_a_signal(folder: Path) -> int:
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: received.append(number))
    (folder / "pid.txt").write_text(str(os.getpid()))
    (folder / "ready").touch()
    while not received:
        time.sleep(0.01)
    time.sleep(0.3)  # a second signal would be seen
    (folder / "checkpoints/last.pth").write_text("saved")
    (folder / "signals.txt").write_text(" ".join(map(str, received)))
    return 128 + received[0]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
