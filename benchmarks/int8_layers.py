"""What a run's network loses in eight bits when different layers stay in float32.

    python benchmarks/int8_layers.py --run runs/demo/seed0 [--calibration 100] [KEY VALUE ...]

Prints, for ONNX files of one network quantised in several ways: rank-1 and mAP of the run's
protocols, mean over them, in per cent, and the least and the mean cosine between the features of
the test images and those in float32.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vireid.cli.arguments import tool
from vireid.data.build import build_splits
from vireid.deploy.deployed_model import deployed_model
from vireid.deploy.extractor import Extractor
from vireid.deploy.model_files import export_streams
from vireid.deploy.preprocessing import load_resized, normalized
from vireid.deploy.quantisation import evenly_spaced, quantize
from vireid.deploy.verify_export import features_of_records, scores_of
from vireid.runs.rendered_data import prepare_data

WAYS: Mapping[str, tuple[str, ...]] = {
    "pooling and heads": (),
    "+ first convolution": ("first",),
    "+ channel gates": ("gates",),
    "+ first convolution and channel gates": ("first", "gates"),
}


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Exports once, quantises and scores several times."""
    args = _parse(arguments)
    trained = deployed_model(args.run, args.overrides)
    prepare_data(trained.cfg)
    splits = build_splits(trained.cfg)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        exported = export_streams(trained, Path(name))
        plain = {m: Extractor(file) for metadata, file in exported for m in metadata.modalities}
        expected = features_of_records(splits.root, splits.test, plain, batch=64).features
        print("| in float32 | rank-1 | mAP | least cosine | mean cosine |\n|---|---|---|---|---|")
        _print_row("everything", scores_of(trained.cfg, splits, plain), np.ones(1))
        for title, kept in WAYS.items():
            small = {}
            for metadata, file in exported:
                target = file.with_stem(f"{file.stem}_{'_'.join(kept)}")
                records = [
                    record
                    for modality in metadata.modalities
                    for record in evenly_spaced(splits.train, modality, args.calibration)
                ]
                images = (
                    load_resized(
                        splits.root / r.path, metadata.size, metadata.rule(r.modality.name.lower())
                    )
                    for r in records
                )
                batches = (normalized([one], metadata.mean, metadata.std) for one in images)
                quantize(file, target, metadata, batches, kept=kept)
                small |= dict.fromkeys(metadata.modalities, Extractor(target))
            found = features_of_records(splits.root, splits.test, small, batch=64).features
            cosines = (found * expected).sum(axis=1)
            _print_row(title, scores_of(trained.cfg, splits, small), cosines)


def _print_row(title: str, scores: Mapping[str, Mapping], cosines: np.ndarray) -> None:
    means = [
        100 * np.mean([entry["mean"][name] for entry in scores.values()])
        for name in ("rank1", "mAP")
    ]
    print(
        f"| {title} | {means[0]:.2f} | {means[1]:.2f} | {cosines.min():.4f} | "
        f"{cosines.mean():.4f} |",
        flush=True,
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--run", type=Path, required=True, metavar="DIR")
    line.add_argument("--calibration", type=int, default=100, metavar="N")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    return line.parse_intermixed_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
