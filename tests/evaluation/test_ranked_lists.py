"""Lists that people look at hold what the scores are made of, in the same order."""

import numpy as np
import pytest

from tests.evaluation.test_ranking import random_set
from vireid.errors import UsageError
from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.protocols import PROTOCOLS, RetrievalProtocol, with_draw
from vireid.evaluation.ranked_lists import RankedList, rank_gallery
from vireid.structures import FeatureSet

CASES = [("sysu_all_single", "seeded"), ("llcm_v2n", "auto"), ("csv_v2i", "auto")]
CASES += [("val_i2v", "auto")]


def protocol_of(name: str, draw: str) -> RetrievalProtocol:
    return with_draw(PROTOCOLS[name], draw)


def images_for(name: str, seed: int, *, tied: bool = False) -> FeatureSet:
    """Visible images of cameras 1, 2, 4, 5 and infrared ones of 3, 6 where the protocol says so."""
    if not name.startswith("sysu"):
        return random_set(seed, tied=tied)
    found = random_set(seed, tied=tied, cameras=(1, 2, 3, 4, 5, 6))
    return found.subset(np.isin(found.camids, (3, 6)) == (found.modality == 1))


def loop_scores(found: RankedList, images: FeatureSet, unit: str) -> tuple[float, int]:
    """Average precision and first rank, image by image."""
    hits, kept, seen, first = [], 0, [], 0
    for row, removed in zip(found.gallery, found.removed, strict=True):
        if removed:
            continue
        kept += 1
        pid = int(images.pids[row])
        seen += [pid] if pid not in seen else []
        if pid == images.pids[found.query]:
            hits.append(kept)
            first = first or (kept if unit == "image" else len(seen))
    return float(np.mean([(k + 1) / rank for k, rank in enumerate(hits)])) if hits else 0.0, first


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("name", "draw"), CASES)
def test_every_list_has_the_scores_of_the_evaluator(name, draw, tied):
    protocol, images = protocol_of(name, draw), images_for(name, 3, tied=tied)
    trials = evaluate(protocol, images)
    for trial in sorted({1, protocol.gallery_trials}):
        found = rank_gallery(protocol, images, trial=trial)
        answered = found.first > 0
        metrics = trials[trial - 1].metrics
        assert found.precision[answered].mean() == pytest.approx(metrics["mAP"])
        assert (found.first[answered] == 1).mean() == pytest.approx(metrics["rank1"])
        for position in range(len(found.queries)):
            one = found.ranked_list(position)
            assert sorted(one.gallery) == sorted(found.gallery)
            assert (np.diff(one.distances) >= 0).all()
            own = loop_scores(one, images, protocol.cmc_unit)
            assert (one.precision, one.first) == pytest.approx(own)
            place, by_identity = one.first_match(), protocol.cmc_unit == "identity"
            ranks = one.identity_ranks() if by_identity else one.ranks()
            assert one.first == (0 if place is None else ranks[place])


def test_ranks_skip_what_is_left_out():
    removed = np.array([True, False, True, False, False, False])
    one = RankedList(
        query=0,
        gallery=np.arange(6),
        pids=np.array([3, 5, 3, 2, 5, 3]),
        distances=np.arange(6.0),
        removed=removed,
        matches=~removed & (np.arange(6) == 5),
        precision=0.25,
        first=3,
    )
    assert one.ranks().tolist() == [0, 1, 0, 2, 3, 4]
    assert one.identity_ranks().tolist() == [0, 1, 0, 2, 1, 3]
    assert one.first_match() == 5


@pytest.mark.parametrize("trial", [0, 2])
def test_a_trial_that_is_not_drawn_is_refused(trial):
    with pytest.raises(UsageError, match="val_v2i draws 1"):
        rank_gallery(PROTOCOLS["val_v2i"], random_set(0, tied=False), trial=trial)
