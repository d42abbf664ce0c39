"""Data sets and runs that several tests share; each is made once per session."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from tests.browser import running_browser
from vireid.cli import export, train
from vireid.runs.logs import start_log
from vireid.synthetic.writers import write_set

TINY = [
    "INPUT.SIZE=[64, 32]",
    "INPUT.PAD=2",
    "DATA.WORKERS=0",
    "MODEL.BACKBONE=osnet_x0_25",
    "MODEL.PRETRAINED=none",
    "MODEL.MGIM.GRANULARITIES=[2,4]",
    "MODEL.MGIM.DIM=16",
    "SAMPLER.IDENTITIES=4",
    "SAMPLER.IMAGES=2",
    "SOLVER.EPOCHS=2",
    "SOLVER.WARMUP_EPOCHS=0",
    "SOLVER.STEPS=[1]",
    "SOLVER.BASE_LR=1e-3",
    "PRECISION=fp32",
    "TEST.PROTOCOLS=[sysu_all_single]",
]


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """The models are so small that more threads only wait for one another."""
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start


@pytest.fixture(autouse=True)
def _one_thread_again():
    """Threads move the last digits: a test that chooses more must not change those after it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_sysu(tmp_path_factory) -> Path:
    """A rendered SYSU-MM01 tree: 8 training identities (2 of them validation), 4 test."""
    root = tmp_path_factory.mktemp("data") / "sysu"
    write_set("sysu", root, train_ids=8, test_ids=4, images_per_camera=2, size=(64, 32), seed=1)
    return root


@pytest.fixture(scope="session")
def tiny_command(tiny_sysu):
    """Command-line arguments of a training that takes seconds; ``extra`` are KEY=VALUE."""

    def command(output: Path, *extra: str) -> list[str]:
        options = dict(item.split("=", 1) for item in (*TINY, *extra))
        options |= {"DATA.ROOT": str(tiny_sysu)} if "DATA.ROOT" not in options else {}
        pairs = [word for pair in options.items() for word in pair]
        return ["--cfg", "configs/sysu.yaml", *pairs, "OUTPUT_DIR", str(output)]

    return command


@pytest.fixture(scope="session")
def finished_run(tiny_command, tmp_path_factory) -> Path:
    """A run folder after two epochs. Never write into it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert train.main(tiny_command(folder)) == 0
    start_log(None)  # what other tests log in this process belongs into no run's log.txt
    return folder


@pytest.fixture
def run(finished_run, tmp_path) -> Path:
    """A copy of the finished run that a test may change."""
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch):
    """Configs are named relative to the repository, as users do."""
    monkeypatch.chdir(Path(__file__).resolve().parents[1])
    monkeypatch.delenv("VIREID_DATA", raising=False)


SMALL = ("MODEL.BACKBONE=sdc_cnn_x0_25_s16", "MODEL.SDM.ENABLED=false", "MODEL.MGIM.ENABLED=false")


@pytest.fixture(scope="session")
def small_run(tiny_command, tmp_path_factory) -> Path:
    """A run folder. Never write into it."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    assert train.main(tiny_command(folder, *SMALL, "SOLVER.EPOCHS=1")) == 0
    return folder


@pytest.fixture(scope="session")
def exported(small_run, tmp_path_factory) -> dict[str, Path]:
    """Files by modality, written by the tool: ``visible`` and ``infrared`` as ONNX."""
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    words = ["--run", str(small_run), "--format", "onnx", "--out", str(folder / "net.onnx")]
    assert export.main(words) == 0
    return {name: folder / f"net.{name}.onnx" for name in ("visible", "infrared")}


@pytest.fixture
def figures(monkeypatch) -> list:
    """The figures that are saved."""
    from matplotlib.figure import Figure

    saved = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: saved.append(f) or save(f, *a, **k))
    return saved


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium by Playwright: see ``tests/browser.py``."""
    with running_browser() as running:
        yield running
