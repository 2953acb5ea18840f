"""Clusters of dask: who may join, whom we join, and what becomes of it."""

import re
import shlex
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import tifffile
from distributed.security import Security

import streamproc as sp
from streamproc.errors import ConfigError, ExecutorError
from streamproc.execution.cluster import Cluster, ClusterOptions, refuse_insecure
from streamproc.execution.dask import Dask
from streamproc.execution.protocol import Task, WindowValue
from streamproc.folder import status
from streamproc.frame import FrameRef
from streamproc.stage import Result, Stage
from tests.arrays import noise, wait_for
from tests.same_run import assert_same_run
from tests.workers import analysed, scheduler, worker

#: clusters and workers begin again and again: once, on one interpreter
pytestmark = pytest.mark.slow

Command = Callable[..., tuple[int, str, str]]
#: Of a worker's credentials, as dask calls them.
FILES = ("ca_file", "cert", "key")


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


def test_nobody_else_joins_our_cluster(tmp_path: Path) -> None:
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
        plain = address.replace("tls", "tcp")
        for place in (address, plain):
            with pytest.raises(ExecutorError, match=f"cannot reach .* {place}: "):
                Cluster(ClusterOptions(scheduler=place), 1)
        given = Security.temporary().get_tls_config_for_role("worker")  # type: ignore[no-untyped-call]
        for name in ("ca_file", "cert", "key"):
            (tmp_path / name).write_text(given[name])
        files = [f"--tls-{n.replace('_', '-')}={tmp_path / n}" for n in FILES]
        for place, credentials in ((address, files), (plain, [])):
            patience = ["--death-timeout", "5"]
            with worker(place, *credentials, *patience, "--no-nanny") as joining:
                assert joining.wait(60) != 0
        assert cluster.threads() == 1
    finally:
        cluster.close()


def test_a_run_does_not_go_where_it_would_be_read_along(
    tmp_path: Path, movie: Path
) -> None:
    there = {"dask": {"scheduler": "tcp://192.0.2.1:8786"}}
    with pytest.raises(ConfigError, match=r"not encrypted.* or say insecure: true"):
        sp.run({"source": sp.open(movie)}, tmp_path / "run", executor=there)


def test_a_cluster_without_workers_ends_the_run(
    tmp_path: Path, movie: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamproc.execution.dask._PATIENCE", 1.0)
    with scheduler(tmp_path, workers=0) as (address, _):
        there = {"dask": {"scheduler": address}}
        handle = sp.open(movie).map(np.mean, kind="value")
        with pytest.raises(ExecutorError, match="no dask worker for 1 s"):
            sp.run({"x": handle}, tmp_path / "run", executor=there)
    assert status(tmp_path / "run")["state"] == "stopped"


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


REPORTED = """
source: {simulation: {frames: 20, shape: [64, 64], live: false}}
graph: {smooth: {gaussian: 1}}
save: [smooth]
"""


def test_a_performance_report_is_written(tmp_path: Path, command: Command) -> None:
    (tmp_path / "p.yaml").write_text(REPORTED)
    dask = ["--executor", "{dask: {workers: 1}}", "--performance-report"]
    code, _, said = command("run", "p.yaml", "--to", "RUN", *dask, "report.html")
    assert code == 0, said
    assert "performance report in report.html" in said
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Dask Performance Report" in page
    assert "streamproc-" in page  # the names of our tasks
    assert not re.search(
        '<script[^>]* src="http', page
    )  # it can be read where there is no network


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("report.html", "--performance-report is dask's: it needs executor dask, got"),
        ("none/report.html --executor dask", "is no file in a folder that is there"),
        (". --executor dask", r"performance_report '.*' is no file in a folder"),
        (
            "r.html --executor dask --source '{files: {path: m.tif, batch: true}}'",
            "--performance-report is of one run, a batch is many",
        ),
    ],
)
def test_no_report(tmp_path: Path, command: Command, arguments: str, why: str) -> None:
    (tmp_path / "p.yaml").write_text(REPORTED)
    tifffile.imwrite(tmp_path / "m.tif", noise(2), photometric="minisblack")
    begin = ["run", "p.yaml", "--to", "RUN", "--performance-report"]
    code, _, said = command(*begin, *shlex.split(arguments))
    assert code == 2
    assert re.search(f"error: .*{why}", said)
    assert not (tmp_path / "RUN").exists()
