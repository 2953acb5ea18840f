import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from streamproc.ops._runs import painted
from streamproc.table import Measurements
from tests.ops.pictures import Array, blobs, smooth

SUPPORTED = sorted(ops.OPERATORS)
#: of (y, x) or (z, y, x)
SPATIAL = [name for name in SUPPORTED if name != "channel"]
#: of (t, y, x) or more
STACKS = ("background", "reference")
#: they give no array
SMALL = {n for n in SUPPORTED if ops.OPERATORS[n].gives in ("table", "value")}
#: they need more axes than a plane has
DEEP = ("channel", "project", "reslice_radial")
#: of frames, not of one
STACKS = ("background", "reference")


def _takes_labels(name: str) -> bool:
    return any("labels" in kinds for kinds in ops.OPERATORS[name].takes)


def given(name: str, ndim: int = 2) -> Array:
    """An input that the operator takes."""
    shape = (6, 9, 8) if ndim == 3 or name in DEEP else (16, 18)
    kinds = ops.OPERATORS[name].takes[0]
    if "labels" in kinds:
        return ops.label(blobs(shape))
    return blobs(shape) if "mask" in kinds and "image" not in kinds else smooth(shape)


def inputs(name: str, image: Array) -> tuple[Any, ...]:
    """An input, and again for whatever else the operator needs, or a shift."""
    spec = ops.OPERATORS[name]
    others = spec.takes[1 : len(spec.takes) - spec.optional]
    shift = {"dz": 1.0, "dy": 0.5, "dx": 0.0}
    return image, *(shift if "value" in kinds else image for kinds in others)


def skip_planar(name: str, image: Array) -> None:
    """Skip volumes where the operator is for planes, and says so."""
    if image.ndim == 3:
        try:
            ops.OPERATORS[name].kernel(*inputs(name, image))
        except ConfigError as error:
            if f"{name} is for planes (y, x) only" not in str(error):
                raise
            pytest.skip(str(error))


def test_all_is_sorted_and_there() -> None:
    assert sorted(ops.__all__) == ops.__all__
    assert all(hasattr(ops, name) for name in ops.__all__)
    assert set(ops.OPERATORS) < set(ops.__all__)


@pytest.mark.parametrize("name", SUPPORTED)
def test_operators_pickle_by_name(name: str) -> None:
    operator = ops.OPERATORS[name]
    for thing in (operator.kernel, operator, getattr(ops, name)):
        data = pickle.dumps(thing)
        assert len(data) < 200
        again: Any = pickle.loads(data)
        assert again is thing


@pytest.mark.parametrize("name", SUPPORTED)
def test_operators_have_docs_and_defaults(name: str) -> None:
    operator = ops.OPERATORS[name]
    assert operator.name == name
    assert operator.summary.endswith(".")
    required = set(operator.parameters.items) - set(operator.parameters.defaults())
    assert not required


@pytest.mark.parametrize("name", SUPPORTED)
@pytest.mark.parametrize("ndim", [2, 3])
def test_operators_leave_their_input_alone(name: str, ndim: int) -> None:
    image = given(name, ndim)
    skip_planar(name, image)
    for array in (image.copy(), image[:, ::-1], np.asfortranarray(image)):
        before = array.copy()
        expected = ops.OPERATORS[name].kernel(
            *inputs(name, np.ascontiguousarray(before))
        )
        result = ops.OPERATORS[name].kernel(*inputs(name, array))
        np.testing.assert_array_equal(array, before)
        if isinstance(result, np.ndarray):
            np.testing.assert_array_equal(result, expected)
            assert result.flags.c_contiguous
            assert result.flags.writeable
            assert not np.shares_memory(result, array)


@pytest.mark.parametrize("name", [n for n in SPATIAL if _takes_labels(n)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_drawing_is_taken_for_its_labels(name: str, ndim: int) -> None:
    drawing = ops.OPERATORS["label"].kernel(blobs((6, 9, 8)[-ndim:]))
    spec = ops.OPERATORS[name]
    images = [
        smooth(drawing.shape) if "labels" not in kinds else drawing
        for kinds in spec.takes
    ]
    arrays = [painted(image) for image in images]
    try:
        expected = spec.kernel(*arrays)
    except ConfigError as error:
        with pytest.raises(ConfigError, match=re.escape(str(error))):
            spec.kernel(*images)
        return
    _assert_same(spec.kernel(*images), expected)


def _assert_same(result: Any, expected: Any) -> None:
    if isinstance(expected, Measurements):
        assert list(result.columns) == list(expected.columns)
        for name, column in expected.columns.items():
            np.testing.assert_array_equal(result.columns[name], column, err_msg=name)
        return
    assert type(result) is type(expected)
    np.testing.assert_equal(result, expected)


@pytest.mark.parametrize("name", [n for n in SPATIAL if n not in SMALL])
@pytest.mark.parametrize("axis", [0, -1, 1])
def test_channels_are_mapped_over(name: str, axis: int) -> None:
    image = given(name)
    stack = np.stack([image, image[::-1]], axis=axis)
    result = getattr(ops, name)(*inputs(name, stack), channel_axis=axis)
    alone = [getattr(ops, name)(*inputs(name, c)) for c in (image, image[::-1])]
    np.testing.assert_array_equal(result, np.stack(alone, axis=axis))


def test_tables_have_no_channels() -> None:
    with pytest.raises(ConfigError, match="tables have no channel axis: choose one"):
        ops.measure(np.ones((2, 3, 3), int), channel_axis=0)


def test_inputs_go_by_name_too() -> None:
    labels = given("measure")
    image = smooth(labels.shape)
    by_name = ops.measure(intensity=image, labels=labels)
    assert by_name.equals(ops.measure(labels, image))
    with pytest.raises(TypeError, match="labels"):
        ops.measure(intensity=image)  # type: ignore[call-arg]  # the mistake tested


@pytest.mark.parametrize("name", [n for n in SPATIAL if n not in STACKS])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5)])
def test_other_axes_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(FrameError, match=r"must be \(y, x\) or \(z, y, x\), got shape"):
        getattr(ops, name)(*inputs(name, np.ones(shape, np.uint8)))


@pytest.mark.parametrize("name", SUPPORTED)
def test_images_without_pixels_are_refused(name: str) -> None:
    with pytest.raises(FrameError, match=r"has no pixels: shape \(0, 4\)"):
        getattr(ops, name)(*inputs(name, np.ones((0, 4), np.uint8)))


@pytest.mark.parametrize("name", SUPPORTED)
@pytest.mark.parametrize("dtype", ["complex64", "object", "datetime64[s]", "U3"])
def test_what_is_no_number_is_refused(name: str, dtype: str) -> None:
    with pytest.raises(FrameError, match="must hold whole or real numbers, got dtype"):
        getattr(ops, name)(*inputs(name, np.zeros((3, 4), dtype)))


def test_unknown_parameters_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="gaussian has no parameter 'sigm'; did you"):
        ops.gaussian(smooth((3, 3)), sigm=1)  # type: ignore[call-arg]  # the mistake tested


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "bool"])
@pytest.mark.parametrize("name", ["gaussian", "median", "white_tophat", "threshold"])
def test_unusual_numbers_are_read_as_usual_ones(name: str, dtype: str) -> None:
    image = (smooth((12, 13), "float64") / 1000).astype(dtype)
    usual = {"float16": "float32", "longdouble": "float64", "bool": "uint8"}[dtype]
    np.testing.assert_array_equal(
        getattr(ops, name)(image), getattr(ops, name)(image.astype(usual))
    )


def test_importing_operators_imports_no_scikit_image() -> None:
    code = "import sys, streamproc.ops; sys.exit('skimage' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
