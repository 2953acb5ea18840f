"""What the engine relies on in every operator."""

import inspect
import pickle
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from .. import ops
from ..extension import Extension, extension
from ..frame import Array, Kind, Source, SourceInfo
from ..graph import Graph, Step
from ..ops import Operator
from ..plan import make_plan
from ..stage import Instruction, run
from ..steps import operators
from ..table import Measurements
from ..values import normal
from ._frames import frames

_PIXELS = ("image", "mask", "labels")


class OperatorContract:
    """Tests of an operator of pixels; inherit it and set ``operator``.

    ``operator`` is its name in YAML; ``parameters`` are given to it; ``axes`` are
    those of the images it is tried on; ``keeps_axes`` says that its results have the
    axes of its input, as those of plugins must; ``refuses_blank`` that a frame of one
    level fails, for a reason.
    """

    operator: ClassVar[str]
    parameters: ClassVar[Mapping[str, Any]] = {}
    axes: ClassVar[str] = "yx"
    keeps_axes: ClassVar[bool] = True
    refuses_blank: ClassVar[bool] = False
    dtypes: ClassVar[Sequence[str]] = ("uint8", "uint16", "float32")

    def inputs(self, dtype: str) -> Sequence[Any]:
        """Return one value per input; default: a frame with cells, and its objects.

        Parameters
        ----------
        dtype
            What images are to be: ``uint8``, ``uint16`` or ``float32``.
        """
        shape = tuple({"c": 2, "z": 5}.get(axis, 64) for axis in self.axes)
        count = int(np.prod(shape[:-2]))
        stack = frames(count, shape=(64, 64), dtype=cast(Any, dtype), seed=1)
        image = stack.reshape(shape)
        mask = (image > image.mean()).astype(np.uint8)
        return [_example(kinds[0], image, mask) for kinds in self._spec.takes]

    def test_it_is_found_by_its_name(self) -> None:
        """Its name is known and it says in one line what it does."""
        assert self.operator in operators()
        assert self._spec.summary, "the function has no docstring"

    def test_its_parameters_are_said(self) -> None:
        """Each is annotated, in the docstring, and has a default YAML can hold."""
        spec = self._spec
        text = inspect.getdoc(self._function) or ""
        for name, parameter in spec.parameters.items.items():
            said = parameter.annotation is not parameter.empty
            assert said, f"{name} has no annotation: nothing checks it"
            assert name in text, f"{name} is not in the docstring"
            has_default = parameter.default is not parameter.empty
            assert has_default or name in self.parameters, f"{name} has no default"
        # by name, as in YAML: refused where a value is not plain
        self._instruction()

    def test_it_gives_the_same_twice(self) -> None:
        """The same input gives the same output, whatever the dtype of the image."""
        for dtype in self.dtypes:
            given = self._given(dtype)
            first = self._run(given)
            _same(self._run(given), first)
            assert not _shares(first, given), "a result is memory of its own"

    def test_it_gives_what_it_says(self) -> None:
        """The result is of the operator's kind, on the axes of the input."""
        for dtype in self.dtypes:
            given = self._given(dtype)
            kind, result = self._instruction().kind, self._run(given)
            assert _equal(normal(result, kind, self.operator), result), f"no {kind}"
            if kind in _PIXELS and self.keeps_axes:
                assert np.ndim(result) == np.ndim(given[0]), "axes are not kept"

    def test_it_leaves_its_inputs_alone(self) -> None:
        """Others read the same arrays; these are as they were."""
        for dtype in self.dtypes:
            given = self._given(dtype)
            before = [np.copy(v) if isinstance(v, np.ndarray) else v for v in given]
            self._run(given)
            for value, copy in zip(given, before, strict=True):
                assert _equal(value, copy), "an input was written into"

    def test_a_blank_image_is_no_error(self) -> None:
        """A field without objects is a frame like any other."""
        if self.refuses_blank:
            pytest.skip(f"{self.operator} says that there is nothing to see")
        for dtype in self.dtypes:
            blank = [
                np.zeros_like(v) if isinstance(v, np.ndarray) else v
                for v in self._given(dtype)
            ]
            self._run(blank)

    def test_channels_are_mapped_over(self) -> None:
        """Two channels give what each gives alone."""
        kind = self._instruction().kind
        if "c" in self.axes or kind not in _PIXELS:
            pytest.skip(f"{self.operator} is not mapped over channels")
        one = self._given("uint16")
        other = [_mirrored(value) for value in one]
        both = [_stacked(*pair) for pair in zip(one, other, strict=True)]
        together = self._run(both, "c" + self.axes)
        _same(together, np.stack([self._run(one), self._run(other)]))

    def test_threads_do_not_disturb_each_other(self) -> None:
        """Two at once give what one after the other gives."""
        jobs = [self._given(dtype) for dtype in self.dtypes]
        alone = [self._run(given) for given in jobs]
        begin = threading.Barrier(2)

        def work(_: int) -> list[Any]:
            begin.wait(60)
            return [self._run(given) for given in jobs]

        with ThreadPoolExecutor(2) as pool:
            for results in pool.map(work, range(2)):
                for result, expected in zip(results, alone, strict=True):
                    _same(result, expected)

    def test_it_travels_to_other_processes(self) -> None:
        """The step pickles, by the function's name."""
        instruction = self._instruction()
        data = pickle.dumps(instruction)
        assert len(data) < 10_000, "data are packed with the function"
        given = self._given("uint16")
        _same(_run(pickle.loads(data), given), _run(instruction, given))

    @property
    def _spec(self) -> Operator | Extension:
        return ops.OPERATORS.get(self.operator) or extension(self.operator)

    @property
    def _function(self) -> Any:  # the plain one
        spec = self._spec
        return spec.kernel if isinstance(spec, Operator) else spec.function

    def _given(self, dtype: str) -> list[Any]:
        """Return the inputs, read-only."""
        given = list(self.inputs(dtype))
        for value in given:
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        return given

    def _run(self, given: Sequence[Any], axes: str | None = None) -> Any:
        return _run(self._instruction(axes), given)

    def _instruction(self, axes: str | None = None) -> Instruction:
        """Return the step as the engine runs it."""
        axes = axes or self.axes
        graph = Graph(cast(Source, _Blank(axes)))
        inputs = [
            graph.handles["source"]
            if n == 0 and "image" in kinds
            else graph.add(_stand_in(n, kinds[0], graph.steps["source"]))
            for n, kinds in enumerate(self._spec.takes)
        ]
        result = graph.step(self.operator, inputs, self.parameters, name="result")
        plan = make_plan(graph, {"result": result.step})
        stages = [s.stage for s in plan.segments if s.stage is not None]
        return next(i for s in stages for i in s.instructions if i.name == "result")


class _Blank:
    """A source of no frames: what a graph needs to be planned."""

    def __init__(self, axes: str) -> None:
        shape = tuple({"c": 2, "z": 5}.get(axis, 64) for axis in axes)
        self.info = SourceInfo(
            shape=shape, dtype=np.dtype(np.uint16), axes=axes, identity="blank"
        )


def _stand_in(number: int, kind: Kind, source: Step) -> Step:
    """Return a step whose value the test gives."""
    given: dict[str, Any] = {"function": "", "kind": kind, "parameters": {}}
    name = f"input_{number}"
    return Step(name, "map", kind, "parallel", (source,), given, np.positive)


def _mirrored(value: Any) -> Any:
    is_image = isinstance(value, np.ndarray)
    return np.ascontiguousarray(value[..., ::-1]) if is_image else value


def _stacked(one: Any, other: Any) -> Any:
    """Return two channels of pixels; what is no image goes to both."""
    return np.stack([one, other]) if isinstance(one, np.ndarray) else one


def _example(kind: Kind, image: Array, mask: Array) -> Any:
    if kind in ("image", "mask"):
        return image if kind == "image" else mask
    labels = ops.label(mask)
    return labels if kind == "labels" else ops.OPERATORS["measure"].kernel(labels)


def _run(instruction: Instruction, given: Sequence[Any]) -> Any:
    values = dict(zip(instruction.inputs, given, strict=True))
    return run(instruction, values, {})


def _same(result: Any, expected: Any) -> None:
    if isinstance(expected, Measurements):
        assert isinstance(result, Measurements)
        assert list(result.columns) == list(expected.columns)
        for name, column in expected.columns.items():
            np.testing.assert_array_equal(result.columns[name], column, err_msg=name)
    elif isinstance(expected, np.ndarray):
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)
    else:
        assert result == expected


def _equal(result: Any, expected: Any) -> bool:
    try:
        _same(result, expected)
    except AssertionError:
        return False
    return True


def _shares(result: Any, given: Sequence[Any]) -> bool:
    arrays = [v for v in given if isinstance(v, np.ndarray)]
    return isinstance(result, np.ndarray) and any(
        np.shares_memory(result, array) for array in arrays
    )
