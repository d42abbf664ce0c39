"""Images from disk as uint8 tensors, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from vireid.data.images import read_image
from vireid.errors import DataError
from vireid.structures import Batch, ImageRecord, Modality


class SampleKey(NamedTuple):
    """Which image to read, and where in which epoch it stands: the seed of its augmentation."""

    index: int
    epoch: int = 0
    position: int = 0
    view: int = 0  # 1: a visible image's second view


class Sample(NamedTuple):
    image: Tensor  # (3, H, W) uint8
    label: int
    is_infrared: bool
    index: int


class ImageSource(Protocol):
    """Images by the position of their record, resized already."""

    def __getitem__(self, index: int, /) -> Image.Image: ...


class ImageDataset(Dataset):
    """Records → samples; reading and augmentation are functions of the key alone.

    Args:
        root: folder that the records' paths are relative to.
        labels: (len(records),) what each record's label is.
        transforms: per modality, PIL image → (3, H, W) uint8.
        second_view: of a visible image whose key asks for view 1.
        seed: with the key's epoch, position and view it seeds torch's generator for the transform.
        cache: where the images are read instead of from their files.
    """

    def __init__(
        self,
        root: Path,
        records: Sequence[ImageRecord],
        labels: Sequence[int],
        transforms: Mapping[Modality, Callable[[Image.Image], Tensor]],
        *,
        second_view: Callable[[Image.Image], Tensor] | None = None,
        seed: int = 0,
        cache: ImageSource | None = None,
    ) -> None:
        self.root, self.records, self.labels = root, records, labels
        self.transforms, self.second_view = transforms, second_view
        self.seed, self.cache = seed, cache

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: SampleKey | int) -> Sample | DataError:
        """An unreadable image is returned as its error: raised inside a loader process, it would
        reach the user wrapped in that process's traceback."""
        key = SampleKey(*key) if isinstance(key, tuple) else SampleKey(key)
        record = self.records[key.index]
        try:
            if self.cache is not None:
                image = self.cache[key.index]
            else:
                image = read_image(self.root / record.path)
        except DataError as error:
            return error
        transform = self.second_view if key.view else self.transforms[record.modality]
        assert transform is not None, "view 1 asked for, but there is no transform for it"
        with _torch_seeded(self.seed, key.epoch, key.position, *([key.view] if key.view else [])):
            tensor = transform(image)
        is_infrared = record.modality is Modality.INFRARED
        return Sample(tensor, self.labels[key.index], is_infrared, key.index)


@contextmanager
def _torch_seeded(*entropy: int) -> Iterator[None]:
    """Torch's CPU generator seeded by ``entropy`` inside, and as it was before afterwards.

    Not ``torch.manual_seed``, which would reseed the GPU's generators too.
    """
    state = torch.get_rng_state()
    high, low = np.random.SeedSequence(entropy).generate_state(2).tolist()
    torch.default_generator.manual_seed(high << 32 | low)
    try:
        yield
    finally:
        torch.set_rng_state(state)


def collate(samples: Sequence[Sample | DataError]) -> Batch | DataError:
    """Stacks samples; the first error takes the place of the whole batch."""
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
    images, labels, is_infrared, indices = zip(*samples, strict=True)
    return Batch(
        torch.stack(images), torch.tensor(labels), torch.tensor(is_infrared), torch.tensor(indices)
    )


def batches(loader: Iterable[Batch | DataError]) -> Iterator[Batch]:
    """The loader's batches; an error met in a loader process is raised here."""
    iterator = iter(loader)
    try:
        for batch in iterator:
            if isinstance(batch, DataError):
                raise batch
            yield batch
    except (DataError, KeyboardInterrupt):
        end_processes(iterator)
        raise


def end_processes(iterator: object) -> None:
    """Ends a loader's processes now.

    Left to the interpreter's exit, they are killed, and torch takes that for a failure.

    Args:
        iterator: of a DataLoader, with or without processes; None does nothing.
    """
    end = getattr(iterator, "_shutdown_workers", None)  # torch offers no public way
    if end is not None:
        end()
