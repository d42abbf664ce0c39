"""``check_data``: the table, the messages, the exit codes."""

import pytest

from tests.helpers import write_llcm, write_sysu
from vireid.cli import check_data


def test_a_small_set_differs_from_the_published_one(tmp_path, capsys):
    root = write_sysu(tmp_path / "SYSU")
    assert check_data.main(["--dataset", "sysu", "--root", str(root)]) == 3
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert "training visible images 22,258 12 <- differs".split() in lines
    assert "queries answerable indoors 2,208 2 <- differs".split() in lines
    assert "gallery all-search multi-shot 3,010 4 <- differs".split() in lines
    assert "note: no exp/rand_perm_cam.mat" in out
    assert err.startswith(f"error: {root}: 12 things are wrong, as shown above\n")
    assert "https://github.com/wuancong/SYSU-MM01" in err
    assert "\r" not in out + err and "Traceback" not in err  # no progress bar in a pipe


def test_reduced_checks_only_that_the_set_is_consistent(tmp_path, capsys):
    root = write_llcm(tmp_path / "LLCM")
    assert check_data.main(["--dataset", "llcm", "--root", str(root), "--reduced"]) == 0
    out, err = capsys.readouterr()
    assert "training infrared images - 2".split() in [line.split() for line in out.splitlines()]
    assert "8 images opened, 0 cannot be read" in out
    assert out.splitlines()[-1] == "nothing is wrong, but see what is suspicious" and err == ""
    assert "suspicious: the same picture shows two identities: 1 picture, such as" in out


def test_the_first_bad_paths_are_shown_and_the_others_counted(tmp_path, capsys):
    root = write_sysu(tmp_path / "SYSU", images=2)
    bad = sorted((root / "cam1").rglob("*.jpg")) + sorted((root / "cam6").rglob("*.jpg"))
    for path in bad:
        path.write_bytes(path.read_bytes()[:40])
    assert check_data.main(["--dataset", "sysu", "--root", str(root), "--reduced"]) == 3
    out, err = capsys.readouterr()
    assert "48 images opened, 16 cannot be read" in out
    assert str(bad[0]) in out and str(bad[9]) in out and str(bad[10]) not in out
    assert "… and 6 more" in out
    assert "16 things are wrong" in err


def test_a_missing_root_shows_the_tree(tmp_path, capsys):
    arguments = ["--dataset", "llcm", "--root", str(tmp_path / "no")]
    assert check_data.main(arguments) == 3
    assert "ROOT/idx/test_id.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--dataset", "market", "--root", "x"], ["--dataset", "sysu"]]
)
def test_usage_mistakes(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        check_data.main(arguments)
    assert "usage:" in capsys.readouterr().err
