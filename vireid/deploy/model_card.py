"""The page for people in a model folder, with the header that model hubs read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from yacs.config import CfgNode

from vireid.data.datasets import DATASETS
from vireid.data.pixels import Range
from vireid.deploy.metadata import ExportMetadata
from vireid.errors import DataError
from vireid.evaluation.protocols import PROTOCOLS, with_draw
from vireid.evaluation.results import describe, read_results, results_table
from vireid.runs.exits import embedding_name, exit_names
from vireid.runs.rendered_data import synthetic_root

log = logging.getLogger(__name__)

RENDERED = "images that vireid renders, which show no real person or vehicle"
HUB_METRICS = {"rank1": "rank-1", "mAP": "mAP", "mINP": "mINP"}


@dataclass(frozen=True, slots=True)
class DataScores:
    """A model's scores on one data set.

    Args:
        dataset: value of ``DATA.DATASET``.
        own: whether the model was trained on the same data set.
        entries: of results.json, by protocol.
    """

    dataset: str
    own: bool
    entries: Mapping[str, Mapping[str, Any]]

    @property
    def data(self) -> str:
        return f"`{self.dataset}`" if self.own else f"another data set, `{self.dataset}`"

    @property
    def table(self) -> str:
        """Markdown, in per cent."""
        return results_table(self.entries).strip()

    @property
    def rules(self) -> list[str]:
        """How each protocol scores, one line each."""
        return [_rule(name, entry) for name, entry in self.entries.items()]


def _rule(name: str, entry: Mapping[str, Any]) -> str:
    plain = name.partition("+")[0]
    if plain in PROTOCOLS:
        line = describe(with_draw(PROTOCOLS[plain], entry["gallery_draw"]), entry)
        return name + line.removeprefix(plain)
    return (
        f"{name}: metric: {entry['metric']}; CMC counts: {entry['cmc_unit']}; "
        f"{entry['num_valid_query']} of {entry['num_query']} queries answerable"
    )


def scores_in(folder: Path, cfg: CfgNode, checkpoint: Mapping[str, Any]) -> list[DataScores]:
    """The scores in a run folder of just these features, those of its own data first.

    Args:
        cfg: decides exit, embedding, flip and image size.
        checkpoint: decides epoch and data.
    """
    wanted = {
        "epoch": checkpoint["progress"]["epoch"],
        "exit": exit_names(cfg),
        "embedding": embedding_name(cfg),
        "flip": cfg.TEST.FLIP,
        "input_size": list(cfg.INPUT.SIZE),
    }
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for results in _results_in(folder):
        source = results["source"]
        if all(source.get(key) == value for key, value in wanted.items()):
            key = str(source.get("dataset")), str(source.get("data"))
            groups[key] = {**results["protocols"], **groups.get(key, {})}
    own = checkpoint["dataset"], checkpoint["data"]
    ordered = sorted(groups, key=lambda key: key != own)
    return [DataScores(key[0], key == own, groups[key]) for key in ordered if groups[key]]


def _results_in(folder: Path) -> Iterator[dict[str, Any]]:
    for path in (folder / "results.json", *sorted(folder.glob("results_*.json"))):
        if path.is_file():
            try:
                yield read_results(path)
            except DataError as error:
                log.warning("not on the model card: %s", error)


def model_card(
    name: str,
    *,
    metadata: ExportMetadata,
    cfg: CfgNode,
    checkpoint: Mapping[str, Any],
    parameters: int,
    scores: Iterable[DataScores],
) -> str:
    """README.md, in Markdown.

    Args:
        name: of the folder.
        cfg: the run's configuration.
        parameters: numbers in the file of weights.
    """
    scores = list(scores)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("model_card.md.j2").render(
        name=name,
        header=_header(name, scores),
        metadata=metadata,
        cfg=cfg,
        epoch=checkpoint["progress"]["epoch"],
        parameters=parameters,
        inputs=inputs_of(metadata),
        data=_training_data(cfg, checkpoint),
        rendered=_is_rendered(cfg),
        scores=scores,
    )


def inputs_of(metadata: ExportMetadata) -> list[str]:
    """What becomes of an image before the model sees it, one sentence each."""
    height, width = metadata.size
    mean, std = ([round(value, 4) for value in one] for one in (metadata.mean, metadata.std))
    return [
        f"`Extractor` makes them RGB, resizes them to {height} × {width} pixels (height × width, "
        f"bilinear with antialiasing) and normalises `(x / 255 - mean) / std` with mean {mean} and "
        f"std {std}.",
        f"Transparent pixels get the colour {list(metadata.background)} (RGB).",
        *(_range_of(name, metadata.ranges.get(name)) for name in metadata.modalities),
    ]


def _range_of(modality: str, limits: Range | None) -> str:
    if limits is None:
        return (
            f"{modality.capitalize()} images of more than eight bits were not in the training: "
            "`Extractor(..., range=[black, white])` says which values become black and white."
        )
    if isinstance(limits, str):
        return f"{modality.capitalize()} images of more than eight bits: range `{limits}`."
    black, white = limits
    return (
        f"{modality.capitalize()} images of more than eight bits: {black:g} becomes black and "
        f"{white:g} white."
    )


def _is_rendered(cfg: CfgNode) -> bool:
    """Whether the run's data set is the one that its options describe."""
    same = Path(cfg.DATA.ROOT).name == synthetic_root(cfg).name
    return bool(cfg.DATA.SYNTHETIC.ENABLED and same)


def _training_data(cfg: CfgNode, checkpoint: Mapping[str, Any]) -> str:
    info = DATASETS[checkpoint["dataset"]]
    trial = checkpoint["split_trial"]
    facts = [
        f"{len(checkpoint['pids'])} identities of `{info.name}`"
        + (f", split {trial}" if trial is not None else "")
        + f" (`DATA.SPLIT {cfg.DATA.SPLIT or info.usual_split}`)",
        f"fingerprint of the file list `{checkpoint['data'][:12]}`",
    ]
    source = info.where_to_get.splitlines()[0]
    if _is_rendered(cfg):
        source = RENDERED[0].upper() + RENDERED[1:]
    return f"{', '.join(facts)}. {source.rstrip('.')}."


def _header(name: str, scores: Iterable[DataScores]) -> str:
    """YAML of the fields that model hubs show and search."""
    results = [
        {
            "task": {"type": "image-feature-extraction", "name": "Person re-identification"},
            "dataset": {"type": one.dataset, "name": one.dataset, "config": protocol},
            "metrics": [
                {"type": key, "name": f"{label} (%)", "value": round(100 * entry["mean"][key], 2)}
                for key, label in HUB_METRICS.items()
            ],
        }
        for one in scores
        for protocol, entry in one.entries.items()
    ]
    header: dict[str, Any] = {
        "license": "other",
        "library_name": "vireid",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["person-re-identification", "visible-infrared", "image-retrieval", "safetensors"],
    }
    if results:
        header["model-index"] = [{"name": name, "results": results}]
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
