"""t-SNE and PCA plots of features: which images are shown, where they lie, how they are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from vireid.errors import DataError, UsageError
from vireid.evaluation.distance import unit_rows
from vireid.evaluation.evaluate import require_comparable
from vireid.evaluation.query_gallery import identified, without_features
from vireid.figures.names import wrapped
from vireid.figures.style import COLORS, GREY, MARKERS, drawn_panels
from vireid.structures import FeatureSet, Modality
from vireid.utils.io import require_target, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

HEADER = ("panel", "path", "pid", "camid", "modality", "x", "y")
METHODS = ("tsne", "pca")
COMPONENTS = 50  # principal components that t-SNE starts from
PERPLEXITY = 30.0
IDENTITIES = 20
MOST_NUMBERED = 40  # identities that are labelled and coloured; of more, only modalities differ
NEAR = 0.06  # share of the plot's width within which two medians share one label
LONGEST_NAME = 14  # characters of an identity's name
LONG_TITLE = 50  # characters that fit above a panel
BY_MODALITY = {Modality.VISIBLE: COLORS[0], Modality.INFRARED: COLORS[1]}


@dataclass(frozen=True, slots=True)
class Projection:
    """One set of features in two dimensions.

    Args:
        images: the N images shown, without features.
        points: (N, 2).
        axes: names of the two axes.
    """

    title: str
    images: FeatureSet
    points: np.ndarray
    axes: tuple[str, str]


def choose_identities(sets: Sequence[FeatureSet], *, count: int | None, seed: int) -> list[int]:
    """Identities that have images of all modalities in every set, ascending; not of junk.

    Each identity gets a random number from itself and the seed, and the lowest are chosen: the
    choice depends neither on the order of a file nor on which other identities are in it.

    Args:
        count: how many; None for :data:`IDENTITIES`, or all where there are fewer.
    Raises:
        DataError: there are fewer than two.
        UsageError: there are fewer than ``count``, or ``count`` is less than two.
    """
    common = set.intersection(*(_with_all_modalities(features) for features in sets))
    single = all(len(np.unique(features.modality)) < 2 for features in sets)
    where = "their modality" if single else "both modalities"
    where += " in every one of these files" if len(sets) > 1 else ""
    if len(common) < 2:
        raise DataError(f"{len(common)} identities have images in {where}: the plot needs two")
    if count is not None and not 2 <= count <= len(common):
        raise UsageError(
            f"--ids {count}: choose 2 to {len(common)}, so many have images in {where}"
        )
    ranked = sorted(common, key=lambda pid: _random_key(seed, str(pid)))
    return sorted(ranked[: count or IDENTITIES])


def _with_all_modalities(features: FeatureSet) -> set[int]:
    """Identities with images of every modality in the set."""
    features = identified(without_features(features, np.arange(len(features))))
    by_modality = (features.pids[features.modality == m] for m in np.unique(features.modality))
    return set.intersection(*(set(pids.tolist()) for pids in by_modality))


def _random_key(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def choose_rows(features: FeatureSet, pids: Sequence[int], *, images: int, seed: int) -> np.ndarray:
    """Rows of at most ``images`` images of each identity in each modality; 0 for all of them.

    Ordered by identity, modality and path, so that two files of the same images agree.
    """
    chosen: list[int] = []
    order = np.lexsort((features.paths, features.modality))
    for pid in pids:
        for modality in Modality:
            rows = order[(features.pids[order] == pid) & (features.modality[order] == modality)]
            keys = [_random_key(seed, str(path)) for path in features.paths[rows]]
            kept = sorted(range(len(rows)), key=keys.__getitem__)[: images or None]
            chosen += rows[sorted(kept)].tolist()
    return np.array(chosen, dtype=np.int64)


def project(
    title: str,
    features: FeatureSet,
    *,
    method: str = "tsne",
    metric: str = "cosine",
    seed: int = 0,
    perplexity: float | None = None,
) -> Projection:
    """Projects features to two dimensions.

    The same features and seed give the same points on the same machine and library versions.

    Args:
        method: ``pca``: the first two principal components; ``tsne``: t-SNE of the first 50.
        metric: ``cosine``: of features scaled to unit length, as retrieval compares them;
            ``euclidean``: of features as they are.
        perplexity: None for 30, or a third of the images where that is less.
    Raises:
        DataError: too few images, or by cosine a feature of zeros.
        UsageError: a perplexity that does not fit the number of images.
    """
    everything = np.arange(len(features))
    require_comparable(features, {title: everything}, metric)
    if len(features) < 4:
        raise DataError(f"{title}: {len(features)} images are too few: the plot needs 4 or more")
    numbers = features.features if metric == "euclidean" else unit_rows(features.features)
    numbers = numbers.astype(np.float32) - numbers.mean(axis=0).astype(np.float32)
    if not numbers.any():
        raise DataError(f"{title}: all features are the same: the model has learnt nothing")
    if method == "pca":
        points, shares = _principal_components(numbers, 2, seed)
        first, second = (f"component {k} ({100 * v:.0f} %)" for k, v in enumerate(shares, start=1))
        names = first, second
    else:
        points, names = _tsne(numbers, perplexity, seed), ("t-SNE 1", "t-SNE 2")
    return Projection(title, without_features(features, everything), points, names)


def _principal_components(
    numbers: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(N, count) coordinates, and each component's share of the variance."""
    from sklearn.decomposition import PCA

    count = min(count, *numbers.shape)
    pca = PCA(count, svd_solver="randomized", random_state=seed)
    with threadpool_limits(1, "blas"):  # the number of threads would change the last digits
        points = pca.fit_transform(numbers)
    shares = pca.explained_variance_ratio_
    if count == 1:  # features of one number
        points, shares = np.pad(points, ((0, 0), (0, 1))), np.append(shares, 0.0)
    return points, shares


def _tsne(numbers: np.ndarray, perplexity: float | None, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    images = len(numbers)
    if perplexity is None:
        perplexity = min(PERPLEXITY, (images - 1) / 3)
    if not 1 <= perplexity < images:
        raise UsageError(f"--perplexity {perplexity:g}: 1 or more, and below the {images} images")
    start, _ = _principal_components(numbers, COMPONENTS, seed)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed, learning_rate="auto")
    return np.asarray(tsne.fit_transform(start))


def require_points(path: Path) -> None:
    """Raises :class:`UsageError` if points cannot be written, or would replace something else."""
    require_target(path)
    if path.is_file() and not path.read_bytes().startswith(",".join(HEADER).encode()):
        raise UsageError(f"{path} holds something else than coordinates: name another --out")


def write_points(path: Path, projections: Sequence[Projection]) -> None:
    """A CSV of all points: panel, path, pid, camid, modality, x, y."""
    import pandas as pd

    rows = [
        (one.title, path, pid, camid, Modality(modality).name.lower(), x, y)
        for one in projections
        for (x, y), path, pid, camid, modality in zip(
            one.points.tolist(),
            one.images.paths,
            one.images.pids,
            one.images.camids,
            one.images.modality.tolist(),
            strict=True,
        )
    ]
    frame = pd.DataFrame(rows, columns=list(HEADER))
    write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def draw_projections(
    projections: Sequence[Projection], path: Path, *, names: Mapping[int, str] | None = None
) -> None:
    """A panel for each projection; an identity has the same colour in all of them.

    Twenty colours are too many to distinguish, so colours repeat. Each identity's number or name is
    at the median of its images of each modality, with thin lines to these images. A dashed line
    joins its two medians; where they are near, they share one label. With more than
    :data:`MOST_NUMBERED` identities, colours show only the modality.

    Args:
        names: of identities, by number; identities without one are shown by their number.
    """
    pids = sorted({int(pid) for one in projections for pid in one.images.pids})
    numbered = len(pids) <= MOST_NUMBERED
    labels = {pid: _label(pid, names or {}) for pid in pids}
    with drawn_panels(path, len(projections), height=3.3) as (figure, panels):
        for axes, one in zip(panels, projections, strict=True):
            if numbered:
                _draw_labels(axes, one, labels)
            _draw_points(axes, one, pids if numbered else None)
            (title,) = wrapped([one.title if len(projections) > 1 else ""], LONG_TITLE)
            axes.set_title(title, loc="left")
            axes.set(xticks=[], yticks=[], xlabel=one.axes[0], ylabel=one.axes[1])
            axes.set_aspect("equal", adjustable="datalim")
            axes.spines[:].set_color(GREY)
        if marks := _legend_marks(projections, numbered):
            place: dict[str, Any] = {"loc": "outside upper center", "frameon": False}
            figure.legend(handles=marks, ncols=len(marks), columnspacing=1.2, **place)


def _label(pid: int, names: Mapping[int, str]) -> str:
    """An identity's name, or its number; of long names the end, where names differ most often."""
    name = names.get(pid, str(pid))
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def _draw_points(axes: Axes, one: Projection, pids: Sequence[int] | None) -> None:
    """The images, coloured by identity, or by modality where ``pids`` is None."""
    colors = {pid: COLORS[k % len(COLORS)] for k, pid in enumerate(pids or ())}
    size = 14 if colors else max(1.5, min(14, 4000 / len(one.points)))
    for modality in Modality:
        rows = one.images.modality == modality
        shown = [
            colors[int(pid)] if colors else BY_MODALITY[modality] for pid in one.images.pids[rows]
        ]
        filled = modality is Modality.VISIBLE
        x, y = one.points[rows].T
        axes.scatter(
            x,
            y,
            s=size,
            marker=MARKERS[modality],
            facecolors=shown if filled else "none",
            edgecolors="none" if filled else shown,
            linewidths=0.8 if colors else 0.5,
            alpha=0.9,
        )


def _draw_labels(axes: Axes, one: Projection, labels: Mapping[int, str]) -> None:
    """Each identity's label, with lines to its images and between its two medians."""
    near = NEAR * float(np.ptp(one.points, axis=0).max())
    text: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 7, "zorder": 5}
    text |= {"xytext": (0, 2), "textcoords": "offset points"}  # above the points near the median
    text["bbox"] = {"facecolor": "white", "alpha": 0.5, "edgecolor": "none", "pad": 0.2}
    for number, (pid, label) in enumerate(labels.items()):
        color, groups = COLORS[number % len(COLORS)], []
        for modality in np.unique(one.images.modality[one.images.pids == pid]):
            points = one.points[(one.images.pids == pid) & (one.images.modality == modality)]
            median = np.median(points, axis=0)  # single images far away do not move it
            there_and_back = np.repeat(points, 2, axis=0)
            there_and_back[::2] = median
            axes.plot(*there_and_back.T, color=color, lw=0.5, alpha=0.5)
            groups.append((median, points))
        medians = [median for median, _ in groups]
        axes.plot(*np.transpose(medians), color=color, ls=(0, (2, 2)), lw=0.6, alpha=0.6)
        if np.linalg.norm(medians[0] - medians[-1]) < near:
            groups = [(np.mean(medians, axis=0), np.concatenate([p for _, p in groups]))]
        for median, points in groups:
            close = points[np.linalg.norm(points - median, axis=1) < near]
            top = max([median[1], *close[:, 1]])
            axes.annotate(label, (median[0], top), color="black", **text)


def _legend_marks(projections: Sequence[Projection], numbered: bool) -> list[Line2D]:
    """What markers and dashed lines mean; none where all images are of one modality."""
    from matplotlib.lines import Line2D

    found = {int(value) for one in projections for value in one.images.modality}
    marks = []
    for modality in Modality if len(found) > 1 else ():
        color = GREY if numbered else BY_MODALITY[modality]
        face = color if modality is Modality.VISIBLE else "none"
        style: dict[str, Any] = {"linestyle": "none", "marker": MARKERS[modality], "markersize": 5}
        style |= {"color": color, "markerfacecolor": face}
        marks.append(Line2D([], [], label=modality.name.lower(), **style))
    if numbered and marks:
        label = "medians of one identity"
        marks.append(Line2D([], [], color=GREY, ls=(0, (2, 2)), lw=0.8, label=label))
    return marks
