"""Results in print: the table of them, and that they stay apart from measured ones."""

import csv
import io
import json
import re

import pandas as pd

from vireid.cli import table
from vireid.evaluation.protocols import PROTOCOLS, with_draw
from vireid.reports.published import read_published, whole_set

RESULTS = read_published()
SCORES = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")


def write_run(folder, **protocols) -> str:
    """A run with one entry per protocol: (gallery draw, number of queries)."""
    folder.mkdir(parents=True)
    entries = {
        name.replace("_plus_", "+"): {
            "gallery_draw": draw,
            "metric": "cosine",
            "cmc_unit": PROTOCOLS[name.partition("_plus_")[0]].cmc_unit,
            "num_query": queries,
            "num_gallery": 301,
            "mean": dict.fromkeys(SCORES, 0.5),
        }
        for name, (draw, queries) in protocols.items()
    }
    content = {"format": 1, "protocols": entries, "source": {}}
    (folder / "results.json").write_text(json.dumps(content))
    return str(folder)


def blocks(text: str) -> list[list[dict[str, str]]]:
    """Rows of every Markdown table in a text."""
    found = []
    for block in re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE):
        lines = [
            [cell.strip() for cell in line.strip("| ").split(" | ")]
            for line in block.split("\n")
            if line
        ]
        found.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return found


def printed(capsys, *words: str) -> dict[tuple[str, str], dict[str, str]]:
    assert table.main([*words, "--with", "published"]) == 0
    _, rows = blocks(capsys.readouterr().out)
    return {(row["method"], row["protocol"]): row for row in rows}


def test_every_printed_result_says_what_it_is_of():
    for result in RESULTS:
        assert result.address.startswith("https://") and result.source and result.method, result
        assert result.fits in ("yes", "no", "unknown") and result.mark in ("read", "quoted"), result
        assert (result.mark == "quoted") == result.source.startswith("quoted"), result
        assert result.reranked in ("yes", "no", "unknown"), result
        assert result.fits == "no" or result.reranked != "yes", result
        assert result.fits != "no" or result.rules, result
        scores = [float(value) for value in (result.rank1, result.mAP, result.mINP) if value]
        assert result.rank1 and all(1 < score < 100 for score in scores), result
        base = result.protocol.partition("+")[0]
        assert base in (*PROTOCOLS, ""), result
        if result.fits == "yes":
            with_draw(PROTOCOLS[base], result.draw)  # raises for a draw that it does not have


def test_a_method_has_one_number_per_protocol_unless_it_is_reranked():
    keys = [(r.method, r.dataset, r.printed, r.reranked) for r in RESULTS if r.method != "LbA"]
    assert len(keys) == len(set(keys)) and len(RESULTS) > 60


def test_the_two_questions_of_llcm_are_apart():
    """The exchanged branch: rank-1 is far above mAP, never so for the direction in the name."""
    by = {
        name: [r for r in RESULTS if r.protocol == name] for name in ("llcm_v2n", "llcm_n2v_multi")
    }
    assert len(by["llcm_v2n"]) == 3 and len(by["llcm_n2v_multi"]) == 8
    assert all(float(r.rank1) < float(r.mAP) for r in by["llcm_v2n"])
    assert all(float(r.rank1) > float(r.mAP) + 10 for r in by["llcm_n2v_multi"])


def test_printed_results_are_a_block_of_their_own(tmp_path, capsys):
    run = write_run(tmp_path / "a/seed0", sysu_all_single=("seeded", 3803))
    assert table.main([run]) == 0
    alone = blocks(capsys.readouterr().out)[0]
    assert table.main([run, "--with", "published"]) == 0
    text = capsys.readouterr().out
    measured, others = blocks(text)
    assert [{**row, "rules": ""} for row in measured] == [{**row, "rules": ""} for row in alone]
    assert measured[0]["rules"] == "seeded draw, cosine, CMC in identities, 3803 of 3803 queries"
    assert text.index("Measured here") < text.index("Printed by others, per cent, not measured")
    agw = next(row for row in others if row["method"] == "AGW")
    assert (agw["rank1"], agw["mAP"], agw["mINP"], agw["equal rules"]) == (
        "47.50", "47.65", "35.30", "yes",
    )  # fmt: skip
    assert len(others) == sum(r.protocol == "sysu_all_single" for r in RESULTS)


def test_each_printed_row_says_how_its_rules_differ_from_the_measured_ones(tmp_path, capsys):
    run = write_run(tmp_path / "a/seed0", sysu_all_single=("official", 3803))
    rows = printed(capsys, run)
    expected = {
        "MPANet": ("yes", "–"),
        "AGW": ("no", "seeded draw (measured: official)"),
        "IFALNet": ("not known", "its evaluation code was not read"),
        "MCJA": ("no", "re-ranked; by its own rule (MSER), on by default in its code"),
        "YYDS": ("no", "each query also has a text that names colours"),
    }
    for method, (equal, rules) in expected.items():
        row = rows[method, "sysu_all_single"]
        assert (row["equal rules"], row["rules"]) == (equal, rules), method
    both = write_run(tmp_path / "b/seed0", sysu_all_single=("seeded", 3803))
    assert printed(capsys, run, both)["AGW", "sysu_all_single"]["equal rules"] == "yes"


def test_scores_of_a_smaller_set_equal_no_printed_rule(tmp_path, capsys):
    run = write_run(tmp_path / "a/seed0", regdb_v2t=("all", 20), regdb_v2t_plus_rerank=("all", 20))
    rows = printed(capsys, run)
    assert {row["equal rules"] for row in rows.values()} == {"no"}
    assert all("whole set (measured: 20 of 2060 queries)" in row["rules"] for row in rows.values())
    assert len(rows) == sum(r.protocol == "regdb_v2t" for r in RESULTS)


def test_corrupted_results_have_printed_ones_of_their_own(tmp_path, capsys):
    run = write_run(tmp_path / "a/seed0", sysu_all_single_plus_corrupted=("seeded", 3803))
    rows = printed(capsys, run)
    assert {name for _, name in rows} == {"sysu_all_single+corrupted"} and len(rows) == 2
    row = rows["AGW", "sysu_all_single+corrupted"]
    assert (row["rank1"], row["equal rules"]) == ("34.42", "no")
    assert row["rules"] == "corruptions are drawn without a seed; trial 0 only"


def test_rules_are_not_equal_where_the_whole_sets_queries_are_not_known(tmp_path, capsys):
    run = write_run(tmp_path / "a/seed0", orbench_n2v=("all", 32))
    row = printed(capsys, run)["ReID5o", "orbench_n2v"]
    assert row["equal rules"] == "not known"
    assert row["rules"].startswith("how many queries the whole set has is not known (measured: 32)")


def test_csv_never_has_measured_and_printed_scores_in_one_column(tmp_path, capsys):
    run = write_run(tmp_path / "a/seed0", llcm_n2v=("seeded", 7166), csv_v2i=("all", 9))
    assert table.main([run, "--with", "published", "--format", "csv"]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    measured, others = rows[rows["kind"] == "measured"], rows[rows["kind"] == "printed"]
    assert len(measured) == 2 and len(others) == sum(r.protocol == "llcm_n2v" for r in RESULTS)
    assert measured.filter(like="printed_").isna().all(axis=None)
    assert others[[name for name in rows if name.endswith(("_mean", "_std"))]].isna().all(axis=None)
    assert rows["mAP_mean"].mean() == 50.0 and others["printed_mAP"].notna().all()
    deen = others[others["recipe"] == "DEEN"].iloc[0]
    assert (deen["printed_rank1"], deen["equal_rules"]) == (55.52, "yes")


def test_latex_has_two_tabulars_and_names_the_sources(tmp_path, capsys):
    run = write_run(tmp_path / "a/seed0", vcm_i2v=("all", 4584), csv_v2i=("all", 9))
    assert table.main([run, "--with", "published", "--format", "latex"]) == 0
    text = capsys.readouterr().out
    assert text.count(r"\begin{tabular}") == 2 == text.count(r"\bottomrule")
    assert "% M3-ReID, vcm_i2v: README, https://github.com/workingcoder/M3-ReID\n" in text
    assert r"M3-ReID & 2025 & vcm\_i2v & 73.21 & 59.02 & – & yes &".replace("–", "--") in text
    assert text.endswith("% No printed result is listed for csv_v2i.\n")


def test_a_protocol_without_printed_results_is_named(tmp_path, capsys):
    run = write_run(tmp_path / "a/seed0", csv_v2i=("all", 9))
    for form in ("md", "csv", "latex"):
        assert table.main([run, "--with", "published", "--format", form]) == 0
        text = capsys.readouterr().out
        assert ("No printed result" in text) == (form != "csv") and "printed by" not in text
    (row,) = csv.DictReader(io.StringIO(text if form == "csv" else "kind\nmeasured\n"))
    assert row["kind"] == "measured"


def test_queries_of_whole_sets():
    assert whole_set("sysu_indoor_multi+corrupted") == 3803 and whole_set("csv_v2i") is None
    assert whole_set("llcm_n2v") == 7166 and whole_set("llcm_n2v_multi") is None
