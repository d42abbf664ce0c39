"""The re-ranking methods, and the names of their results: ``sysu_all_single+rerank``.

Add a method here, its options (``TEST.<NAME>``, ``TEST.<NAME>_<CONSTANT>``) in config/schema.py,
and nothing else: command lines, results and tables follow from the table.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vireid.errors import DataError, UsageError
from vireid.evaluation.distance import Rows
from vireid.evaluation.reranking.affinity import affinity_distances
from vireid.evaluation.reranking.expansion import expanded_distances
from vireid.evaluation.reranking.k_reciprocal import reranked_distances

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that a method is used with.

    Args:
        name: in results.json, on the command line and, in capitals, in the option's name.
        default: its type is that of all values.
        help: what it is.
        least, most: its range.
        of_gallery: it counts gallery images; the gallery must hold so many.
        of_all: it counts query and gallery images.
    """

    name: str
    default: float
    help: str
    least: float = 0
    most: float = np.inf
    of_gallery: bool = False
    of_all: bool = False

    @property
    def symbol(self) -> str:
        return {"lambda": "λ", "alpha": "α"}.get(self.name, self.name)

    def problem(self, value: float) -> str:
        """What is wrong with a value; empty where nothing is."""
        if self.least <= value <= self.most and value != np.inf:
            return ""
        limits = f"at least {self.least:g}"
        return f"must be {limits if self.most == np.inf else f'{limits} and at most {self.most:g}'}"


@dataclass(frozen=True, slots=True)
class Method:
    """A way to compute distances from all of a trial's images.

    Args:
        title: what rules and help call it.
        uses: unlabelled test images, besides the two that are compared.
        constants: with the defaults.
        distances: (Q, D) queries, (G, D) gallery, metric, values of the constants → distances.
        metric: the only one that the method is defined by; empty: any.
    """

    title: str
    uses: tuple[str, ...]
    constants: tuple[Constant, ...]
    distances: Callable[[np.ndarray, np.ndarray, str, Mapping[str, Any]], Rows]
    metric: str = ""

    def rule(self, *numbers: str) -> str:
        """The method and what it uses in words, with some numbers."""
        numbers += (f"always {self.metric}",) if self.metric else ()
        words = {"queries": "the other queries", "gallery": "the gallery"}
        used = " and ".join(words[one] for one in self.uses)
        with_numbers = f" ({', '.join(numbers)})" if numbers else ""
        return (
            f"after {self.title}{with_numbers}, which also uses {used} (transductive: does not "
            "compare with plain scores)"
        )


METHODS: dict[str, Method] = {
    "rerank": Method(
        "k-reciprocal re-ranking",
        ("queries", "gallery"),
        (
            Constant("k1", 20, "images of a k-reciprocal neighbourhood", least=1, of_all=True),
            Constant("k2", 6, "neighbours whose neighbourhoods are averaged", least=1, of_all=True),
            Constant("lambda", 0.3, "weight of the plain distance", most=1),
        ),
        lambda queries, gallery, metric, values: reranked_distances(
            queries,
            gallery,
            metric=metric,
            k1=values["k1"],
            k2=values["k2"],
            weight=values["lambda"],
        ).__getitem__,
    ),
    "expansion": Method(
        "query expansion",
        ("gallery",),
        (
            Constant("k", 5, "nearest gallery images that a query is averaged with; 0: none",
                     of_gallery=True),
            Constant("alpha", 3.0, "power of a neighbour's cosine that is its weight; 0: equal"),
        ),
        lambda queries, gallery, metric, values: expanded_distances(
            queries, gallery, metric=metric, **values
        ),
    ),
    "aim": Method(
        "AIM affinity inference",
        ("gallery",),
        (
            Constant("k1", 20, "nearest gallery images whose cosines are an image's affinities",
                     of_gallery=True),
            Constant("k2", 6, "nearest gallery images whose affinities are averaged",
                     least=1, of_gallery=True),
        ),
        lambda queries, gallery, metric, values: affinity_distances(queries, gallery, **values),
        metric="cosine",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Reranking:
    """A method and its constants.

    Args:
        method: a key of :data:`METHODS`.
        values: of all its constants, by name.
    Raises:
        ValueError: a value is out of range.
    """

    method: str
    values: Mapping[str, float]

    def __post_init__(self) -> None:
        for constant in METHODS[self.method].constants:
            if problem := constant.problem(self.values[constant.name]):
                value = self.values[constant.name]
                raise ValueError(f"{option(self.method, constant)} {problem}, not {value:g}")

    @property
    def suffix(self) -> str:
        """What names of results end with."""
        return f"+{self.method}"

    @property
    def rule(self) -> str:
        """The method, its constants, and what it uses, in words."""
        method = METHODS[self.method]
        numbers = [f"{c.symbol} = {self.values[c.name]:.12g}" for c in method.constants]
        return method.rule(*numbers)

    @property
    def fields(self) -> dict[str, Any]:
        """What an entry of results.json says about it."""
        uses = list(METHODS[self.method].uses)
        return {"transductive": True, "uses": uses, self.method: dict(self.values)}

    def require_images(self, protocol: str, num_gallery: int) -> None:
        """Raises ``DataError`` if a gallery holds fewer images than a constant asks for."""
        for constant in METHODS[self.method].constants:
            value = self.values[constant.name]
            if constant.of_gallery and value > num_gallery:
                raise DataError(
                    f"{protocol}: {METHODS[self.method].title} asks for the {value:g} nearest "
                    f"gallery images, and the gallery holds {num_gallery}: set "
                    f"{option(self.method, constant)} to at most {num_gallery}"
                )

    def warn_of_few(self, protocol: str, num_images: int) -> None:
        """Says so where a constant asks for more images than all queries and the gallery are."""
        for constant in METHODS[self.method].constants:
            value = self.values[constant.name]
            if constant.of_all and value > num_images:
                log.warning(
                    "%s: %s of %s is %g, and query and gallery are only %d images: all of them "
                    "are neighbours",
                    *(protocol, constant.symbol, METHODS[self.method].title, value, num_images),
                )

    def distances(self, queries: np.ndarray, gallery: np.ndarray, metric: str) -> Rows:
        """Distances of (Q, D) queries to a (G, D) gallery."""
        return METHODS[self.method].distances(queries, gallery, metric, self.values)

    def metric_of(self, metric: str) -> str:
        """The metric that the method compares by, where another may be asked for."""
        return METHODS[self.method].metric or metric


def option(method: str, constant: Constant) -> str:
    """How a user sets a constant, in words."""
    return f"TEST.{method}_{constant.name}".upper() + f" (--{method}-{constant.name})"


def reranking(method: str, values: Mapping[str, float | None]) -> Reranking:
    """A method with some constants; ``None`` or none given: the default.

    Raises:
        UsageError: a value is out of range.
    """
    given = {name: value for name, value in values.items() if value is not None}
    known = {c.name: given.get(c.name, c.default) for c in METHODS[method].constants}
    try:
        return Reranking(method, known)
    except ValueError as error:
        raise UsageError(str(error)) from error


def default_reranking(method: str) -> Reranking:
    """A method with its default constants."""
    return reranking(method, {})


def parse_name(name: str) -> tuple[str, str]:
    """``llcm_n2v+rerank`` → the protocol's name, and the method; empty for plain scores."""
    protocol, _, method = name.rpartition("+")
    return (protocol, method) if protocol and method in METHODS else (name, "")


def rule_of(name: str, entry: Mapping[str, Any]) -> str:
    """The re-ranking of an entry of results.json in words; empty for plain scores.

    Constants are left out where a changed file holds others than the method has.
    """
    method = parse_name(name)[1]
    if not method:
        return ""
    defaults = {c.name: c.default for c in METHODS[method].constants}
    try:
        return Reranking(method, {**defaults, **entry.get(method, {})}).rule
    except (TypeError, ValueError):
        return METHODS[method].rule()


def rule_notes(rules: Iterable[tuple[str, str]]) -> list[str]:
    """A line on each re-ranking, for below a table.

    Args:
        rules: names of results, and their rules of re-ranking in words; see :func:`rule_of`.
    """
    found = ((parse_name(name)[1], rule) for name, rule in rules)
    return list(dict.fromkeys(f"+{method}: {rule}." for method, rule in found if method))


def method_notes(names: Iterable[str]) -> list[str]:
    """A line on each method that some names of results have, without its constants."""
    methods = dict.fromkeys(method for _, method in map(parse_name, names) if method)
    return [f"+{name}: {METHODS[name].rule()}." for name in methods]
