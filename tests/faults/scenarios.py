"""What can befall long work, each scenario once; a fault is a line of text."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.trainings import (
    Process,
    command,
    continuing,
    descendants,
    differences,
    left_behind,
    require_whole,
    rows,
    wait_until,
)
from vireid.cli import sweep as sweep_tool
from vireid.engine.checkpoint import LAST

STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclass
class Bench:
    """Where scenarios happen.

    Args:
        root: of the data set.
        folder: for runs; empty at first.
        whole: by options, the run that nobody disturbed and the seconds that it took.
        kills: processes that were at work when SIGKILL came.
    """

    root: Path
    folder: Path
    whole: dict[tuple[str, ...], tuple[Path, float]] = field(default_factory=dict)
    kills: int = 0

    def undisturbed(self, *extra: str) -> tuple[Path, float]:
        if extra not in self.whole:
            folder = self.folder / f"whole{len(self.whole)}"
            started = time.monotonic()
            code = self.start(folder, *extra).wait()
            if code:
                raise RuntimeError((self.folder / f"{folder.name}.txt").read_text())
            self.whole[extra] = folder, time.monotonic() - started
        return self.whole[extra]

    def start(
        self, folder: Path, *extra: str, prepare: Callable[[], object] = lambda: None
    ) -> Process:
        """Starts or continues a run, as its folder demands."""
        words = [*command(self.root, folder, *extra), *continuing(folder)]
        for item in extra:
            if item.startswith("DATA.ROOT="):
                words[words.index("DATA.ROOT") + 1] = item.split("=", 1)[1]
        return Process(words, self.folder / f"{folder.name}.txt", prepare=prepare)

    def finish(self, folder: Path, *extra: str) -> list[str]:
        """Lets a run finish and compares it with the undisturbed one."""
        process = self.start(folder, *extra)
        if process.wait():
            return [f"{folder.name} does not continue: {process.said()[-300:]}"]
        compared = tuple(item for item in extra if not item.startswith(("DATA.ROOT", "DATA.CACHE")))
        faults = [f"differs: {one}" for one in differences(self.undisturbed(*compared)[0], folder)]
        return faults + [f"left behind: {name}" for name in left_behind(folder)]


def killed(bench: Bench, random: Random, name: str, *extra: str, kills: int = 3) -> list[str]:
    """SIGKILL at random moments of a run and of what continues it, then the comparison."""
    folder, faults = bench.folder / name, []
    _, seconds = bench.undisturbed(*extra)
    first = bench.kills
    while bench.kills < first + kills:
        process = bench.start(folder, *extra)
        code = process.wait(random.uniform(0, seconds))
        bench.kills += process.kill(alone=bool(random.randint(0, 1)))
        faults += _broken(folder)
        if code == 0:  # it was faster
            shutil.rmtree(folder)
        elif code is not None:
            return [*faults, f"ended by itself with {code}: {process.said()[-300:]}"]
    return faults + bench.finish(folder, *extra)


def cache_killed(bench: Bench, random: Random, name: str) -> list[str]:
    """The same of a run that builds a cache first, which it is mostly killed in."""
    cache = f"DATA.CACHE={bench.folder / (name + '_cache')}"
    folder, faults = bench.folder / name, []
    for _ in range(3):
        process = bench.start(folder, cache, prepare=_slow_reading)
        built = Path(cache.split("=")[1])
        wait_until(lambda built=built: list(built.glob("*.tmp")), process)
        time.sleep(random.uniform(0, 0.3))
        bench.kills += process.kill()
        faults += _broken(folder)
    return faults + bench.finish(folder, cache)


def _slow_reading() -> None:
    """A build of few images that lasts long enough to be hit."""
    from vireid.data import cache

    read = cache.read_image

    def slow(path: Path) -> object:
        time.sleep(0.05)
        return read(path)

    cache.read_image = slow


def stopped(bench: Bench, random: Random, name: str, number: signal.Signals) -> list[str]:
    """Ctrl-C or SIGTERM at a random moment: the exit code, a message, and the comparison."""
    folder = bench.folder / name
    _, seconds = bench.undisturbed()
    process = bench.start(folder)
    time.sleep(random.uniform(0.2, seconds))
    process.signal(number)
    code, said = process.wait(), process.said()
    faults = _broken(folder)
    if code not in (0, STOPPED[number]):
        faults.append(f"ends with {code}: {said[-300:]}")
    if "Traceback" in said:
        faults.append(f"shows a traceback: {said[-300:]}")
    return faults + bench.finish(folder)


def disk_full(bench: Bench, random: Random, name: str) -> list[str]:
    """The disk fills up at a random moment; with room made, the run continues."""
    mount = bench.folder / f"{name}_disk"
    with small_disk(mount, megabytes=40):
        folder = mount / name
        _, seconds = bench.undisturbed()
        process = bench.start(folder)
        time.sleep(random.uniform(0.3, 0.8 * seconds))
        _fill(mount / "filler")
        code, said = process.wait(), process.said()
        faults = _broken(folder)
        if code not in (0, 2) or "Traceback" in said or (code and "No space left" not in said):
            faults.append(f"full disk: code {code}: {said[-400:]}")
        (mount / "filler").unlink()
        return faults + bench.finish(folder)


def file_limit(bench: Bench, random: Random, name: str) -> list[str]:
    """No file may grow beyond some kilobytes (``ulimit -f``): no checkpoint can be written."""
    folder = bench.folder / name
    limit = random.choice((200, 20_000, 400_000))

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = bench.start(folder, prepare=limited)
    code, said = process.wait(), process.said()
    faults = _broken(folder)
    if code != 2 or "Traceback" in said:
        faults.append(f"limit of {limit} bytes: code {code}: {said[-400:]}")
    return faults + bench.finish(folder)


def read_only(bench: Bench, random: Random, name: str) -> list[str]:
    """The run's folder cannot be written any more: a message; once it can, the run continues."""
    folder = bench.folder / name
    process = bench.start(folder)
    wait_until(lambda: (folder / "metrics.csv").exists(), process)
    process.kill()
    with unwritable(folder):
        process = bench.start(folder)
        code, said = process.wait(), process.said()
    faults = _broken(folder)
    if code != 2 or "Traceback" in said:
        faults.append(f"read-only folder: code {code}: {said[-400:]}")
    return faults + bench.finish(folder)


def image_gone(bench: Bench, random: Random, name: str, *extra: str) -> list[str]:
    """A training image disappears while the run trains, and comes back."""
    folder, root = bench.folder / name, bench.folder / f"{name}_data"
    shutil.copytree(bench.root, root)
    process = bench.start(folder, *extra, f"DATA.ROOT={root}")
    wait_until(lambda: (folder / LAST).exists(), process)
    gone = [path for path in _images(root) if random.randint(0, 1)]
    for path in gone:
        path.rename(path.with_suffix(".gone"))
    code, said = process.wait(), process.said()
    faults = _broken(folder)
    told = "does not exist" in said or "cannot be read" in said
    if code != 3 or "Traceback" in said or not told:
        faults.append(f"image gone: code {code}: {said[-400:]}")
    for path in gone:
        path.with_suffix(".gone").rename(path)
    return faults + bench.finish(folder, *extra, f"DATA.ROOT={root}")


def image_changed(bench: Bench, random: Random, name: str) -> list[str]:
    """Images become others while the run trains: no scores may come of that."""
    folder, root = bench.folder / name, bench.folder / f"{name}_data"
    shutil.copytree(bench.root, root)
    process = bench.start(folder, f"DATA.ROOT={root}")
    wait_until(lambda: (folder / LAST).exists(), process)
    chosen = random.choice(_images(root))
    before = chosen.read_bytes()
    other = next(p for p in _images(root) if p.stat().st_size != len(before))
    chosen.write_bytes(other.read_bytes())
    code, said = process.wait(), process.said()
    faults = _broken(folder)
    if code != 3 or "Traceback" in said or "changed" not in said:
        faults.append(f"image changed: code {code}: {said[-400:]}")
    if (folder / "results.json").exists():
        faults.append("scores of images that changed")
    process = bench.start(folder, f"DATA.ROOT={root}")
    if process.wait() != 4 or "other images" not in process.said():
        faults.append(f"continues with other images: {process.said()[-300:]}")
    return faults


def worker_dies(bench: Bench, random: Random, name: str) -> list[str]:
    """A loader process is killed, as the system does when memory is short."""
    folder, extra = bench.folder / name, ("DATA.WORKERS=2",)
    process = bench.start(folder, *extra)
    if wait_until(lambda: (folder / LAST).exists() and descendants(process.pid), process):
        time.sleep(random.uniform(0, 0.5))
        for pid in descendants(process.pid)[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    code, said = process.wait(), process.said()
    faults = _broken(folder)
    if code not in (0, 1) or "Traceback" in said or (code == 1 and "--resume" not in said):
        faults.append(f"loader process killed: code {code}: {said[-500:]}")
    return faults + bench.finish(folder)


def peer_dies(bench: Bench, random: Random, name: str) -> list[str]:
    """One of two torchrun processes is killed; both continue and equal two undisturbed ones."""
    whole = bench.folder / "whole_two"
    if not whole.exists():
        code, said = _torchrun(bench, whole)
        if code:
            return [f"two processes: {said[-300:]}"]
    folder = bench.folder / name
    code, said = _torchrun(bench, folder, kill=random)
    faults = _broken(folder)
    if code == 0:
        faults.append("nobody noticed")
    own = said.split("error: ")[-1] if "error: " in said else ""
    if "another process" not in own:
        faults.append(f"peer killed: {said[-600:]}")
    code, said = _torchrun(bench, folder)
    if code:
        return [*faults, f"does not continue: {said[-400:]}"]
    return faults + [f"differs: {one}" for one in differences(whole, folder)]


def _torchrun(bench: Bench, folder: Path, kill: Random | None = None) -> tuple[int, str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*command(bench.root, folder), *continuing(folder)]
    output = bench.folder / f"{folder.name}.txt"
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, *launcher, "tools/train.py", *words],
            stdout=file,
            stderr=file,
        )
        while kill is not None and process.poll() is None and not (folder / LAST).exists():
            time.sleep(0.02)
        if kill is not None:
            time.sleep(kill.uniform(0, 1))
            for pid in descendants(process.pid)[kill.randint(0, 1) :][:1]:
                os.kill(pid, signal.SIGKILL)
        code = process.wait()
    return code, output.read_text(errors="replace")


def sweep_killed(bench: Bench, random: Random, name: str, kills: int = 2) -> list[str]:
    """A sweep of two seeds is killed, alone or with its runs; the same command finishes it."""
    out, faults = bench.folder / name, []
    words = command(bench.root, out)[2:]
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    pairs.pop("OUTPUT_DIR")
    file = bench.folder / f"{name}.yaml"
    base = Path("configs/sysu.yaml").resolve()
    options = "".join(f"  {key}: {value!r}\n" for key, value in _typed(pairs).items())
    grid = "GRID: {LOSS.TRIPLET.MARGIN: [0.3]}\nSEEDS: [0, 1]\n"
    file.write_text(f"BASE: {base}\n{grid}OUTPUT: {out}\nSET:\n{options}")
    _, seconds = bench.undisturbed()

    def start() -> Process:
        return Process(["--cfg", str(file), "--device", "cpu"], bench.folder / f"{name}.txt",
                       main=sweep_tool.main)  # fmt: skip

    for _ in range(kills):
        process = start()
        if process.wait(random.uniform(1, 3 * seconds)) not in (None, 0):
            faults.append(f"sweep ended by itself: {process.said()[-300:]}")
        children = descendants(process.pid)
        bench.kills += process.kill(alone=bool(random.randint(0, 1)))
        _wait_for(children)
    process = start()
    if process.wait():
        faults.append(f"sweep does not finish: {process.said()[-400:]}")
        return faults
    for seed in (0, 1):
        run = next(out.glob(f"*/seed{seed}"))
        faults += _broken(run)
        whole = bench.undisturbed(f"SEED={seed}", "LOSS.TRIPLET.MARGIN=0.3")[0]
        faults += [f"seed {seed} differs: {one}" for one in differences(whole, run)]
    return faults + ([] if (out / "table.md").exists() else ["no table"])


def _typed(options: dict[str, str]) -> dict[str, object]:
    import yaml

    return {key: yaml.safe_load(value) for key, value in options.items()}


def _wait_for(pids: list[int], seconds: float = 300) -> None:
    """Until runs that a killed sweep left alone have ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(_alive(pid) for pid in pids):
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _broken(folder: Path) -> list[str]:
    """What cannot be read of a run that was disturbed."""
    try:
        require_whole(folder)
    except Exception as error:
        return [f"unreadable: {type(error).__name__}: {error}"]
    return []


def _images(root: Path) -> list[Path]:
    """Of the identities that train."""
    pids = (root / "exp/train_id.txt").read_text().strip().split(",")
    return sorted(p for pid in pids for p in root.glob(f"cam*/{int(pid):04d}/*.jpg"))


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def can_mount() -> bool:
    """Whether this user may mount a file system."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    probe = Path("/tmp/vireid_mount_probe")
    probe.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", probe], capture_output=True
    )
    subprocess.run(["umount", probe], capture_output=True)
    return mounted.returncode == 0


@contextlib.contextmanager
def small_disk(path: Path, *, megabytes: int) -> Iterator[None]:
    """A disk of its own at a folder, that holds little."""
    path.mkdir()
    size = f"size={megabytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextlib.contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """A folder that not even root can write."""
    subprocess.run(["mount", "--bind", path, path], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def progress_of(folder: Path) -> int:
    """Whole epochs that a run's table tells of."""
    return len(rows(folder)) if (folder / "metrics.csv").exists() else 0
