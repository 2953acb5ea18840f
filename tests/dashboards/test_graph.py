"""The views of an engineer in a real browser: what they show is what the run has."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamproc as sp
from tests import cameras
from tests.dashboards.conftest import Begin, serving
from tests.dashboards.test_browser import CHROMIUM, FLAGS

pytestmark = pytest.mark.slow

Show = Callable[..., Any]


@pytest.fixture(scope="module")
def show() -> Iterator[Show]:
    """Show a page at a size; no window may complain."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the path")
    playwright = pytest.importorskip("playwright.sync_api")
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

        def window(page: str, view: str, width: int = 1366, height: int = 768) -> Any:
            made = browser.new_page(viewport={"width": width, "height": height})
            made.set_default_timeout(60_000)
            made.on("pageerror", lambda error: complaints.append(str(error)))
            made.goto(page)
            made.wait_for_function("streamproc.told && streamproc.told.bench.work")
            made.keyboard.press({"engineer": "2", "graph": "3"}[view])
            made.wait_for_selector(f"html[data-view={view}]")
            return made

        yield window
        browser.close()
    assert not complaints


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A live run with gaps, failures in a step, and a branch."""

    def picky(pixels: np.ndarray) -> np.ndarray:
        if pixels[0, 0] % 5 == 0:
            raise ValueError("five")
        return pixels

    raw = sp.open(cameras.Lossy())
    mine = raw.map(picky, kind="image", name="mine")
    labels = mine.add(value=1).multiply(value=2).threshold(name="mask").label()
    cells = labels.measure(raw, name="cells")
    count = cells.running_count()
    save = {"source": raw, "spots": labels, "cells": cells, "count": count}
    return sp.run(save, tmp_path_factory.mktemp("ended") / "run").path


@pytest.fixture(scope="module")
def ended_page(ended: Path, begin: Begin) -> str:
    return serving(begin("dashboard", str(ended)))


def rows(window: Any, body: str) -> list[list[str]]:
    """Return the texts of a table."""
    found: list[list[str]] = window.evaluate(
        "(id) => [...document.querySelectorAll(`#${id} tr`)]"
        ".map((row) => [...row.children].map((cell) => cell.textContent))",
        body,
    )
    return found


def test_the_figures_of_an_ended_run_are_those_of_sql(
    show: Show, ended: Path, ended_page: str
) -> None:
    window, run = show(ended_page, "engineer"), sp.load(ended)
    status = run.status()
    for name in ("admitted", "done", "failed", "skipped", "pending"):
        assert window.locator(f"#sum-{name}").inner_text() == f"{status[name]:,}"
    assert window.locator("#sum-holds").inner_text() == "✓ adds up"
    steps = {row[0]: row for row in rows(window, "steps")}
    assert list(steps) == [
        *("read", "mine", "add", "multiply", "mask", "label", "cells"),
        *("running_count", "encode", "commit"),
    ]
    assert steps["commit"][5] == str(len(run.frames))
    assert steps["cells"][5] == str(status["done"])
    failed = run.frames["error"].dropna()
    mine = failed.str.startswith("step 'mine'").sum()
    assert steps["mine"][6] == str(mine) != "0"
    assert steps["read"][6] == str(len(failed) - mine)
    shown = [float(row[1].rstrip(" %")) for row in steps.values() if row[1] != "–"]
    assert sum(shown) == pytest.approx(100, abs=len(shown) / 2)
    lost = run.gaps.groupby(["place", "reason"])["count"].sum().reset_index()
    told = [[x[0], x[1], f"{int(x[2]):,}"] for x in lost.itertuples(index=False)]
    assert sorted(rows(window, "losses")) == sorted(told)
    workers = dict(run.frames[run.frames["worker"] != ""]["worker"].value_counts())
    assert {row[0]: int(row[6]) for row in rows(window, "workers")} == workers
    assert window.locator("#page").is_hidden()


def test_the_figures_of_a_run_that_goes_on(
    show: Show, live_run: Path, page: str
) -> None:
    window = show(page, "engineer")
    window.get_by_role("button", name="Pause").click()
    window.wait_for_function("streamproc.told.state === 'paused'")
    done = sp.load(live_run).status()["done"]
    window.wait_for_function(
        "(n) => streamproc.told.bench.work.steps.at(-1).frames === n", arg=done
    )
    window.wait_for_function(
        "(n) => document.querySelector('#steps tr:last-child').children[5]"
        ".textContent === n",
        arg=f"{done:,}",
    )
    assert [row[0] for row in rows(window, "stages")] == [
        *("into the raw log", "for a worker", "computing", "for its turn", "saving")
    ]
    for row in rows(window, "workers"):
        assert row[1] == "idle"
    assert window.locator("#limit-why").inner_text() == "paused"
    assert " left of " in window.locator("#disk-said").inner_text()
    window.get_by_role("button", name="Resume").click()
    window.wait_for_function("streamproc.told.state === 'running'")
    window.wait_for_function(
        "(n) => streamproc.told.bench.work.steps.at(-1).frames > n", arg=done
    )


@pytest.mark.parametrize("size", [(1366, 768), (1920, 1080), (1024, 768)])
def test_the_plan_is_drawn_as_it_runs(
    show: Show, ended: Path, ended_page: str, size: tuple[int, int]
) -> None:
    window = show(ended_page, "graph", *size)
    window.wait_for_selector("[data-node=save]")
    nodes = window.evaluate(NODES)
    names = ["source", "mine", "add", "multiply", "mask", "label", "cells"]
    assert sorted(nodes) == sorted([*names, "running_count", "save"])
    run = sp.load(ended)
    failed = run.frames["error"].dropna().str.startswith("step 'mine'").sum()
    read = run.frames["error"].isna().sum() + failed
    assert f"{failed} of {read} failed" in nodes["mine"]["text"]
    assert nodes["mine"]["failed"]
    assert not nodes["mask"]["failed"]
    assert f"{run.status()['done']} frames" in nodes["mask"]["text"]
    # boxes lie apart, within the drawing, inputs to the left or above
    boxes = [node["box"] for node in nodes.values()]
    for i, a in enumerate(boxes):
        assert 0 <= a[0] < a[2] <= size[0]
        for b in boxes[i + 1 :]:
            apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
            assert apart, (a, b)
    for name, before in (("mine", "source"), ("cells", "label"), ("mask", "add")):
        own, other = nodes[name]["box"], nodes[before]["box"]
        assert own[0] > other[2] or own[1] > other[3]
    groups = set(window.evaluate(GROUPS))
    assert groups >= {"one task of a worker", "in frame order", "pixel-wise, together"}
    assert window.evaluate(TEXTS) == []


#: Text, state and place (left, top, right, bottom) of every node.
NODES = """(() => Object.fromEntries([...document.querySelectorAll("[data-node]")].map(
  (node) => {
    const box = node.querySelector(".box").getBoundingClientRect();
    return [node.dataset.node, {
      text: node.textContent, failed: node.classList.contains("failed"),
      box: [box.left, box.top, box.right, box.bottom],
    }];
  })))()"""
GROUPS = "[...document.querySelectorAll('.group text')].map((text) => text.textContent)"
#: Texts of nodes that reach beyond their box, or over each other.
TEXTS = """(() => [...document.querySelectorAll("[data-node]")].flatMap((node) => {
  const box = node.querySelector(".box").getBoundingClientRect();
  const texts = [...node.querySelectorAll("text")].filter((one) => one.textContent);
  const place = texts.map((one) => [one.textContent, one.getBoundingClientRect()]);
  const out = place.filter(([, b]) => b.left < box.left || b.right > box.right
    || b.bottom > box.bottom + 2);
  const over = place.filter(([, a], i) => place.slice(i + 1).some(([, b]) =>
    a.left < b.right && b.left < a.right && Math.abs(a.top - b.top) < 4));
  return [...out, ...over].map(([text]) => `${node.dataset.node}: ${text}`);
}))()"""


@pytest.mark.parametrize("size", [(1366, 768), (1920, 1080)])
def test_no_table_is_wider_than_its_panel(
    show: Show, ended_page: str, size: tuple[int, int]
) -> None:
    window = show(ended_page, "engineer", *size)
    window.wait_for_selector("#steps tr:nth-child(5)")
    wide = window.evaluate(
        "[...document.querySelectorAll('.scroll')].filter("
        "(box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.ariaLabel)"
    )
    assert wide == []
