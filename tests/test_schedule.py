"""Parameters that change between two frames: exact or refused, on any step."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamproc as sp
from streamproc.config import parse
from streamproc.plan import Plan, make_plan
from streamproc.runs import start_pipeline
from streamproc.schedule import Schedule
from tests.arrays import simulated, wait_for
from tests.functions import brighten
from tests.same_run import assert_same_run


def table(run: Path) -> list[tuple[int, str, str, Any]]:
    """Return the parameters of a run, values read."""
    found = sp.load(run).parameters
    return [(f, s, n, json.loads(v)) for f, s, n, v in found.itertuples(index=False)]


def value_of(rows: list[tuple[int, str, str, Any]], name: str) -> Callable[[int], Any]:
    """Return the value that the table gives for a frame."""
    step, _, parameter = name.partition(".")
    mine = [(f, v) for f, s, n, v in rows if (s, n) == (step, parameter)]
    return lambda frame: [value for first, value in mine if first <= frame][-1]


def tell(image: np.ndarray, number: float = 0) -> float:
    """Give back the parameter it was called with."""
    return number


# --- each kind of step ---------------------------------------------------------------


def steps(raw: sp.Image, **given: Any) -> dict[str, sp.Handle]:
    """Return one step of each kind; ``given`` are other values, as step_parameter."""
    smooth = raw.gaussian(sigma=given.get("smooth_sigma", 1), name="smooth")
    mask = smooth.threshold(given.get("mask_method", "otsu"), name="mask")
    gain = {"gain": given.get("bright_gain", 1)}
    hat = {"radius": given.get("hat_radius", 3)}
    opened = {"radius": given.get("opened_radius", 1)}
    return {
        "smooth": smooth,
        "mask": mask,
        "bright": raw.map(brighten, parameters=gain, name="bright"),
        "hat": raw.background(method="top_hat", name="hat", **hat),
        "opened": mask.binary_opening(name="opened", **opened),
    }


@pytest.mark.parametrize(
    ("step", "name", "value"),
    [
        ("smooth", "sigma", 3),
        ("smooth", "sigma", np.float32(2.5)),
        ("mask", "method", "li"),
        ("bright", "gain", 4),
        ("hat", "radius", 6),
        ("opened", "radius", np.int64(9)),
    ],
)
@pytest.mark.parametrize("live", [True, False])
def test_a_value_holds_from_its_frame_on(
    tmp_path: Path, step: str, name: str, value: Any, live: bool
) -> None:
    raw = simulated(300, live=live)
    run = sp.start(steps(raw), tmp_path / "run")
    wait_for(run, 20)
    run.pause()
    frame = run.set(step, name, value)
    run.resume()
    run.wait()
    assert 20 <= frame <= 300
    recorded = table(tmp_path / "run")[-1]
    plain = value.item() if isinstance(value, np.generic) else value
    expected = (frame, step, "parameters", {"gain": 4}) if name == "gain" else None
    assert recorded == (expected or (frame, step, name, plain))
    # before it as with the old value alone, from it on as with the new one alone
    hashes = []
    for number, given in enumerate(({}, {f"{step}_{name}": plain})):
        sp.run(steps(simulated(300), **given), tmp_path / str(number))
        hashes.append(sp.load(tmp_path / str(number)).frames.hash.map(json.loads))
    old, new = hashes
    got = sp.load(tmp_path / "run").frames.hash.map(json.loads)
    for number in range(300):
        expected_hash = (new if number >= frame else old)[number]
        assert got[number].items() >= expected_hash.items(), number
    assert frame == 300 or old[frame] != new[frame]


def test_an_operator_of_a_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "packages" / "lifts-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: lifts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[streamproc.operators]\nlift = tests.functions:lift\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "packages")
    raw = simulated(300)
    run = sp.start({"source": raw, "up": raw.apply("lift", by=2)}, tmp_path / "run")
    wait_for(run, 20)
    run.pause()
    with pytest.raises(sp.ConfigError, match=r"by must be .*, got 1\.5"):
        run.set("lift", "by", 1.5)
    frame = run.set("lift", "by", 7)
    run.resume()
    run.wait()
    images = sp.load(tmp_path / "run").images
    for number in (0, frame - 1, min(frame, 299), 299):
        lifted = np.asarray(images["up"][number]) - np.asarray(images["source"][number])
        assert set(lifted.ravel()) == {7 if number >= frame else 2}


# --- refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "name", "value", "message"),
    [
        ("smoth", "sigma", 1, r"no step named 'smoth'; did you mean 'smooth'\?"),
        (
            "smooth",
            "sgma",
            1,
            r"step 'smooth' \(gaussian\) has no parameter 'sgma' t",
        ),
        ("smooth", "sigma", -1, r"smooth\.sigma|sigma must be"),
        ("smooth", "sigma", "much", r"sigma must be"),
        ("smooth", "sigma", object(), r"smooth\.sigma: cannot be recorded, got <obj"),
        ("mask", "method", "otzu", r"method"),
        ("source", "frames", 3, r"the source's parameters cannot change during a run"),
        ("flat", "window", 3, r"window of background reaches over frames and cannot c"),
        ("cells", "properties", ["area"], r"would change the type or the columns of"),
        ("bright", "function", "a:b", r"has no parameter 'function' that can be set"),
        ("total", "anything", 1, r"has no parameter 'anything' .* it has none"),
    ],
)
def test_what_cannot_be_set_changes_nothing(
    tmp_path: Path, step: str, name: str, value: Any, message: str
) -> None:
    raw = simulated(60)
    handles = steps(raw)
    labels = handles["mask"].label()  # type: ignore[attr-defined]  # it is a mask
    cells = labels.measure(raw, name="cells")
    flat = raw.background(window=6, every=3, name="flat")
    more = {"cells": cells, "flat": flat, "total": cells.running_count(name="total")}
    run = sp.start({**handles, **more}, tmp_path / "run")
    before = table(tmp_path / "run")
    with pytest.raises(sp.ConfigError, match=message):
        run.set(step, name, value)
    assert run.wait().frames.done == 60
    assert table(tmp_path / "run") == before
    with pytest.raises(sp.ConfigError, match="has ended; nothing can be set"):
        run.set("smooth", "sigma", 2)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("smooth", r"adjustable: 'smooth' is no parameter; write step.parameter"),
        ("smoth.sigma", r"adjustable: smoth.sigma: .*did you mean 'smooth'"),
        ("smooth.sgma", r"adjustable: smooth.sgma: step 'smooth' \(gaussian\) has no"),
        ("flat.every", r"adjustable: flat.every: every of background reaches over fr"),
        ("source.fps", r"adjustable: source.fps: the source's parameters cannot chan"),
    ],
)
def test_adjustable_names_what_can_be_set(
    tmp_path: Path, entry: str, message: str
) -> None:
    raw = simulated(5)
    smooth = raw.gaussian(sigma=1, name="smooth")
    flat = raw.background(window=6, every=3, name="flat")
    handles = {"s": smooth, "f": flat}
    with pytest.raises(sp.ConfigError, match=message):
        sp.run(handles, tmp_path / "run", adjustable=[entry])
    assert not (tmp_path / "run").exists()


def test_only_what_is_adjustable(tmp_path: Path) -> None:
    raw = simulated(None, live=True)
    smooth = raw.gaussian(sigma=1, name="smooth")
    handles = {"m": smooth.threshold("otsu", name="mask")}
    run = sp.start(handles, tmp_path / "run", adjustable=["smooth.sigma"])
    assert run.set("smooth", "sigma", 2) >= 0
    with pytest.raises(
        sp.ConfigError, match=r"mask.method is not adjustable; the pipeline lists smo"
    ):
        run.set("mask", "method", "li")
    run.stop()
    run.wait()


# --- many at once --------------------------------------------------------------------


@pytest.mark.parametrize("live", [True, False])
def test_every_frame_has_the_value_that_the_table_gives(
    tmp_path: Path, executor: str, live: bool
) -> None:
    raw = simulated(None if live else 4000, live=live)
    told = raw.map(tell, kind="value", parameters={"number": 0}, name="told")
    run = sp.start({"x": told}, tmp_path / "run", executor=executor)
    frames: list[int] = []

    def turn(first: int) -> None:
        for number in range(first, first + 15):
            wait_for(run, len(frames) * 3)
            if not run.is_alive:
                return
            with contextlib.suppress(sp.ConfigError):  # it has just ended
                frames.append(run.set("told", "number", number))

    threads = [threading.Thread(target=turn, args=(100 * n,)) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(run, max(frames) + 1)
    run.drain()
    run.wait()
    rows = table(tmp_path / "run")
    assert len([row for row in rows if row[2] == "parameters"]) == 1 + len(frames)
    firsts = [row[0] for row in rows]
    assert firsts == sorted(firsts)
    expected = value_of(rows, "told.parameters")
    got = sp.load(tmp_path / "run").tables["x"]
    for frame, value in zip(got.frame, got.value, strict=True):
        assert value == expected(frame)["number"], frame


# --- crashes -------------------------------------------------------------------------

KILLED = """
import os, signal, sys, threading
from streamproc.config import parse, read_yaml
from streamproc.runs import start_pipeline
from pathlib import Path
run = start_pipeline(parse(read_yaml(Path(sys.argv[1]))), sys.argv[2])
while run.metrics.counters.done < 30:
    threading.Event().wait(0.002)
print(run.set("smooth", "sigma", 2.5), flush=True)
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


@pytest.mark.parametrize("live", [True, False])
def test_killed_right_after_it_was_set(tmp_path: Path, live: bool) -> None:
    simulation = {"frames": 400, "shape": [64, 64], "live": live, "fps": None}
    given = {
        "source": {"simulation": simulation},
        "graph": {"smooth": {"gaussian": {"sigma": 1}}, "mask": {"threshold": "otsu"}},
        "save": ["smooth", "mask"],
        "limits": {"disk_reserve": "100MB"},
    }
    (tmp_path / "p.yaml").write_text(json.dumps(given))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "p.yaml", tmp_path / "run"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    frame = int(killed.stdout)
    assert killed.returncode != 0
    report = sp.resume(tmp_path / "run")
    assert isinstance(report, sp.Report)
    assert report.frames.done == 400
    assert table(tmp_path / "run")[-1] == (frame, "smooth", "sigma", 2.5)
    changes = sp.load(tmp_path / "run").frames.hash
    expected = []
    for sigma in (1, 2.5):
        simulation["live"] = False
        given["graph"]["smooth"] = {"gaussian": {"sigma": sigma}}  # type: ignore[index]  # YAML
        start_pipeline(parse(given), tmp_path / str(sigma)).wait()
        expected.append(sp.load(tmp_path / str(sigma)).frames.hash.map(json.loads))
    got = changes.map(json.loads)
    for number in range(400):
        wanted = expected[number >= frame][number]
        assert got[number]["mask"] == wanted["mask"], number


def test_frames_that_an_earlier_session_admitted_keep_their_values(
    tmp_path: Path,
) -> None:
    """A value that was set right after resume held for frames admitted before."""
    raw = simulated(None, live=True)
    told = raw.gaussian(sigma=1, name="smooth").map(np.mean, kind="value")
    run = sp.start({"x": told}, tmp_path / "run")
    wait_for(run, 10)
    run.pause()
    nap = threading.Event()
    admitted = 0
    while admitted < 200:
        admitted = sp.load(tmp_path / "run").status()["admitted"]
        nap.wait(0.002)
    run.stop()
    run.wait()
    pending = sp.load(tmp_path / "run").status()
    assert pending["pending"] > 0
    again = sp.resume(tmp_path / "run", wait=False)
    assert isinstance(again, sp.Run)
    assert again.set("smooth", "sigma", 3) >= pending["admitted"]
    again.stop()
    again.wait()


def test_a_change_that_cannot_be_recorded_changes_nothing(tmp_path: Path) -> None:
    raw = simulated(5)
    run = sp.start({"s": raw.gaussian(sigma=1)}, tmp_path / "run")
    run.wait()

    def full(change: Any) -> None:
        raise sp.StoreError("disk full")

    schedule = Schedule(run.job.plan, run.job.info, record=full)
    with pytest.raises(sp.StoreError, match="disk full"):
        schedule.set("gaussian", "sigma", 2)
    assert schedule.version == 0
    assert schedule.plan(10) is run.job.plan


def test_changes_of_map_are_repeated_in_a_replay(tmp_path: Path) -> None:
    from streamproc.runs import start_replay

    raw = simulated(300, live=True)
    bright = raw.map(brighten, parameters={"gain": 1}, name="bright")
    run = sp.start({"b": bright}, tmp_path / "run")
    for gain in (2, 3):
        wait_for(run, 20 * gain)
        run.set("bright", "gain", gain)
    run.wait()
    start_replay(tmp_path / "run", tmp_path / "again").wait()
    assert_same_run(tmp_path / "run", tmp_path / "again")


def test_set_after_a_resume_comes_behind_what_was_promised(tmp_path: Path) -> None:
    # was recorded for frames that an earlier set had fixed already
    raw = sp.open({"simulation": {"frames": 3, "live": False, "shape": [32, 32]}})
    graph = raw.gaussian(sigma=1)
    plan = make_plan(raw.graph, {"smooth": graph.step})
    before = Schedule(plan, raw.graph.source.info, start=0)
    before.admitted(150)
    first = before.set("gaussian", "sigma", 2.0)
    after = Schedule(plan, raw.graph.source.info, start=60, changes=[first])
    second = after.set("gaussian", "sigma", 3.0)
    assert (first.frame, second.frame) == (150, 150)
    sigmas = [_sigma(after.plan(n)) for n in (60, 149, 150, 200)]
    assert sigmas == [1.0, 1.0, 3.0, 3.0]


def _sigma(plan: Plan) -> float:
    (step,) = (step for step in plan.steps if step.name == "gaussian")
    return float(step.parameters["sigma"])
