"""What can go wrong during long work, one scenario each; a scenario returns faults as texts."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import yaml
from torch.distributed.run import main as torchrun

from tests.faults.trainings import (
    CONFIG,
    Process,
    command,
    descendants,
    differences,
    left_behind,
    options,
    require_whole,
    send,
)
from vireid.cli import sweep as sweep_tool
from vireid.data import cache
from vireid.data.pixels import PixelRule
from vireid.engine.checkpoint import LAST

STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclass
class Bench:
    """Where scenarios happen.

    Args:
        root: of the data set.
        folder: for runs; empty at first.
        whole: by options, the undisturbed run and the seconds that it took.
        kills: processes that were running when SIGKILL came.
    """

    root: Path
    folder: Path
    whole: dict[tuple[str, ...], tuple[Path, float]] = field(default_factory=dict)
    kills: int = 0

    def undisturbed(self, *extra: str) -> tuple[Path, float]:
        if extra not in self.whole:
            folder, started = self.folder / f"whole{len(self.whole)}", time.monotonic()
            process = self.start(folder, *extra)
            if process.wait():
                raise RuntimeError(process.printed())
            self.whole[extra] = folder, time.monotonic() - started
        return self.whole[extra]

    def start(
        self, folder: Path, *extra: str, prepare: Callable[[], object] = lambda: None
    ) -> Process:
        """Starts or continues a run."""
        words = command(self.root, folder, *extra)
        return Process(words, self.folder / f"{folder.name}.txt", prepare=prepare)

    def kill(self, process: Process, *, alone: bool = False) -> None:
        self.kills += process.kill(alone=alone)

    def finish(self, folder: Path, *extra: str) -> list[str]:
        """Lets a run finish and compares it with the undisturbed one."""
        process = self.start(folder, *extra)
        if process.wait():
            return [f"{folder.name} does not continue: {process.printed()[-300:]}"]
        compared = tuple(item for item in extra if not item.startswith(("DATA.ROOT", "DATA.CACHE")))
        faults = [f"differs: {one}" for one in differences(self.undisturbed(*compared)[0], folder)]
        return faults + [f"left behind: {name}" for name in left_behind(folder)]


def killed(bench: Bench, random: Random, name: str, *extra: str, kills: int = 3) -> list[str]:
    """SIGKILL at random moments of a run and of its continuations, then the comparison."""
    folder, faults = bench.folder / name, []
    _, seconds = bench.undisturbed(*extra)
    first = bench.kills
    while bench.kills < first + kills:
        process = bench.start(folder, *extra)
        code = process.wait(random.uniform(0, seconds))
        bench.kill(process, alone=bool(random.randint(0, 1)))
        faults += _broken(folder)
        if code == 0:  # it was faster
            shutil.rmtree(folder)
        elif code is not None:
            return [*faults, f"ended by itself with {code}: {process.printed()[-300:]}"]
    return faults + bench.finish(folder, *extra)


def cache_killed(bench: Bench, random: Random, name: str) -> list[str]:
    """SIGKILL of a run that builds a cache first, mostly while it builds."""
    folder, built = bench.folder / name, bench.folder / f"{name}_cache"
    extra, faults = f"DATA.CACHE={built}", []
    for _ in range(3):
        process = bench.start(folder, extra, prepare=_slow_reading)
        process.wait_until(lambda: list(built.glob("*.tmp")))
        time.sleep(random.uniform(0, 0.3))
        bench.kill(process)
        faults += _broken(folder)
    return faults + bench.finish(folder, extra)


def _slow_reading() -> None:
    """A cache of few images takes long enough to be hit."""
    read = cache.read_image

    def slow(path: Path, rule: PixelRule) -> object:
        time.sleep(0.05)
        return read(path, rule)

    cache.read_image = slow


def gallery_killed(bench: Bench, random: Random, name: str, kills: int = 3) -> list[str]:
    """SIGKILL while two processes fill one gallery: each image is there once when they end."""
    run, _ = bench.undisturbed()

    def build(folder: Path, rank: int = 0, world: int = 1) -> subprocess.Popen[bytes]:
        words = ["build", "--run", str(run), "--images", str(bench.root), "--modality", "visible"]
        words += ["--gallery", str(folder), "--threads", "1", "--device", "cpu"]
        place = {"RANK": str(rank), "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
        with (bench.folder / f"{folder.name}.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-c", SMALL_BLOCKS, *words],
                env={**os.environ, **place},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def commits() -> int:
        return len(list(folder.glob("images.lance/data/*.lance")))

    whole, folder = bench.folder / "whole_gallery", bench.folder / name
    if not whole.exists() and (code := build(whole).wait()):
        return [f"an undisturbed gallery ends with {code}"]
    writers = [build(folder, rank, 2) for rank in (0, 1)]
    for _ in range(kills):
        rank, wanted = random.randint(0, 1), commits() + random.randint(0, 2)
        while commits() < wanted and writers[rank].poll() is None:
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.05))
        writers[rank].kill()
        bench.kills += writers[rank].wait() == -signal.SIGKILL
        writers[rank] = build(folder, rank, 2)
    if any(codes := [writer.wait() for writer in writers]):
        printed = (bench.folder / f"{name}.txt").read_text(errors="replace")
        return [f"does not continue ({codes}): {printed[-400:]}"]
    return gallery_differences(whole, folder)


# A block of few images is committed after each.
SMALL_BLOCKS = """
from vireid.search import ingest
ingest.BLOCK = ingest.COMMIT_IMAGES = 2
from vireid.cli.search import main
raise SystemExit(main())
"""


def gallery_differences(one: Path, other: Path) -> list[str]:
    """What differs between two galleries of the same images, whose rows may have another order."""
    from vireid.search import Gallery

    first, second = (gallery.rows(gallery.schema.names).to_pylist()
                     for gallery in map(Gallery, (one, other)))  # fmt: skip
    rows = {row["id"]: row for row in second}
    faults = [f"{len(second) - len(rows)} images twice"] * (len(rows) != len(second))
    faults += [f"{len(first)} images, got {len(rows)}"] * ({r["id"] for r in first} != rows.keys())
    return faults + [
        f"{name} of {row['name']} differs"
        for row in first
        for name, value in rows.get(row["id"], row).items()
        if value != row[name] and (name != "vector" or not np.allclose(value, row[name], atol=1e-6))
    ]


def sweep_killed(bench: Bench, random: Random, name: str, kills: int = 2) -> list[str]:
    """A sweep of two seeds is killed, alone or with its runs; the same command finishes it."""
    out, file, faults = bench.folder / name, bench.folder / f"{name}.yaml", []
    content = {
        "BASE": str(Path(CONFIG).resolve()),
        "SET": {key: yaml.safe_load(value) for key, value in options(bench.root).items()},
        "GRID": {"LOSS.TRIPLET.MARGIN": [0.3]},
        "SEEDS": [0, 1],
        "OUTPUT": str(out),
    }
    file.write_text(yaml.safe_dump(content))
    words, output = ["--cfg", str(file), "--device", "cpu"], bench.folder / f"{name}.txt"
    _, seconds = bench.undisturbed()
    for _ in range(kills):
        process = Process(words, output, main=sweep_tool.main)
        if process.wait(random.uniform(1, 3 * seconds)) not in (None, 0):
            faults.append(f"sweep ended by itself: {process.printed()[-300:]}")
        children = descendants(process.pid)
        bench.kill(process, alone=bool(random.randint(0, 1)))
        _wait_for(children)
    process = Process(words, output, main=sweep_tool.main)
    if process.wait():
        return [*faults, f"sweep does not finish: {process.printed()[-400:]}"]
    for seed in (0, 1):
        run = next(out.glob(f"*/seed{seed}"))
        whole = bench.undisturbed(f"SEED={seed}", "LOSS.TRIPLET.MARGIN=0.3")[0]
        faults += _broken(run)
        faults += [f"seed {seed} differs: {one}" for one in differences(whole, run)]
    return faults + ([] if (out / "table.md").exists() else ["no table"])


def _wait_for(pids: list[int], seconds: float = 300) -> None:
    """Waits until the runs of a sweep that was killed alone have ended."""

    def runs(pid: int) -> bool:
        try:
            return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False

    end = time.monotonic() + seconds
    while time.monotonic() < end and any(map(runs, pids)):
        time.sleep(0.1)


def stopped(bench: Bench, random: Random, name: str, number: signal.Signals) -> list[str]:
    """Ctrl-C or SIGTERM at a random moment: the exit code, a message, and the comparison."""
    folder = bench.folder / name
    _, seconds = bench.undisturbed()
    process = bench.start(folder)
    time.sleep(random.uniform(0.2, seconds))
    process.signal(number)
    return _end(process, folder, (0, STOPPED[number])) + bench.finish(folder)


def disk_full(bench: Bench, random: Random, name: str) -> list[str]:
    """The disk fills up at a random moment; when there is room again, the run continues."""
    disk = bench.folder / f"{name}_disk"
    disk.mkdir()
    _, seconds = bench.undisturbed()
    with mounted(disk, "-t tmpfs -o size=40m tmpfs"):
        folder = disk / name
        process = bench.start(folder)
        time.sleep(random.uniform(0.3, 0.8 * seconds))
        _fill(disk / "filler")
        faults = _end(process, folder, (0, 2), "No space left")
        (disk / "filler").unlink()
        return faults + bench.finish(folder)


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def file_limit(bench: Bench, random: Random, name: str) -> list[str]:
    """No file may grow beyond some kilobytes (``ulimit -f``): no checkpoint can be written."""
    folder, limit = bench.folder / name, random.choice((200, 20_000, 400_000))
    limited = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    return _end(bench.start(folder, prepare=limited), folder, (2,)) + bench.finish(folder)


def read_only(bench: Bench, random: Random, name: str) -> list[str]:
    """A run's folder can no longer be written, not even by root; once it can, the run continues."""
    folder = bench.folder / name
    process = bench.start(folder)
    process.wait_until(lambda: (folder / "metrics.csv").exists())
    process.kill()
    with mounted(folder, f"--bind {folder}", "-o remount,ro,bind"):
        faults = _end(bench.start(folder), folder, (2,))
    return faults + bench.finish(folder)


def image_gone(bench: Bench, random: Random, name: str, *extra: str) -> list[str]:
    """Training images disappear while the run trains, and come back."""
    folder, process, images = _train_on_a_copy(bench, name, *extra)
    gone = [path for path in images if random.randint(0, 1)]
    for path in gone:
        path.rename(path.with_suffix(".gone"))
    faults = _end(process, folder, (3,), "does not exist", "cannot be read")
    for path in gone:
        path.with_suffix(".gone").rename(path)
    return faults + bench.finish(folder, *extra, f"DATA.ROOT={folder}_data")


def image_changed(bench: Bench, random: Random, name: str) -> list[str]:
    """An image changes while the run trains: the run is not scored and does not continue."""
    folder, process, images = _train_on_a_copy(bench, name)
    chosen = random.choice(images)
    size = chosen.stat().st_size
    chosen.write_bytes(next(p for p in images if p.stat().st_size != size).read_bytes())
    faults = _end(process, folder, (3,), "changed")
    if (folder / "results.json").exists():
        faults.append("scores of images that changed")
    process = bench.start(folder, f"DATA.ROOT={folder}_data")
    return faults + _end(process, folder, (4,), "other images")


def _train_on_a_copy(bench: Bench, name: str, *extra: str) -> tuple[Path, Process, list[Path]]:
    """A run in its first epochs on a copy of the data, and that copy's training images."""
    folder, root = bench.folder / name, bench.folder / f"{name}_data"
    shutil.copytree(bench.root, root)
    process = bench.start(folder, *extra, f"DATA.ROOT={root}")
    process.wait_until(lambda: (folder / LAST).exists())
    pids = (root / "exp/train_id.txt").read_text().strip().split(",")
    images = sorted(p for pid in pids for p in root.glob(f"cam*/{int(pid):04d}/*.jpg"))
    return folder, process, images


def worker_dies(bench: Bench, random: Random, name: str) -> list[str]:
    """A loader process is killed, as the system does when memory is short."""
    folder = bench.folder / name
    process = bench.start(folder, "DATA.WORKERS=2")
    if process.wait_until(lambda: (folder / LAST).exists() and descendants(process.pid)):
        time.sleep(random.uniform(0, 0.5))
        for pid in descendants(process.pid)[:1]:
            send(pid, signal.SIGKILL)
    return _end(process, folder, (0, 1), "--resume") + bench.finish(folder)


def peer_dies(bench: Bench, random: Random, name: str) -> list[str]:
    """One of two torchrun processes is killed; both continue and equal two undisturbed ones."""

    def start(folder: Path) -> Process:
        words = ["--standalone", "--nproc-per-node", "2", "tools/train.py"]
        words += command(bench.root, folder)
        return Process(words, bench.folder / f"{folder.name}.txt", main=torchrun)

    whole, folder = bench.folder / "whole_two", bench.folder / name
    if not whole.exists() and (process := start(whole)).wait():
        return [f"two processes: {process.printed()[-300:]}"]
    process = start(folder)
    process.wait_until(lambda: (folder / LAST).exists())
    time.sleep(random.uniform(0, 1))
    for pid in random.sample(descendants(process.pid)[:2], 1):
        send(pid, signal.SIGKILL)
    code, (_, _, message) = process.wait(), process.printed().rpartition("error: ")
    faults = _broken(folder)
    # Between two exchanges with its peer, torchrun's SIGTERM reaches the survivor first
    if code == 0 or not any(words in message for words in ("another process", "continue with")):
        faults.append(f"peer killed: code {code}: {process.printed()[-600:]}")
    process = start(folder)
    if process.wait():
        return [*faults, f"does not continue: {process.printed()[-400:]}"]
    return faults + [f"differs: {one}" for one in differences(whole, folder)]


def _end(process: Process, folder: Path, codes: tuple[int, ...], *phrases: str) -> list[str]:
    """Waits for the end of a run; what is wrong with its exit code, its message or its files.

    Args:
        codes: that may be.
        phrases: one of them is in the message, unless the run succeeds.
    """
    code, printed = process.wait(), process.printed()
    faults = _broken(folder)
    silent = phrases and code and not any(phrase in printed for phrase in phrases)
    # TensorBoard's own thread prints one, of which a warning of ours then speaks.
    trace = "Traceback" in printed and "does not have everything" not in printed
    if code not in codes or trace or silent:
        faults.append(f"code {code}: {printed[-400:]}")
    return faults


def _broken(folder: Path) -> list[str]:
    """What cannot be read of a run that was disturbed."""
    try:
        require_whole(folder)
    except Exception as error:
        return [f"unreadable: {type(error).__name__}: {error}"]
    return []


@contextlib.contextmanager
def mounted(path: Path, *calls: str) -> Iterator[None]:
    """Mounts something at a folder, by the options of each call of ``mount``."""
    for call in calls:
        subprocess.run(["mount", *call.split(), path], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def can_mount() -> bool:
    """Whether this user may mount a file system."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted(Path(folder), "-t tmpfs -o size=1m tmpfs"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False
