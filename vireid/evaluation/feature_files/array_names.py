"""Names under which code of the field saves features, labels, cameras and distances: one table.

Case, underscores, hyphens, dots and blanks do not count: ``qPids`` is ``q_pids``. The names are
those of AGW, DEEN and MPANet, of torchreid and fast-reid, and of the .mat files of HHL and of the
Market-1501 baselines.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from vireid.errors import DataError

QUERY, GALLERY = "query", "gallery"
SIDES = {QUERY: ("query", "q", "probe"), GALLERY: ("gallery", "gall", "g")}
COLUMNS = {
    "features": (
        *("features", "feature", "feats", "feat", "f", "embeddings", "embedding", "embeds", "embs"),
        *("emb", "feat_fc", "feat_pool", "feat_att", "feat_bn"),
    ),
    "pids": (
        *("pids", "pid", "ids", "id", "labels", "label", "identities", "identity", "person_ids"),
        *("person_id", "targets"),
    ),
    "camids": (
        *("camids", "camid", "cam_ids", "cam_id", "cams", "cam", "cameras", "camera"),
        *("camera_ids", "camera_id"),
    ),
    "modality": ("modality", "modalities", "modal", "modals", "spectrum", "is_infrared"),
    "paths": (
        *("paths", "path", "img_paths", "img_path", "image_paths", "image_path"),
        *("files", "filenames", "impaths"),
    ),
}
DISTANCES = (
    *("distmat", "dist_mat", "dist", "dists", "distance", "distances", "distance_matrix"),
    *("dist_matrix", "dismat"),
)
SIMILARITIES = (
    *("simmat", "sim_mat", "sim", "sims", "similarity", "similarities", "similarity_matrix"),
    *("sim_matrix",),
)


ONLY_WHOLE = ("role", "subset", "tracks")  # columns of features.npz that no other code has


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a file's arrays are.

    Args:
        whole: column → name of the array of all images.
        lists: (side, column) → name of the array of query or of gallery images.
        distances, similarities: names of query × gallery matrices; empty without one.
    """

    whole: dict[str, str]
    lists: dict[tuple[str, str], str]
    distances: str
    similarities: str


def is_known(name: str) -> bool:
    """Whether a name is in one of the tables; other arrays are not read."""
    short = plain(name)
    tables = [_table(("",)), *map(_table, SIDES.values())]
    matrices = map(plain, (*DISTANCES, *SIMILARITIES))
    return name in ONLY_WHOLE or short in matrices or any(short in table for table in tables)


def recognise(names: Collection[str], where: object) -> Recognised:
    """Finds out what arrays are by their names.

    Args:
        where: file, for messages.
    Raises:
        DataError: two names mean the same thing.
    """
    whole = _named(_table(("",)), names, where)
    whole |= {name: name for name in ONLY_WHOLE if name in names}
    lists = {
        (side, column): name
        for side, words in SIDES.items()
        for column, name in _named(_table(words), names, where).items()
    }
    matrices = [
        _named(dict.fromkeys(map(plain, table), "matrix"), names, where).get("matrix", "")
        for table in (DISTANCES, SIMILARITIES)
    ]
    return Recognised(whole, lists, *matrices)


def plain(name: str) -> str:
    """The letters and digits of a name, in small letters."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _table(sides: Collection[str]) -> dict[str, str]:
    """Plain name → column, for arrays of one side; for ``("",)`` those of all images."""
    return dict(_entries(sides))


def _entries(sides: Collection[str]) -> Iterator[tuple[str, str]]:
    for column, words in COLUMNS.items():
        for word in map(plain, words):
            if sides == ("",):
                if len(word) > 1:  # "f" alone could be anything
                    yield word, column
                continue
            for side in sides:
                yield side + word, column
                if len(side) > 1 and len(word) > 1:  # features_query, too
                    yield word + side, column


def _named(table: dict[str, str], names: Collection[str], where: object) -> dict[str, str]:
    """Column → the array's name; one that is called as the column itself comes before others."""
    found: dict[str, list[str]] = {}
    for name in names:
        if column := table.get(plain(name)):
            found.setdefault(column, []).append(name)
    for column, same in found.items():
        if column in same:
            found[column] = [column]
        elif len(same) > 1:
            raise DataError(
                f"{where}: {' and '.join(same)} could both be the {column}: save only the one that "
                "you mean (docs/scoring_features.md)"
            )
    return {column: same[0] for column, same in found.items()}
