"""The run folder: claimed by one process, replaced as a whole."""

import fcntl
import logging
import os
import signal
import time
from pathlib import Path

import pytest

from vireid.config.schema import default_config
from vireid.errors import UsageError
from vireid.runs.logs import start_log
from vireid.runs.run_dir import claim_folder, run_folder


@pytest.mark.parametrize("mark", ["config.yaml", "metrics.csv", "checkpoints/last.pth"])
def test_any_part_of_a_run_makes_the_folder_one(tmp_path, mark):
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).write_text("x")
    with (
        pytest.raises(UsageError, match="--overwrite"),
        claim_folder(tmp_path, resume=False, overwrite=False),
    ):
        pass
    assert (tmp_path / mark).read_text() == "x"


def test_overwrite_removes_scores_and_events_and_follows_no_link(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "last.pth").write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    names = ("config.yaml", "results.json", "results_flip-true.json", "events.out.tfevents.1")
    for name in names:
        (folder / name).write_text("x")
    (folder / "checkpoints").symlink_to(kept)
    with claim_folder(folder, resume=False, overwrite=True):
        assert sorted(entry.name for entry in folder.iterdir()) == ["checkpoints", "figures"]
        assert not (folder / "checkpoints").is_symlink()
    assert (kept / "last.pth").read_text() == "mine"


def test_a_folder_in_which_another_process_works_is_refused(tmp_path):
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with (
        pytest.raises(UsageError, match="another process"),
        claim_folder(tmp_path, resume=True, overwrite=False),
    ):
        pass
    os.close(other)
    with claim_folder(tmp_path, resume=True, overwrite=False):
        assert (tmp_path / "figures").is_dir()


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    for name in ("checkpoints/.last.pth.12.tmp", "figures/cmc.png.3.tmp", "results.json.45.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "mine.tmp").touch()
    with claim_folder(tmp_path, resume=True, overwrite=False):
        assert [path.name for path in tmp_path.rglob("*.tmp")] == ["mine.tmp"]


def test_a_log_that_cannot_be_written_does_not_end_a_run(tmp_path, capsys):
    start_log(tmp_path)
    logger = logging.getLogger("vireid")
    (file,) = [one for one in logger.handlers if isinstance(one, logging.FileHandler)]
    logger.info("before \udcff")
    file.stream.close()
    file.stream = Path("/dev/full").open("w")  # noqa: SIM115 (as on a full disk)
    logger.info("during")
    start_log(None)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert (tmp_path / "log.txt").read_text() == "before \\udcff\n"


def test_a_process_that_outlives_a_killed_run_does_not_keep_its_lock(tmp_path):
    """As a loader process does for some seconds, which has inherited whatever was open."""
    reader, writer = os.pipe()
    killed = os.fork()
    if killed == 0:
        with claim_folder(tmp_path, resume=True, overwrite=False):
            outliving = os.fork()
            if outliving == 0:
                time.sleep(60)
            os.write(writer, str(outliving).encode())
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(killed, 0)
    outliving = int(os.read(reader, 99))
    try:
        with claim_folder(tmp_path, resume=True, overwrite=False):
            assert os.kill(outliving, 0) is None  # it is still there: the lock is not its
    finally:
        os.kill(outliving, signal.SIGKILL)
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("home", ["runs/regdb/split2/seed0", "runs/regdb/seed3", "runs/regdb"])
def test_config_of_a_run_stands_for_the_file_that_it_was_started_with(tmp_path, home):
    own = tmp_path / home / "config.yaml"
    own.parent.mkdir(parents=True)
    assert run_folder(default_config(), own, None) == Path("runs/config/seed0")
    (own.parent / "command.txt").touch()
    assert run_folder(default_config(), own, 2) == Path("runs/regdb/split2/seed0")
    assert run_folder(default_config(), own, None) == Path("runs/regdb/seed0")
