"""The field's retrieval protocols as data: which images are queries and gallery, by which rules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vireid.errors import UsageError
from vireid.structures import TEST_LISTS, Modality

CORRUPTED = "+corrupted"  # ends the names of protocols whose images are corrupted
SYSU_CAMERAS, SYSU_INFRARED = (1, 2, 3, 4, 5, 6), (3, 6)


@dataclass(frozen=True, slots=True)
class RetrievalProtocol:
    """One way to turn features into scores.

    Args:
        name: as users write it; the first letter after the data set is the query's modality.
        query_modality, gallery_modality: which images are queries and which a gallery may hold.
        source: where the rules come from.
        draw: ``official`` (published permutations), ``seeded`` (a generator seeded with the trial's
            number), ``all`` (every gallery image) or ``given`` (those that a file of features
            lists, as the only trial).
        other_draws: rules by which the gallery may be drawn instead.
        cmc_unit: ``identity`` counts each identity once in a ranked list, ``image`` each image,
            ``track`` each track.
        shots: gallery images per identity and camera; 0 where nothing is drawn.
        gallery_trials: gallery draws that are averaged.
        query_cameras, gallery_cameras: empty for all of the modality.
        ignored_cameras: (query camera, gallery camera) pairs: such gallery images are removed
            from the query's list, whatever their identity.
        drops_own_camera: gallery images of the query's identity taken by the query's camera are
            removed from its list.
        cameras_optional: a set may lack cameras; then nothing is removed.
        by_role: the data set says of each image whether it is query, gallery or both.
        roles_exchanged: the images that the data set calls queries are the gallery, and vice versa.
        roles_optional: a set may lack roles; then the modality alone decides.
        test_list: only images of this test list, by its number of identities; 0 for all images.
        undrawn_are_queries: each draw takes one image per identity, by NumPy's generator; all other
            images are its queries.
        draws_queries: the draw takes the queries, and the gallery holds every image.
        held_out: uses the validation identities, not the test identities.
        metric: distance between features unless the user asks for another.
        corrupted: its images are corrupted; the run's options say how (``TEST.CORRUPTION``).
    """

    name: str
    query_modality: Modality
    gallery_modality: Modality
    source: str
    draw: str = "all"
    other_draws: tuple[str, ...] = ()
    cmc_unit: str = "image"
    shots: int = 0
    gallery_trials: int = 1
    query_cameras: frozenset[int] = frozenset()
    gallery_cameras: frozenset[int] = frozenset()
    ignored_cameras: frozenset[tuple[int, int]] = frozenset()
    drops_own_camera: bool = False
    cameras_optional: bool = False
    by_role: bool = False
    roles_exchanged: bool = False
    roles_optional: bool = False
    test_list: int = 0
    undrawn_are_queries: bool = False
    draws_queries: bool = False
    held_out: bool = False
    metric: str = "cosine"
    corrupted: bool = False

    @property
    def needs_cameras(self) -> bool:
        """Whether the scores depend on the cameras, so that a set must name them."""
        listed = bool(self.query_cameras or self.gallery_cameras or self.ignored_cameras)
        by_folder = self.draw in ("official", "seeded") and not self.undrawn_are_queries
        return listed or by_folder or (self.drops_own_camera and not self.cameras_optional)


_CAMERAS_IF_ANY: dict[str, Any] = {"drops_own_camera": True, "cameras_optional": True}
VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED
_ALL, _INDOOR = frozenset({1, 2, 4, 5}), frozenset({1, 2})


def _sysu(name: str, gallery_cameras: frozenset[int], shots: int) -> RetrievalProtocol:
    return RetrievalProtocol(
        name=name,
        query_modality=INFRARED,
        gallery_modality=VISIBLE,
        source="Wu et al., ICCV 2017; github.com/wuancong/SYSU-MM01 evaluation/",
        draw="official",
        other_draws=("seeded",) if shots == 1 else (),
        cmc_unit="identity",
        shots=shots,
        gallery_trials=10,
        query_cameras=frozenset(SYSU_INFRARED),
        gallery_cameras=gallery_cameras,
        ignored_cameras=frozenset({(3, 2)}),  # cameras 2 and 3 look at the same room
    )


def _llcm(
    name: str, query: Modality, gallery: Modality, *, draws_queries: bool = False
) -> RetrievalProtocol:
    return RetrievalProtocol(
        name=name,
        query_modality=query,
        gallery_modality=gallery,
        source="Zhang and Wang, CVPR 2023 (DEEN); queries of the modality that the name says",
        draw="seeded",
        draws_queries=draws_queries,
        cmc_unit="identity",
        shots=1,
        gallery_trials=10,
        drops_own_camera=True,
    )


def _tracks(name: str, query: Modality, source: str, **roles: Any) -> RetrievalProtocol:
    return RetrievalProtocol(
        name=name,
        query_modality=query,
        gallery_modality=Modality(1 - query),
        source=source,
        cmc_unit="track",
        drops_own_camera=True,
        by_role=True,
        **roles,
    )


def _vehicleid(test_list: int) -> RetrievalProtocol:
    return RetrievalProtocol(
        name=f"vehicleid_{test_list}",
        query_modality=VISIBLE,
        gallery_modality=VISIBLE,
        source="Liu et al., CVPR 2016; one gallery image per vehicle, as in fast-reid",
        draw="seeded",
        shots=1,
        gallery_trials=10,
        test_list=test_list,
        undrawn_are_queries=True,
    )


_REGDB = "Ye et al., AAAI 2018; ten train/test splits, each with its own model"
_OWN = "the user's own images; the gallery holds every image of the other modality"
_VCM = "Lin et al., CVPR 2022 (HITSZ-VCM), the lists of its info folder"
_BUPT = "Du et al., TIFS 2023 (BUPTCampus, AuxNet), query.txt and gallery.txt"
_ORBENCH = "Zuo et al., NeurIPS 2025 (ORBench, ReID5o), its infrared task"
_VERI = "Liu et al., ECCV 2016; removal as in Market-1501"
_VAL = "identities held out from training, to choose settings without the test set"

# name, as users write it → protocol
PROTOCOLS: dict[str, RetrievalProtocol] = {
    protocol.name: protocol
    for protocol in (
        _sysu("sysu_all_single", _ALL, 1),
        _sysu("sysu_all_multi", _ALL, 10),
        _sysu("sysu_indoor_single", _INDOOR, 1),
        _sysu("sysu_indoor_multi", _INDOOR, 10),
        RetrievalProtocol("regdb_v2t", VISIBLE, INFRARED, _REGDB),
        RetrievalProtocol("regdb_t2v", INFRARED, VISIBLE, _REGDB),
        _llcm("llcm_v2n", VISIBLE, INFRARED),
        _llcm("llcm_n2v", INFRARED, VISIBLE),
        _llcm("llcm_n2v_multi", INFRARED, VISIBLE, draws_queries=True),
        _tracks("vcm_i2v", INFRARED, _VCM, roles_optional=True),
        _tracks("vcm_v2i", VISIBLE, _VCM, roles_optional=True, roles_exchanged=True),
        _tracks("bupt_i2v", INFRARED, _BUPT),
        _tracks("bupt_v2i", VISIBLE, _BUPT),
        RetrievalProtocol("orbench_n2v", INFRARED, VISIBLE, _ORBENCH),
        *(
            RetrievalProtocol(f"{name}_{way}", query, gallery, _OWN, **_CAMERAS_IF_ANY)
            for name in ("csv", "folder")
            for way, query, gallery in (("v2i", VISIBLE, INFRARED), ("i2v", INFRARED, VISIBLE))
        ),
        # one modality: the query's own image is left out with those of its camera
        RetrievalProtocol("veri", VISIBLE, VISIBLE, _VERI, drops_own_camera=True, by_role=True),
        *map(_vehicleid, TEST_LISTS),
        RetrievalProtocol("val_v2i", VISIBLE, INFRARED, _VAL, held_out=True),
        RetrievalProtocol("val_i2v", INFRARED, VISIBLE, _VAL, held_out=True),
        RetrievalProtocol("val_v2v", VISIBLE, VISIBLE, _VAL, drops_own_camera=True, held_out=True),
    )
}
# name of a group, such as sysu → its protocols
GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(name for name in PROTOCOLS if name.startswith(f"{group}_"))
    for group in ("sysu", "regdb", "csv", "vehicleid", "folder", "vcm", "bupt", "orbench")
}
GROUPS["llcm"] = ("llcm_v2n", "llcm_n2v")  # the third one is asked for by its name
GROUPS["val"] = ("val_v2i", "val_i2v")


def expand(
    names: Sequence[str], modalities: Collection[Modality] = tuple(Modality)
) -> list[RetrievalProtocol]:
    """Protocols by name or group, each once, in the order asked for.

    A name or group may end in ``+corrupted``: the same protocols, with corrupted images.

    Args:
        modalities: of the data set; the images of a single one search one another in ``val``.
    Raises:
        ValueError: unknown name; lists the choices.
    """
    expanded: dict[str, RetrievalProtocol] = {}
    groups = GROUPS | ({"val": ("val_v2v",)} if len(modalities) == 1 else {})
    for name in names:
        plain = plain_name(name)
        for member in groups.get(plain, (plain,)):
            if member not in PROTOCOLS:
                raise ValueError(
                    f"unknown protocol {name!r}; choose one of {sorted([*PROTOCOLS, *GROUPS])}, "
                    f"each also with {CORRUPTED} at its end"
                )
            protocol = PROTOCOLS[member]
            protocol = protocol if name == plain else with_corruption(protocol)
            expanded[protocol.name] = protocol
    return list(expanded.values())


def plain_name(name: str) -> str:
    """The name of a protocol without ``+corrupted`` at its end."""
    return name.removesuffix(CORRUPTED)


def with_corruption(protocol: RetrievalProtocol) -> RetrievalProtocol:
    """The protocol of the same rules, with corrupted images."""
    if protocol.corrupted:
        return protocol
    return replace(protocol, name=protocol.name + CORRUPTED, corrupted=True)


def with_draw(protocol: RetrievalProtocol, draw: str) -> RetrievalProtocol:
    """The protocol with its gallery drawn by another rule.

    Args:
        draw: ``auto`` for the protocol's own, ``official`` or ``seeded``; or ``given``, which every
            protocol has: the query and gallery images that a file of features lists.
    Raises:
        UsageError: the protocol does not have that draw; says which it has.
    """
    if draw in ("auto", protocol.draw):
        return protocol
    if draw in protocol.other_draws:
        return replace(protocol, draw=draw)
    if draw == "given":
        once: dict[str, Any] = {"shots": 0, "gallery_trials": 1, "test_list": 0}
        plain: dict[str, Any] = dict.fromkeys(
            ("roles_exchanged", "roles_optional", "undrawn_are_queries", "draws_queries"), False
        )
        return replace(protocol, draw=draw, by_role=True, **plain, **once)
    if protocol.draw == "all":
        remedy = "it searches every gallery image, so leave the draw out"
    elif protocol.shots > 1:
        single = ", ".join(name for name, one in PROTOCOLS.items() if draw in one.other_draws)
        remedy = f"draw its gallery by the {protocol.draw} rule, or ask for {single}, which have it"
    else:
        remedy = f"its gallery is drawn by the {protocol.draw} rule only"
    raise UsageError(f"gallery draw {draw!r} does not exist for {protocol.name}: {remedy}")
