"""A gallery of a user's own images: a LanceDB table at a path, or at a URI of object storage."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import lancedb
import pyarrow as pa
from lancedb.index import BTree

from vireid.errors import CheckpointError, DataError, UsageError
from vireid.search.columns import OWN, fit_rows, gallery_schema, type_name
from vireid.search.filters import any_of, both, checked_filter, filter_error, quoted
from vireid.search.lance_errors import committed, is_conflict, is_panic, lance_errors, short
from vireid.search.storage import is_uri, require_storage
from vireid.utils.paths import exists_as, expand, is_hidden

TABLE = "images"
KEY = b"vireid"  # in the schema's metadata
FORMAT = 2
OLD = "gallery.json"  # of version 0.1
SMALL_FILES = 64  # data files of one commit each, from which on they are put together
# The same while images are still added: the old files stay for a week, and each time up to a
# million rows are written again.
SMALL_FILES_FILLING = 512
ID_INDEX = 50_000  # rows from which on an index finds ids
DELETED = 10_000  # ids in one condition


@dataclass(frozen=True, slots=True)
class GalleryModel:
    """The model that a gallery's features are of, and what the gallery was built from.

    Args:
        fingerprint: of the model.
        dim: numbers per feature.
        place: where the model is; empty if not known.
        size: (height, width) of its input; None if not known.
        source: images that ``build`` was given; empty for features made elsewhere.
        modality: of these images.
    """

    fingerprint: str
    dim: int
    place: str = ""
    size: tuple[int, int] | None = None
    source: str = ""
    modality: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """A state of a gallery that can be restored."""

    number: int
    time: datetime
    rows: int


class Gallery:
    """Images, what is known of them, and their features; see docs/search.md for the columns.

    What other processes change later is not seen until ``refresh``.

    Args:
        place: folder, or URI such as ``s3://bucket/people``.
        fingerprint: of the model that is going to search; None to take any.
    Raises:
        CheckpointError: missing, damaged, of another version or of another model.
    """

    def __init__(self, place: str | Path, *, fingerprint: str | None = None) -> None:
        self.place = place_name(place)
        table = _open(self.place)
        self.table = _missing(self.place) if table is None else table
        self.model = _read_model(self.place, self.schema)
        if fingerprint is not None:
            self.require_model(fingerprint)

    @classmethod
    def create(cls, place: str | Path, model: GalleryModel) -> Gallery:
        """An empty gallery; where one is already, that one, which must be of the same model.

        Raises:
            CheckpointError: there is one of another model.
            UsageError: a folder holds other files, or cannot be written.
        """
        name = place_name(place)
        if cls.find(name) is None:
            _require_empty(name)
            metadata = {KEY: json.dumps({"format": FORMAT, **asdict(model)}).encode()}
            with lance_errors(name):
                try:
                    lancedb.connect(name).create_table(
                        TABLE, schema=gallery_schema(model.dim, metadata)
                    )
                except (OSError, RuntimeError, ValueError) as error:  # another process was faster
                    if "already exists" not in str(error) and not is_conflict(error):
                        raise
        return cls(name, fingerprint=model.fingerprint)

    @classmethod
    def find(cls, place: str | Path) -> Gallery | None:
        """The gallery; None if there is none, or only the beginning of one.

        Raises:
            CheckpointError: damaged, or of another version.
        """
        name = place_name(place)
        return None if _open(name) is None else cls(name)

    def require_model(self, fingerprint: str) -> None:
        """
        Raises:
            CheckpointError: another model made the features.
        """
        if fingerprint != self.model.fingerprint:
            raise CheckpointError(
                f"the gallery {self.place} was made by another model (fingerprint "
                f"{self.model.fingerprint[:12]}, this one has {fingerprint[:12]}): name "
                "that model, or build the gallery again"
            )

    def refresh(self) -> None:
        """Sees what other processes have changed."""
        with lance_errors(self.place):
            self.table.checkout_latest()

    def __len__(self) -> int:
        with lance_errors(self.place):
            return int(self.table.count_rows())

    @property
    def dim(self) -> int:
        """Numbers per feature."""
        return self.model.dim

    @property
    def schema(self) -> pa.Schema:
        with lance_errors(self.place):
            return self.table.schema

    @property
    def columns(self) -> dict[str, str]:
        """What each column holds: text, whole number, number, time, true or false."""
        return {field.name: type_name(field.type) for field in self.schema}

    @property
    def base(self) -> Path | None:
        """Folder below which images have relative paths; None on object storage."""
        return None if is_uri(self.place) else Path(self.place).parent

    def stored(self, path: Path) -> str:
        """An image's path as the table has it: relative to the gallery where both are together."""
        if self.base is not None and path.is_relative_to(self.base):
            return Path(os.path.relpath(path, self.place)).as_posix()
        return str(path)

    def path_of(self, stored: str) -> Path:
        """The inverse of ``stored``."""
        return Path(stored if is_uri(self.place) else os.path.normpath(Path(self.place, stored)))

    def rows(self, columns: Sequence[str], where: str = "") -> pa.Table:
        """Columns of all rows, or of those that a filter leaves.

        Args:
            where: SQL condition on the columns, as a user writes it.
        Raises:
            UsageError: the condition cannot be understood.
        """
        found = self.table.search().select(list(columns)).limit(None)
        with self.filtering(where) as condition, lance_errors(self.place):
            return (found.where(condition) if condition else found).to_arrow()

    @contextmanager
    def filtering(self, where: str) -> Iterator[str]:
        """A user's filter as LanceDB takes it; what LanceDB says against it as one line.

        Raises:
            UsageError: the condition cannot be understood, or compares values of other types.
        """
        if not where:
            yield ""
            return
        condition = checked_filter(where, self.schema)
        self._try(where, condition, rows=1)
        try:
            yield condition
        except CheckpointError:
            self._try(where, condition)  # a later row may be to blame: cast(name AS int)
            raise

    def _try(self, where: str, condition: str, rows: int | None = None) -> None:
        """
        Raises:
            UsageError: the rows can be read, but not with this condition.
        """
        found = self.table.search().select(["id"]).limit(rows)
        try:
            found.where(f"({condition})").to_arrow()
        except BaseException as error:
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            with lance_errors(self.place):
                self.table.search().select(["id"]).limit(rows).to_arrow()
            reason = "it cannot be understood" if is_panic(error) else short(error)
            raise filter_error(where, reason, self.schema) from error

    def add(self, rows: pa.Table) -> int:
        """Adds rows whose ``id`` is not there yet, all of them or, if it is stopped, none.

        Returns:
            how many were added.
        Raises:
            UsageError: a column's values have another type than the gallery's.
        """
        self._add_columns(rows.schema)

        def insert() -> int:
            new = self.table.merge_insert("id").when_not_matched_insert_all()
            return int(new.execute(fit_rows(rows, self.schema, self.place)).num_inserted_rows)

        with lance_errors(self.place):
            return committed(self.table, insert)

    def update(self, rows: pa.Table) -> int:
        """Replaces the rows that have the same ``path``; others are not added.

        Columns that ``rows`` lacks keep their values.

        Returns:
            how many were replaced.
        """
        self._add_columns(rows.schema)

        def replace() -> int:
            new = self.table.merge_insert("path").when_matched_update_all()
            given = pa.schema([field for field in self.schema if field.name in rows.column_names])
            return int(new.execute(fit_rows(rows, given, self.place)).num_updated_rows)

        with lance_errors(self.place):
            return committed(self.table, replace)

    def _add_columns(self, schema: pa.Schema) -> None:
        def extend() -> None:
            self.table.checkout_latest()
            new = [field for field in schema if field.name not in self.schema.names]
            if new:
                self.table.add_columns(pa.schema(new))

        if any(name not in self.schema.names for name in schema.names):
            with lance_errors(self.place):
                committed(self.table, extend)

    def delete(self, ids: Sequence[str]) -> None:
        """Removes rows."""
        with lance_errors(self.place):
            for start in range(0, len(ids), DELETED):
                condition = any_of("id", ids[start : start + DELETED])
                committed(self.table, partial(self.table.delete, condition))

    def ids_of(self, names: Sequence[str | Path]) -> list[str]:
        """The ids of images.

        Args:
            names: files, as their source has them or as paths, or folders that hold some.
        Raises:
            DataError: the gallery has no such image.
        """
        frame = self.rows(["id", "path", "name"]).to_pandas()
        full = frame["path"].map(lambda stored: str(self.path_of(stored)))
        ids: dict[str, None] = {}
        for given in map(str, names):
            place = str(_full(given))
            below = full.str.startswith(place.rstrip("/") + "/")
            found = frame["id"][(full == place) | below | (frame["name"] == given)]
            if found.empty:
                raise DataError(f"the gallery {self.place} holds no image {given}")
            ids |= dict.fromkeys(found)
        return list(ids)

    def relocate(self, old: str, new: str) -> int:
        """Changes where images are: every path that begins with ``old``.

        Returns:
            how many images it concerns.
        Raises:
            DataError: none.
        """
        before, after = (self.stored(_full(one)) for one in (old, new))
        where = f"path = {quoted(before)} OR starts_with(path, {quoted(before + '/')})"
        end = len(before) + 1
        moved = {"path": f"concat({quoted(after)}, substr(path, {end}))"}
        with lance_errors(self.place):
            count = int(self.table.count_rows(where))
            if count:
                committed(self.table, lambda: self.table.update(where=where, values_sql=moved))
        if not count:
            raise DataError(f"the gallery {self.place} has no image below {old}")
        return count

    def versions(self) -> list[Version]:
        """The states that can be restored, oldest first."""
        with lance_errors(self.place):
            return [
                Version(one["version"], one["timestamp"], int(one["metadata"]["total_rows"]))
                for one in self.table.list_versions()
            ]

    def restore(self, number: int) -> None:
        """Makes an earlier state the present one; what came later stays a version, too.

        Raises:
            UsageError: there is no such version.
        """
        known = [one.number for one in self.versions()]
        if number not in known:
            raise UsageError(
                f"the gallery {self.place} has no version {number}; it has {known[0]} to "
                f"{known[-1]}"
            )
        with lance_errors(self.place):
            committed(self.table, partial(self.table.restore, number))

    def compact(self, least: int | None = None) -> bool:
        """Puts small data files together and updates the indexes, when that is due.

        Versions of the last seven days can still be restored.

        Args:
            least: small files from which on it is due; 64 by default.
        Returns:
            whether it was done; not if another process is doing it.
        """
        with lance_errors(self.place):
            self.table.checkout_latest()
            files = self.table.stats()["fragment_stats"]["num_small_fragments"]
            if files < (SMALL_FILES if least is None else least):
                return False
            try:
                self._optimize()
            except (OSError, RuntimeError, ValueError) as error:
                if not is_conflict(error):
                    raise
                return False
        return True

    def _optimize(self) -> None:
        indexed = {name for one in self.table.list_indices() for name in one.columns}
        if "id" not in indexed and self.table.count_rows() >= ID_INDEX:
            self.table.create_index("id", config=BTree())
        self.table.optimize()

    def paths_of_ids(self, ids: Sequence[str]) -> dict[str, str]:
        """The stored paths of those ids that the gallery has, now."""
        if not ids:
            return {}
        self.refresh()
        found = self.rows(["id", "path"], any_of("id", ids))
        return dict(zip(found["id"].to_pylist(), found["path"].to_pylist(), strict=True))

    def values(self, column: str, where: str = "") -> list[str]:
        """The distinct values of a text column, sorted."""
        found = self.rows([column], where=both(where, f"{column} IS NOT NULL"))
        return sorted(set(found[column].to_pylist()))


def place_name(place: str | Path) -> str:
    """A URI as it is, a folder as its absolute path."""
    return str(place) if is_uri(place) else str(expand(place).resolve())


def _full(given: str) -> Path:
    """As a listing makes paths: the folder's without links, the file's own name."""
    path = expand(given)
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def exists(place: str | Path) -> bool:
    """Whether there is a gallery; see ``Gallery.find``."""
    return _open(place_name(place)) is not None


def _open(place: str) -> Any:
    """The table; None if there is none, or if the process that was making it was stopped."""
    require_storage(place)
    folder = Path(place, f"{TABLE}.lance")
    if not is_uri(place) and not folder.is_dir():
        return None
    with lance_errors(place):
        try:
            return lancedb.connect(place).open_table(TABLE)
        except ValueError as error:
            if "was not found" not in str(error) or _holds_data(folder):
                raise
            return None


def _holds_data(table: Path) -> bool:
    """Whether a table of a folder has rows, so that it is damaged if it cannot be opened."""
    return any(table.glob("data/*")) or any(table.glob("_versions/*.manifest"))


def _missing(place: str) -> NoReturn:
    path = Path(place)
    if not is_uri(place) and (path / OLD).is_file():
        raise CheckpointError(
            f"{place} is a gallery of vireid 0.1, which this version does not read: build it "
            "again from its images, under another name"
        )
    more = "" if is_uri(place) else exists_as(path)
    raise CheckpointError(f"there is no gallery in {place}{more}: build one")


def _read_model(place: str, schema: pa.Schema) -> GalleryModel:
    try:
        values = json.loads((schema.metadata or {})[KEY])
        number = values.pop("format")
        size = values.pop("size")
        model = GalleryModel(size=size and tuple(size), **values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{place} holds a table {TABLE} that is no gallery of vireid: name another place"
        ) from error
    if number != FORMAT or [name for name in OWN if name not in schema.names]:
        raise CheckpointError(
            f"the gallery {place} has format {number}; this version reads format {FORMAT}: build "
            "it again"
        )
    return model


def _require_empty(place: str) -> None:
    if is_uri(place):
        return
    path = Path(place)
    try:
        beginning = f"{TABLE}.lance"  # see Gallery.find
        names = (one.name for one in path.iterdir())
        held = sorted(one for one in names if not is_hidden(one) and one != beginning)
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise UsageError(f"gallery {place}: there is a file of this name; name a folder") from error
    if held:
        raise UsageError(
            f"{place} is not a gallery, but holds {held[0]}: name another folder, or an empty one"
        )
