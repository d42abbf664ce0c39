import pytest

from tests.figures.fit import assert_texts_fit, text_boxes
from vireid.figures.style import drawn
from vireid.figures.text import fit_text, text_width


def widest(text: str, size: float) -> float:
    return max(text_width(line, size) for line in text.split("\n"))


def test_text_is_broken_where_words_end_and_shortened_in_its_middle():
    name = "cam3/0006/some_name_of_an_image.jpg"
    assert fit_text("rank 12", 1, 7) == "rank 12"
    assert fit_text(name, 0.6, 7, lines=9) == "cam3/\n0006/\nsome_\nname_of_\nan_image.\njpg"
    for lines in (1, 2, 3):
        short = fit_text(name, 0.6, 7, lines=lines)
        assert short.count("…") == 1 and len(short.split("\n")) <= lines
        assert short.startswith("ca") and short.endswith("g") and widest(short, 7) <= 0.6
    assert fit_text("a\nb\x1b", 1, 7) == "a\\nb\\x1b"
    assert fit_text("", 1, 7) == ""


def test_a_word_that_is_too_long_is_broken_anywhere():
    broken = fit_text("x" * 40, 0.4, 7, lines=9)
    assert broken.replace("\n", "") == "x" * 40 and 0.3 < widest(broken, 7) <= 0.4


@pytest.mark.parametrize("bold", [False, True])
def test_measured_widths_are_those_that_are_drawn(tmp_path, bold):
    texts = ["rank 12", "camera 10", "✗ id rank", "gate-east_2026-03-14.jpg"]
    with drawn(tmp_path / "a.png", 3, 1, layout=None) as figure:
        for k, text in enumerate(texts):
            weight = "bold" if bold else "normal"
            figure.text(0.1, 0.2 * k, text, fontsize=7, weight=weight)
        boxes = text_boxes(figure)
    for text, (left, _, right, _) in boxes.items():
        assert 0.93 < (right - left) / text_width(text.get_text(), 7, bold=bold) <= 1.0


@pytest.mark.parametrize(
    ("place", "size", "words", "problem"),
    [
        ((0.9, 0.5), 8, "across the edge", "cut off"),
        ((0.12, 0.51), 8, "on another", "covers"),
        ((0.1, 0.1), 5, "small", "smaller than 7"),
    ],
)
def test_text_that_does_not_fit_is_found(tmp_path, place, size, words, problem):
    with drawn(tmp_path / "a.png", 3, 1, layout=None) as figure:
        figure.text(0.1, 0.5, "some text", fontsize=8)
        assert_texts_fit(figure)
        figure.text(*place, words, fontsize=size)
        with pytest.raises(AssertionError, match=problem):
            assert_texts_fit(figure)
