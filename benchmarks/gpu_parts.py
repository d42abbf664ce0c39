"""What ``benchmarks/gpu.py`` measures: each part yields cells, which measure some rows."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import evaluation
import extraction
import torch
import training
from yacs.config import CfgNode

from vireid.config import apply_overrides
from vireid.cost.flops import count_macs, example_batch
from vireid.cost.latency import latency_statistics, measure_latency
from vireid.data.build import build_splits, build_train_loader
from vireid.data.loading import batches, end_processes
from vireid.engine.build import build_trainer
from vireid.engine.distributed import World
from vireid.engine.precision import peak_mib
from vireid.engine.signals import StopFlag
from vireid.engine.trainer import Trainer, fit
from vireid.evaluation.evaluate import evaluate_all
from vireid.evaluation.protocols import expand
from vireid.models.build import build_model
from vireid.runs.options import read_config
from vireid.runs.run_dir import seed_everything
from vireid.runs.score import chosen_protocols, score
from vireid.structures import Batch, Splits
from vireid.synthetic.writers import write_set

CONFIG = Path("configs/scratch/sysu.yaml")
VARIANTS = {"baseline": (False, False), "SDM": (True, False), "MGIM": (False, True)}
VARIANTS |= {"SDM and MGIM": (True, True)}
FORMATS = ("fp32", "bf16", "fp16")
TRAINED = 0.65  # share of a variant's time that trains; the rest scores
Numbers = dict[str, float | str]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Args:
        overrides: of the configuration.
        content: identities and images, as ``write_set`` takes them.
        batches: images per training step.
        loaded, compiled: those of them that are measured with the real loader, and compiled.
        extracted: images at once.
        rounds, warmup: steps or calls of a row.
        dim: numbers of a feature that is scored.
    """

    overrides: tuple[str, ...]
    content: Mapping[str, int]
    batches: tuple[int, ...]
    loaded: tuple[int, ...]
    compiled: tuple[int, ...]
    extracted: tuple[int, ...]
    rounds: int
    warmup: int
    dim: int


FULL = Size(
    overrides=(),
    content={"train_ids": 395, "test_ids": 96, "images_per_camera": 17},
    batches=(64, 128, 256, 512),
    loaded=(64, 256),
    compiled=(64, 256),
    extracted=(1, 32, 256),
    rounds=10,
    warmup=3,
    dim=3328,
)
TINY = Size(
    overrides=(
        *("INPUT.SIZE", "[64, 32]", "INPUT.PAD", "2", "MODEL.BACKBONE", "osnet_x0_25"),
        *("MODEL.MGIM.GRANULARITIES", "[2]", "MODEL.MGIM.DIM", "8", "DATA.WORKERS", "0"),
        *("TEST.PROTOCOLS", "[sysu_all_single]", "SAMPLER.IDENTITIES", "4"),
    ),
    content={"train_ids": 4, "test_ids": 2, "images_per_camera": 1},
    batches=(4,),
    loaded=(4,),
    compiled=(),
    extracted=(2,),
    rounds=1,
    warmup=0,
    dim=8,
)


@dataclass(slots=True)
class Bench:
    """What all parts share.

    Args:
        root: folder of the rendered set.
    """

    size: Size
    device: torch.device
    root: Path
    _made: dict[object, Any] = field(default_factory=dict)

    @property
    def cfg(self) -> CfgNode:
        """The configuration, on the rendered images."""
        workers = ["DATA.WORKERS", str(min(16, os.cpu_count() or 1))]
        words = [*workers, "DATA.ROOT", str(self.root), *self.size.overrides]
        return self.once("cfg", lambda: read_config(CONFIG, words))

    @property
    def splits(self) -> Splits:
        """The rendered images."""
        return self.once("splits", lambda: build_splits(self.cfg))

    def of_batch(self, images: int, *changes: str) -> CfgNode:
        """The configuration with so many images in a batch."""
        count = images // (2 * self.cfg.SAMPLER.IMAGES)
        return apply_overrides(self.cfg, ["SAMPLER.IDENTITIES", str(count), *changes])

    def batch(self, images: int) -> Batch:
        """A batch of the sampler; the same one for every row of this size."""
        cfg = self.of_batch(images, "DATA.WORKERS", "0")
        loading_ = partial(build_train_loader, device=self.device, rank=0, world_size=1)
        return self.once(images, lambda: next(batches(loading_(cfg, self.splits)[0])))

    def once(self, name: object, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


@dataclass(frozen=True, slots=True)
class Cell:
    """One or several rows of a part.

    Args:
        measure: seconds that it may take → its numbers, by the names of rows.
    """

    name: str
    measure: Callable[[float], dict[str, Numbers]]


def one_row(name: str, measure: Callable[[float], Numbers]) -> Cell:
    return Cell(name, lambda seconds: {name: measure(seconds)})


def rendering(bench: Bench) -> Iterator[Cell]:
    def render(seconds: float) -> Numbers:
        if bench.root.exists():
            return {"images": float(_images(bench.root)), "note": "found in --data"}
        size = (64, 32)
        wanted = dict(bench.size.content)
        options: dict[str, Any] = {"size": size, "seed": 0, "workers": 0}
        started = time.perf_counter()
        probe = {name: min(8, number) for name, number in wanted.items()} | {"images_per_camera": 1}
        write_set("sysu", bench.root.with_name("probe"), **probe, **options)
        rate = _images(bench.root.with_name("probe")) / (time.perf_counter() - started)
        people = wanted["train_ids"] + wanted["test_ids"]
        most = max(1, int(0.8 * rate * seconds / (5.2 * people)))  # 5.2 cameras see a person
        wanted["images_per_camera"] = min(wanted["images_per_camera"], most)
        started = time.perf_counter()
        write_set("sysu", bench.root, **wanted, **options, progress=True)
        took, count = time.perf_counter() - started, _images(bench.root)
        shortened = wanted["images_per_camera"] < bench.size.content["images_per_camera"]
        found: Numbers = {"images": float(count), "seconds": took, "images/s": count / took}
        return found | ({"note": "shortened: fewer images of each person"} if shortened else {})

    yield one_row("64 × 32 pixels, one process per core", render)


def _images(root: Path) -> int:
    return sum(1 for _ in root.glob("cam*/*/*.jpg"))


def _step_numbers(
    bench: Bench, fp32: dict[int, float], step: Callable[[], object], images: int
) -> Numbers:
    """Times a step; ``fp32`` holds the milliseconds per image of each batch's first row."""
    _reset_peak(bench.device)
    size = bench.size
    call = {"step": partial(training.with_gradients, step)}
    times = measure_latency(
        call, batch=images, runs=size.rounds, warmup=size.warmup, device=bench.device
    )
    found = latency_statistics(times).loc["step"]
    fp32.setdefault(images, found.median_ms)
    return {
        "images/s": 1000 / found.median_ms,
        "ms per step": images * found.median_ms,
        "IQR": images * found.iqr_ms,
        "× first row": fp32[images] / found.median_ms,
        "peak MiB": peak_mib(bench.device),
    }


def steps(bench: Bench, *, compiled: bool = False) -> Iterator[Cell]:
    """One optimiser step on a batch that is there already."""
    measured = partial(_step_numbers, bench, {})

    def own(images: int, kind: str, _: float) -> Numbers:
        cfg = bench.of_batch(images, "PRECISION", kind, "COMPILE", str(compiled).lower())
        trainer = training.step_trainer(cfg, [], bench.splits, bench.device)
        return measured(partial(trainer.step, bench.batch(images)), images)

    def plain(images: int, _: float) -> Numbers:
        cfg = bench.of_batch(images)
        batch = bench.batch(images)
        network, optimizer = training.plain_osnet(cfg, bench.splits, bench.device)
        return measured(partial(training.plain_step, network, optimizer, batch, cfg), images)

    kinds = ("bf16", "fp32") if compiled else FORMATS
    if bench.device.type == "cpu":
        kinds = tuple(kind for kind in kinds if kind != "fp16")
    sizes = bench.size.compiled if compiled else bench.size.batches
    word = "compiled" if compiled else "eager"
    for images in sizes:
        for kind in kinds:
            yield one_row(f"batch {images}, {kind}, {word}", partial(own, images, kind))
        if not compiled:
            name = f"batch {images}, plain loop, torchreid OSNet, fp32"
            yield one_row(name, partial(plain, images))


def loading(bench: Bench) -> Iterator[Cell]:
    """Training as it is, with the loader's processes."""

    def measured(images: int, _: float) -> Numbers:
        _reset_peak(bench.device)
        trainer = _trainer(bench.of_batch(images), bench)
        size, epoch = bench.size, len(trainer.sampler)
        warmup = min(size.warmup, epoch - 1)
        try:
            count = min(3 * size.rounds, epoch - warmup)
            seconds, waited, trained = training.timed_steps(trainer, warmup, count)
        finally:
            end_processes(trainer.loader._iterator)
        return {
            "images/s": trained / seconds,
            "waiting for data, %": 100 * waited / seconds,
            "loader processes": float(trainer.loader.num_workers),
            "peak MiB": peak_mib(bench.device),
            "format": trainer.precision.name,
        }

    for images in bench.size.loaded:
        yield one_row(f"batch {images}", partial(measured, images))


def extracting(bench: Bench) -> Iterator[Cell]:
    """The deployed network, and AGW's, with the way of images to the device and back."""

    def measured(count: int, _: float) -> dict[str, Numbers]:
        rows = bench.once("rows", lambda: _extraction_rows(bench))
        images = example_batch(list(bench.cfg.INPUT.SIZE), count=count)[0].numpy()
        rounds = 2 * bench.size.rounds
        times = extraction.measure(rows, images, rounds, bench.size.warmup, bench.device)
        alike = extraction.cosines(rows, images)
        return {
            f"{count} at once, {one['row']}": {
                "images/s": one["images_per_second"],
                "ms per image": one["ms_per_image"],
                "× fp32": one["times_faster"],
                "cosine": "–" if one["least_cosine"] is None else f"{one['least_cosine']:.5f}",
            }
            for one in extraction.results(rows, times, alike, batch=count)
        }

    for count in bench.size.extracted:
        yield Cell(f"{count} at once", partial(measured, count))


def _extraction_rows(bench: Bench) -> dict[str, extraction.Row]:
    size = list(bench.cfg.INPUT.SIZE)
    network, _ = extraction.deployed(CONFIG, list(bench.size.overrides))
    agw, _ = extraction.deployed(extraction.AGW_CONFIG, ["INPUT.SIZE", str(size)])
    macs = [count_macs(one, example_batch(size)[0]) for one in (network, agw)]
    rows = extraction.torch_rows(network.to(bench.device), macs[0])
    agw_features = partial(extraction.torch_features, agw.to(bench.device))
    return rows | {extraction.AGW: extraction.Row("fp32", macs[1], agw_features)}


def scoring(bench: Bench) -> Iterator[Cell]:
    """Random features in SYSU-MM01's number; scoring runs on the processor."""

    def measured(_: float) -> Numbers:
        counts = evaluation.sysu_counts(None)
        if bench.size is TINY:
            counts = dict.fromkeys(counts, 1)
        features = evaluation.random_features(counts, bench.size.dim, "float32")
        permutations = evaluation.random_permutations(counts)
        started = time.perf_counter()
        evaluate_all(expand(["sysu"]), features, permutations=permutations)
        took = time.perf_counter() - started
        return {"images": float(len(features)), "seconds": took}

    yield one_row("four protocols, ten trials each, processor", measured)


def variants(bench: Bench) -> Iterator[Cell]:
    """Two epochs from random weights, or as many steps as the time allows, and the scores."""

    def measured(parts_: tuple[bool, bool], seconds: float) -> Numbers:
        sdm, mgim = (str(on).lower() for on in parts_)
        words = ["MODEL.SDM.ENABLED", sdm, "MODEL.MGIM.ENABLED", mgim]
        words += ["SOLVER.EPOCHS", "2", "SOLVER.WARMUP_EPOCHS", "0"]
        words += ["SOLVER.SCHEDULE", "step", "SOLVER.STEPS", "[]"]  # a constant rate
        cfg = apply_overrides(bench.cfg, words)
        trainer = _trainer(cfg, bench)
        started = time.perf_counter()
        done = train_for(trainer, TRAINED * seconds)
        took, whole = time.perf_counter() - started, 2 * len(trainer.sampler)
        per_step = 2 * cfg.SAMPLER.IDENTITIES * cfg.SAMPLER.IMAGES
        started = time.perf_counter()
        protocol = chosen_protocols(cfg)[0]
        scores = score(cfg, trainer.scored_model, bench.splits, [protocol], device=bench.device)
        mean = scores[protocol.name]["mean"]
        return {
            "rank-1": 100 * mean["rank1"],
            "mAP": 100 * mean["mAP"],
            "steps": float(done),
            "images/s": done * per_step / took,
            "scoring, s": time.perf_counter() - started,
            "note": "two epochs" if done == whole else f"shortened: {done} of {whole} steps",
        }

    left = len(VARIANTS)
    for name, parts_ in VARIANTS.items():
        share = left  # of the time that is left, each of the remaining variants gets the same
        yield one_row(name, lambda seconds, p=parts_, n=share: measured(p, seconds / n))
        left -= 1


def train_for(trainer: Trainer, seconds: float) -> int:
    """Trains until the schedule or the time ends; the number of steps."""
    stop = StopFlag()

    def end() -> None:
        stop.received = int(signal.SIGALRM)  # no signal: the flag that one would set

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        fit(trainer, stop, end_of_epoch=lambda: None)
    finally:
        timer.cancel()
        end_processes(trainer.loader._iterator)
    progress = trainer.progress
    return progress.epoch * len(trainer.sampler) + progress.step


def _trainer(cfg: CfgNode, bench: Bench) -> Trainer:
    seed_everything(cfg.SEED)
    model, _ = build_model(cfg, len(bench.splits.train_pids))
    return build_trainer(cfg, model, bench.splits, device=bench.device, world=World())


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
