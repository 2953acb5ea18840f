"""File names with fields, such as ``plate/{well}_{t:d}_{c}.tif``, and what matches."""

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from streamproc.errors import SourceError

from . import _paths

#: Fields that are coordinates; all others tell images apart.
COORDINATES = ("t", "c", "z")

Value: TypeAlias = int | str

_TOKEN = re.compile(
    r"\{\{|\}\}|\*\*/|[*?]"
    r"|\{(?P<name>[A-Za-z_]\w*)(?P<digits>:(?:0(?P<width>\d+))?d)?"
    r"(?:=(?P<value>(?(digits)\d+|[^{}/]+)))?\}"
)
#: What is meant as a field, and is not written as one.
_SLIP = re.compile(r"\{[A-Za-z_]\w*[:=!][^{}]*\}?")
_LONE = re.compile(r"[{}][^{}\n]*\}?")


class Field(NamedTuple):
    """One ``{name}``, ``{name:d}`` (digits), ``{name:03d}`` or ``{name=value}``."""

    name: str
    digits: str | None
    width: str | None
    value: str | None

    @property
    def regex(self) -> str:
        """What it matches: never a folder's separator, never a brace."""
        if self.value is not None:
            return re.escape(self.value)
        if self.digits:
            return rf"\d{{{int(self.width)}}}" if self.width else r"\d+"
        return "[^/{}]+?"

    def __str__(self) -> str:
        value = "" if self.value is None else f"={self.value}"
        return f"{{{self.name}{self.digits or ''}{value}}}"


class Match(NamedTuple):
    """A file, and the text and values of its fields."""

    path: Path
    texts: dict[str, str]
    values: dict[str, Value]


@dataclass(frozen=True)
class Pattern:
    """A path whose fields are named; ``parts`` are literal text, wildcards, fields."""

    text: str
    parts: tuple[str | Field, ...]

    @property
    def fields(self) -> dict[str, Field]:
        """Fields by name, in the order they are written."""
        return {p.name: p for p in self.parts if isinstance(p, Field)}

    @property
    def free(self) -> list[str]:
        """Fields whose value the file names tell."""
        return [n for n, field in self.fields.items() if field.value is None]

    @property
    def grouping(self) -> list[str]:
        """Free fields that tell images apart."""
        return [name for name in self.free if name not in COORDINATES]

    def matches(self) -> list[Match]:
        """Return the files that match, in natural order.

        Raises
        ------
        SourceError
            None does, or they are no images, or of several formats.
        """
        names = glob.glob("".join(self._globs()), recursive=True)
        found = [m for m in map(self.match, names) if m and not m.path.is_dir()]
        if not found:
            raise SourceError(f"no file matches the pattern {self.text}")
        _paths.resolve([str(m.path) for m in found])  # formats: one, and known
        return sorted(found, key=lambda m: _paths.natural(str(m.path)))

    def match(self, name: str) -> Match | None:
        """Return what a path says, if it matches."""
        match = self._regex.fullmatch(name.replace(os.sep, "/"))
        if match is None:
            return None
        texts = {n: f.value or "" for n, f in self.fields.items()}
        texts |= match.groupdict()
        return Match(Path(name), texts, self._values(texts))

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile("".join(self._regexes()))

    def fixed(self, texts: Mapping[str, str]) -> str:
        """Return the pattern with the values of some fields written in."""
        return "".join(
            (str(p._replace(value=texts[p.name])) if p.name in texts else str(p))
            if isinstance(p, Field)
            else p
            if p in ("*", "?", "**/")
            else p.replace("{", "{{").replace("}", "}}")
            for p in self.parts
        )

    def name(self, texts: Mapping[str, str]) -> str:
        """Return the file's name for these texts of the fields."""
        parts = (texts[p.name] if isinstance(p, Field) else p for p in self.parts)
        return "".join(parts).rpartition("/")[2]

    def _values(self, texts: Mapping[str, str]) -> dict[str, Value]:
        return {
            name: int(texts[name]) if field.digits else texts[name]
            for name, field in self.fields.items()
        }

    def _regexes(self) -> Iterable[str]:
        wild = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
        seen: set[str] = set()
        for part in self.parts:
            if not isinstance(part, Field):
                yield wild.get(part) or re.escape(part)
            elif part.value is not None:
                yield part.regex
            elif part.name in seen:
                yield f"(?P={part.name})"
            else:
                seen.add(part.name)
                yield f"(?P<{part.name}>{part.regex})"

    def _globs(self) -> Iterable[str]:
        for part in self.parts:
            if isinstance(part, Field):
                yield "*" if part.value is None else glob.escape(part.value)
            else:
                yield part if part in ("**/", "*", "?") else glob.escape(part)


def pattern(given: object) -> Pattern | None:
    """Return the pattern in a path; None for a plain path, glob or list.

    Raises
    ------
    SourceError
        A field that is not written as one.
    """
    if not isinstance(given, str) or os.path.exists(os.path.expanduser(given)):
        return None
    found = parsed(given)
    return found if found.fields else None


def parsed(given: str) -> Pattern:
    """Return the pattern in a text, whatever is there; it may have no fields.

    Raises
    ------
    SourceError
        A field that is not written as one.
    """
    text = os.path.expanduser(given).replace(os.sep, "/")
    parts: list[str | Field] = []
    between: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        between.append(text[end : token.start()])
        single = {"{{": "{", "}}": "}"}.get(token[0], token[0])
        parts += [
            between[-1],
            Field(*token.group(*Field._fields)) if token["name"] else single,
        ]
        end = token.end()
    between.append(text[end:])
    is_pattern = any(isinstance(part, Field) for part in parts)
    wrong = (_LONE if is_pattern else _SLIP).search("\n".join(between))
    if wrong:
        raise SourceError(
            f"{given} has no field at {wrong[0]!r}; write {{name}}, {{name:d}}, "
            "{name:03d} or {name=value}, and double a brace that is no field"
        )
    return Pattern(given, tuple(part for part in (*parts, between[-1]) if part))


def plain(given: Any) -> Any:  # a path or a list of them
    """Return a plain path with doubled braces single, unless it is there as it is."""
    if not isinstance(given, str) or os.path.exists(os.path.expanduser(given)):
        return given
    return given.replace("{{", "{").replace("}}", "}")


def groups(found: Pattern) -> dict[tuple[str, ...], list[Match]]:
    """Return the files of each image, by the texts of the fields that name it."""
    made: dict[tuple[str, ...], list[Match]] = {}
    for match in found.matches():
        key = tuple(match.texts[name] for name in found.grouping)
        made.setdefault(key, []).append(match)
    return made


def images(given: str | Sequence[str]) -> list[tuple[str, str]]:
    """Return the images of a batch: the name and the path of each, in order.

    Every file of a glob, folder or list is one; of a pattern, every group of files
    with the same fields, t, c and z aside.

    Raises
    ------
    SourceError
        There are none.
    """
    found = pattern(given)
    if found is None:
        return [(p.stem, str(p)) for p in _paths.resolve(plain(given))]
    made = []
    for key, files in groups(found).items():
        texts = dict(zip(found.grouping, key, strict=True))
        made.append(("_".join(key) or files[0].path.stem, found.fixed(texts)))
    return made
