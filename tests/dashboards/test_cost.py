"""What viewers cost: short forms of ``python tests/benchmarks viewers stalled``."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamproc.dashboards.server import Dashboard

import streamproc as sp
from tests.benchmarks.dashboard import (
    STALLED,
    Seen,
    plots,
    running,
    served,
    view,
    watch,
)

pytestmark = pytest.mark.slow

#: Seconds that are watched; in them a page that pushed all to all would keep 60 MB.
SECONDS = 5.0


def test_who_never_reads_costs_no_memory_and_holds_up_nobody(tmp_path: Path) -> None:
    with (
        running(tmp_path, side=512, fps=15.0, frames=3000) as (run, _),
        served(run) as (page, process),
    ):
        cost = watch(page, process, SECONDS, viewers=1, stalled=STALLED)
        assert cost.growth < 8 << 20
        assert cost.pictures[0] > 1


@pytest.fixture
def here(live_run: Path) -> Iterator[Dashboard]:
    """A page of the live run that this process serves, in a thread."""
    made: list[Dashboard] = []
    is_ready = threading.Event()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def serve() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        made.append(Dashboard(live_run, port))
        made[0].run(lambda _: is_ready.set())
        made[0].close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert is_ready.wait(60)
    yield made[0]
    made[0].stop()
    thread.join()


def test_pictures_are_made_once_for_all_and_for_nobody_not_at_all(
    here: Dashboard, live_run: Path
) -> None:
    server, seen = here._server, [Seen() for _ in range(4)]

    tasks: list[asyncio.Task[None]] = []

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.01)
            for task in tasks:
                if task.done():
                    task.result()

    async def come_and_go() -> None:
        tasks.extend(asyncio.create_task(view(here.address, one)) for one in seen)
        tasks.extend(asyncio.create_task(plots(here.address)) for _ in seen)
        await until(lambda: all(one.pictures > 5 for one in seen))
        await until(lambda: connections() == len(seen))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tasks.clear()
        hub = here.runs.hub("")  # it was begun by those who looked
        await until(lambda: not hub.viewers and not server.get_sessions("/"))

    def connections() -> int:
        return sum(session.connection_count for session in server.get_sessions("/"))

    asyncio.run(asyncio.wait_for(come_and_go(), 120))
    hub = here.runs.hub("")
    frames = {frame for one in seen for frame in one.frames}
    # the last ones may have been on their way
    assert len(frames) <= hub.encoded <= len(frames) + 2
    # the run goes on, and nobody looks
    encoded, done = hub.encoded, sp.load(live_run).status()["done"]
    while sp.load(live_run).status()["done"] < done + 5:
        pass
    assert hub.encoded == encoded
