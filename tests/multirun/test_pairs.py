"""Two methods compared: branches of a graph, and runs."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

import streamproc as sp
from streamproc import cli
from streamproc.errors import ConfigError, RunFolderError, StoreError
from streamproc.view import charts
from tests.ops.cases.comparison import compared

FRAMES = 5
Command = Callable[..., tuple[int, str, str]]


def source(**more: Any) -> sp.Image:
    given = {"frames": FRAMES, "shape": [96, 128], "live": False, **more}
    return sp.open({"simulation": given})


def pipeline(sigma: float, **more: Any) -> dict[str, sp.Handle]:
    raw = source(**more)
    labels = raw.gaussian(sigma=sigma).threshold("otsu").label()
    smooth = raw.gaussian(sigma=3)
    return {
        "nuclei": labels,
        "cells": labels.measure(raw, properties=("area", "mean_intensity")),
        "smoothed": labels.measure(smooth, properties=("area", "mean_intensity")),
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs on the same frames, smoothed by 1 and by 2 pixels."""
    folder = tmp_path_factory.mktemp("runs")
    for name, sigma in (("fine", 1), ("coarse", 2)):
        sp.run(pipeline(sigma), to=folder / name, executor="inline")
    return folder / "fine", folder / "coarse"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = cli.dispatch(list(map(str, arguments)))
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


# --- numbers ------------------------------------------------------------------------


def test_two_tables_of_a_run(runs: tuple[Path, Path]) -> None:
    found = sp.compare(runs[0], of=("cells", "smoothed"), column="mean_intensity")
    result = sp.load(runs[0])
    a, b = (result.tables[n]["mean_intensity"] for n in ("cells", "smoothed"))
    pairs = found.table
    assert list(pairs) == ["frame", "label", "label_b", "a", "b", "mean", "difference"]
    np.testing.assert_array_equal(pairs["difference"], a - b)
    np.testing.assert_array_equal(pairs["mean"], (a + b) / 2)
    s, sd = found.summary, np.std(a - b, ddof=1)
    assert s["bias"] == pytest.approx(np.mean(a - b), rel=1e-12)
    assert s["upper"] == pytest.approx(np.mean(a - b) + 1.96 * sd, rel=1e-12)
    between = stats.t.interval(0.95, len(a) - 1, np.mean(a - b), stats.sem(a - b))
    assert (s["bias_from"], s["bias_to"]) == pytest.approx(between, rel=1e-9)
    assert s["correlation"] == pytest.approx(stats.pearsonr(a, b)[0], rel=1e-9)
    assert (s["pairs"], s["only_a"], s["only_b"]) == (len(a), 0, 0)
    assert found.names == ("cells", "smoothed")
    assert (found.kind, found.column) == ("numbers", "mean_intensity")
    assert f"bias (a - b)  {s['bias']:.6g} (" in str(found)


def test_objects_without_a_partner_are_counted(runs: tuple[Path, Path]) -> None:
    found = sp.compare(*runs, of="cells")
    a, b = (sp.load(run).tables["cells"] for run in runs)
    both = set(zip(a["frame"], a["label"], strict=True)) & set(
        zip(b["frame"], b["label"], strict=True)
    )
    s = found.summary
    assert found.column == "area"
    assert s["pairs"] == len(found.table) == len(both)
    assert (s["only_a"], s["only_b"]) == (len(a) - len(both), len(b) - len(both))
    assert found.names == ("fine", "coarse")


def test_frames_are_compared_by_their_means(runs: tuple[Path, Path]) -> None:
    found = sp.compare(*runs, of="cells", column="area", per="frame", frames=4)
    means = [sp.load(r).tables["cells"].groupby("frame")["area"].mean() for r in runs]
    expected = (means[0] - means[1])[:4]
    assert found.table["frame"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found.table["difference"], expected, rtol=1e-12)
    assert found.summary["pairs"] == 4


def test_steps_of_a_graph_are_run(tmp_path: Path) -> None:
    steps = pipeline(1)
    one, other = steps["cells"], steps["smoothed"]
    found = sp.compare(
        *(one, other),
        column="mean_intensity",
        frames=3,
        to=tmp_path / "RUN",
        executor="inline",
    )
    assert set(sp.load(tmp_path / "RUN").tables) == {one.name, other.name}
    assert found.table["frame"].max() == 2
    again = sp.compare(
        tmp_path / "RUN", of=(one.name, other.name), column="mean_intensity"
    )
    assert again.table.equals(found.table)


def test_live_and_afterwards_say_the_same(tmp_path: Path) -> None:
    raw = source()
    labels = raw.threshold("otsu").label()
    one = labels.measure(raw, name="one")
    other = labels.measure(raw.gaussian(sigma=2), name="other")
    agree = one.bland_altman(other, column="mean_intensity")
    same = labels.compare_labels(raw.threshold("li").label(name="more"), name="same")
    more = raw.graph.handles["more"]
    save = {"one": one, "other": other, "agree": agree, "same": same}
    path = sp.run({**save, "a": labels, "b": more}, to=tmp_path / "RUN").path
    live = sp.load(path).tables["agree"].iloc[-1]
    numbers = sp.compare(path, of=("one", "other"), column="mean_intensity")
    for name in ("pairs", "bias", "sd", "lower_from", "upper_to"):
        assert live[name] == pytest.approx(numbers.summary[name], rel=1e-9), name
    found = sp.compare(path, of=("a", "b")).table
    kept = sp.load(path).tables["same"].drop(columns="label")
    pd.testing.assert_frame_equal(kept, found, check_dtype=False)


# --- labels -------------------------------------------------------------------------


def test_label_images_of_two_runs(runs: tuple[Path, Path]) -> None:
    found = sp.compare(sp.load(runs[0]), sp.load(runs[1]), of="nuclei", min_iou=0.7)
    one, other = (np.asarray(sp.load(run).labels["nuclei"]) for run in runs)
    rows = [compared(a, b, 0.7) for a, b in zip(one, other, strict=True)]
    expected = pd.DataFrame({"frame": range(FRAMES)}).join(pd.DataFrame(rows))
    pd.testing.assert_frame_equal(found.table, expected, check_dtype=False)
    s = found.summary
    assert s["dice"] == pytest.approx(expected["dice"].mean(), rel=1e-12)
    assert found.objects is not None
    assert s["matched"] == len(found.objects)
    objects = expected["objects_a"].sum() + expected["objects_b"].sum()
    assert s["f1"] == pytest.approx(2 * expected["matched"].sum() / objects)
    apart = abs(expected["objects_a"] - expected["objects_b"])
    assert s["count_error"] == apart.mean()
    assert f"Dice          {s['dice']:.4f}" in str(found)


def test_objects_found_by_both_have_their_areas(runs: tuple[Path, Path]) -> None:
    found = sp.compare(*runs, of="nuclei").objects
    assert found is not None
    assert len(found) > FRAMES
    for row in found.to_dict("records"):
        a, b = (np.asarray(sp.load(r).labels["nuclei"][row["frame"]]) for r in runs)
        mine, theirs = a == row["label_a"], b == row["label_b"]
        assert (mine.sum(), theirs.sum()) == (row["area_a"], row["area_b"])
        iou = (mine & theirs).sum() / (mine | theirs).sum()
        assert iou == pytest.approx(row["iou"])


def test_only_what_both_have_need_not_be_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sp.run({"mask": source().threshold("otsu")}, to=tmp_path / name)
    found = sp.compare(tmp_path / "a", tmp_path / "b")
    assert (found.kind, found.summary["dice"]) == ("labels", 1)


# --- what is drawn ------------------------------------------------------------------


@pytest.mark.parametrize("of", [("cells", "smoothed"), ("nuclei", "nuclei")])
def test_plots_are_pictures_and_pages(
    runs: tuple[Path, Path], tmp_path: Path, of: tuple[str, str]
) -> None:
    found = sp.compare(*runs, of=of)
    assert found.plot(tmp_path / "a.png") == tmp_path / "a.png"
    drawn = cv2.imread(str(tmp_path / "a.png"))
    assert drawn is not None
    assert drawn.shape == (charts.HEIGHT + 40, 2 * charts.WIDTH, 3)
    found.plot(str(tmp_path / "a.html"))
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    tags = re.findall(r"<(?:script|link)[^>]*>", page)
    assert tags
    assert not [tag for tag in tags if "src=" in tag or "href=" in tag]
    assert found.charts()[1].title in page
    assert "<img" in found._repr_html_()


def test_points_are_drawn_where_they_are() -> None:
    values = np.array([0.0, 10.0])
    chart = charts.Chart("t", "x", "y", values, values[::-1], is_square=True)
    drawn = charts.draw("both", [chart]).astype(int)
    points = np.argwhere(drawn[..., 2] < drawn[..., 1] - 40)
    ends = points[points[:, 1].argmin()], points[points[:, 1].argmax()]
    assert ends[0][0] < ends[1][0], "the first point is left and above"
    assert ends[1][1] - ends[0][1] > charts.WIDTH / 2


def test_charts_without_points_are_empty() -> None:
    empty = np.array([])
    nan = charts.Level(float("nan"), "nothing")
    drawn = charts.draw("none", [charts.Chart("t", "x", "y", empty, empty, (nan,))])
    assert drawn.any()
    assert charts.ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert charts.ticks(-7, 20) == [0, 10, 20]


def test_a_page_draws_no_more_points_than_a_browser_holds() -> None:
    many = np.arange(charts.MOST + 1.0)
    page = charts.page("many", [charts.Chart("t", "x", "y", many, many)])
    assert "t (20,000 of 20,001 points drawn)" in page


def test_plots_that_cannot_be_written(runs: tuple[Path, Path], tmp_path: Path) -> None:
    found = sp.compare(*runs, of="nuclei")
    with pytest.raises(ConfigError, match=r"plots are \.png or \.html, got 'a\.pdf'"):
        found.plot(tmp_path / "a.pdf")
    for name in ("a.png", "a.html"):
        with pytest.raises(StoreError, match=r"cannot write .*; choose another file"):
            found.plot(tmp_path / "missing" / name)


# --- the command --------------------------------------------------------------------


def test_the_command(runs: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    code, out, err = command(
        *("compare", *runs, "--of", "cells", "--column", "mean_intensity"),
        *("--plot", tmp_path / "p.png", "--plot", tmp_path / "p.html"),
        *("--csv", tmp_path / "p.csv"),
    )
    assert code == 0, err
    found = sp.compare(*runs, of="cells", column="mean_intensity")
    assert out.splitlines() == str(found).splitlines()
    assert (tmp_path / "p.png").exists()
    assert (tmp_path / "p.html").exists()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "p.csv"), found.table)
    code, out, _ = command("compare", runs[0], "--of", "cells,smoothed", "--json")
    assert code == 0
    assert json.loads(out)["bias"] == 0


def test_the_command_refuses(runs: tuple[Path, Path], command: Command) -> None:
    for given, said in (
        ((*runs, runs[0]), "compare takes one run or two, got 3"),
        ((*runs, "--of", "a,b,c"), "--of takes one name or two, got 'a,b,c'"),
        ((*runs, "--of", "cells", "--csv", runs[0]), "cannot write"),
        (runs, "say what to compare: both have saved"),
    ):
        code, _, err = command("compare", *given)
        assert code == 2
        assert said in err


# --- what is refused ----------------------------------------------------------------


def test_what_cannot_be_compared(runs: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = runs
    for given, options, said in (
        ((one, other), {}, "say what to compare: both have saved nuclei, cells, smo"),
        ((one,), {}, "say what to compare: the run has saved nuclei, cells"),
        ((one, other), {"of": "nucle"}, "saved as 'nucle'; did you mean 'nuclei'"),
        ((one, other), {"of": ("nuclei", "cells")}, "'nuclei' is a label image, 'cel"),
        ((one, one), {"of": "cells"}, "is compared with itself: name two things"),
        ((one, other), {"of": "cells", "column": "are"}, "of numbers 'are'; did you"),
        ((one, other), {"of": "cells", "per": "cell"}, "per must be 'object' or 'fr"),
        ((one, other), {"of": "cells", "min_iou": 0.2}, "min_iou must be >= 0.5 and"),
        ((one, other), {"of": "cells", "confidence": 1}, "confidence must be > 0 and"),
        ((one, other), {"of": "cells", "frames": 0}, "frames must be >= 1, got 0"),
    ):
        with pytest.raises(ConfigError, match=re.escape(said)):
            sp.compare(*given, **options)
    with pytest.raises(RunFolderError, match="nowhere"):
        sp.compare(one, tmp_path / "nowhere")


def test_steps_that_cannot_be_compared(runs: tuple[Path, Path]) -> None:
    raw = source()
    labels = raw.threshold("otsu").label()
    for a, b in ((raw, raw), (labels, labels.measure(raw)), (labels, labels)):
        with pytest.raises(ConfigError, match="cannot be compared: give two steps"):
            sp.compare(a, b)
    with pytest.raises(ConfigError, match="two runs, not step 'label' alone"):
        sp.compare(labels, runs[0])


def test_columns_must_be_chosen_where_there_are_several(tmp_path: Path) -> None:
    raw = source()
    values = {
        n: raw.map(lambda image: {"x": 1, "y": 2}, kind="value", name=n) for n in "ab"
    }
    sp.run(values, to=tmp_path / "RUN")
    with pytest.raises(ConfigError, match="which column to compare: both have x, y"):
        sp.compare(tmp_path / "RUN", of=("a", "b"))
    found = sp.compare(tmp_path / "RUN", of=("a", "b"), column="y")
    assert found.summary["bias"] == 0
    assert np.isnan(found.summary["correlation"]), "a constant has none"


def test_frames_of_other_shapes_and_no_frames(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    sp.run(pipeline(1, shape=[64, 64]), to=tmp_path / "small")
    with pytest.raises(ConfigError, match=r"frames \(96, 128\) and \(64, 64\) cannot"):
        sp.compare(runs[0], tmp_path / "small", of="nuclei")


def test_runs_without_a_common_frame(tmp_path: Path) -> None:
    for part in (0, 1):
        calls = iter(range(FRAMES))

        def half(image: Any, part: int = part, calls: Any = calls) -> float:
            if next(calls) % 2 == part:
                raise ValueError("not this one")
            return float(image.mean())

        value = source().map(half, kind="value", name="mean")
        sp.run({"mean": value}, to=tmp_path / f"{part}", executor="inline")
    with pytest.raises(ConfigError, match="no frame is done in both of"):
        sp.compare(tmp_path / "0", tmp_path / "1")
