"""Images per second of the deployed network in every runtime, beside plain torch and AGW's.

    python benchmarks/extraction.py --cfg configs/sysu.yaml [--batch 1 32] [--rounds 50]

All rows take turns in every round, on the same normalised images, with as many threads; decoding
and resizing are left out. Networks have random weights, which cost the same as trained ones; the
eight-bit files' ranges are of random patterns. "Faster" is the median over the rounds of the
baseline's time (torch in float32, eager) over the row's. "Peak" is the share of what a large
matrix product of the row's number format reaches in the same rounds; "cosine" the least between a
row's features and the baseline's. Runtimes that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from machine import describe_machine, machine_facts
from torch import nn

from vireid.cli.arguments import LIST, ToolParser, tool
from vireid.cost.flops import count_macs, example_batch
from vireid.cost.latency import latency_statistics, measure_latency
from vireid.deploy.backends import open_onnxruntime, open_openvino
from vireid.deploy.metadata import ExportMetadata
from vireid.deploy.model_files import OneStream, convert_to_openvino, write_onnx
from vireid.deploy.preprocessing import normalized
from vireid.deploy.quantisation import patterns, quantize
from vireid.engine.precision import use_threads
from vireid.errors import UsageError
from vireid.models.build import build_model
from vireid.models.inference_model import build_inference_model
from vireid.runs.options import read_config
from vireid.utils.io import require_target

REFERENCE, AGW = "torch fp32, eager", "AGW ResNet-50, torch fp32, eager"
AGW_CONFIG = Path("configs/baselines/agw.yaml")
SIDE = 2048  # of the matrices whose product gives the peak
Compute = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Row:
    """One way of computing features.

    Args:
        number_format: whose peak its speed is compared with.
        macs: multiply-accumulates per image.
        compute: (B, 3, H, W) float32 → (B, D).
    """

    number_format: str
    macs: int
    compute: Compute


def deployed(path: Path, overrides: Sequence[str]) -> tuple[nn.Module, tuple[int, int]]:
    """The visible stream of a configuration's deployed network, and its images' size."""
    cfg = read_config(path, overrides)
    torch.manual_seed(cfg.SEED)
    model = build_model(cfg, 1, load_weights=False)[0].eval()
    network = build_inference_model(model, exit_name=cfg.TEST.EXIT, embedding=cfg.TEST.EMBED).eval()
    return OneStream(network, infrared=False), tuple(cfg.INPUT.SIZE)


@torch.inference_mode()
def torch_features(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """As evaluation computes them; with the way to a GPU and back."""
    return network(torch.from_numpy(images).to(_device(network))).cpu().numpy()


@torch.inference_mode()
def bf16_features(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Autocast on maps whose channels lie side by side; the network is in that order, too."""
    device = _device(network)
    inputs = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        return network(inputs).float().cpu().numpy()


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def torch_rows(network: nn.Module, macs: int) -> dict[str, Row]:
    """The baseline, and torch's own way to be faster."""
    half = OneStream(network.model, infrared=False).to(memory_format=torch.channels_last)
    return {
        REFERENCE: Row("fp32", macs, partial(torch_features, network)),
        "torch bf16, channels last": Row("bf16", macs, partial(bf16_features, half)),
    }


def exported_rows(
    network: nn.Module, macs: int, metadata: ExportMetadata, folder: Path, threads: int
) -> dict[str, Row]:
    """The same network in the runtimes that are installed, in float32, bfloat16 and eight bits."""
    whole, small = folder / "fp32.onnx", folder / "int8.onnx"
    write_onnx(network, whole, size=metadata.size)
    found = {}
    if find_spec("onnxruntime"):
        calibration = (
            normalized([one], metadata.mean, metadata.std) for one in patterns(metadata, 16)
        )
        quantize(whole, small, metadata, calibration)
        found["ONNX Runtime fp32"] = "fp32", open_onnxruntime(whole, threads)
        found["ONNX Runtime int8"] = "int8", open_onnxruntime(small, threads)
    if find_spec("openvino"):
        for precision in ("fp32", "bf16"):
            opened = open_openvino(whole, threads, precision)
            found[f"OpenVINO {precision}"] = precision, opened
        if small.exists():
            convert_to_openvino(small, folder / "int8.xml", metadata)
            opened = open_openvino(folder / "int8.xml", threads)
            found["OpenVINO int8"] = "int8", opened
    return {name: Row(kind, macs, opened.run) for name, (kind, opened) in found.items()}


def metadata_of(size: tuple[int, int]) -> ExportMetadata:
    """Metadata for temporary files."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    names = {"exit": "deep", "embedding": "global", "backbone": "", "precision": "fp32"}
    return ExportMetadata(
        fingerprint="0" * 64, modalities=("visible",), flip=False, dim=1, size=size, mean=mean,
        std=std, version="0", **names,
    )  # fmt: skip


def peaks(device: torch.device | str = "cpu") -> dict[str, Callable[[], object]]:
    """A large matrix product in each number format that torch multiplies."""
    left, right = torch.randn(2, SIDE, SIDE, device=device).unbind()
    half = left.bfloat16(), right.bfloat16()
    return {"fp32": partial(torch.mm, left, right), "bf16": partial(torch.mm, *half)}


def measure(
    rows: Mapping[str, Row],
    images: np.ndarray,
    rounds: int,
    warmup: int,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Times of all rows and of the matrix products, which take turns."""
    calls: dict[str, Callable[[], object]] = {
        name: partial(row.compute, images) for name, row in rows.items()
    }
    calls |= {f"peak {name}": call for name, call in peaks(device).items()}
    return measure_latency(calls, batch=len(images), runs=rounds, warmup=warmup, device=device)


def cosines(rows: Mapping[str, Row], images: np.ndarray) -> dict[str, float]:
    """Least cosine between each row's features and the baseline's; another network has none."""
    found = {name: row.compute(images) for name, row in rows.items() if name != AGW}
    unit = {n: f / np.linalg.norm(f, axis=1, keepdims=True) for n, f in found.items()}
    return {n: float((f * unit[REFERENCE]).sum(axis=1).min()) for n, f in unit.items()}


def results(
    rows: Mapping[str, Row], times: pd.DataFrame, alike: Mapping[str, float], *, batch: int
) -> list[dict[str, object]]:
    """One entry per row, unrounded."""
    statistics = latency_statistics(times)
    median = statistics["median_ms"]
    rate = {  # multiply-accumulates per millisecond
        kind: SIDE**3 / (batch * median[f"peak {kind}"]) for kind in ("fp32", "bf16")
    }
    return [
        {
            "row": name,
            "batch": batch,
            "images_per_second": 1000 / median[name],
            "ms_per_image": median[name],
            "iqr_ms": statistics["iqr_ms"][name],
            "times_faster": (times[REFERENCE] / times[name]).median(),
            "share_of_peak": row.macs / median[name] / rate[row.number_format]
            if row.number_format in rate
            else None,
            "least_cosine": alike.get(name),
        }
        for name, row in rows.items()
    ]


def table(found: Sequence[Mapping[str, object]]) -> str:
    """Markdown."""
    lines = ["| batch | runtime | images/s | ms per image | IQR | faster | peak | cosine |"]
    lines.append("|---" * 8 + "|")
    for one in found:
        peak, alike = one["share_of_peak"], one["least_cosine"]
        lines.append(
            f"| {one['batch']} | {one['row']} | {one['images_per_second']:.1f} | "
            f"{one['ms_per_image']:.2f} | {one['iqr_ms']:.2f} | {one['times_faster']:.2f} × | "
            f"{'–' if peak is None else f'{100 * peak:.0f} %'} | "
            f"{'–' if alike is None else f'{alike:.5f}'} |"
        )
    return "\n".join(lines)


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the machine and one table."""
    args = _parse(arguments)
    if args.json:
        require_target(args.json)
    cfg = read_config(args.cfg, args.overrides)
    use_threads(cfg.THREADS)
    network, size = deployed(args.cfg, args.overrides)
    agw, _ = deployed(AGW_CONFIG, ["INPUT.SIZE", str(list(size))])
    example = example_batch(size)[0]
    macs = [count_macs(one, example) for one in (network, agw)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        rows = torch_rows(network, macs[0])
        if find_spec("onnxscript"):
            metadata = metadata_of(size)
            rows |= exported_rows(network, macs[0], metadata, Path(name), torch.get_num_threads())
        rows[AGW] = Row("fp32", macs[1], partial(torch_features, agw))
        found: list[dict[str, object]] = []
        for batch in args.batch:
            images = example_batch(size, count=batch)[0].numpy()
            times = measure(rows, images, args.rounds, args.warmup)
            found += results(rows, times, cosines(rows, images), batch=len(images))
    print(describe_machine(machine_facts()))
    print(
        f"{args.cfg}: {size[0]} × {size[1]}, {macs[0] / 1e6:.0f} M multiply-accumulates (AGW "
        f"{macs[1] / 1e6:.0f} M); {args.rounds} rounds\n\n{table(found)}"
    )
    if args.json:
        content = {"machine": machine_facts(), "config": str(args.cfg), "rows": found}
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    line = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--cfg", type=Path, default=Path("configs/sysu.yaml"), metavar="FILE")
    line.add_argument("--batch", metavar="N", **LIST | {"default": ["1", "32"]})
    line.add_argument("--rounds", type=int, default=50)
    line.add_argument("--warmup", type=int, default=10)
    line.add_argument("--json", type=Path, metavar="FILE")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    args = line.parse(arguments)
    batches = args.batch
    if not batches or not all(b.isascii() and b.isdigit() and int(b) for b in batches):
        raise UsageError(f"--batch takes numbers of images of at least 1, got {batches or 'none'}")
    args.batch = [int(word) for word in batches]
    if args.rounds < 1 or args.warmup < 0:
        raise UsageError(f"--rounds {args.rounds} --warmup {args.warmup}: at least 1 and 0")
    return args


if __name__ == "__main__":
    raise SystemExit(main())
