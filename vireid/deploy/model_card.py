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
from vireid.evaluation.protocols import PROTOCOLS, plain_name, with_draw
from vireid.evaluation.reranking.methods import parse_name, rule_of
from vireid.evaluation.results import describe, read_results, results_table
from vireid.runs.exits import embedding_name, exit_names
from vireid.runs.rendered_data import synthetic_root

log = logging.getLogger(__name__)

RENDERED = "The images are synthetic: vireid rendered them, and they show no real person or vehicle"
RENDERED_SET = "the synthetic data set in the layout of"
HUB_METRICS = {"rank1": "rank-1", "mAP": "mAP", "mINP": "mINP"}


@dataclass(frozen=True, slots=True)
class DataScores:
    """A model's scores on one data set.

    Args:
        dataset: value of ``DATA.DATASET``.
        own: whether the model was trained on the same data set.
        entries: of results.json, by protocol.
        rendered: whether its images are synthetic ones in that data set's layout.
    """

    dataset: str
    own: bool
    entries: Mapping[str, Mapping[str, Any]]
    rendered: bool = False

    @property
    def data(self) -> str:
        if self.rendered:
            return f"{RENDERED_SET} `{self.dataset}`"
        return f"`{self.dataset}`" + ("" if self.own else ", which is not its training data set")

    @property
    def hub_name(self) -> str:
        """For a model hub, which must not list synthetic images under a real data set's name."""
        return f"vireid-synthetic-{self.dataset}" if self.rendered else self.dataset

    @property
    def table(self) -> str:
        """Markdown, in per cent."""
        return results_table(self.entries).strip()

    @property
    def rules(self) -> list[str]:
        """How each protocol scores, one line each."""
        return [_rule(name, entry) for name, entry in self.entries.items()]


def _rule(name: str, entry: Mapping[str, Any]) -> str:
    plain, reranked = plain_name(parse_name(name)[0]), rule_of(name, entry)
    if plain in PROTOCOLS:
        line = describe(with_draw(PROTOCOLS[plain], entry["gallery_draw"]), entry)
        return name + line.removeprefix(plain) + (f"; {reranked}" if reranked else "")
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
    rendered = _is_rendered(cfg)
    return [
        DataScores(key[0], key == own, groups[key], rendered=rendered and key == own)
        for key in ordered
        if groups[key]
    ]


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
    two = len(metadata.modalities) > 1
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("model_card.md.j2").render(
        name=name,
        header=_header(name, scores, two_modalities=two),
        two=two,
        subject="person" if two else "vehicle or person",
        metadata=metadata,
        cfg=cfg,
        recipe=recipe_of(cfg, checkpoint["progress"]["epoch"]),
        parameters=parameters,
        inputs=inputs_of(metadata),
        data=_training_data(cfg, checkpoint),
        rendered=_is_rendered(cfg),
        scores=scores,
    )


def recipe_of(cfg: CfgNode, epoch: int) -> list[tuple[str, str]]:
    """How the model was trained: topics and what to say about each.

    Args:
        epoch: whose weights are exported.
    """
    solver, model, sampler = cfg.SOLVER, cfg.MODEL, cfg.SAMPLER
    start = {"imagenet": "ImageNet weights", "none": "random weights"}
    sdm = f"student heads on {', '.join(model.SDM.TAPS)}, temperature {model.SDM.TEMPERATURE:g}"
    mgim = f"{', '.join(map(str, model.MGIM.GRANULARITIES))} stripes, `{model.MGIM.RELATION}`"
    return [
        ("start", start.get(model.PRETRAINED, "weights of another model")),
        ("length", f"epoch {epoch} of {solver.EPOCHS}, seed {cfg.SEED}"),
        ("batch", f"{sampler.IDENTITIES} identities × {sampler.IMAGES} images of each modality"),
        ("optimiser", f"`{solver.OPTIMIZER}`, weight decay {solver.WEIGHT_DECAY:g}"),
        ("learning rate", f"{solver.BASE_LR:g}, schedule `{solver.SCHEDULE}`"),
        ("losses (weights)", ", ".join(_losses_of(cfg))),
        ("self-distillation (SDM)", sdm if model.SDM.ENABLED else "off"),
        ("part features (MGIM)", mgim if model.MGIM.ENABLED else "off"),
        ("teacher", "a frozen model" if cfg.TEACHER.WEIGHTS else "none"),
    ]


def _losses_of(cfg: CfgNode) -> list[str]:
    """The losses of a training, each with its weight."""
    used = {
        "part_": cfg.MODEL.MGIM.ENABLED,
        "branch_": cfg.MODEL.DIRECTIONAL.ENABLED,
        "sdm": cfg.MODEL.SDM.ENABLED,
    }
    weights = {name.lower(): cfg.LOSS[name].WEIGHT for name in cfg.LOSS}
    unused = tuple(start for start, enabled in used.items() if not enabled)
    found = {n: w for n, w in weights.items() if w and not n.startswith(unused)}
    found |= {"distillation": cfg.DISTILL.WEIGHT} if cfg.TEACHER.WEIGHTS else {}
    return [f"{name} {weight:g}" for name, weight in found.items()]


def inputs_of(metadata: ExportMetadata) -> list[str]:
    """How an image is prepared for the model, one sentence each."""
    height, width = metadata.size
    mean, std = ([round(value, 4) for value in one] for one in (metadata.mean, metadata.std))
    return [
        f"`Extractor` converts them to RGB, resizes them to {height} × {width} pixels (height × "
        f"width, bilinear with antialiasing) and normalises them: `(x / 255 - mean) / std`, mean "
        f"{mean}, std {std}.",
        f"Transparent pixels become the colour {list(metadata.background)} (RGB).",
        *(_range_of(name, metadata.ranges.get(name)) for name in metadata.modalities),
    ]


def _range_of(modality: str, limits: Range | None) -> str:
    if limits is None:
        return (
            f"{modality.capitalize()} images of more than eight bits were not in the training: "
            "choose which values become black and white by `Extractor(..., range=[black, white])`."
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
    trial, rendered = checkpoint["split_trial"], _is_rendered(cfg)
    layout = f"{RENDERED_SET} " if rendered else ""
    facts = [
        f"{len(checkpoint['pids'])} identities of {layout}`{info.name}`"
        + (f", split {trial}" if trial is not None else "")
        + f" (`DATA.SPLIT {cfg.DATA.SPLIT or info.usual_split}`)",
        f"fingerprint of the file list `{checkpoint['data'][:12]}`",
    ]
    source = RENDERED if rendered else info.where_to_get.splitlines()[0]
    return f"{', '.join(facts)}. {source.rstrip('.')}."


def _header(name: str, scores: Iterable[DataScores], *, two_modalities: bool) -> str:
    """YAML of the fields that model hubs show and search."""
    kinds = ["person-re-identification", "visible-infrared"] if two_modalities else []
    results = [
        {
            "task": {"type": "image-feature-extraction", "name": "Re-identification"},
            "dataset": {"type": one.hub_name, "name": one.hub_name, "config": protocol},
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
        "tags": ["re-identification", *kinds, "image-retrieval", "safetensors"],
    }
    if results:
        header["model-index"] = [{"name": name, "results": results}]
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
