"""Junk (negative identities) and distractors (identity 0 beside junk) in every protocol."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.loops import assert_scores_equal, loop_trial
from vireid.errors import DataError
from vireid.evaluation.evaluate import evaluate, evaluate_reranked
from vireid.evaluation.protocols import PROTOCOLS, RetrievalProtocol, with_draw
from vireid.evaluation.query_gallery import (
    distractor_rows,
    identified,
    junk_rows,
    left_out,
    left_out_counts,
)
from vireid.evaluation.ranked_lists import rank_gallery
from vireid.evaluation.results import describe, result_entries
from vireid.figures.distances import distances
from vireid.figures.tsne import choose_identities
from vireid.structures import FeatureSet, is_junk

KINDS = ["regdb_v2t", "csv_i2v", "llcm_n2v", "sysu_all_single", "veri", "vehicleid_800", "val_v2v"]


def protocol_of(name: str) -> RetrievalProtocol:
    return with_draw(PROTOCOLS[name], "seeded") if name.startswith("sysu") else PROTOCOLS[name]


def images(pids: list[int], *, seed: int = 0) -> FeatureSet:
    """Three images of each identity by each of six cameras; 3 and 6 are infrared."""
    rows = [(pid, camera, k) for pid in pids for camera in range(1, 7) for k in range(3)]
    numbers, cameras, _ = (np.array(column) for column in zip(*rows, strict=True))
    rng = np.random.default_rng(seed)
    paths = [f"cam{c}/{p}/{k}.jpg" for p, c, k in rows]
    infrared = np.isin(cameras, (3, 6)).astype(np.uint8)
    features = rng.standard_normal((len(rows), 6))
    roles, lists = (np.arange(len(rows)) % 3).astype(np.uint8), np.full(len(rows), 800)
    return FeatureSet(features, numbers, cameras, infrared, np.array(paths), roles, lists)


def for_kind(name: str, pids: list[int]) -> FeatureSet:
    """One modality, and roles only where queries and gallery are told apart by them."""
    found = images(pids)
    if name in ("veri", "vehicleid_800", "val_v2v"):
        found = dataclasses.replace(found, modality=np.zeros_like(found.modality))
    return found if name == "veri" else dataclasses.replace(found, role=None)


@pytest.mark.parametrize("junk", [[-1], [-2, -7]])
@pytest.mark.parametrize("name", KINDS)
def test_scores_are_those_without_the_junk_images(name: str, junk: list[int]):
    protocol, everything = protocol_of(name), for_kind(name, [4, *junk, 5, 9])
    without = everything.subset(everything.pids > 0)
    expected, found = evaluate(protocol, without), evaluate(protocol, everything)
    for one, other in zip(found, expected, strict=True):
        assert_scores_equal(one, other, 0)
    number = 18 * len(junk)
    entry = result_entries([protocol], everything)[name]
    assert entry["num_junk"] == number and "num_distractor" not in entry
    assert f"{number} junk images (negative identities) in no list" in describe(protocol, entry)
    again = evaluate_reranked(protocol, everything)
    for one, other in zip(again, evaluate_reranked(protocol, without), strict=True):
        assert_scores_equal(one, other, 0)
    search = rank_gallery(protocol, everything)
    assert (everything.pids[search.queries] > 0).all()
    assert (everything.pids[search.gallery] > 0).all()


@pytest.mark.parametrize("name", ["regdb_v2t", "csv_i2v", "sysu_all_single"])
def test_distractors_beside_junk_make_the_gallery_larger_and_are_no_queries(name: str):
    protocol = protocol_of(name)
    found = for_kind(name, [0, 4, -3, 5, 9])
    if name == "sysu_all_single":  # a draw of one of each folder leaves it as it is
        found = found.subset(np.char.endswith(found.paths, "/0.jpg"))
    (trial, *_) = evaluate(protocol, found)
    gallery = (found.modality == protocol.gallery_modality) & (found.pids >= 0)
    queries = (found.modality == protocol.query_modality) & (found.pids > 0)
    if name == "sysu_all_single":
        order = np.lexsort((found.camids, found.pids))
    else:
        order = np.argsort(found.paths)
    expected = loop_trial(
        found,
        np.flatnonzero(queries).tolist(),
        [row for row in order.tolist() if gallery[row]],
        unit=protocol.cmc_unit,
        own_camera=protocol.drops_own_camera,
        same_room=name == "sysu_all_single",
        metric="cosine",
    )
    assert_scores_equal(trial, expected)
    counts = left_out_counts(protocol, found)
    assert counts["num_distractor"] == (gallery & (found.pids == 0)).sum()
    entry = result_entries([protocol], found)[name]
    assert f"{counts['num_distractor']} distractors (identity 0), no queries" in describe(
        protocol, entry
    )


def test_identity_0_is_an_ordinary_one_where_there_is_no_junk():
    protocol, found = PROTOCOLS["regdb_v2t"], for_kind("regdb_v2t", [0, 4, 5])
    (trial,) = evaluate(protocol, found)
    assert trial.num_query == 36 and left_out_counts(protocol, found) == {}
    renumbered = dataclasses.replace(found, pids=np.where(found.pids == 0, 77, found.pids))
    assert_scores_equal(trial, evaluate(protocol, renumbered)[0], 0)


def test_identity_0_is_an_ordinary_one_where_it_is_marked_as_a_query():
    found = for_kind("veri", [0, -1, 5])
    assert not distractor_rows(found).any()
    gallery_only = found.subset((found.pids != 0) | (found.role != 1))
    assert distractor_rows(gallery_only).sum() == 12
    (trial,) = evaluate(PROTOCOLS["veri"], gallery_only)
    assert trial.num_query == 12 and trial.num_gallery == 24
    assert left_out_counts(PROTOCOLS["veri"], gallery_only) == {
        "num_junk": 18,
        "num_distractor": 12,
    }


def test_a_set_of_junk_alone_is_refused():
    with pytest.raises(DataError, match=r"no query image \(18 junk images .* are none\)"):
        evaluate(PROTOCOLS["regdb_t2v"], for_kind("regdb_t2v", [-1]))


def test_figures_of_identities_leave_junk_and_distractors_out():
    found = for_kind("csv_v2i", [-1, 0, 3, 4, 8])
    plain = found.subset(found.pids > 0)
    assert left_out(found) == "18 junk images (negative identities) and 18 distractors (identity 0)"
    assert left_out(plain) == "" and identified(plain) is plain
    assert identified(found).pids.tolist() == plain.pids.tolist()
    one, other = distances(found), distances(plain)
    assert one.mean == other.mean and one.counts["intra"].sum() == other.counts["intra"].sum()
    assert choose_identities([found], count=3, seed=0) == [3, 4, 8]


def test_a_negative_number_marks_junk():
    assert is_junk(-1) and is_junk(-40) and not is_junk(0) and not is_junk(1501)
    assert junk_rows(for_kind("csv_v2i", [-5, 0, 2])).sum() == 18


def test_junk_in_a_file_is_counted_and_printed(tmp_path: Path, capsys):
    from vireid.cli import evaluate as tool
    from vireid.evaluation.feature_files import write_features
    from vireid.evaluation.results import read_results

    write_features(tmp_path / "market.npz", for_kind("regdb_v2t", [-1, 0, 5, 6]))
    line = ["--features", str(tmp_path / "market.npz"), "--protocols", "regdb"]
    assert tool.main(line) == 0
    printed = capsys.readouterr().out
    assert "18 junk images (negative identities) in no list; 6 distractors" in printed
    entries = read_results(tmp_path / "results.json")["protocols"]
    numbers = {name: (one["num_query"], one["num_gallery"]) for name, one in entries.items()}
    assert numbers == {"regdb_v2t": (24, 18), "regdb_t2v": (12, 36)}
    assert {one["num_junk"] for one in entries.values()} == {18}
