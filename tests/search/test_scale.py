"""What large galleries need: blocks, few lists of many, compaction."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.search.double import make_rows, new_gallery, unit
from vireid.search import exact, gallery
from vireid.search.exact import search_exact
from vireid.search.index import IndexSettings, build_index, search_index

DIM = 128
ROOT = Path(__file__).resolve().parents[2]


def of_rows(place, vectors: np.ndarray, **columns):
    made = new_gallery(place, dim=vectors.shape[1])
    made.add(make_rows(vectors, **columns))
    return made


@pytest.mark.parametrize("rows", [3, 7, 64])
def test_blocks_of_any_size_give_the_same_results(tmp_path, monkeypatch, rows):
    rng = np.random.default_rng(0)
    vectors, asked = unit(rng.normal(size=(50, DIM))), unit(rng.normal(size=(9, DIM)))
    made = of_rows(tmp_path / "g", vectors)
    monkeypatch.setattr(exact, "ROWS", rows)
    found = search_exact(made, asked, 10)
    wanted = np.argsort(-(asked @ vectors.T), axis=1)[:, :10]
    np.testing.assert_array_equal(found.rows, wanted)  # row ids of a single file are its rows
    np.testing.assert_allclose(found.scores, -np.sort(-(asked @ vectors.T), axis=1)[:, :10], 1e-5)


def test_a_filter_that_leaves_few_rows_finds_them_in_any_list(tmp_path):
    """One list of 32 is looked into; the rows left are in several."""
    rng = np.random.default_rng(1)
    vectors = unit(rng.normal(size=(1024, DIM)))
    made = of_rows(
        tmp_path / "g", vectors, camid=["a" if k % 100 == 7 else "b" for k in range(1024)]
    )
    assert build_index(made, queries=unit(rng.normal(size=(8, DIM)))).recall > 0.9
    settings = IndexSettings(1, 5, 1.0, 10, 1, 1024, False)
    asked = unit(rng.normal(size=(4, DIM)))
    near = search_index(made, asked, 10, settings=settings, condition="camid = 'a'")
    whole = search_exact(made, asked, 10, condition="camid = 'a'")
    np.testing.assert_array_equal(near.rows, whole.rows)
    assert whole.scores.min() > -1  # there are ten
    one = search_index(made, asked, 10, settings=settings)
    every = search_exact(made, asked, 10)
    assert np.mean([np.isin(a, b).mean() for a, b in zip(one.rows, every.rows, strict=True)]) < 0.9


def test_compaction_is_due_from_a_number_of_files_and_finds_ids_by_an_index(tmp_path, monkeypatch):
    vectors = unit(np.random.default_rng(2).normal(size=(6, DIM)))
    monkeypatch.setattr(gallery, "ID_INDEX", 5)
    made = new_gallery(tmp_path / "g", dim=DIM)
    for k in range(6):
        made.add(make_rows(vectors[k : k + 1], id=[f"i{k:04d}"]))
    assert not made.compact(7) and made.table.stats()["fragment_stats"]["num_fragments"] == 6
    assert made.compact(6) and made.table.stats()["fragment_stats"]["num_fragments"] == 1
    assert [one.columns for one in made.table.list_indices()] == [["id"]]
    assert made.add(make_rows(vectors)) == 0 and len(made) == 6


def test_figures_of_larger_galleries_continue_the_growth(monkeypatch):
    """Hours of 2 + N^1.5 / 10^6 seconds; the constant part does not grow."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # as for a script in that folder
    benchmark = importlib.import_module("search")
    monkeypatch.delitem(sys.modules, "search")
    found = {count: {"indexing": 2 + count**1.5 / 10**6} for count in (10**4, 10**5, 10**6)}
    larger = benchmark.extrapolated(found, "indexing", 10**8)
    assert larger == pytest.approx(2 + 10**6, rel=1e-6)
