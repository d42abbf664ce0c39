"""What networks cost side by side, as they are deployed: counted, timed, and as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from vireid.cost.flops import count_macs, evaluating, example_batch, unique_parameters
from vireid.cost.latency import Latency, measure_latency, median_ratio

BYTES = 4  # of a float32
UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class Subject:
    """A network to be measured.

    Args:
        name: of the configuration or the recipe.
        exit_name, embedding: which features it makes.
        flip: it looks at every image's mirror image as well.
        network: (B, 3, H, W), (B,) bool → (B, D); what is deployed, ``flip`` included.
        size: [height, width] of its images.
        trained: parameters while it is trained; None where nobody knows of how many identities.
    """

    name: str
    exit_name: str
    embedding: str
    flip: bool
    network: nn.Module
    size: tuple[int, int]
    trained: int | None

    @property
    def features(self) -> str:
        """What is compared, in words for a table."""
        return self.embedding + (", mirrored too" if self.flip else "")


@dataclass(frozen=True, slots=True)
class Cost:
    """What was found of one network.

    Args:
        parameters: of what is deployed, each counted once.
        macs: multiply-accumulates per image.
        numbers: in an image's features.
        times: by runtime and images per call.
    """

    subject: Subject
    parameters: int
    macs: int
    numbers: int
    times: dict[tuple[str, int], Latency] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Of an image's features in float32."""
        return BYTES * self.numbers


def count(subject: Subject, device: torch.device) -> Cost:
    """Everything but times; both streams cost the same."""
    batch = example_batch(subject.size, device=str(device))
    with evaluating(subject.network), torch.inference_mode():
        numbers = subject.network(*batch).shape[1]
    macs = count_macs(subject.network, *batch).total
    return Cost(subject, unique_parameters(subject.network), macs, numbers)


# A runtime's name → (a network's position, an example batch of visible images) → what is timed
Runtimes = Mapping[str, Callable[[int, tuple[Tensor, Tensor]], Callable[[], object]]]


def torch_call(
    networks: Sequence[nn.Module], position: int, batch: tuple[Tensor, Tensor]
) -> Callable[[], object]:
    """A forward pass of one network, which is in evaluation mode, by torch itself."""
    return partial(networks[position], *batch)


def time_all(
    costs: Sequence[Cost],
    runtimes: Runtimes,
    *,
    batch: int,
    runs: int,
    warmup: int,
    device: torch.device,
) -> None:
    """Adds the times of all networks in all runtimes, which take turns.

    Args:
        batch: images per call.
        runs, warmup: rounds, see :func:`~vireid.cost.latency.measure_latency`.
    """
    calls, owners = {}, {}
    for position, cost in enumerate(costs):
        example = example_batch(cost.subject.size, count=batch, device=str(device))
        for runtime, prepare in runtimes.items():
            name = f"{position} {runtime}"
            calls[name], owners[name] = prepare(position, example), (cost, runtime)
    times = measure_latency(calls, batch=batch, runs=runs, warmup=warmup, device=device)
    for name, (cost, runtime) in owners.items():
        cost.times[runtime, batch] = times[name]


def counts_table(costs: Sequence[Cost]) -> str:
    """Markdown: what was counted, a row per network."""
    header = ["network", "exit", "features", "input", "parameters in training", "parameters"]
    header += ["MACs per image (M)", "numbers", "bytes"]
    rows = [
        [
            cost.subject.name,
            cost.subject.exit_name,
            cost.subject.features,
            " × ".join(map(str, cost.subject.size)),
            UNKNOWN if cost.subject.trained is None else f"{cost.subject.trained:,}",
            f"{cost.parameters:,}",
            f"{cost.macs / 1e6:,.1f}",
            f"{cost.numbers:,}",
            f"{cost.bytes:,}",
        ]
        for cost in costs
    ]
    return _markdown(header, rows)


def times_table(costs: Sequence[Cost]) -> str:
    """Markdown: milliseconds per image, a row per network and runtime.

    The ratio is the median over the rounds to what the first row took in the same round.
    """
    runtimes = list(dict.fromkeys(runtime for runtime, _ in costs[0].times))
    batches = list(dict.fromkeys(batch for _, batch in costs[0].times))
    header = ["network", "exit", "features", "runtime"]
    for batch in batches:
        header += [f"batch {batch}: ms per image", "IQR", "ratio"]
    rows = []
    for cost in costs:
        for runtime in runtimes:
            row = [cost.subject.name, cost.subject.exit_name, cost.subject.features, runtime]
            for batch in batches:
                time, first = cost.times[runtime, batch], costs[0].times[runtimes[0], batch]
                ratio = median_ratio(time, first)
                row += [f"{time.median_ms:.2f}", f"{time.iqr_ms:.2f}", f"{ratio:.2f}"]
            rows.append(row)
    return _markdown(header, rows)


def as_json(costs: Sequence[Cost]) -> list[dict[str, object]]:
    """The same numbers, unrounded."""
    return [
        {
            "network": cost.subject.name,
            "exit": cost.subject.exit_name,
            "embedding": cost.subject.embedding,
            "flip": cost.subject.flip,
            "input_size": list(cost.subject.size),
            "training_parameters": cost.subject.trained,
            "parameters": cost.parameters,
            "macs": cost.macs,
            "numbers": cost.numbers,
            "bytes": cost.bytes,
            "latency": [
                {
                    "runtime": runtime,
                    "batch": batch,
                    "median_ms": time.median_ms,
                    "iqr_ms": time.iqr_ms,
                }
                for (runtime, batch), time in cost.times.items()
            ],
        }
        for cost in costs
    ]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(header), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
