"""Any graph on any source: every executor gives the same bits and the same rows."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client
from hypothesis import given, settings

from streamproc.steps import built_in, operators
from tests.same_run import assert_same_run
from tests.strategies import LEFT_OUT, PARAMETERS, Pipeline, pipelines

REPOSITORY = Path(__file__).parents[2]
#: ``ANY_GRAPH=500 pytest tests/system/test_any_graph.py`` tries more.
EXAMPLES = int(os.environ.get("ANY_GRAPH", "20"))


@contextmanager
def begun(module: str, *arguments: str) -> Iterator[None]:
    """Run one of dask's programs beside the tests; it imports what they import."""
    command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
    there = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=there) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one dask cluster for all examples; return its address."""
    folder = tmp_path_factory.mktemp("cluster")
    told = folder / "scheduler.json"
    place = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(told)]
    hands = ["--nworkers", "2", "--nthreads", "1", "--local-directory", str(folder)]
    with (
        begun("dask_scheduler", *place, "--port", "0"),
        begun("dask_worker", *place, *hands),
    ):
        with Client(scheduler_file=str(told), timeout=60, set_as_default=False) as seen:  # type: ignore[no-untyped-call]
            seen.wait_for_workers(2, timeout=60)
            address = str(seen.scheduler.address)
        yield address


def test_graphs_are_drawn_of_every_operator() -> None:
    drawn = {"map", *PARAMETERS, *LEFT_OUT}
    assert drawn == {name for name in operators() if built_in(name)}


@settings(max_examples=EXAMPLES, derandomize=False, print_blob=True)
@given(pipeline=pipelines())
def test_every_executor_gives_the_same(scheduler: str, pipeline: Pipeline) -> None:
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        pipeline.run(here / "inline", "inline")
        for other, executor in (
            ("threads", {"threads": {"workers": 3}}),
            ("dask", {"dask": {"scheduler": scheduler}}),
        ):
            pipeline.run(here / other, executor)
            assert_same_run(here / "inline", here / other)
