"""Counters, percentiles within two percent, and rows per 1, 10 and 60 seconds."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamproc.metrics import Added, Counters, Latency, Metrics, Summary

DURATIONS = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=60)


@given(DURATIONS, st.floats(1, 100))
def test_percentiles_are_within_two_percent(
    values: list[float], percent: float
) -> None:
    latency = Latency()
    for value in values:
        latency.add(value)
    found = latency.percentile(percent)
    rank = max(math.ceil(len(values) * percent / 100 - 1e-9), 1)
    exact = sorted(values)[rank - 1]
    assert found is not None
    assert exact / 1.02 <= found <= exact * 1.02
    assert latency.count == len(values)
    assert math.isclose(latency.total, sum(values))


def test_no_durations_no_percentile() -> None:
    assert Latency().percentile(50) is None
    latency = Latency()
    latency.add(0.0)
    assert latency.percentile(99) is not None


def test_pending_is_what_is_left() -> None:
    assert Counters(admitted=10, done=5, failed=2, skipped=1).pending == 2


def test_stages_are_milliseconds_per_frame() -> None:
    metrics = Metrics(committed_here=100)
    metrics.step("(read)").add(0.3)
    metrics.step("(read)").add(0.2)
    assert metrics.milliseconds() == {"read": 5.0}
    # a step may be called like what is none
    metrics.step("read").add(0.1)
    assert metrics.milliseconds() == {"(read)": 5.0, "read": 1.0}


def sums(rows: dict[tuple[int, float], tuple[object, ...]]) -> dict[int, np.ndarray]:
    """Return done, failed and lost per length of time."""
    total: dict[int, np.ndarray] = {}
    for (seconds, _), row in rows.items():
        counts = np.array([row[2], row[3], row[5]])
        total[seconds] = total.get(seconds, 0) + counts
    return total


@given(
    st.lists(
        st.tuples(
            st.floats(-3, 40), st.integers(0, 64), st.integers(0, 9), st.integers(0, 3)
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 29),
)
def test_rows_sum_to_all_frames(
    groups: list[tuple[float, int, int, int]], restart: int
) -> None:
    """Whatever the clock does (it may be set back), and across a resume."""
    rows: dict[tuple[int, float], tuple[object, ...]] = {}
    summary, now = Summary(), 1_700_000_000.0
    for n, (step, done, failed, lost) in enumerate(groups):
        if n == restart:
            last = {s: max(t for k, t in rows if k == s) for s in (1, 10, 60) if rows}
            summary = Summary([rows[key] for key in last.items()])
        now += step
        added = Added(done=done, failed=failed, lost=lost, latencies=[1.0] * done)
        for row in summary.add(now, added):
            rows[(row[0], row[1])] = row
    expected = np.array([[g[1], g[2], g[3]] for g in groups]).sum(axis=0)
    for seconds, total in sums(rows).items():
        assert np.array_equal(total, expected), seconds


def test_means_per_frame_and_object() -> None:
    summary = Summary()
    summary.add(60.0, Added(done=2, objects=4, area=40, intensity=8, bytes=10))
    row = summary.add(60.5, Added(done=2, objects=4, area=80, intensity=8, bytes=10))[0]
    again = Summary([row]).add(60.6, Added())[0]
    assert row[9:] == again[9:] == (2.0, 15.0, 2.0, 20)
    assert row[6] == 4.0
