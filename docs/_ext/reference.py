"""Reference pages, written from the code before Sphinx reads the folder."""

import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import words
from sphinx.application import Sphinx

import streamproc as sp
from streamproc import handle, plugins
from streamproc.facts import facts
from streamproc.ops import Operator
from streamproc.ops.measurement import PROPERTIES
from streamproc.ordered import ORDERED
from streamproc.parameters import Parameters
from streamproc.store.units import describe

#: The sections of the page on Python; whatever they do not name comes last.
SECTIONS = {
    "Run a pipeline": ("open", "run", "start", "resume", "load"),
    "Handles": ("Handle", "Image", "Mask", "Labels", "Table", "Value"),
    "Runs and results": ("Run", "Report", "Results"),
    "Methods compared": ("compare", "Agreement"),
    "Sources": (
        *("Source", "SourceInfo", "Frame", "Unreadable", "Gap", "Notice"),
        *("Mindful", "Receipt"),
    ),
}
#: Parameters of the shown lines, where one method takes some of them only.
USED = {
    "background": ("method", "window", "every"),
    "flat_field": ("flat", "dark"),
    "threshold": ("method",),
}
#: Properties of several columns: unit and meaning of them together.
ABOUT = {
    "bbox": ("px", "first and one past the last pixel along each axis"),
    "centroid": ("px", "mean position along each axis"),
    "centroid_weighted": ("px", "mean position, weighted by the intensity"),
}
KINDS = {
    "image": ("Image", "raw"),
    "mask": ("Mask", "mask"),
    "labels": ("Labels", "labels"),
    "table": ("Table", "cells"),
    "value": ("Value", "value"),
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Join Sphinx: pages are written before it looks for them."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir)))
    return {"parallel_read_safe": True}


def write(docs: Path) -> None:
    """Write all pages of ``reference/generated``; leave alone what has not changed."""
    folder = docs / "reference" / "generated"
    made = dict(pages())
    for old in folder.rglob("*.md"):
        if old.relative_to(folder).as_posix() not in made:
            old.unlink()
    for name, text in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    """Yield every page: its path, and its text."""
    yield "python.md", python()
    yield from operators()
    yield "sources.md", installed("sources")
    yield "sinks.md", installed("sinks")
    yield "commands.md", words.commands()
    yield "pipeline.md", words.pipeline()
    yield "sql.md", words.sql()


def auto(directive: str, name: str, *options: str) -> str:
    """Return an autodoc directive, as a block of MyST."""
    lines = [f".. {directive}:: {name}", *(f"   :{option}:" for option in options)]
    return "\n".join(["```{eval-rst}", *lines, "```", ""])


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of Markdown."""
    return words.table(head, rows)


def python() -> str:
    """Return the page of everything in ``streamproc.__all__``."""
    modules = [n for n in sp.__all__ if isinstance(getattr(sp, n), ModuleType)]
    errors = [n for n in sp.__all__ if is_error(getattr(sp, n))]
    known = {name for names in SECTIONS.values() for name in names}
    rest = [n for n in sp.__all__ if n not in {*known, *errors, *modules}]
    sections = {**SECTIONS, "More": rest, "Errors": errors}
    text = [
        "# Python\n",
        "After `import streamproc as sp`, `streamproc.open` is written `sp.open`.",
        "Nothing else is public, but for the plain functions of",
        "[`sp.ops`](operators/index.md)"
        + (" and [`sp.testing`](#testing)" if "testing" in modules else "")
        + ".\n",
    ]
    for title, names in sections.items():
        names = [name for name in names if name in sp.__all__]
        if names:
            text.append(f"## {title}\n")
        text += [entry(name) for name in names]
    if "testing" in modules:
        text += ["## Testing\n", auto("automodule", "streamproc.testing", "members")]
    return "\n".join(text)


def is_error(thing: object) -> bool:
    """Whether a public name is an exception."""
    return isinstance(thing, type) and issubclass(thing, BaseException)


def entry(name: str) -> str:
    """Return the directive for one public name."""
    thing, full = getattr(sp, name), f"streamproc.{name}"
    if is_error(thing):
        return auto("autoexception", full, "show-inheritance", "no-index-entry")
    if inspect.isclass(thing):
        bases = ["show-inheritance"] if thing.__bases__ != (object,) else []
        return auto("autoclass", full, "members", *bases)
    return auto("autofunction" if inspect.isfunction(thing) else "autodata", full)


def operators() -> Iterator[tuple[str, str]]:
    """Yield a page for each operator, and the table of all."""
    families: dict[str, list[Operator]] = {}
    for spec in sp.ops.OPERATORS.values():
        families.setdefault(spec.kernel.__module__.rpartition(".")[2], []).append(spec)
    text = [
        "# Operators\n",
        "What a step may do with a frame. Each is a step in YAML, a method of a handle",
        "in Python, and a plain function of arrays in `sp.ops`.\n",
    ]
    for family, specs in sorted(families.items()):
        about = first_line(import_module(specs[0].kernel.__module__))
        text += [f"## {family.capitalize()}\n", about + "\n", summary_table(specs)]
        for spec in specs:
            yield f"operators/{spec.name}.md", operator(spec)
    rows = [[f"[`{n}`]({n}.md)", first_line(ordered)] for n, ordered in ORDERED.items()]
    rows.append(["[`map`](map.md)", first_line(handle.Handle.map)])
    for name, kind in ORDERED.items():
        yield f"operators/{name}.md", ordered_step(name, kind)
    yield "operators/map.md", own_function()
    text += ["## Others\n", table(["operator", "what it does"], rows)]
    text += ["## Plain functions\n", "What else is in `sp.ops`.\n"]
    text += [
        auto("autofunction" if inspect.isfunction(thing) else "autoclass", full)
        for full, thing in others()
    ]
    names = [*sorted(sp.ops.OPERATORS), *ORDERED, "map"]
    text += ["```{toctree}", ":hidden:", *names, "```", ""]
    yield "operators/index.md", "\n".join(text)


def others() -> list[tuple[str, Any]]:
    """Return the functions and classes of ``sp.ops`` that are no operator."""
    names = [n for n in sp.ops.__all__ if n not in sp.ops.OPERATORS]
    found = [(f"streamproc.ops.{n}", getattr(sp.ops, n)) for n in names]
    return [(n, t) for n, t in found if inspect.isfunction(t) or inspect.isclass(t)]


def first_line(thing: Any) -> str:
    """Return the first line of a docstring, with Markdown's code marks."""
    return words.markdown((inspect.getdoc(thing) or "").partition("\n")[0])


def summary_table(specs: Iterable[Operator]) -> str:
    """Return the table of a family."""
    rows = []
    for spec in specs:
        known, line = facts(spec.name), first_line(spec.kernel)
        gives = f"{known.gives} ({known.result})" if known.result else known.gives
        oracle = f"`{known.oracle}`" if known.oracle else ""
        name = f"[`{spec.name}`]({spec.name}.md)"
        rows.append([name, line, ", ".join(known.takes), gives, oracle])
    return table(["operator", "what it does", "takes", "gives", "equals"], rows)


def operator(spec: Operator) -> str:
    """Return the page of one operator."""
    known = facts(spec.name)
    defaults = spec.parameters.defaults()
    shown = {n: defaults[n] for n in USED.get(spec.name, defaults)}
    python = ", ".join(f"{n}={value!r}" for n, value in shown.items())
    inputs = ", ".join(spec.inputs)
    method = f"{KINDS[spec.takes[0][0]][1]}.{spec.name}"
    given = ("intensity", *shown) if spec.name == "measure" else tuple(shown)
    yaml = ", ".join(
        f"{n}: {'source' if n == 'intensity' else words.yaml(shown[n])}" for n in given
    )
    eager = f"sp.ops.{spec.name}({', '.join(filter(None, [inputs, python]))})"
    needed = spec.inputs[: len(spec.takes) - spec.optional]
    of = f", of: [{', '.join(needed)}]" if len(needed) > 1 else ""
    others = [KINDS[kinds[0]][1] for kinds in spec.takes[1:]]
    second = "".join(f"{name}, " for name in others)
    return "\n".join(
        [
            f"# {spec.name}\n",
            table(
                ["", ""],
                [
                    ["takes", f"{', '.join(known.takes)} (`{inputs}`)"],
                    ["gives", ", ".join(filter(None, [known.gives, known.result]))],
                    ["axes", " or ".join(f"`{axes}`" for axes in known.axes)],
                    ["runs on", " and ".join(known.devices)],
                    *([["equals", f"`{known.oracle}`"]] if known.oracle else []),
                    ["in a pipeline", f"`{spec.name}: {{{yaml}}}{of}`"],
                    ["in Python", f"`{method}({(second + python).rstrip(', ')})`"],
                    ["on arrays", f"`{eager}`"],
                ],
            ),
            "The lines show the defaults; leave out what they say already.\n",
            auto("autofunction", f"streamproc.ops.{spec.name}"),
            properties() if spec.name == "measure" else "",
        ]
    )


def properties() -> str:
    """Return the table of what can be measured."""
    names: dict[str, list[str]] = {}
    for name, meaning in PROPERTIES.items():
        names.setdefault(meaning, []).append(name)
    rows = []
    for same in names.values():
        unit, text = next((d for d in map(describe, same) if d[1]), ("", ""))
        unit, text = ABOUT.get(same[0], (unit, text))
        text = text.replace("that ellipse", "the ellipse with the same second moments")
        rows.append([", ".join(f"`{n}`" for n in same), unit, text])
    return "## Properties\n\n" + table(["name", "unit", "meaning"], sorted(rows))


def ordered_step(name: str, kind: type) -> str:
    """Return the page of an operator that counts from frame to frame."""
    known = facts(name)
    several = len(known.takes) > 1
    given = Parameters(kind, positional=True).defaults()
    yaml = ", ".join(f"{n}: {words.yaml(value)}" for n, value in given.items())
    python = [f"{n}={value!r}" for n, value in given.items()]
    of = ", of: [a, b]" if several else ""
    arguments = ", ".join([*(["b"] if several else []), *python])
    rows = [
        ["takes", ", ".join(known.takes)],
        ["gives", f"{known.gives}, {known.result}"],
        ["in a pipeline", f"`{name}: {{{yaml}}}{of}`"],
        ["in Python", f"`{'a' if several else 'cells'}.{name}({arguments})`"],
    ]
    text = inspect.getdoc(kind) or ""
    return "\n".join(
        [
            f"# {name}\n",
            table(["", ""], rows),
            words.markdown(text) + "\n",
            "It runs in the order of the frames; its state is committed with them, so",
            "that a resumed run goes on as if nothing had happened.\n",
        ]
    )


def own_function() -> str:
    """Return the page of ``map``."""
    rows = [
        ["takes", "anything: one step or several"],
        ["gives", "what `kind` says"],
        ["in a pipeline", '`map: {function: "numpy:negative", kind: image}`'],
        ["in Python", '`raw.map(np.negative, kind="image")`'],
    ]
    return "\n".join(
        [
            "# map\n",
            table(["", ""], rows),
            auto("automethod", "streamproc.Handle.map", "no-index"),
        ]
    )


def installed(group: str) -> str:
    """Return the page of the sources or sinks that come with the package."""
    title = group.capitalize()
    intro = {
        "sources": "Where frames come from. A path alone chooses by its suffix; the "
        "form with a name takes parameters.",
        "sinks": "Where results go. Images, labels and tables are always written to "
        "the run folder; what a pipeline names under `sinks` follows beside it.",
    }[group]
    text = [f"# {title}\n", intro + "\n"]
    for name, point in plugins.installed(group).items():
        if plugins.is_ours(point):
            text += plugin(group, name)
    return "\n".join(text)


def plugin(group: str, name: str) -> list[str]:
    """Return the section of one source or sink."""
    kind = plugins.load(group, name)
    rows = []
    suffixes = " ".join(f"`{s}`" for s in getattr(kind, "suffixes", ()))
    if suffixes:
        rows.append(["files", suffixes])
    if group == "sources":
        parameters = Parameters(kind, positional=True)
        first = parameters.first
        # what is no file has a value of its own: a number, a name
        value = parameters.defaults().get(first or "", f"measured{suffix(kind)}")
        rows.append(["in a pipeline", f"`source: {{{name}: {{{first}: {value}}}}}`"])
        rows.append(["in Python", f'`sp.open({{"{name}": {{"{first}": {value!r}}}}})`'])
    elif name == "ome-zarr":
        rows.append(["in a pipeline", "`store: {images: none, labels: zstd}`"])
    else:
        known = Parameters(kind, positional=True)
        needs = known.first is not None and known.first not in known.defaults()
        given = f'{known.first}: "module:name"' if needs else ""
        rows.append(["in a pipeline", f"`sinks: [{{{name}: {{{given}}}}}]`"])
    full = f"{kind.__module__}.{kind.__qualname__}"
    body = auto("autoclass", full)
    shown = table(["", ""], rows) if rows else ""
    return [f"## {name}\n", shown, body]


def suffix(kind: type) -> str:
    """Return a suffix that a source takes."""
    return next(iter(getattr(kind, "suffixes", ())), "")
