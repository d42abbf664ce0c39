"""What the project knows about one data set, and what a check of its lists finds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vireid.data.datasets.named_validation import hold_out_named
from vireid.structures import Modality, Splits, is_junk


class Reader(Protocol):
    """Reads the lists and folders of a data set; opens no image.

    Further keyword arguments are those of ``DatasetInfo.options``; they have defaults.

    Args:
        root: the data set's folder.
        split: ``train+val`` trains on the validation identities, too; ``train`` keeps them apart.
        split_trial: which train/test split, from 1; ignored by data sets with one split.
    Raises:
        DataError: a folder, a list or an image is missing or malformed.
    """

    def __call__(
        self, root: str | Path, *, split: str = "train+val", split_trial: int = 1
    ) -> Splits: ...


@dataclass(slots=True)
class ListCheck:
    """What the lists and folders of a data set show before any image is opened.

    Args:
        splits: every train/test split that could be read.
        found: counts by their published names, which end at a comma.
        problems: one message for each mistake; counts that differ are not among them.
        notes: one message for whatever is unusual but no mistake.
    """

    splits: list[Splits]
    found: dict[str, int]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A data set: how it is read, what was published about it, and how it is checked.

    Args:
        name: value of ``DATA.DATASET``.
        load: turns the folder into splits.
        tree: layout of the folder, for error messages.
        where_to_get: whom to ask for the data, for error messages.
        published: counts of the whole set by their names in ``check_lists``;
            ``training identities`` is also the number of classes before the data are read.
        modalities: that training and test images have.
        usual_split: ``split`` if ``DATA.SPLIT`` is empty.
        image_folders: glob patterns of folders that hold only images; if there are none, the
            folders of the images that were read are searched for other files.
        test_cameras: cameras that took test images, by modality.
        check_lists: (root, whether it is a reduced set) → what the lists show; None counts
            identities and images of the only split.
        tracks: whether its records are tracks, not single images.
        options: further arguments of ``load``, and the options ``DATA.<name>`` that set them.
        related: names of data sets that may show the same people or places: whether they do is
            not known.
    """

    name: str
    load: Reader
    tree: str
    where_to_get: str
    published: Mapping[str, int] = field(default_factory=dict)
    modalities: Sequence[Modality] = tuple(Modality)
    usual_split: str = "train+val"
    image_folders: Sequence[str] = ()
    test_cameras: Mapping[Modality, Sequence[int]] = field(default_factory=dict)
    check_lists: Callable[[str | Path, bool], ListCheck] | None = None
    tracks: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    related: Sequence[str] = ()

    def read(
        self,
        root: str | Path,
        values: Mapping[str, Any],
        *,
        split: str = "",
        split_trial: int = 1,
    ) -> Splits:
        """Calls ``load``.

        Args:
            values: of options by name, of which those that this data set has are passed on.
            split: empty for the usual one. Where it is ``train`` and ``values`` has ``VAL_IDS``,
                that file names the validation identities, not the data set.
        Raises:
            DataError: see ``load`` and ``hold_out_named``.
        """
        own: dict[str, Any] = {
            argument: values[name] for argument, name in self.options.items() if name in values
        }
        split = split or self.usual_split
        named = values.get("VAL_IDS", "") if split == "train" else ""
        asked = "train+val" if named else split
        splits = self.load(root, split=asked, split_trial=split_trial, **own)
        return hold_out_named(splits, named) if named else splits


def count_images(splits: Splits) -> dict[str, int]:
    """Identities and images of each modality, of the training and of the test part."""
    counts = {}
    for part, records in (("training", splits.train), ("test", splits.test)):
        counts[f"{part} identities"] = len({r.pid for r in records if not is_junk(r.pid)})
        for modality in Modality:
            found = sum(record.modality is modality for record in records)
            counts[f"{part} {modality.name.lower()} images"] = found
    return counts
