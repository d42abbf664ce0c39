"""What the controls of the search page ask for, as the options of a search."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vireid.errors import UsageError, VireidError
from vireid.search.filters import any_of, both, quoted
from vireid.search.gallery import Gallery
from vireid.search.query import SearchOptions

MOST = 100  # results on a page
NO_LIMIT = -1.0  # the least cosine that there is
DAY = r"\d{4}-\d\d-\d\d"
TIME = re.compile(rf"{DAY}([ T]\d\d:\d\d(:\d\d)?)?")
# The command line's names of what a page calls differently, in messages.
NAMES = {
    "--where": "filter",
    "--min-score": "least score",
    "--exclude-same-camera": "not from the query's camera",
    "name it by --camera, or in the column camid of a CSV file": "write it below",
    "--approximate": "approximate",
    "--fuse": "several images",
    "--top": "results",
    "--by": "show",
}


@dataclass(frozen=True, slots=True)
class Form:
    """
    Args:
        top: number of results, 1 to 100.
        least: smallest cosine of a result; -1 for no limit.
        cameras: of the results; none for all.
        modality: of the results; empty for all.
        since, until: times as text; a day as ``until`` includes that day.
        where: further SQL condition.
        by: ``image`` or ``identity``.
        other_camera: leave out images of the query's camera.
        query_camera: that camera; empty where it is not known.
        method: ``exact``, ``approximate``, or empty for the automatic choice.
    """

    top: int = 10
    least: float = NO_LIMIT
    cameras: tuple[str, ...] = ()
    modality: str = ""
    since: str = ""
    until: str = ""
    where: str = ""
    by: str = "image"
    other_camera: bool = False
    query_camera: str = ""
    method: str = ""

    @staticmethod
    def of(fields: Mapping[str, Any]) -> Form:
        """From the values of controls, which may be empty.

        Raises:
            UsageError: a number is missing.
        """
        if fields["top"] is None or fields["least"] is None:
            raise UsageError("results and least score: must be numbers")
        names = ("modality", "since", "until", "where", "by", "query_camera", "method")
        return Form(
            top=int(fields["top"]),
            least=float(fields["least"]),
            cameras=tuple(fields["cameras"] or ()),
            other_camera=bool(fields["other_camera"]),
            **{name: str(fields[name] or "") for name in names},
        )

    def options(self, gallery: Gallery) -> SearchOptions:
        """
        Raises:
            UsageError: a time or the filter cannot be understood.
        """
        where = self.where.strip()
        with gallery.filtering(where):  # alone, so that a message shows what the user wrote
            pass
        since, until = time_of(self.since, "from"), time_of(self.until, "to", end=True)
        return SearchOptions(
            top=max(1, min(int(self.top), MOST)),
            where=both(
                any_of("camid", self.cameras) if self.cameras else "",
                f"modality = {quoted(self.modality)}" if self.modality else "",
                f"time >= {quoted(since)}" if since else "",
                f"time <= {quoted(until)}" if until else "",
                where,
            ),
            min_score=self.least if self.least > NO_LIMIT else None,
            exclude_same_camera=self.other_camera,
            by=self.by,
        )


def time_of(text: str, name: str, *, end: bool = False) -> str:
    """A day or a time as SQL takes it; empty for an empty field.

    Args:
        name: of the field, for the message.
        end: a day without a time means its end.
    Raises:
        UsageError: it is no time.

    >>> time_of("2026-11-29", "to", end=True)
    '2026-11-29 23:59:59.999999'
    """
    text = text.strip()
    if not text:
        return ""
    try:
        if not TIME.fullmatch(text):
            raise ValueError
        found = pd.Timestamp(text)
    except ValueError as error:
        raise UsageError(
            f"{name}: must be a day such as 2026-11-29, or a time such as 2026-11-29 14:05, got "
            f"{text!r:.60}"
        ) from error
    if end and re.fullmatch(DAY, text):
        found += pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    return str(found)


def in_page(error: VireidError) -> str:
    """An error's message, with what the page calls the options."""
    text = str(error)
    for option, name in NAMES.items():
        text = text.replace(option, name)
    return text
