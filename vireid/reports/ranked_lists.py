"""Ranked lists of a run for its page: the queries with the lowest average precision, and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from yacs.config import CfgNode

from vireid.data.datasets.names import label_of
from vireid.errors import DataError, VireidError
from vireid.evaluation.protocols import PROTOCOLS, RetrievalProtocol, with_draw
from vireid.evaluation.query_gallery import read_permutations, require_complete
from vireid.evaluation.ranked_lists import GalleryRanking, RankedList, rank_gallery
from vireid.figures.ranked_lists import choose_queries, shown_frames
from vireid.reports.run_files import RunFiles
from vireid.reports.thumbnails import ImageStore
from vireid.runs.options import run_config
from vireid.runs.saved_features import RunFeatures, kept_features, run_features
from vireid.structures import FeatureSet, Modality
from vireid.utils.io import say

COUNT, TOP, SEED = 4, 10, 0  # queries of each kind; images of a list; of the random choice
CLOSE = 2e-3  # mAP of the lists and of results.json: features of two computations differ a little
NONE = "No ranked lists and distances"
RIGHT, WRONG, REMOVED = "right", "wrong", "removed"
SIGNS = {RIGHT: "✓", WRONG: "✗", REMOVED: "–", "": ""}


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What the user chose.

    Args:
        count: queries of each kind, per protocol; 0: no lists.
        compute: features where a run has none.
        images: whether the page holds images of the data set.
        overrides: KEY VALUE … over the runs' configurations.
    """

    count: int = COUNT
    compute: bool = False
    images: bool = True
    overrides: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image of a list.

    Args:
        image: its name in the page; empty without images.
        mark: ``right`` (same identity), ``wrong``, ``removed`` (left out by the protocol); empty
            for the query.
        facts: lines of text below it.
        apart: images between the one before and this one are not shown.
    """

    path: str
    image: str
    mark: str
    facts: Sequence[str]
    apart: bool = False

    @property
    def sign(self) -> str:
        """What the frame's colour shows, for readers who do not see it."""
        return SIGNS[self.mark]


@dataclass(frozen=True, slots=True)
class QueryList:
    """A query, its scores in words, and its nearest gallery images."""

    query: ListedImage
    scores: str
    images: Sequence[ListedImage]


@dataclass(frozen=True, slots=True)
class ProtocolLists:
    """The lists of one protocol, by how their queries were chosen.

    Args:
        unit: what they list, ``image`` or ``track``, which is shown as a strip of frames.
    """

    protocol: str
    about: str
    groups: Mapping[str, Sequence[QueryList]]
    unit: str = "image"


@dataclass(slots=True)
class RunLists:
    """What a run's features show.

    Args:
        features: of the test images; None where they are not at hand.
        notes: lines about what is not shown, and how to get it.
    """

    protocols: list[ProtocolLists] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    features: FeatureSet | None = None


def lists_of(run: RunFiles, options: ListOptions, store: ImageStore) -> RunLists:
    """The run's ranked lists, as far as its features and data are at hand.

    Args:
        store: gets the images.
    """
    found = RunLists()
    entries = run.results["results.json"]["protocols"]
    protocols = [
        with_draw(PROTOCOLS[name], entry["gallery_draw"])
        for name, entry in entries.items()
        if name in PROTOCOLS and not entry["reranked"]
    ]
    if not options.count or not protocols:
        return found
    try:
        cfg = run_config(run.folder, options.overrides)
        for held_out in dict.fromkeys(protocol.held_out for protocol in protocols):
            same = [protocol for protocol in protocols if protocol.held_out == held_out]
            held = _features(cfg, run.folder, same, compute=options.compute)
            if held is None:
                found.notes.append(_no_features(run.folder))
                continue
            if not held_out:
                found.features = held.features
            for protocol in same:
                found.protocols.append(
                    _protocol_lists(protocol, held, entries[protocol.name], options, store, found)
                )
    except VireidError as error:
        line = str(error).splitlines()[0]
        moved = ". If the data set is in another folder, name it with --root"
        found.notes.append(f"{NONE}: {line}{moved if isinstance(error, DataError) else ''}")
    return found


def _features(
    cfg: CfgNode, run: Path, protocols: Sequence[RetrievalProtocol], *, compute: bool
) -> RunFeatures | None:
    split = "val" if protocols[0].held_out else "test"
    kept = kept_features(cfg, run=run, split=split, protocols=protocols)
    if kept or not compute:
        return kept
    say(f"{run} holds no features of its {split} images: they are computed now")
    return run_features(cfg, run=run, split=split, protocols=protocols)


def _no_features(run: Path) -> str:
    return (
        f"{NONE}: {run} holds no features of this checkpoint. Write the "
        f"report with --lists {COUNT}, which computes and keeps them (seconds to minutes; a GPU is "
        "used where there is one)."
    )


def _protocol_lists(
    protocol: RetrievalProtocol,
    held: RunFeatures,
    entry: Mapping[str, Any],
    options: ListOptions,
    store: ImageStore,
    run: RunLists,
) -> ProtocolLists:
    needed = protocol.draw == "official" and held.splits.gallery_permutations
    permutations = read_permutations(needed) if needed else None
    require_complete(protocol, held.features, permutations)
    ranking = rank_gallery(
        protocol, held.features, permutations=permutations, metric=entry["metric"]
    )
    search = ranking.of_set(held.splits)
    answered = np.flatnonzero(search.first > 0)
    precision = float(search.precision[answered].mean()) if len(answered) else 0.0
    saved = entry["trials"][0]["mAP"]
    if abs(precision - saved) > CLOSE:
        run.notes.append(
            f"{protocol.name}: the features give mAP {100 * precision:.2f} in the first gallery "
            f"draw, results.json {100 * saved:.2f}: they are not of the same model or data."
        )
    lists = _Lists(search, held.splits.root if options.images else None, store)
    worst, others = _chosen(search, answered, options.count)
    draw = "" if protocol.draw == "all" else f", gallery draw 1 ({protocol.draw})"
    about = f"{len(answered)} of {len(search.queries)} queries have a true match{draw}"
    groups = {
        "Lowest average precision (AP)": [lists.of(at) for at in worst],
        f"Drawn at random (seed {SEED})": [lists.of(at) for at in others],
    }
    groups = {name: of for name, of in groups.items() if of}
    return ProtocolLists(protocol.name, about, groups, search.features.unit)


def _chosen(
    search: GalleryRanking, answered: np.ndarray, count: int
) -> tuple[list[int], list[int]]:
    """Positions of the worst queries, and of others at random."""
    worst = choose_queries(search, worst="ap", count=min(count, len(answered)))
    rest = np.setdiff1d(answered, worst)
    drawn = np.random.default_rng(SEED).choice(rest, min(count, len(rest)), replace=False)
    return worst, sorted(drawn.tolist())


@dataclass(frozen=True, slots=True)
class _Lists:
    """Makes the lists of one protocol.

    Args:
        root: of the images; None: the page holds none.
    """

    search: GalleryRanking
    root: Path | None
    store: ImageStore

    def of(self, position: int) -> QueryList:
        """The first images of a query's list, and its first true match where that is later."""
        found = self.search.ranked_list(position)
        ranks, identities, first = found.ranks(), found.identity_ranks(), found.first_match()
        assert first is not None  # such queries are not chosen
        top = min(TOP, len(found.gallery))
        places = [*range(top), *([first] if first >= top else [])]
        images = [
            self._image(found, at, int(ranks[at]), int(identities[at]), apart=at > top)
            for at in places
        ]
        unit = self.search.features.unit
        where = f"{unit} rank {ranks[first]}, identity rank {identities[first]}"
        scores = f"AP {found.precision:.3f}, first true match at {where}"
        return QueryList(self._query(found.query), scores, images)

    def _image(
        self, found: RankedList, at: int, rank: int, identity_rank: int, *, apart: bool
    ) -> ListedImage:
        row, removed = int(found.gallery[at]), bool(found.removed[at])
        mark = REMOVED if removed else RIGHT if found.matches[at] else WRONG
        distance = float(found.distances[at])
        cosine = self.search.metric == "cosine"  # the project's cosine distance is −similarity
        score = f"similarity {-distance:.3f}" if cosine else f"distance {distance:.3f}"
        place = [f"{self.search.features.unit} rank {rank}", f"identity rank {identity_rank}"]
        facts = [*(["left out by the protocol"] if removed else place), score, *self._who(row)]
        return self._listed(row, mark, facts, apart=apart)

    def _query(self, row: int) -> ListedImage:
        modality = Modality(int(self.search.features.modality[row])).name.lower()
        return self._listed(row, "", [f"query, {modality}", *self._who(row)])

    def _who(self, row: int) -> list[str]:
        images, search = self.search.features, self.search
        identity = label_of(int(images.pids[row]), search.identities)
        return [f"id {identity} · cam {label_of(int(images.camids[row]), search.cameras)}"]

    def _listed(
        self, row: int, mark: str, facts: Sequence[str], *, apart: bool = False
    ) -> ListedImage:
        path, image = str(self.search.features.paths[row]), ""
        if self.root is not None:
            image = self.store.add(*(self.root / one for one in shown_frames(self.search, row)))
        return ListedImage(path, image, mark, facts, apart)
