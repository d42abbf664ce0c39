import pytest

from vireid.errors import DataError, UsageError
from vireid.figures.curves import draw_cmc, draw_learning_curves, panels_of
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
    aside = {"epoch", "steps", "lr", "seconds", "wait_share"}
    assert sorted(shown) == sorted(set(COLUMNS) - aside)
    assert max(len(members) for members in panels.values()) <= 3
    assert panels["students, kl"] == {f"shallow{k}": f"loss_sdm_kl_shallow{k}" for k in (1, 2, 3)}
    assert panels["parts"] == {"identity": "loss_part_identity", "triplet": "loss_part_triplet"}
    assert panels["accuracy"] == {"training": "accuracy", "val v2i mAP": "val_v2i_mAP"}
    assert panels["gradient norm, deep head"]["weighted triplet"] == "grad_weighted_triplet"


def test_one_runs_terms_are_grouped_and_those_of_several_stand_alone(tmp_path):
    rows = history()
    draw_learning_curves({"one": rows}, tmp_path / "one.svg")
    terms = ["shallow2", "accuracy"]
    draw_learning_curves({"_one": rows, "two": rows[:1]}, tmp_path / "two.svg", terms=terms)
    one, two = ((tmp_path / f"{name}.svg").read_text() for name in ("one", "two"))
    panels = panels_of(COLUMNS)
    assert one.count("<!-- epoch -->") == len(panels) == 12
    assert two.count("<!-- epoch -->") == 7  # three losses, their gradients, accuracy
    assert one.count("<!-- shallow2 -->") == 6  # in the legends
    assert "<!-- students, kl: shallow2 -->" in two
    # matplotlib leaves names that start with _ out of a legend that it makes by itself
    assert two.count("<!-- two -->") == two.count("<!-- _one -->") == 1


def test_terms_that_no_column_has_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no column is named like nothing; there are loss"):
        draw_learning_curves({"one": history()}, tmp_path / "a.svg", terms=["nothing"])


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
    entry = {"mean": {"rank1": 0.5}, "cmc": [0.5, 0.75, 1.0]}
    draw_cmc({"_one": {"p": entry, "q": entry}, "two": {"p": entry}}, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text.count("<!-- _one (50.0 %) -->") == 2 and text.count("<!-- two (50.0 %) -->") == 1
    draw_cmc({"one": {"p": entry, "q": entry}}, tmp_path / "b.svg")
    text = (tmp_path / "b.svg").read_text()
    assert text.count("<!-- rank -->") == 1 and "<!-- q (50.0 %) -->" in text
