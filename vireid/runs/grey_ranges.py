"""What ``INPUT.VISIBLE.RANGE auto`` and ``INPUT.INFRARED.RANGE auto`` become in a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from vireid.config import apply_overrides
from vireid.config.load import flatten
from vireid.config.schema import with_found
from vireid.config.values import override_text
from vireid.data.build import pixel_rules
from vireid.data.findings import few_levels
from vireid.data.grey_range import auto_range
from vireid.data.images import ImageHeader, require_readable
from vireid.engine.checkpoint import saved_options
from vireid.structures import ImageRecord, Modality, Splits

log = logging.getLogger(__name__)

KEYS = {modality: f"INPUT.{modality.name}.RANGE" for modality in Modality}


def training_ranges(
    cfg: CfgNode,
    splits: Splits,
    headers: Iterable[ImageHeader],
    checkpoint: Mapping[str, Any] | None = None,
) -> tuple[list[str], list[str]]:
    """What every ``auto`` becomes: ``KEY``, ``VALUE``, …, and lines about how that was found.

    Args:
        headers: of all images; deep ones (more than eight bits) with their values.
        checkpoint: what training continues from; its ranges stay.
    """
    saved = {} if checkpoint is None else saved_options(checkpoint)
    known = with_found(flatten(cfg), saved)
    seen = {header.path: header for header in headers}
    ranges, lines = [], []
    for modality, key in KEYS.items():
        if known[key] != "auto":
            ranges += [key, override_text(known[key])]
        elif found := auto_range(modality, [splits.train, splits.val + splits.test], seen):
            ranges += [key, override_text(list(found.limits))]
            lines.append(f"{key} auto: {found}")
    return ranges, lines


def with_ranges(cfg: CfgNode, splits: Splits, records: Sequence[ImageRecord]) -> CfgNode:
    """The configuration with a range for each modality of which some records are deep.

    Where the run has none (it was trained on eight bits, or by version 0.1), it is found from the
    training images of the set that is scored or, if they have eight bits, from ``records``.

    Raises:
        DataError: an image cannot be read.
    """
    overrides = []
    for modality, key in KEYS.items():
        own = [record for record in records if record.modality is modality]
        if flatten(cfg)[key] != "auto" or not own:
            continue
        seen = _headers(splits, own)
        if any(header.deep for header in seen.values()):
            train = [record for record in splits.train if record.modality is modality]
            seen |= _headers(splits, train)
            found = auto_range(modality, [train, own], seen)
            assert found is not None
            overrides += [key, override_text(list(found.limits))]
            log.warning("%s is auto in this run, and becomes: %s", key, found)
    return apply_overrides(cfg, overrides) if overrides else cfg


def warn_of_few_levels(cfg: CfgNode, root: Path, records: Sequence[ImageRecord]) -> None:
    """Says so if a run's range does not fit the images, such as degrees to a range of counts.

    Looks at some images of each modality that has a range.
    """
    for modality, rule in pixel_rules(cfg).items():
        paths = [record.path for record in records if record.modality is modality]
        line = few_levels(root, paths, modality, rule) if rule.range is not None else ""
        if line:
            shown = override_text(flatten(cfg)[KEYS[modality]])
            log.warning("%s, at %s %s", line, KEYS[modality], shown)


def _headers(splits: Splits, records: Sequence[ImageRecord]) -> dict[str, ImageHeader]:
    found = require_readable(splits.root, [record.path for record in records])
    return {header.path: header for header in found}
