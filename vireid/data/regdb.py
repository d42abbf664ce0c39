"""RegDB: 412 identities, visible and thermal camera side by side (Nguyen et al., Sensors 2017)."""

from __future__ import annotations

from pathlib import Path

from vireid.data.layout import hold_out, listed_path, missing_parts, read_list, require_root
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits

TREE = """\
  ROOT/Visible/<identity>/<image>.bmp   ROOT/Thermal/<identity>/<image>.bmp
  ROOT/idx/{train,test}_{visible,thermal}_{1..10}.txt   lines: Visible/285/male_back_v_1.bmp 0"""
WHERE = "RegDB is given on request by its authors: http://dm.dongguk.edu/link.html"
KINDS = {"visible": Modality.VISIBLE, "thermal": Modality.INFRARED}
FOLDERS = {"Visible": Modality.VISIBLE, "Thermal": Modality.INFRARED}
TRIALS = range(1, 11)
EXPECTED = {  # the first two of all splits together, the others of each
    "splits": 10,
    "identities": 412,
    "training identities": 206,
    "training visible images": 2_060,
    "training infrared images": 2_060,
    "test identities": 206,
    "test visible images": 2_060,
    "test infrared images": 2_060,
}
USUAL_SPLIT = "train+val"  # RegDB names no validation identities


def load(root: str | Path, *, split: str = "", split_trial: int = 1) -> Splits:
    """Reads one of the ten train/test splits; the images themselves are not opened.

    Args:
        root: folder that holds ``Visible``, ``Thermal`` and ``idx``.
        split: ``train+val`` (usual) trains on every training identity; ``train`` keeps every
            fifth of them apart for validation.
        split_trial: 1–10.
    Raises:
        DataError: a list or an image is missing, or training and test identities overlap.
    """
    root = require_root(root, TREE, WHERE)
    names = {
        (part, kind): f"idx/{part}_{kind}_{split_trial}.txt"
        for part in ("train", "test")
        for kind in KINDS
    }
    missing_parts(root, [*FOLDERS, *names.values()], TREE)
    train, test = (
        [r for kind in KINDS for r in read_list(root, names[part, kind], KINDS[kind], _parse)]
        for part in ("train", "test")
    )
    train_pids = {record.pid for record in train}
    common = sorted(train_pids & {record.pid for record in test})
    if common:
        raise DataError(f"{root}: split {split_trial} trains and tests on identities {common[:5]}")
    held_out = hold_out(list(train_pids)) if (split or USUAL_SPLIT) == "train" else set()
    return Splits(
        root=root,
        train=tuple(record for record in train if record.pid not in held_out),
        val=tuple(record for record in train if record.pid in held_out),
        test=tuple(test),
        split_trial=split_trial,
    )


def _parse(line: str, where: str) -> ImageRecord:
    """``Visible/285/male_back_v_05528_285.bmp 0``; the identity is the folder's number."""
    path = listed_path(line, FOLDERS, where)
    modality = FOLDERS[path.parts[0]]
    return ImageRecord(str(path), int(path.parts[1]), int(modality) + 1, modality)
