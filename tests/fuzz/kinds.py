"""The kinds of input that are attacked: how each is made, and what reads it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz import configs, galleries, lists, networks, pictures, results, states, tables

Use = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input.

    Args:
        make: (empty folder, generator) → writes an input there and returns what reads it.
        examples: inputs that the suite tries.
        needs: packages that an installation may lack.
    """

    name: str
    make: Callable[[Path, random.Random], Use]
    examples: int = 20
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Packages that it needs and that are not there."""
        return [name for name in self.needs if find_spec(name) is None]


EXPORT = ("onnx", "onnxscript", "onnxruntime", "openvino")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("config", configs.config),
        Kind("sweep file", configs.sweep),
        Kind("override", configs.override),
        Kind("CSV set", lists.csv),
        Kind("SYSU-MM01 lists", lists.sysu),
        Kind("RegDB lists", lists.regdb),
        Kind("LLCM lists", lists.llcm),
        Kind("VeRi-776 lists", lists.veri),
        Kind("VehicleID lists", lists.vehicleid),
        Kind("permutations (.mat)", tables.permutations),
        Kind("features (.mat)", tables.official),
        Kind("features.npz", tables.features, examples=12),
        Kind("test ids", tables.identities_to_score),
        Kind("image", pictures.image),
        Kind("results.json", results.results),
        Kind("run page", results.page, examples=4),
        Kind("weights", states.weights, examples=8),
        Kind("checkpoint", states.checkpoint, examples=8),
        Kind("resumed checkpoint", states.resumed, examples=3),
        Kind("ONNX file", networks.onnx, needs=EXPORT),
        Kind("OpenVINO files", networks.openvino, needs=EXPORT),
        Kind("changed exports without a checksum", networks.crafted, examples=30, needs=EXPORT),
        Kind("gallery", galleries.gallery, examples=30),
        Kind("search index", galleries.index, needs=("faiss",)),
        Kind("images of a gallery (.csv)", galleries.listing),
    )
}
