"""What a notebook shows: well-formed, escaped, quick, and never an error."""

import base64
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

import streamproc as sp
from streamproc.metrics import Metrics
from streamproc.report import Frames
from streamproc.view import notebook

VOID = {"img"}
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Checks that tags are closed in order; keeps text, tags and pictures."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.pictures: list[np.ndarray] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attrs)
        assert not [name for name in given if name.startswith("on")]
        if tag == "img":
            kind, _, data = (given["src"] or "").partition(",")
            assert kind == "data:image/png;base64"
            raw = np.frombuffer(base64.b64decode(data), np.uint8)
            picture = cv2.imdecode(raw, cv2.IMREAD_COLOR)
            assert picture is not None
            self.pictures.append(picture)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def page(thing: Any) -> Page:
    html = thing._repr_html_()
    found = Page(html)
    assert not {"script", "link", "iframe"} & set(found.tags)
    assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg", "", html)
    return found


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no failure."""
    monkeypatch.setattr(notebook, "_PATIENCE", 60.0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    film = np.random.default_rng(0).poisson(100, (6, 60, 80)).astype(np.uint16)
    film[:, 10:20, 5:15] += 1000
    film[:, 40:52, 30:44] += 2000
    tifffile.imwrite("film.tif", film, photometric="minisblack")
    return tmp_path


@pytest.fixture
def raw(folder: Path) -> Iterator[sp.Image]:
    handle = sp.open({"files": {"path": "film.tif", "pixel_size_um": 0.5}})
    yield handle
    handle.graph.source.close()


def fails(image: np.ndarray) -> np.ndarray:
    raise ValueError(EVIL)


# --- handles --------------------------------------------------------------------------


def test_a_handle_shows_its_graph_and_its_first_frame(raw: sp.Image) -> None:
    labels = raw.gaussian(sigma=1).threshold("otsu").label()
    shown = page(labels)
    for text in ("labels from 6 frames of 60 × 80 uint16 (yx)", "0.5 µm", "2 objects"):
        assert text in shown.text
    assert shown.tags.count("rect") == 4
    assert shown.tags.count("path") == 3
    (picture,) = shown.pictures
    assert picture.shape == (240, 320, 3)
    coloured = np.ptp(picture.astype(int), axis=2) > 50
    assert coloured.any(), "no outline"
    assert not coloured[:30].any()


def test_every_kind_of_handle_shows_what_it_gives(raw: sp.Image) -> None:
    mask = raw.threshold("otsu")
    table = mask.label().measure(raw)
    assert re.search(r"uint8 · \d\.\d% foreground", page(mask).text)
    shown = page(table)
    assert "centroid_y" in shown.text
    assert "2 rows · 5 columns" in shown.text
    assert not shown.pictures
    total = page(table.running_count())
    assert "objects" in total.text
    assert "from its initial state" in total.text


def test_a_failure_is_shown_and_escaped(raw: sp.Image) -> None:
    bad = raw.map(fails, kind="image", name="bad", parameters={})
    shown = page(bad)
    assert f"ValueError: {EVIL}" in shown.text
    assert not shown.pictures
    assert "it needs 'bad'" in page(bad.gaussian()).text


def test_names_are_escaped(raw: sp.Image) -> None:
    def evil(image: np.ndarray) -> np.ndarray:
        return image

    evil.__qualname__ = "<b>&bold"
    shown = page(raw.map(evil, kind="image"))
    assert shown.tags.count("b") == 1, "its own"
    assert "<b>&bold" in shown.text


def test_graphs_that_branch_have_all_their_arrows(raw: sp.Image) -> None:
    def join(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(a + b)

    both = raw.gaussian().map(join, raw.median(), kind="image")
    deep = both.map(join, raw, kind="image")
    shown = page(deep)
    assert shown.tags.count("rect") == 5
    assert shown.tags.count("path") == 6


def test_a_live_source_is_not_opened_for_a_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle = sp.open({"simulation": {"frames": 5, "shape": [32, 32]}})
    opened: list[int] = []
    monkeypatch.setattr(handle.graph.source, "frames", opened.append)
    shown = page(handle.gaussian())
    assert "5 frames (live)" in shown.text
    assert not opened
    assert not shown.pictures


def test_large_frames_get_no_picture(
    raw: sp.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "_CHEAP", raw.graph.source.info.nbytes - 1)
    assert not page(raw).pictures


def test_a_slow_step_does_not_hold_the_notebook_up(
    raw: sp.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "_PATIENCE", 0.01)
    go_on = threading.Event()

    def waits(image: np.ndarray) -> np.ndarray:
        go_on.wait(60)
        return image

    slow = raw.map(waits, kind="image", name="slow")
    shown = page(slow)
    go_on.set()
    assert "slow" in shown.text
    assert not shown.pictures


def test_a_source_that_has_gone_leaves_the_graph(raw: sp.Image) -> None:
    raw.graph.source.close()
    Path("film.tif").unlink()
    shown = page(raw.gaussian())
    assert shown.tags.count("rect") == 2
    assert not shown.pictures


def test_what_cannot_be_shown_is_its_text(raw: sp.Image) -> None:
    del raw.graph.source.info
    assert raw._repr_html_() == "<pre>&lt;Image &#x27;source&#x27; = source()&gt;</pre>"


# --- runs, reports, results -----------------------------------------------------------


def test_a_report_shows_its_numbers(raw: sp.Image) -> None:
    labels = raw.threshold("otsu").label()
    report = sp.run({"n": labels, "cells": labels.measure(raw)}, to="RUN")
    shown = page(report)
    for text in ("finished", "RUN", "6 admitted, 6 done", "frames/s", "n, cells"):
        assert text in shown.text
    assert "12" in shown.text, "objects"
    assert "threshold" in shown.text, "milliseconds by step"
    assert "lost" not in shown.text
    assert repr(report).startswith("<Report finished: 6 done, 0 failed, ")


def test_a_report_says_what_went_wrong() -> None:
    frames = Frames(9, 5, 2, 1, 4, 1)
    report = sp.Report(
        Path("<i>RUN"), "stopped", frames, 1.0, {"p50": None, "p99": None}, {}, 0, 1.0,
        reason=EVIL, notes=("a & b",),
    )  # fmt: skip
    shown = page(report)
    assert EVIL in shown.text
    assert "<i>RUN" in shown.text
    assert "a & b" in shown.text
    for name, count in {"failed": 2, "skipped": 1, "pending": 1, "lost": 4}.items():
        assert re.search(rf"{name}\s+{count}", shown.text)


def test_a_run_shows_how_far_it_is(raw: sp.Image) -> None:
    halfway, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def waits(image: np.ndarray) -> np.ndarray:
        seen.append(1)
        if len(seen) == 4:
            halfway.set()
            go_on.wait(60)
        return image

    run = sp.start(raw.map(waits, kind="image"), to="RUN", executor="inline")
    try:
        assert halfway.wait(60)
        shown = page(run)
        assert "running" in shown.text
        assert re.search(r"[0-3] of 6 frames", shown.text)
        assert repr(run).startswith("<Run running: ")
    finally:
        go_on.set()
        run.wait()
    assert "6 of 6 frames" in page(run).text
    assert repr(run).startswith("<Run finished: 6 done, ")


def test_metrics_are_a_line() -> None:
    metrics = Metrics()
    metrics.counters.admitted, metrics.counters.done = 5, 3
    metrics.finished = metrics.started
    assert repr(metrics) == (
        "<Metrics 5 admitted: 3 done, 0 failed, 0 skipped, 2 pending; 0.0 fps>"
    )


def test_results_show_what_is_saved_and_a_picture(raw: sp.Image) -> None:
    labels = raw.threshold("otsu").label()
    cells = labels.measure(raw, properties=["area"])
    sp.run({"source": raw, "n": labels, "cells": cells}, to="RUN")
    shown = page(sp.load("RUN"))
    for text in (
        "6 done",
        "images['source'] 6 × 60 × 80 uint16 (tyx)",
        "labels['n'] 6 × 60 × 80 uint32 (tyx)",
        "tables['cells'] 12 rows: frame, label, area",
    ):
        assert text in " ".join(shown.text.split()), text
    (picture,) = shown.pictures
    assert (np.ptp(picture.astype(int), axis=2) > 50).any(), "no outline"


def test_results_of_a_run_that_saved_nothing(raw: sp.Image) -> None:
    sp.run(raw.gaussian(), to="RUN")
    assert "6 done" in page(sp.load("RUN")).text


def test_results_of_a_folder_that_has_gone(raw: sp.Image) -> None:
    sp.run({"m": raw.threshold("otsu")}, to="RUN")
    results = sp.load("RUN")
    shutil.rmtree("RUN")
    assert page(results).tags[0] in ("div", "pre")


def test_showing_needs_no_display_and_no_plotting() -> None:
    code = (
        "import sys, streamproc as sp\n"
        "html = sp.open('film.tif').threshold('otsu')._repr_html_()\n"
        "print('<svg' in html, 'matplotlib' in sys.modules, 'IPython' in sys.modules)"
    )
    bare = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=bare
    )
    assert done.stdout == "True False False\n", done.stderr
