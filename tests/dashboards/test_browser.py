"""The page in a real browser: what it shows is what the run has."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.segmentation import find_boundaries

import streamproc as sp

pytestmark = pytest.mark.slow

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
#: Without them it looks for the world, and a root may not use its sandbox.
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    *(["--no-sandbox"] if getattr(os, "getuid", lambda: 1)() == 0 else []),
]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the path")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def opened(browser: Any, page: str) -> Iterator[Open]:
    """Open the page of the live run in a window; no window may complain."""
    windows, complaints = [], list[str]()

    def window(width: int = 1366, height: int = 768) -> Any:
        made = browser.new_page(viewport={"width": width, "height": height})
        made.set_default_timeout(60_000)
        made.on("pageerror", lambda error: complaints.append(str(error)))
        made.on("console", lambda line: complaints.extend(errors(line)))
        windows.append(made)
        made.goto(page)
        made.wait_for_function("streamproc.drawn > 0 && streamproc.told")
        return made

    def errors(line: Any) -> list[str]:
        return [line.text] if line.type == "error" else []

    yield window
    for made in windows:
        made.close()
    assert not complaints


def test_the_picture_goes_on_and_pause_freezes_it(opened: Open, live_run: Path) -> None:
    window = opened()
    first = window.evaluate("streamproc.frame")
    window.wait_for_function(f"streamproc.frame > {first + 2}")
    window.get_by_role("button", name="Pause").click()
    window.wait_for_function("streamproc.told.state === 'paused'")
    window.wait_for_function("streamproc.frame === streamproc.told.newest")
    status = sp.load(live_run).status()
    assert status["state"] == "paused"
    assert window.locator("#veil").is_visible()
    # what is shown is what the run has: the counts, and where the objects are
    shown = window.evaluate("streamproc.frame")
    window.wait_for_function(f"streamproc.told.done === {status['done']}")
    assert window.locator("#done").inner_text() == f"{status['done']:,}"
    outlines = np.array(window.evaluate(ALPHA), bool)
    labels = np.asarray(sp.load(live_run).labels["nuclei"][shown])
    expected = find_boundaries(labels, connectivity=1, mode="inner")  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(outlines.reshape(labels.shape), expected)
    window.keyboard.press("Space")
    window.wait_for_function(f"streamproc.frame > {shown}")


#: Where the canvas of the outlines is painted.
ALPHA = """(() => {
  const canvas = document.getElementById("labels");
  const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return Array.from(all.data.filter((_, i) => i % 4 === 3));
})()"""


def test_a_parameter_is_set_for_everyone(opened: Open, live_run: Path) -> None:
    one, other = opened(), opened(1920, 1080)
    field = one.locator("[data-name='smooth.sigma']")
    field.fill("1.75")
    field.press("Enter")
    other.wait_for_function("streamproc.told.parameters['smooth.sigma'] === 1.75")
    assert other.locator("[data-name='smooth.sigma']").input_value() == "1.75"
    assert one.locator("[data-name='mask.method']").is_disabled()
    values = sp.load(live_run).parameters
    assert list(values[values["name"] == "sigma"]["value"])[-1] == "1.75"
    # what breaks the rule is said, and changes nothing
    field.fill("-1")
    field.press("Enter")
    one.wait_for_selector("#said:visible")
    assert "sigma" in one.locator("#said").inner_text()


def test_an_alert_is_shown_to_all_until_the_rule_holds(
    opened: Open, live_run: Path
) -> None:
    one, other = opened(), opened(1024, 768)
    one.keyboard.press("Space")
    for window in (one, other):
        window.wait_for_selector("#alerts:visible")
        said = window.locator("#alerts").inner_text()
        assert "Behind: " in said
        assert "wait for their results" in said
        assert_nothing_overlaps(window)
    assert one.locator("#alerts").get_attribute("aria-live") == "assertive"
    one.get_by_role("button", name="Dismiss").click()
    one.wait_for_selector("#alerts", state="hidden")
    one.reload()  # who has seen it has seen it
    one.wait_for_function("streamproc.drawn > 0 && streamproc.told")
    assert one.locator("#alerts").is_hidden()
    assert other.locator("#alerts").is_visible()
    one.keyboard.press("Space")
    other.wait_for_selector("#alerts", state="hidden")
    events = sp.load(live_run).events
    told = events[events["kind"] == "alert"]
    assert list(told["level"])[-2:] == ["warning", "info"]
    assert list(told["message"])[-1].startswith("lag_frames: cleared")


def test_a_moment_is_marked_for_everyone(opened: Open, live_run: Path) -> None:
    one, other = opened(), opened()
    one.keyboard.press("m")
    one.keyboard.type("2 µl <b>dye</b> 1 m")
    one.keyboard.press("Enter")
    for window in (one, other):
        window.wait_for_selector("#marked:visible")
        assert window.locator("#marked").inner_text().endswith("2 µl <b>dye</b> 1 m")
    events = sp.load(live_run).events
    (mark,) = events[events["kind"] == "mark"].to_dict("records")
    assert mark["message"] == "2 µl <b>dye</b> 1 m"
    assert f"Frame {int(mark['frame']):,}:" in one.locator("#marked").inner_text()
    one.get_by_role("button", name="Mark").click()
    one.keyboard.press("Escape")  # nothing is noted
    assert one.locator("#note").is_hidden()


@pytest.mark.parametrize(
    "size", [(820, 1180), (1024, 768), (1366, 768), (1920, 1080), (3840, 2160)]
)
def test_nothing_overlaps_or_is_cut_off(opened: Open, size: tuple[int, int]) -> None:
    window = opened(*size)
    views = window.locator("[id^='view-']").all()
    assert len(views) > 1
    for theme in ("dark", "light"):
        window.wait_for_selector(f"html[data-theme={theme}]")
        for view in views:
            view.click()
            window.wait_for_function(STILL)
            assert_nothing_overlaps(window)
            assert_readable(window)
        # the plots' numbers, which Bokeh draws, have the colour of the other small text
        window.wait_for_function(INKED)
        window.keyboard.press("t")


def test_a_page_that_is_amiss_is_seen(opened: Open) -> None:
    window = opened()
    bad = (
        ".under { margin-top: -60px } .tile h2 { color: #4a5160 } #p50 { float: right }"
    )
    window.add_style_tag(content=bad + " .tile { height: 40px }")
    said = window.evaluate(f"({LOOKS})().misplaced()")
    assert any("stage and" in line and "overlap" in line for line in said)
    assert any("is cut off by DIV tile" in line for line in said)
    assert any("H2 Latency" in line for line in window.evaluate(f"({LOOKS})().faint()"))


def assert_nothing_overlaps(window: Any) -> None:
    """Fail where parts of the page lie upon each other, or beyond its edge."""
    assert window.evaluate(f"({LOOKS})().misplaced()") == []


def assert_readable(window: Any) -> None:
    """Fail where text has less contrast than WCAG 2.1 AA asks for."""
    assert window.evaluate(f"({LOOKS})().faint()") == []


#: Whether the numbers of all plots have the theme's colour.
INKED = """() => {
  const root = getComputedStyle(document.documentElement);
  const axes = Bokeh.documents.flatMap((document) => [...document._all_models.values()])
    .filter((model) => /Axis$/.test(model.type));
  return axes.length > 5 && axes.every((axis) =>
    axis.major_label_text_color === root.getPropertyValue("--quiet").trim());
}"""

#: Looks at the page as it is: what lies where, and in which colours.
LOOKS = Path(__file__).with_name("looks.js").read_text(encoding="utf-8").strip()

#: Whether two pictures of the page have been drawn with everything in the same place.
STILL = """() => new Promise((done) => {
  const place = () => JSON.stringify([...document.querySelectorAll("main *")].map(
    (part) => { const b = part.getBoundingClientRect(); return [b.top, b.left]; }));
  const before = place();
  requestAnimationFrame(() => requestAnimationFrame(() => done(place() === before)));
})"""


def test_drain_ends_the_run(opened: Open, live_run: Path) -> None:
    window = opened()
    window.get_by_role("button", name="Drain").click()
    window.locator("#sure-yes").click()
    window.wait_for_function("streamproc.told.state === 'stopped'")
    status = sp.load(live_run).status()
    assert (status["state"], status["pending"]) == ("stopped", 0)
    assert window.locator("#state-text").inner_text() == "Stopped"
    assert window.locator("#pause").is_disabled()
    assert window.locator("#mark").is_hidden()
    # the past can still be looked at
    window.locator("#past").fill("3")
    window.wait_for_function("streamproc.frame === 3")
