"""What a run left: results.json, metrics.csv and environment.json, spoilt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutate import mutate_bytes, mutate_text, mutate_tree
from vireid.cli import report, table, visualize
from vireid.config import dump_config, load_config

Use = Callable[[], object]
SCORES = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")
METRICS = """\
epoch,steps,lr,loss,loss_identity,loss_sdm_kl_shallow1,accuracy,grad_identity,val_v2i_mAP,\
seconds,wait_share,peak_memory_mib
1,6,0.001,3.5,2.5,0.4,0.1,0.5,0.2,1.5,0.1,800.0
2,6,0.0001,3.1,2.2,0.3,0.2,0.4,,1.4,0.1,800.0
"""
ENVIRONMENT = {"vireid": "0.1.0", "threads": 1, "git": None, "data": {"root": "/d", "x": "0"}}


def good() -> dict[str, Any]:
    """A results.json of two protocols."""
    entry = {
        "gallery_draw": "all",
        "metric": "cosine",
        "reranked": False,
        "cmc_unit": "image",
        "num_query": 10,
        "num_valid_query": 10,
        "num_gallery": 10,
        "mean": dict.fromkeys(SCORES, 0.5),
        "std": dict.fromkeys(SCORES, 0.0),
        "trials": [dict.fromkeys(SCORES, 0.5)] * 2,
        "cmc": [0.5, 0.6, 0.7],
    }
    source = {"features": None, "run": "runs/x", "epoch": 2, "exit": "deep", "flip": False}
    return {"format": 1, "protocols": {"csv_v2i": entry, "csv_i2v": entry}, "source": source}


def results(folder: Path, random: Random) -> Use:
    """A table of two runs, one of which has a spoilt results.json."""
    runs = [_run(folder / f"seed{seed}") for seed in (0, 1)]
    _spoil_json(runs[0] / "results.json", good(), random)
    form = random.choice(("md", "csv", "latex"))
    return lambda: _ended(table.main([*map(str, runs), "--format", form]))


def page(folder: Path, random: Random) -> Use:
    """The page, or the curves, of a run one of whose files is spoilt."""
    run = _run(folder / "seed0")
    what = random.randint(0, 4)
    if what <= 1:
        _spoil_json(run / "results.json", good(), random)
    elif what == 2:
        _spoil_json(run / "environment.json", ENVIRONMENT, random)
    else:
        text = mutate_text(METRICS, random)
        (run / "metrics.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    if random.randint(0, 1):
        return lambda: _ended(report.main([str(run), "--out", str(folder / "page.html")]))
    out = ["--out", str(folder / "curves.png")]
    return lambda: _ended(visualize.main(["curves", "--run", str(run), *out]))


def _run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(dump_config(load_config(None, environment={})))
    (folder / "metrics.csv").write_text(METRICS)
    (folder / "results.json").write_text(json.dumps(good()))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    return folder


def _spoil_json(path: Path, tree: Any, random: Random) -> None:
    how = random.randint(0, 5)
    if how <= 3:
        text = json.dumps(mutate_tree(mutate_tree(tree, random), random) if how else {})
    elif how == 4:
        text = random.choice(("[" * 100_000, '{"format":' * 2000, "9" * 5000, "", "NaN", "[]"))
    else:
        path.write_bytes(mutate_bytes(json.dumps(tree).encode(), random))
        return
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _ended(code: int) -> None:
    if code:
        raise SystemExit(code)
