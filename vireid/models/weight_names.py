"""Names of weights in files: of any shared depth and kind of norm, wrapped, of other code bases."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

# This project's models: which stream, the number of the stage in it, the rest.
STAGE = re.compile(r"backbone\.(visible|infrared|shared)\.(\d+)\.(.+)")
OWN = re.compile(r"(?:^|\.)(?=backbone\.(?:visible|infrared|shared)\.\d+\.)")
OF_BACKBONE = re.compile(r"backbone\.\d+\.")
BRANCH = re.compile(r"branches\.\d+\.")  # one of several backbones side by side
COMPILED = "_orig_mod."  # what torch.compile adds, anywhere in a name
WRAPPING = re.compile(r"(module|model|backbone|net|network|encoder)\.")
# AGW and the many code bases that began as a copy of it: the streams, then the shared stages.
TWO_STREAMS = {
    "visible_module.visible.": "visible",
    "thermal_module.thermal.": "infrared",
    "base_resnet.base.": "",
}
INFRARED_MEAN = ".infrared.running_mean"  # in every norm with statistics per modality


@dataclass(frozen=True, slots=True)
class Place:
    """What a tensor is in a model, at every shared depth and with every kind of norm.

    Args:
        name: stages are numbered from the image on, ``backbone.0.conv1.conv.weight``.
        modality: ``visible`` or ``infrared`` where only images of one use it, else empty.
    """

    name: str
    modality: str = ""

    @property
    def bare(self) -> str:
        """The name that published files use; empty outside the backbone."""
        inside = OF_BACKBONE.match(self.name)
        return BRANCH.sub("", self.name[inside.end() :], count=1) if inside else ""

    @property
    def stage(self) -> int:
        """Number of the stage, counted from the image and from 1; 0 outside the backbone."""
        return int(self.name.split(".")[1]) + 1 if OF_BACKBONE.match(self.name) else 0


def stream_of(key: str) -> str:
    """``visible``, ``infrared`` or ``shared`` for an entry of a stage, else empty."""
    stage = STAGE.search(key)
    return stage[1] if stage else ""


def places(keys: Iterable[str]) -> dict[str, Place]:
    """The place of each entry of a model of this project.

    Args:
        keys: all names of its state dict.
    """
    names = set(keys)
    stages = [match for key in names if (match := STAGE.fullmatch(key))]
    specific = len({match[2] for match in stages if match[1] != "shared"})
    norms = {key.removesuffix(INFRARED_MEAN) for key in names if key.endswith(INFRARED_MEAN)}
    return {key: _place(key, specific, norms, names) for key in keys}


def _place(key: str, specific: int, norms: Collection[str], names: Collection[str]) -> Place:
    modality, stage = "", STAGE.fullmatch(key)
    name = key
    layer, _, last = key.rpartition(".")
    owner, _, part = layer.rpartition(".")
    if owner in norms and part in ("norm", "infrared"):
        name = f"{owner}.{last}"
        if f"{owner}.infrared.{last}" in names:  # else both modalities use it
            modality = "infrared" if part == "infrared" else "visible"
    if stage:
        stream, number = stage[1], int(stage[2])
        number += specific if stream == "shared" else 0
        modality = modality if stream == "shared" else stream
        name = f"backbone.{number}.{name.split('.', 3)[3]}"
    return Place(name, modality)


@dataclass(slots=True)
class NamedEntries:
    """Entries of a file by their place.

    Args:
        own: whether the file is of a model of this project.
        prefix: unknown words that the backbone's names begin with, if any.
        keys: name → modality → key in the file.
    """

    own: bool
    prefix: str = ""
    keys: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def find(self, place: Place) -> tuple[str, str] | None:
        """Key and modality of the entry that starts a place; None without one.

        What only one modality uses comes first, since files may hold stages that nothing uses.
        Of two streams the visible one starts a shared stage.
        """
        found = self._held(place)
        other = "visible" if place.modality == "infrared" else "infrared"
        for modality in (place.modality or "visible", "", other):
            if modality in found:
                return found[modality], modality
        return None

    def _held(self, place: Place) -> dict[str, str]:
        if not self.own:
            return self.keys.get(place.bare, {})
        return self.keys.get(place.name) or self.keys.get(BRANCH.sub("", place.name, count=1), {})


def named_entries(keys: Collection[str], wanted: Collection[str]) -> NamedEntries:
    """The places of a file's entries.

    Args:
        keys: all names of the file.
        wanted: names that published files give to entries of the model's backbone.
    """
    wrapped = [match for key in keys if (match := OWN.search(key.replace(COMPILED, "")))]
    if wrapped:
        prefix = wrapped[0].string[: wrapped[0].end()]
        names = {key.replace(COMPILED, "").removeprefix(prefix): key for key in keys}
        entries = NamedEntries(own=True)
        for name, place in places(names).items():
            entries.keys[place.name][place.modality] = names[name]
        return entries
    entries = NamedEntries(own=False)
    named = [(depth, *one) for key in keys for depth, one in enumerate(unwrapped(key))]
    for _, name, modality, key in sorted(named, key=lambda one: one[0]):  # the least wrapped first
        entries.keys[name].setdefault(modality, key)
    if sum(name in entries.keys for name in wanted) < len(wanted) / 2:
        entries.prefix = _common_prefix(keys, wanted)
        for key in keys if entries.prefix else ():
            if key.startswith(entries.prefix):
                entries.keys[key.removeprefix(entries.prefix)] = {"": key}
    return entries


def unwrapped(key: str) -> Iterator[tuple[str, str, str]]:
    """A key of a published file without wrappings, one after another: name, modality, key."""
    name = key.replace(COMPILED, "")
    yield name, "", key
    while match := WRAPPING.match(name):
        name = name[match.end() :]
        yield name, "", key
    for prefix, modality in TWO_STREAMS.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), modality, key


def _common_prefix(keys: Collection[str], wanted: Collection[str]) -> str:
    """What stands before most of the wanted names; empty if nothing does."""
    counts: Counter[str] = Counter()
    for key in keys:
        words = key.split(".")
        for number in range(1, len(words)):
            if ".".join(words[number:]) in wanted:
                counts[".".join(words[:number]) + "."] += 1
    return counts.most_common(1)[0][0] if counts else ""
