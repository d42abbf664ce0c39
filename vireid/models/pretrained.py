"""Loads weights of other trainings into a model: published files, and this project's own models."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from vireid.errors import CheckpointError
from vireid.models.model_file import is_classifier
from vireid.models.reid_model import ReidModel
from vireid.models.weight_files import read_tensors, state_dict_of
from vireid.models.weight_names import (
    NamedEntries,
    Place,
    named_entries,
    places,
    stream_of,
    unwrapped,
)
from vireid.utils.paths import MODEL_FILE, expand

MIN_MATCH = 0.95  # share of the backbone's entries that a published file must contain
MIN_OWN_MATCH = 0.8  # the same of a model of this project, which may have another backbone
SHOWN = 5  # entries of a file and of the model in a message
BATCH_COUNTER = ".num_batches_tracked"  # of BatchNorm: old files lack it, nothing needs it
IGNORED = ("classifier.", "fc.")  # entries of published files that no backbone has
ADDED = ".nonlocal"  # in the names of blocks that no published file has: random weights
# torchvision's files by the first part of a backbone's name, the preferred one first:
# IMAGENET1K_V1, which AGW started from, then V2.
TORCHVISION = {
    "resnet18": ("resnet18-f37072fd.pth",),
    "resnet50": ("resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"),
    "mobilenet_v2": ("mobilenet_v2-b0353104.pth", "mobilenet_v2-7ebf99e0.pth"),
}
TORCHREID = "osnet"  # first part of the names of backbones whose weights torchreid publishes


def _about_home(home: Path) -> str:
    if str(home).startswith("~"):
        return f"this user has no home folder: TORCH_HOME must name one in place of {home}"
    return "TORCH_HOME names another folder"


def imagenet_file(backbone: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The cached ImageNet weights: torchreid's for an OSNet, else torch.hub's of torchvision.

    Raises:
        CheckpointError: the file is missing; says where to get it and where to put it. Or nothing
            is published for this backbone.
    """
    cache = environment.get("XDG_CACHE_HOME", "~/.cache")
    home = expand(environment.get("TORCH_HOME", f"{cache}/torch"))
    if backbone.startswith("timm:"):
        raise CheckpointError(
            f"no ImageNet weights for {backbone} are looked up: save those that timm has (the "
            "state dict of timm.create_model(NAME, pretrained=True)) to a file and name it in "
            "MODEL.PRETRAINED, or train from scratch with MODEL.PRETRAINED none"
        )
    published = next((v for name, v in TORCHVISION.items() if backbone.startswith(name)), None)
    if published:
        paths = [home / "hub" / "checkpoints" / name for name in published]
        source = f"https://download.pytorch.org/models/{published[0]}"
    elif not backbone.startswith(TORCHREID):
        raise CheckpointError(
            f"no ImageNet weights for {backbone}: none are published; name your own file in "
            "MODEL.PRETRAINED, or train from scratch with MODEL.PRETRAINED none"
        )
    else:
        paths = [home / "checkpoints" / f"{backbone}_imagenet.pth"]
        source = "torchreid's model zoo (https://kaiyangzhou.github.io/deep-person-reid/MODEL_ZOO)"
    for path in paths:
        if path.is_file():
            return path
    raise CheckpointError(
        f"no ImageNet weights for {backbone}: get {paths[0].name} from {source} and save it as "
        f"{paths[0]} ({_about_home(home)}), or name its path in MODEL.PRETRAINED, or train from "
        "scratch with MODEL.PRETRAINED none"
    )


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """Where the weights of a new model come from.

    Args:
        origin: one line for the log.
        loaded: names in the model's state dict of what a file gave; everything else is random.
    """

    origin: str
    loaded: frozenset[str] = frozenset()


def load_weights(model: ReidModel, path: Path) -> InitialWeights:
    """Copies into a model what fits by name and shape, but no classifier.

    Args:
        path: a published file (of the backbone), a checkpoint of this project, or an exported
            model's folder; see ``read_tensors`` and ``state_dict_of``.
    Raises:
        CheckpointError: missing or damaged; too few of the backbone's entries match (95 % of them
            in a published file, where blocks added to the published model count only if the file
            has them; 80 % in a file of this project); numbers that are not finite.
    """
    path = _file_in(path)
    content = read_tensors(path)
    _require_trained(content, path)
    match = _match(model.state_dict(), state_dict_of(content, path))
    match.require_enough(path, _backbone_of(content, path))
    _copy(match, path)
    return InitialWeights(f"loaded {match.summary(path)}", frozenset(match.fitting))


def _file_in(path: Path) -> Path:
    """The file itself, or the one in an exported model's folder."""
    if not path.is_dir():
        return path
    if not (path / MODEL_FILE).is_file():
        raise CheckpointError(
            f"{path} holds no weights: name a file, a run folder, or the folder of an exported "
            f"model (with {MODEL_FILE})"
        )
    return path / MODEL_FILE


def _require_trained(content: object, path: Path) -> None:
    """Refuses a checkpoint of this project that holds the random weights of a start."""
    progress = content.get("progress") if isinstance(content, Mapping) else None
    if isinstance(progress, Mapping) and progress.get("epoch") == 0:
        raise CheckpointError(f"{path} was saved before the first epoch ended: train it first")


def _backbone_of(content: object, path: Path) -> str:
    """``MODEL.BACKBONE`` of a checkpoint or an exported model's folder; empty if unknown."""
    text = content.get("config", "") if isinstance(content, Mapping) else ""
    options = path.with_name("config.yaml")
    if path.name == MODEL_FILE and options.is_file():
        text = options.read_text(encoding="utf-8", errors="replace")
    found = (
        re.search(r"^ *BACKBONE: *(\S+)$", text, re.MULTILINE) if isinstance(text, str) else None
    )
    return found[1] if found else ""


@dataclass(slots=True)
class _Match:
    """Entries of a model and of a file.

    Args:
        targets: the model's entries that the file may give.
        where: the place of each.
        tensors: the file's entries.
        entries: their places.
        fitting: entry of the model → entry of the file, equal in name and shape.
        given: entry of the model → the modality whose the file's entry is, empty for both.
        missing: entries of the model that the file lacks.
        unlike: entry of the model → entry of the file that differs in shape or type.
        notes: how other modalities' weights are used.
    """

    targets: Mapping[str, Tensor]
    where: Mapping[str, Place]
    tensors: Mapping[str, Tensor]
    entries: NamedEntries
    fitting: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unlike: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def name(self, key: str) -> str:
        """How messages call an entry of the model: as files of that kind do."""
        return key if self.entries.own else self.where[key].bare

    def count(self, keys: Iterable[str]) -> int:
        """How many entries: those of a published file start both streams and count once."""
        return len({self.name(key) for key in keys if not key.endswith(BATCH_COUNTER)})

    @property
    def added(self) -> list[str]:
        """Missing entries that no published file has."""
        return [k for k in self.missing if ADDED in k and not self.entries.own]

    def summary(self, path: Path) -> str:
        """How many of how many, from where, and which not."""
        total = self.count(self.targets) - self.count(self.added)
        kind = "entries" if self.entries.own else "backbone entries"
        words = f"{self.count(self.fitting)} of {total} {kind} from {path}"
        apart = ["classifiers start at random"] if self.entries.own else []
        details = "; ".join(apart + self.differences() + self.notes)
        return words + (f" ({details})" if details else "")

    def require_enough(self, path: Path, backbone_of_file: str) -> None:
        """Raises ``CheckpointError`` if too little of the backbone fits."""
        least = MIN_OWN_MATCH if self.entries.own else MIN_MATCH
        added = set(self.added)
        backbone = [k for k in self.targets if self.where[k].bare and k not in added]
        if self.count(k for k in backbone if k in self.fitting) >= least * self.count(backbone):
            return
        ours = [*self.unlike, *self.missing, *self.fitting]
        used = set(self.fitting.values())
        theirs = sorted(self.tensors, key=lambda key: key in used)
        named = f" It is of MODEL.BACKBONE {backbone_of_file}." if backbone_of_file else ""
        raise CheckpointError(
            f"only {self.summary(path)} match: weights of another network?{named} The file has "
            f"{_shown((key, self.tensors[key]) for key in theirs)}; the model has "
            f"{_shown((self.name(key), self.targets[key]) for key in ours)}"
        )

    def differences(self) -> list[str]:
        """Entries without a counterpart, by kind; empty if there are none."""
        used = {*self.fitting.values(), *self.unlike.values()}
        added = set(self.added)
        groups = {
            "missing": [self.name(key) for key in self.missing if key not in added],
            "other shape": [self._unlike(key, found) for key, found in self.unlike.items()],
            "not used": [key for key in self.tensors if key not in used and not _is_extra(key)],
            "new": [self.name(key) for key in self.added],
        }
        list_names = _by_module if self.entries.own else _first
        groups = {kind: list(dict.fromkeys(names)) for kind, names in groups.items()}
        words = [f"{kind}: {list_names(names)}" for kind, names in groups.items() if names]
        if self.entries.prefix:
            words.append(f"of the entries {self.entries.prefix}*")
        return words

    def _unlike(self, key: str, found: str) -> str:
        if self.entries.own:
            return key
        theirs, ours = self.tensors[found], self.targets[key]
        return f"{self.name(key)} {tuple(theirs.shape)} instead of {tuple(ours.shape)}"


def _is_extra(key: str) -> bool:
    """Whether an entry of a file is one that is never used."""
    names = {name for name, _, _ in unwrapped(key)}
    return is_classifier(key) or BATCH_COUNTER in key or any(n.startswith(IGNORED) for n in names)


def _first(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''} ({len(names)})"


def _by_module(names: list[str]) -> str:
    """``parts.features.reduce (15), shallow.shallow1 (14)``: modules, and how many of each."""
    counts = Counter(".".join(name.split(".")[:3]) for name in names)
    words = [f"{module} ({count})" for module, count in counts.items()]
    return ", ".join(words[:6]) + (" …" if len(words) > 6 else "")


def _shown(entries: Iterable[tuple[str, Tensor]]) -> str:
    """The first entries with their shapes."""
    unique = dict(entries)
    return ", ".join(f"{name} {tuple(one.shape)}" for name, one in list(unique.items())[:SHOWN])


def _match(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> _Match:
    """Which entries of a file fit which of a model's state dict."""
    where = places(state)
    entries = named_entries(tensors, {place.bare for place in where.values()} - {""})
    _drop_unused(entries, tensors)
    targets = {
        key: tensor
        for key, tensor in state.items()
        if (entries.own and not is_classifier(key))
        or (where[key].bare and not key.endswith(BATCH_COUNTER))
    }
    match = _Match(targets, where, tensors, entries)
    for key, tensor in targets.items():
        found = entries.find(where[key])
        if found is None:
            if not key.endswith(BATCH_COUNTER):
                match.missing.append(key)
        elif tensors[found[0]].shape == tensor.shape and _same_kind(tensors[found[0]], tensor):
            match.fitting[key], match.given[key] = found
        else:
            match.unlike[key] = found[0]
    match.notes = _notes(match)
    return match


def _drop_unused(entries: NamedEntries, tensors: Mapping[str, Tensor]) -> None:
    """Leaves out what is equal in both streams of a published file that has it shared, too.

    AGW and its kin keep a whole backbone in each stream and train only the first stage of it; the
    others still hold their ImageNet weights, and the shared ones are those that were trained.
    """
    for found in () if entries.own else entries.keys.values():
        three = {"", "visible", "infrared"} <= found.keys()
        if three and torch.equal(tensors[found["visible"]], tensors[found["infrared"]]):
            del found["visible"], found["infrared"]


def _same_kind(first: Tensor, second: Tensor) -> bool:
    """Whether both are of real numbers or both of whole ones."""
    return first.is_floating_point() == second.is_floating_point()


# (modality of the model's entry, of the file's) → what the log says of such entries
NOTES = {
    ("", "visible"): "of two streams the visible one starts the shared",
    ("", "infrared"): "the infrared stream starts the shared",
    ("visible", ""): "shared stages start both streams",
    ("infrared", ""): "shared stages start both streams",
    ("infrared", "visible"): "the visible stream starts the infrared",
    ("visible", "infrared"): "the infrared stream starts the visible",
}


def _notes(match: _Match) -> list[str]:
    """Where one modality's weights start what both use, or weights of both what one uses."""
    stages: dict[str, dict[str, None]] = {}
    norms: dict[str, set[str]] = {}
    for key, source in match.fitting.items():
        place, given = match.where[key], match.given[key]
        if given == place.modality or not (match.entries.own or given):
            continue  # every published file starts both streams
        specific = stream_of(key if place.modality else source) != "shared"
        if place.stage and (specific or not match.entries.own):
            note = NOTES[place.modality, given]
            stages.setdefault(note, {})[f"conv{place.stage}"] = None
        else:
            note = "joint statistics start those of each modality"
            if not place.modality:
                note = f"{given} statistics start the joint ones"
            norms.setdefault(note, set()).add(place.name.rpartition(".")[0])
    words = [f"{note}: {', '.join(found)}" for note, found in stages.items()]
    return words + [f"{note}: {len(found)} norms" for note, found in norms.items()]


def _copy(match: _Match, path: Path) -> None:
    """Copies what fits, all or nothing where the file has numbers that are not finite."""
    used = set(match.fitting.values())
    broken = [key for key in used if not torch.isfinite(match.tensors[key]).all()]
    if broken:
        raise CheckpointError(
            f"{path} holds numbers that are not finite in {len(broken)} entries, such as "
            f"{min(broken)}: take an earlier checkpoint"
        )
    with torch.no_grad():
        for key, found in match.fitting.items():
            try:
                match.targets[key].copy_(match.tensors[found])
            except (RuntimeError, NotImplementedError) as error:
                raise CheckpointError(
                    f"{found} in {path} cannot be copied: {' '.join(str(error).split())[:200]}"
                ) from error
