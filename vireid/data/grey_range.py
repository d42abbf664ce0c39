"""The range of a modality's images of more than eight bits, found from the images themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vireid.data.images import ImageHeader
from vireid.data.pixels import ValueRange
from vireid.structures import ImageRecord, Modality

WHITE = {True: (255, 65_535), False: (1, 255)}  # usual values of white, of whole numbers or not
FILLED = 0.5  # share of a usual range that values must fill: sixteen bits need the sixteenth


@dataclass(frozen=True, slots=True)
class FoundRange:
    """What ``auto`` becomes.

    Args:
        limits: values that become black and white.
        images: how many it was found from.
        lowest, highest: the images whose values are the limits, or next to them.
    """

    limits: tuple[float, float]
    images: int
    lowest: str
    highest: str

    def __str__(self) -> str:
        low, high = self.limits
        many = "1 image" if self.images == 1 else f"{self.images:,} images"
        return (
            f"{low:g} becomes black and {high:g} white, found from {many} of more than eight bits "
            f"(lowest in {self.lowest}, highest in {self.highest})"
        )


def auto_range(
    modality: Modality,
    groups: Iterable[Sequence[ImageRecord]],
    headers: Mapping[str, ImageHeader],
) -> FoundRange | None:
    """The range of the first group of records that has deep images of the modality.

    Args:
        headers: by path.
    """
    for records in groups:
        paths = [path for r in records if r.modality is modality for path in r.paths]
        values = {path: headers[path].values for path in paths if path in headers}
        deep = {path: one for path, one in values.items() if one is not None}
        if deep:
            return find_range(deep)
    return None


def find_range(values: Mapping[str, ValueRange]) -> FoundRange:
    """One range for all images of a modality.

    Of every image the 0.1 % lowest and highest pixels are left out, and of all images the 0.1 %
    lowest and highest ones; so isolated hot or dead pixels do not count. The range spans the rest,
    unless all values fit a usual one: whole numbers up to 255 are eight bits in a wider file;
    whole numbers up to 65,535, or fractions up to 1 or 255, that fill half of that, keep it.

    Args:
        values: of the images of more than eight bits, by path; at least one.
    """
    lows = sorted((one.low, path) for path, one in values.items())
    highs = sorted((one.high, path) for path, one in values.items())
    left_out = len(values) // 1000
    low, lowest = lows[left_out]
    high, highest = highs[-1 - left_out]
    whole = all(one.whole for one in values.values())
    least = min(one.least for one in values.values())
    most = max(one.most for one in values.values())
    limits = _outward(low, high, whole)
    for white in WHITE[whole]:
        eight_bits = whole and white == 255
        if 0 <= least <= most <= white and (eight_bits or high - low >= FILLED * white):
            limits = (0.0, float(white))
            break
    return FoundRange(limits, len(values), lowest, highest)


def _outward(low: float, high: float, whole: bool) -> tuple[float, float]:
    """Numbers that can be read; a single value becomes black."""
    if high <= low:
        high = low + 1
    if whole:
        return float(low), float(high)
    short = float(f"{low:.6g}"), float(f"{high:.6g}")
    return short if short[0] < short[1] else (low, high)
