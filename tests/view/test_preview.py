"""One frame through a graph: the same values as a run, drawn as a sheet."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
import tifffile

import streamproc as sp
from streamproc.view.picture import MASK
from streamproc.view.preview import Preview, preview
from streamproc.view.sheet import GAP, Tile, columns_for, draw_sheet

SHARED = Path(__file__).parents[3] / "shared" / "data"
FILES = {"files": {"path": "film.tif", "pixel_size_um": 0.5}}
BROKEN = """
def fails(image):
    raise ValueError("no <script>alert(1)</script>\\nhere")

def leaves(image):
    raise SystemExit(3)
"""
GRAPH = """
  mean: {background: {window: 4, every: 3}}
  smooth: {gaussian: {sigma: 1}, of: source}
  mask: {threshold: {method: otsu}, of: smooth}
  nuclei: {label: {}, of: mask}
  cells: {measure: {intensity: source}, of: nuclei}
  total: {running_count: {}, of: cells}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a film of ten frames, two objects in each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    film = np.random.default_rng(0).poisson(100, (10, 60, 80)).astype(np.uint16)
    for n in range(10):
        film[n, 10:20, 5 + n : 15 + n] += 1000
        film[n, 40:52, 30:44] += 2000
    tifffile.imwrite("film.tif", film, photometric="minisblack")
    Path("broken.py").write_text(BROKEN)
    return tmp_path


@pytest.fixture
def film(folder: Path) -> np.ndarray:
    return np.asarray(tifffile.imread("film.tif"))


def write(graph: str = GRAPH, source: str = "film.tif", save: str = "nuclei") -> str:
    text = f"source: {source}\ngraph:\n{graph}\nsave: [{save}]\n"
    Path("p.yaml").write_text(text, encoding="utf-8")
    return "p.yaml"


Command = Callable[..., tuple[int, str, str]]


def pipeline() -> dict[str, sp.Handle]:
    raw = sp.open(FILES)
    smooth = raw.gaussian(sigma=1)
    nuclei = smooth.threshold("otsu").label(name="nuclei")
    cells = nuclei.measure(raw, name="cells")
    return {"smooth": smooth, "nuclei": nuclei, "cells": cells}


def test_values_are_those_of_a_run() -> None:
    handles = pipeline()
    sp.run(handles, to="RUN")
    result = sp.load("RUN")
    for frame in (0, 7):
        values = handles["cells"].preview(frame).values
        np.testing.assert_array_equal(values["nuclei"], result.labels["nuclei"][frame])
        np.testing.assert_array_equal(
            values["gaussian"], result.images["smooth"][frame]
        )
        table = result.tables["cells"].query("frame == @frame").drop(columns="frame")
        np.testing.assert_allclose(values["cells"], table)


@pytest.mark.parametrize("frame", [0, 2, 3, 8])
def test_a_background_is_made_of_the_frames_it_needs(
    film: np.ndarray, frame: int
) -> None:
    seen = sp.open(FILES).background(window=4, every=3).preview(frame)
    sp.run({"flat": sp.open(FILES).background(window=4, every=3)}, to="RUN")
    np.testing.assert_array_equal(
        seen.values["background"], sp.load("RUN").images["flat"][frame]
    )
    first, last = {0: (0, 2), 2: (0, 2), 3: (0, 2), 8: (2, 5)}[frame]
    mean = film[first : last + 1].mean(axis=0)
    np.testing.assert_allclose(seen.values["background"], film[frame] - mean, atol=1e-3)
    assert seen.steps[1].note == f"background of frames {first} to {last}"


def test_only_what_the_step_needs_is_run() -> None:
    handles = pipeline()
    seen = handles["smooth"].preview(1)
    assert [s.step.name for s in seen.steps] == ["source", "gaussian"]
    whole = preview(handles["smooth"].graph, 1)
    assert [s.step.name for s in whole.steps] == [
        "source", "gaussian", "threshold", "nuclei", "cells",
    ]  # fmt: skip


def test_an_ordered_step_begins_anew_and_says_so() -> None:
    cells = pipeline()["cells"]
    assert isinstance(cells, sp.Table)
    seen = cells.running_count(name="total").preview(6)
    assert seen.values["total"] == {"objects": 2, "total": 2}
    assert seen.steps[-1].note == "from its initial state, on this frame alone"


@pytest.mark.parametrize("name", ["fails", "leaves"])
def test_a_failure_stops_only_what_depends_on_it(name: str) -> None:
    sys.path.insert(0, ".")
    raw = sp.open(FILES)
    graph = raw.graph
    graph.step("map", [raw], {"function": f"broken:{name}"}, name="bad")
    graph.step("gaussian", [graph.handles["bad"]], {}, name="after")
    graph.step("median", [raw], {}, name="beside")
    seen = preview(graph, 0)
    assert set(seen.values) == {"source", "beside"}
    assert set(seen.errors) == {"bad"}
    blocked = seen.steps[2]
    assert blocked.is_blocked
    assert blocked.error == "not run: it needs 'bad', which failed"
    assert seen.picture().shape[2] == 3


def test_the_functions_of_a_user_cannot_spoil_the_frame(film: np.ndarray) -> None:
    def writes(image: np.ndarray) -> np.ndarray:
        image[:] = 0
        return image

    seen = sp.open(FILES).map(writes, kind="image").preview(0)
    assert "read-only" in seen.errors["map"]
    np.testing.assert_array_equal(seen.values["source"], film[0])


def test_frames_that_are_not_there_are_refused() -> None:
    raw = sp.open(FILES)
    for number in (10, -1):
        with pytest.raises(sp.FrameError, match=f"no frame {number}; there are 10"):
            raw.preview(number)


def test_a_frame_that_cannot_be_read_is_refused() -> None:
    for n in range(3):
        cv2.imwrite(f"im{n}.png", np.full((20, 20), n, np.uint8))
    Path("im1.png").write_bytes(b"nothing")
    with pytest.raises(sp.FrameError, match=r"im1.png"):
        sp.open("im*.png").preview(1)


class Endless:
    """A source of unknown length, read in sequence; frame 2 is unreadable."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    info = sp.SourceInfo(
        shape=(20, 30), dtype=np.dtype(np.uint8), axes="yx", identity="endless"
    )

    def __init__(self, frames: int) -> None:
        self.count = frames
        self.stops = 0

    def frames(self, start: int = 0) -> Iterator[sp.Frame | sp.Unreadable | sp.Gap]:
        for n in range(start, self.count):
            if n == 1:
                yield sp.Gap(100, 105, "overflow")
            if n == 2:
                yield sp.Unreadable(n, "torn")
            else:
                yield sp.Frame(np.full((20, 30), n, np.uint8), n)

    def read(self, index: int) -> sp.Frame:
        raise AssertionError

    def stop(self) -> None:
        self.stops += 1

    def close(self) -> None:
        pass


def test_a_source_of_unknown_length() -> None:
    source = Endless(5)
    raw = sp.open(source)
    seen = raw.preview(3)
    assert (seen.values["source"] == 3).all(), "gaps are no frames"
    assert source.stops == 1
    assert seen.steps[0].milliseconds is None
    mean = raw.background(window=4, every=4).preview(4)
    np.testing.assert_allclose(mean.values["background"], 4 - (0 + 1 + 3) / 3, 1e-6)
    with pytest.raises(sp.FrameError, match="frame 2 cannot be read: torn"):
        raw.preview(2)
    with pytest.raises(sp.FrameError, match="frame 5 is beyond the source's end"):
        raw.preview(5)


def test_a_live_source_gives_its_next_frames() -> None:
    source = {"simulation": {"frames": 5, "shape": [64, 64], "fps": 200}}
    raw = sp.open(source)
    assert raw.graph.source.info.live
    seen = raw.gaussian().preview(2)
    again = sp.open({"simulation": {**source["simulation"], "live": False}})
    np.testing.assert_array_equal(
        seen.values["source"], again.preview(2).values["source"]
    )


def test_a_video_can_still_run_after_a_preview() -> None:
    path = SHARED / "pims_formats" / "bulk-water.mov"
    if not path.exists():
        pytest.skip("no shared/data/pims_formats beside the repository")
    raw = sp.open(path)
    seen = raw.background(window=5, every=5).preview(7)
    assert seen.steps[1].note == "background of frames 0 to 4"
    sp.run({"source": raw}, to="RUN", frames=8)
    np.testing.assert_array_equal(
        seen.values["source"], sp.load("RUN").images["source"][7]
    )
    raw.preview(1)  # the run has closed the source


# --- the sheet ------------------------------------------------------------------------


def tile(name: str = "a", **given: object) -> Tile:
    return Tile(name, "gaussian(sigma=1) of source", **given)  # type: ignore[arg-type]


def test_tiles_are_of_one_size_and_fill_rows() -> None:
    pixels = np.full((40, 40, 3), 200, np.uint8)
    four = draw_sheet("t", [tile(picture=pixels)] * 4)
    eight = draw_sheet("t", [tile(picture=pixels)] * 8)
    assert four.shape[1] == eight.shape[1]
    top = 2 * four.shape[0] - eight.shape[0]
    assert eight.shape[0] - four.shape[0] == four.shape[0] - top
    np.testing.assert_array_equal(eight[: four.shape[0] - GAP], four[:-GAP])
    assert [columns_for(n, 4) for n in (1, 3, 4, 5, 6, 7, 8, 9, 12)] == [
        1, 3, 4, 3, 3, 4, 4, 3, 4,
    ]  # fmt: skip


def test_a_mask_is_drawn_where_it_is() -> None:
    mask = np.zeros((400, 400), np.uint8)
    mask[100:200, 50:350] = 1
    raw = sp.open(FILES)
    sheet = raw.map(lambda image: mask, kind="mask", name="m").preview(0).picture()
    marked = (sheet == MASK[::-1]).all(axis=-1)
    # the tiles have the shape of the source: 60 by 80 in 400 by 300
    assert marked.sum() == pytest.approx(100 * 300 * (300 / 400) ** 2, rel=0.02)
    where = np.argwhere(marked)
    height, width = np.ptp(where, axis=0) + 1
    assert width / height == pytest.approx(3, rel=0.03)


def test_labels_make_an_outlined_and_a_coloured_tile() -> None:
    tiles = pipeline()["nuclei"].preview(0).tiles
    outlined, coloured = (t for t in tiles if t.name == "nuclei")
    assert outlined.labels is not None
    assert outlined.facts[0] == coloured.facts[0] == "uint32 · 2 objects"
    assert coloured.picture is not None
    assert len(np.unique(coloured.picture.reshape(-1, 3), axis=0)) == 3


def test_captions_say_range_dtype_and_time(film: np.ndarray) -> None:
    source, smooth = pipeline()["smooth"].preview(0).tiles
    assert source.facts[0] == f"uint16 · min {film[0].min()} · max {film[0].max()}"
    low, high = np.percentile(film[0], (0.5, 99.8))
    assert source.facts[1] == f"shown from {low:.4g} to {high:.4g}"
    assert source.um_per_pixel == 0.5
    assert smooth.operation == "gaussian(sigma=1) of source"
    assert smooth.facts[0].startswith("float32 · min ")
    assert smooth.timing.endswith(" ms")


def test_tables_show_their_count_and_first_rows(film: np.ndarray) -> None:
    cells = pipeline()["cells"].preview(0).tiles[-1]
    assert cells.facts[0] == "2 rows · 5 columns"
    head, first, second = cells.cells
    assert head[:2] == ("label", "area")
    assert (first[0], second[0]) == ("1", "2")


def test_stacks_and_channels_say_how_they_are_shown() -> None:
    stack = np.random.default_rng(0).integers(0, 999, (2, 5, 30, 40), np.uint16)
    tifffile.imwrite("czyx.ome.tif", stack[None], metadata={"axes": "TCZYX"})
    info = sp.open("czyx.ome.tif")
    if info.graph.source.info.axes != "czyx":
        pytest.skip("this version reads no channels and stacks at once")
    (shown,) = info.preview(0).tiles
    assert "z: maximum of 5 planes" in shown.facts
    assert "c: 2 as green + magenta" in shown.facts


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_pictures_without_contrast_do_not_fail(value: float) -> None:
    raw = sp.open(FILES)
    flat = raw.map(lambda image: np.full((60, 80), value, np.float32), kind="image")
    assert flat.preview(0).picture().shape[2] == 3


def test_long_and_foreign_texts_stay_inside_their_tile() -> None:
    long = "ein sehr langer Fehler mit Ümläuten, 日本語 und ohne Ende " * 40
    sheet = draw_sheet(long, [tile(long, error=long), tile("b", cells=(("x" * 500,),))])
    assert sheet.shape[1] < 1200


def test_it_shows_itself_in_a_notebook() -> None:
    seen = pipeline()["nuclei"].preview(0)
    picture = cv2.imdecode(np.frombuffer(seen._repr_png_(), np.uint8), 1)
    assert picture is not None
    np.testing.assert_array_equal(picture[..., ::-1], seen.picture())
    assert repr(seen) == "<Preview of frame 0: 4 steps>"
    assert isinstance(seen, Preview)


# --- the command ----------------------------------------------------------------------


def test_the_command_draws_every_step(command: Command) -> None:
    code, out, err = command("preview", write(), "--frame", "4", "--png", "s.png")
    assert (code, err) == (0, "streamproc: drew frame 4 in s.png\n")
    for name in ("source", "mean", "smooth", "mask", "nuclei", "cells", "total"):
        assert f"\n{name} " in f"\n{out}"
    assert "background of frames 0 to 2" in out
    assert "2 objects" in out
    sheet = cv2.imread("s.png")
    assert sheet is not None
    assert sheet.shape[1] > 1000
    assert not Path("runs").exists()
    assert sorted(p.name for p in Path().iterdir() if p.is_dir()) == []


def test_the_sheet_has_a_name_of_its_own(command: Command) -> None:
    _, out, _ = command("preview", write())
    assert "gaussian(sigma=1)" in out
    code, out, err = command(
        "preview", "p.yaml", "--set", "graph.smooth.gaussian.sigma=3"
    )
    assert (code, err) == (0, "streamproc: drew frame 0 in preview.png\n")
    assert "gaussian(sigma=3)" in out
    assert Path("preview.png").exists()


def test_the_command_ends_with_3_where_a_step_fails(command: Command) -> None:
    graph = "  bad: {map: {function: 'broken:fails', kind: image}}\n"
    graph += "  good: {gaussian: {}, of: source}\n"
    code, out, err = command("preview", write(graph, save="good"))
    assert code == 3
    assert err.splitlines() == [
        "streamproc: drew frame 0 in preview.png",
        "streamproc: error: step 'bad' failed on frame 0: "
        "ValueError: no <script>alert(1)</script> here",
    ]
    assert "good" in out
    assert Path("preview.png").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--frame", "10"), "no frame 10; there are 10"),
        (("--source", "none.tif"), "no such file"),
        (("--set", "graph.smoth.gaussian.sigma=1"), "did you mean 'smooth'"),
        (("--png", "none/sheet.png"), "cannot write none"),
    ],
)
def test_the_command_refuses_in_one_line(
    command: Command, arguments: tuple[str, ...], text: str
) -> None:
    code, _, err = command("preview", write(), *arguments)
    assert code == 2
    assert err.count("\n") == 1
    assert text in err
    assert not Path("preview.png").exists()


@pytest.mark.parametrize(
    "path",
    [
        "hubble/hubble_deep_field.png",
        "cancer_migration/cancer_cell_migration_crop.tif",
        "neubias_formats/xyz_8bit__nuclei_autothresh.tif",
        "bulk_water_a/*.png",
    ],
)
def test_real_images(command: Command, path: str) -> None:
    if not (SHARED / path).parent.exists():
        pytest.skip(f"no shared/data/{path} beside the repository")
    graph = "  smooth: {gaussian: {sigma: 1}}\n  mask: {threshold: otsu}\n"
    graph += "  objects: {label: {}}\n"
    source = f'{{files: {{path: "{SHARED / path}", color: gray}}}}'
    code, out, _ = command("preview", write(graph, source, "objects"))
    assert code == 0
    raw = sp.open({"files": {"path": str(SHARED / path), "color": "gray"}})
    frame = raw.preview(0).values["source"]
    mask = sp.ops.threshold(sp.ops.gaussian(frame, sigma=1), method="otsu")
    count = int(sp.ops.label(mask).max())
    assert f"{count:,} objects" in out


def test_a_batch_previews_one_of_its_images(command: Command) -> None:
    for n in range(3):
        cv2.imwrite(f"im{n}.png", np.full((20 + n, 30), n, np.uint8))
    graph = "  smooth: {gaussian: {sigma: 1}}\n"
    file = write(graph, '{files: {path: "im*.png", batch: true}}', "smooth")
    code, out, _ = command("preview", file, "--frame", "2")
    assert code == 0
    assert "uint8 · min 2 · max 2" in out
    code, _, err = command("preview", file, "--frame", "3")
    assert (code, err) == (
        2, "streamproc: error: no image 3; the batch has 3, from 0\n"
    )  # fmt: skip


# --- info of a run --------------------------------------------------------------------


def test_info_outlines_the_label_image_it_is_told(command: Command) -> None:
    handles = pipeline()
    nuclei = handles["nuclei"]
    assert isinstance(nuclei, sp.Labels)
    few = nuclei.remove_small_objects(max_size=120)
    sp.run(
        {
            "all": nuclei,
            "few": few,
            "source": handles["smooth"].graph.handles["source"],
        },
        to="RUN",
    )
    counts = {}
    for name in ("all", "few"):
        code, _, _ = command("info", "RUN", "--png", f"{name}.png", "--labels", name)
        assert code == 0
        picture = cv2.imread(f"{name}.png")
        assert picture is not None
        counts[name] = (np.ptp(picture.astype(int), axis=2) > 50).sum()
    assert counts["all"] > counts["few"] > 0
    code, _, err = command("info", "RUN", "--png", "x.png", "--labels", "fev")
    assert code == 2
    assert "has no label image 'fev'; did you mean 'few'?" in err
    code, _, err = command("info", "film.tif", "--labels", "few")
    assert (code, "--labels belongs to a run" in err) == (2, True)
