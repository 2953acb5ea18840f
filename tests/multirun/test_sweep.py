"""One run per combination of values, compared with each other."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import yaml

import streamproc as sp
from streamproc.errors import ConfigError, RunFolderError
from streamproc.frame import Array
from streamproc.multirun import sweep as library
from streamproc.multirun.comparison import Outcome
from tests import oracles

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SIGMA = "graph.smooth.gaussian.sigma"
GRAPH = """
graph:
  smooth: {gaussian: {sigma: 1}}
  mask: {threshold: {method: otsu}}
  nuclei: {label: {}}
  cells: {measure: {}}
save: [nuclei, cells]
limits: {disk_reserve: 1MB}
"""
#: Kills its process in the variant with this gain, once.
MODULE = """
import os, signal
from pathlib import Path

def kills(image, gain=1):
    order = Path("kill")
    if order.exists() and image.any() and int(order.read_text()) == gain:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return image * gain
"""

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def movie(tmp_path: Path) -> Array:
    """Three noisy frames, in in.tif, and p.yaml beside it."""
    random = np.random.default_rng(0)
    frames = random.integers(0, 120, (3, 60, 80)).astype(np.uint8)
    for t in range(3):
        frames[t, 10 + t : 25, 10:30] += 60
        frames[t, 35:50, 40 : 60 + t] += 90
    tifffile.imwrite(tmp_path / "in.tif", frames, photometric="minisblack")
    (tmp_path / "p.yaml").write_text("source: in.tif" + GRAPH)
    return frames


def table(path: str) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def dice(a: Array, b: Array) -> float:
    return float(2 * np.sum((a > 0) & (b > 0)) / (np.sum(a > 0) + np.sum(b > 0)))


def objects(image: Array, sigma: float) -> Array:
    """What the graph finds, by scikit-image, behind our own smoothing."""
    mask = oracles.threshold(sp.ops.gaussian(image, sigma=sigma))
    return oracles.label(mask)


# --- what is varied -----------------------------------------------------------------


def test_every_combination_in_order() -> None:
    made = library.variants(
        ["graph.a.gaussian.sigma=1,2.5", "graph.b.threshold.method=otsu,li"]
    )
    assert [v.name for v in made] == [
        "sigma=1,method=otsu",
        "sigma=1,method=li",
        "sigma=2.5,method=otsu",
        "sigma=2.5,method=li",
    ]
    assert made[1].settings == (
        "graph.a.gaussian.sigma=1",
        "graph.b.threshold.method=li",
    )


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[1, 2],[3,4]", ["[1, 2]", "[3,4]"]),
        ("{a: 1, b: 2},null", ["{a: 1, b: 2}", "null"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("-1, 1e-3", ["-1", "1e-3"]),
    ],
)
def test_commas_in_brackets_do_not_part_values(text: str, values: list[str]) -> None:
    made = library.variants([f"x.y={text}"])
    assert [v.settings for v in made] == [(f"x.y={value}",) for value in values]


def test_names_are_file_names_and_differ() -> None:
    made = library.variants(
        ["graph.a.gaussian.sigma=1,-1", "graph.b.gaussian.sigma=a/b,a:b"]
    )
    names = [v.name for v in made]
    assert len({name.lower() for name in names}) == 4
    assert names[0] == "a.gaussian.sigma=1,b.gaussian.sigma=a_b"
    assert not any(set(name) & set('/\\:*?"<>|') for name in names)
    long = library.variants([f"x={'a' * 150},{'a' * 150}b"])
    assert len({v.name for v in long}) == 2
    assert max(len(v.name) for v in long) <= 100


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ([], "a sweep needs --set"),
        (["sigma"], "write it as graph.smooth.gaussian.sigma=1,2,3"),
        ([f"{SIGMA}=1,,2"], "write it as"),
        ([f"{SIGMA}=1", f"{SIGMA}=2"], "is given twice; give all values at once"),
    ],
)
def test_refused_settings(settings: list[str], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        library.variants(settings)


# --- what is compared ---------------------------------------------------------------


def test_counts_and_dice_are_those_of_scikit_image(
    command: Command, movie: Array
) -> None:
    code, out, err = command("sweep", "p.yaml", "--set", f"{SIGMA}=1,2,4", "--to", "S")
    assert code == 0
    assert err == "streamproc: 3 variants; results in S\n"
    found = table("S/sweep.csv")
    assert [r["variant"] for r in found] == ["sigma=1", "sigma=2", "sigma=4"]
    first = [objects(frame, 1) for frame in movie]
    for row, sigma in zip(found, (1, 2, 4), strict=True):
        labels = [objects(frame, sigma) for frame in movie]
        assert row[SIGMA] == str(sigma)
        assert (row["frames"], row["error"]) == ("3", "")
        mean = np.mean([label.max() for label in labels])
        assert float(row["objects_per_frame"]) == pytest.approx(mean)
        scores = [dice(a, b) for a, b in zip(first, labels, strict=True)]
        assert float(row["dice_nuclei"]) == pytest.approx(np.mean(scores))
        assert float(row["seconds_per_frame"]) > 0
        shown = next(x for x in out.splitlines() if x.startswith(row["variant"]))
        assert shown.split()[1:4] == ["3", f"{mean:.1f}", f"{np.mean(scores):.3f}"]
    assert "with sigma=1, mean over frames" in out


def test_blobs(command: Command) -> None:
    path = DATA / "blobs" / "blobs.tif"
    if not path.is_file():
        pytest.skip("the folder of real data is not here")
    Path("p.yaml").write_text(f"source: {path}" + GRAPH)
    code, _, _ = command("sweep", "p.yaml", "--set", f"{SIGMA}=0.5,1,2,3", "--to", "S")
    assert code == 0
    image = tifffile.imread(path)
    counts = [float(row["objects_per_frame"]) for row in table("S/sweep.csv")]
    assert counts == [objects(image, s).max() for s in (0.5, 1, 2, 3)]
    # peers count 61 to 68; more smoothing joins and drops objects
    assert 61 <= counts[1] <= 68
    assert counts == sorted(counts, reverse=True)


def test_the_sheet_shows_every_variant(command: Command, movie: Array) -> None:
    command("sweep", "p.yaml", "--set", f"{SIGMA}=1,6", "--to", "two")
    command("sweep", "p.yaml", "--set", f"{SIGMA}=1", "--to", "one")
    two, one = cv2.imread("two/sweep.png"), cv2.imread("one/sweep.png")
    assert two is not None
    assert one is not None
    assert two.shape[1] > 1.8 * one.shape[1]
    # outlines are coloured, image, text and frame are gray or nearly so
    spread = np.ptp(two.astype(int), axis=2) > 60
    half = two.shape[1] // 2
    assert spread[:, :half].sum() > 100
    assert spread[:, half:].sum() > 100
    assert not np.array_equal(spread[:, : half - 20], spread[:, half : 2 * half - 20])


def test_labels_are_counted_where_no_table_is_saved(
    command: Command, movie: Array
) -> None:
    given = yaml.safe_load(Path("p.yaml").read_text())
    given["save"] = ["mask", "nuclei"]
    Path("p.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    command("sweep", "p.yaml", "--set", f"{SIGMA}=1,3", "--to", "S", "--frames", "2")
    for row, sigma in zip(table("S/sweep.csv"), (1, 3), strict=True):
        mean = np.mean([objects(frame, sigma).max() for frame in movie[:2]])
        assert float(row["objects_per_frame"]) == pytest.approx(mean)
        assert row["dice_mask"] == row["dice_nuclei"]


# --- failures -----------------------------------------------------------------------


def test_a_variant_that_fails_does_not_stop_the_others(
    command: Command, movie: Array
) -> None:
    values = f"{SIGMA}=-1,1,2"
    code, out, err = command("sweep", "p.yaml", "--set", values, "--to", "S")
    assert code == 3
    assert err.splitlines()[1:] == [
        f"streamproc: error: sigma=-1: {SIGMA} must be >= 0.0, got -1"
    ]
    found = table("S/sweep.csv")
    assert [r["frames"] for r in found] == ["0", "3", "3"]
    assert float(found[1]["dice_nuclei"]) == 1
    assert "must be >= 0.0" in found[0]["error"]
    assert "with sigma=1, mean" in out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--set", "graph.smooth.gaussian.sgma=1,2"], "did you mean 'sigma'"),
        (["--set", "graph.smoth.gaussian.sigma=1,2"], "no step 'smoth'"),
        (["--set", f"{SIGMA}=-1,-2"], "sigma must be >= 0.0, got -1"),
        (["--set", f"{SIGMA}=1", "--resume"], "--resume needs the sweep's folder"),
        (["--set", f"{SIGMA}=1", "--source", "no.tif"], "no such file"),
        (
            ["--set", f"{SIGMA}=1", "--source", "{files: {path: in.tif, batch: true}}"],
            "a sweep takes one image, got batch: true",
        ),
        ([], "missing option '--set'"),
    ],
)
def test_refused_in_one_line(
    command: Command, movie: Array, arguments: list[str], error: str
) -> None:
    code, _, err = command("sweep", "p.yaml", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert error in err
    assert not Path("runs").exists()


# --- going on -----------------------------------------------------------------------


def test_resume_runs_what_is_missing(command: Command, movie: Array) -> None:
    values = ("--set", f"{SIGMA}=1,2,3")
    command("sweep", "p.yaml", *values, "--to", "S")
    before = table("S/sweep.csv")
    kept = Path("S/sigma=1/run.sqlite").stat().st_mtime_ns
    os.rename("S/sigma=2", "gone")
    Path("S/sweep.csv").unlink()
    code, _, _ = command("sweep", "p.yaml", *values, "--to", "S", "--resume")
    assert code == 0
    after = table("S/sweep.csv")
    times = [
        (r.pop("seconds_per_frame"), x.pop("seconds_per_frame"))
        for r, x in zip(before, after, strict=True)
    ]
    assert after == before
    assert times[0][0] == times[0][1]
    assert Path("S/sigma=1/run.sqlite").stat().st_mtime_ns == kept

    code, _, err = command("sweep", "p.yaml", *values, "--to", "S")
    assert (code, "exists already; streamproc resume S" in err) == (2, True)
    other = ("--set", f"{SIGMA}=1,2", "--to", "S", "--resume")
    code, _, err = command("sweep", "p.yaml", *other)
    assert (code, "holds another sweep (its settings differ)" in err) == (2, True)
    code, _, err = command("sweep", "p.yaml", *values, *other[2:], "--frames", "1")
    assert (code, "--frames belongs to the begin of a sweep" in err) == (2, True)
    with pytest.raises(RunFolderError, match=r"is no sweep's folder: it has no sweep"):
        library.resume_sweep("gone")


def test_killed_and_resumed_equals_unbroken(tmp_path: Path, movie: Array) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    given: dict[str, Any] = yaml.safe_load((tmp_path / "p.yaml").read_text())
    mine = {
        "map": {"function": "mine:kills", "kind": "image", "parameters": {"gain": 1}}
    }
    given["graph"] = {"mine": mine, **given["graph"]}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(given, sort_keys=False))

    def streamproc(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, "-m", "streamproc", *arguments],
            cwd=tmp_path,
            capture_output=True,
            timeout=120,
            check=False,
        ).returncode

    values = ("--set", "graph.mine.map.parameters.gain=1,2,3")
    (tmp_path / "kill").write_text("2")
    assert streamproc("sweep", "p.yaml", *values, "--to", "S") == -9
    assert not (tmp_path / "S" / "sweep.csv").exists()
    assert streamproc("resume", "S") == 0
    assert streamproc("sweep", "p.yaml", *values, "--to", "whole") == 0
    found = [table(str(tmp_path / name / "sweep.csv")) for name in ("S", "whole")]
    for row in (row for rows in found for row in rows):
        assert float(row.pop("seconds_per_frame")) > 0
    assert found[0] == found[1]


def test_an_outcome_is_named_by_its_folder() -> None:
    assert Outcome(Path("S/sigma=1")).name == "sigma=1"
