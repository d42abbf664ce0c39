"""Which corruption an image gets: a function of a seed and the image's path alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vireid.data.corruptions import KINDS, SEVERITIES, corrupt
from vireid.structures import Modality


@dataclass(frozen=True, slots=True)
class DrawnCorruption:
    """One image's corruption.

    Args:
        kind: its name.
        severity: 1 to 5.
        seed: of the generator for its noise.
    """

    kind: str
    severity: int
    seed: int


@dataclass(frozen=True, slots=True)
class CorruptionRule:
    """How the images of a test are corrupted: each by one kind and one severity.

    Args:
        modalities: whose images are corrupted.
        kinds: to draw from; empty for all of an image's modality.
        severity: of every image; 0: drawn from 1 to 5.
        seed: of the draw.
        size: (height, width) that images are resized to before they are corrupted; None: they are
            corrupted as they are.
    """

    modalities: frozenset[Modality] = frozenset({Modality.VISIBLE})
    kinds: tuple[str, ...] = ()
    severity: int = 0
    seed: int = 0
    size: tuple[int, int] | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """What an entry of results.json says about its images."""
        names = [modality.name.lower() for modality in sorted(self.modalities)]
        return {
            "side": names[0] if len(names) == 1 else "both",
            "kinds": list(dict.fromkeys(kind for m in Modality for kind in self.kinds_of(m))),
            "severities": [self.severity] if self.severity else list(SEVERITIES),
            "draw": "one kind and one severity per image, by seed and path",
            "seed": self.seed,
            "resized_first": self.size is not None and list(self.size),
        }

    def kinds_of(self, modality: Modality) -> tuple[str, ...]:
        """The kinds that images of a modality may get; empty where they stay clean."""
        if modality not in self.modalities:
            return ()
        return tuple(kind for kind in KINDS[modality] if kind in self.kinds or not self.kinds)

    def draw(self, path: str, modality: Modality) -> DrawnCorruption:
        """The corruption of one image that does not stay clean.

        It is equal on every machine and in every process.

        Args:
            path: relative to the data set's root, ``/``-separated.
        """
        text = f"{self.seed}:{path}".encode()
        digest = hashlib.blake2b(text, digest_size=32).digest()
        which, how_much = (int.from_bytes(digest[k : k + 8], "little") for k in (0, 8))
        kinds = self.kinds_of(modality)
        severity = self.severity or SEVERITIES[how_much % len(SEVERITIES)]
        seed = int.from_bytes(digest[16:], "little")
        return DrawnCorruption(kinds[which % len(kinds)], severity, seed)

    def apply(self, image: Image.Image, path: str, modality: Modality) -> Image.Image:
        """An RGB image as it is tested: corrupted, unless its modality stays clean."""
        if not self.kinds_of(modality):
            return image
        drawn = self.draw(path, modality)
        rng = np.random.default_rng(drawn.seed)
        is_infrared = modality is Modality.INFRARED
        if self.size:
            image = image.resize(self.size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        corrupted = corrupt(pixels, drawn.kind, drawn.severity, rng, one_channel=is_infrared)
        return Image.fromarray(corrupted)
