"""Frames over ZeroMQ: a sender of this process, or the real one that may be killed."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

import numpy as np
import psutil
import pytest
import yaml
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from streamproc.sources.zmq import Zmq

import streamproc as sp
from streamproc import messages
from streamproc.messages import Compression
from streamproc.plugins import make_source
from streamproc.testing import SourceContract
from tests.same_run import assert_same_array, rows
from tests.streams import free_port

Socket = zmq.Socket[bytes]
SHAPE = (6, 5)


@pytest.fixture
def publisher() -> Iterator[Socket]:
    """A socket that publishes, and hears who listens."""
    context = zmq.Context()
    with context.socket(zmq.XPUB) as socket:
        socket.set(zmq.LINGER, 0)
        yield socket
    context.term()


@pytest.fixture
def address() -> str:
    """An address that nobody uses."""
    return f"tcp://127.0.0.1:{free_port()}"


class Outbox:
    """Pushes messages to who comes to an address, in a thread, as soon as one does."""

    def __init__(self, address: str) -> None:
        self._address, self._ended = address, threading.Event()
        self._messages: SimpleQueue[Iterator[list[Any]]] = SimpleQueue()
        self._is_bound = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._is_bound.wait(60)

    def send(self, *messages: list[Any]) -> None:
        """Send messages, in order."""
        self.send_all(iter(messages))

    def send_all(self, messages: Iterator[list[Any]]) -> None:
        """Send messages, of which there may be no end."""
        self._messages.put(messages)

    def close(self) -> None:
        """Send nothing more."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        context = zmq.Context()
        socket = context.socket(zmq.PUSH)
        socket.set(zmq.SNDTIMEO, 20)
        socket.bind(self._address)
        self._is_bound.set()
        while not self._ended.is_set():
            with suppress(Empty):
                for message in self._messages.get(timeout=0.02):
                    self._push(socket, message)
                    if self._ended.is_set():
                        break
        context.destroy(linger=0)

    def _push(self, socket: Socket, message: list[Any]) -> None:
        while not self._ended.is_set():
            with suppress(zmq.Again):
                socket.send_multipart(message)
                return


@pytest.fixture
def sender(address: str) -> Iterator[Outbox]:
    """Who pushes messages to who comes to the address."""
    outbox = Outbox(address)
    yield outbox
    outbox.close()


def pixels(number: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return the picture of a number, noise that no other one has."""
    return np.random.default_rng(number).integers(0, 65536, SHAPE, np.uint16)


def message(number: int, compression: Compression = "none") -> list[Any]:
    """Return the message of a picture."""
    frame = sp.Frame(pixels(number), number, 1000.0 + number, {"exposure_ms": number})
    info = sp.SourceInfo(
        shape=SHAPE,
        dtype=np.dtype("uint16"),
        axes="yx",
        identity="test",
        pixel_size_um={"y": 0.5, "x": 0.25},
        fps=20.0,
    )
    return messages.encode(frame, info, compression)


class TestContract(SourceContract):
    """The engine can rely on it."""

    @pytest.fixture(autouse=True)
    def _sending(self, sender: Outbox, address: str) -> None:
        self._address = address
        junk = [b"{}", b"junk"]
        sender.send_all(junk if n % 7 == 3 else message(n) for n in count())

    def make(self, folder: Path) -> sp.Source:
        """Return a source of frames without an end."""
        source: sp.Source = Zmq(self._address, high_water=4, roi=(1, 0, 5, 4))
        return source


@pytest.mark.parametrize("compression", ["none", "blosc"])
def test_frames_are_those_sent(
    sender: Outbox, address: str, compression: Compression
) -> None:
    sender.send(*(message(n, compression) for n in range(50)), messages.end())
    source = Zmq(address)
    info = source.info
    assert (info.shape, info.dtype, info.axes) == (SHAPE, np.dtype("uint16"), "yx")
    assert (info.pixel_size_um, info.fps) == ({"y": 0.5, "x": 0.25}, 20.0)
    items = list(source.frames())
    for number, item in enumerate(items):
        assert isinstance(item, sp.Frame)
        assert (item.source_index, item.time) == (number, 1000.0 + number)
        assert item.metadata == {"exposure_ms": number}
        np.testing.assert_array_equal(item.pixels, pixels(number))
    assert len(items) == 50


def numbers(items: Iterator[object]) -> list[int | tuple[int, int]]:
    """Return indices of frames and bounds of gaps; notices are left out."""
    found: list[int | tuple[int, int]] = []
    for item in items:
        if isinstance(item, sp.Gap):
            found.append((item.first_source_index, item.last_source_index))
        elif isinstance(item, sp.Frame):
            found.append(item.source_index)
    return found


def test_numbers_left_out_are_lost(sender: Outbox, address: str) -> None:
    sender.send(*map(message, (5, 6, 9, 10, 20)), messages.end())
    found = numbers(Zmq(address).frames())
    assert found == [5, 6, (7, 8), 9, 10, (11, 19), 20]


def test_one_who_binds_and_hears_one_topic(publisher: Socket, address: str) -> None:
    publisher.connect(address)
    ended = threading.Event()

    def run() -> None:
        assert publisher.recv() == b"\x01left"
        for number in range(20):
            topic = b"left" if number % 2 else b"right"
            publisher.send_multipart([topic, *message(number)])
        publisher.send_multipart([b"left", *messages.end()])
        ended.wait(60)

    thread = threading.Thread(target=run)
    thread.start()
    source = Zmq(address, socket="sub", bind=True, topic="left")
    items = list(source.frames())
    ended.set()
    thread.join()
    frames = [i for i in items if isinstance(i, sp.Frame)]
    assert [f.source_index for f in frames] == list(range(1, 20, 2))
    lost = [i.count for i in items if isinstance(i, sp.Gap)]
    assert lost == [1] * 9  # the other topic's


def test_what_a_slow_subscriber_misses_is_counted(
    publisher: Socket, address: str
) -> None:
    publisher.set_hwm(3)
    # else all of it waits in the system's buffers
    publisher.set(zmq.SNDBUF, 4096)
    publisher.bind(address)

    def run() -> None:
        publisher.recv()
        for number in range(20_000):
            publisher.send_multipart(message(number))

    thread = threading.Thread(target=run)
    thread.start()
    source = Zmq(address, socket="sub", high_water=3)
    thread.join()
    taken: list[int] = []
    lost = 0
    frames = source.frames()
    sentinel = threading.Thread(target=_repeat, args=(publisher, source))
    sentinel.start()
    for item in frames:
        if isinstance(item, sp.Gap):
            assert item.first_source_index == taken[-1] + 1
            assert item.last_source_index == item.first_source_index + item.count - 1
            lost += item.count
        elif isinstance(item, sp.Frame):
            taken.append(item.source_index)
            np.testing.assert_array_equal(item.pixels, pixels(item.source_index))
            if item.source_index >= 20_000:
                break
    source.stop()
    sentinel.join()
    assert taken[0] == 0
    assert lost > 0
    assert len(taken) + lost == taken[-1] + 1


def _repeat(publisher: Socket, source: Zmq) -> None:
    """Send frames from 20,000 on, until the source has stopped."""
    for number in count(20_000):
        publisher.send_multipart(message(number))
        if source._stopping.wait(0.005):
            return


JUNK = [
    ([b""], "a header and pixels"),
    ([b"{}", b""], "the header cannot be read"),
    ([message(5)[0], b"short"], "come in 5 bytes, 60 are expected"),
    ([message(6)[0].replace(b"uint16", b"object"), b""], "Invalid enum value"),
]


def test_messages_that_are_no_frames_are_lost(sender: Outbox, address: str) -> None:
    sender.send(*map(message, range(3)))
    for parts, _ in JUNK:
        sender.send(parts)
    sender.send(*map(message, range(3 + len(JUNK), 10)), messages.end())
    items = list(Zmq(address).frames())
    assert numbers(iter(items)) == [0, 1, 2, (3, 3), (4, 4), (5, 5), (6, 6), 7, 8, 9]
    gaps = [i for i in items if isinstance(i, sp.Gap)]
    for gap, (_, said) in zip(gaps, JUNK, strict=True):
        assert said in gap.reason
        assert gap.place == "network"


@pytest.fixture(scope="module")
def flooded() -> Iterator[tuple[Outbox, Iterator[object]]]:
    """A sender, and frames from it, for all of the examples."""
    address = f"tcp://127.0.0.1:{free_port()}"
    outbox = Outbox(address)
    outbox.send(message(0))
    source = Zmq(address)
    frames = source.frames()
    assert numbers(islice(frames, 1)) == [0]
    yield outbox, frames
    source.stop()
    list(frames)
    outbox.close()


json_values = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
headers = st.fixed_dictionaries(
    {"htype": st.sampled_from(["image-1.0", "image-2.0"]) | st.text(max_size=9)},
    optional={
        "frame": st.integers(0, 2**53) | json_values,
        "shape": st.lists(st.integers(-2, 2**40), max_size=5) | json_values,
        "type": st.sampled_from(["uint16", "O", "object", "float64"]) | json_values,
        "compression": st.sampled_from(["none", "blosc", "pickle"]) | json_values,
        "axes": st.sampled_from(["yx", "cyx", "xyz"]) | json_values,
        "metadata": json_values,
    },
).map(lambda header: json.dumps(header).encode())
parts = st.lists(headers | st.binary(max_size=80), min_size=1, max_size=4)


@settings(max_examples=200)
@given(st.lists(parts.filter(lambda p: b"series_end" not in p[0]), max_size=5))
def test_a_flood_of_junk_harms_nothing(
    flooded: tuple[Outbox, Iterator[object]], junk: list[list[bytes]]
) -> None:
    sender, frames = flooded
    sender.send(*junk, message(2**40))
    for item in frames:
        if isinstance(item, sp.Frame):
            break
        assert isinstance(item, sp.Gap)
        assert item.count >= 0
        assert "\n" not in item.reason
    assert isinstance(item, sp.Frame)
    np.testing.assert_array_equal(item.pixels, pixels(2**40))


def test_a_frame_of_another_shape_stops_the_run(
    sender: Outbox, address: str, tmp_path: Path
) -> None:
    larger = sp.Frame(np.zeros((7, 5), np.uint16), 10)
    info = sp.SourceInfo(
        shape=(7, 5), dtype=np.dtype("uint16"), axes="yx", identity="test"
    )
    sender.send(*map(message, range(10)), messages.encode(larger, info, "blosc"))
    run = sp.start({"source": sp.open({"zmq": address})}, tmp_path / "run")
    said = "frames change shape: frame 10 .* is 7 x 5 .yx. uint16, those .* 6 x 5"
    with pytest.raises(sp.SourceError, match=said):
        run.wait(60)
    assert sp.load(run.path).status()["done"] == 10
    sender.send(*map(message, range(11, 15)), messages.end())
    report = sp.resume(run.path)
    assert isinstance(report, sp.Report)
    assert (report.frames.done, report.frames.lost) == (14, 1)
    stored = np.asarray(sp.load(run.path).images["source"])
    sent = [n for n in range(15) if n != 10]
    np.testing.assert_array_equal(stored, np.stack([pixels(n) for n in sent]))


def test_it_says_why_it_cannot_begin(
    sender: Outbox, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(sp.SourceError, match=r"no frame within 0\.1 s; is it the addr"):
        sp.open({"zmq": {"address": address, "stall_timeout": 0.1}})
    with pytest.raises(sp.SourceError, match=r"cannot bind .* address already in use"):
        sp.open({"zmq": {"address": address, "bind": True}})
    with pytest.raises(sp.SourceError, match="cannot connect to 'here': invalid arg"):
        sp.open({"zmq": "here"})
    with pytest.raises(sp.ConfigError, match="topic 'a' needs socket: sub"):
        sp.open({"zmq": {"address": address, "topic": "a"}})
    monkeypatch.setitem(sys.modules, "zmq", None)
    with pytest.raises(sp.MissingDependency, match=r"install 'streamproc\[zmq\]'"):
        sp.open({"zmq": address})


# each with a sender of its own: one that was listened to may still send to who has left


def test_it_says_that_the_sender_ended_before_its_first_frame(
    sender: Outbox, address: str
) -> None:
    sender.send(messages.end())
    with pytest.raises(sp.SourceError, match="ended before its first frame"):
        sp.open({"zmq": address})


def test_it_says_that_what_comes_is_no_frames(sender: Outbox, address: str) -> None:
    sender.send(*[[b"{}", b""]] * 100)
    with pytest.raises(sp.SourceError, match="no frames, but 100 other messages, the"):
        sp.open({"zmq": address})


def test_stop_is_heard_while_nothing_is_sent(sender: Outbox, address: str) -> None:
    sender.send(message(0))
    source = Zmq(address)
    thread = threading.Thread(target=list, args=(source.frames(),), daemon=True)
    thread.start()
    source.stop()
    thread.join(30)
    assert not thread.is_alive()


class Program:
    """The command line in a process of its own."""

    def __init__(self, *arguments: str | Path, log: Path) -> None:
        self._log = log.open("w")
        self._process = psutil.Popen(
            [sys.executable, "-m", "streamproc", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )

    def kill(self) -> None:
        """Kill it, as a power cut does."""
        self._process.kill()
        self._process.wait(60)
        self._log.close()

    def wait(self) -> int:
        """Return its exit code."""
        code = self._process.wait(240)
        self._log.close()
        return int(code)


def _await(condition: Callable[[], bool]) -> None:
    """Wait until something is so; pytest ends what never is."""
    while not condition():
        threading.Event().wait(0.02)


def _done(run: Path) -> int:
    """Return how many frames of a run are done; 0 before it has begun."""
    try:
        return int(sp.load(run).status()["done"])
    except (sp.RunFolderError, OSError):
        return 0


RECORDING = "{simulation: {frames: 300, shape: [64, 64], live: false}}"
PIPELINE = """
source: {zmq: {address: "%s", socket: %s}}
graph: {mask: {threshold: otsu}}
save: [source, mask]
"""


@pytest.fixture
def pipeline(tmp_path: Path, address: str) -> Callable[..., Path]:
    """Write a pipeline that takes from the address."""

    def write(socket: str = "pull") -> Path:
        path = tmp_path / "pipeline.yaml"
        path.write_text(PIPELINE % (address, socket))
        return path

    return write


def _assert_simulated(result: sp.Results, sent: list[int]) -> None:
    """Compare a run's frames with what the simulation gave at these positions."""
    simulation = make_source(yaml.safe_load(RECORDING))
    stored = result.images["source"]
    for number, position in enumerate(sent):
        expected = simulation.read(position).pixels
        np.testing.assert_array_equal(np.asarray(stored[number]), expected)


@pytest.mark.slow
def test_a_chain_of_two_is_the_direct_run(
    tmp_path: Path, address: str, pipeline: Callable[..., Path]
) -> None:
    file = pipeline()
    sending = Program(
        "send", RECORDING, address, "--compression", "blosc", log=tmp_path / "send"
    )
    chained = Program("run", file, "--to", tmp_path / "chained", log=tmp_path / "run")
    assert (chained.wait(), sending.wait()) == (0, 0)
    direct = Program(
        "run", file, "--to", tmp_path / "direct", "--source", RECORDING,
        log=tmp_path / "direct.log",
    )  # fmt: skip
    assert direct.wait() == 0
    for table in ("frames", "gaps"):
        assert rows(tmp_path / "chained", table) == rows(tmp_path / "direct", table)
    for name in ("source/0", "source/labels/mask/0"):
        assert_same_array(tmp_path / "direct", tmp_path / "chained", name)


@pytest.mark.slow
@pytest.mark.parametrize("socket", ["pull", "sub"])
def test_a_sender_killed_and_started_again(
    tmp_path: Path, address: str, pipeline: Callable[..., Path], socket: str
) -> None:
    pattern: Literal["push", "pub"] = "push" if socket == "pull" else "pub"
    arguments = ("send", RECORDING, address, "--pattern", pattern, "--fps", "30")
    first = Program(*arguments, log=tmp_path / "first")
    run = tmp_path / "chained"
    chained = Program("run", pipeline(socket), "--to", run, log=tmp_path / "run")
    _await(lambda: _done(run) >= 20)
    first.kill()
    _await(lambda: "disconnect" in set(sp.load(run).events["kind"]))
    again = Program(*arguments, log=tmp_path / "again")
    assert (chained.wait(), again.wait()) == (0, 0)
    result = sp.load(run)
    unknown = [g for g in result.gaps.to_dict("records") if g["count"] == 0]
    (gap,) = unknown
    assert "no connection for" in gap["reason"]
    before = gap["first_source_index"]
    lost = int(result.gaps["count"].sum())
    done = result.status()["done"]
    assert done + lost == before + 300
    indices = [int(index) for index in result.frames["source_index"]]
    _assert_simulated(result, [n if n < before else n - before for n in indices])


@pytest.mark.slow
def test_a_receiver_killed_and_resumed(
    tmp_path: Path, address: str, pipeline: Callable[..., Path]
) -> None:
    sending = Program("send", RECORDING, address, "--fps", "30", log=tmp_path / "send")
    run = tmp_path / "chained"
    chained = Program("run", pipeline(), "--to", run, log=tmp_path / "run")
    _await(lambda: _done(run) >= 20)
    chained.kill()
    chained = Program("resume", run, log=tmp_path / "resume")
    assert (chained.wait(), sending.wait()) == (0, 0)
    result = sp.load(run)
    done, lost = result.status()["done"], int(result.gaps["count"].sum())
    assert done + lost == 300
    assert done >= 20
    assert set(result.gaps["place"]) <= {"restart"}
    _assert_simulated(result, [int(index) for index in result.frames["source_index"]])
