"""RegDB: 412 identities, visible and thermal camera side by side (Nguyen et al., Sensors 2017)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from vireid.data.layout import hold_out, missing_parts, require_root
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits

TREE = """\
  ROOT/Visible/<identity>/<image>.bmp   ROOT/Thermal/<identity>/<image>.bmp
  ROOT/idx/{train,test}_{visible,thermal}_{1..10}.txt   lines: Visible/285/male_back_v_1.bmp 0"""
WHERE = "RegDB is given on request by its authors: http://dm.dongguk.edu/link.html"
KINDS = {"visible": Modality.VISIBLE, "thermal": Modality.INFRARED}
FOLDERS = {"Visible": Modality.VISIBLE, "Thermal": Modality.INFRARED}
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
        [r for kind in KINDS for r in _read_list(root, names[part, kind], KINDS[kind])]
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


def _read_list(root: Path, name: str, modality: Modality) -> list[ImageRecord]:
    try:
        lines = (root / name).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {root / name}: {error}") from error
    records = [
        _parse(line, f"{root / name}, line {i}") for i, line in enumerate(lines, 1) if line.strip()
    ]
    if not records:
        raise DataError(f"{root / name} lists no image")
    strangers = [record.path for record in records if record.modality is not modality]
    if strangers:
        raise DataError(
            f"{root / name} must list {modality.name.lower()} images only, but lists {strangers[0]}"
        )
    missing = [record.path for record in records if not (root / record.path).is_file()]
    if missing:
        raise DataError(
            f"{name} lists {len(missing)} images that are not under {root}, the first: "
            + ", ".join(missing[:3])
        )
    return records


def _parse(line: str, where: str) -> ImageRecord:
    """``Visible/285/male_back_v_05528_285.bmp 0``; the identity is the folder's number."""
    path = PurePosixPath(line.rpartition(" ")[0].strip().replace("\\", "/"))
    if len(path.parts) != 3 or path.parts[0] not in FOLDERS or not path.parts[1].isdecimal():
        raise DataError(
            f"{where}: expected '<Visible|Thermal>/<identity>/<image> <label>', got {line!r:.100}"
        )
    modality = FOLDERS[path.parts[0]]
    return ImageRecord(str(path), int(path.parts[1]), int(modality) + 1, modality)
