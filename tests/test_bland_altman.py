"""Limits of agreement: against published figures, scipy.stats, and merged parts."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

import streamproc as sp
from streamproc.bland_altman import Differences, paired
from streamproc.errors import ConfigError, FrameError
from streamproc.ordered import BlandAltman
from streamproc.table import Measurements

#: Peak flow of 17 people by two meters, in l/min: Bland and Altman (1986), table 1.
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178]
LARGE += [423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259]
MINI += [350, 451]

numbers = st.lists(st.floats(-1e6, 1e6), max_size=30).map(np.array)


def oracle(differences: Any, confidence: float) -> dict[str, float]:
    """The formulas of Bland and Altman (1999), by scipy.stats."""
    n, bias, sd = len(differences), np.mean(differences), np.std(differences, ddof=1)
    found = {"pairs": n, "bias": bias, "sd": sd}
    found |= {"lower": bias - 1.96 * sd, "upper": bias + 1.96 * sd}
    of_limit = math.sqrt(sd**2 / n + 1.96**2 * sd**2 / (2 * (n - 1)))
    errors = {"bias": stats.sem(differences), "lower": of_limit, "upper": of_limit}
    for name, error in errors.items():
        between = stats.t.interval(confidence, n - 1, loc=found[name], scale=error)
        found[f"{name}_from"], found[f"{name}_to"] = between
    return found


def test_the_published_example() -> None:
    found = Differences.of(np.subtract(LARGE, MINI, dtype=float)).agreement()
    assert found["bias"] == pytest.approx(-2.1, abs=0.05)
    assert found["sd"] == pytest.approx(38.8, abs=0.05)
    # they print -22.0 to 17.8
    assert found["bias_from"] == pytest.approx(-22.0, abs=0.1)
    assert found["bias_to"] == pytest.approx(17.8, abs=0.1)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("count", [2, 3, 17, 4000])
def test_it_equals_the_formulas(confidence: float, count: int) -> None:
    differences = np.random.default_rng(count).normal(3, 2, count)
    found, expected = (
        Differences.of(differences).agreement(confidence),
        oracle(differences, confidence),
    )
    assert list(found) == list(expected)
    np.testing.assert_allclose(
        list(found.values()), list(expected.values()), rtol=1e-10
    )


def test_too_few_pairs_have_no_limits() -> None:
    none, one = Differences(), Differences.of(np.array([2.5]))
    assert math.isnan(none.agreement()["bias"])
    assert one.agreement()["bias"] == 2.5
    for name in ("sd", "lower", "upper_to", "bias_from"):
        assert math.isnan(one.agreement()[name])


@given(numbers, numbers)
def test_parts_are_merged_as_if_they_came_at_once(one: Any, other: Any) -> None:
    merged = Differences.of(one).merged(Differences.of(other))
    whole = Differences.of(np.concatenate([one, other]))
    assert merged.count == whole.count
    scale = max(1.0, float(np.abs([*one, *other]).max(initial=0)))
    assert merged.mean == pytest.approx(whole.mean, abs=1e-12 * scale)
    assert merged.squares == pytest.approx(whole.squares, rel=1e-9, abs=1e-9 * scale)


def test_far_from_zero_no_digit_is_lost() -> None:
    # squares about zero would leave nothing of a spread of one
    parts = [Differences.of(1e9 + np.array([float(n), n + 1.0])) for n in range(100)]
    total = Differences()
    for part in parts:
        total = total.merged(part)
    values = [1e9 + n + d for n in range(100) for d in (0.0, 1.0)]
    assert total.sd == pytest.approx(float(np.std(values, ddof=1)), rel=1e-12)


# --- as a step ----------------------------------------------------------------------


def rows(labels: list[int], **columns: Any) -> Measurements:
    arrays = {n: np.asarray(v, np.float64) for n, v in columns.items()}
    return Measurements({"label": np.array(labels, np.int64), **arrays})


def test_rows_of_one_label_are_a_pair() -> None:
    step = BlandAltman("area")
    a = rows([1, 2, 5], area=[10, 20, math.nan])
    b = rows([2, 3, 5], area=[17, 1, 4])
    state, value = step.step(step.initial(), a, b)
    assert (value["pairs"], value["bias"], value["difference"]) == (1, 3, 3)
    state, value = step.step(state, a, a)
    assert (value["pairs"], value["bias"], value["difference"]) == (3, 1, 0)
    assert json.loads(json.dumps(state)) == state
    _, value = step.step(state, rows([], area=[]), a)
    assert value["pairs"] == 3
    assert math.isnan(value["difference"])


@pytest.mark.parametrize(
    ("a", "b"),
    [(5, 3.5), ({"area": 5}, {"area": 3.5}), (np.int64(5), np.float32(3.5))],
)
def test_values_are_a_pair_a_frame(a: object, b: object) -> None:
    step = BlandAltman("area")
    _, value = step.step(step.initial(), a, b)
    assert (value["pairs"], value["bias"]) == (1, 1.5)


def test_what_is_not_there_or_no_number_is_refused() -> None:
    step = BlandAltman("are")
    with pytest.raises(FrameError, match="no column 'are' to compare; did you mean"):
        step.step(step.initial(), rows([1], area=[1]), rows([1], area=[1]))
    step = BlandAltman("value")
    with pytest.raises(FrameError, match="'value' holds no numbers to compare"):
        step.step(step.initial(), "a", "b")


def test_live_it_says_what_all_pairs_say() -> None:
    raw = sp.open({"simulation": {"frames": 6, "shape": [96, 96], "live": False}})
    labels = raw.gaussian(sigma=1).threshold("otsu").label()
    one = labels.measure(raw, name="one")
    other = labels.measure(raw.gaussian(sigma=2), name="other")
    found: list[Any] = []
    agree = one.bland_altman(other, column="mean_intensity")
    agree.stream.sink(found.append)
    pairs: list[Any] = []
    one.stream.sink(pairs.append)
    others: list[Any] = []
    other.stream.sink(others.append)
    sp.run([agree], executor="threads")
    assert len(found) == 6
    differences = np.concatenate(
        [
            a["mean_intensity"] - b["mean_intensity"]
            for a, b in zip(pairs, others, strict=True)
        ]
    )
    expected = oracle(differences, 0.95)
    assert {k: found[-1][k] for k in expected} == pytest.approx(expected, rel=1e-9)


def test_as_a_step_of_yaml() -> None:
    from streamproc.config import build, parse

    graph: dict[str, Any] = {
        "mask": {"threshold": "otsu", "of": "source"},
        "objects": {"label": {}, "of": "mask"},
        "a": {"measure": {}, "of": "objects"},
        "b": {"measure": {"properties": ["area"]}, "of": "objects"},
        "agree": {"bland_altman": "area", "of": ["a", "b"]},
        "same": {"compare_labels": {}, "of": ["objects", "mask"]},
    }
    given = {"source": {"simulation": {"frames": 1}}, "graph": graph}
    built, _ = build(parse({**given, "save": ["agree", "same"]}))
    assert built.steps["agree"].parameters == {"column": "area", "confidence": 0.95}
    graph["agree"]["of"] = ["a", "objects"]
    with pytest.raises(ConfigError, match="bland_altman needs a table or a value, got"):
        build(parse({**given, "save": ["agree"]}))
    graph["agree"] = {"bland_altman": {"confidence": 1}, "of": ["a", "b"]}
    with pytest.raises(ConfigError, match=r"confidence must be < 1\.0, got 1"):
        build(parse({**given, "save": ["agree"]}))


@pytest.mark.parametrize("axes", ["yx", "zyx"])
def test_objects_that_are_numbered_otherwise_are_paired_by_place(axes: str) -> None:
    rng = np.random.default_rng(len(axes))
    places = rng.permutation(100)[:30, None] * 20.0 + rng.random((30, len(axes)))
    one = {"label": np.arange(1, 31), "area": np.full(30, 100)}
    one |= {f"centroid_{a}": places[:, n] for n, a in enumerate(axes)}
    order = rng.permutation(30)[:25]  # five are not found, one is elsewhere
    other = {"label": np.arange(1, 27), "area": np.full(26, 90)}
    for n, a in enumerate(axes):
        other[f"centroid_{a}"] = np.append(places[order, n] + 0.3, -500.0)
    mine, theirs = paired(one, other)
    assert dict(zip(theirs, mine, strict=True)) == dict(enumerate(order))
    # without areas the stray one has a partner, unless that has a nearer one
    del other["area"]
    assert set(zip(mine, theirs, strict=True)) <= set(
        zip(*paired(one, other), strict=True)
    )


def test_objects_that_are_the_same_are_paired_by_label() -> None:
    one = {"label": np.array([2, 5, 9]), "centroid_y": np.zeros(3)}
    other = {"label": np.array([9, 2, 5]), "centroid_y": np.zeros(3)}
    mine, theirs = paired(one, other)
    assert (one["label"][mine] == other["label"][theirs]).all()
    assert len(mine) == 3
    # no place is known of one: labels are all there is
    del other["centroid_y"]
    assert len(paired(one, other)[0]) == 3
    nothing = {"label": np.array([], int), "centroid_y": np.array([])}
    assert [len(rows) for rows in paired(one, nothing)] == [0, 0]
