import warnings

import pytest

from tests.figures.fit import assert_texts_fit
from vireid.errors import DataError, UsageError
from vireid.figures.curves import draw_cmc, draw_learning_curves, mean_entry, panels_of
from vireid.runs.logs import read_metrics

TERMS = ["identity", "weighted_triplet", "part_identity", "part_triplet"]
TERMS += [f"sdm_{term}_shallow{k}" for k in (1, 2, 3) for term in ("identity", "kl", "hint")]
COLUMNS = ["epoch", "steps", "lr", "loss", *(f"loss_{term}" for term in TERMS), "accuracy"]
COLUMNS += [*(f"grad_{term}" for term in TERMS), "val_v2i_mAP", "seconds", "wait_share"]


def history(epochs: int = 3) -> list[dict[str, float]]:
    return [
        {name: float(epoch if name == "epoch" else epoch + k) for k, name in enumerate(COLUMNS)}
        for epoch in range(1, epochs + 1)
    ]


def test_each_term_stands_once_among_its_own_kind():
    panels = panels_of(COLUMNS)
    shown = [column for members in panels.values() for column in members.values()]
    aside = {"epoch", "steps", "seconds", "wait_share"}
    assert sorted(shown) == sorted(set(COLUMNS) - aside)
    assert max(len(members) for members in panels.values()) <= 3
    students = {f"shallow{k}": f"loss_sdm_kl_shallow{k}" for k in (1, 2, 3)}
    assert panels["student heads: KL divergence"] == students
    parts = {"identity": "loss_part_identity", "triplet": "loss_part_triplet"}
    assert panels["part features: losses"] == parts
    scores = {"training accuracy": "accuracy", "validation v2i mAP": "val_v2i_mAP"}
    assert panels["training accuracy and validation scores"] == scores
    assert panels["gradient norm, deep head"]["weighted triplet"] == "grad_weighted_triplet"
    assert panels["learning rate"] == {"learning rate": "lr"}
    assert list(panels_of(["accuracy"])) == ["training accuracy"]
    assert list(panels_of(["val_i2v_rank1"])) == ["validation scores"]
    titles = ["deep head: identity", "student heads: hint loss, shallow1", "validation i2v rank-1"]
    columns = ["loss_identity", "loss_sdm_hint_shallow1", "val_i2v_rank1"]
    assert list(panels_of(columns, alone=True)) == titles


def test_one_runs_terms_are_grouped_and_those_of_several_stand_alone(tmp_path):
    rows = history()
    draw_learning_curves({"one": rows}, tmp_path / "one.svg")
    terms = ["shallow2", "accuracy"]
    draw_learning_curves({"_one": rows, "two": rows[:1]}, tmp_path / "two.svg", terms=terms)
    one, two = ((tmp_path / f"{name}.svg").read_text() for name in ("one", "two"))
    panels = panels_of(COLUMNS)
    assert len(panels) == 13 and all(f"<!-- {name} -->" in one for name in panels)
    assert one.count("<!-- epoch -->") == 1  # below the last row: the 13th panel
    assert one.count("<!-- shallow2 -->") == 6  # in the legends
    names = ["KL divergence,", "identity loss,", "hint loss,"]  # the titles' first lines
    assert [two.count(f"<!-- student heads: {name}") for name in names] == [1, 1, 1]
    assert "<!-- training accuracy -->" in two and "<!-- total loss -->" not in two
    # matplotlib leaves names that start with _ out of a legend that it makes by itself
    assert two.count("<!-- two -->") == two.count("<!-- _one -->") == 1


def test_terms_that_no_column_has_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no column is named like nothing; there are lr, loss"):
        draw_learning_curves({"one": history()}, tmp_path / "a.svg", terms=["nothing"])


def test_panels_hold_zero_negative_and_missing_values(tmp_path, figures):
    row = {"epoch": 1.0, "grad_identity": 0.0, "loss_a": -5.0, "loss_sdm_kl_x": float("inf")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_learning_curves({"one": [row]}, tmp_path / "a.svg")
    norm, loss, kl = figures[0].axes
    assert norm.get_yscale() == "linear" and norm.get_ylim() == (0, 1)
    assert loss.get_ylim() == (-5.25, 1) and kl.get_ylim() == (0, 1)
    assert all(tick == round(tick) for tick in loss.get_xticks())  # no fractions of an epoch


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (None, "No such file"),
        ("", "No columns"),
        ("epoch,loss\n", "no finished epoch"),
        ("loss\n1\n", "no finished epoch"),
        ("epoch,loss\nnan,1\n", "no finished epoch"),
        ("epoch,loss\n1,much\n", "much"),
        ("epoch,loss\n1,2,3\n", "do not fit"),
        ("\x00\xff", ""),
    ],
)
def test_files_without_curves_are_refused(tmp_path, content, phrase):
    if content is not None:
        (tmp_path / "metrics.csv").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=rf"metrics\.csv holds no learning curves.*{phrase}"):
        read_metrics(tmp_path)


def test_history_leaves_out_what_an_epoch_does_not_have(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,loss,val_v2i_mAP\n1,2.5,\n2,2,0.5\n")
    first, second = read_metrics(tmp_path)
    assert first == {"epoch": 1, "loss": 2.5}
    assert second == {"epoch": 2, "loss": 2, "val_v2i_mAP": 0.5}


def test_cmc_curves_of_several_runs_have_a_panel_for_each_protocol(tmp_path):
    entry, other = ({"mean": {"rank1": r}, "cmc": [r, 0.75, 1.0]} for r in (0.5, 0.6))
    draw_cmc({"_one": {"p": entry, "q": other}, "two": {"p": entry}}, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text.count("<!-- rank -->") == 2 and "<!-- rank-1 by p / q -->" in text
    # matplotlib leaves names that start with _ out of a legend that it makes by itself
    assert "<!-- _one: 50.0 / 60.0 % -->" in text and "<!-- two: 50.0 / – % -->" in text
    draw_cmc({"one": {"p": entry, "q": other}}, tmp_path / "b.svg")
    text = (tmp_path / "b.svg").read_text()
    assert text.count("<!-- rank -->") == 1 and "<!-- q: 60.0 % -->" in text


def test_long_names_make_the_picture_higher_and_stay_inside_it(tmp_path, figures):
    names = [f"a run whose name is much longer than the column of a paper {k}" for k in range(12)]
    entry = {"mean": {"rank1": 0.5}, "cmc": [0.5, 0.75, 1.0]}
    draw_cmc({name: {"p": entry} for name in names}, tmp_path / "a.png")
    (figure,) = figures
    legend = figure.legends[0].get_window_extent()
    assert_texts_fit(figure)
    assert legend.x0 >= 0 and legend.y0 >= 0 and legend.x1 <= figure.bbox.width
    assert legend.y1 <= figure.axes[0].get_window_extent().y0
    assert figure.axes[0].get_window_extent().height > 1.5 * figure.dpi


def test_the_mean_of_runs_has_the_spread_of_every_rank():
    entries = [{"mean": {"rank1": r}, "cmc": [r, 1.0]} for r in (0.25, 0.75)]
    found = mean_entry([*entries])
    assert found["mean"] == {"rank1": 0.5} and found["runs"] == 2
    assert found["cmc"] == [0.5, 1.0] and found["cmc_std"] == [0.25, 0.0]
