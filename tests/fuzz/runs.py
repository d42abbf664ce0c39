"""Files of a run (tables, scores, checkpoints) and weights: changed, of other models, with code."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

from tests.conftest import TINY
from tests.fuzz.harness import Payload, Use, corpus, run_tool
from tests.fuzz.mutate import mutate_bytes, mutate_json, mutate_text, mutate_tree
from tests.helpers import load_line
from vireid.cli import extract, report, table, train, visualize
from vireid.config import dump_config, load_config
from vireid.models.build import BACKBONES
from vireid.synthetic.writers import write_set

METRICS = """\
epoch,steps,lr,loss,loss_identity,loss_sdm_kl_shallow1,accuracy,grad_identity,val_v2i_mAP,\
seconds,wait_share,peak_memory_mib
1,6,0.001,3.5,2.5,0.4,0.1,0.5,0.2,1.5,0.1,800.0
2,6,0.0001,3.1,2.2,0.3,0.2,0.4,,1.4,0.1,800.0
"""
SCORES = dict.fromkeys(("rank1", "rank5", "rank10", "rank20", "mAP", "mINP"), 0.5)
PROTOCOL = {
    **{"gallery_draw": "all", "metric": "cosine", "reranked": False, "cmc_unit": "image"},
    **dict.fromkeys(("num_query", "num_valid_query", "num_gallery"), 10),
    **{"mean": SCORES, "std": dict.fromkeys(SCORES, 0.0), "trials": [SCORES] * 2},
    "cmc": [0.5, 0.6, 0.7],
}
# Files of a run that are JSON.
GOOD: dict[str, dict[str, Any]] = {
    "results.json": {
        "format": 1,
        "protocols": {"csv_v2i": PROTOCOL, "csv_i2v": PROTOCOL},
        "source": {"features": None, "run": "runs/x", "epoch": 2, "exit": "deep", "flip": False},
    },
    "environment.json": {
        "vireid": "0.1.0", "threads": 1, "git": None, "data": {"root": "/d", "x": "0"}
    },
}  # fmt: skip
BACKBONE = "osnet_x0_25"
OPTIONS = (
    *TINY,
    f"MODEL.BACKBONE={BACKBONE}",
    "MODEL.MGIM.ENABLED=false",
    "MODEL.SDM.ENABLED=false",
    "SAMPLER.IDENTITIES=2",
    "SOLVER.EPOCHS=1",
    "TEST.PROTOCOLS=[sysu_indoor_single]",
)
Content = Any  # of a checkpoint


def results(folder: Path, random: Random) -> Use:
    """A table of two runs; the results.json of one changes."""
    runs = [_written_run(folder / f"seed{seed}") for seed in (0, 1)]
    (runs[0] / "results.json").write_bytes(mutate_json(GOOD["results.json"], random))
    form = random.choice(("md", "csv", "latex"))
    return lambda: run_tool(table.main, *runs, "--format", form)


def page(folder: Path, random: Random) -> Use:
    """The page, or the curves, of a run of which one file changes."""
    run = _written_run(folder / "seed0")
    name = random.choice((*GOOD, "results.json", "metrics.csv", "metrics.csv"))
    if name in GOOD:
        content = mutate_json(GOOD[name], random)
    else:
        content = mutate_text(METRICS, random).encode("utf-8", "surrogatepass")
    (run / name).write_bytes(content)
    if random.randint(0, 1):
        return lambda: run_tool(report.main, run, "--out", folder / "page.html")
    return lambda: run_tool(visualize.main, "curves", "--run", run, "--out", folder / "curves.png")


def _written_run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(dump_config(load_config(None, environment={})))
    (folder / "metrics.csv").write_text(METRICS)
    for name, tree in GOOD.items():
        (folder / name).write_text(json.dumps(tree))
    return folder


@corpus
def trained(folder: Path) -> None:
    """A finished training of one epoch."""
    sizes: dict[str, Any] = {"train_ids": 4, "test_ids": 2, "images_per_camera": 1}
    write_set("sysu", folder / "sysu", **sizes, size=(64, 32), seed=1)
    (folder / "config.yaml").write_text("DATA: {DATASET: sysu}\n")
    items = (*OPTIONS, f"DATA.ROOT={folder / 'sysu'}", f"OUTPUT_DIR={folder / 'run'}")
    words = [word for item in items for word in item.split("=", 1)]
    run_tool(train.main, "--cfg", folder / "config.yaml", *words)


def weights(folder: Path, random: Random) -> Use:
    """A published state dict, changed, loaded into a backbone."""
    backbone = BACKBONES[BACKBONE]()
    good = {key: tensor for stage in backbone.stages for key, tensor in stage.state_dict().items()}
    path = folder / "weights.pth"
    _write_changed(folder, path, random.choice((good, {"state_dict": good})), random)
    return lambda: load_line(backbone, path)


def checkpoint(folder: Path, random: Random) -> Use:
    """A run's checkpoint, changed, whose features are extracted."""
    run = _with_changed_checkpoint(folder, random)
    return lambda: run_tool(extract.main, "--run", run, "--out", folder / "f.npz")


def resumed(folder: Path, random: Random) -> Use:
    """A run's checkpoint, changed, from which training continues for another epoch."""
    run = _with_changed_checkpoint(folder, random)
    words = ["--cfg", run / "config.yaml", "--resume", run, "SOLVER.EPOCHS", "2"]
    return lambda: run_tool(train.main, *words, "OUTPUT_DIR", run)


def _with_changed_checkpoint(folder: Path, random: Random) -> Path:
    run = Path(shutil.copytree(trained() / "run", folder / "run"))
    path = run / "checkpoints/last.pth"
    _write_changed(folder, path, torch.load(path, weights_only=True), random)
    return run


def _write_changed(folder: Path, path: Path, good: Content, random: Random) -> None:
    """Values, tensors, bytes or the pickle of an otherwise good archive change; or it is code."""
    code = Payload(folder / "sentinel")
    how, zipped = random.randint(0, 9), bool(random.randint(0, 3))
    whole = io.BytesIO()
    torch.save(good, whole, _use_new_zipfile_serialization=zipped or how <= 2)
    if how == 0:
        _replace_pickle(whole, path, lambda old: mutate_bytes(old, random))
    elif how == 1:
        _replace_pickle(whole, path, lambda old: pickle.dumps(code, protocol=2))
    elif how == 2:
        path.write_bytes(pickle.dumps(code, protocol=random.randint(0, 5)))
    elif how == 3:
        content = {**good, "x": code} if random.randint(0, 1) else [code, good]
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    elif how == 4:
        torch.save(_with_odd_tensor(good, random), path)
    elif how <= 6:
        path.write_bytes(mutate_bytes(whole.getvalue(), random))
    else:
        torch.save(mutate_tree(good, random), path)


def _replace_pickle(file: io.BytesIO, path: Path, change: Callable[[bytes], bytes]) -> None:
    """Writes the archive with another pickle, and checksums that are right."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            old = source.read(name)
            target.writestr(name, change(old) if name.endswith("data.pkl") else old)


def _with_odd_tensor(tree: Content, random: Random) -> Content:
    """One tensor becomes one of another type, shape or range."""
    if not isinstance(tree, dict) or not tree:
        tensor = tree if isinstance(tree, torch.Tensor) else torch.tensor([1.0, 2.0])
        return random.choice(_TENSOR_CHANGES)(tensor)
    key = random.choice(list(tree))
    return {k: _with_odd_tensor(v, random) if k == key else v for k, v in tree.items()}


_TENSOR_CHANGES: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    lambda t: t.to(torch.complex64),
    lambda t: t.to_sparse() if t.dim() else t,
    lambda t: t.to(torch.float16),
    lambda t: t.to(torch.int64),
    lambda t: t.bool(),
    lambda t: torch.full_like(t.float(), float("nan")),
    lambda t: torch.full_like(t.float(), 1e38),
    lambda t: t[None],
    lambda t: t.float().expand(2**40, *t.shape),
    lambda t: torch.empty(t.shape, device="meta"),
    lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
)
