"""The page of runs: what stands in it, that it needs nothing else, and what it refuses."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.reports.pages import made
from vireid.cli import report
from vireid.config.load import dump_config, load_config


def set_option(run: Path, group: str, key: str, value: object) -> None:
    cfg = load_config(run / "config.yaml")
    cfg.defrost()
    cfg[group][key] = value
    (run / "config.yaml").write_text(dump_config(cfg))


@pytest.fixture
def two_recipes(finished_run, tmp_path) -> list[Path]:
    """Two seeds of ``plain`` and one run of ``flipped``, which scores 0.1 higher in rank-1."""
    runs = [tmp_path / name for name in ("plain/seed0", "plain/seed1", "flipped/seed0")]
    for run, added in zip(runs, (0.0, 0.02, 0.1), strict=True):
        shutil.copytree(finished_run, run)
        results = json.loads((run / "results.json").read_text())
        results["protocols"]["sysu_all_single"]["mean"]["rank1"] = 0.5 + added
        (run / "results.json").write_text(json.dumps(results))
    set_option(runs[2], "TEST", "FLIP", True)
    return runs


def test_the_page_holds_everything_and_needs_nothing(finished_run, tmp_path):
    found = made(tmp_path / "report.html", finished_run)
    assert found.tags.count("script") == 1 and "link" not in found.tags
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert len(found.sources) == 2  # learning curves and CMC
    for source in found.sources:
        start, _, content = source.partition(",")
        assert start == "data:image/svg+xml;base64"
        assert b"</svg>" in base64.b64decode(content, validate=True)
    page = (tmp_path / "report.html").read_text()
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style
    script = page[page.index("<script>") :]
    assert all(word not in script for word in ("fetch", "import", "http", "src", "innerHTML"))
    entry = json.loads((finished_run / "results.json").read_text())["protocols"]["sysu_all_single"]
    scores = [f"{100 * entry['mean'][c]:.2f}" for c in ("rank1", "rank5", "rank10", "rank20")]
    assert ["finished", "sysu_all_single", "1", *scores] in [row[:7] for row in found.rows]
    rank1, std = (100 * entry[part]["rank1"] for part in ("mean", "std"))
    assert ["sysu_all_single", f"{rank1:.2f} ± {std:.2f}"] in [row[:2] for row in found.rows]
    assert "sysu_all_single: infrared (cameras 3, 6) → visible (cameras 1, 2, 4, 5)" in found.text
    assert "number of true matches divided by the rank of the last one" in found.text  # mINP
    assert "drawn by the official permutations, 1 per identity and camera, 10 trials" in found.text
    assert ["MODEL.BACKBONE", "osnet_x0_25", "osnet_x1_0"] in found.rows
    assert "SOLVER.EPOCHS: 2" in found.text  # all options stand at the end
    torch_version = json.loads((finished_run / "environment.json").read_text())["torch"]
    assert ["torch", torch_version] in found.rows
    assert "2 epochs in" in found.text


def test_runs_are_averaged_and_only_what_differs_is_compared(two_recipes, tmp_path):
    found = made(tmp_path / "report.html", tmp_path / "plain", *two_recipes)  # some named twice
    assert ["plain", "sysu_all_single", "2", "51.00 ± 1.00"] in [row[:4] for row in found.rows]
    assert ["flipped", "sysu_all_single", "1", "60.00"] in [row[:4] for row in found.rows]
    at = found.rows.index(["run", "TEST.FLIP"])
    expected = [["plain/seed0", "false"], ["plain/seed1", "false"], ["flipped/seed0", "true"]]
    assert found.rows[at + 1 : at + 4] == expected
    assert len(found.sources) == 3 * 2 + 1  # and the CMC curves of both recipes
    assert found.text.count("CMC curves on sysu_all_single, means over runs") == 1
    assert found.ids == {"scores", "options", "environment", "run-1", "run-2", "run-3", "large"}


def test_what_files_say_is_text_and_never_markup(finished_run, tmp_path):
    evil = '"><script>alert("x")</script><img src=x onerror=alert(1)>&amp;'
    run = shutil.copytree(finished_run, tmp_path / "a&b <i>" / "seed0")
    (run / "command.txt").write_text(evil)
    environment = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({**environment, evil: evil}))
    results = json.loads((run / "results.json").read_text())
    results["source"]["exit"] = evil
    results["protocols"][evil] = results["protocols"]["sysu_all_single"]
    (run / "results.json").write_text(json.dumps(results))
    (run / "config.yaml").write_text((run / "config.yaml").read_text() + f"OWN: '{evil}'\n")
    Image.new("RGB", (30, 20)).save(run / "figures" / 'x" onload="y.png')
    found = made(tmp_path / "report.html", run)
    assert found.tags.count("script") == 1 and len(found.sources) == found.tags.count("img") == 3
    assert not any(name.startswith("on") for name in found.attributes)
    assert [evil, evil] in found.rows and f"OWN: '{evil}'" in found.text
    assert f"{evil}: this version does not know its rules" in found.text
    assert found.text.lstrip().startswith("Report of a&b <i>/seed0")


def test_figures_beside_the_curves_are_embedded_at_their_size(run, tmp_path):
    Image.new("RGB", (300, 200), "red").save(run / "figures/ranks.png", dpi=(300, 300))
    (run / "figures/tsne.svg").write_text('<svg width="2in" height="1in"></svg>')
    (run / "figures/notes.txt").write_text("no figure")
    found = made(tmp_path / "report.html", run)
    page = (tmp_path / "report.html").read_text()
    assert 'style="max-width:96px"' in page  # 300 pixels of 300 an inch
    assert 'style="max-width:192px"' in page
    kinds = sorted(source.partition(";")[0] for source in found.sources)
    assert kinds == ["data:image/png", *["data:image/svg+xml"] * 3]


def test_runs_without_figures_commands_or_environment_work(run, tmp_path):
    shutil.rmtree(run / "figures")
    (run / "command.txt").unlink()
    (run / "environment.json").unlink()
    found = made(tmp_path / "report.html", run)
    assert "Not recorded: run." in found.text and "Command" not in found.text
    assert len(found.sources) == 2


def test_reranked_scores_are_rows_with_their_rule_and_no_key_numbers(run, tmp_path):
    results = json.loads((run / "results.json").read_text())
    name, constants = "sysu_all_single+aim", {"k1": 4, "k2": 1}
    plain = results["protocols"]["sysu_all_single"]
    best = dict.fromkeys(plain["mean"], 0.9876)
    results["protocols"][name] = {**plain, "reranked": True, "aim": constants, "mean": best}
    (run / "results.json").write_text(json.dumps(results))
    found = made(tmp_path / "report.html", run)
    rank1 = f"{100 * plain['mean']['rank1']:.2f}"
    rows = [row[1:4] for row in found.rows]
    assert ["sysu_all_single", "1", rank1] in rows and [name, "1", "98.76"] in rows
    assert "after AIM affinity inference (k1 = 4, k2 = 1, always cosine), which also" in found.text
    assert found.text.count("+aim: re-ranked with other test images, which does not") == 2
    assert found.text.count("98.76") == 2 * len(plain["mean"])  # in two tables, and no headline


def test_scores_of_other_exits_stand_with_the_runs_own(run, tmp_path):
    results = json.loads((run / "results.json").read_text())
    results["source"] |= {"exit": "shallow1", "embedding": "global", "flip": True}
    results["protocols"]["sysu_all_single"]["num_query"] += 1
    (run / "results_exit-shallow1.json").write_text(json.dumps(results))
    found = made(tmp_path / "report.html", run)
    assert "exit shallow1, embedding global, mirror images too" in found.text
    counts = [row[-2] for row in found.rows if row[:1] == ["sysu_all_single"]]
    assert counts == ["16", "16 of 17"]


@pytest.mark.parametrize(
    ("file", "content", "code", "phrase"),
    [
        ("config.yaml", None, 4, "is not a run folder"),
        ("config.yaml", b"", 2, "is empty"),
        ("config.yaml", b"A: [1", 2, "not valid YAML"),
        ("results.json", None, 3, "results.json holds no results"),
        ("results.json", b"{", 3, "results.json holds no results"),
        ("results.json", b'{"format": 1, "source": {}, "protocols": {"x": {"mean": {}}}}', 3, "no"),
        ("metrics.csv", None, 3, "metrics.csv holds no learning curves (No such file"),
        ("environment.json", b"[1]", 3, "environment.json is damaged"),
        ("environment.json", b"{", 3, "environment.json is damaged"),
        ("figures/ranks.png", b"\x89PNG\r\n", 3, "ranks.png is a damaged picture"),
        ("figures/map.svg", b"<html>", 3, "map.svg is a damaged picture"),
    ],
)
def test_missing_and_damaged_files_are_one_line(run, tmp_path, capsys, file, content, code, phrase):
    if content is None:
        (run / file).unlink()
    else:
        (run / file).write_bytes(content)
    out = tmp_path / "report.html"
    out.write_text("before")
    assert report.main([str(run), "--out", str(out)]) == code
    error = capsys.readouterr().err
    assert phrase in error and error.count("\n") == 1 and "Traceback" not in error
    assert out.read_text() == "before"


@pytest.mark.parametrize(
    ("key", "value", "phrase"),
    [
        ("cmc_unit", None, "sysu_all_single lacks cmc_unit"),
        ("trials", [], "sysu_all_single has no trial"),
        ("std", {}, "the std of sysu_all_single"),
        ("cmc", ["1"], "the curve of sysu_all_single"),
    ],
)
def test_an_entry_that_cannot_be_shown_is_named(run, tmp_path, capsys, key, value, phrase):
    results = json.loads((run / "results.json").read_text())
    entry = results["protocols"]["sysu_all_single"]
    entry.update({key: value}) if value is not None else entry.pop(key)
    (run / "results.json").write_text(json.dumps(results))
    assert report.main([str(run), "--out", str(tmp_path / "report.html")]) == 3
    assert phrase in capsys.readouterr().err


@pytest.mark.parametrize("name", ["report.txt", "no/report.html", "folder.html"])
def test_places_that_cannot_hold_a_page_are_refused(finished_run, tmp_path, capsys, name):
    (tmp_path / "folder.html").mkdir()
    assert report.main([str(finished_run), "--out", str(tmp_path / name)]) == 2
    assert name in capsys.readouterr().err
