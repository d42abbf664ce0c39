"""A user's mistake is one message and the exit code of the contract, never a traceback."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from vireid import cli
from vireid.cli import evaluate, make_synthetic, train


@pytest.mark.parametrize(
    ("option", "words", "code", "phrases"),
    [
        ("DATA.ROOT=data/no", (), 3, ["data/no", "cam1", "exp"]),
        ("MODEL.PRETRAINED=gone.pth", (), 4, ["gone.pth"]),
        ("SEED=0", ("--resume",), 4, ["last.pth"]),  # never starts over
        ("SEED=0", ("--resume", "data/gone.pth"), 4, ["data/gone.pth"]),
        # a bare --resume takes no option's name for a path
        ("SEED=0", ("--resume", "SOLVER.EPOCHS", "3"), 4, ["last.pth"]),
    ],
)
def test_what_is_missing_leaves_no_run_folder(
    tiny_command, tmp_path, capsys, option, words, code, phrases
):
    assert train.main([*tiny_command(tmp_path / "run", option), *words]) == code
    error = capsys.readouterr().err
    assert all(phrase in error for phrase in phrases), error
    assert "SOLVER.EPOCHS" not in error and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "phrases"),
    [
        ("MODEL.SHARE_DEPTH=3", ["MODEL.SHARE_DEPTH", "MODEL.SHARED_DEPTH"]),
        ("SOLVER.EPOCHS=many", ["SOLVER.EPOCHS", "whole number", "many"]),
        ("MODEL.SHARED_DEPTH=6", ["MODEL.SHARED_DEPTH", "0", "5", "6"]),
        ("MODEL.BACKBONE=osnet_x9", ["osnet_x9", "osnet_x1_0"]),
        ("DATA.DATASET=market", ["market", "sysu", "regdb"]),
        ("TEST.PROTOCOLS=[sysu_al]", ["sysu_al", "sysu_all_single"]),
        ("DEVICE=tpu", ["DEVICE", "tpu", "cpu"]),
        ("PRECISION=fp16", ["fp16", "CUDA", "bf16"]),
        ("MODEL.PRETRAINED=", ["MODEL.PRETRAINED", "imagenet", "none"]),
        ("SAMPLER.IDENTITIES=1 SAMPLER.IMAGES=1", ["SAMPLER.IDENTITIES", "BatchNorm"]),
    ],
)
def test_config_mistakes_name_key_value_and_remedy(tiny_command, tmp_path, capsys, option, phrases):
    if option == "PRECISION=fp16" and torch.cuda.is_available():
        pytest.skip("fp16 is fine on this machine")
    assert train.main(tiny_command(tmp_path / "run", *option.split(" "))) == 2
    error = capsys.readouterr().err
    assert all(phrase in error for phrase in phrases), error


def test_no_arguments_show_the_usage(capsys):
    with pytest.raises(SystemExit, match="2"):
        train.main([])
    assert "--cfg" in capsys.readouterr().err


def test_a_config_nested_without_end_is_a_mistake_too(tmp_path, capsys):
    path = tmp_path / "deep.yaml"
    path.write_text("[" * 5000)
    assert train.main(["--cfg", str(path)]) == 2
    assert train.main(["--cfg", "configs/demo.yaml", "INPUT.SIZE", "[" * 5000]) == 2
    assert "nested too deeply" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "phrase"),
    [
        (lambda train, test: (train.parent / "odd.jpg").mkdir(), "odd.jpg"),
        (lambda train, test: (train.parent / "odd.jpg").symlink_to("gone.jpg"), "odd.jpg"),
        (
            lambda train, test: shutil.copy(train, os.fsencode(train.parent) + b"/odd\xff.jpg"),
            "odd",
        ),
        (lambda train, test: test.write_bytes(test.read_bytes()[:300]), "cannot be decoded"),
        (lambda train, test: (test / "../../../exp/rand_perm_cam.mat").resolve().unlink(), ".mat"),
    ],
)
def test_damaged_data_are_noticed_before_training(
    tiny_command, tiny_sysu, tmp_path, capsys, spoil, phrase
):
    root = shutil.copytree(tiny_sysu, tmp_path / "data")
    ids = [(root / f"exp/{part}_id.txt").read_text().split(",")[0] for part in ("train", "test")]
    spoil(*(root / f"cam3/{int(pid):04d}/0001.jpg" for pid in ids))
    assert train.main(tiny_command(tmp_path / "run", f"DATA.ROOT={root}")) == 3
    error = capsys.readouterr().err
    assert phrase in error and str(root) in error
    assert not (tmp_path / "run").exists()


def with_broken_images(source: Path, target: Path) -> Path:
    """A copy whose infrared images of camera 3 begin and end well, and cannot be decoded."""
    root = shutil.copytree(source, target)
    for image in (root / "cam3").rglob("*.jpg"):
        Image.open(image).save(image.with_suffix(".png"))
        image.unlink()
        content = bytearray(image.with_suffix(".png").read_bytes())
        content[len(content) // 2] ^= 255
        image.with_suffix(".png").write_bytes(content)
    return root


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_image_is_named(tiny_command, tiny_sysu, tmp_path, capsys, workers):
    root = with_broken_images(tiny_sysu, tmp_path / "data")
    extra = (f"DATA.ROOT={root}", f"DATA.WORKERS={workers}")
    assert train.main(tiny_command(tmp_path / "run", *extra)) == 3
    error = capsys.readouterr().err
    assert str(root / "cam3") in error and ".png" in error and "Traceback" not in error


def test_an_error_with_loader_processes_at_work_ends_the_program(tiny_command, tiny_sysu, tmp_path):
    root = with_broken_images(tiny_sysu, tmp_path / "data")
    extra = (f"DATA.ROOT={root}", "DATA.WORKERS=2")
    for attempt in range(3):  # whether the processes were still at work is a matter of luck
        command = [sys.executable, "tools/train.py", *tiny_command(tmp_path / f"{attempt}", *extra)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 3 and "Traceback" not in ended.stderr, ended.stderr


def test_run_folder_in_use_is_refused_and_left_alone(tiny_command, finished_run, capsys):
    before = (finished_run / "metrics.csv").read_bytes()
    assert train.main(tiny_command(finished_run)) == 2
    error = capsys.readouterr().err
    assert "--resume" in error and "--overwrite" in error
    assert (finished_run / "metrics.csv").read_bytes() == before


def test_overwrite_replaces_the_run_and_keeps_what_is_not_its(tiny_command, run):
    folder = run
    (folder / "notes.md").write_text("mine")
    stale = folder / "checkpoints/epoch_099.pth"
    stale.write_text("old")
    assert train.main([*tiny_command(folder, "SOLVER.EPOCHS=1"), "--overwrite"]) == 0
    assert (folder / "notes.md").read_text() == "mine" and not stale.exists()


@pytest.mark.parametrize(
    "option", ["MODEL.BACKBONE=osnet_x0_5", "MODEL.SHARED_DEPTH=1", "MODEL.POOL=avg"]
)
def test_checkpoint_of_another_architecture_is_refused(
    tiny_command, finished_run, tmp_path, capsys, option
):
    source = finished_run / "checkpoints/last.pth"
    arguments = [*tiny_command(tmp_path / "run", option), "--resume", str(source)]
    assert train.main(arguments) == 4
    assert "another model" in capsys.readouterr().err
    assert evaluate.main(["--run", str(finished_run), *option.split("=")]) == 4


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_damaged_checkpoint_is_refused(tiny_command, run, capsys, content):
    path = run / "checkpoints/last.pth"
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    assert train.main([*tiny_command(run), "--resume"]) == 4
    assert evaluate.main(["--run", str(run)]) == 4
    error = capsys.readouterr().err
    assert "last.pth" in error and "Traceback" not in error
    assert error.count("restore it from a copy, or train the run again") == 2


def test_overwrite_removes_nothing_when_the_new_run_cannot_start(tiny_command, run):
    arguments = [*tiny_command(run, "MODEL.PRETRAINED=gone.pth"), "--overwrite"]
    assert train.main(arguments) == 4
    assert (run / "checkpoints/last.pth").is_file()


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, cli.SPIN), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_idle_threads_wait_shortly_unless_the_user_says_how(given, found, tmp_path):
    after = "open('found', 'w').write(str(os.environ.get('GOMP_SPINCOUNT')))"
    assert launched("table", "--help", after=after, given=given, cwd=tmp_path).returncode == 0
    assert (tmp_path / "found").read_text() == str(found)


def test_ctrl_c_while_a_tool_is_being_imported_ends_without_a_traceback(tmp_path):
    before = "cli.importlib.import_module = lambda name: signal.raise_signal(signal.SIGINT)"
    done = launched("train", before=before, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, "\nstopped\n")


def launched(name, *words, before="", after="", given=None, cwd) -> subprocess.CompletedProcess:
    """``cli.launch`` in a process, which it may end, with Python lines before and after it."""
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    start = f"import os, signal, sys; from vireid import cli; sys.argv = {[name, *words]}"
    lines = (start, before, f"code = cli.launch({name!r})", after, "sys.exit(code)")
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=kept | {"PYTHONPATH": str(Path(__file__).parents[2])} | (given or {}),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("main", "words", "code", "phrase"),
    [
        (evaluate.main, ["--run", "a" * 300], 2, "error: File name too long ("),
        (evaluate.main, ["--run", "tests"], 4, "config.yaml"),
        (train.main, ["--cfg", "configs/nothing.yaml"], 2, "configs/nothing.yaml"),
        # names in a message cannot steer the terminal
        (train.main, ["--cfg", "no/a\x1b[31m.yaml"], 2, r"a\x1b[31m.yaml"),
        (make_synthetic.main, ["--layout=sysu", "--out=no", "--train-ids=0"], 2, "train_ids"),
        (make_synthetic.main, ["--layout=sysu", "--out=tests", "--train-ids=2"], 2, "tests"),
    ],
)
def test_other_mistakes_are_one_line(main, words, code, phrase, capsys):
    assert main(words) == code
    error = capsys.readouterr().err
    assert phrase in error and error.startswith("error: ") and error.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(finished_run, tmp_path):
    command = [sys.executable, "tools/table.py", str(finished_run)]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")
