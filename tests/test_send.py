"""``streamproc send``: what it sends, what it says, how it ends."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zmq
from PIL import Image

import streamproc as sp
from streamproc import messages
from streamproc.messages import Message
from streamproc.plugins import make_source
from streamproc.sender import Sender
from tests.arrays import Arrays, noise
from tests.streams import free_port

Command = Callable[..., tuple[int, str, str]]
Socket = zmq.Socket[bytes]
SIMULATION = "{simulation: {frames: 12, shape: [32, 32], live: false}}"


@pytest.fixture
def address() -> str:
    """An address that nobody uses."""
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture
def receiver(address: str) -> Iterator[Socket]:
    """A socket that takes what is pushed to the address."""
    context = zmq.Context()
    with context.socket(zmq.PULL) as socket:
        socket.set(zmq.RCVTIMEO, 60_000)
        socket.connect(address)
        yield socket
    context.term()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """A thread that receives meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def received(socket: Socket) -> list[Message]:
    """Take frames up to the end's message."""
    found = []
    while (message := messages.read(socket.recv_multipart())) is not None:
        found.append(message)
    return found


@pytest.mark.parametrize("compression", ["none", "blosc"])
def test_a_recording_is_sent_whole(
    command: Command,
    address: str,
    receiver: Socket,
    pool: ThreadPoolExecutor,
    compression: str,
) -> None:
    got: Future[list[Message]] = pool.submit(received, receiver)
    code, out, err = command("send", SIMULATION, address, "--compression", compression)
    assert code == 0
    assert "12 sent" in out
    assert "MB, " in out
    assert err.splitlines() == [
        f"streamproc: sending to {address}, as soon as somebody listens"
    ]
    source = make_source(
        {"simulation": {"frames": 12, "shape": [32, 32], "live": False}}
    )
    found = got.result(60)
    assert [m.header.frame for m in found] == list(range(12))
    for number, message in enumerate(found):
        frame = source.read(number)
        np.testing.assert_array_equal(message.pixels(), frame.pixels)
        assert message.header.time == frame.time
        assert message.header.pixel_size_um == dict(source.info.pixel_size_um)


def test_so_many_to_one_who_waits(
    command: Command, address: str, pool: ThreadPoolExecutor
) -> None:
    context = zmq.Context()
    with context.socket(zmq.PULL) as socket:
        socket.set(zmq.RCVTIMEO, 60_000)
        socket.bind(address)
        got = pool.submit(received, socket)
        arguments = ("send", SIMULATION, address, "--connect", "--frames", "5")
        assert command(*arguments)[0] == 0
        assert [m.header.frame for m in got.result(60)] == list(range(5))
    context.term()


def test_a_topic_from_the_first_listener_on(
    command: Command, address: str, pool: ThreadPoolExecutor
) -> None:
    context = zmq.Context()
    with context.socket(zmq.SUB) as socket:
        socket.set(zmq.RCVTIMEO, 60_000)
        socket.subscribe("left")
        socket.connect(address)
        got = pool.submit(received, socket)
        arguments = ("send", SIMULATION, address, "--pattern", "pub", "--topic", "left")
        assert command(*arguments)[0] == 0
        assert [m.header.frame for m in got.result(60)] == list(range(12))
    context.term()


def test_what_cannot_be_read_is_left_out(
    command: Command, tmp_path: Path, address: str, receiver: Socket,
    pool: ThreadPoolExecutor,
) -> None:  # fmt: skip
    for number in range(4):
        Image.fromarray(noise(4)[number]).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    got = pool.submit(received, receiver)
    code, out, err = command("send", str(tmp_path / "*.png"), address)
    assert code == 3
    assert "3 sent, 1 unreadable" in out
    assert "error: 1 frame was not sent: " in err
    assert [m.header.frame for m in got.result(60)] == [0, 1, 3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nofile", "tcp://127.0.0.1:*"), "no such file: 'nofile'"),
        ((SIMULATION, "tcp://nowhere"), "cannot bind to 'tcp://nowhere': invalid arg"),
        ((SIMULATION, "tcp://127.0.0.1:*", "--topic", "a"), "only --pattern pub has"),
        (("{simulation: 5}", "tcp://127.0.0.1:*", "--fps", "3"), "--fps is for record"),
        ((SIMULATION, "tcp://127.0.0.1:*", "--compression", "gzip"), "gzip"),
    ],
)
def test_what_is_refused_is_one_line(
    command: Command, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = command("send", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_an_address_in_use_is_refused(command: Command) -> None:
    context = zmq.Context()
    with context.socket(zmq.PULL) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        code, _, err = command("send", SIMULATION, f"tcp://127.0.0.1:{port}")
    context.term()
    assert code == 2
    assert "address already in use" in err


def test_a_frame_that_no_message_takes_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "MOST", 1000)
    with pytest.raises(sp.SourceError, match=r"2,048 bytes is too large .* 1,000"):
        Sender(Arrays(noise(1)), "tcp://127.0.0.1:*")


def test_a_source_that_breaks_stops_it(address: str, receiver: Socket) -> None:
    sending = Sender(Arrays(noise(9), breaks_at=4), address)
    for number in range(4):
        message = messages.read(receiver.recv_multipart())
        assert message is not None
        assert message.header.frame == number
    with pytest.raises(sp.SourceError, match="the cable was pulled at frame 4"):
        sending.wait(60)
    assert sending.sent.frames == 4


def test_who_stops_while_nobody_listens_waits_no_longer(address: str) -> None:
    sending = Sender(Arrays(noise(3)), address)
    sending.stop()
    assert sending.wait(60)
    assert sending.sent.frames == 0


def test_messages_that_nobody_takes_are_told(address: str) -> None:
    large = np.zeros((6, 2048, 2048), np.uint16)  # more than fits between two sockets
    context = zmq.Context()
    with context.socket(zmq.PULL) as socket:
        socket.set_hwm(1)
        socket.connect(address)
        sending = Sender(Arrays(large), address, linger=0.2)
        with pytest.raises(TimeoutError, match=r"frames were not taken within 0\.2 s"):
            sending.wait(60)
        assert sending.sent.frames == 6
    context.term()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.slow
def test_ctrl_c_ends_it_and_says_so(address: str, receiver: Socket) -> None:
    endless = "{simulation: {frames: null, shape: [32, 32], fps: 50}}"
    process = subprocess.Popen(
        [sys.executable, "-m", "streamproc", "send", endless, address],
        stderr=subprocess.PIPE,
        text=True,
    )
    for number in range(5):
        message = messages.read(receiver.recv_multipart())
        assert message is not None
        assert message.header.frame == number
    process.send_signal(signal.SIGINT)
    drained = threading.Thread(target=_drain, args=(receiver, process))
    drained.start()
    _, err = process.communicate(timeout=60)
    drained.join()
    assert process.returncode == 130
    assert "interrupted: " in err.splitlines()[-1]


def _drain(socket: Socket, process: "subprocess.Popen[str]") -> None:
    while process.poll() is None:
        if socket.poll(20):
            assert messages.read(socket.recv_multipart()) is not None
