"""Which exit and embedding ``TEST.*`` selects, and whether any loss trained them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from yacs.config import CfgNode

from vireid.config.validate import trained_exits
from vireid.errors import UsageError
from vireid.evaluation.protocols import RetrievalProtocol

log = logging.getLogger(__name__)


def gallery_exit(cfg: CfgNode) -> str:
    """The exit of the gallery's images: ``TEST.GALLERY_EXIT``, or that of the queries."""
    return cfg.TEST.GALLERY_EXIT or cfg.TEST.EXIT


def exit_names(cfg: CfgNode) -> str:
    """The exit, or ``<queries'> / <gallery's>``."""
    query, gallery = cfg.TEST.EXIT, gallery_exit(cfg)
    return query if gallery == query else f"{query} / {gallery}"


def embedding_name(cfg: CfgNode) -> str:
    """``TEST.EMBED``; ``global`` for an exit or a model without part features."""
    global_only = cfg.TEST.EXIT != "deep" or not cfg.MODEL.MGIM.ENABLED
    return "global" if global_only else cfg.TEST.EMBED


def require_one_exit(cfg: CfgNode) -> None:
    """Raises ``UsageError`` if the gallery has another exit: a file holds only one."""
    if gallery_exit(cfg) != cfg.TEST.EXIT:
        raise UsageError(
            f"TEST.GALLERY_EXIT={cfg.TEST.GALLERY_EXIT!r}: a file holds one exit's features, here "
            f"TEST.EXIT {cfg.TEST.EXIT}; set TEST.GALLERY_EXIT '' and extract each exit by itself"
        )


def require_two_modalities(cfg: CfgNode, protocols: Sequence[RetrievalProtocol]) -> None:
    """Raises ``UsageError`` for two exits and a protocol within one modality."""
    within = [p.name for p in protocols if p.query_modality is p.gallery_modality]
    if within and gallery_exit(cfg) != cfg.TEST.EXIT:
        raise UsageError(
            f"TEST.GALLERY_EXIT={cfg.TEST.GALLERY_EXIT!r}: {within[0]} searches images of the "
            f"queries' modality, which all leave the model at TEST.EXIT={cfg.TEST.EXIT!r}: set "
            "TEST.GALLERY_EXIT ''"
        )


def warn_of_untrained(cfg: CfgNode) -> None:
    """Warns of exits, or ``parts``, that are scored although no loss term trains them."""
    blocks, trained = embedding_name(cfg).split("+"), trained_exits(cfg)
    exits = dict.fromkeys((cfg.TEST.EXIT, gallery_exit(cfg))) if "global" in blocks else ()
    for name in (*exits, *blocks):
        if not trained.get(name, True):
            log.warning("%s is scored (TEST.*), but the weights of all its losses are 0", name)
