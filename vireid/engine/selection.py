"""Whether validation scores can choose an epoch."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from vireid.structures import ImageRecord, Modality

log = logging.getLogger(__name__)

# Scores of queries lie in [0, 1], so that their standard deviation is 0.5 at most. Queries of one
# identity are alike. So the mean over n identities has a standard error of up to 0.5 / √n: with 25
# identities 10 points, more than the epochs of a training's last half usually differ.
WIDEST = 0.10


def standard_error(identities: int) -> float:
    """The largest standard error that a mean score over independent identities can have.

    >>> standard_error(25)
    0.1
    """
    return 0.5 / math.sqrt(identities)


def warn_of_few_identities(select: str, records: Sequence[ImageRecord]) -> None:
    """Warns where ``SOLVER.SELECT best`` decides by too few validation identities.

    Args:
        select: ``SOLVER.SELECT``.
        records: validation images.
    """
    if select != "best":
        return
    seen = {modality: {r.pid for r in records if r.modality is modality} for modality in Modality}
    count = len(set.intersection(*seen.values()))
    if 0 < count and standard_error(count) > WIDEST:
        enough = math.ceil((0.5 / WIDEST) ** 2)
        log.warning(
            "SOLVER.SELECT best chooses an epoch by the scores of %d validation %s, whose standard "
            "error is up to %.0f points: chance may choose. SOLVER.SELECT last scores the last "
            "epoch; with %d identities or more the error is %.0f points at most",
            count,
            "identity" if count == 1 else "identities",
            100 * standard_error(count),
            enough,
            100 * WIDEST,
        )
