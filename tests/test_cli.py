"""Every command, in this process and as its own; every bad input, in one line."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import yaml

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SIMULATION = "{simulation: {frames: 8, shape: [64, 64], fps: null, live: false}}"
GRAPH = """
  smooth: {gaussian: {sigma: 1}}
  mask: {threshold: {method: otsu}}
  nuclei: {label: {}}
  cells: {measure: {}}
"""
MODULE = """
import time

def gain(image, factor=2):
    return image * factor

def fails(image):
    if int(image.sum()) % 2:
        raise ValueError("odd\\nsum")
    return image

def refuses(image):
    raise ValueError("no")

def slow(image):
    time.sleep(0.05)
    return image
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and a search path that is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


Command = Callable[..., tuple[int, str, str]]


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamproc", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write(
    source: str = SIMULATION, graph: str = GRAPH, save: str = "[source, nuclei, cells]"
) -> str:
    text = f"source: {source}\ngraph:\n{graph}\nsave: {save}\n"
    Path("p.yaml").write_text(text, encoding="utf-8")
    return "p.yaml"


def images(
    name: str, count: int = 6, shape: Callable[[int], tuple[int, int]] | None = None
) -> str:
    """Write PNG files and return their glob, quoted for YAML."""
    Path(name).mkdir()
    random = np.random.default_rng(0)
    for n in range(count):
        size = shape(n) if shape else (40, 50)
        pixels = random.integers(0, 255, size, dtype=np.uint8)
        cv2.imwrite(f"{name}/im{n:02}.png", pixels)
    return f'"{name}/*.png"'


def drawn(path: str) -> np.ndarray:
    picture = cv2.imread(path)
    assert picture is not None
    return np.asarray(picture)


def last_line(text: str) -> str:
    return text.rstrip("\n").rpartition("\n")[2]


def refused(result: tuple[int, str, str], match: str) -> None:
    """Check that a command was refused by one line, and left nothing behind."""
    code, _, err = result
    assert code == 2
    assert err.count("\n") == 1
    assert err.startswith("streamproc: error: ")
    assert re.search(match, err), err
    assert not Path("RUN").exists()
    assert not Path("runs").exists()


def status(command: Command, run: str = "RUN") -> dict[str, Any]:
    code, out, _ = command("status", run, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    counted = found["done"] + found["failed"] + found["skipped"] + found["pending"]
    assert found["admitted"] == counted
    return found


# --- what every command prints ----------------------------------------------------


def test_no_object_in_any_frame_is_said(command: Command) -> None:
    graph = (
        "  mask: {threshold: {method: fixed, value: 65535}}\n"
        "  nuclei: {label: {}}\n  cells: {measure: {intensity: source}}"
    )
    _, out, _ = command("run", write(graph=graph, save="[cells]"), "--to", "RUN")
    assert re.search(r"^objects +0, in no frame any$", out, re.M)
    file = write(graph="  smooth: {gaussian: 1}", save="[smooth]")
    _, out, _ = command("run", file, "--to", "R2")
    assert "objects" not in out


def test_run_prints_results_on_stdout_and_says_the_folder(command: Command) -> None:
    code, out, err = command("run", write(), "--to", "RUN")
    assert code == 0
    assert err == "streamproc: results in RUN\n"
    assert "frames   8 done" in out
    assert "RUN/images.ome.zarr" in out.replace(os.sep, "/")
    assert "streamproc info RUN --png first.png" in out
    assert "Traceback" not in out + err
    assert status(command)["state"] == "finished"
    assert command("verify", "RUN")[:2] == (
        0,
        "ok: 8 frames, 16 images, 16 chunks, 8 tables\n",
    )


def test_the_commands_that_run_suggests_work(command: Command) -> None:
    _, out, _ = command("run", write(), "--to", "RUN")
    suggested = out.partition("next\n")[2].splitlines()
    mine = [
        line.split("   #")[0].split() for line in suggested if "streamproc " in line
    ]
    mine = [words for words in mine if words[0] == "streamproc"]
    assert {words[1] for words in mine} == {"status", "info", "verify"}
    for words in mine:
        assert command(*words[1:])[0] == 0
    code = next(line for line in suggested if "python -c" in line).split('"')[1]
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "label" in found.stdout


def test_without_to_a_new_folder_is_made_and_printed(command: Command) -> None:
    _, _, err = command("run", write())
    made = Path(err.removeprefix("streamproc: results in ").strip())
    assert re.fullmatch(r"runs.\d{8}T\d{6}Z-p", str(made))
    assert made.is_dir()
    command("run", write())
    assert len(list(Path("runs").iterdir())) == 2


def test_the_file_may_say_where_to(command: Command) -> None:
    file = write()
    with Path(file).open("a", encoding="utf-8") as text:
        text.write("to: THERE\n")
    assert command("run", file)[0] == 0
    assert status(command, "THERE")["done"] == 8


def test_options_take_the_place_of_what_the_file_says(command: Command) -> None:
    images("seq", 3)
    code, _, _ = command(
        "run", write(), "--to", "RUN", "--source", "seq/*.png", "--executor", "inline",
        "--set", "graph.smooth.gaussian.sigma=3", "--set", "store.pyramid=false",
        "--frames", "2",
    )  # fmt: skip
    assert code == 0
    ran = yaml.safe_load(Path("RUN/pipeline.yaml").read_text(encoding="utf-8"))
    assert ran["executor"] == "inline"
    assert ran["graph"]["smooth"]["gaussian"]["sigma"] == 3
    assert ran["store"]["pyramid"] is False
    assert status(command)["done"] == 2
    text = "{simulation: {frames: 5, shape: [32, 32], fps: null}}"
    command("run", write(), "--to", "B", "--source", text)
    assert status(command, "B")["done"] == 5
    threads = "{threads: {workers: 1}}"
    assert command("run", write(), "--to", "C", "--executor", threads)[0] == 0


def test_what_ran_runs_again(command: Command) -> None:
    command("run", write(), "--to", "RUN")
    assert command("run", "RUN/pipeline.yaml", "--to", "AGAIN")[0] == 0
    rows = []
    for run in ("RUN", "AGAIN"):
        with closing(sqlite3.connect(f"{run}/run.sqlite")) as db:
            rows.append(db.execute("SELECT * FROM cells").fetchall())
    assert rows[0] == rows[1]
    assert rows[0]


def test_status_in_words(command: Command) -> None:
    command("run", write(), "--to", "RUN")
    code, out, err = command("status", "RUN")
    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == ["state     finished", "admitted  8", "done      8"]


def test_status_json_has_the_keys_of_the_contract(command: Command) -> None:
    command("run", write(), "--to", "RUN")
    found = status(command)
    assert list(found) == [
        "state", "admitted", "done", "failed", "skipped", "lost", "pending", "fps",
        "latency_ms", "saved", "reason",
    ]  # fmt: skip
    assert found["latency_ms"]["p50"] > 0
    assert found["saved"] == ["source", "nuclei", "cells"]
    assert found["reason"] is None


def test_info_of_a_source(command: Command) -> None:
    text = "{simulation: {frames: 5, shape: [32, 48]}}"
    code, out, err = command("info", text, "--json", "--png", "a.png")
    assert (code, err) == (0, "streamproc: drew frame 0 in a.png\n")
    found = json.loads(out)
    assert list(found) == [
        "shape", "dtype", "axes", "frames", "pixel_size_um", "fps", "live", "channels",
        "metadata",
    ]  # fmt: skip
    assert found["shape"] == [32, 48]
    assert found["dtype"] == "uint16"
    assert (found["axes"], found["frames"], found["live"]) == ("yx", 5, True)
    assert found["pixel_size_um"] == {"y": 0.65, "x": 0.65}
    assert drawn("a.png").shape[2] == 3
    assert "32 x 48 (yx)" in command("info", text)[1]


def test_info_of_a_run(command: Command) -> None:
    text = "{simulation: {frames: 3, shape: [96, 96], fps: 100}}"
    command("run", write(text), "--to", "RUN")
    code, out, _ = command("info", "RUN", "--json", "--png", "a.png", "--frame", "2")
    assert code == 0
    found = json.loads(out)
    assert (found["shape"], found["dtype"], found["frames"]) == ([96, 96], "uint16", 3)
    assert (found["fps"], found["live"]) == (100, True)
    assert found["metadata"]["saved"] == ["source", "nuclei", "cells"]
    picture = drawn("a.png").astype(int)
    assert np.ptp(picture, axis=2).max() > 100, "no outline"


def test_info_draws_a_run_whose_source_was_not_saved(command: Command) -> None:
    command("run", write(images("seq"), save="[nuclei]"), "--to", "RUN")
    assert command("info", "RUN", "--png", "a.png")[0] == 0
    for image in Path("seq").iterdir():
        image.unlink()
    assert command("info", "RUN", "--png", "b.png")[0] == 0
    assert drawn("a.png").shape == drawn("b.png").shape


def test_list(command: Command) -> None:
    code, out, _ = command("list")
    assert code == 0
    for name in ("files: ", "simulation: ", "ome-zarr: ", "gaussian: ", "map: "):
        assert f"  {name}" in out
    _, operators, _ = command("list", "operators")
    assert "sigma=1.0" in operators
    assert "files" not in operators


def test_check_names_steps_and_makes_nothing(command: Command) -> None:
    code, out, _ = command("check", write())
    assert code == 0
    assert out.startswith("ok: p.yaml\n")
    assert "  cells: measure of nuclei -> table" in out
    assert [p.name for p in Path().iterdir()] == ["p.yaml"]
    for setting in ("graph.smooth.gaussian.sigma=-1", "source=none.tif"):
        assert command("check", "p.yaml", "--set", setting)[0] == 2


def test_version_and_help(command: Command) -> None:
    assert re.fullmatch(r"streamproc \d+\.\d+\S*\n", command("--version")[1])
    assert "demo" in command("--help")[1]
    code, out, _ = command()
    assert code == 2
    assert "Usage" in out


def test_verbose_adds_the_traceback(command: Command) -> None:
    for arguments in (["-v", "run", "no.yaml"], ["run", "no.yaml", "--verbose"]):
        code, _, err = command(*arguments)
        assert code == 2
        assert err.startswith("Traceback")
        assert last_line(err) == "streamproc: error: no such file: 'no.yaml'"


def test_a_bug_is_one_line_too(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamproc.folder.status", lambda _: 1 / 0)
    code, _, err = command("status", "RUN")
    assert code == 1
    assert err == (
        "streamproc: error: ZeroDivisionError: division by zero; "
        "this is a bug, rerun with -v to see where\n"
    )


# --- refused: exit code 2, one line, nothing left behind ----------------------------


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ("chek p.yaml", "no command 'chek'; did you mean 'check'"),
        ("run", "missing argument 'FILE'"),
        ("run p.yaml --fram 3", "no option '--fram'; did you mean '--frames'"),
        ("--verson", "no option '--verson'; did you mean '--version'"),
        ("run p.yaml --to RUN --frames x", "invalid value for '--frames'"),
        ("run p.yaml --to RUN --frames 0", "frames must be >= 1, got 0"),
        ("demo --frames 0 --to RUN", "invalid value for '--frames'"),
        ("run p.yaml --resume", "--resume needs the run folder"),
        ("resume nope", "no run folder 'nope'"),
        ("resume nope --skipped", "no run folder 'nope'"),
        ("resume .", "is no run folder"),
        ("status nope", "no run folder 'nope'"),
        ("verify nope", "no run folder 'nope'"),
        ("info nope.tif", "no such file or folder"),
        ("list sorces", "nothing to list as 'sorces'; did you mean 'sources'"),
        ("run nope.yaml --to RUN", "no such file: 'nope.yaml'"),
        ("run . --to RUN", "cannot read '.'"),
        ("run p.yaml --to RUN --executor dsk", "did you mean 'dask'"),
        ("run p.yaml --to RUN --executor {dask:{worker:2}}", "did you mean 'workers'"),
        ("run p.yaml --to RUN --executor thread", "did you mean 'threads'"),
        ("run p.yaml --to RUN --source none.tif", "no such file or folder: none.tif"),
        ("run p.yaml --to RUN --source none/*.png", "no file matches none/.*png"),
        ("run p.yaml --to RUN --source p.yaml", "unknown format '.yaml'; known: .avi"),
        ("run p.yaml --to RUN --source {a:", "is no YAML mapping"),
        ("run p.yaml --to RUN --source {vido:1}", "no source named"),
        ("run p.yaml --to RUN --set graph.smoth.gaussian.sigma=2", "mean 'smooth'"),
        ("run p.yaml --to RUN --set graph.smooth", "write it as graph.smooth.gauss"),
        ("run p.yaml --to RUN --set graph.smooth.gaussian.sigma=[", "not a YAML value"),
        ("run p.yaml --to RUN --set graph.smooth.gaussian.sigma=-2", "must be >= 0"),
        ("run p.yaml --to RUN --set graph.smooth.gaussian.sigma=x", "must be a number"),
        (
            "run p.yaml --to RUN --set grph.a=2",
            "grph: unknown key; did you mean 'graph",
        ),
    ],
)
def test_refused_arguments(command: Command, arguments: str, match: str) -> None:
    write()
    refused(command(*arguments.split()), match)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("source: [", "p.yaml, line 1: not valid YAML"),
        ("", "p.yaml: needs a mapping"),
        ("- a", "p.yaml: needs a mapping"),
        ("source: a\nsource: b", "line 2: not valid YAML: key 'source' is given twice"),
        ("source: a\ngraf: {}\nsave: [a]", "graf: unknown key; did you mean 'graph'"),
        ("source: a", "save: is missing"),
        ("source: 5\nsave: [source]", "source must be text, got 5"),
        ("source: a\nsave: [source]\ngraph: [1]", "graph must be a mapping"),
        ("source: a\nsave: [source]\nstore: {image: none}", "did you mean 'images'"),
        ("source: a\nsave: [source]\nlimits: {memory: lots}", "a size such as 2GiB"),
        ("source: a\nsave: [source]\non_overload: skp", "one of 'catch_up' or 'skip'"),
    ],
)
def test_refused_files(command: Command, text: str, match: str) -> None:
    Path("p.yaml").write_text(text, encoding="utf-8")
    refused(command("run", "p.yaml", "--to", "RUN"), match)


@pytest.mark.parametrize(
    ("graph", "save", "match"),
    [
        ("  a: {gausian: {}}", "[a]", "graph.a.gausian: no operator.*mean 'gaussian'"),
        ("  a: {gaussian: {sigm: 1}}", "[a]", "graph.a.gaussian.sigm.*mean 'sigma'"),
        ("  a: {gaussian: {sigma: -1}}", "[a]", "graph.a.gaussian.sigma must be >= 0"),
        ("  a: {gaussian: {sigma: one}}", "[a]", "must be a number, got 'one'"),
        ("  a: {measure: {}}", "[a]", "measure needs labels, got an image"),
        (
            "  a: {gaussian: {}, of: b}\n  b: {gaussian: {}, of: a}",
            "[a]",
            "the graph has a loop: a -> b -> a",
        ),
        (GRAPH, "[]", "nothing is saved"),
        (GRAPH, "[nucleii]", "no step named 'nucleii'; did you mean 'nuclei'"),
        ("  a: {map: 'nowhere:f'}", "[a]", "cannot import 'nowhere:f'"),
        ("  a: {map: 'math:nothing'}", "[a]", "cannot import 'math:nothing'"),
        ("  a: {project: {}}", "[a]", "project needs a z axis"),
        (
            "  a: {threshold: {value: 12}}",
            "[a]",
            "graph.a: value: 12 is of method 'fixed', the method is 'otsu'",
        ),
    ],
)
def test_refused_graphs(command: Command, graph: str, save: str, match: str) -> None:
    file = write(graph=graph, save=save)
    refused(command("run", file, "--to", "RUN"), match)
    refused(command("check", file), match)


def test_an_existing_folder_is_refused_and_unharmed(command: Command) -> None:
    Path("there").mkdir()
    Path("there/mine.txt").write_text("mine")
    refused(command("run", write(), "--to", "there"), "there exists already; choose")
    refused(command("demo", "--to", "there"), "there exists already; choose")
    assert [p.name for p in Path("there").iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_made(command: Command) -> None:
    Path("file").write_text("")
    refused(command("run", write(), "--to", "file/RUN"), "cannot create run folder")
    if sys.platform == "linux":
        refused(command("run", write(), "--to", "/proc/RUN"), "/proc")
    refused(command("info", SIMULATION, "--png", "file/a.png"), "cannot write file.a")


def test_a_frame_without_pixels(command: Command) -> None:
    Path("empty.png").write_bytes(b"")
    refused(command("run", write("empty.png"), "--to", "RUN"), "empty.png")
    shape = "{simulation: {frames: 5, shape: [0, 64]}}"
    refused(command("run", write(shape), "--to", "RUN"), "shape")


def test_not_enough_room_is_refused(command: Command) -> None:
    setting = "limits.disk_reserve=900TB"
    refused(command("run", write(), "--to", "RUN", "--set", setting), "make room")


def test_other_sources_are_checked_without_opening_them(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamproc import check, plugins

    class Camera:
        """A camera that must not be touched."""

        suffixes = ()

        def __init__(self, serial: str, *, exposure_ms: float = 1.0) -> None:
            raise AssertionError("opened")

    for module in (check, plugins):
        monkeypatch.setattr(module, "load", lambda *_: Camera)
    assert command("check", write("{camera: {serial: A1}}"))[0] == 0
    match = "source.camera.exposure: .*did you mean 'exposure_ms'"
    refused(command("check", write("{camera: {serial: A1, exposure: 2}}")), match)
    refused(command("check", write("{camera: {serial: 7}}")), "serial must be text")


# --- frames that fail, and runs that stop -------------------------------------------


def test_a_corrupt_image_is_a_failed_row(command: Command, executor: str) -> None:
    source = images("seq")
    with Path("seq/im03.png").open("r+b") as file:
        file.truncate(200)
    file_ = write(source)
    code, out, err = command("run", file_, "--to", "RUN", "--executor", executor)
    assert code == 3
    assert "5 done, 1 failed" in out
    assert re.match(r"streamproc: error: 1 frame failed; frame 3: im03", last_line(err))
    assert status(command)["failed"] == 1
    assert command("verify", "RUN")[0] == 0
    assert command("resume", "RUN")[0] == 3
    code, _, err = command("run", file_, "--to", "STOP", "--set", "on_error=stop")
    assert code == 1
    assert re.search("frame 3: im03.*3 frames are done in STOP; go on", err)
    assert status(command, "STOP")["done"] == 3
    code, _, err = command("info", "RUN", "--png", "a.png", "--frame", "3")
    assert code == 2
    assert "frame 3 of RUN is failed" in err


def test_a_truncated_tiff_gives_its_good_pages(command: Command) -> None:
    pages = np.random.default_rng(0).integers(0, 9999, (6, 32, 32), dtype=np.uint16)
    tifffile.imwrite("a.tif", pages, photometric="minisblack")
    data = Path("a.tif").read_bytes()
    Path("a.tif").write_bytes(data[: len(data) - 3000])
    assert command("run", write("a.tif"), "--to", "RUN")[0] == 3
    assert status(command)["done"] == 4
    assert command("verify", "RUN")[0] == 0


def test_frames_that_change_shape_stop_the_run(command: Command, executor: str) -> None:
    source = images("seq", shape=lambda n: (40, 50 if n < 4 else 60))
    code, _, err = command("run", write(source), "--to", "RUN", "--executor", executor)
    assert code == 1
    assert "Traceback" not in err
    match = "frames change shape: frame 4 .*4 frames are done in RUN; go on with"
    assert re.search(match, last_line(err))
    found = status(command)
    assert (found["state"], found["done"], found["pending"]) == ("stopped", 4, 2)
    assert "change shape" in found["reason"]
    assert command("verify", "RUN")[0] == 0
    assert command("info", "RUN", "--png", "a.png")[0] == 0
    # the mistake is mended with files of the same size: the run goes on
    assert command("resume", "RUN")[0] == 1


def test_a_function_that_fails_is_a_failed_row(command: Command) -> None:
    Path("faulty.py").write_text(MODULE)
    file = write(graph="  m: {map: 'faulty:fails'}", save="[m]")
    code, _, err = command("run", file, "--to", "RUN")
    found = status(command)
    assert code == 3
    assert found["done"] + found["failed"] == 8
    assert found["done"]
    assert re.search("frames failed.*frame .: step 'm': ValueError: odd sum", err)
    code, _, err = command("run", file, "--to", "STOP", "--set", "on_error=stop")
    assert code == 1
    assert re.search("frame .: step 'm': ValueError: odd sum; . frames are done", err)


def test_a_function_of_the_current_folder_runs_and_resumes() -> None:
    Path("mine.py").write_text(MODULE)
    write(
        graph="  m: {map: {function: 'mine:gain', parameters: {factor: 3}}}", save="[m]"
    )
    script = Path(sys.executable).with_name("streamproc")
    by_script = [str(script), "run", "p.yaml", "--to", "RUN"]
    if not script.exists():
        pytest.skip("the console script is not beside this Python")
    found = subprocess.run(by_script, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert process("resume", "RUN").returncode == 0


# --- signals, resume, two processes -------------------------------------------------


def start(file: str) -> subprocess.Popen[str]:
    """Start a run in a process of its own, and wait until frames are done."""
    running = subprocess.Popen(
        [sys.executable, "-m", "streamproc", "run", file, "--to", "RUN"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not _done() and time.monotonic() < end:
        time.sleep(0.02)
    return running


def _done() -> int:
    try:
        db = sqlite3.connect("file:RUN/run.sqlite?mode=ro", uri=True)
        try:
            return int(db.execute("SELECT count(*) FROM frames").fetchone()[0])
        finally:
            db.close()
    except sqlite3.Error:
        return 0


def finish(running: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = running.communicate(timeout=60)
    return running.returncode, err


@pytest.fixture
def endless() -> str:
    """A live source that does not end by itself soon."""
    text = "{simulation: {frames: 2000, shape: [64, 64], fps: 60}}"
    return write(text)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains(command: Command, endless: str, number: int) -> None:
    running = start(endless)
    running.send_signal(number)
    code, err = finish(running)
    assert code == 130
    line = r"streamproc: interrupted: \d+ frames are done in RUN; go on with: .* RUN"
    assert re.fullmatch(line, last_line(err))
    found = status(command)
    assert (found["state"], found["pending"]) == ("interrupted", 0)
    assert command("verify", "RUN")[0] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_twice_stops_at_once(command: Command) -> None:
    Path("mine.py").write_text(MODULE)
    running = start(
        write(SIMULATION.replace("8", "120"), "  m: {map: 'mine:slow'}", "[m]")
    )
    for _ in range(2):
        running.send_signal(signal.SIGINT)
        time.sleep(0.4)
    code, err = finish(running)
    assert code == 130, err
    assert status(command)["pending"] > 0
    again = process("resume", "RUN")
    assert (again.returncode, status(command)["done"]) == (0, 120), again.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize("gap", [0, 0.01, 0.1])
def test_many_signals_are_no_success(
    command: Command, endless: str, gap: float
) -> None:
    running = start(endless)
    for _ in range(3):
        running.send_signal(signal.SIGINT)
        time.sleep(gap)
    code, err = finish(running)
    assert code == 130, err
    assert status(command)["state"] == "interrupted"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_after_a_kill_it_resumes_and_a_second_process_is_refused(
    command: Command,
) -> None:
    file = write("{simulation: {frames: 60, shape: [64, 64], fps: 30}}")
    running = start(file)
    assert status(command)["state"] == "running"
    code, _, err = command("resume", "RUN")
    assert code == 2
    assert re.search("RUN is in use by process .*; wait for its end", err)
    code, _, err = command("run", file, "--to", "RUN")
    assert code == 2
    assert "RUN exists already; choose another folder, or go on with" in err
    running.kill()
    finish(running)
    assert status(command)["state"] == "interrupted"
    assert command("verify", "RUN")[0] == 0
    code, _, err = command("run", file, "--to", "RUN", "--resume")
    assert (code, status(command)["done"]) == (0, 60), err
    assert command("verify", "RUN")[0] == 0
    assert status(command)["state"] == "finished"
    code, out, _ = command("resume", "RUN")
    assert (code, "frames   60 done\n" in out) == (0, True)
    assert "latency" not in out, "nothing was left to do"
    assert status(command)["fps"] > 0


def test_run_resume_starts_where_there_is_nothing(command: Command) -> None:
    assert command("run", write(), "--to", "RUN", "--resume")[0] == 0
    assert command("run", write(), "--to", "RUN", "--resume")[0] == 0


def test_run_resume_refuses_another_pipeline(command: Command) -> None:
    command("run", write(), "--to", "RUN")
    setting = "graph.smooth.gaussian.sigma=3"
    code, _, err = command("run", write(), "--to", "RUN", "--resume", "--set", setting)
    assert code == 2
    assert "RUN holds a run of another pipeline or source: parameter sigma of" in err
    assert "of step 'smooth' was " in err
    assert ", is 3" in err


def test_another_environment_is_refused_unless_forced(command: Command) -> None:
    write(images("seq"))
    Path("mine.py").write_text(MODULE)
    file = write('"seq/*.png"', "  m: {map: 'mine:refuses'}", "[m]")
    assert command("run", file, "--to", "RUN", "--set", "on_error=stop")[0] == 1
    ran = Path("RUN/pipeline.yaml")
    document = yaml.safe_load(ran.read_text(encoding="utf-8"))
    document["recorded"]["environment"]["numpy"] = "1.0"
    ran.write_text(yaml.safe_dump(document), encoding="utf-8")
    code, _, err = command("resume", "RUN")
    assert code == 2
    assert "numpy was 1.0" in err
    assert command("resume", "RUN", "--force-environment")[0] == 1


# --- as processes, and on real recordings -------------------------------------------


def test_as_a_process() -> None:
    write()
    found = process("run", "p.yaml", "--to", "RUN")
    assert found.returncode == 0, found.stderr
    assert found.stderr == "streamproc: results in RUN\n"
    document = json.loads(process("status", "RUN", "--json").stdout)
    assert document["done"] == 8
    bad = process("run", "none.yaml")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "streamproc: error: no such file: 'none.yaml'\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_reader_that_goes_away_is_no_error() -> None:
    text = f"{sys.executable} -m streamproc list | head -1"
    found = subprocess.run(
        text, shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    assert (found.stdout, found.stderr) == ("sources\n", "")


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real data is not here")
def test_real_recordings(command: Command) -> None:
    blobs = str(DATA / "blobs" / "blobs.tif")
    graph = "  mask: {threshold: {method: fixed, value: 120}}\n  nuclei: {label: {}}"
    assert command("run", write(f'"{blobs}"', graph, "[nuclei]"), "--to", "RUN")[0] == 0
    water = str(DATA / "bulk_water_a" / "*.png")
    assert command("run", write(f'"{water}"'), "--to", "W", "--frames", "20")[0] == 0
    movie = str(DATA / "pims_formats" / "bulk-water.mov")
    assert json.loads(command("info", movie, "--json")[1])["frames"] == 480
    assert command("run", write(f'"{movie}"'), "--to", "M", "--frames", "20")[0] == 0
    for run in ("RUN", "W", "M"):
        assert command("verify", run)[0] == 0
        assert command("info", run, "--png", f"{run}.png")[0] == 0
