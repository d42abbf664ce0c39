"""Builds a gallery by two processes, kills one of them three times, and continues.

    python -m tests.faults.search_kills PLACE MODEL IMAGES

Images are committed every 0.3 seconds, so that the kills come between commits.
"""

import os
import random
import signal
import subprocess
import sys
import time

from vireid.cli.search import main
from vireid.errors import VireidError
from vireid.search import Gallery, ingest

KILLS = 3


def rows(place: str) -> int:
    try:
        return len(Gallery(place))
    except VireidError:
        return 0


def processes(parent: int) -> list[int]:
    with open(f"/proc/{parent}/task/{parent}/children") as file:  # noqa: PTH123
        return [int(one) for one in file.read().split()]


def campaign(place: str, model: str, images: str) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    command += [__file__, "build", "--model", model, "--images", images, "--modality", "visible"]
    command += ["--threads", "1", "--gallery", place]
    for _ in range(KILLS):
        before = rows(place)
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while rows(place) < before + 50 and running.poll() is None:
            time.sleep(0.2)
        if running.poll() is None:
            time.sleep(random.uniform(0, 1.5))
            os.kill(random.choice(processes(running.pid)), signal.SIGKILL)
        print(f"exit code {running.wait()}: {before} images before, {rows(place)} after")
    print(subprocess.run(command, capture_output=True, text=True).stdout)
    frame = Gallery(place).rows(["id", "path"]).to_pandas()
    print(f"{len(frame)} rows, {frame['id'].nunique()} ids, {frame['path'].nunique()} paths")


if __name__ == "__main__":
    if "RANK" in os.environ:
        ingest.BLOCK, ingest.COMMIT_SECONDS = 32, 0.3
        sys.exit(main())
    campaign(*sys.argv[1:])
