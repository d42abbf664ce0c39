from itertools import pairwise

import pytest

from vireid.errors import UsageError
from vireid.figures.style import COLORS, STYLES, drawn, line_style, require_figure


def test_twenty_eight_lines_differ_and_neighbours_differ_in_grey():
    lines = [tuple(line_style(number).values()) for number in range(28)]
    assert len(set(lines)) == len(COLORS) * len(STYLES) == 28
    assert all(one[1] != two[1] for one, two in pairwise(lines))


@pytest.mark.parametrize("name", ["a.png", "a.PDF", "a.svg"])
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


@pytest.mark.parametrize("name", ["a.jpg", "a", "nowhere/a.png"])
def test_other_targets_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match="a"):
        require_figure(tmp_path / name)
