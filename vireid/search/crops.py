"""Finds images that are no crop of one person: their shape or size is far from the model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vireid.data.images import opened
from vireid.data.pixels import orientation_of
from vireid.utils.threads import threaded_map

# How far height / width may be from the input's, as a factor. With so much background at the sides
# the rank-1 of the demo falls from 71 to 40 (benchmarks/crops.py).
SHAPE = 2.0
ENLARGED = 4  # at most, by the model's input: then the demo's rank-1 is 17
REDUCED = 8  # at most: crops are seldom larger, whole photos are (it costs no accuracy)
CROP_OR_DETECT = "crop the images, or add --detect"  # the remedy in tools
UPRIGHT = (1, 2, 3, 4)  # EXIF's orientations that leave width and height as they are


@dataclass(frozen=True, slots=True)
class UnusualImages:
    """Positions of images whose height / width or height is far from that of a model's input.

    Args:
        total: images that were looked at.
        input_size: (height, width) of the model's input, pixels.
        wide, narrow: height / width is less than half, more than twice the input's.
        small, large: neither, but the height is less than a quarter, more than 8 times the input's.
    """

    total: int
    input_size: tuple[int, int]
    wide: tuple[int, ...] = ()
    narrow: tuple[int, ...] = ()
    small: tuple[int, ...] = ()
    large: tuple[int, ...] = ()

    @property
    def positions(self) -> tuple[int, ...]:
        """Of all of them, ascending."""
        return tuple(sorted((*self.wide, *self.narrow, *self.small, *self.large)))

    def warning(self, names: Sequence[object], remedy: str = CROP_OR_DETECT) -> str:
        """One line for people; empty if no image is unusual.

        Args:
            names: of all images that were looked at, in their order.
            remedy: what to do.
        """
        if not self.positions:
            return ""
        height, width = self.input_size
        least, most = height / width / SHAPE, height / width * SHAPE
        kinds = (
            (self.wide, "wider than high" if least == 1 else f"height / width below {least:.2g}"),
            (self.narrow, f"height / width above {most:.2g}"),
            (self.small, f"lower than {-(-height // ENLARGED)} pixels"),
            (self.large, f"higher than {height * REDUCED} pixels"),
        )
        expected = f"as the model expects ({height} × {width}): {remedy}"
        first = names[self.positions[0]]
        if self.total == 1:
            found = next(what for places, what in kinds if places)
            return f"{first} may not be a crop of one person ({found}), {expected}"
        found = ", ".join(f"{len(places)} {what}" for places, what in kinds if places)
        return (
            f"{len(self.positions)} of {self.total} images may not be crops of one person "
            f"({found}), {expected}; the first: {first}"
        )


def unusual(sizes: Sequence[tuple[int, int] | None], input_size: tuple[int, int]) -> UnusualImages:
    """Which images are no crop of one person, by their sizes.

    Args:
        sizes: (width, height) of upright images, pixels; None: not known, and not judged.
        input_size: (height, width) of the model's input, pixels.
    """
    height, width = input_size
    found: dict[str, list[int]] = {"wide": [], "narrow": [], "small": [], "large": []}
    for position, size in enumerate(sizes):
        if size is None:
            continue
        stretch = size[1] * width / (size[0] * height)  # of height / width, against the input's
        if stretch * SHAPE < 1:
            found["wide"].append(position)
        elif stretch > SHAPE:
            found["narrow"].append(position)
        elif size[1] * ENLARGED < height:
            found["small"].append(position)
        elif size[1] > height * REDUCED:
            found["large"].append(position)
    kinds = {kind: tuple(positions) for kind, positions in found.items()}
    return UnusualImages(len(sizes), input_size, **kinds)


def image_sizes(
    paths: Sequence[Path], *, progress: bool | None = None
) -> list[tuple[int, int] | None]:
    """(width, height) of images as people see them, in pixels, from the files' headers alone.

    Returns:
        in the order of the paths; None for files that are missing or no images.
    """
    return list(threaded_map(_upright_size, paths, doing="image sizes", progress=progress))


def _upright_size(path: Path) -> tuple[int, int] | None:
    try:
        with opened(path) as image:
            turned = orientation_of(image) not in UPRIGHT
            return (image.height, image.width) if turned else image.size
    except Exception:  # whoever decodes the image says what is wrong with it
        return None
