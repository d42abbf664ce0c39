"""The costs of deployed models side by side: counted, timed, and as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from yacs.config import CfgNode

from vireid.cost.flops import count_macs, evaluating, example_batch, unique_parameters
from vireid.cost.latency import latency_statistics, measure_latency
from vireid.errors import CheckpointError
from vireid.utils.tables import markdown

BYTES = 4  # of a float32
TOLERANCE = 1e-3  # of an exported model's features, over the largest of torch's
Runtime = Callable[[np.ndarray], np.ndarray]  # (B, 3, H, W) visible images → (B, D)


@dataclass(frozen=True, slots=True)
class MeasuredModel:
    """A model as it is deployed, to be measured.

    Args:
        name: of the configuration or the recipe.
        exit_name, embedding: which features it makes.
        model: (B, 3, H, W), (B,) bool → (B, D), with the test-time flip.
        training_parameters: of the model in training; None where the number of training
            identities is unknown.
        cfg: its configuration; that of the first run where there are several.
        runs: run folders, with the fingerprints of their data; none of a configuration.
    """

    name: str
    exit_name: str
    embedding: str
    model: nn.Module
    training_parameters: int | None
    cfg: CfgNode
    runs: Mapping[Path, str] = field(default_factory=dict)

    @property
    def features(self) -> str:
        """What is compared, in words for a table."""
        return self.embedding + (", mirrored too" if self.cfg.TEST.FLIP else "")


def count_costs(models: Sequence[MeasuredModel], device: torch.device) -> pd.DataFrame:
    """Everything but times, a row per model; both streams cost the same.

    Returns:
        the fields that describe a model, ``parameters`` (unique ones of what is deployed),
        ``macs`` (multiply-accumulates per image), ``numbers`` and ``bytes`` (of one image's
        features, in float32).
    """
    rows: list[dict[str, Any]] = []
    for deployed in models:
        batch = example_batch(deployed.cfg.INPUT.SIZE, device=str(device))
        with evaluating(deployed.model), torch.inference_mode():
            numbers = deployed.model(*batch).shape[1]
        rows.append(
            {
                "network": deployed.name,
                "exit": deployed.exit_name,
                "embedding": deployed.embedding,
                "flip": deployed.cfg.TEST.FLIP,
                "features": deployed.features,
                "input_size": list(deployed.cfg.INPUT.SIZE),
                "training_parameters": deployed.training_parameters,
                "parameters": unique_parameters(deployed.model),
                "macs": count_macs(deployed.model, *batch),
                "numbers": numbers,
                "bytes": BYTES * numbers,
            }
        )
    return pd.DataFrame(rows, dtype=object)  # Python's own numbers, for JSON


def time_models(
    models: Sequence[MeasuredModel],
    exported: Mapping[str, Sequence[Runtime]],
    *,
    batch: int,
    rounds: int,
    warmup: int,
    device: torch.device,
) -> pd.DataFrame:
    """Times all models in all backends, which take turns; a row per model and backend.

    Args:
        models: in evaluation mode.
        exported: by backend, every model as that one loaded it; of ``torch`` none.
        batch: images per call.
        rounds, warmup: see :func:`~vireid.cost.latency.measure_latency`.
    Returns:
        ``model`` (its position), ``runtime``, the columns of
        :func:`~vireid.cost.latency.latency_statistics`, ``batch``, ``device`` and ``threads``.
    Raises:
        CheckpointError: an exported model computes other features than torch.
    """
    calls: dict[tuple[int, str], Callable[[], object]] = {}
    for position, deployed in enumerate(models):
        example = example_batch(deployed.cfg.INPUT.SIZE, count=batch, device=str(device))
        for backend, loaded in exported.items():
            call: Callable[[], object] = partial(deployed.model, *example)
            if backend != "torch":
                images = example[0].numpy()
                _require_same_features(backend, loaded[position](images), call)
                call = partial(loaded[position], images)
            calls[position, backend] = call
    times = measure_latency(calls, batch=batch, runs=rounds, warmup=warmup, device=device)
    rows = latency_statistics(times).rename_axis(["model", "runtime"]).reset_index()
    return rows.assign(batch=batch, device=str(device), threads=torch.get_num_threads())


def _require_same_features(backend: str, found: np.ndarray, call: Callable[[], Any]) -> None:
    with torch.inference_mode():
        expected = call()
    error = (torch.from_numpy(found.copy()) - expected).abs().max()
    if not error <= TOLERANCE * expected.abs().max():
        raise CheckpointError(f"{backend} computes other features than torch: off by {error:.2g}")


def counts_table(costs: pd.DataFrame) -> str:
    """Markdown: what was counted, a row per model."""
    texts = costs[["network", "exit", "features"]].copy()
    texts["input"] = [" × ".join(map(str, size)) for size in costs["input_size"]]
    trained = costs["training_parameters"]
    texts["parameters in training"] = ["–" if n is None else f"{n:,}" for n in trained]
    texts["parameters"] = costs["parameters"].map("{:,}".format)
    texts["MACs per image (M)"] = (costs["macs"] / 1e6).map("{:,.1f}".format)
    for column in ("numbers", "bytes"):
        texts[column] = costs[column].map("{:,}".format)
    return markdown(texts)


def times_table(costs: pd.DataFrame, times: pd.DataFrame) -> str:
    """Markdown: milliseconds per image of :func:`time_models`, a row per model and backend."""
    batches = [part.reset_index(drop=True) for _, part in times.groupby("batch", sort=False)]
    models = costs.loc[batches[0]["model"], ["network", "exit", "features"]]
    columns = [models.reset_index(drop=True), batches[0]["runtime"]]
    for part in batches:
        names = {"median_ms": f"batch {part['batch'][0]}: ms per image", "iqr_ms": "IQR"}
        numbers = part[["median_ms", "iqr_ms", "ratio"]].map("{:.2f}".format)
        columns.append(numbers.rename(columns=names))
    return markdown(pd.concat(columns, axis=1))


def as_json(
    costs: pd.DataFrame, times: pd.DataFrame | None, scores: Sequence[Mapping[str, Any]] = ()
) -> list[dict[Any, Any]]:
    """The same numbers, unrounded, a dictionary per model.

    Args:
        times: None where nothing was timed.
        scores: one for each model, or none.
    """
    rows: list[dict[Any, Any]] = costs.drop(columns="features").to_dict("records")
    for position, row in enumerate(rows):
        row["latency"] = []
        if times is not None:
            own = times[times["model"] == position]
            row["latency"] = own[["runtime", "batch", "median_ms", "iqr_ms"]].to_dict("records")
        if scores:
            row["scores"] = scores[position]
    return rows
