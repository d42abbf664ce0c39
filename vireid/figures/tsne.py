"""Features in the plane: which images are shown, and where t-SNE or PCA puts them."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from vireid.errors import DataError, UsageError
from vireid.evaluation.distance import unit_rows
from vireid.evaluation.evaluate import require_comparable, without_features
from vireid.figures.style import COLORS, DOUBLE, GREY, MARKERS, SINGLE, drawn
from vireid.structures import FeatureSet, Modality
from vireid.utils.io import replace_file, require_target

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADER = ("panel", "path", "pid", "camid", "modality", "x", "y")
METHODS = ("tsne", "pca")
KEPT = 50  # principal components that t-SNE starts from
PERPLEXITY = 30.0


@dataclass(frozen=True, slots=True)
class Panel:
    """One set of features in the plane.

    Args:
        images: the N images shown, without features.
        points: (N, 2).
        axes: what the two axes are.
    """

    title: str
    images: FeatureSet
    points: np.ndarray
    axes: tuple[str, str]


def choose_identities(sets: Sequence[FeatureSet], *, count: int | None, seed: int) -> list[int]:
    """Identities that every set shows in all modalities that it has, ascending.

    Each identity draws a number from itself and the seed, and the lowest are chosen: the choice
    depends neither on the order of a file nor on which other identities are in it.

    Args:
        count: how many; None for 20, or all where there are fewer.
    Raises:
        DataError: there are fewer than two.
        UsageError: there are fewer than ``count``, or ``count`` is less than two.
    """
    common = set.intersection(*(_in_all(features) for features in sets))
    single = all(len(np.unique(features.modality)) < 2 for features in sets)
    where = "their modality" if single else "both modalities"
    where += " in every one of these files" if len(sets) > 1 else ""
    if len(common) < 2:
        raise DataError(
            f"{len(common)} identities have images in {where}: a picture of how identities part "
            "needs two"
        )
    if count is not None and not 2 <= count <= len(common):
        raise UsageError(
            f"--ids {count}: choose 2 to {len(common)}, so many have images in {where}"
        )
    ranked = sorted(common, key=lambda pid: _draw(seed, str(pid)))
    return sorted(ranked[: count or 20])


def choose_rows(features: FeatureSet, pids: Sequence[int], *, images: int, seed: int) -> np.ndarray:
    """Rows of at most ``images`` images of each identity in each modality; 0 for all of them.

    Ordered by identity, modality and path, so that two files of the same images agree.
    """
    chosen: list[int] = []
    order = np.lexsort((features.paths, features.modality))
    for pid in pids:
        for modality in Modality:
            rows = order[(features.pids[order] == pid) & (features.modality[order] == modality)]
            ranked = sorted(rows.tolist(), key=lambda row: _draw(seed, str(features.paths[row])))
            kept = set(ranked[:images] if images else ranked)
            chosen += [row for row in rows.tolist() if row in kept]
    return np.array(chosen, dtype=np.int64)


def panel(
    title: str,
    features: FeatureSet,
    *,
    method: str = "tsne",
    metric: str = "cosine",
    seed: int = 0,
    perplexity: float | None = None,
) -> Panel:
    """Brings features into the plane.

    The same features and seed give the same points on the same machine and library versions.

    Args:
        method: ``pca``: the first two principal components; ``tsne``: t-SNE of the first 50.
        metric: ``cosine``: of features brought to unit length, as they are compared in search;
            ``euclidean``: of features as they are.
        perplexity: None for 30, or a third of the images where that is less.
    Raises:
        DataError: too few images, or by cosine a feature of zeros.
        UsageError: a perplexity that does not fit the number of images.
    """
    everything = np.arange(len(features))
    require_comparable(features, {title: everything}, metric)
    if len(features) < 4:
        raise DataError(f"{title}: {len(features)} images are too few for a picture: 4 or more")
    numbers = features.features if metric == "euclidean" else unit_rows(features.features)
    numbers = numbers.astype(np.float32) - numbers.mean(axis=0).astype(np.float32)
    if not numbers.any():
        raise DataError(f"{title}: all features are the same: the network has learnt nothing")
    if method == "pca":
        points, shares = _components(numbers, 2, seed)
        names = tuple(f"component {k + 1} ({100 * share:.0f} %)" for k, share in enumerate(shares))
        return Panel(title, without_features(features, everything), points, (names[0], names[1]))
    points = _tsne(numbers, seed, _checked(perplexity, len(features)))
    return Panel(title, without_features(features, everything), points, ("t-SNE 1", "t-SNE 2"))


def require_points(path: Path) -> None:
    """Fails where a file of the coordinates' name holds something else.

    Raises:
        UsageError: it does, or it cannot be written.
    """
    require_target(path)
    if path.is_file() and not path.read_bytes().startswith(",".join(HEADER).encode()):
        raise UsageError(f"{path} holds something else than coordinates: name another --out")


def write_points(path: Path, panels: Sequence[Panel]) -> None:
    """A CSV of all points: panel, path, pid, camid, modality, x, y.

    Raises:
        UsageError: it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for one in panels:
        images = one.images
        for k, (x, y) in enumerate(one.points.tolist()):
            modality = Modality(int(images.modality[k])).name.lower()
            place = [f"{x:.6g}", f"{y:.6g}"]
            row = [images.paths[k], images.pids[k], images.camids[k], modality]
            writer.writerow([one.title, *row, *place])
    replace_file(path, lambda file: file.write(text.getvalue().encode()))


def _in_all(features: FeatureSet) -> set[int]:
    """Identities seen in every modality that any image has."""
    present = np.unique(features.modality)
    by_modality = (features.pids[features.modality == modality] for modality in present)
    return set.intersection(*(set(pids.tolist()) for pids in by_modality))


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def _checked(perplexity: float | None, images: int) -> float:
    if perplexity is None:
        return min(PERPLEXITY, (images - 1) / 3)
    if not 1 <= perplexity < images:
        raise UsageError(f"--perplexity {perplexity:g}: 1 or more, and below the {images} images")
    return perplexity


def _components(numbers: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, count) coordinates, and each component's share of the variance."""
    from sklearn.decomposition import PCA

    count = min(count, *numbers.shape)
    pca = PCA(count, svd_solver="randomized", random_state=seed)
    with threadpool_limits(1, "blas"):  # the number of threads would move the last digits
        points = pca.fit_transform(numbers)
    shares = pca.explained_variance_ratio_
    if count == 1:  # features of one number
        points, shares = np.pad(points, ((0, 0), (0, 1))), np.append(shares, 0.0)
    return points, shares


def _tsne(numbers: np.ndarray, seed: int, perplexity: float) -> np.ndarray:
    from sklearn.manifold import TSNE

    start, _ = _components(numbers, KEPT, seed)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed, learning_rate="auto")
    return np.asarray(tsne.fit_transform(start))


MOST_NUMBERED = 40  # identities that are told apart; of more only the modalities are
NEAR = 0.06  # of the picture's width: two middles that share a label
BY_MODALITY = {Modality.VISIBLE: COLORS[0], Modality.INFRARED: COLORS[1]}


def draw_panels(panels: Sequence[Panel], path: Path) -> None:
    """One panel beside the other; an identity has the same colour in all of them.

    No palette has twenty colours that everybody tells apart. So colours repeat, and the identity
    stands at the middle of its images of each modality, from where thin lines lead to them; a
    dashed line joins the two middles, which are one where they are near. Of more than
    :data:`MOST_NUMBERED` identities only the modalities are told apart, by colour too.

    Args:
        path: PNG, PDF or SVG.
    """
    pids = sorted({int(pid) for one in panels for pid in one.images.pids})
    numbered = len(pids) <= MOST_NUMBERED
    colors = {pid: COLORS[k % len(COLORS)] for k, pid in enumerate(pids)}
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    width = SINGLE if across == 1 else DOUBLE
    with drawn(path, width, 0.3 + 3.3 * down) as figure:
        fields = figure.subplots(down, across, squeeze=False).flatten()
        for axes, one in zip(fields, panels, strict=False):
            if numbered:
                _draw_spokes(axes, one, colors)
            _draw_points(axes, one, colors if numbered else None)
            _finish(axes, one, titled=len(panels) > 1)
        for axes in fields[len(panels) :]:
            axes.remove()
        present = [m for m in Modality if any((one.images.modality == m).any() for one in panels)]
        if len(present) > 1:
            handles = [_legend_mark(modality, numbered) for modality in present]
            style: dict[str, Any] = {"loc": "outside upper center", "ncols": 2, "frameon": False}
            figure.legend(handles=handles, **style)


def _draw_points(axes: Axes, one: Panel, colors: Mapping[int, str] | None) -> None:
    size = 14 if colors else max(1.5, min(14, 4000 / len(one.points)))
    for modality in Modality:
        rows = np.flatnonzero(one.images.modality == modality)
        if colors:
            shades = [colors[int(pid)] for pid in one.images.pids[rows]]
        else:
            shades = [BY_MODALITY[modality]] * len(rows)
        filled = modality is Modality.VISIBLE
        axes.scatter(
            *one.points[rows].T,
            s=size,
            marker=MARKERS[modality],
            facecolors=shades if filled else "none",
            edgecolors="none" if filled else shades,
            linewidths=0.8 if colors else 0.5,
            alpha=0.9,
        )


def _draw_spokes(axes: Axes, one: Panel, colors: Mapping[int, str]) -> None:
    """Lines to the middle of an identity's images of a modality, and between its two middles."""
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import withStroke

    near = NEAR * float(np.ptp(one.points, axis=0).max())
    halo = [withStroke(linewidth=2, foreground="white")]
    place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6.5, "zorder": 5}
    for pid, color in colors.items():
        middles = []
        for modality in Modality:
            rows = (one.images.pids == pid) & (one.images.modality == modality)
            if not rows.any():
                continue
            # The median: a stray image does not pull it out of the others.
            middle = np.median(one.points[rows], axis=0)
            lines = [(middle, point) for point in one.points[rows]]
            axes.add_collection(LineCollection(lines, colors=color, linewidths=0.5, alpha=0.5))
            middles.append(middle)
        bridge: dict[str, Any] = {"color": color, "linewidth": 0.6, "alpha": 0.6}
        axes.plot(*np.transpose(middles), linestyle=(0, (2, 2)), **bridge)
        if np.linalg.norm(middles[0] - middles[-1]) < near:
            middles = [np.mean(middles, axis=0)]
        for middle in middles:
            axes.text(*middle, str(pid), color="black", path_effects=halo, **place)


def _finish(axes: Axes, one: Panel, *, titled: bool) -> None:
    axes.set_title(one.title if titled else "", loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(one.axes[0])
    axes.set_ylabel(one.axes[1])
    axes.set_aspect("equal", adjustable="datalim")
    for spine in axes.spines.values():
        spine.set_color(GREY)


def _legend_mark(modality: Modality, numbered: bool) -> Any:
    from matplotlib.lines import Line2D

    color = GREY if numbered else BY_MODALITY[modality]
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=MARKERS[modality],
        color=color,
        markerfacecolor=color if modality is Modality.VISIBLE else "none",
        markersize=4.5,
        label=modality.name.lower(),
    )
