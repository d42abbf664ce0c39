"""Images from disk as uint8 tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from vireid.data.cache import ImageCache
from vireid.data.corruptions.draw import CorruptionRule
from vireid.data.images import read_image
from vireid.data.pixels import PLAIN, PixelRule
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality


@dataclass(frozen=True, slots=True)
class SampleKey:
    """Which image to read, and its place in the epoch, which seeds its augmentation.

    A track is divided into ``segments`` of equal length; the image is a random frame of the one
    numbered ``segment``, from 0.
    """

    index: int
    epoch: int = 0
    position: int = 0
    view: int = 0  # 1: a visible image's second view
    segment: int = 0
    segments: int = 1


@dataclass(frozen=True, slots=True)
class LabelledImage:
    image: Tensor  # (3, H, W) uint8
    label: int
    is_infrared: bool
    index: int  # of its record


class ImageDataset(Dataset):
    """Labelled images of records; reading and augmentation are functions of the key alone.

    Args:
        root: folder that the records' paths are relative to.
        labels: (len(records),) label of each record.
        transforms: per modality, PIL image → (3, H, W) uint8.
        second_view: of a visible image whose key asks for view 1.
        grey: of visible images in the first ``grey_epochs`` epochs, in both views.
        seed: with the key's epoch, position and view it seeds torch's generator for the transform.
        cache: resized images to use instead of the files.
        rules: per modality, how pixels become RGB; none: as those of eight bits.
        corruption: of images from files, before the transform.
    """

    def __init__(
        self,
        root: Path,
        records: Sequence[ImageRecord],
        labels: Sequence[int],
        transforms: Mapping[Modality, Callable[[Image.Image], Tensor]],
        *,
        second_view: Callable[[Image.Image], Tensor] | None = None,
        grey: Callable[[Image.Image], Tensor] | None = None,
        grey_epochs: int = 0,
        seed: int = 0,
        cache: ImageCache | None = None,
        rules: Mapping[Modality, PixelRule] | None = None,
        corruption: CorruptionRule | None = None,
    ) -> None:
        assert cache is None or corruption is None, "the cache holds resized images"
        self.root, self.records, self.labels = root, records, labels
        self.transforms, self.second_view = transforms, second_view
        self.grey, self.grey_epochs = grey, grey_epochs
        self.seed, self.cache = seed, cache
        self.rules = rules or dict.fromkeys(Modality, PLAIN)
        self.corruption = corruption
        # position in the cache of each record's first image
        self._starts = np.cumsum([0, *(len(record.paths) for record in records)])

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: SampleKey | int) -> LabelledImage | DataError:
        """An image, or the error of an unreadable one.

        Raised inside a loader process, the error would be shown with that process's traceback.
        """
        key = SampleKey(key) if isinstance(key, int) else key
        record = self.records[key.index]
        frame = self._frame(key, len(record.paths))
        try:
            if self.cache is None:
                image = read_image(self.root / record.paths[frame], self.rules[record.modality])
            else:
                image = self.cache[int(self._starts[key.index]) + frame]
        except DataError as error:
            return error
        if self.corruption is not None:
            image = self.corruption.apply(image, record.paths[frame], record.modality)
        transform = self._transform(key, record.modality)
        assert transform is not None, "view 1 asked for, but there is no transform for it"
        entropy = [self.seed, key.epoch, key.position, *([key.view] if key.view else [])]
        high, low = np.random.SeedSequence(entropy).generate_state(2).tolist()
        with torch.random.fork_rng(devices=[]):  # the caller's state comes back
            # Not torch.manual_seed, which would reseed the GPU's generators too.
            torch.default_generator.manual_seed(high << 32 | low)
            tensor = transform(image)
        is_infrared = record.modality is Modality.INFRARED
        return LabelledImage(tensor, self.labels[key.index], is_infrared, key.index)

    def _transform(
        self, key: SampleKey, modality: Modality
    ) -> Callable[[Image.Image], Tensor] | None:
        if modality is Modality.VISIBLE and key.epoch < self.grey_epochs:
            return self.grey
        return self.second_view if key.view else self.transforms[modality]

    def _frame(self, key: SampleKey, count: int) -> int:
        """Number of the frame to read of a track of ``count`` frames; both views show the same."""
        first = key.segment * count // key.segments
        length = max((key.segment + 1) * count // key.segments - first, 1)
        if length == 1:
            return first
        entropy = [self.seed, key.epoch, key.position]
        return first + int(np.random.SeedSequence(entropy).generate_state(3)[2]) % length
