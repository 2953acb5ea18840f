"""The history in a real browser: what it shows is what ledger and store have."""

import csv
import io
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import cv2
import numpy as np
import pytest
from skimage.segmentation import find_boundaries

import streamproc as sp

from .conftest import Begin, serving
from .test_browser import browser  # noqa: F401  # a fixture

pytestmark = pytest.mark.slow

Row = list[Any]
FRAMES = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of seeded cells with two tables."""
    form = {
        "simulation": {
            "frames": FRAMES,
            "shape": [128, 160],
            "seed": 7,
            "live": False,
            "fps": 10,
        }
    }
    raw = sp.open(form)
    nuclei = raw.gaussian(sigma=1).threshold().label()
    cells = nuclei.measure(raw)
    saved = {"source": raw, "nuclei": nuclei, "cells": cells}
    saved["total"] = cells.running_count()
    return sp.run(saved, tmp_path_factory.mktemp("history") / "RUN").path


@pytest.fixture(scope="module")
def address(run: Path, begin: Begin) -> str:
    """Of the page of the finished run."""
    return serving(begin("dashboard", str(run)))


@pytest.fixture
def window(browser: Any, address: str) -> Iterator[Any]:  # noqa: F811  # the fixture
    """The history, with its first rows; it may not complain."""
    made = browser.new_page(viewport={"width": 1366, "height": 768})
    made.set_default_timeout(60_000)
    complaints = list[str]()
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on(
        "console",
        lambda line: complaints.append(line.text) if line.type == "error" else None,
    )
    made.goto(address)
    made.wait_for_function("streamproc.drawn > 0 && streamproc.about")
    made.keyboard.press("4")
    made.wait_for_function("streamproc.listed && streamproc.plotted")
    yield made
    made.close()
    assert not complaints


def ledger(run: Path, sql: str) -> list[Row]:
    db = sqlite3.connect(run / "run.sqlite")
    rows = [list(row) for row in db.execute(sql)]
    db.close()
    return rows


def look_at(window: Any, text: str, *, everywhere: bool = True) -> None:
    """Filter, and wait for the rows and points."""
    if window.locator("#sieve").input_value() != text:
        window.evaluate("streamproc.listed = streamproc.plotted = null")
        window.locator("#sieve").fill(text)
        window.locator("#sieve").press("Enter")
        window.wait_for_function("streamproc.listed && streamproc.plotted")
    window.evaluate("streamproc.listed = streamproc.plotted = null")
    window.locator("#all-frames" if everywhere else "#this-frame").click()
    window.wait_for_function("streamproc.listed && streamproc.plotted")


def shown_numbers(window: Any) -> list[list[float]]:
    cells = window.locator("#objects-table tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => Number(cell.title)))"
    )
    return [list(map(float, row)) for row in cells]


def test_the_table_is_that_of_sql(window: Any, run: Path) -> None:
    last = FRAMES - 1
    of_frame = f"SELECT * FROM cells WHERE frame = {last} ORDER BY label"
    assert shown_numbers(window) == ledger(run, of_frame)
    head = window.locator("#objects-table th[data-name=area]").inner_text().split()
    assert head == ["area", "px"]
    look_at(window, "area > 100 and not frame in (3, 4)")
    sql = "SELECT * FROM cells WHERE area > 100 AND frame NOT IN (3, 4)"
    total = len(ledger(run, sql))
    assert shown_numbers(window) == ledger(run, f"{sql} ORDER BY 1, 2 LIMIT 100")
    assert window.locator("#page-of").inner_text() == f"1–100 of {total:,}"
    # sorted, the largest first, and the page after
    for way in ("", "DESC"):
        window.evaluate("streamproc.listed = null")
        window.locator("#objects-table th[data-name=area] button").click()
        window.wait_for_function("streamproc.listed")
        ordered = f"{sql} ORDER BY area {way}, frame, label"
        assert shown_numbers(window) == ledger(run, f"{ordered} LIMIT 100")
    window.evaluate("streamproc.listed = null")
    window.locator("#page-on").click()
    window.wait_for_function("streamproc.listed")
    assert shown_numbers(window) == ledger(run, f"{ordered} LIMIT 100 OFFSET 100")
    # the other table
    look_at(window, "")
    window.locator("#table").select_option("total")
    window.wait_for_function("streamproc.listed.table === 'total'")
    assert shown_numbers(window) == ledger(run, "SELECT * FROM total ORDER BY 1, 2")


def test_the_plots_are_those_of_the_table(window: Any, run: Path) -> None:
    look_at(window, "area < 200")
    sql = (
        "SELECT area, mean_intensity FROM cells WHERE area < 200 ORDER BY frame, label"
    )
    found = window.evaluate("[streamproc.plotted.x, streamproc.plotted.y]")
    expected = [list(column) for column in zip(*ledger(run, sql), strict=True)]
    assert found == expected
    number = f"{len(expected[0]):,} objects"
    assert window.locator("#scatter-of").inner_text() == number
    bins = window.evaluate(BINS)
    counts = [
        sum(left <= value < right for value in expected[0])
        for left, right in zip(bins["left"], bins["right"], strict=True)
    ]
    assert bins["top"] == counts


#: What the histogram draws.
BINS = """(() => {
  const view = Bokeh.index.roots.find(({ el }) => histogram.contains(el));
  const { left, right, top, chosen } = view.model.renderers[0].data_source.data;
  return { left: [...left], right: [...right], top: [...top], chosen: [...chosen] };
})()"""
#: Where the canvas of the selected objects is white.
WHITE = """(() => {
  const { width, height } = marks;
  const { data } = marks.getContext("2d").getImageData(0, 0, width, height);
  return Array.from({ length: width * height }, (_, i) => data[4 * i] === 255);
})()"""


def outlined(run: Path, frame: int, numbers: list[int]) -> np.ndarray:
    labels = np.asarray(sp.load(run).labels["nuclei"][frame])
    where = np.isin(labels, numbers)
    edge = find_boundaries(where, connectivity=1, mode="thick")  # type: ignore[no-untyped-call]
    return np.asarray(edge, bool)


def is_marked(window: Any, frame: int) -> None:
    window.wait_for_function(f"streamproc.marked === {frame}")


def test_a_row_is_outlined_in_its_frame(window: Any, run: Path) -> None:
    look_at(window, "area > 100 and frame = 5")
    row = ledger(run, "SELECT * FROM cells WHERE area > 100 AND frame = 5")[2]
    window.locator("#objects-table tbody tr").nth(2).click()
    window.wait_for_function("streamproc.frame === 5")
    is_marked(window, 5)
    white = np.array(window.evaluate(WHITE)).reshape(128, 160)
    np.testing.assert_array_equal(white, outlined(run, 5, [row[1]]))
    title = window.locator("#object-title")
    window.wait_for_function("document.querySelector('#object dd')")
    assert title.inner_text() == f"Object {row[1]} of frame 5"
    assert f"{row[2]} px" in window.locator("#object").inner_text()
    # by keyboard, to the next; and no more
    window.keyboard.press("Shift+ArrowDown")
    window.wait_for_function("streamproc.selected.get(5).size === 2")
    window.keyboard.press("Escape")
    window.wait_for_function("streamproc.marked === null")
    assert not any(window.evaluate(WHITE))


def test_points_are_outlined_and_their_rows_marked(window: Any, run: Path) -> None:
    look_at(window, "frame in (11, 12)")
    plot = window.locator("#scatter").bounding_box()
    left, top = plot["x"] + 60, plot["y"] + 4
    window.mouse.move(left, top)
    window.mouse.down()
    window.mouse.move(left + plot["width"] * 0.4, top + plot["height"] * 0.5, steps=4)
    window.mouse.up()
    window.wait_for_function("streamproc.selected.size > 0")
    found = window.evaluate(
        "[...streamproc.selected].map(([frame, labels]) => [frame, [...labels]])"
    )
    chosen = {(frame, label) for frame, labels in found for label in labels}
    frame = window.evaluate("streamproc.selected.keys().next().value")
    is_marked(window, frame)
    white = np.array(window.evaluate(WHITE)).reshape(128, 160)
    numbers = [label for of, label in chosen if of == frame]
    np.testing.assert_array_equal(white, outlined(run, frame, numbers))
    marked = window.locator("#objects-table tbody tr[aria-selected=true]").count()
    rows = ledger(run, "SELECT frame, label FROM cells WHERE frame IN (11, 12)")
    assert marked == sum(tuple(row) in chosen for row in rows[:100]) > 0
    assert sum(window.evaluate(BINS)["chosen"]) == len(chosen)


def test_an_object_of_the_picture_selects_its_row(window: Any, run: Path) -> None:
    look_at(window, "")
    window.keyboard.press("Escape")
    frame = window.evaluate("streamproc.frame")
    sql = f"SELECT label, centroid_y, centroid_x FROM cells WHERE frame = {frame}"
    label, y, x = max(ledger(run, sql + " AND area > 80"))
    # of all frames, it is on another page than the one that is seen
    box = window.locator("#stage").bounding_box()
    at = {"x": (x + 0.5) / 160 * box["width"], "y": (y + 0.5) / 128 * box["height"]}
    window.locator("#stage").click(position=at)
    window.wait_for_selector("#objects-table tbody tr[aria-selected=true]")
    row = window.locator("#objects-table tbody tr[aria-selected=true]")
    assert row.locator("td").nth(0).inner_text() == str(frame)
    assert row.locator("td").nth(1).inner_text() == str(label)
    is_marked(window, frame)
    white = np.array(window.evaluate(WHITE)).reshape(128, 160)
    np.testing.assert_array_equal(white, outlined(run, frame, [label]))


def test_the_cursor_tells_the_stored_value(window: Any, run: Path) -> None:
    results = sp.load(run)
    window.locator("#at").fill("17")
    window.locator("#at").press("Enter")
    window.wait_for_function("streamproc.frame === 17")
    image = np.asarray(results.images["source"][17])
    labels = np.asarray(results.labels["nuclei"][17])
    table = results.table("cells", 17)
    table = table[table["area"] > 80]
    inside = table.iloc[len(table) // 2]
    box = window.locator("#stage").bounding_box()
    for y, x in ((3, 5), (int(inside["centroid_y"]), int(inside["centroid_x"]))):
        at = {"x": (x + 0.5) / 160 * box["width"], "y": (y + 0.5) / 128 * box["height"]}
        window.locator("#stage").hover(position=at)
        window.wait_for_function(f"cursor.textContent.startsWith('x {x}  y {y} ')")
        value = window.locator("#cursor [data-value]").get_attribute("data-value")
        assert int(value) == image[y, x]
    text = window.locator("#cursor [data-label]").inner_text()
    label = labels[y, x]
    assert label == inside["label"]
    assert text.startswith(f"object {label}  ·  area {int(inside['area'])} px")


def test_frames_by_number_keys_and_moments(window: Any, run: Path) -> None:
    window.locator("#page-of").click()  # away from the fields
    window.keyboard.press("Home")
    window.wait_for_function("streamproc.frame === 0")
    for key, frame in (("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10)):
        window.keyboard.press(key)
        window.wait_for_function(f"streamproc.frame === {frame}")
    # its table goes with it
    window.wait_for_function("streamproc.listed && streamproc.listed.frame === 10")
    assert shown_numbers(window) == ledger(run, "SELECT * FROM cells WHERE frame = 10")
    window.keyboard.press("End")
    window.wait_for_function(f"streamproc.frame === {FRAMES - 1}")
    window.locator("#at").fill("4000")
    window.locator("#at").press("Enter")
    window.wait_for_selector("#said:visible")
    said = window.locator("#said").inner_text()
    assert said == f"there are frames 0 to {FRAMES - 1}, got 4000"
    # a click at the left of a plot over time is the run's begin
    plot = window.locator(".plots figure .plot").first
    plot.click(position={"x": 40, "y": 30})
    window.wait_for_function(f"streamproc.frame < {FRAMES - 1}")


def test_contrast_by_hand_is_of_this_viewer_alone(
    window: Any,
    browser: Any,  # noqa: F811  # the fixture
    address: str,
    run: Path,
) -> None:
    other = browser.new_page()
    other.set_default_timeout(60_000)
    other.goto(address)
    other.wait_for_function("streamproc.drawn > 0")
    before = other.evaluate("[streamproc.drawn, ...streamproc.ends]")
    drawn = window.evaluate("streamproc.drawn")
    window.locator("#black").fill("300")
    window.locator("#white").fill("700")
    window.locator("#white").press("Enter")
    window.wait_for_function(
        f"streamproc.drawn > {drawn} && streamproc.ends[1] === 700"
    )
    assert window.evaluate("streamproc.ends") == [300, 700]
    image = np.asarray(sp.load(run).images["source"][FRAMES - 1]).astype(float)
    expected = np.clip((image - 300) / 400, 0, 1) * 255
    shown = np.array(window.evaluate(GRAY)).reshape(image.shape)
    assert np.abs(shown - expected).mean() < 6  # a JPEG
    assert other.evaluate("[streamproc.drawn, ...streamproc.ends]") == before
    other.close()
    window.locator("#white").fill("200")
    window.locator("#white").press("Enter")
    window.wait_for_selector("#said:visible")
    said = window.locator("#said").inner_text()
    assert said == "black must be below white, got 300 and 200"
    window.locator("#auto").click()
    window.wait_for_function("streamproc.ends[0] !== 300")


#: The picture, without what lies on it.
GRAY = """(() => {
  const canvas = document.getElementById("image");
  const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return Array.from(all.data.filter((_, i) => i % 4 === 0));
})()"""


def test_csv_and_png_are_what_is_seen(window: Any, run: Path, tmp_path: Path) -> None:
    look_at(window, "area >= 90")

    def saved(button: str) -> bytes:
        with window.expect_download() as waited:
            window.locator(button).click()
        path = tmp_path / waited.value.suggested_filename
        waited.value.save_as(path)
        return bytes(path.read_bytes())

    head, *rows = csv.reader(io.StringIO(saved("#csv").decode()))
    expected = ledger(run, "SELECT * FROM cells WHERE area >= 90 ORDER BY 1, 2")
    assert head == [c["name"] for c in json.loads(asked_columns(window))]
    kinds = (int, int, int, float, float, float)
    assert [[k(v) for k, v in zip(kinds, row, strict=True)] for row in rows] == expected
    picture = decoded(saved("#save-picture"))
    height, width = picture.shape[:2]
    assert (height % 128, width % 160) == (0, 0)
    # the outlines are in it
    assert (np.ptp(picture.astype(int), axis=2) > 100).any()
    plots = decoded(saved("#save-plots"))
    assert min(plots.shape[:2]) > 300
    assert len(np.unique(plots.reshape(-1, 3), axis=0)) > 20


def asked_columns(window: Any) -> str:
    return str(window.evaluate("JSON.stringify(streamproc.about.tables.cells.columns)"))


def decoded(data: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture)


def test_a_bad_filter_is_one_clear_line(window: Any) -> None:
    window.locator("#sieve").fill("arae > 100")
    window.locator("#sieve").press("Enter")
    window.wait_for_selector("#sieve-error:visible")
    said = window.locator("#sieve-error").inner_text()
    assert said == "the table has no column 'arae'; did you mean 'area'?"
    assert window.locator("#objects-table tbody tr").count() == 0
    look_at(window, "area > 100", everywhere=False)
    assert window.locator("#sieve-error").is_hidden()
    assert window.locator("#objects-table tbody tr").count() > 0


@pytest.mark.parametrize("size", [(1024, 768), (1366, 768), (1920, 1080), (3840, 2160)])
def test_nothing_overlaps_or_is_cut_off(
    window: Any, size: tuple[int, int], address: str
) -> None:
    window.set_viewport_size({"width": size[0], "height": size[1]})
    window.wait_for_function(f"innerWidth === {size[0]}")
    parts: dict[str, list[float]] = window.evaluate(PARTS)
    wide = window.evaluate("document.documentElement.scrollWidth")
    assert wide <= size[0]
    places = list(parts.items())
    for i, (name, a) in enumerate(places):
        assert a[2] - a[0] > 20, name
        assert a[3] - a[1] > 15, name
        assert a[0] >= 0, name
        assert a[2] <= size[0] + 1, name
        for other, b in places[i + 1 :]:
            apart = a[2] <= b[0] + 1 or b[2] <= a[0] + 1
            assert apart or a[3] <= b[1] + 1 or b[3] <= a[1] + 1, (name, other)


#: Where the parts lie: left, top, right, bottom; and those of the bars.
PARTS = """(() => {
  const parts = {};
  const names = "header, .stage, .under > *, .past > *, figure, .object, .plot, " +
    ".strip > *, .sheet";
  document.querySelectorAll(names).forEach((part, i) => {
    const { left, top, right, bottom, width } = part.getBoundingClientRect();
    const skipped = part.matches(".past, [id=chosen], figure .plot");
    const name = `${part.id || part.className || part.tagName} ${i}`;
    if (width && !skipped) parts[name] = [left, top, right, bottom];
  });
  return parts;
})()"""


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("rows?table=cels", "no table 'cels'; did you mean 'cells'"),
        ("rows?table=cells&offset=-1", "offset must be a whole number"),
        ("rows?table=cells&frame=x", "frame must be a whole number"),
        ("rows?table=cells&filter=1", "a filter needs a comparison"),
        ("points?table=cells&columns=nothing", "no column 'nothing'"),
        ("frame?time=soon", "time must be seconds since 1970"),
        ("pixel?frame=1&y=1", "x must be a whole number of 0 or more, got ''"),
        ("mask?frame=1&labels=other&marked=1", "no label image of these objects"),
    ],
)
def test_bad_questions_are_one_line(address: str, path: str, message: str) -> None:
    with urlopen(f"{address}data/{path}") as answer:
        told = json.loads(answer.read())
    assert message in told["error"]
    assert "\n" not in told["error"]


def test_a_bad_download_is_refused(address: str) -> None:
    query = urlencode({"table": "cells", "filter": "area >"})
    with pytest.raises(HTTPError, match="400") as refused:
        urlopen(f"{address}data/csv?{query}")
    told = json.loads(refused.value.read())
    refused.value.close()
    assert "needs a column or a value" in told["error"]


def test_the_past_is_told_to_those_with_a_token_alone(
    run: Path, begin: Begin, tmp_path: Path
) -> None:
    file = tmp_path / "tokens"
    page = serving(begin("dashboard", str(run), "--token-file", str(file)))
    questions = ["rows", "points", "csv", "frame", "pixel", "mask", "about", "plots"]
    for question in questions:
        address = f"{page}data/{question}?table=cells&frame=1&y=1&x=1"
        with pytest.raises(HTTPError, match="401") as refused:
            urlopen(address)
        refused.value.close()
        viewer = file.read_text().split("viewer: ")[1].split()[0]
        asked = Request(address, headers={"Authorization": f"Bearer {viewer}"})
        with urlopen(asked) as answer:
            assert answer.status == 200


def test_objects_without_labels_are_ringed(
    browser: Any,  # noqa: F811  # the fixture
    begin: Begin,
    tmp_path: Path,
) -> None:
    form = {"simulation": {"frames": 3, "shape": [128, 160], "live": False}}
    raw = sp.open(form)
    path = sp.run(
        {"source": raw, "spots": raw.locate(diameter=11)}, tmp_path / "R"
    ).path
    window = browser.new_page()
    window.set_default_timeout(60_000)
    window.goto(serving(begin("dashboard", str(path))))
    window.wait_for_function("streamproc.drawn > 0 && streamproc.about")
    window.keyboard.press("4")
    window.wait_for_function("streamproc.listed && streamproc.plotted")
    window.locator("#objects-table tbody tr").nth(4).click()
    is_marked(window, 2)
    y, x = ledger(path, "SELECT y, x FROM spots WHERE frame = 2 ORDER BY label")[4]
    smooth = WHITE.replace("=== 255", "> 128")
    drawn = np.array(window.evaluate(smooth)).reshape(128, 160)
    rows, columns = np.nonzero(drawn)
    far = np.hypot(rows - y, columns - x)
    assert len(far) > 20
    assert 4 < far.min() < far.max() < 8  # a ring about the spot
    assert window.evaluate("streamproc.errors") == []
    window.close()


def test_an_export_that_breaks_does_not_look_whole(
    run: Path, begin: Begin, tmp_path: Path
) -> None:
    copy = tmp_path / "RUN"
    shutil.copytree(run, copy)
    with closing(sqlite3.connect(copy / "run.sqlite")) as db:
        db.execute("ALTER TABLE cells RENAME TO kept")
        # it cannot be read from frame 20 on
        least = "-9223372036854775807 - 1"
        db.execute(
            "CREATE VIEW cells AS SELECT frame, label, "
            f"CASE WHEN frame < 20 THEN area ELSE abs({least}) END AS area, "
            "centroid_y, centroid_x, mean_intensity FROM kept"
        )
    page = serving(begin("dashboard", str(copy)))
    with urlopen(f"{page}data/csv?table=cells") as answer:
        with pytest.raises(IncompleteRead) as cut:
            answer.read()
        assert cut.value.partial.startswith(b"frame,label,area")
