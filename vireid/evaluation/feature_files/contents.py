"""What a file of features holds, and the images that a protocol or a figure takes from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.feature_files.array_names import GALLERY, QUERY, Recognised, recognise
from vireid.evaluation.feature_files.columns import numbered_identities, read_columns, read_matrix
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.evaluation.tracks import pool_tracks
from vireid.structures import FeatureSet, Modality, Role

DOCS = "docs/scoring_features.md"
NAMES = ("features", "pids", "camids", "modality", "paths")
OPTIONAL = ("camids", "modality", "paths")  # columns that a file may lack
SAVE_ALL = f"save {', '.join(NAMES)} of all test images ({DOCS})"


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """What a file of features holds.

    Args:
        path: of the file or folder.
        images: all of them; where the file has lists, the queries first. Columns that the file
            lacks are filled in: paths by the images' numbers, the others by 0. Without features
            these are (N, 0).
        absent: the columns of ``OPTIONAL`` that the file lacks.
        lists: whether the file has a query list and a gallery list, told apart by ``role``.
        distances: small for alike images, where the file has a matrix: (Q, G) of its lists, or
            (N, N) of all images.
        names: of the identities, where they are text other than whole numbers; the n-th has the
            number n, from 1.
        used: the file's names of the arrays; empty for a features.npz of this project.
        unused: other names in the file.
    """

    path: Path
    images: FeatureSet
    absent: frozenset[str] = frozenset()
    lists: bool = False
    distances: np.ndarray | None = None
    names: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def has_features(self) -> bool:
        """Whether there are features, not distances alone."""
        return self.images.features.shape[1] > 0

    def subset(self, pids: Collection[int]) -> FeatureFile:
        """The images of some identities.

        Raises:
            DataError: one of them has no image.
        """
        absent = sorted(set(pids) - set(self.images.pids.tolist()))
        if absent:
            raise DataError(
                f"{self.path} holds no image of {len(absent)} of the {len(pids)} test identities, "
                f"first {absent[:3]}: the identities of another data set, or features of only a "
                "part of it"
            )
        kept = np.isin(self.images.pids, list(pids))
        distances = self.distances
        if distances is not None:
            rows, columns = distances.shape
            distances = distances[kept[:rows]][:, kept[len(kept) - columns :]]
        return replace(self, images=self.images.subset(kept), distances=distances)

    def describe(self) -> str:
        """One line on what was read, where the names are not those of this project."""
        if not self.used:
            return ""
        line = f"read {', '.join(self.used)}"
        if self.lists:
            line += f": {self._count(Role.QUERY)} query, {self._count(Role.GALLERY)} gallery images"
        if "camids" in self.absent:
            line += "; no cameras: no image is left out by its camera"
        if self.names:
            line += f"; identities are names, numbered 1 ({self.names[0]}) to {len(self.names)}"
        return line + (f"; not used: {', '.join(self.unused[:8])}" if self.unused else "")

    def _count(self, role: Role) -> int:
        return 0 if self.images.role is None else int((self.images.role == role).sum())

    def for_protocols(
        self, protocols: Sequence[RetrievalProtocol]
    ) -> tuple[FeatureSet, list[RetrievalProtocol]]:
        """The images as the protocols need them, and the protocols by which to score them.

        Where the file does not name the modalities of its lists, they are the protocols'.

        Raises:
            DataError: the file lacks something that a protocol needs; says what to save.
        """
        images = self.images
        for protocol in protocols:
            self._require_fit(protocol)
        if "modality" in self.absent:
            images = replace(images, modality=self._modality_for(protocols))
        if "camids" in self.absent:
            images = replace(images, camids=_two_cameras(images))
        if self.lists:
            protocols = [replace(one, by_role=True, roles_exchanged=False) for one in protocols]
        return self._pooled(images), list(protocols)

    def for_figures(self, query_modality: Modality | None = None) -> FeatureSet:
        """The images as a figure compares them.

        Args:
            query_modality: where the file has lists and does not name their modalities.
        Raises:
            DataError: there are no features, or the modalities are not known.
        """
        images = self.images
        if not self.has_features:
            raise DataError(f"{self.path} holds distances, and a figure needs features: save them")
        if "modality" in self.absent:
            if query_modality is None and self.lists:
                raise DataError(
                    f"{self.path} does not say of which modality its queries are: name it by "
                    "--query-modality, or save query_modality and gallery_modality"
                )
            asked = Modality.VISIBLE if query_modality is None else query_modality
            other = Modality(1 - asked) if self.lists else asked
            images = replace(images, modality=self._by_role(asked, other))
        elif self.lists and query_modality not in (
            None,
            *images.modality[: self._count(Role.QUERY)],
        ):
            raise DataError(
                f"{self.path} names the modality of its queries, which is not that of "
                "--query-modality: leave the option out"
            )
        if "camids" in self.absent:
            images = replace(images, camids=_two_cameras(images))
        return self._pooled(images)

    def _pooled(self, images: FeatureSet) -> FeatureSet:
        """The images, or the tracks where the file names them."""
        pooled = pool_tracks(images)
        if self.distances is not None and len(pooled) < len(images):
            raise DataError(
                f"{self.path}: distances are between tracks, but {len(images)} rows show "
                f"{len(pooled)} tracks: save one row per track"
            )
        return pooled

    def _require_fit(self, protocol: RetrievalProtocol) -> None:
        """Raises ``DataError`` where a column is absent that the protocol uses."""
        name, draws = protocol.name, protocol.draw not in ("all", "given")
        if draws and self.lists:
            raise DataError(
                f"{name} draws its galleries from all images, but {self.path} holds a query list "
                f"and a gallery list: {SAVE_ALL}; or score the gallery that the file holds as the "
                "only trial, with --gallery-draw given"
            )
        if protocol.draw == "given" and self.images.role is None:
            raise DataError(
                f"--gallery-draw given: {self.path} does not say which images are the gallery: "
                f"save query and gallery arrays ({DOCS}), or leave the draw out"
            )
        if draws and "paths" in self.absent:
            raise DataError(
                f"{name} draws its galleries by the order of paths, which {self.path} lacks: "
                f"{SAVE_ALL}"
            )
        if "camids" in self.absent and protocol.needs_cameras:
            what = (
                "query_cam and gall_cam beside the lists" if self.lists else "camids of all images"
            )
            raise DataError(f"{name} needs cameras, which {self.path} lacks: save {what} ({DOCS})")

    def _modality_for(self, protocols: Sequence[RetrievalProtocol]) -> np.ndarray:
        """(N,) uint8: those that the protocols have, which must agree."""
        pairs = {(one.query_modality, one.gallery_modality): one.name for one in protocols}
        if len(pairs) > 1:
            raise DataError(
                f"{' and '.join(pairs.values())} have queries of different modalities, and "
                f"{self.path} does not say of which its queries are: name the protocol whose first "
                "letter is theirs, or save query_modality and gallery_modality"
            )
        (asked, held), name = next(iter(pairs.items()))
        if not self.lists and asked != held:
            raise DataError(
                f"{name} compares two modalities, and {self.path} does not name them: save "
                "modality, 0 (visible) or 1 (infrared) for each image"
            )
        return self._by_role(asked, held)

    def _by_role(self, asked: Modality, held: Modality) -> np.ndarray:
        """(N,) uint8: one modality for queries, and one for all others."""
        if self.images.role is None:
            return np.full(len(self.images), int(held), dtype=np.uint8)
        is_query = self.images.role == Role.QUERY
        return np.where(is_query, int(asked), int(held)).astype(np.uint8)


def _two_cameras(images: FeatureSet) -> np.ndarray:
    """(N,) int64: 1 for visible images and 2 for infrared ones, as where a CSV file has none."""
    return images.modality.astype(np.int64) + 1


def to_feature_file(
    path: Path, arrays: Mapping[str, np.ndarray], held: Collection[str]
) -> FeatureFile:
    """Finds out what a file's arrays are, and checks them.

    Args:
        arrays: those with known names.
        held: all names in the file, for messages.
    Raises:
        DataError: arrays are missing, contradict one another, or hold wrong values.
    """
    found = recognise(arrays, path)
    if found.lists and not {"features", "pids"} <= found.whole.keys():
        return _from_lists(path, arrays, found, held)
    matrix = _matrix_name(path, found)
    missing = [name for name in ("features", "pids") if name not in found.whole]
    if missing and not (matrix and missing == ["features"]):
        raise DataError(
            f"{path} lacks {', '.join(missing)}; it holds {', '.join(held) or 'nothing'}, and "
            f"needs {', '.join(NAMES)}, or a query list and a gallery list ({DOCS})"
        )
    columns = read_columns(path, arrays, found.whole)
    (columns["pids"],), names = numbered_identities([columns["pids"]])
    own = set(NAMES) <= set(found.whole.values())
    count, used = len(columns["pids"]), tuple(found.whole.values())
    distances = None
    if matrix and (missing or arrays[matrix].shape == (count, count)):  # else of something else
        distances = _distances(path, arrays, found, (count, count))
        used += (matrix,)
    return FeatureFile(
        path=path,
        images=_images(columns, "row"),
        absent=frozenset(OPTIONAL) - columns.keys(),
        distances=distances,
        names=names,
        used=() if own else used,
        unused=tuple(name for name in held if name not in used),
    )


def _images(columns: Mapping[str, np.ndarray], word: str) -> FeatureSet:
    """A feature set of columns, with those that are absent filled in."""
    count = len(columns["pids"])
    blank = np.zeros(count, dtype=np.int64)
    return FeatureSet(
        features=columns.get("features", np.empty((count, 0), dtype=np.float32)),
        pids=columns["pids"],
        camids=columns.get("camids", blank),
        modality=columns.get("modality", blank.astype(np.uint8)),
        paths=columns.get("paths", _numbered(word, count)),
        role=columns.get("role"),
        test_list=columns.get("subset"),
        tracks=columns.get("tracks"),
    )


def _numbered(word: str, count: int) -> np.ndarray:
    """Names for images without paths, in the order of their characters."""
    width = len(str(max(0, count - 1)))
    return np.array([f"{word} {k:0{width}d}" for k in range(count)])


def _from_lists(
    path: Path, arrays: Mapping[str, np.ndarray], found: Recognised, held: Collection[str]
) -> FeatureFile:
    matrix = _matrix_name(path, found)
    sides = {
        side: {column: name for (own, column), name in found.lists.items() if own == side}
        for side in (QUERY, GALLERY)
    }
    _require_both_sides(path, sides, held, needs_features=not matrix)
    parts = {side: read_columns(path, arrays, names, listed=True) for side, names in sides.items()}
    _require_one_length(path, sides, parts)
    queries, gallery = parts[QUERY], parts[GALLERY]
    pids = queries["pids"], gallery["pids"]
    (queries["pids"], gallery["pids"]), names = numbered_identities(pids)
    shape = len(queries["pids"]), len(gallery["pids"])
    distances = _distances(path, arrays, found, shape) if matrix else None
    for side, part in parts.items():
        role = Role.QUERY if side == QUERY else Role.GALLERY
        part["role"] = np.full(len(part["pids"]), int(role), dtype=np.uint8)
    used = (*found.lists.values(), *([matrix] if matrix else []))
    return FeatureFile(
        path=path,
        images=_joined(_images(queries, QUERY), _images(gallery, GALLERY)),
        absent=frozenset(OPTIONAL) - queries.keys(),
        lists=True,
        distances=distances,
        names=names,
        used=used,
        unused=tuple(name for name in held if name not in used),
    )


def _matrix_name(path: Path, found: Recognised) -> str:
    """The name of the file's matrix; empty without one."""
    if found.distances and found.similarities:
        raise DataError(
            f"{path} holds {found.distances} and {found.similarities}: save only the one to score"
        )
    return found.distances or found.similarities


def _distances(
    path: Path, arrays: Mapping[str, np.ndarray], found: Recognised, shape: tuple[int, int]
) -> np.ndarray:
    """The file's matrix, small for alike images."""
    name = found.distances or found.similarities
    matrix = read_matrix(f"{path}: {name}", arrays[name], shape)
    return -matrix if found.similarities else matrix


def _require_one_length(
    path: Path,
    sides: Mapping[str, Mapping[str, str]],
    parts: Mapping[str, Mapping[str, np.ndarray]],
) -> None:
    """Raises ``DataError`` where query and gallery features differ in length."""
    widths = [part["features"].shape[1] for part in parts.values() if "features" in part]
    if len(set(widths)) > 1:
        raise DataError(
            f"{path}: {sides[QUERY]['features']} has {widths[0]} numbers per image, and "
            f"{sides[GALLERY]['features']} {widths[1]}: features of two models?"
        )


def _require_both_sides(
    path: Path,
    sides: Mapping[str, Mapping[str, str]],
    held: Collection[str],
    *,
    needs_features: bool,
) -> None:
    """Raises ``DataError`` where one list has a column that the other lacks."""
    needed = ["features", "pids"] if needs_features else ["pids"]
    for side, other in ((QUERY, GALLERY), (GALLERY, QUERY)):
        for column in dict.fromkeys([*needed, *sides[other]]):
            if column in sides[side]:
                continue
            beside = f" beside {sides[other][column]}" if column in sides[other] else ""
            raise DataError(
                f"{path} lacks the {column} of {side} images{beside}; it holds "
                f"{', '.join(held)} ({DOCS} lists the names of arrays)"
            )


def _joined(first: FeatureSet, second: FeatureSet) -> FeatureSet:
    """Two sets of images, one after the other."""
    columns = ("features", "pids", "camids", "modality", "paths", "role")
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in columns}
    return FeatureSet(**{name: np.concatenate(pair) for name, pair in pairs.items()})
