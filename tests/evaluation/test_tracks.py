"""Features of tracks, and protocols that score them."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.loops import assert_scores_equal, loop_trial
from vireid.errors import DataError
from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.feature_files import read_feature_file, write_features
from vireid.evaluation.protocols import PROTOCOLS, with_draw
from vireid.evaluation.results import describe, result_entries
from vireid.evaluation.tracks import pool_tracks
from vireid.structures import FeatureSet, Role


def frames_of(seed: int, tracks: int = 40) -> FeatureSet:
    """Tracks of one to four frames, in shuffled order; some identities in one camera only."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 5, tracks)
    track = np.repeat(np.arange(tracks), lengths)
    columns = {
        "pids": rng.integers(1, 8, tracks),
        "camids": rng.integers(1, 4, tracks),
        "modality": rng.integers(0, 2, tracks).astype(np.uint8),
    }
    features = rng.normal(size=(tracks, 8))[track] + 0.5 * rng.normal(size=(len(track), 8))
    order = rng.permutation(len(track))
    paths = np.array([f"t{one:02d}/{n:03d}.jpg" for n, one in enumerate(track)])
    return FeatureSet(
        features=3 * features[order],
        paths=paths[order],
        tracks=track[order],
        role=(rng.integers(1, 3, tracks)[track][order]).astype(np.uint8),
        **{name: values[track][order] for name, values in columns.items()},
    )


def test_a_track_has_the_mean_of_its_frames_unit_features():
    images = FeatureSet(
        features=np.array([[3.0, 4.0], [0.0, 9.0], [5.0, 0.0]]),
        pids=np.array([7, 2, 7]),
        camids=np.array([1, 1, 1]),
        modality=np.zeros(3, dtype=np.uint8),
        paths=np.array(["b", "c", "a"]),
        tracks=np.array([5, 0, 5]),
    )
    found = pool_tracks(images)
    both = np.array([0.6 + 1.0, 0.8])  # the sum of (0.6, 0.8) and (1, 0)
    np.testing.assert_allclose(found.features, [both / np.linalg.norm(both), [0, 1]], atol=1e-15)
    assert (found.pids.tolist(), found.paths.tolist()) == ([7, 2], ["a", "c"])
    np.testing.assert_allclose(pool_tracks(found).features, found.features, atol=1e-15)
    assert pool_tracks(replace(images, tracks=None)) == replace(images, tracks=None)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="no longer floating type")
def test_a_track_of_equal_frames_is_equal_to_one_of_them():
    lengths = np.arange(1, 9)
    rows = int(lengths.sum())
    images = FeatureSet(
        features=np.tile(np.random.default_rng(0).normal(size=32), (rows, 1)),
        pids=np.ones(rows, dtype=np.int64),
        camids=np.ones(rows, dtype=np.int64),
        modality=np.zeros(rows, dtype=np.uint8),
        paths=np.array([f"{n}.jpg" for n in range(rows)]),
        tracks=np.repeat(lengths, lengths),
    )
    assert len(np.unique(pool_tracks(images).features, axis=0)) == 1


def test_the_order_of_rows_does_not_decide_between_equal_tracks():
    images = frames_of(3)
    rng = np.random.default_rng(0)
    names = np.array([f"{n}.jpg" for n in rng.permutation(len(images))])  # no folders of tracks
    images = replace(images, features=np.ones_like(images.features), paths=names)
    shuffled = images.subset(rng.permutation(len(images)))
    found, again = (
        evaluate(PROTOCOLS["vcm_i2v"], pool_tracks(rows))[0] for rows in (images, shuffled)
    )
    assert found.metrics == pytest.approx(again.metrics, abs=1e-12)


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("pids", 8, "two identities, 7 and 8"),
        ("camids", 3, "two cameras"),
        ("modality", 1, "two modalities"),
        ("features", 0.0, "frame features of 1 images are zero"),
        ("features", np.inf, "not finite"),
    ],
)
def test_frames_that_cannot_be_one_track_are_named(column, value, problem):
    images = frames_of(0).subset(np.arange(4))
    images = replace(images, tracks=np.ones(4, dtype=int), pids=np.full(4, 7))
    images = replace(images, camids=np.ones(4, int), modality=np.zeros(4, np.uint8), role=None)
    values = getattr(images, column).copy()
    values[2] = value
    with pytest.raises(DataError, match=problem):
        pool_tracks(replace(images, **{column: values}))


def loop_tracks(images: FeatureSet) -> FeatureSet:
    """The same by loops, one track at a time."""
    rows, features = [], []
    for track in dict.fromkeys(images.tracks.tolist()):
        own = [row for row in range(len(images)) if images.tracks[row] == track]
        units = [images.features[r] / np.sqrt((images.features[r] ** 2).sum()) for r in own]
        mean = sum(units) / len(units)
        rows.append(own[0])
        features.append(mean / np.sqrt((mean**2).sum()))
    return replace(images.subset(np.array(rows)), features=np.array(features))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["vcm_i2v", "vcm_v2i", "bupt_i2v", "bupt_v2i"])
def test_scores_of_tracks_equal_a_plain_loop(tmp_path, name, seed):
    protocol, images = PROTOCOLS[name], frames_of(seed)
    write_features(tmp_path / "features.npz", images)
    found, (protocol,) = read_feature_file(tmp_path / "features.npz").for_protocols([protocol])
    (scores,) = evaluate(protocol, found)
    tracks = loop_tracks(images)
    sides = (Role.GALLERY, Role.QUERY) if name == "vcm_v2i" else (Role.QUERY, Role.GALLERY)
    queries, gallery = (
        [r for r in range(len(tracks)) if (tracks.modality[r], tracks.role[r]) == (kind, side)]
        for kind, side in zip(
            (int(protocol.query_modality), int(protocol.gallery_modality)), sides, strict=True
        )
    )
    gallery.sort(key=lambda row: tracks.paths[row])
    rules = {"unit": "image", "own_camera": True, "metric": "cosine"}
    assert_scores_equal(scores, loop_trial(tracks, queries, gallery, **rules))


def test_without_roles_the_modality_decides_in_vcm_and_bupt_is_refused():
    images = replace(pool_tracks(frames_of(1)), role=None)
    for name in ("vcm_i2v", "vcm_v2i"):
        (scores,) = evaluate(PROTOCOLS[name], images)
        kind = PROTOCOLS[name].query_modality
        assert scores.num_query == (images.modality == kind).sum()
        assert scores.num_gallery == (images.modality != kind).sum()
    with pytest.raises(DataError, match="bupt_i2v needs an array 'role'"):
        evaluate(PROTOCOLS["bupt_i2v"], images)
    given = with_draw(PROTOCOLS["vcm_v2i"], "given")
    assert given.by_role and not given.roles_exchanged and not given.roles_optional


def test_distances_between_frames_are_not_scored_as_tracks(tmp_path):
    images = frames_of(2)
    write_features(tmp_path / "features.npz", images)
    held = read_feature_file(tmp_path / "features.npz")
    held = replace(held, distances=np.zeros((len(images),) * 2))
    with pytest.raises(DataError, match="save one row per track"):
        held.for_protocols([PROTOCOLS["vcm_i2v"]])


def test_validation_protocols_count_tracks_where_there_are_tracks():
    images = pool_tracks(frames_of(1))
    protocol = PROTOCOLS["val_v2i"]
    for features, unit in ((images, "track"), (replace(images, tracks=None), "image")):
        entry = result_entries([protocol], features)["val_v2i"]
        assert entry["cmc_unit"] == unit
        assert f"CMC counts: {unit}; " in describe(protocol, entry)
        assert describe(protocol, entry).endswith(f"gallery {unit}s")
