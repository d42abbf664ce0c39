"""Ranked lists in the page: their numbers, their images, and what is missing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.reports.pages import Reader, made
from vireid.cli import report
from vireid.reports import html
from vireid.reports.ranked_lists import ListedImage, ProtocolLists, QueryList, RunLists
from vireid.reports.thumbnails import HEIGHT, LOWEST, ImageStore

FIGURES = "vireid.reports.html.figures_of"
EVIL = '"><img src=x onerror=alert(1)>'


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    """They take a second, and test_page.py has them."""
    monkeypatch.setattr(FIGURES, lambda *_: [])


@pytest.fixture(scope="module")
def listed(finished_run, tmp_path_factory) -> Path:
    """The finished run with its features, and ``all.html`` with a list of every query."""
    run = shutil.copytree(finished_run, tmp_path_factory.mktemp("listed") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FIGURES, lambda *_: [])
        made(run.parent / "all.html", run, options=("--lists", "50"))
    return run


def test_the_lists_have_the_scores_of_the_evaluation(listed):
    found = Reader((listed.parent / "all.html").read_text())
    entry = json.loads((listed / "results.json").read_text())["protocols"]["sysu_all_single"]
    assert len(found.lists) == entry["num_query"] == 16
    pattern = r"AP (.*), first true match at image rank (\d+), identity rank (\d+)"
    scores = np.array([re.search(pattern, one[0]).groups() for one in found.lists], dtype=float)
    precision, image_ranks, identity_ranks = scores.T
    assert precision.mean() == pytest.approx(entry["trials"][0]["mAP"], abs=6e-4)  # 3 digits
    assert (np.diff(precision) >= 0).all()  # the worst come first
    for k in (1, 5):
        share = (identity_ranks <= k).mean()  # in this protocol's unit
        assert share == pytest.approx(entry["trials"][0][f"rank{k}"])
    for one, image_rank, identity_rank in zip(
        found.lists, image_ranks, identity_ranks, strict=True
    ):
        right = [text for text in one[2:] if "✓" in text]
        assert f"image rank {image_rank:.0f}\n" in right[0]  # also where it is not among the ten
        assert f"identity rank {identity_rank:.0f}\n" in right[0]
        assert "similarity" in right[0] and re.search(r"cam\d/\d{4}/", right[0])


def test_images_are_stored_once_and_left_out_on_request(listed, tmp_path, capsys):
    found = made(tmp_path / "report.html", listed)  # features are there: lists without asking
    assert len(found.lists) == 8 and len(found.sources) == found.tags.count("image")
    used = [link[1:] for link in found.links if link.startswith("#i")]
    assert len(used) == sum(len(one) - 1 for one in found.lists) > len(set(used))
    assert set(used) <= found.ids
    assert "images of the data set, at most 192 pixels high" in found.text
    assert "read the data set's agreement" in capsys.readouterr().out
    without = made(tmp_path / "report.html", listed, options=("--no-images",))
    assert without.sources == [] and "agreement" not in without.text
    assert len(without.lists) == 8 and "image rank 1" in without.lists[0][2]
    none = made(tmp_path / "report.html", listed, options=("--lists", "0"))
    assert none.lists == [] and "No ranked lists" not in none.text


def test_what_is_missing_is_one_line_in_the_page(listed, finished_run, tiny_sysu, tmp_path):
    without = made(tmp_path / "report.html", finished_run)
    assert without.lists == [] and "holds no features of this checkpoint" in without.text
    assert "--lists 4, which computes" in without.text
    run = shutil.copytree(listed, tmp_path / "run")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace(str(tiny_sysu), str(tmp_path / "gone")))
    moved = made(tmp_path / "report.html", run)
    assert moved.lists == [] and f"data set folder {tmp_path / 'gone'} not found" in moved.text
    assert "with --root" in moved.text
    again = made(tmp_path / "report.html", run, options=("--root", str(tiny_sysu)))
    assert len(again.lists) == 8
    wrong = ["--root", str(tmp_path / "gone")]
    assert report.main([str(run), "--out", str(tmp_path / "report.html"), *wrong]) == 3


def test_features_of_other_scores_are_named(listed, tmp_path):
    run = shutil.copytree(listed, tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    results["protocols"]["sysu_all_single"]["trials"][0]["mAP"] = 0.01
    (run / "results.json").write_text(json.dumps(results))
    assert (
        "results.json 1.00: they are not of the same model" in made(tmp_path / "r.html", run).text
    )


def test_names_in_lists_are_text(finished_run, tmp_path, monkeypatch):
    image = ListedImage(EVIL, "i0", "wrong", [f"id {EVIL}"])
    lists = ProtocolLists(EVIL, EVIL, {EVIL: [QueryList(image, EVIL, [image])]})
    monkeypatch.setattr(html, "lists_of", lambda *_: RunLists([lists], [EVIL]))
    found = made(tmp_path / "report.html", finished_run)
    assert "img" not in found.tags and "onerror" not in found.attributes
    assert found.text.count(EVIL) == 10


def test_images_shrink_until_they_fit(tmp_path):
    store = ImageStore()
    noise = np.random.default_rng(0)
    for number in range(5):
        pixels = noise.integers(0, 256, (300, 150, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        assert store.add(tmp_path / f"{number}.png") == store.add(tmp_path / f"{number}.png")
    store.add(tmp_path / "gone.png")
    large = store.encoded(10**7)
    assert {(t.height, t.width) for t in large.values()} == {(HEIGHT, HEIGHT // 2)}
    small = store.encoded(large.size // 2)
    assert LOWEST <= small.height < HEIGHT and small.size <= large.size // 2
    assert store.encoded(0).height == LOWEST
    assert len(large) == 5 and "gone.png does not exist" in large.unreadable[0]
