"""The columns of a gallery, and rows of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from vireid.errors import CheckpointError, DataError, UsageError

# A column so marked holds each value once, also where several processes write.
PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}
TIME = pa.timestamp("us")
# Identities and cameras are text, because they may have any names.
OWN = {
    "id": pa.string(),
    "path": pa.string(),
    "name": pa.string(),
    "modality": pa.string(),
    "pid": pa.string(),
    "camid": pa.string(),
    "time": TIME,
}
VECTOR = "vector"
BOX = "box"  # of persons that were detected in photos: x0,y0,x1,y1
TOLERANCE = 0.01  # of a vector's length, which is 1
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
FAMILIES = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)


def gallery_schema(dim: int, metadata: Mapping[bytes, bytes]) -> pa.Schema:
    """Of a new gallery, with features of ``dim`` numbers."""
    fields = [
        pa.field(name, kind, nullable=name != "id", metadata=PRIMARY_KEY if name == "id" else None)
        for name, kind in OWN.items()
    ]
    return pa.schema([*fields, pa.field(VECTOR, pa.list_(pa.float32(), dim))], metadata=metadata)


def further_columns(frame: pd.DataFrame, where: str) -> pa.Table:
    """The columns of a CSV file that this project gives no meaning, with their types.

    Raises:
        DataError: a name that SQL filters cannot use, or that LanceDB keeps for itself.
    """
    for name in frame.columns:
        if not NAME.fullmatch(name) or name.startswith("_"):
            raise DataError(
                f"{where}, line 1: {name!r:.100} cannot be the name of a column in a filter: use "
                "letters, digits and _, beginning with a letter"
            )
    fields = {}
    for name in frame.columns[frame.notna().any()]:  # an empty column has no type yet
        try:
            column = pa.array(frame[name], from_pandas=True)
        except (pa.ArrowException, OverflowError):  # whole numbers beyond 64 bits, say
            column = pa.array(frame[name].astype("string"), from_pandas=True)
        if pa.types.is_timestamp(column.type):
            column = column.cast(TIME, safe=False)
        if pa.types.is_null(column.type) or pa.types.is_large_string(column.type):
            column = column.cast(pa.string())
        fields[name] = column
    return pa.table(fields)


def build_rows(
    own: Mapping[str, Sequence[object]], vectors: np.ndarray, further: pa.Table | None = None
) -> pa.Table:
    """Rows to be added.

    Args:
        own: values of ``OWN``'s columns; those left out are unknown.
        vectors: (n, D) finite floats of length 1.
        further: (n rows) other columns.
    Raises:
        CheckpointError: vectors are of another length, or not finite.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    if not (np.abs(lengths - 1) <= TOLERANCE).all():  # also refuses what is not finite
        raise CheckpointError(
            f"features must be finite and of length 1, got lengths from {lengths.min():.3g} to "
            f"{lengths.max():.3g}"
        )
    count, dim = vectors.shape
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        name: pa.array(own.get(name, [None] * count), kind) for name, kind in OWN.items()
    }
    columns[VECTOR] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim)
    for name in further.column_names if further is not None else ():
        columns[name] = further[name]  # type: ignore[index]
    return pa.table(columns)


def fit_rows(rows: pa.Table, schema: pa.Schema, place: str) -> pa.Table:
    """Rows with a gallery's columns in its order; unknown values where they have none.

    Raises:
        UsageError: a column's values are of another type than the gallery's.
    """
    columns = []
    for field in schema:
        if field.name not in rows.column_names:
            columns.append(pa.nulls(len(rows), field.type))
            continue
        column = rows[field.name]
        try:
            kinds = {column.type, field.type} - {pa.string()}
            if len(kinds) > 1 and pa.bool_() in kinds:
                raise pa.ArrowTypeError("a cast would make numbers of true and false")
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise UsageError(
                f"column {field.name}: the CSV file has {type_name(column.type)}, the gallery "
                f"{place} {type_name(field.type)}: give it another name in the CSV file"
            ) from error
    return pa.table(columns, schema=schema)


def type_name(kind: pa.DataType) -> str:
    """What a column holds, in a user's words."""
    if pa.types.is_timestamp(kind):
        return "time"
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.list_size} × {kind.value_type}"
    names = ("true or false", "whole number", "number")
    return next((n for is_kind, n in zip(FAMILIES, names, strict=True) if is_kind(kind)), "text")
