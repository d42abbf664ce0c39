"""Which images show people that a protocol may look for.

Market-1501 numbers two kinds of images that are of no identity: -1 are junk, detections of no use,
and 0 are distractors, other people who only make a gallery larger. Source: Zheng et al., Scalable
Person Re-identification, ICCV 2015, §3.
"""

from __future__ import annotations

import numpy as np

from vireid.structures import DISTRACTOR, FeatureSet, Role, is_junk


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
