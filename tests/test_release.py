"""What is given out: requirements that agree, a version everywhere, a wheel that works alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

import vireid
from vireid.cli import cost, sweep, train
from vireid.config.load import find_config, shipped_folder
from vireid.sweeps.spec import read_sweep

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", "__pycache__", "*.egg-info", "build", "dist", "synthetic*_*"
)
TINY = """MODEL.MGIM.GRANULARITIES [1,2] MODEL.MGIM.DIM 8 INPUT.SIZE [64,32] SOLVER.EPOCHS 1
SOLVER.WARMUP_EPOCHS 0 SAMPLER.IDENTITIES 8 DATA.SYNTHETIC.TRAIN_IDS 10 DATA.SYNTHETIC.TEST_IDS 3
DATA.SYNTHETIC.IMAGES_PER_CAMERA 1 DATA.SYNTHETIC.SIZE [64,32] DATA.WORKERS 0 PRECISION fp32
TEST.PROTOCOLS [sysu_all_single]""".split()


def test_conda_and_pip_install_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = (part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert pip == [*PROJECT["dependencies"], "-e ."]
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"]


def test_the_version_is_told_alike_everywhere():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## (\d+\.\d+\.\d+) – (\d{4}-\d{2}-\d{2})$", changes, re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (vireid.__version__, str(citation["date-released"])) == released[0]
    assert citation["version"] == vireid.__version__
    wheel = f"vireid-{vireid.__version__}-py3-none-any.whl"
    assert wheel in (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")


def configs() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "configs").rglob("*.yaml"))
    }


def test_a_shipped_config_is_found_only_where_there_is_no_other(tmp_path, monkeypatch):
    demo = Path("configs/demo.yaml")
    assert find_config(demo) == demo  # the repository is the working folder here
    monkeypatch.chdir(tmp_path)
    assert find_config(demo) == shipped_folder() / "demo.yaml" == ROOT / demo
    assert find_config(Path("demo.yaml")) == Path("demo.yaml")
    assert find_config(Path("configs/../pyproject.toml")) == Path("configs/../pyproject.toml")
    (tmp_path / "configs").mkdir()
    (tmp_path / demo).write_text("SEED: 1\n")
    assert find_config(demo) == demo
    assert find_config(Path("configs/none.yaml")) == Path("configs/none.yaml")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist and the wheel that was made of it."""
    folder = tmp_path_factory.mktemp("release")
    shutil.copytree(ROOT, folder / "source", ignore=LEFT_OUT)
    shutil.rmtree(folder / "source/runs", ignore_errors=True)  # of trainings here
    words = ["-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), "source"]
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder / "dist"


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The wheel in a folder of its own, beside the requirements that are there already."""
    site = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    words = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site)]
    done = subprocess.run([sys.executable, *words, str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site


def call(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [str(site / "bin/vireid"), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_sdist_holds_what_tests_and_documentation_need(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"CHANGELOG.md", "CITATION.cff", "environment.yml", "mkdocs.yml", "tests/conftest.py"}
    wanted |= {"docs/index.md", "tools/train.py", "setup.py"}
    wanted |= {"vireid/reports/templates/base.html.j2", "docs/api/index.md"}
    wanted |= {".github/workflows/ci.yml", ".pre-commit-config.yaml"}
    assert wanted | set(configs()) <= names


def test_the_wheel_holds_the_package_and_the_configs_and_nothing_else(installed):
    held = {path.relative_to(installed).as_posix() for path in installed.rglob("*.*")}
    kinds = ("py", "j2", "css", "js", "csv")
    files = [path for kind in kinds for path in (ROOT / "vireid").rglob(f"*.{kind}")]
    modules = {path.relative_to(ROOT).as_posix() for path in files}
    assert "vireid/reports/templates/base.html.j2" in modules
    package = {name for name in held if name.startswith("vireid/") and "__pycache__" not in name}
    assert package == modules | {f"vireid/{name}" for name in configs()}
    for name, text in configs().items():
        assert (installed / "vireid" / name).read_text(encoding="utf-8") == text
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"vireid", "bin"}


def test_the_demo_trains_outside_the_repository(installed, tmp_path):
    (tmp_path / "mine.yaml").write_text("_BASE_: configs/demo.yaml\nSEED: 7\n")
    done = call(installed, tmp_path, "train", "--cfg", "mine.yaml", *TINY)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs/mine/seed7"
    assert json.loads((run / "results.json").read_text())["protocols"].keys() == {"sysu_all_single"}
    assert "SOLVER.EPOCHS 1" in (run / "command.txt").read_text()


def test_sweeps_and_their_bases_are_found_outside_the_repository(installed, tmp_path, monkeypatch):
    words = ("sweep", "--cfg", "configs/sweeps/demo_depth.yaml", "--dry-run")
    done = call(installed, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "6 cells × 3 seeds = 18 runs in runs/sweeps/demo_depth" in done.stdout
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own.yaml"
    own.write_text("BASE: configs/demo.yaml\nGRID: {MODEL.SHARED_DEPTH: [0, 5]}\n")
    assert read_sweep(own).base == shipped_folder() / "demo.yaml"


@pytest.mark.parametrize("tool", [train, sweep])
@pytest.mark.parametrize("name", ["configs/" + "a" * 5000, "configs"])
def test_a_name_that_no_file_can_have_is_one_line(tool, name, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert tool.main(["--cfg", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "own.yaml").write_text(f"_BASE_: {json.dumps(name)}\n")
    assert train.main(["--cfg", "own.yaml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("tool", [train, sweep, cost])
def test_help_says_where_configs_are_looked_for(tool, capsys):
    with pytest.raises(SystemExit):
        tool.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "if this folder has no such configs/… file, the installed project's is used" in text
