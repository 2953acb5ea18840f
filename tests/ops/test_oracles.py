"""Every operator against its oracle: shapes, dtypes, extremes, NaN, volumes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from streamproc import ops
from tests.ops.cases import Case, all_cases
from tests.ops.pictures import SHAPES, VOLUMES, Array, extreme

CASES = all_cases()
TOLERANCE = 1e-5


def agree(case: Case, inputs: tuple[Array, ...]) -> None:
    """Compare the operator with its oracle."""
    ours, oracle = case.ours(*inputs), case.oracle(*inputs)
    if isinstance(ours, pd.DataFrame):
        ours = {str(name): column.to_numpy() for name, column in ours.items()}
    if isinstance(ours, Mapping):
        assert list(ours) == list(oracle)
        for name, value in ours.items():
            close(np.asarray(value), np.asarray(oracle[name]), name)
        return
    oracle = np.asarray(oracle)
    assert np.shape(ours) == oracle.shape
    if case.bound:
        known = np.abs(inputs[0].astype(np.float64))
        scale = max(float(known[np.isfinite(known)].max(initial=0.0)), 1e-30)
        np.testing.assert_allclose(ours, oracle, rtol=0, atol=case.bound * scale)
    else:
        assert np.asarray(ours).dtype == oracle.dtype
        np.testing.assert_array_equal(ours, oracle)


def close(ours: Array, oracle: Array, name: str) -> None:
    """Compare columns: whole numbers exactly, others to five digits."""
    assert ours.shape == oracle.shape, name
    if ours.dtype.kind in "iub" and oracle.dtype.kind in "iub":
        np.testing.assert_array_equal(ours, oracle, err_msg=name)
    elif ours.dtype.kind in "iubf":
        known = np.abs(oracle[np.isfinite(oracle)])
        scale = TOLERANCE * max(float(known.max(initial=0.0)), 1e-9)
        np.testing.assert_allclose(
            ours, oracle, rtol=TOLERANCE, atol=scale, err_msg=name
        )
    else:
        assert ours.tolist() == oracle.tolist(), name


def shapes(case: Case) -> list[tuple[int, ...]]:
    """Return shapes that the case takes."""
    every = [s for s in (*SHAPES, *VOLUMES) if len(s) in case.ndims]
    return [s for s in every if min(s) >= case.smallest]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_equals_its_oracle(case: Case) -> None:
    for dtype in case.dtypes:
        for seed, shape in enumerate(shapes(case)):
            agree(case, case.given(shape, dtype, seed))


@pytest.mark.parametrize("case", [c for c in CASES if c.extremes], ids=str)
def test_it_equals_its_oracle_at_extremes(case: Case) -> None:
    spec = ops.OPERATORS[case.operator]
    if 2 not in case.ndims or case.inputs is not None or "image" not in spec.takes[0]:
        pytest.skip("its inputs have no extremes of a dtype")
    for dtype in case.dtypes:
        for image in extreme(dtype):
            _, *others = case.given(image.shape, dtype, 0)
            agree(case, (image, *others))


@pytest.mark.parametrize("case", [c for c in CASES if c.nan], ids=str)
def test_it_equals_its_oracle_where_pixels_are_nan(case: Case) -> None:
    for ndim in case.ndims:
        image, *others = case.given((9, 12, 14)[-ndim:], "float32", 0)
        holed: Array = np.array(image)
        holed[np.random.default_rng(0).random(image.shape) < 0.1] = np.nan
        agree(case, (holed, *others))


def _lacking() -> list[Any]:
    return sorted(set(ops.OPERATORS) - {case.operator for case in CASES})


def test_every_operator_has_an_oracle() -> None:
    assert not _lacking()
    assert not [name for name, spec in ops.OPERATORS.items() if not spec.oracle]
