"""Results that others printed, beside measured ones: each with its rules, never averaged with them.

The numbers are in ``published.csv``, one row per method and protocol. Every row names where its
numbers were read. ``published_queries.csv`` has the number of queries of each whole data set.
``docs/make_published.py`` writes both into the documentation.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid.evaluation.reranking.methods import parse_name
from vireid.evaluation.results import COLUMNS
from vireid.reports.tables import FORMATS, score_texts
from vireid.utils import tables

if TYPE_CHECKING:  # pandas takes half a second to import
    import pandas as pd

TABLE = Path(__file__).with_name("published.csv")
QUERIES = Path(__file__).with_name("published_queries.csv")
UNKNOWN = "unknown"
UNREAD = "its evaluation code was not read"
MEASURED = "Measured here, per cent: mean ± population standard deviation over seeds and splits."
PRINTED = "Printed by others, per cent, not measured here."
PRINTED_COLUMNS = ("rank1", "mAP", "mINP")
EQUAL = {"yes": "yes", "no": "no", UNKNOWN: "not known"}
DRAWS = {"all": "whole gallery", "given": "given lists"}  # of the measured results
UNITS = {"identity": "identities", "image": "images", "track": "tracks"}


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """One printed result.

    Args:
        method, year: year of publication; empty if not known.
        dataset, printed: the data set, and the protocol in the words of the source.
        protocol: the protocol of this project that asks the same or the nearest question; empty if
            the source does not say enough, for example no direction.
        fits: whether the rules are those of ``protocol`` with the gallery draw of ``draw``: ``yes``
            (as far as known), ``no`` or ``unknown``.
        draw: ``official``, ``seeded``, ``all``, ``unseeded`` or ``unknown``.
        reranked: ``yes``, ``no`` or ``unknown``.
        rank1, mAP, mINP: per cent, as printed; empty if not printed or not read.
        remark: what differs, what is not known, or what else raises the number.
        mark: ``read`` in the source, or ``quoted`` there from elsewhere.
        source, address: where the number was read.
    """

    method: str
    year: str
    dataset: str
    printed: str
    protocol: str
    fits: str
    draw: str
    reranked: str
    rank1: str
    mAP: str
    mINP: str
    remark: str
    mark: str
    source: str
    address: str

    @property
    def rules(self) -> str:
        """What is known about the rules, in words."""
        known = ["re-ranked"] if self.reranked == "yes" else []
        known += [self.remark] if self.remark else []
        return "; ".join(known) or (UNREAD if self.fits == UNKNOWN else "")


def read_published() -> list[PublishedResult]:
    """All printed results, in the order of the file."""
    names = [field.name for field in fields(PublishedResult)]
    return [PublishedResult(*(row[name] for name in names)) for row in _rows(TABLE)]


def whole_set(protocol: str) -> int | None:
    """Queries of a protocol on its whole data set; None if that number is not published."""
    name = protocol.partition("+")[0]
    found = (int(row["queries"]) for row in _rows(QUERIES) if row["protocol"] == name)
    return next(found, None)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def published_table(table: pd.DataFrame) -> pd.DataFrame:
    """The printed results of the protocols of a table of measured ones.

    Args:
        table: of :func:`~vireid.reports.tables.score_table`.
    Returns:
        columns ``method``, ``year``, ``protocol``, ``rank1``, ``mAP``, ``mINP`` (per cent, as
        printed), ``equal rules`` (yes, no, not known), ``rules`` (what differs from the measured
        results, or is not known) and ``source``; all are texts.
    """
    import pandas as pd

    measured: dict[str, list[dict[str, Any]]] = {}
    for entry in table.to_dict("records"):
        name = parse_name(str(entry["protocol"]))[0]
        measured.setdefault(name, []).append({str(key): value for key, value in entry.items()})
    rows = [
        _beside(result, entries)
        for protocol, entries in measured.items()
        for result in read_published()
        if result.protocol == protocol
    ]
    columns = ["method", "year", "protocol", *PRINTED_COLUMNS, "equal rules", "rules", "source"]
    return pd.DataFrame(rows, columns=columns)


def _beside(result: PublishedResult, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """A printed result as a row beside the measured ones of its protocol."""
    equal, found = result.fits, []
    draws = sorted({str(entry["gallery_draw"]) for entry in entries})
    if result.draw not in (*draws, UNKNOWN):
        equal = "no"
        found.append(f"{result.draw} draw (measured: {', '.join(draws)})")
    whole = whole_set(result.protocol)
    counts = sorted({entry["num_query"] for entry in entries})
    measured = f"measured: {', '.join(map(str, counts))}"
    if whole is None:
        equal = UNKNOWN if equal == "yes" else equal
        found.append(f"how many queries the whole set has is not known ({measured})")
    elif counts != [whole]:
        equal = "no"
        found.append(f"whole set ({measured} of {whole} queries)")
    rules = "; ".join([*found, *([result.rules] if result.rules else [])])
    scores = [getattr(result, metric) or "–" for metric in PRINTED_COLUMNS]
    source = f"{result.source}, {result.address}"
    named = [result.method, result.year or "–", result.protocol]
    return [*named, *scores, EQUAL[equal], rules or "–", source]


def _measured_texts(table: pd.DataFrame) -> pd.DataFrame:
    """The measured rows as texts, each with its rules."""
    texts = score_texts(table)
    texts["rules"] = [_measured_rules(entry) for entry in table.to_dict("records")]
    return texts


def _measured_rules(entry: Mapping[Any, Any]) -> str:
    whole = whole_set(str(entry["protocol"]))
    queries = (
        f"{entry['num_query']} of {whole} queries" if whole else f"{entry['num_query']} queries"
    )
    unit = UNITS.get(entry["cmc_unit"], entry["cmc_unit"])
    draw = DRAWS.get(entry["gallery_draw"], f"{entry['gallery_draw']} draw")
    return f"{draw}, {entry['metric']}, CMC in {unit}, {queries}"


def _as_markdown(table: pd.DataFrame) -> str:
    printed = published_table(table)
    blocks = [MEASURED, tables.markdown(_measured_texts(table))]
    blocks += [PRINTED, tables.markdown(printed)] if len(printed) else []
    return "\n\n".join([*blocks, *_not_listed(table, printed)])


def _as_latex(table: pd.DataFrame) -> str:
    """Two tabulars; the sources are comments above the second."""
    long = "p{6cm}"
    columns = "llr" + "r" * len(COLUMNS) + long
    note = rf"{MEASURED} Needs \usepackage{{booktabs}}."
    blocks = [tables.latex(_measured_texts(table), note=note, columns=columns)]
    printed = published_table(table)
    if len(printed):
        rows = zip(printed["method"], printed["protocol"], printed["source"], strict=True)
        notes = [PRINTED, *(f"{method}, {name}: {source}" for method, name, source in rows)]
        shown = printed.drop(columns="source")
        blocks.append(tables.latex(shown, note="\n% ".join(notes), columns="lrlrrrl" + long))
    return "\n\n".join([*blocks, *(f"% {line}" for line in _not_listed(table, printed))])


def _as_csv(table: pd.DataFrame) -> str:
    """One table; printed scores have columns of their own, so that nothing averages both kinds."""
    import pandas as pd

    names = {"method": "recipe", "equal rules": "equal_rules"}
    names |= {name: f"printed_{name}" for name in PRINTED_COLUMNS}
    printed = published_table(table).rename(columns=names).replace("–", None)
    printed.insert(0, "kind", "printed")
    counts = ("runs", "num_query", "num_gallery")  # stay whole numbers beside rows without them
    measured = table.astype(dict.fromkeys(counts, "Int64"))
    measured.insert(0, "kind", "measured")
    return tables.csv(pd.concat([measured, printed]) if len(printed) else measured)


def _not_listed(table: pd.DataFrame, printed: pd.DataFrame) -> list[str]:
    """A line that names the measured protocols without printed results, if there are any."""
    names = [parse_name(name)[0] for name in table["protocol"]]
    lacking = [name for name in dict.fromkeys(names) if name not in set(printed["protocol"])]
    return [f"No printed result is listed for {', '.join(lacking)}."] if lacking else []


WITH_PUBLISHED: dict[str, Callable[[pd.DataFrame], str]] = {
    "md": _as_markdown,
    "csv": _as_csv,
    "latex": _as_latex,
}
assert WITH_PUBLISHED.keys() == FORMATS.keys()
