"""Selects a protocol's query and gallery images, and draws the gallery of each trial.

Market-1501 numbers two kinds of images that are of no identity: -1 are junk, detections of no use,
and 0 are distractors, other people who only make a gallery larger. Source: Zheng et al., Scalable
Person Re-identification, ICCV 2015, §3.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.structures import DISTRACTOR, FeatureSet, Role, is_junk
from vireid.utils.matlab import read_nested_cells


def junk_rows(images: FeatureSet) -> np.ndarray:
    """(N,) bool: images of negative identities, which are in no list."""
    return is_junk(images.pids)


def distractor_rows(images: FeatureSet) -> np.ndarray:
    """(N,) bool: images that a gallery may hold, but that are never a match or a query.

    These are the images of identity 0 in a set that numbers junk images, too, as Market-1501 does.
    In other sets 0 is an identity like any other, and so it is where one of its images is marked
    as a query (``role``).
    """
    zero = images.pids == DISTRACTOR
    if not junk_rows(images).any():
        return np.zeros_like(zero)
    if images.role is not None and (images.role[zero] == Role.QUERY).any():
        return np.zeros_like(zero)
    return zero


def identified(images: FeatureSet) -> FeatureSet:
    """The images without junk and distractors, for figures that compare identities."""
    left_out = junk_rows(images) | distractor_rows(images)
    return images.subset(~left_out) if left_out.any() else images


def left_out(images: FeatureSet) -> str:
    """What ``identified`` leaves out, for a message; empty if nothing."""
    junk, distractors = int(junk_rows(images).sum()), int(distractor_rows(images).sum())
    parts = [f"{junk} junk images (negative identities)"] if junk else []
    parts += [f"{distractors} distractors (identity {DISTRACTOR})"] if distractors else []
    return " and ".join(parts)


def select_query_and_gallery(
    protocol: RetrievalProtocol, images: FeatureSet
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the images that may be queries, and of those that a gallery may hold.

    Junk is neither, and distractors are no queries (:func:`junk_rows`).

    Raises:
        DataError: there are none, or an array that the protocol selects by is missing.
    """
    _require_columns(protocol, images)
    junk = junk_rows(images)
    queries = _select(protocol, images, Role.QUERY, ~junk & ~distractor_rows(images))
    candidates = _select(protocol, images, Role.GALLERY, ~junk)
    for role, found in (("query", queries), ("gallery", candidates)):
        if not len(found):
            listed = f" in test list {protocol.test_list}" if protocol.test_list else ""
            without = left_out(images)
            without = f" ({without} are none)" if without else ""
            raise DataError(f"{protocol.name}: there is no {role} image{listed}{without}")
    return queries, candidates


def left_out_counts(protocol: RetrievalProtocol, images: FeatureSet) -> dict[str, int]:
    """Numbers for results.json of images that would be in a list if they showed an identity.

    Returns:
        ``num_junk``, in no list, and ``num_distractor``, in the gallery only; without those that
        are 0.
    """
    junk, distractors = junk_rows(images), distractor_rows(images)
    found = {
        "num_junk": np.union1d(*(_select(protocol, images, role, junk) for role in _LISTS)),
        "num_distractor": _select(protocol, images, Role.GALLERY, distractors),
    }
    return {name: len(rows) for name, rows in found.items() if len(rows)}


def _require_columns(protocol: RetrievalProtocol, images: FeatureSet) -> None:
    """Raises ``DataError`` when an array that the protocol selects images by is missing."""
    role = "'role' (0 both, 1 query, 2 gallery)"
    test_list = "'subset' (the smallest test list that holds each image: 800, 1600 or 2400)"
    for needed, column, text in (
        (protocol.by_role and not protocol.roles_optional, images.role, role),
        (protocol.test_list, images.test_list, test_list),
    ):
        if needed and column is None:
            raise DataError(
                f"{protocol.name} needs an array {text} beside the features: save it with them "
                "(docs/scoring_features.md), or score a data set that has it"
            )


_LISTS = (Role.QUERY, Role.GALLERY)
_OTHER = {Role.QUERY: Role.GALLERY, Role.GALLERY: Role.QUERY}


def _select(
    protocol: RetrievalProtocol, images: FeatureSet, role: Role, eligible: np.ndarray
) -> np.ndarray:
    """Rows of the eligible images, (N,) bool, that a role takes."""
    modality, cameras = protocol.gallery_modality, protocol.gallery_cameras
    if role is Role.QUERY:
        modality, cameras = protocol.query_modality, protocol.query_cameras
    mask = eligible & (images.modality == int(modality))
    if cameras:
        mask &= np.isin(images.camids, sorted(cameras))
    if protocol.by_role and images.role is not None:
        listed = _OTHER[role] if protocol.roles_exchanged else role
        mask &= np.isin(images.role, (int(Role.BOTH), int(listed)))
    if protocol.test_list and images.test_list is not None:
        mask &= (images.test_list > 0) & (images.test_list <= protocol.test_list)
    return np.flatnonzero(mask)


Permutations = Mapping[tuple[int, int], np.ndarray]  # (camid, pid) → (trials, images), from 1


def read_permutations(path: Path) -> Permutations:
    """SYSU-MM01's ``rand_perm_cam.mat``.

    Returns:
        (camid, pid) → (10, n): row t is trial t's permutation of 1 … n.
    Raises:
        DataError: missing, unreadable, of another structure, or a row is no permutation.
    """
    permutations = {}
    for (camid, pid), rows in read_nested_cells(path, "rand_perm_cam").items():
        if (np.sort(rows, axis=1) != np.arange(1, rows.shape[1] + 1)).any():
            raise DataError(
                f"{path}: camera {camid}, identity {pid}: every row must be a permutation of 1 to "
                f"{rows.shape[-1]}: copy SYSU-MM01's own file"
            )
        permutations[camid, pid] = rows.astype(np.int64)
    if not permutations:
        raise DataError(f"{path} holds no permutation: is it SYSU-MM01's rand_perm_cam.mat?")
    return permutations


def draw_trials(
    protocol: RetrievalProtocol,
    images: FeatureSet,
    queries: np.ndarray,
    candidates: np.ndarray,
    permutations: Permutations | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each trial, which queries it has, and its gallery.

    Args:
        queries, candidates: rows of the images that may be queries, and of those that a gallery
            may hold; see ``select_query_and_gallery``.
        permutations: for the official draw.
    Returns:
        (Q,) bool of ``queries``; rows of ``images``, in the gallery's order.
    Raises:
        DataError: see ``draw_images``.
    """
    if protocol.draws_queries:
        gallery = candidates[gallery_order(protocol, without_features(images, candidates))]
        for rows in draw_images(protocol, without_features(images, queries), permutations):
            yield np.isin(np.arange(len(queries)), rows), gallery
        return
    for rows in draw_images(protocol, without_features(images, candidates), permutations):
        gallery, mask = candidates[rows], np.ones(len(queries), dtype=bool)
        if protocol.undrawn_are_queries:
            mask = np.isin(queries, gallery, invert=True)
        yield mask, gallery


def without_features(images: FeatureSet, rows: np.ndarray) -> FeatureSet:
    """The given rows of everything but the features, which are (N, 0)."""
    return replace(images, features=images.features[:, :0]).subset(rows)


def draw_images(
    protocol: RetrievalProtocol, candidates: FeatureSet, permutations: Permutations | None
) -> Iterator[np.ndarray]:
    """For each trial, rows of ``candidates`` that are drawn, in their order in a gallery.

    Args:
        candidates: all images that may be drawn.
        permutations: for the official draw.
    Raises:
        DataError: the official draw without permutations, or with some of another data set.
    """
    if protocol.draw in ("all", "given"):
        yield gallery_order(protocol, candidates)
    elif protocol.undrawn_are_queries:
        yield from _one_of_each(protocol, candidates)
    elif protocol.draw == "seeded":
        yield from _seeded(protocol, candidates)
    else:
        yield from _official(protocol, candidates, permutations)


def gallery_order(protocol: RetrievalProtocol, candidates: FeatureSet) -> np.ndarray:
    """Rows of ``candidates`` in the order in which a gallery holds them, and ties are broken.

    A gallery of all images has the order of no draw, also where the queries are drawn.

    Official draw: by camera, identity and path. Seeded draw: by identity, camera and path. No
    draw: by path. Given: as in the file. (Within a folder the official gallery has the order of the
    draw, which no score depends on: those images share identity and camera.)
    """
    return _ordered("all" if protocol.draws_queries else protocol.draw, candidates)


def _ordered(draw: str, images: FeatureSet) -> np.ndarray:
    keys = {
        "official": (images.paths, images.pids, images.camids),
        "seeded": (images.paths, images.camids, images.pids),
        "all": (images.paths,),
        "given": (np.arange(len(images)),),
    }
    return np.lexsort(keys[draw])


def _seeded(protocol: RetrievalProtocol, candidates: FeatureSet) -> Iterator[np.ndarray]:
    """One image per identity and camera, as most public code of the field draws it.

    Source: AGW's and DEEN's data_manager.py: ``random.seed(trial)``, identities outside, cameras
    inside, ``random.choice`` of the folder's files in order.
    """
    if protocol.shots != 1:
        raise ValueError(f"{protocol.name}: the seeded rule draws one image, not {protocol.shots}")
    folders = list(_folders(protocol, candidates))
    for trial in range(protocol.gallery_trials):
        generator = random.Random(trial)  # as random.seed(trial), without the global generator
        yield np.array([generator.choice(rows) for _, _, rows in folders])


def _one_of_each(protocol: RetrievalProtocol, candidates: FeatureSet) -> Iterator[np.ndarray]:
    """One image per identity, of any camera, by NumPy's generator, seeded with the trial's number.

    Identities ascend; the images of an identity are in the order of their paths.
    """
    order = np.lexsort((candidates.paths, candidates.pids))
    starts = np.flatnonzero(np.diff(candidates.pids[order])) + 1
    identities = np.split(order, starts)
    for trial in range(protocol.gallery_trials):
        generator = np.random.default_rng(trial)
        yield np.array([rows[generator.integers(len(rows))] for rows in identities])


def _official(
    protocol: RetrievalProtocol, candidates: FeatureSet, permutations: Permutations | None
) -> Iterator[np.ndarray]:
    if permutations is None:
        raise DataError(_without_permutations(protocol))
    folders = list(_folders(protocol, candidates))
    _require_published(candidates, permutations, protocol.gallery_cameras)
    rows_of = [permutations[camid, pid] for camid, pid, _ in folders]
    fewest = min(map(len, rows_of))
    if fewest < protocol.gallery_trials:
        raise DataError(
            f"{protocol.name} averages {protocol.gallery_trials} gallery draws, but the "
            f"permutations hold {fewest} rows: use the data set's official rand_perm_cam.mat"
        )
    for trial in range(protocol.gallery_trials):
        drawn = (published[trial, : protocol.shots] - 1 for published in rows_of)
        yield np.concatenate([folder[2][own] for folder, own in zip(folders, drawn, strict=True)])


def _without_permutations(protocol: RetrievalProtocol) -> str:
    rule = "the seeded rule (--gallery-draw seeded, TEST.GALLERY_DRAW seeded)"
    seeded = f"draw the gallery by {rule}"
    if "seeded" not in protocol.other_draws:
        seeded = f"ask for single-shot protocols, which can be drawn by {rule}"
    return (
        f"{protocol.name} draws its gallery by SYSU-MM01's rand_perm_cam.mat, which is not there. "
        "Either copy it from the official evaluation code (data_split/) to exp/ in the data set's "
        f"folder, or name it with --permutations; or {seeded}"
    )


def _folders(
    protocol: RetrievalProtocol, candidates: FeatureSet
) -> Iterator[tuple[int, int, np.ndarray]]:
    """(camid, pid, rows ordered by path) of each camera and identity, in the draw's order."""
    order = _ordered(protocol.draw, candidates)
    keys = np.stack([candidates.camids[order], candidates.pids[order]], axis=1)
    starts = np.flatnonzero(np.any(keys[1:] != keys[:-1], axis=1)) + 1
    for rows in np.split(order, starts):
        if rows.size:
            yield int(candidates.camids[rows[0]]), int(candidates.pids[rows[0]]), rows


def require_complete(
    protocol: RetrievalProtocol, images: FeatureSet, permutations: Permutations | None
) -> None:
    """Checks that a test set holds every image that the protocol uses.

    Scores without one of its cameras, or without some images of the official permutations, would
    look like others and mean something else.

    Args:
        images: of the test identities.
    Raises:
        DataError: names the first camera or folder that differs.
    """
    _require_columns(protocol, images)
    if (junk := junk_rows(images)).any():
        images = without_features(images, ~junk)
    listed = protocol.test_list
    if listed and images.test_list is not None and not np.any(images.test_list == listed):
        raise DataError(
            f"{protocol.name}: no image belongs to test list {listed} and to no shorter one: are "
            "all test images there?"
        )
    absent: set[int] = set()
    for modality, needed in (
        (protocol.query_modality, protocol.query_cameras),
        (protocol.gallery_modality, protocol.gallery_cameras),
    ):
        absent |= needed - set(images.camids[images.modality == int(modality)].tolist())
    if absent:
        raise DataError(
            f"{protocol.name}: there is no image of camera {min(absent)} in the modality that it "
            "has in this protocol: are all test images there?"
        )
    if protocol.draw == "official" and permutations is not None:
        _require_published(images, permutations, protocol.query_cameras | protocol.gallery_cameras)


def _require_published(
    images: FeatureSet, permutations: Permutations, cameras: Collection[int]
) -> None:
    """Checks that each identity has as many images in each camera as the official permutations.

    Raises:
        DataError: names the first camera and identity that differ.
    """
    keys = zip(images.camids.tolist(), images.pids.tolist(), strict=True)
    found = Counter(key for key in keys if key[0] in cameras)
    pids = {pid for _, pid in found}
    published = {
        (camid, pid): rows.shape[1]
        for (camid, pid), rows in permutations.items()
        if camid in cameras and pid in pids
    }
    known = published.keys() | found.keys()
    differing = sorted(key for key in known if published.get(key) != found.get(key))
    if differing:
        camid, pid = differing[0]
        images_there = f"{found[camid, pid]} images" if found[camid, pid] else "no image"
        raise DataError(
            f"camera {camid}, identity {pid}: {images_there}, but the official permutations know "
            f"{published.get((camid, pid), 'none')} ({len(differing)} such folders): an incomplete "
            "data set, or the permutations of another one"
        )
