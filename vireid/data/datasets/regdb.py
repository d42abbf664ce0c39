"""RegDB: 412 identities, visible and thermal camera side by side (Nguyen et al., Sensors 2017)."""

from __future__ import annotations

from pathlib import Path

from vireid.data.datasets.files import check_apart, hold_out, listed_path, read_lists, require_root
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
    lists = {
        part: {f"idx/{part}_{kind}_{split_trial}.txt": modality for kind, modality in KINDS.items()}
        for part in ("train", "test")
    }
    root = require_root(root, TREE, WHERE, [*FOLDERS, *lists["train"], *lists["test"]])
    listed, test = (read_lists(root, names, _parse) for names in lists.values())
    pids = {"training": {r.pid for r in listed}, "test": {r.pid for r in test}}
    check_apart(pids, f"{root}, split {split_trial}")
    train, val = hold_out(listed, split or USUAL_SPLIT)
    return Splits(root=root, train=train, val=val, test=tuple(test), split_trial=split_trial)


def _parse(line: str, where: str) -> ImageRecord:
    """``Visible/285/male_back_v_05528_285.bmp 0``; the identity is the folder's number."""
    path = listed_path(line, FOLDERS, where)
    modality = FOLDERS[path.parts[0]]
    return ImageRecord(str(path), int(path.parts[1]), int(modality) + 1, modality)
