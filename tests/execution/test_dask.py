"""Dask workers: the same bits, whatever becomes of the processes."""

import importlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
from distributed import Client
from distributed.security import Security

import streamproc as sp
from streamproc.errors import ConfigError, ExecutorError
from streamproc.execution.cluster import Cluster, ClusterOptions, refuse_insecure
from streamproc.execution.dask import Dask
from streamproc.execution.protocol import Task, WindowValue
from streamproc.folder import status
from streamproc.frame import FrameRef
from streamproc.stage import Result, Stage
from tests.arrays import Arrays, noise, segmented, simulated, wait_for
from tests.same_run import assert_same_run

TWO: dict[str, Any] = {"dask": {"workers": 2}}

#: A module that workers can import, wherever the tests and the package lie.
FUNCTIONS = """
import os, time

def slow_mean(image):
    time.sleep(0.02)
    return float(image.mean())

def pid(image):
    return os.getpid()

def number(image):
    return int(image[0, 0])

def dies_at_seven(image):
    if image[0, 0] == 7:
        os._exit(1)
    return int(image[0, 0])

def fails_at_three(image):
    if image[0, 0] == 3:
        raise ValueError("three")
    return int(image[0, 0])
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Functions of a user, imported from the folder ``tmp_path``."""
    (tmp_path / "functions_of_mine.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("functions_of_mine")
    del sys.modules["functions_of_mine"]


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """A recording on disk whose first pixel is the frame's number."""
    frames = noise(60, (64, 64))
    frames[:, 0, 0] = np.arange(60)
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


def analysed(raw: sp.Image) -> dict[str, sp.Handle]:
    """Return a graph with all kinds of steps: windowed, parallel, ordered, a map."""
    labels, cells = segmented(raw.background(window=10, every=5))
    return {
        "flat": raw.background(window=10, every=5, name="again"),
        "nuclei": labels,
        "cells": cells,
        "count": cells.running_count(),
        "mean": raw.map(np.mean, kind="value"),
    }


def frames_of(run: Path) -> list[tuple[Any, ...]]:
    """Return number, state and error of every frame."""
    frames = sp.load(run).frames
    return list(zip(frames["frame"], frames["state"], frames["error"], strict=True))


@pytest.mark.parametrize("kind", ["recording", "in order", "live"])
def test_dask_gives_what_inline_gives(tmp_path: Path, movie: Path, kind: str) -> None:
    def source() -> sp.Image:
        if kind == "live":
            return simulated(60, live=True)
        if kind == "in order":
            return sp.open(Arrays(noise(60, (64, 64)), in_order=True))
        return sp.open(movie)

    sp.run(analysed(source()), tmp_path / "inline", executor="inline")
    report = sp.run(analysed(source()), tmp_path / "dask", executor=TWO)
    assert report.frames.done == 60
    assert_same_run(tmp_path / "inline", tmp_path / "dask")
    assert set(sp.load(tmp_path / "dask").frames.worker) <= {"worker-0", "worker-1"}


def test_values_are_streamed_in_order(tmp_path: Path, movie: Path, mine: Any) -> None:
    seen: list[int] = []
    first = sp.open(movie).map(mine.number, kind="value")
    first.stream.sink(seen.append)
    sp.run({"number": first}, tmp_path / "run", executor=TWO)
    assert seen == list(range(60))


def test_work_is_done_in_other_processes(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    handle = sp.open(movie).map(mine.pid, kind="value")
    sp.run({"pid": handle}, tmp_path / "run", executor=TWO)
    pids = set(sp.load(tmp_path / "run").tables["pid"]["value"])
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


def test_a_worker_that_is_killed_takes_nothing_with_it(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    raw = sp.open(movie)
    graph = analysed(raw) | {"slow": raw.map(mine.slow_mean, kind="value")}
    run = sp.start(graph, tmp_path / "killed", executor=TWO)
    for done in (5, 20, 40):
        wait_for(run, done)
        workers_of(os.getpid())[0].kill()
    assert run.wait().frames.done == 60
    raw = sp.open(movie)
    graph = analysed(raw) | {"slow": raw.map(mine.slow_mean, kind="value")}
    sp.run(graph, tmp_path / "whole", executor="inline")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_only_the_frame_that_kills_its_worker_fails(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    raw = sp.open(movie)
    graph = {
        "dies": raw.map(mine.dies_at_seven, kind="value"),
        "cells": segmented(raw)[1],
    }
    report = sp.run(graph, tmp_path / "run", executor=TWO)
    assert (report.frames.done, report.frames.failed) == (59, 1)
    failed = [(n, e) for n, state, e in frames_of(tmp_path / "run") if state != "done"]
    assert [n for n, _ in failed] == [7]
    assert "its worker died, 2 times while nothing else was computed" in failed[0][1]


def test_a_frame_that_fails_is_recorded_as_everywhere(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    for name, executor in (("inline", "inline"), ("dask", TWO)):
        handle = sp.open(movie).map(mine.fails_at_three, kind="value")
        sp.run({"x": handle}, tmp_path / name, executor=executor)
    assert_same_run(tmp_path / "inline", tmp_path / "dask")
    assert frames_of(tmp_path / "dask")[3][1:] == (
        "failed",
        "step 'map': ValueError: three",
    )


def test_stop_forgets_what_has_not_started(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    handle = sp.open(movie).map(mine.slow_mean, kind="value")
    run = sp.start({"x": handle}, tmp_path / "run", executor=TWO)
    wait_for(run, 2)
    run.stop()
    report = run.wait()
    assert report.state == "stopped"
    assert 2 <= report.frames.done < 60
    resumed = sp.resume(tmp_path / "run")
    assert resumed.frames.done == 60  # type: ignore[union-attr]  # it waited


# --- clusters -------------------------------------------------------------------


@contextmanager
def begun(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module beside the tests; it does not outlive them."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **options) as process:
        try:
            yield process
        finally:
            try:
                process.terminate()
                process.wait(60)
            finally:
                process.kill()


@contextmanager
def scheduler(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run ``dask scheduler`` and two workers beside the tests."""
    told = tmp_path / "scheduler.json"
    place = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(told)]
    hands = ["--nworkers", "2", "--nthreads", "1"]
    with (
        begun("distributed.cli.dask_scheduler", *place, "--port", "0") as head,
        begun("distributed.cli.dask_worker", *place, *hands, cwd=tmp_path),
    ):
        with Client(scheduler_file=str(told), timeout=60, set_as_default=False) as seen:  # type: ignore[no-untyped-call]
            seen.wait_for_workers(2, timeout=60)
            address = str(seen.scheduler.address)
        yield address, head


def workers_of(pid: int) -> list[psutil.Process]:
    """Return the worker processes of a process."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        try:
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:  # it has just ended
            continue
    return found


def is_over(process: psutil.Process) -> bool:
    """Tell whether a process has ended, though nobody may have asked how."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
def test_a_scheduler_that_is_there_and_then_gone(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    with scheduler(tmp_path) as (address, head):
        there = {"dask": {"scheduler": address}}
        sp.run(analysed(sp.open(movie)), tmp_path / "whole", executor=there)
        sp.run(analysed(sp.open(movie)), tmp_path / "inline", executor="inline")
        assert_same_run(tmp_path / "inline", tmp_path / "whole")
        handle = sp.open(movie).map(mine.slow_mean, kind="value")
        run = sp.start({"x": handle}, tmp_path / "run", executor=there)
        wait_for(run, 3)
        head.kill()
        with pytest.raises(ExecutorError, match="the dask scheduler is gone"):
            run.wait()
    report = run.report()
    assert report.state == "stopped"
    assert report.frames.done + report.frames.pending == report.frames.admitted
    text = (tmp_path / "run" / "pipeline.yaml").read_text()
    assert address in text


def first_byte(address: str, credentials: ssl.SSLContext | None) -> bytes:
    """Return what a scheduler says to a stranger first: nothing, if it hangs up."""
    host, port = address.rpartition("/")[2].split(":")
    with socket.create_connection((host, int(port))) as plain:
        try:
            if credentials is None:
                plain.sendall(bytes(64))
                return plain.recv(1)
            with credentials.wrap_socket(plain, server_hostname=host) as encrypted:
                return encrypted.recv(1)
        except OSError:
            return b""


def credentials_of(security: Any) -> ssl.SSLContext:
    """Return what a client says who it is with; it believes whatever it is told."""
    context: ssl.SSLContext = security.get_connection_args("client")["ssl_context"]
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_nobody_else_joins_our_cluster() -> None:
    nobody = ssl.create_default_context()
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    somebody = credentials_of(Security.temporary())  # type: ignore[no-untyped-call]
    cluster = Cluster(ClusterOptions(workers=1), 1)
    try:
        address = str(cluster.client.scheduler.address)  # type: ignore[union-attr]
        assert address.startswith("tls://127.0.0.1:")
        assert first_byte(address, credentials_of(cluster.client.security))
        for stranger in (nobody, somebody, None):
            assert not first_byte(address, stranger)
        for place in (address, address.replace("tls", "tcp")):
            with pytest.raises(ExecutorError, match=f"cannot reach .* {place}: "):
                Cluster(ClusterOptions(scheduler=place), 1)
        assert cluster.threads() == 1
    finally:
        cluster.close()


@pytest.mark.parametrize(
    ("address", "is_fine"),
    [
        ("tls://10.0.0.1:8786", True),
        ("tcp://127.0.0.1:8786", True),
        ("tcp://[::1]:8786", True),
        ("localhost:8786", True),
        ("tcp://10.0.0.1:8786", False),
        ("10.0.0.1:8786", False),
        ("ws://lab.example:80", False),
        ("tcp://127.0.0.1.lab.example:80", False),
    ],
)
def test_pixels_do_not_leave_in_the_clear(address: str, is_fine: bool) -> None:
    if is_fine:
        refuse_insecure(address, insecure=False)
        return
    with pytest.raises(ConfigError, match=r"not encrypted.*use tls://, or say insec"):
        refuse_insecure(address, insecure=False)
    refuse_insecure(address, insecure=True)


def test_clusters_of_several_runs_tell_nothing_over_http() -> None:
    one, two = (Cluster(ClusterOptions(workers=1), 1) for _ in range(2))
    try:
        services = [
            info["services"]["dashboard"]
            for cluster in (one, two)
            for info in (
                cluster.client.scheduler_info(n_workers=-1),
                *cluster.client.scheduler_info(n_workers=-1)["workers"].values(),
            )
        ]
        assert len(set(services)) == 4
        for port in services:
            for page in ("", "status", "info/main/workers.html", "json/identity.json"):
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=9)
    finally:
        one.close()
        two.close()


@pytest.mark.parametrize(
    ("does_listen", "why"),
    [(False, "OSError: Timed out trying to connect"), (True, ".*and says nothing")],
)
def test_an_address_where_nobody_answers(
    tmp_path: Path,
    movie: Path,
    monkeypatch: pytest.MonkeyPatch,
    does_listen: bool,
    why: str,
) -> None:
    monkeypatch.setattr("streamproc.execution.cluster._CONNECT", 0.5)
    before = set(threading.enumerate())
    handle = sp.open(movie).map(np.mean, kind="value")
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        if does_listen:
            mute.listen()
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(
            ExecutorError, match=f"cannot reach the dask scheduler {address}: {why}"
        ):
            sp.run(
                {"x": handle},
                tmp_path / "run",
                executor={"dask": {"scheduler": address}},
            )
    assert set(threading.enumerate()) <= before


def test_a_cluster_that_has_left_ends_the_run() -> None:
    """Its background cannot be sent, either; that is not what is told."""
    dask, results = Dask(ClusterOptions(workers=1), 1), SimpleQueue[Result]()
    dask.start(results.put)
    try:
        assert dask._cluster is not None
        dask._cluster.close()
        ref = FrameRef(0, 0, None, None, None, pixels=noise(1)[0])
        window = WindowValue(("flat", 0), [ref])
        dask.submit_window(window)
        dask.submit(Task(Stage(0, (), (), (), ()), ref, {}, {"flat": window}))
        fatal = results.get().fatal
        assert isinstance(fatal, ExecutorError)
        assert str(fatal) == "the dask scheduler is gone"
    finally:
        dask.close(60)


_UNGUARDED = """
import streamproc as sp
raw = sp.open({movie!r})
sp.run({{"x": raw.gaussian(sigma=1)}}, {to!r}, executor={{"dask": {{"workers": 1}}}})
"""


def test_a_script_without_a_guard_is_told(tmp_path: Path, movie: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_UNGUARDED.format(movie=str(movie), to=str(tmp_path / "run")))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("streamproc.errors.ExecutorError: cannot start dask workers")
    assert last.endswith("the run must be below: if __name__ == '__main__':")


_PIPELINE = """
source: {movie}
executor: {{dask: {{workers: 2}}}}
graph:
  mean: {{map: {{function: "functions_of_mine:slow_mean", kind: value}}}}
save: [mean]
"""


@pytest.mark.skipif(os.name == "nt", reason="process groups are of POSIX")
@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_no_worker_outlives_its_run(tmp_path: Path, end: str, mine: Any) -> None:
    file, run, movie = tmp_path / "p.yaml", tmp_path / "run", tmp_path / "m.tif"
    # more than are in flight at once
    tifffile.imwrite(movie, noise(300, (16, 16)), photometric="minisblack")
    file.write_text(_PIPELINE.format(movie=movie))
    pause = threading.Event()
    begin = ["streamproc", "run", str(file), "--to", str(run)]
    with begun(*begin, cwd=tmp_path, start_new_session=True) as process:
        while process.poll() is None and not done_in(run):
            pause.wait(0.02)
        assert process.poll() is None
        workers = workers_of(process.pid)
        assert len(workers) == 2
        if end == "interrupt":  # as a terminal does: the workers get it too
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait() == 130
            assert not sp.load(run).frames.state.ne("done").any()
        else:
            process.kill()
            process.wait()
    while not all(map(is_over, workers)):
        pause.wait(0.02)
    with begun("streamproc", "resume", str(run), cwd=tmp_path) as process:
        assert process.wait() == 0
    sp.run(
        {"mean": sp.open(movie).map(mine.slow_mean, kind="value", name="mean")},
        tmp_path / "whole",
        executor={"threads": {"workers": 16}},
    )
    assert_same_run(tmp_path / "whole", run)


def done_in(run: Path) -> int:
    """Return how many frames of a run are committed, also where it has not begun."""
    try:
        return int(status(run)["done"])
    except sp.StreamprocError:
        return 0
