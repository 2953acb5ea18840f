"""Handles: names, kinds, refusals, and streams of committed values."""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import streamproc as sp
from streamproc.errors import ConfigError
from streamproc.graph import is_name
from tests.arrays import Arrays, noise, segmented, simulated, whole
from tests.functions import foreground, mean, two_rows


def test_names_are_the_operators_and_then_numbered() -> None:
    raw = simulated()
    steps = [raw.gaussian(), raw.gaussian(), raw.gaussian(name="mine"), raw.gaussian()]
    names = [s.name for s in steps]
    assert names == ["gaussian", "gaussian_2", "mine", "gaussian_3"]
    assert raw.name == "source"
    assert repr(steps[2]) == "<Image 'mine' = gaussian(source)>"


def test_every_kind_has_its_handle() -> None:
    raw = simulated()
    mask = raw.threshold()
    labels = mask.label()
    table = labels.measure(raw)
    assert isinstance(mask, sp.Mask)
    assert isinstance(labels, sp.Labels)
    assert isinstance(table, sp.Table)
    assert isinstance(table.running_count(), sp.Value)
    assert isinstance(labels.remove_small_objects(), sp.Labels)
    assert isinstance(mask.remove_small_objects(), sp.Mask)
    assert raw.map(foreground).kind == "mask"
    assert raw.map(mean).kind == "value"
    assert raw.map(abs).kind == "image"


def test_intensity_by_position_and_by_name() -> None:
    raw = simulated()
    labels, _ = segmented(raw)
    first, second = labels.measure(raw), labels.measure(intensity=raw)
    assert first.step.inputs == second.step.inputs
    assert first.step.parameters == second.step.parameters


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a", True),
        ("A1_-b", True),
        ("", False),
        ("1a", False),
        ("a b", False),
        ("a\n", False),
        ("ä", False),
        (3, False),
    ],
)
def test_what_a_name_is(text: Any, good: bool) -> None:
    assert is_name(text) is good


def test_refusals_name_the_rule() -> None:
    raw, other = simulated(), simulated()
    with pytest.raises(ConfigError, match="a step named 'source' exists already"):
        raw.gaussian(name="source")
    with pytest.raises(ConfigError, match="'a b' is no step name; use letters"):
        raw.gaussian(name="a b")
    with pytest.raises(ConfigError, match="its inputs come from two sources"):
        raw.map(np.add, other)
    with pytest.raises(ConfigError, match="inputs are handles of steps, got 3"):
        raw.map(np.add, 3)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=r"measure needs an image or a mask, got lab"):
        segmented(raw)[0].measure(segmented(raw)[0])  # type: ignore[arg-type]
    with pytest.raises(
        ConfigError,
        match=r"x: no operator named 'x'; known are those of: streamproc list op",
    ):
        raw.apply("x", radius=3)
    with pytest.raises(ConfigError, match=r"acts on 'source', got 'gaussian_3'"):
        raw.gaussian(name="gaussian_3").background()
    with pytest.raises(ConfigError, match=r"threshold\.value: method 'fixed' needs a"):
        raw.threshold("fixed")
    with pytest.raises(ConfigError, match="mean_intensity needs an intensity image"):
        segmented(raw)[0].measure(properties=["mean_intensity"])


def test_numpy_numbers_are_numbers() -> None:
    raw = simulated()
    assert raw.median(size=np.int64(5)).step.parameters["size"] == 5  # type: ignore[arg-type]
    assert type(raw.gaussian(sigma=np.float32(2)).step.parameters["sigma"]) is float  # type: ignore[arg-type]


def test_many_joins_cost_nothing(tmp_path: Path) -> None:
    x = simulated(1)
    for _ in range(60):  # 2^60 paths
        x = x.map(np.maximum, x)
    assert len(list(x.step.ancestors())) == 61
    assert sp.run(x, tmp_path / "run", executor="inline").frames.done == 1


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        (lambda raw: raw.measure(), "measure takes labels, got image; label() it fir"),
        (lambda raw: raw.label(), "label takes mask, got image; threshold() it first"),
        (lambda raw: raw.treshold(), "has no 'treshold'; did you mean 'threshold'?"),
        (lambda raw: raw._private, "'Image' object has no attribute '_private'"),
    ],
)
def test_what_a_handle_lacks(lacks: Callable[[Any], Any], message: str) -> None:
    raw = simulated(1)
    with pytest.raises(AttributeError, match=re.escape(message)):
        lacks(raw)
    assert list(raw.graph.steps) == ["source"]


def test_the_first_parameter_needs_no_name() -> None:
    raw = simulated(1)
    steps: list[tuple[sp.Handle, dict[str, Any]]] = [
        (raw.gaussian(3), {"sigma": 3}),
        (raw.median(5), {"size": 5}),
        (raw.background("top_hat"), {"method": "top_hat"}),
        (raw.threshold("li").binary_opening(2), {"radius": 2}),
        (raw.threshold().remove_small_objects(9), {"max_size": 9}),
        (raw.threshold().label(2), {"connectivity": 2}),
    ]
    for handle, parameters in steps:
        given = handle.step.parameters
        assert {name: given[name] for name in parameters} == parameters


def test_a_chain_may_be_long(tmp_path: Path) -> None:
    x = simulated(1)
    for _ in range(1500):
        x = x.map(np.positive)
    assert sp.run(x, tmp_path / "run", executor="inline").frames.done == 1


# --- streams ------------------------------------------------------------------


def test_streams_give_every_kind_in_order(tmp_path: Path, executor: str) -> None:
    raw = simulated(80)
    labels, cells = segmented(raw)
    total = cells.running_count()
    level = raw.map(mean)
    handles = {"source": raw, "labels": labels, "cells": cells}
    got: dict[str, list[Any]] = {}
    for handle in (raw, labels, cells, total, level):
        got[handle.name] = []
        handle.stream.sink(got[handle.name].append)
    sp.run(handles, tmp_path / "run", executor=executor)
    saved = sp.load(tmp_path / "run")
    assert {name: len(values) for name, values in got.items()} == dict.fromkeys(got, 80)
    assert np.array_equal(np.stack(got["source"]), whole(saved.images["source"]))
    assert np.array_equal(np.stack(got["label"]), whole(saved.labels["labels"]))
    pd.testing.assert_frame_equal(
        pd.concat(got["measure"], ignore_index=True), saved.tables["cells"]
    )
    objects = [len(table) for table in got["measure"]]
    assert [v["total"] for v in got["running_count"]] == np.cumsum(objects).tolist()
    assert got["map"] == [float(image.mean()) for image in got["source"]]


def test_metadata_carries_the_frame(tmp_path: Path, executor: str) -> None:
    raw = sp.open(Arrays(noise(20)))
    heard: list[Any] = []
    node = raw.stream
    node.sink(lambda value: None)
    original = node.emit

    def emit(value: object, metadata: object) -> None:
        heard.append(metadata)
        original(value)

    node.emit = emit
    sp.run(raw, tmp_path / "run", executor=executor)
    assert heard == [[{"frame": n, "time": float(n)}] for n in range(20)]


def test_a_failing_listener_costs_nobody_else(tmp_path: Path, executor: str) -> None:
    raw = simulated(30)
    _, cells = segmented(raw)
    got: list[Any] = []

    def fail(value: object) -> None:
        raise RuntimeError("the plot is closed")

    raw.stream.sink(fail)
    cells.stream.sink(got.append)
    report = sp.run({"cells": cells}, tmp_path / "run", executor=executor)
    assert (report.state, report.frames.done, len(got)) == ("finished", 30, 30)
    log = (tmp_path / "run/log.jsonl").read_text()
    assert log.count("RuntimeError: the plot is closed") == 20  # the first ones
    assert "failed on 30 value(s)" in " ".join(report.notes)


def test_a_slow_listener_gets_everything(tmp_path: Path) -> None:
    raw = simulated(700)
    go, got = threading.Event(), []

    def listen(value: int) -> None:
        go.wait()
        got.append(value)

    raw.map(lambda image: int(image[0, 0]), kind="value").stream.sink(listen)
    run = sp.start(raw, tmp_path / "run")
    while run.metrics.counters.done < 700:
        go.wait(0.005)
    go.set()
    assert run.wait().frames.done == 700
    assert len(got) == 700


def test_failed_frames_are_not_emitted(tmp_path: Path, executor: str) -> None:
    raw = sp.open(Arrays(noise(20), unreadable=frozenset({3, 4})))
    got: list[Any] = []
    raw.stream.sink(got.append)
    report = sp.run(raw, tmp_path / "run", executor=executor)
    assert (report.frames.done, report.frames.failed, len(got)) == (18, 2, 18)


def test_only_what_is_listened_to_is_kept() -> None:
    raw = simulated()
    labels, cells = segmented(raw)
    node = cells.stream
    assert [h.name for h in raw.graph.handles.values() if h.is_streamed] == ["measure"]
    assert node.upstreams  # the graph can be drawn all the same
    assert labels.is_streamed is False


def test_a_stream_takes_what_streamz_offers(tmp_path: Path) -> None:
    raw = simulated(20)
    table = raw.map(two_rows, kind="table")
    sums: list[int] = []
    table.stream.map(len).accumulate(lambda a, b: a + b, start=0).sink(sums.append)
    sp.run(table, tmp_path / "run")
    assert sums == list(range(2, 42, 2))
