import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from vireid.errors import UsageError
from vireid.figures.style import COLORS, STYLES, drawn, line_style, require_figure


def test_twenty_eight_lines_differ_and_neighbours_differ_in_grey():
    lines = [tuple(line_style(number).values()) for number in range(28)]
    assert len(set(lines)) == len(COLORS) * len(STYLES) == 28
    assert all(one[1] != two[1] for one, two in pairwise(lines))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.PDF", "a.svg"])
def test_equal_figures_are_equal_files(tmp_path, name):
    require_figure(tmp_path / name)
    contents = []
    for _ in range(2):
        with drawn(tmp_path / name, 2, 1) as figure:
            figure.subplots().plot([1, 2])
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    if name == "a.PDF":
        assert b"/Type3" not in contents[0] and b"/FontFile2" in contents[0]


def test_a_figure_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "a.png").write_text("before")
    with pytest.raises(RuntimeError), drawn(tmp_path / "a.png", 2, 1):
        raise RuntimeError
    assert (tmp_path / "a.png").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["a.gif", "a", "nowhere/a.png"])
def test_other_targets_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match="a"):
        require_figure(tmp_path / name)


def drawing() -> bytes:
    with TemporaryDirectory() as folder:
        with drawn(Path(folder) / "a.png", 2, 1) as figure:
            axes = figure.subplots()
            axes.plot([1, 2], label="a $b_c$")
            axes.legend()
        return (Path(folder) / "a.png").read_bytes()


@pytest.mark.parametrize(
    "settings",
    [
        {"text.usetex": True},
        {"savefig.bbox": "tight", "savefig.pad_inches": 3, "savefig.dpi": 20, "figure.dpi": 30},
        {"font.family": ["serif"], "font.size": 30, "lines.linewidth": 9, "axes.grid": True},
        {"savefig.facecolor": "red", "savefig.transparent": True, "figure.autolayout": True},
    ],
)
def test_a_users_settings_change_no_figure_and_stay(settings):
    import matplotlib

    usual = drawing()
    with matplotlib.rc_context(settings):
        assert drawing() == usual
        assert all(matplotlib.rcParams[name] == value for name, value in settings.items())


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_a_backend_that_is_not_installed_does_not_matter(backend, tmp_path):
    """matplotlib alone fails with it while it is imported; nor can its folder be written."""
    code = """
import os
from pathlib import Path
from vireid.figures.style import drawn
with drawn(Path("a.png"), 2, 1) as figure:
    figure.subplots().plot([1, 2])
print(os.environ["MPLBACKEND"])
"""
    environment = os.environ | {
        "MPLBACKEND": backend,
        "MPLCONFIGDIR": "/proc/nothing",
        "HOME": "/proc/nothing",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == backend, done.stderr
    assert (tmp_path / "a.png").stat().st_size > 1000
