"""Tables as Markdown, CSV and LaTeX."""

import doctest

import pandas as pd

from vireid.utils import tables


def test_the_examples_hold():
    assert doctest.testmod(tables).failed == 0


def test_latex_uses_booktabs_and_escapes_every_text():
    names = [("", "run"), ("v_2", "rank1"), ("v_2", "mAP")]
    rows = [["50 % both", "**1.0 ± 2.0**", "–"], ["[x", "-1.0", "+2.0"]]
    frame = pd.DataFrame(rows, columns=pd.MultiIndex.from_tuples(names))
    assert tables.latex(frame, note="Per cent.", columns="lcc").splitlines() == [
        "% Per cent.",
        r"\begin{tabular}{lcc}",
        r"\toprule",
        r" & \multicolumn{2}{c}{v\_2} \\",
        r"run & rank1 & mAP \\",
        r"\midrule",
        r"50 \% both & \textbf{1.0 $\pm$ 2.0} & -- \\",
        r"{[}x & $-$1.0 & $+$2.0 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    (header,) = [x for x in tables.latex(frame.droplevel(0, axis=1), note="", columns="lcc")
                 .splitlines() if "rank1" in x]  # fmt: skip
    assert header == r"run & rank1 & mAP \\"


def test_whole_numbers_stay_whole_in_csv_where_some_are_missing():
    frame = pd.DataFrame({"macs": pd.array([12, None], dtype="Int64"), "std": [None, 0.25]})
    assert tables.csv(frame) == "macs,std\n12,\n,0.2500"


def test_a_table_without_rows_is_its_header():
    assert tables.markdown(pd.DataFrame(columns=["run", "mAP"])) == "| run | mAP |\n| --- | --- |"
