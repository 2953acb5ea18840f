"""A filter keeps the rows that Python's own reading of it keeps, and no others."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamproc.dashboards.filter import Filter, parse, quoted

from streamproc.errors import ConfigError

COLUMNS = ("frame", "area", "odd-name", "x")
ROWS = [(n // 3, n * 7 % 11, n % 4 - 1.5, n / 8) for n in range(40)]

Value = tuple[str, Callable[[Any], float]]
Condition = tuple[str, Callable[[Any], bool]]


@pytest.fixture(scope="module")
def table() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.execute(f"CREATE TABLE t ({', '.join(map(quoted, COLUMNS))})")
    db.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", ROWS)
    return db


def kept(db: sqlite3.Connection, text: str) -> list[Any]:
    found = parse(text, COLUMNS)
    return db.execute(f"SELECT * FROM t WHERE {found.sql}", found.values).fetchall()


def _both(sign: str, do: Callable[[Any, Any], Any]) -> Callable[..., tuple[str, Any]]:
    def joined(pair: tuple[Any, Any]) -> tuple[str, Any]:
        (a, f), (b, g) = pair
        return f"({a} {sign} {b})", lambda row: do(f(row), g(row))

    return joined


def _column(name: str, at: int) -> st.SearchStrategy[Value]:
    return st.just((name, lambda row: row[at]))


def _conditions() -> st.SearchStrategy[Condition]:
    values = st.one_of(
        _column("area", 1),
        _column("[odd-name]", 2),
        _column("x", 3),
        st.integers(0, 9).map(lambda n: (str(n), lambda row: n)),
    )
    sums = st.recursive(
        values,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(_both("+", lambda a, b: a + b)),
            st.tuples(inner, inner).map(_both("-", lambda a, b: a - b)),
            st.tuples(inner, inner).map(_both("*", lambda a, b: a * b)),
            inner.map(lambda part: (f"-{part[0]}", lambda row: -part[1](row))),
            inner.map(lambda part: (f"abs({part[0]})", lambda row: abs(part[1](row)))),
        ),
        max_leaves=4,
    )
    compared = [
        st.tuples(sums, sums).map(_both("<", lambda a, b: a < b)),
        st.tuples(sums, sums).map(_both(">=", lambda a, b: a >= b)),
        st.tuples(sums, sums).map(_both("==", lambda a, b: a == b)),
        st.tuples(sums, sums).map(_both("!=", lambda a, b: a != b)),
    ]
    return st.recursive(
        st.one_of(*compared),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(_both("and", lambda a, b: a and b)),
            st.tuples(inner, inner).map(_both("OR", lambda a, b: a or b)),
            inner.map(lambda part: (f"not {part[0]}", lambda row: not part[1](row))),
        ),
        max_leaves=4,
    )


@given(_conditions())
def test_it_keeps_what_python_keeps(
    table: sqlite3.Connection, condition: Condition
) -> None:
    text, holds = condition
    assert kept(table, text) == [row for row in ROWS if holds(row)]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", lambda f, a, o, x: True),
        (
            "area > 5 and frame = 3 or x < 1",
            lambda f, a, o, x: (a > 5 and f == 3) or x < 1,
        ),
        ("2 < area <= 7 != frame", lambda f, a, o, x: 2 < a <= 7 != f),
        ("area in (1, 2 + 1)", lambda f, a, o, x: a in (1, 3)),
        ("not area in (1, 3)", lambda f, a, o, x: a not in (1, 3)),
        ("area not in (1, 3)", lambda f, a, o, x: a not in (1, 3)),
        ("area / 2 > 2.2e0", lambda f, a, o, x: a / 2 > 2.2),
        ("area - 1 - 2 * 3 = 1", lambda f, a, o, x: a - 1 - 6 == 1),
        ("area is not null", lambda f, a, o, x: True),
        ("frame = 'x'", lambda f, a, o, x: False),
        ("area / 0 > 1 or area is null", lambda f, a, o, x: False),
    ],
)
def test_its_grammar(
    table: sqlite3.Connection, text: str, holds: Callable[..., bool]
) -> None:
    assert kept(table, text) == [row for row in ROWS if holds(*row)]


def test_values_are_bound() -> None:
    found = parse('[a"b] = \'x"; DROP TABLE t\' and [a"b] > 3', ['a"b'])
    sql = '(("a""b" = ?) AND ("a""b" > ?))'
    assert found == Filter(sql, ('x"; DROP TABLE t', 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arae > 5", "no column 'arae'; did you mean 'area'"),
        ("area", "needs a comparison such as area > 50 after 'area', it ends"),
        ("area >", "needs a column or a value after 'area >', it ends"),
        ("area > 5 area", "needs 'and' or 'or' after 'area > 5', got 'area'"),
        ("(area > 5", r"needs '\)' after 'area > 5', it ends"),
        ("(area > 5) + 1 > 2", "needs a value where it has a comparison"),
        ("area > 5; DROP TABLE t", "cannot have ';'"),
        ("area > __import__('os')", "no column '__import__'"),
        ("area > 'x", 'cannot have "\'x"'),
        ("area is 3", "needs 'null'"),
        ("area in 3", r"needs '\('"),
        ("area > 1e999", "1e999 is too large a number"),
        ("(" * 400 + "area", "at most 30 levels deep"),
        ("not " * 200 + "area > 1", "at most 30 levels deep"),
        ("area > 1 or " * 100, "at most 1000 characters, got 1200"),
    ],
)
def test_what_is_none_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        parse(text, COLUMNS)
    assert "\n" not in str(refused.value)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        found = parse(text, COLUMNS)
    except ConfigError:
        return
    db = sqlite3.connect(":memory:")
    db.execute(f"CREATE TABLE t ({', '.join(map(quoted, COLUMNS))})")
    db.execute(f"SELECT * FROM t WHERE {found.sql}", found.values)
    db.close()
