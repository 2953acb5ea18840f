"""What the page costs: its process, and the run that it shows.

Viewers take all they are sent, as browsers do (pictures, numbers and plots), or never
read. What is told is processor time of the page's process, and frames per second of the
run; the viewers' own time is in this process.
"""

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import psutil
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from streamproc.errors import StreamprocError
from streamproc.folder import status

#: Viewers that never read, and seconds that pass before anything is measured.
STALLED, WARM = 8, 3.0
#: Bytes of the disk that a run which goes as fast as it can may fill.
_DISK = 20e9
LIVE = """\
source:
  simulation: {{frames: {frames}, shape: [{side}, {side}], fps: {fps}, live: true}}
graph:
  mask:   {{threshold: {{method: fixed, value: 400}}}}
  nuclei: {{label: {{}}}}
save: [source, nuclei]
limits: {{disk_reserve: 1GB}}
"""


@dataclass
class Seen:
    """What came to one viewer that takes all."""

    pictures: int = 0
    frames: list[int] = field(default_factory=list)


@dataclass
class Cost:
    """What some seconds of a page have cost."""

    seconds: float
    #: processor seconds of its process, and how its memory grew, in bytes
    cpu: float
    growth: int
    #: pictures per second, of each viewer that takes all
    pictures: list[float]

    @property
    def core(self) -> float:
        """The share of one core."""
        return self.cpu / self.seconds

    def __str__(self) -> str:
        rates = ", ".join(f"{rate:.1f}" for rate in self.pictures)
        each = 1e3 * self.cpu / max(self.seconds * max(self.pictures, default=0), 1)
        return (
            f"{self.core:6.1%} of a core ({each:.2f} ms per picture), "
            f"{rates or 'no'} pictures/s, memory {self.growth / 2**20:+.1f} MB"
        )


@contextmanager
def command(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run streamproc in a process of its own, ended afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streamproc", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def running(
    folder: Path, *, side: int, fps: float, frames: int
) -> Iterator[tuple[Path, psutil.Process]]:
    """Give a live run that goes on, with a frame done: its folder and its process."""
    file, run = folder / "live.yaml", folder / "RUN"
    file.write_text(LIVE.format(side=side, fps=fps, frames=frames))
    with command("run", str(file), "--to", str(run)) as process:
        while not done(run):
            assert process.poll() is None, "the run has ended"
            time.sleep(0.05)
        yield run, psutil.Process(process.pid)


@contextmanager
def served(run: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Give the address of a run's page, and its process."""
    with command("dashboard", str(run)) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        yield address, psutil.Process(process.pid)


def done(run: Path) -> int:
    """Return how many frames of a run are done; 0 before it has a ledger."""
    with suppress(StreamprocError):
        return int(status(run)["done"])
    return 0


def watch(
    page: str, process: psutil.Process, seconds: float, *, viewers: int, stalled: int
) -> Cost:
    """Look at a page with some viewers for a while; return what it has cost."""
    return asyncio.run(_watch(page, process, seconds, viewers, stalled))


async def _watch(
    page: str, process: psutil.Process, seconds: float, viewers: int, stalled: int
) -> Cost:
    seen = [Seen() for _ in range(viewers)]
    stuck = [await stall(page) for _ in range(stalled)]
    tasks = [asyncio.create_task(view(page, one)) for one in seen]
    tasks += [asyncio.create_task(plots(page)) for _ in seen]
    try:
        await asyncio.sleep(WARM)
        before, pictures = used(process), [one.pictures for one in seen]
        memory, begin = process.memory_info().rss, time.perf_counter()
        await asyncio.sleep(seconds)
        cpu, took = used(process) - before, time.perf_counter() - begin
        growth = process.memory_info().rss - memory
        came = [one.pictures - n for one, n in zip(seen, pictures, strict=True)]
        for task in tasks:
            if task.done():
                task.result()  # a viewer that broke is no viewer
        return Cost(took, cpu, growth, [n / took for n in came])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in stuck:
            writer.transport.abort()


def used(process: psutil.Process) -> float:
    """Return the processor seconds of a process, user and system."""
    times = process.cpu_times()
    return times.user + times.system


async def view(page: str, seen: Seen) -> None:
    """Take pictures and numbers as the page's script does."""
    async with connected(page, "live") as connection:
        while (message := await connection.read_message()) is not None:
            if isinstance(message, bytes):
                frame = int.from_bytes(message[4:8], "little")
                seen.pictures += 1
                seen.frames.append(frame)
                await connection.write_message(json.dumps({"drawn": frame}))
            elif json.loads(message)["type"] == "stats":
                await connection.write_message('{"heard": true}')


async def plots(page: str) -> None:
    """Take what Bokeh sends to the plots of one page."""
    loop = asyncio.get_running_loop()

    def fetch() -> str:
        with urlopen(page) as answer:
            return str(answer.read().decode())

    html = await loop.run_in_executor(None, fetch)
    found = re.search(r'"token":"([^"]+)"', html)
    assert found is not None, "the page has no plots"
    async with connected(page, "ws", ["bokeh", found[1]]) as connection:
        while await connection.read_message() is not None:
            pass


@asynccontextmanager
async def connected(
    page: str, path: str, protocols: list[str] | None = None
) -> AsyncIterator[WebSocketClientConnection]:
    """Open a socket of the page, closed afterwards."""
    request = HTTPRequest(
        page.replace("http", "ws") + path, headers={"Origin": page.rstrip("/")}
    )
    connection = await websocket_connect(request, subprotocols=protocols)
    try:
        yield connection
    finally:
        connection.close()
        while await connection.read_message() is not None:
            pass  # what was under way


async def stall(page: str) -> asyncio.StreamWriter:
    """Open a socket of the live picture and never read from it."""
    address = page.removeprefix("http://").rstrip("/")
    host, _, port = address.rpartition(":")
    # a small buffer, so that it is full at once
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 10)
    lines = [
        "GET /live HTTP/1.1",
        f"Host: {address}",
        f"Origin: http://{address}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: c3RyZWFtcHJvYyBzdGFsbA==",
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    await writer.drain()
    assert b"101" in await reader.readline()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return writer


def bench_viewers(root: Path, seconds: float, side: int) -> list[Cost]:
    """Measure what one viewer and four cost the page's process, at 30 pictures/s."""
    print(f"\nthe page of {side}² at 30 frames/s, {seconds:g} s each")
    frames = round(30 * (4 * (seconds + WARM) + 60))
    found = []
    with running(root, side=side, fps=30.0, frames=frames) as (run, _):
        for viewers in (1, 4, 1, 4):
            with served(run) as (page, process):
                cost = watch(page, process, seconds, viewers=viewers, stalled=0)
            print(f"  {viewers} viewer{'s' * (viewers > 1):1s} {cost}", flush=True)
            found.append(cost)
    one, four = found[0].cpu + found[2].cpu, found[1].cpu + found[3].cpu
    print(f"  four / one: {four / max(one, 1e-9):.2f}")
    return found


def bench_stalled(root: Path, seconds: float, side: int, rounds: int) -> list[Cost]:
    """Measure runs with and without a page that 8 viewers do not read from."""
    print(
        f"\n{rounds} pairs of runs of {side}², as fast as they go, {seconds:g} s each: "
        f"without a page, and with one, {STALLED} viewers that never read and one that "
        "takes all"
    )
    speeds: dict[bool, list[float]] = {False: [], True: []}
    efforts: dict[bool, list[float]] = {False: [], True: []}
    frames = int(_DISK / (side * side * 2 * 4 / 3))
    costs = []
    for number in range(rounds):
        for has_page in (number % 2 == 0, number % 2 == 1):
            folder = root / f"stalled{number}{has_page}"
            folder.mkdir()
            with ExitStack() as stack:
                one = running(folder, side=side, fps=1000.0, frames=frames)
                run, engine = stack.enter_context(one)
                cost = None
                if has_page:
                    page, process = stack.enter_context(served(run))
                before, begin, cpu = done(run), time.perf_counter(), used(engine)
                if has_page:
                    cost = watch(page, process, seconds, viewers=1, stalled=STALLED)
                    costs.append(cost)
                else:
                    time.sleep(seconds + WARM)
                cpu, took = used(engine) - cpu, time.perf_counter() - begin
                came = done(run) - before
            shutil.rmtree(folder)
            speeds[has_page].append(came / took)
            efforts[has_page].append(1e3 * cpu / max(came, 1))
            named = "with the page" if has_page else "without"
            print(
                f"  {named:14s} {came / took:7.1f} frames/s, "
                f"{efforts[has_page][-1]:6.2f} ms of processor per frame  {cost or ''}",
                flush=True,
            )
    tell("frames/s", speeds)
    tell("ms of processor per frame", efforts)
    return costs


def tell(what: str, figures: Mapping[bool, Sequence[float]]) -> None:
    """Print the medians, and how far rounds of the same kind lie apart."""
    middle = {kind: statistics.median(found) for kind, found in figures.items()}
    spread = max(max(found) - min(found) for found in figures.values())
    print(
        f"  {what}, medians: {middle[True]:.2f} with, {middle[False]:.2f} without: "
        f"{middle[True] / middle[False]:.3f}; rounds of a kind differ by up to "
        f"{spread / middle[False]:.1%}"
    )
