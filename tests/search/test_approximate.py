import importlib.util
import json

import numpy as np
import pytest

from tests.search.double import unit
from vireid.errors import CheckpointError, UsageError
from vireid.search import approximate
from vireid.search.approximate import open_index, read_index_settings
from vireid.search.approximate_build import _directions, build_index
from vireid.search.gallery import Gallery
from vireid.structures import Modality

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="needs the extra faiss"
)
COUNT, DIM, IDENTITIES = 4000, 48, 400


@pytest.fixture(scope="module")
def clusters() -> tuple[np.ndarray, np.ndarray]:
    """(4000, 48) images of 400 identities, (80, 48) queries beside some of them."""
    rng = np.random.default_rng(0)
    spectrum = 0.9 ** np.arange(DIM)
    centres = rng.normal(size=(IDENTITIES, DIM)) * spectrum
    around = 0.5 * rng.normal(size=(COUNT, DIM)) * spectrum
    images = unit(centres[np.arange(COUNT) % IDENTITIES] + around)
    asking = centres[rng.permutation(IDENTITIES)[:80]] + 0.5 * rng.normal(size=(80, DIM)) * spectrum
    return images, unit(asking + 0.3 * spectrum)


@pytest.fixture
def gallery(clusters, tmp_path) -> Gallery:
    made = Gallery.create(tmp_path / "g", fingerprint="f", dim=DIM)
    names = [f"{k}.png" for k in range(COUNT)]
    made.add(clusters[0], names, root="/x", modality=Modality.VISIBLE)
    return made


def shared(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([len(np.intersect1d(x, y)) / len(y) for x, y in zip(a, b, strict=True)]))


def test_the_recall_asked_for_is_found_by_other_queries_too(gallery, clusters):
    _, queries = clusters
    made = build_index(gallery, queries=queries[:40], recall=0.9, threads=1)
    setting = made.setting
    assert setting.recall >= 0.9 and setting.queries == 40 and setting.asked == "queries"
    assert setting.probes < setting.lists == 102 and setting.directions in (32, DIM)
    exact = gallery.search(queries, 10)
    found = gallery.search(queries, 10, approximate=True)
    assert shared(found.rows[:40], exact.rows[:40]) == pytest.approx(setting.recall)
    assert shared(found.rows[40:], exact.rows[40:]) > 0.8
    both = found.rows == exact.rows  # scores are those of exact search, bit for bit
    assert both.mean() > 0.7
    np.testing.assert_array_equal(found.scores[both], exact.scores[both])
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_lists_are_looked_into_until_the_recall_is_reached(gallery):
    settings = [build_index(gallery, recall=recall, threads=1).setting for recall in (0.5, 0.99)]
    assert settings[0].recall >= 0.5 and settings[1].recall >= 0.99
    assert settings[0].probes < settings[1].probes
    assert settings[1].asked == "images of the gallery"
    saved = read_index_settings(gallery)
    assert (saved == settings[1] and "recall@10 0.99" in str(saved)) or "1.000" in str(saved)


def test_an_index_serves_one_content_only(gallery, clusters):
    build_index(gallery, threads=1)
    assert open_index(Gallery(gallery.folder)).setting.digest == gallery.digest()
    gallery.remove(["17.png"])
    with pytest.raises(UsageError, match="no index, or was changed"):
        gallery.search(clusters[1], 10, approximate=True)
    build_index(gallery, threads=1, recall=1.0)
    found = gallery.search(clusters[0][17:18], 10, approximate=True)
    exact = gallery.search(clusters[0][17:18], 10)
    assert 17 not in found.rows and shared(found.rows, exact.rows) >= 0.9
    gallery.add(clusters[0][:1], ["new"], root="/x", modality=Modality.VISIBLE)
    assert read_index_settings(gallery) is None


def test_an_index_is_opened_once_and_not_searched_after_a_change(gallery, clusters, monkeypatch):
    made = build_index(gallery, threads=1)
    again, opened = Gallery(gallery.folder), []
    original = approximate.open_index
    monkeypatch.setattr(approximate, "open_index", lambda one: opened.append(one) or original(one))
    for _ in range(2):
        again.search(clusters[1][:2], 10, approximate=True)
        gallery.search(clusters[1][:2], 10, approximate=True)  # has it from making it
    assert opened == [again]
    gallery.remove([f"{k}.png" for k in range(2000)])  # rows have other numbers now
    with pytest.raises(UsageError, match="was changed since this index"):
        made.search(clusters[1][:2])


def test_more_results_than_candidates_are_marked(gallery, clusters):
    made = build_index(gallery, threads=1)
    found = made.look(clusters[1][:3], 500, 1, 1)
    assert found.rows.shape == (3, 500) and (found.rows[:, -1] == -1).all()
    assert (found.rows[:, 0] >= 0).all() and np.isneginf(found.scores[found.rows < 0]).all()
    assert np.isfinite(found.scores[found.rows >= 0]).all()
    assert made.search(clusters[1][:2], 9999).rows.shape == (2, COUNT)


def test_a_damaged_index_is_refused(gallery):
    build_index(gallery, threads=1)
    path = gallery.folder / approximate.INDEX
    whole = path.read_bytes()
    flipped = whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]
    for content in (whole[:-100], flipped, b"", b"x" * 1000):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"approximate\.faiss is damaged"):
            open_index(gallery)
    meta = gallery.folder / approximate.META
    good = json.loads(meta.read_text())
    changes = {"digest": "0"}, {"probes": "x"}, {"factor": 0}, {"recall": 7}, {"top": 10**400}
    for text in (*(json.dumps(good | change) for change in changes), "[" * 100_000):
        meta.write_text(text)
        with pytest.raises(UsageError, match="tools/search.py index"):
            open_index(gallery)


def test_what_cannot_be_is_refused(gallery, clusters, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"above 0 and at most 1, got 1\.5"):
        build_index(gallery, recall=1.5)
    small = Gallery.create(tmp_path / "small", fingerprint="f", dim=DIM)
    with pytest.raises(UsageError, match="needs 1,000"):
        build_index(small)
    monkeypatch.setattr(approximate, "find_spec", lambda name: None)
    for act in (lambda: build_index(gallery), lambda: open_index(gallery)):
        with pytest.raises(UsageError, match=r"pip install 'vireid\[faiss\]'"):
            act()


def test_directions_keep_the_products():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(64, 64)))
    flat = unit((rng.normal(size=(500, 20)) + 3) @ basis[:20])  # far from their own zero
    directions = _directions(flat, np.arange(500))
    assert directions.shape == (32, 64)
    np.testing.assert_allclose(directions @ directions.T, np.eye(32), atol=1e-5)
    turned = flat @ directions.T
    np.testing.assert_allclose(turned @ turned.T, flat @ flat.T, atol=1e-5)
    round_ones = unit(rng.normal(size=(2000, 64)))
    assert len(_directions(round_ones, np.arange(2000))) == 64
