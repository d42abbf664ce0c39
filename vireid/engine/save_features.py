"""A trained run's features of its data set, in a file."""

from __future__ import annotations

from pathlib import Path

from yacs.config import CfgNode

from vireid.data.build import build_splits, prepare_data
from vireid.data.layout import fingerprint
from vireid.engine.device import resolve_device, use_threads
from vireid.engine.features import features_of, gallery_exit
from vireid.engine.score import check_unseen, read_trained, trained_model, warn_of_untrained
from vireid.errors import DataError, UsageError
from vireid.evaluation.files import write_features
from vireid.evaluation.output import require_target

SPLITS = ("test", "val", "train")


def save_features(cfg: CfgNode, *, run: Path, split: str, out: Path) -> None:
    """Writes features.npz of one split's images, in the order in which the data set is read.

    Args:
        cfg: the run's configuration, with what the user changed.
        split: ``test``, ``val`` or ``train``.
    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another network.
        DataError: the split holds no image, or the network was trained on another one.
        UsageError: ``out`` cannot be written, or features of two exits were asked for.
    """
    if gallery_exit(cfg) != cfg.TEST.EXIT:
        raise UsageError(
            f"TEST.GALLERY_EXIT={cfg.TEST.GALLERY_EXIT!r}: a file holds one exit's features, here "
            f"TEST.EXIT {cfg.TEST.EXIT}; set TEST.GALLERY_EXIT '' and extract each exit by itself"
        )
    require_target(out)
    if out.exists() and out.suffix != ".npz":
        raise UsageError(f"{out} exists and is no file of features: name another one with --out")
    path, checkpoint = read_trained(cfg, run)
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
    prepare_data(cfg)
    splits = build_splits(cfg)
    check_unseen(cfg, checkpoint, [], splits, data=fingerprint(splits), path=path)
    records = {"test": splits.test, "val": splits.val, "train": splits.train}[split]
    if not records:
        raise DataError(f"{splits.root}: no {split} image; DATA.SPLIT train holds some out")
    warn_of_untrained(cfg)
    model = trained_model(cfg, checkpoint, path).to(device)
    features = features_of(cfg, model, splits, records, device=device)
    write_features(out, features)
    count, length = features.features.shape
    print(f"wrote {out}: {count} images, {length} numbers each")
