"""What a function returns becomes what the engine stores, or a failed frame."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import FrameError
from streamproc.values import (
    as_table,
    hash_image,
    hash_rows,
    normal,
    sql_rows,
    sql_types,
)


def table(value: object) -> dict[str, list[Any]]:
    found = normal(value, "table", "mine")
    return {name: column.tolist() for name, column in found.columns.items()}


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ("bool", "uint8"),
        ("uint8", "uint8"),
        (">u2", "uint16"),
        ("int64", "int64"),
        ("float16", "float16"),
        (">f8", "float64"),
        ("longdouble", "float64"),
    ],
)
def test_images_keep_their_dtype(given: str, dtype: str) -> None:
    image = np.arange(6).reshape(2, 3).astype(given)
    value = normal(image[:, ::-1], "image", "mine")
    assert value.dtype == np.dtype(dtype)
    assert value.flags.c_contiguous
    assert np.array_equal(value, image[:, ::-1].astype(dtype))


def test_masks_and_labels() -> None:
    mask = normal(np.array([[0.0, np.nan], [-1, np.inf]]), "mask", "mine")
    assert mask.tolist() == [[0, 0], [1, 1]]
    assert mask.dtype == np.uint8
    labels = normal([[True, False]], "labels", "mine")
    assert (labels.tolist(), labels.dtype) == ([[1, 0]], np.uint32)
    assert normal(np.full((1, 1), 2**32 - 1), "labels", "m").item() == 2**32 - 1


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (
            None,
            "image",
            r"step 'mine': kind 'image' needs an array of numbers .* of obj",
        ),
        (
            np.ones(3),
            "image",
            r"needs an array of numbers with two or more axes, got s",
        ),
        (np.ones((0, 3)), "mask", r"got shape \(0, 3\)"),
        (np.ones((2, 2), complex), "image", "of complex128"),
        ("text", "image", "needs an array of numbers"),
        (np.ones((2, 2)), "labels", "labels are whole numbers from 0 on, got float64"),
        (np.full((2, 2), -1), "labels", "whole numbers from 0 on, got int64 below 0"),
        (
            np.full((2, 2), 2**32),
            "labels",
            r"at most 4294967295 \(uint32\), got 42949672",
        ),
        (
            3,
            "table",
            "a table is a DataFrame, a mapping of columns or a list of rows, g",
        ),
        ({"a": [1], "b": [1, 2]}, "table", "columns of different lengths"),
        (
            {"label": [1, 1]},
            "table",
            "column 'label': label 1 is given twice in one fr",
        ),
        (
            {"label": [1.5]},
            "table",
            "column 'label': labels are whole numbers, one per r",
        ),
        ({"label": [1.0, np.nan]}, "table", "labels are whole numbers, one per row"),
        ({"label": ["a"]}, "table", "labels are whole numbers, one per row"),
        ({"a": [1], "A": [1]}, "table", "columns 'a' and 'A' differ only in case; ren"),
        ({"Label": [1]}, "table", "columns 'label' and 'Label' differ only in case"),
        ({"Frame": [1]}, "table", "columns 'frame' and 'Frame' differ only in case"),
        (
            {"a": [[1, 2]]},
            "table",
            r"column 'a': needs one value per row, got shape \(1, 2",
        ),
        ({"a": np.array([2**63], np.uint64)}, "table", "does not fit a 64-bit integer"),
        (
            {"a": [2**70]},
            "table",
            "column 'a': a whole number does not fit a 64-bit int",
        ),
        ({"a": ["\ud800"]}, "table", "column 'a': 'utf-8' codec can't encode"),
        ([1, 2], "value", "a value is a number, text or a mapping of them, got list"),
    ],
)
def test_what_does_not_fit_its_kind(value: Any, kind: Any, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        normal(value, kind, "mine")


def test_tables_in_every_form() -> None:
    expected = {"label": [1, 2], "a": [1, 2], "b": [0.5, 1.5]}
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    assert table(frame) == expected
    assert table({"a": [1, 2], "b": [0.5, 1.5]}) == expected
    assert table([{"a": 1, "b": 0.5}, {"a": 2, "b": 1.5}]) == expected
    assert table(frame.assign(label=[7.0, 9.0], frame=3)) == expected | {
        "label": [7, 9]
    }
    assert table([]) == table({}) == table(pd.DataFrame()) == {"label": []}
    assert table({"a": 3}) == {"label": [1], "a": [3]}


def test_columns_have_one_type() -> None:
    given = pd.DataFrame(
        {
            "whole": pd.array([1, None], dtype="Int64"),
            "text": ["a", None],
            "mixed": ["a", 2],
            "nothing": [None, None],
            "flags": [True, False],
            "lists": [[1, 2], {"a": 1}],
        }
    )
    made = normal(given, "table", "mine")
    rows = sql_rows(5, made)
    assert sql_types(made) == {
        "label": "INTEGER",
        "whole": "REAL",
        "text": "TEXT",
        "mixed": "TEXT",
        "nothing": "REAL",
        "flags": "INTEGER",
        "lists": "TEXT",
    }
    assert rows == [
        (5, 1, 1.0, "a", "a", None, 1, "[1, 2]"),
        (5, 2, None, None, "2", None, 0, '{"a": 1}'),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, {"label": [0], "value": [3]}),
        (True, {"label": [0], "value": [1]}),
        ("a", {"label": [0], "value": ["a"]}),
        (np.float32(0.5), {"label": [0], "value": [0.5]}),
        ({"a": 1, "frame": 9}, {"label": [0], "a": [1]}),
        ({"a": np.arange(2)}, {"label": [0], "a": ["[0, 1]"]}),
        ({"a": [1, 2]}, {"label": [0], "a": ["[1, 2]"]}),
    ],
)
def test_a_value_is_a_table_of_one_row(value: Any, expected: dict[str, Any]) -> None:
    found = as_table(normal(value, "value", "mine"))
    assert {n: c.tolist() for n, c in found.columns.items()} == expected


def test_nothing_is_null() -> None:
    assert sql_rows(0, as_table(None)) == [(0, 0, None)]
    assert sql_rows(0, as_table(float("nan"))) == [(0, 0, None)]
    assert sql_rows(0, as_table({"a": float("inf")})) == [(0, 0, None)]
    with pytest.raises(FrameError, match="does not fit a 64-bit integer of SQL"):
        as_table(2**64)


CELLS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(st.text(max_size=3), st.lists(CELLS, max_size=3), max_size=3))
def test_any_table_is_rows_for_sql_or_refused(given: dict[str, list[Any]]) -> None:
    try:
        made = normal(given, "table", "mine")
    except (FrameError, ValueError):
        return
    types = sql_types(made)
    rows = sql_rows(1, made)
    assert len(rows) == len(made)
    for row in rows:
        for cell, kind in zip(row[1:], types.values(), strict=True):
            allowed = {"INTEGER": int, "REAL": float, "TEXT": str}[kind]
            assert cell is None or type(cell) is allowed
            if isinstance(cell, int):
                assert abs(cell) < 2**63
    assert hash_rows(rows) == hash_rows(sql_rows(1, made))


def test_hashes_are_of_little_endian_bytes_and_canonical_rows() -> None:
    image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    expected = xxhash.xxh3_64_hexdigest(image.astype("<u2").tobytes())
    assert hash_image(image) == hash_image(image.astype(">u2")) == expected
    assert hash_image(np.asfortranarray(image)) == expected
    rows = [(0, 1, 0.5, None, "a")]
    text = json.dumps([[0, 1, 0.5, None, "a"]], separators=(",", ":"))
    assert hash_rows(rows) == xxhash.xxh3_64_hexdigest(text.encode())


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**31),
            st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.floats(1e-6, 1e-3) | st.floats(1e15, 1e18),
            st.none() | st.text(),
            st.booleans(),
        )
    ),
    st.integers(1, 6),
)
def test_the_hash_of_rows_is_that_of_their_json(
    rows: list[tuple[object, ...]], width: int
) -> None:
    rows = [row[:width] for row in rows]
    text = json.dumps(rows, separators=(",", ":"))
    assert hash_rows(rows) == xxhash.xxh3_64_hexdigest(text.encode())
