"""The demo runs from an empty folder, and counts what is there."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from streamproc.__main__ import main
from streamproc.demo import compare, pipeline, start_demo


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_demo_from_an_empty_folder(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--frames", "60", "--no-dashboard"]) == 0
    out, err = capfd.readouterr()
    (made,) = Path("runs").iterdir()
    assert re.fullmatch(r"\d{8}T\d{6}Z-demo", made.name)
    assert str(made) in err
    assert "page" not in err
    assert "frames   60 done" in out
    assert re.search(r"latency  \d+ ms \(p50\), \d+ ms \(p99\)", out)
    percent = float(re.search(r"truth .*\(([\d.]+) %\)", out)[1])  # type: ignore[index]  # it matched
    assert percent < 3
    assert f"streamproc info {made} --png" in out
    assert main(["verify", str(made)]) == 0


def test_demo_is_the_main_job_through_the_raw_log(executor: str) -> None:
    report = start_demo(30, "RUN", executor=executor).wait()
    assert report.frames.done == 30
    assert report.saved == ("source", "nuclei", "cells")
    assert Path("RUN/admission.jsonl").exists()
    operators = [next(iter(step)) for step in pipeline().graph.values()]
    assert operators == [
        "background", "gaussian", "threshold", "binary_opening", "label", "measure",
    ]  # fmt: skip


def test_comparison_counts_frames_without_objects() -> None:
    start_demo(30, "RUN").wait()
    before = compare("RUN")
    with closing(sqlite3.connect("RUN/run.sqlite")) as db:
        db.execute("DELETE FROM cells WHERE frame = 7")
        db.commit()
    after = compare("RUN")
    assert before is not None
    assert after is not None
    assert (before.frames, after.frames) == (30, 30)
    assert after.worst > 50
    assert after.error > before.error + 1
    assert "cells per frame, truly" in str(after)


def test_nothing_done_compares_to_nothing() -> None:
    start_demo(30, "RUN").wait()
    with closing(sqlite3.connect("RUN/run.sqlite")) as db:
        db.execute("DELETE FROM frames")
        db.commit()
    assert compare("RUN") is None


@pytest.mark.slow
def test_demo_brings_its_page(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--frames", "600", "--to", "RUN"]) == 0
    err = capfd.readouterr().err
    found = re.search(r"the page of the run: (http://127\.0\.0\.1:\d+/)", err)
    assert found, err
    # nobody sits before this terminal: the page goes with the command
    with pytest.raises(URLError):
        urlopen(found[1] + "healthz")
