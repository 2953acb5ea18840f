"""Filters of a table, ``area > 50 and frame < 10``, as SQL with bound values."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn

from streamproc.errors import ConfigError, nearest

#: Characters of a filter, and levels of brackets in it, at most.
LONGEST, DEEPEST = 1000, 30

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[^\W\d]\w*)
      | \[(?P<bracketed>[^\]]+)\]
      | (?P<text>'[^']*'|"[^"]*")
      | (?P<sign><=|>=|==|!=|<>|[-+*/=<>(),])
    )""",
    re.VERBOSE,
)
_SAME = {"==": "=", "<>": "!="}
_COMPARE = ("=", "!=", "<", "<=", ">", ">=", *_SAME)
_WORDS = frozenset(("and", "or", "not", "in", "is", "null", "none", "abs"))


@dataclass(frozen=True)
class Filter:
    """A condition in SQL, and the values that are bound to its question marks."""

    sql: str = "1"
    values: tuple[Any, ...] = ()


def parse(text: str, columns: Iterable[str]) -> Filter:
    """Return a filter as SQL; names are those of columns, values are bound.

    Parameters
    ----------
    text
        Comparisons (``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in (1, 2)``,
        ``is null``) of columns, numbers and texts, with ``+ - * /``, ``abs()``,
        ``and``, ``or``, ``not`` and brackets; a column with an odd name is
        ``[odd-name]``. Nothing but white space keeps every row.
    columns
        The table's.

    Returns
    -------
    Filter
        Division is that of real numbers; what is divided by zero is null, and a
        comparison with null is not met.

    Raises
    ------
    ConfigError
        It is no such condition, or names a column that the table has not.

    Examples
    --------
    >>> parse("50 < area and not frame in (3, 4)", ["frame", "area"])
    Filter(sql='((? < "area") AND (NOT ("frame" IN (?, ?))))', values=(50, 3, 4))
    """
    if not text.strip():
        return Filter()
    if len(text) > LONGEST:
        raise ConfigError(
            f"a filter has at most {LONGEST} characters, got {len(text)}; shorten it"
        )
    return _Parser(_tokens(text), tuple(columns)).whole()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str

    @property
    def word(self) -> str:
        """The sign, or the word that the grammar knows; else nothing."""
        if self.kind == "sign":
            return self.text
        word = self.text.lower()
        return word if self.kind == "name" and word in _WORDS else ""


def _tokens(text: str) -> list[_Token]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].split()[0]
            raise ConfigError(f"a filter cannot have {rest!r}; write it as area > 50")
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind]))
        at = match.end()
    return found


@dataclass(frozen=True)
class _Part:
    """A piece of SQL with its values: a condition, or a value."""

    sql: str
    values: tuple[Any, ...] = ()
    is_condition: bool = False


class _Parser:
    """Reads one filter by recursive descent: a bracket holds what it may hold."""

    def __init__(self, tokens: Sequence[_Token], columns: Sequence[str]) -> None:
        self._tokens, self._columns = tokens, columns
        self._at = self._depth = 0

    def whole(self) -> Filter:
        part = self._condition(self._either())
        if self._at < len(self._tokens):
            self._refuse("'and' or 'or'")
        return Filter(part.sql, part.values)

    def _either(self) -> _Part:
        """Return parts joined by ``or``, or the one that there is."""
        return self._joined("or", lambda: self._joined("and", self._negated))

    def _joined(self, word: str, read: Callable[[], _Part]) -> _Part:
        parts = [read()]
        while self._takes(word):
            self._condition(parts[-1])
            parts.append(self._condition(read()))
        if len(parts) == 1:
            return parts[0]
        sql = f" {word.upper()} ".join(part.sql for part in parts)
        return _Part(f"({sql})", _values(*parts), is_condition=True)

    def _negated(self) -> _Part:
        if not self._takes("not"):
            return self._comparison()
        with self._deeper():
            part = self._condition(self._negated())
        return _Part(f"(NOT {part.sql})", part.values, is_condition=True)

    def _comparison(self) -> _Part:
        left = self._sum()
        if self._word in ("in", "is", "not"):
            return self._member(self._value(left))
        parts = []
        while word := self._takes(*_COMPARE):
            right = self._value(self._sum())
            sql = f"({self._value(left).sql} {_SAME.get(word, word)} {right.sql})"
            parts.append(_Part(sql, _values(left, right), is_condition=True))
            left = right
        if len(parts) < 2:
            return parts[0] if parts else left
        sql = " AND ".join(part.sql for part in parts)
        return _Part(f"({sql})", _values(*parts), is_condition=True)

    def _member(self, left: _Part) -> _Part:
        """Return what ``in (1, 2)``, ``not in (1, 2)`` or ``is null`` make of it."""
        if self._takes("is"):
            negated = "NOT " if self._takes("not") else ""
            self._needs("null", "none")
            return _Part(f"({left.sql} IS {negated}NULL)", left.values, True)
        negated = "NOT " if self._takes("not") else ""
        self._needs("in")
        self._needs("(")
        items = [self._value(self._sum())]
        while self._takes(","):
            items.append(self._value(self._sum()))
        self._needs(")")
        listed = ", ".join(item.sql for item in items)
        sql = f"({left.sql} {negated}IN ({listed}))"
        return _Part(sql, _values(left, *items), is_condition=True)

    def _sum(self) -> _Part:
        return self._reckoned("+-", lambda: self._reckoned("*/", self._signed))

    def _reckoned(self, signs: str, read: Callable[[], _Part]) -> _Part:
        left = read()
        while sign := self._takes(*signs):
            right = self._value(read())
            # whole numbers divided give real ones, as everybody expects
            first = self._value(left).sql
            first = f"CAST({first} AS REAL)" if sign == "/" else first
            left = _Part(f"({first} {sign} {right.sql})", _values(left, right))
        return left

    def _signed(self) -> _Part:
        is_minus = False
        while sign := self._takes("-", "+"):
            is_minus ^= sign == "-"
        part = self._atom()
        return _Part(f"(-{self._value(part).sql})", part.values) if is_minus else part

    def _atom(self) -> _Part:
        if self._takes("abs"):
            self._needs("(")
            part = self._value(self._bracket())
            return _Part(f"abs({part.sql})", part.values)
        if self._takes("("):
            return self._bracket()
        if self._at == len(self._tokens) or self._word:
            self._refuse("a column or a value")
        token = self._tokens[self._at]
        self._at += 1
        if token.kind in ("name", "bracketed"):
            return _Part(self._column(token.text))
        value = _number(token.text) if token.kind == "number" else token.text[1:-1]
        return _Part("?", (value,))

    def _bracket(self) -> _Part:
        with self._deeper():
            part = self._either()
        self._needs(")")
        return part

    def _column(self, name: str) -> str:
        if name not in self._columns:
            raise ConfigError(
                f"the table has no column {name!r}{nearest(name, self._columns)}"
            )
        return quoted(name)

    # --- what may come ------------------------------------------------------------

    @property
    def _word(self) -> str:
        """The next token, if the grammar knows it; else nothing."""
        return self._tokens[self._at].word if self._at < len(self._tokens) else ""

    def _takes(self, *words: str) -> str:
        """Return the next word if it is one of these, and go on behind it."""
        word = self._word
        if word not in words:
            return ""
        self._at += 1
        return word

    def _needs(self, *words: str) -> None:
        if not self._takes(*words):
            self._refuse(repr(words[0]))

    def _condition(self, part: _Part) -> _Part:
        if not part.is_condition:
            self._refuse("a comparison such as area > 50")
        return part

    def _value(self, part: _Part) -> _Part:
        if part.is_condition:
            self._refuse("a value where it has a comparison")
        return part

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ConfigError(f"a filter is at most {DEEPEST} levels deep; shorten it")
        yield
        self._depth -= 1

    def _refuse(self, expected: str) -> NoReturn:
        texts = [token.text for token in self._tokens]
        got = f"got {texts[self._at]!r}" if self._at < len(texts) else "it ends"
        before = " ".join(texts[max(0, self._at - 3) : self._at])
        place = f" after {before!r}" if before else ""
        raise ConfigError(f"a filter needs {expected}{place}, {got}")


def _values(*parts: _Part) -> tuple[Any, ...]:
    return tuple(chain.from_iterable(part.values for part in parts))


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        raise ConfigError(f"{text} is too large a number")
    # SQLite's whole numbers have 64 bits
    return int(text) if text.isdigit() and value < 2**63 else value


def quoted(name: str) -> str:
    """Return a name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
