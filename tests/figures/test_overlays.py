import numpy as np
import pytest
from matplotlib.figure import Figure

from vireid.errors import UsageError
from vireid.figures.overlays import (
    Panel,
    PanelGroup,
    PanelRow,
    Words,
    covered,
    draw_panels,
    enlarged,
)
from vireid.figures.style import DOUBLE, SINGLE

WORDS = Words("energy", "a note")


def panel(**options) -> Panel:
    return Panel(np.full((16, 8, 3), 200, np.uint8), **options)


def test_smooth_maps_keep_the_places_of_their_cells():
    heat = np.zeros((6, 3))
    heat[4, 1] = 5.0
    found = enlarged(heat, (60, 30))
    assert np.unravel_index(found.argmax(), found.shape)[0] in range(40, 50)
    assert found[45, 15] == pytest.approx(1, abs=0.02) and found.min() == 0
    assert 0.2 < found[40, 15] < 0.8  # between two cells
    cells = enlarged(heat, (60, 30), cells=True)
    assert (cells[40:50, 10:20] == 1).all() and cells.sum() == 100


def test_a_constant_map_stays_constant_and_an_empty_one_empty():
    np.testing.assert_allclose(enlarged(np.full((3, 2), 7.0), (10, 9)), 1)
    assert not enlarged(np.zeros((3, 2)), (10, 9)).any()


def test_the_image_is_grey_where_a_map_is_0_and_bright_colour_where_it_is_largest():
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 255  # red
    heat = np.zeros((2, 2))
    heat[0, 0] = 1.0
    picture = covered(image, heat, (8, 8), cells=True)
    red, green, blue = picture[7, 7]
    assert red == green == blue == pytest.approx(0.1 + 0.5 * 76 / 255)
    assert picture[0, 0, 1] > 2 * green and len(set(picture[0, 0].tolist())) == 3
    np.testing.assert_allclose(covered(image, None, (8, 8))[0, 0], [1, 0, 0])


LONG = "a_long_name_of_a_file_" * 3


@pytest.mark.parametrize(
    ("panels", "groups", "inches"), [(2, 1, SINGLE), (3, 3, DOUBLE), (1, 8, DOUBLE)]
)
def test_texts_stay_inside_the_figure_and_apart(tmp_path, monkeypatch, panels, groups, inches):
    some = [panel(shares=np.full(6, 1 / 6)), panel(heat=np.eye(3)), panel()]
    one = PanelGroup(LONG, some[:panels])
    seen = {}

    def keep(figure, *args, **options):
        inner = [text for axes in figure.axes for text in axes.texts]
        below = inner[-3:]  # of the colour bar
        outer = [text for text in figure.texts if text.get_text()] + below
        seen["texts"] = [text.get_window_extent() for text in outer]
        seen["axes"] = [axes.get_window_extent() for axes in figure.axes]
        seen["sizes"] = {text.get_fontsize() for text in inner + outer}
        seen["figure"] = figure.bbox
        assert figure.get_figwidth() == pytest.approx(inches)

    monkeypatch.setattr(Figure, "savefig", keep)
    rows = [PanelRow(LONG * 3, [one] * groups)] * 2
    draw_panels(tmp_path / "a.png", rows, Words("the meaning of the colours " * 4, LONG * 5))
    texts, axes, whole = seen["texts"], seen["axes"], seen["figure"]
    assert len(texts) > 12 and min(seen["sizes"]) >= 7
    for number, text in enumerate(texts):
        assert whole.x0 <= text.x0 and text.x1 <= whole.x1 and text.y0 >= whole.y0
        assert not any(text.overlaps(other) for other in [*axes, *texts[number + 1 :]])


def test_too_many_rows_are_refused(tmp_path):
    row = PanelRow("a", [PanelGroup("image", [panel()])])
    with pytest.raises(UsageError, match="300 rows"):
        draw_panels(tmp_path / "a.png", [row] * 300, WORDS)
