"""What a user's function returns, made into what the engine stores; and hashes."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import xxhash

from .errors import FrameError
from .frame import Array, Kind
from .table import Measurements

_LARGEST_LABEL = 2**32 - 1
_LARGEST_INTEGER = 2**63 - 1


def normal(value: object, kind: Kind, name: str) -> Any:  # one type per kind
    """Return a step's value in the engine's form.

    Images stay as they are (bool becomes uint8), masks become uint8 0/1, labels
    uint32, tables `Measurements`; a value is left alone.

    Raises
    ------
    FrameError
        The value cannot be what its ``kind`` says.
    """
    if kind == "table":
        return _table(value, name)
    if kind == "value":
        if not isinstance(
            value, int | float | str | bool | Mapping | np.generic | None
        ):
            raise FrameError(
                f"step {name!r}: a value is a number, text or a mapping of them, "
                f"got {type(value).__name__}"
            )
        return value
    return _image(value, kind, name)


def _image(value: object, kind: Kind, name: str) -> Array:
    array: Array = np.asarray(value)
    if array.dtype.kind not in "buif" or array.ndim < 2 or not array.size:
        raise FrameError(
            f"step {name!r}: kind {kind!r} needs an array of numbers with two or more "
            f"axes, got shape {array.shape} of {array.dtype}"
        )
    if kind == "mask":
        marked = array != 0
        if array.dtype.kind == "f":
            marked &= ~np.isnan(array)  # NaN is background, as in `threshold`
        return np.ascontiguousarray(marked, dtype=np.uint8)
    if kind == "labels":
        if array.dtype.kind == "f" or (array.dtype.kind == "i" and array.min() < 0):
            raise FrameError(
                f"step {name!r}: labels are whole numbers from 0 on, "
                f"got {array.dtype}" + (" below 0" if array.dtype.kind == "i" else "")
            )
        if array.dtype.itemsize > 4 and array.max() > _LARGEST_LABEL:
            raise FrameError(
                f"step {name!r}: labels are at most {_LARGEST_LABEL} (uint32), "
                f"got {array.max()}; number them anew"
            )
        return np.ascontiguousarray(array, dtype=np.uint32)
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array).view(np.uint8)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return np.ascontiguousarray(array, dtype=np.float64)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _table(value: object, name: str) -> Measurements:
    if isinstance(value, Measurements):
        return value
    columns: Mapping[Any, Any]
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        columns = {str(c): value[c].to_numpy() for c in value.columns}  # type: ignore[index]  # a DataFrame
    elif isinstance(value, Mapping):
        columns = {str(c): np.atleast_1d(np.asarray(v)) for c, v in value.items()}
    elif isinstance(value, Sequence) and not isinstance(value, str):
        keys = list(dict.fromkeys(key for row in value for key in row))
        columns = {str(k): np.asarray([row[k] for row in value]) for k in keys}
    else:
        raise FrameError(
            f"step {name!r}: a table is a DataFrame, a mapping of columns or a list "
            f"of rows, got {type(value).__name__}"
        )
    lengths = {len(c) for c in columns.values()}
    if len(lengths) > 1:
        raise FrameError(f"step {name!r}: columns of different lengths {lengths}")
    columns = {c: v for c, v in columns.items() if c != "frame"}
    if "label" not in columns:
        rows = lengths.pop() if lengths else 0
        columns = {"label": np.arange(1, rows + 1), **columns}
    ordered = {"label": columns["label"], **columns}
    try:
        return Measurements(_columns(ordered))
    except FrameError as error:
        raise FrameError(f"step {name!r}: {error}") from None


def _columns(given: Mapping[str, Any]) -> dict[str, Array]:
    """Return columns as SQL can hold them.

    Raises
    ------
    FrameError
        Names that SQL cannot tell apart, labels that are no key, values too large.
    """
    folded = {"frame": "frame"}
    columns = {}
    for name, values in given.items():
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise FrameError(
                f"columns {other!r} and {name!r} differ only in case; rename one"
            )
        try:
            name.encode()
            columns[name] = _labels(values) if name == "label" else _column(values)
        except (FrameError, UnicodeEncodeError) as error:
            raise FrameError(f"column {name!r}: {error}") from None
    return columns


def _labels(values: Any) -> Array:  # whatever numpy takes
    labels = _column(values)
    whole = labels.dtype.kind == "i"
    if labels.dtype.kind == "f":
        # what pandas makes of whole numbers
        whole = bool(np.all((labels == np.floor(labels)) & (abs(labels) < 2**53)))
    if not whole:
        raise FrameError("labels are whole numbers, one per row")
    labels = labels.astype(np.int64)
    known, counts = np.unique(labels, return_counts=True)
    if len(known) < len(labels):
        raise FrameError(f"label {known[counts > 1][0]} is given twice in one frame")
    return labels


def _column(values: Any) -> Array:  # whatever numpy takes
    array = np.asarray(values)
    if array.ndim != 1:
        raise FrameError(f"needs one value per row, got shape {array.shape}")
    if array.dtype.kind == "u" and array.size and array.max() > _LARGEST_INTEGER:
        raise FrameError(f"{array.max()} does not fit a 64-bit integer of SQL")
    if array.dtype == object and any(
        isinstance(v, int) and abs(v) > _LARGEST_INTEGER for v in array
    ):
        raise FrameError("a whole number does not fit a 64-bit integer of SQL")
    if array.dtype == object:
        array = np.array([None if _is_missing(v) else v for v in array], dtype=object)
        if all(_is_number(v) or v is None for v in array):
            array = array.astype(np.float64)
    if array.dtype.kind in "bui":
        return array.astype(np.int64)
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    # one type per column, as SQL keeps it: text, or nothing
    cells = [None if v is None else str(_plain(v)) for v in array.tolist()]
    for cell in cells:
        if cell is not None:
            cell.encode()  # a lone surrogate is no text
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return column


def _is_missing(value: object) -> bool:
    """Return whether it is one of the ways to say nothing: None, NaN, NA, NaT."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, complex)


def as_table(value: object) -> Measurements:
    """Return a table, or a value as a table of one row with label 0."""
    if isinstance(value, Measurements):
        return value
    items = value if isinstance(value, Mapping) else {"value": value}
    columns = {str(k): [_plain(v)] for k, v in items.items() if k != "frame"}
    return Measurements(_columns({"label": [0], **columns}))


def _plain(value: Any) -> Any:  # a scalar of any type
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return json.dumps(value) if isinstance(value, list | dict | tuple) else value


def sql_types(table: Measurements) -> dict[str, str]:
    """Return the SQL type of each column."""
    types = {"i": "INTEGER", "f": "REAL"}
    return {c: types.get(v.dtype.kind, "TEXT") for c, v in table.columns.items()}


def sql_rows(frame: int, table: Measurements) -> list[tuple[Any, ...]]:
    """Return rows for SQLite, by label, the frame number first, NaN as NULL."""
    columns = []
    for column in table.columns.values():
        values = column.tolist()
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            values = [v if math.isfinite(v) else None for v in values]
        columns.append(values)
    rows = [(frame, *row) for row in zip(*columns, strict=True)]
    labels = table.columns["label"]
    if (labels[1:] < labels[:-1]).any():
        rows.sort(key=lambda row: row[1])
    return rows


def hash_image(array: Array) -> str:
    """Return the xxh3_64 hex of the C-order little-endian bytes."""
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    return xxhash.xxh3_64_hexdigest(little.reshape(-1).view(np.uint8).data)


def hash_rows(rows: list[tuple[Any, ...]]) -> str:
    """Return the xxh3_64 hex of the rows (frame first) as canonical JSON.

    That is ``json.dumps(rows, separators=(",", ":"))`` of rows without NaN, as
    `sql_rows` gives them.
    """
    text = msgspec.json.encode(rows)
    # fifteen times as fast while holding the GIL, but text, exponents (true and false
    # also hold an e) and numbers below 0.0001 are written otherwise
    if b"e" in text or b'"' in text or b"0.0000" in text:
        text = json.dumps(rows, separators=(",", ":")).encode()
    return xxhash.xxh3_64_hexdigest(text)
