"""Random pipelines: valid graphs of all operators, on small sources of every kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import zarr
from hypothesis import strategies as st

import streamproc as sp
from streamproc.config import connect, parse
from streamproc.frame import Kind, Source
from streamproc.ops import OPERATORS
from streamproc.ops._properties import LEVELS, PLANE_ONLY
from streamproc.ops.measurement import PROPERTIES
from streamproc.ordered import ORDERED
from streamproc.plugins import make_source
from tests.arrays import Arrays, noise
from tests.methods import kinds_of

SHAPES = {"yx": (24, 28), "zyx": (3, 20, 22), "cyx": (2, 20, 22)}
Parameters = st.SearchStrategy[dict[str, Any]]


@dataclass(frozen=True)
class Footage:
    """A small source: how its frames come, and what they hold."""

    kind: Literal["simulation", "simulated camera", "zarr", "video", "camera"]
    frames: int
    axes: str
    dtype: str
    seed: int
    #: Frames that cannot be read (of a video or camera).
    unreadable: frozenset[int] = frozenset()
    #: Frames that never came, before this one (of a camera).
    gap: int | None = None

    def open(self, folder: Path) -> Source:
        """Open it; what it needs on disk goes to ``folder``."""
        if self.kind.startswith("simulat"):
            given = {"frames": self.frames, "shape": [64, 64], "dtype": self.dtype}
            given |= {"seed": self.seed, "fps": None, "cells": 2}
            live = self.kind == "simulated camera"
            return make_source({"simulation": {**given, "live": live}})
        frames = noise(self.frames, SHAPES[self.axes], self.dtype, self.seed)
        if self.kind == "zarr":
            path = folder / "footage.zarr"
            if not path.exists():
                zarr.create_array(path, data=frames)
            return make_source({"zarr": {"path": str(path), "axes": "t" + self.axes}})
        gaps = {}
        if self.gap is not None:
            gaps[self.gap] = sp.Gap(self.gap, self.gap, "overflow", time=1.0)
        return Arrays(
            frames,
            self.axes,
            live=self.kind == "camera",
            in_order=True,
            unreadable=self.unreadable,
            gaps=gaps,
        )


@dataclass(frozen=True)
class Pipeline:
    """What to run, in words of YAML, and on what."""

    footage: Footage
    graph: Mapping[str, Any]
    save: list[str]
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self, to: Path, executor: str | Mapping[str, Any]) -> sp.Report:
        """Run it to its end."""
        given = {"source": "footage", "graph": self.graph, "save": self.save}
        _, saved = connect(parse(given), self.footage.open(to.parent))
        return sp.run(saved, to, executor=executor, **self.options)


@dataclass(frozen=True)
class Node:
    """A value of the graph: its step's name, kind and axes."""

    name: str
    kind: Kind
    axes: str
    #: the step that gave it another shape than the source's
    shaped: str = ""


# --- the parameters of every operator ------------------------------------------


def _reference(node: Node) -> Parameters:
    return st.fixed_dictionaries({"frame": st.sampled_from(["first", "previous"])})


def _fixed(**options: st.SearchStrategy[Any]) -> Callable[[Node], Parameters]:
    return lambda node: st.fixed_dictionaries(options)


def _background(node: Node) -> Parameters:
    hat = {"method": st.just("top_hat"), "radius": st.integers(1, 4)}
    if node.name != "source":
        return st.fixed_dictionaries(hat)
    window = {"window": st.integers(1, 12), "every": st.integers(1, 9)}
    return st.fixed_dictionaries(window) | st.fixed_dictionaries(hat)


def _threshold(node: Node) -> Parameters:
    weights = st.sampled_from(["gaussian", "mean", "median"])
    local = {"block_size": st.sampled_from([3, 9]), "weights": weights}
    local |= {"method": st.just("local"), "offset": st.sampled_from([0.0, -2.5])}
    fixed = {"method": st.just("fixed"), "value": st.sampled_from([0.5, 30.0])}
    whole = st.sampled_from(["otsu", "li", "triangle", "yen", "isodata", "mean"])
    return (
        st.fixed_dictionaries({"method": whole})
        | st.fixed_dictionaries(fixed)
        | st.fixed_dictionaries(local)
    )


def _properties(node: Node) -> Parameters:
    names = [
        name
        for name, own in PROPERTIES.items()
        if not ("z" in node.axes and own in PLANE_ONLY)
    ]
    some = st.lists(st.sampled_from(names), min_size=1, max_size=6, unique=True)
    return st.fixed_dictionaries({"properties": some})


#: They need files, or more than a drawn graph has.
LEFT_OUT = {"flat_field"}
#: They give images of another shape.
_SHAPING = {"binning", "crop", "resize", "reslice_radial", "rot90", "warp_polar"}
#: They act on the source alone, or its masks.
_OF_SOURCE = {"reference"}
_RADIUS = _fixed(radius=st.integers(1, 2))
_CONNECTIVITY = st.sampled_from([None, 1, 2])
_FEW = {name: _fixed() for name in (*OPERATORS, *ORDERED) if name not in LEFT_OUT}
PARAMETERS: dict[str, Callable[[Node], Parameters]] = {
    **_FEW,
    "background": _background,
    "binning": _fixed(method=st.sampled_from(["mean", "sum", "max", "min"])),
    "bland_altman": _fixed(column=st.just("area")),
    "blob_dog": _fixed(max_sigma=st.just(4.0), subpixel=st.booleans()),
    "blob_log": _fixed(max_sigma=st.just(4.0), num_sigma=st.just(3)),
    "black_tophat": _RADIUS,
    "clip": _fixed(min=st.just(3.0), max=st.sampled_from([30.0, 90.0])),
    "crop": _fixed(start=st.just((2, 3))),
    "denoise_nl_means": _fixed(patch_size=st.just(3), patch_distance=st.just(2)),
    "locate": _fixed(diameter=st.sampled_from([3, 5])),
    "reference": _reference,
    "resize": _fixed(scale=st.sampled_from([0.5, 1.5])),
    "reslice_radial": _fixed(angles=st.just(9)),
    "rolling_ball": _fixed(radius=st.integers(1, 5)),
    "rotate": _fixed(angle=st.sampled_from([30.0, 90.0])),
    "statistics": _fixed(properties=st.just(("mean", "percentiles", "entropy"))),
    "binary_closing": _RADIUS,
    "binary_dilation": _RADIUS,
    "binary_erosion": _RADIUS,
    "binary_opening": _RADIUS,
    "channel": _fixed(channel=st.integers(0, 1)),
    "difference_of_gaussians": _fixed(low_sigma=st.sampled_from([0.5, 1.0])),
    "fill_holes": _fixed(),
    "gaussian": _fixed(sigma=st.sampled_from([0.6, 1.0, 2.5])),
    "label": _fixed(connectivity=_CONNECTIVITY),
    "measure": _properties,
    "median": _fixed(size=st.sampled_from([3, 5])),
    "project": _fixed(method=st.sampled_from(["max", "mean", "min", "sum", "std"])),
    "remove_small_objects": _fixed(max_size=st.integers(1, 20)),
    "running_count": _fixed(),
    "threshold": _threshold,
    "white_tophat": _fixed(
        radius=st.integers(1, 4), shape=st.sampled_from(["disk", "box"])
    ),
}
#: Functions of a user: the kinds they take, the kind they give, their parameters.
FUNCTIONS: dict[str, tuple[tuple[Kind, ...], Kind, Parameters]] = {
    "brighten": (("image",), "image", st.just({"gain": 3})),
    "contrast": (("image", "image"), "image", st.just({})),
    "foreground": (("image",), "mask", st.just({})),
    "level": (
        ("image",),
        "value",
        st.fixed_dictionaries({"one_in": st.sampled_from([2, 5, 23])}),
    ),
    "shifted": (("image", "value"), "image", st.just({})),
    "spread": (("table",), "value", st.just({})),
}
#: Axes that an operator takes away, and must find.
_DROPS = {"channel": "c", "project": "z"}
#: Axes that an operator must find, and leaves.
_NEEDS = {**_DROPS, "reslice_radial": "z"}


def _may_take(operator: str, node: Node) -> bool:
    if operator in _OF_SOURCE and node.name != "source":
        return False
    gives = OPERATORS[operator].gives if operator in OPERATORS else "value"
    if gives == "table" and "c" in node.axes:
        return False
    return node.kind in kinds_of(operator)[0] and _NEEDS.get(operator, "") in node.axes


def _given(operator: str, node: Node, name: str) -> Node:
    """Return what a step of this operator gives."""
    kind: Kind = "value"
    if operator in OPERATORS:
        kind = OPERATORS[operator].gives or node.kind
    shaped = name if operator in _SHAPING else node.shaped
    return Node(name, kind, node.axes.replace(_DROPS.get(operator, " "), ""), shaped)


# --- steps and graphs -------------------------------------------------------------


Step = tuple[dict[str, Any], Node]


@st.composite
def steps(draw: st.DrawFn, name: str, known: list[Node]) -> Step:
    """Draw a step on some of the values there are; all kinds get their turn."""
    kind = draw(st.sampled_from(sorted({node.kind for node in known})))
    node = draw(st.sampled_from([node for node in known if node.kind == kind]))
    fit = [o for o in PARAMETERS if _may_take(o, node)]
    fit = [o for o in fit if o == "measure" or _has_all(o, node, known)]
    mine = [f for f, (takes, _, _) in FUNCTIONS.items() if takes[0] == kind]
    choice = draw(st.sampled_from([*fit, *mine])) if fit or mine else None
    if choice is None or (choice in mine and not _others(choice, known)):
        choice, node = "gaussian", known[0]
    if choice in mine:
        return _map(draw, name, choice, node, known)
    return _operation(draw, name, choice, node, known)


def _others(function: str, known: list[Node]) -> list[Node]:
    """Return what may be a function's second input."""
    takes = FUNCTIONS[function][0]
    return [node for node in known if node.kind == takes[-1]]


def _map(
    draw: st.DrawFn, name: str, function: str, node: Node, known: list[Node]
) -> Step:
    takes, gives, parameters = FUNCTIONS[function]
    inputs = [node]
    if len(takes) > 1:  # a join
        inputs.append(draw(st.sampled_from(_others(function, known))))
    given = {
        "function": f"tests.functions:{function}",
        "kind": gives,
        "parameters": draw(parameters),
    }
    body = {"map": given, "of": [one.name for one in inputs]}
    return body, Node(name, gives, node.axes, node.shaped)


def _operation(
    draw: st.DrawFn, name: str, operator: str, node: Node, known: list[Node]
) -> Step:
    given = draw(PARAMETERS[operator](node))
    inputs = [node.name]
    if operator == "measure":
        given = _measured(draw, given, node, known)
    else:
        optional = OPERATORS[operator].optional if operator in OPERATORS else 0
        others = kinds_of(operator)[1:]
        if optional and draw(st.booleans()):
            others = others[: len(others) - optional]
        for kinds in others:
            inputs.append(draw(st.sampled_from(_fitting(kinds, node, known))))
    of: Any = inputs[0] if len(inputs) == 1 else inputs
    return {operator: given, "of": of}, _given(operator, node, name)


def _fitting(kinds: tuple[Kind, ...], node: Node, known: list[Node]) -> list[str]:
    """Return what may be a further input: of these kinds, and of the same shape."""
    return [
        other.name
        for other in known
        if other.kind in kinds
        and (other.kind in ("table", "value") or _alike(other, node))
    ]


def _alike(one: Node, other: Node) -> bool:
    return (one.axes, one.shaped) == (other.axes, other.shaped)


def _has_all(operator: str, node: Node, known: list[Node]) -> bool:
    return all(_fitting(kinds, node, known) for kinds in kinds_of(operator)[1:])


def _measured(
    draw: st.DrawFn, given: dict[str, Any], labels: Node, known: list[Node]
) -> dict[str, Any]:
    """Choose an image to measure in, or leave out what needs one."""
    fit = [
        n.name
        for n in known
        if n.kind in ("image", "mask") and n.shaped == labels.shaped
        if n.axes.replace("c", "") == labels.axes
    ]
    if draw(st.booleans()) and fit:
        return {**given, "intensity": draw(st.sampled_from(fit))}
    rest = [p for p in given["properties"] if PROPERTIES[p] not in LEVELS]
    return {"properties": rest or ["area"]}


@st.composite
def footages(draw: st.DrawFn) -> Footage:
    """Draw a small source."""
    kinds = ["simulation", "simulated camera", "zarr", "video", "camera"]
    dtypes = ["uint8", "uint16", "float32"]
    footage = Footage(
        kind=draw(st.sampled_from(kinds)),
        frames=draw(st.integers(1, 30)),
        axes="yx",
        dtype=draw(st.sampled_from(dtypes)),
        seed=draw(st.integers(0, 99)),
    )
    if footage.kind.startswith("simulat"):
        return footage
    footage = replace(footage, axes=draw(st.sampled_from(list(SHAPES))))
    if footage.kind == "zarr":
        return footage
    numbers = st.integers(0, footage.frames - 1)
    few = draw(st.frozensets(numbers, max_size=3))
    gap = draw(st.none() | numbers) if footage.kind == "camera" else None
    return replace(footage, unreadable=few, gap=gap)


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Draw a pipeline that is valid, though some of its frames may fail."""
    footage = draw(footages())
    known = [Node("source", "image", footage.axes)]
    graph = {}
    # what most graphs hold, and few would by chance alone
    usual = ["channel"] * ("c" in footage.axes)
    usual += ["threshold", "label", "measure", "running_count"]
    for operator in usual[: draw(st.integers(0, 5))]:
        step = _operation(draw, operator, operator, known[-1], known)
        graph[operator], node = step
        known.append(node)
    for number in range(draw(st.integers(1, 6))):
        graph[f"s{number}"], node = draw(steps(f"s{number}", known))
        known.append(node)
    names = [node.name for node in known]
    some = st.lists(st.sampled_from(names), min_size=1, unique=True)
    save = draw(st.just(names) | some)
    store = {
        "images": draw(st.sampled_from(["none", "blosc-lz4", "zstd"])),
        "layout": draw(st.sampled_from(["shards", "files"])),
        "durability": "process",
    }
    options = {
        "store": store,
        "log": {"keep_raw": "source" in save},
        "limits": {"disk_reserve": "100MB"},
    }
    return Pipeline(footage, graph, save, options)
