"""A run's paths are absolute in it: every tool works from any folder."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import SMALL
from tests.helpers import write_image
from tests.run_files import last
from vireid.cli import evaluate, extract, train, visualize
from vireid.config.lists import is_path
from vireid.config.load import absolute_paths, flatten, load_config
from vireid.config.schema import OPTIONS
from vireid.runs.options import read_config
from vireid.runs.rendered_data import synthetic_root
from vireid.runs.resume import changed_options
from vireid.utils.commands import from_here, own_command

PATHS = ("DATA.ROOT", "DATA.CACHE", "TEACHER.WEIGHTS", "TEACHER.CONFIG", "OUTPUT_DIR")


@pytest.mark.parametrize("key", [*PATHS, "MODEL.PRETRAINED"])
def test_every_option_that_is_a_path_becomes_absolute(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    for given, expected in (
        ("a/b", f"{tmp_path}/a/b"),
        ("../a", f"{tmp_path}/../a"),
        ("~/a", "/home/me/a"),
        ("/x/a{SEED}", "/x/a{SEED}"),
    ):
        pair = [key, given]
        if key == "TEACHER.CONFIG":
            pair += ["TEACHER.WEIGHTS", "/w.pth"]
        values = flatten(absolute_paths(load_config(None, pair, environment={})))
        assert values[key] == expected
        changed = {name for name, value in values.items() if value != OPTIONS[name].default}
        assert changed <= {key, "TEACHER.WEIGHTS"}


def test_words_that_name_no_file_stay(tmp_path):
    """Also empty paths; whatever a later path option is called, the schema decides."""
    for word in ("imagenet", "none"):
        cfg = load_config(None, ["MODEL.PRETRAINED", word], environment={})
        assert flatten(absolute_paths(cfg)) == flatten(cfg)
    assert {key for key in OPTIONS if is_path(key, "x")} >= {*PATHS, "MODEL.PRETRAINED"}
    assert not is_path("MODEL.BACKBONE", "x")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Moves to a new folder, and comes back."""

    def move(name: str) -> Path:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        return tmp_path / name

    return move


def test_a_run_of_relative_paths_is_used_and_continued_from_any_folder(
    tiny_command, tiny_sysu, elsewhere, capsys
):
    config = Path("configs/sysu.yaml").absolute()
    home = elsewhere("home")
    (home / "data").symlink_to(tiny_sysu)
    extra = (*SMALL, "SOLVER.EPOCHS=1", "DATA.ROOT=data", "DATA.CACHE=cache")
    words = [str(config) if w == "configs/sysu.yaml" else w for w in tiny_command("out", *extra)]
    assert train.main(words) == 0
    saved = yaml.safe_load((home / "out/config.yaml").read_text())
    assert saved["DATA"]["ROOT"] == f"{home}/data" and saved["DATA"]["CACHE"] == f"{home}/cache"
    assert saved["OUTPUT_DIR"] == f"{home}/out"
    assert (home / "out/command.txt").read_text().startswith(f"cd {home} && python /")
    elsewhere("other")
    run = ["--run", "../home/out"]
    assert evaluate.main([*run, "--protocols", "sysu_all_single"]) == 0
    assert extract.main([*run, "--out", "features.npz"]) == 0
    assert not Path("out").exists() and not Path("cache").exists()
    moved = shutil.move(home / "out", Path("moved").absolute())
    again = ["--cfg", "moved/config.yaml", "--resume", "moved", "SOLVER.EPOCHS", "2"]
    assert train.main(again) == 0
    assert last(Path(moved))["progress"]["epoch"] == 2 and not (home / "out").exists()
    assert yaml.safe_load(Path("moved/config.yaml").read_text())["OUTPUT_DIR"] == str(moved)


def test_relative_paths_of_older_runs_are_compared_as_what_they_mean(run, monkeypatch):
    """0.1.0 wrote them as they were given."""
    monkeypatch.chdir(run.parent)
    config = run / "config.yaml"
    config.write_text(re.sub(r"PRETRAINED: \w+", "PRETRAINED: w.pth", config.read_text()))
    for given, changed in (("w.pth", []), (f"{run.parent}/w.pth", []), ("v.pth", [0])):
        cfg = load_config(config, ["MODEL.PRETRAINED", given], environment={})
        assert changed_options(run, cfg) == ["MODEL.PRETRAINED"] * len(changed)


def test_a_command_line_is_repeated_from_any_folder(tmp_path, monkeypatch):
    place = tmp_path / "a folder"
    place.mkdir()
    (place / "tool.py").write_text("import os, sys; print(os.getcwd(), sys.argv[1:])")
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["tool.py", "x"])
    line = from_here([*own_command(), "it's"])
    monkeypatch.chdir("/")
    line = line.replace("python", shlex.quote(sys.executable))
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == f"""{place} ["it's"]\n"""


@pytest.fixture
def rendered_run(run, tmp_path) -> tuple[Path, Path]:
    """A run whose images were rendered and are gone, and where they were."""
    path = run / "config.yaml"
    words = ["DATA.SYNTHETIC.ENABLED", "true", "DATA.SYNTHETIC.TRAIN_IDS", "3"]
    root = synthetic_root(load_config(path, words, environment={}), tmp_path / "gone")
    values = yaml.safe_load(path.read_text())
    values["DATA"]["SYNTHETIC"] |= {"ENABLED": True, "TRAIN_IDS": 3}
    values["DATA"]["ROOT"] = str(root)
    path.write_text(yaml.safe_dump(values))
    return run, root


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        (evaluate, []),
        (extract, ["--out", "features.npz"]),
        (visualize, ["ranks", "--out", "ranks.png"]),
        (visualize, ["activations", "--out", "maps.png"]),
    ],
)
def test_only_training_renders(rendered_run, tmp_path, monkeypatch, capsys, tool, words):
    run, root = rendered_run
    monkeypatch.chdir(tmp_path)
    first, rest = words[: tool is visualize], words[tool is visualize :]
    assert tool.main([*first, "--run", str(run), *rest]) == 3
    error = capsys.readouterr().err
    assert f"the images that were rendered for this run are not in {root}" in error
    command = error.split("render it again with ")[1].split()
    assert command[command.index("--out") + 1] == str(root)
    assert command[command.index("--train-ids") + 1] == "3"
    assert command[command.index("--size") + 1 :][:2] == ["128", "64"]
    assert not root.parent.exists() and not Path("datasets").exists()


def test_images_of_an_older_renderer_are_not_rendered_again(rendered_run, monkeypatch, capsys):
    run, root = rendered_run
    monkeypatch.setattr("vireid.runs.rendered_data.RENDERER_VERSION", -1)
    assert evaluate.main(["--run", str(run)]) == 3
    assert "this version of the renderer draws others" in capsys.readouterr().err
    assert not root.exists()


def test_other_options_of_rendering_mean_another_set(rendered_run):
    """The folder in a run's config.yaml is that of its own options."""
    run, root = rendered_run
    path = run / "config.yaml"
    assert read_config(path, []).DATA.ROOT == str(root)
    assert read_config(path, ["SEED", "5"]).DATA.ROOT == str(root)
    other = Path(read_config(path, ["DATA.SYNTHETIC.SEED", "5"]).DATA.ROOT)
    assert other.parent == root.parent and other.name != root.name
    words = ["DATA.SYNTHETIC.SEED", "5", "DATA.ROOT", "/mine"]
    assert read_config(path, words).DATA.ROOT == "/mine"


def test_training_warns_of_what_is_suspicious(tiny_command, tiny_sysu, tmp_path, capsys):
    root = shutil.copytree(tiny_sysu, tmp_path / "data")
    train_image, test_image = root / "cam1/0001/0001.jpg", root / "cam1/0009/0001.jpg"
    shutil.copyfile(train_image, test_image)
    write_image(root / "cam2/.Trash-1000/files/0001/0003.jpg")
    words = tiny_command(tmp_path / "run", *SMALL, "SOLVER.EPOCHS=1", f"DATA.ROOT={root}")
    assert train.main(words) == 0
    printed = " ".join(capsys.readouterr().out.replace("warning ", "").split())
    assert printed.startswith(
        "data set: the same picture is in two of the parts training, validation and test: "
        "1 picture, such as cam1/0001/0001.jpg (training) = cam1/0009/0001.jpg (test) "
        "data set: the same picture shows two identities: "
        "1 picture, such as cam1/0001/0001.jpg (1) = cam1/0009/0001.jpg (9) "
        "data set: 1 image is skipped, in hidden or system files and folders: "
        "cam2/.Trash-1000/files/0001/0003.jpg "
    )
    assert (tmp_path / "run/log.txt").read_text().count("data set: ") == 3
