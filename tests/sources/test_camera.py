"""Cameras: real MJPEG streams of another process, and a device that is made up."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from streamproc.sources import _feed, _live
from streamproc.sources._feed import Threaded
from streamproc.sources._live import Disconnected, Picture, Spoiled
from streamproc.sources.camera import Camera

import streamproc as sp
from streamproc.frame import Array
from streamproc.testing import SourceContract
from tests import streams
from tests.streams import Server

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[Server]:
    """A camera's server, 100 pictures per second."""
    with streams.serving(100) as server:
        yield server


def taken(camera: Camera, count: int) -> list[sp.Frame]:
    """Return the first frames; the camera is closed."""
    try:
        frames = camera.frames()
        items = islice((i for i in frames if isinstance(i, sp.Frame)), count)
        return list(items)
    finally:
        frames.close()
        camera.close()


def decoded(number: int, flag: int) -> Array:
    """Return what OpenCV makes of the very bytes that were sent."""
    return np.asarray(cv2.imdecode(np.frombuffer(streams.jpeg(number), np.uint8), flag))


class TestContract(SourceContract):
    """The engine can rely on it."""

    @pytest.fixture(autouse=True)
    def _served(self, server: Server) -> None:
        self._server = server

    def make(self, folder: Path) -> sp.Source:
        """Return a camera that sends pictures."""
        camera: sp.Source = Camera(f"{self._server.url}/stream", roi=(0, 0, 40, 60))
        return camera


@pytest.mark.parametrize("kind", ["stream", "bare"])
def test_pictures_are_those_sent(server: Server, kind: str) -> None:
    frames = taken(Camera(f"{server.url}/{kind}"), 30)
    assert [streams.number_of(f.pixels) for f in frames] == list(range(30))
    assert [f.source_index for f in frames] == list(range(30))
    for number, frame in enumerate(frames):
        expected = decoded(number, cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(frame.pixels, expected)


def test_colours_are_those_sent(server: Server) -> None:
    url = f"{server.url}/stream"
    camera = Camera(url, color="rgb", pixel_size_um=0.5)
    assert (camera.info.axes, camera.info.shape) == ("cyx", (3, 48, 64))
    assert camera.info.pixel_size_um == {"y": 0.5, "x": 0.5}
    blue = taken(Camera(url, channel=2), 5)
    for number, frame in enumerate(taken(camera, 5)):
        expected = decoded(number, cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(
            np.moveaxis(frame.pixels, 0, 2), expected[..., ::-1]
        )
        np.testing.assert_array_equal(blue[number].pixels, expected[..., 0])


def test_a_part_of_every_third(server: Server) -> None:
    camera = Camera(f"{server.url}/stream", every_nth=3, roi=(8, 16, 30, 20))
    assert camera.info.shape == (30, 20)
    for n, frame in enumerate(taken(camera, 4)):
        whole = decoded(3 * n, cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(frame.pixels, whole[8:38, 16:36])


def test_a_picture_that_is_cut_off_is_lost(server: Server) -> None:
    camera = Camera(f"{server.url}/torn")
    items = list(islice(camera.frames(), 6))
    camera.stop()
    assert [type(i) for i in items] == [*[sp.Frame] * 3, sp.Gap, *[sp.Frame] * 2]
    gap = items[3]
    assert isinstance(gap, sp.Gap)
    assert (gap.first_source_index, gap.count) == (3, 1)
    assert "JPEG" in gap.reason


def test_a_stream_that_falls_silent_is_connected_anew(server: Server) -> None:
    camera = Camera(f"{server.url}/silent", stall_timeout=0.3)
    items = list(islice(camera.frames(), 9))
    camera.stop()
    kinds = [i.kind if isinstance(i, sp.Notice) else type(i) for i in items]
    assert kinds[:3] == [sp.Frame] * 3
    # ffmpeg's end of patience and ours are the same
    assert kinds[3] in ("stall", "disconnect")
    assert kinds[4:] == ["reconnect", sp.Gap, *[sp.Frame] * 3]
    gap = items[5]
    assert isinstance(gap, sp.Gap)
    assert (gap.count, "no connection for" in gap.reason) == (0, True)


def test_stop_is_heard_while_a_stream_is_silent(server: Server) -> None:
    camera = Camera(f"{server.url}/silent", stall_timeout=None)
    frames = camera.frames()
    assert len(list(islice(frames, 3))) == 3
    ended = threading.Event()

    def listen() -> None:
        for _ in frames:
            pass
        ended.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    camera.stop()
    assert ended.wait(30)


def test_a_camera_killed_and_started_again(tmp_path: Path, server: Server) -> None:
    raw = sp.open({"camera": {"url": f"{server.url}/stream"}})
    run = sp.start({"source": raw}, tmp_path / "run")
    _await(lambda: run.report().frames.done >= 20)
    server.kill()
    _await(lambda: "disconnect" in set(sp.load(run.path).events["kind"]))
    server.start()
    _await(lambda: "reconnect" in set(sp.load(run.path).events["kind"]))
    before = run.report().frames.done
    _await(lambda: run.report().frames.done >= before + 20)
    run.drain()
    report = run.wait(120)
    result, count = sp.load(run.path), report.frames.done
    (gap,) = result.gaps.to_dict("records")
    assert (gap["count"], "no connection for" in gap["reason"]) == (0, True)
    first = gap["first_source_index"]
    pictures = [np.asarray(result.images["source"][n]) for n in range(count)]
    numbers = [streams.number_of(picture) for picture in pictures]
    assert numbers == [*range(first), *range(count - first)]
    for number, picture in zip(numbers, pictures, strict=True):
        expected = decoded(number, cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(picture, expected)


def _await(condition: Callable[[], bool]) -> None:
    """Wait until something is so; pytest ends what never is."""
    while not condition():
        threading.Event().wait(0.02)


def test_a_picture_of_another_size_stops_the_run(
    tmp_path: Path, server: Server
) -> None:
    raw = sp.open({"camera": f"{server.url}/larger"})
    run = sp.start({"source": raw}, tmp_path / "run")
    with pytest.raises(sp.SourceError, match=r"frames change shape: .*96, 64"):
        run.wait(60)
    assert sp.load(run.path).status()["done"] == 5


def test_what_cannot_be_opened_is_one_line(server: Server, command: Command) -> None:
    url = f"{server.url}/page"
    secret = url.replace("://", "://me:secret@") + "?password=secret"
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        silent = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        for given, said in (
            ({"url": url}, "invalid data"),
            ({"url": secret}, "invalid data"),
            ({"url": silent, "stall_timeout": 0.3}, "nothing came|no picture within"),
            ({"url": f"http://127.0.0.1:{streams.free_port()}/"}, "refused"),
            ({"url": "http://127.0.0.1:1/x y"}, "refused"),
        ):
            with pytest.raises(sp.SourceError, match=said) as caught:
                sp.open({"camera": given})
            assert str(caught.value).startswith("camera http://127.0.0.1:")
            assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "clip.mp4"}, "no device number, path .*; a file is read by"),
        ({"url": "rtsp://x/", "fps": 5.0}, "size, fps and exposure are set in a dev"),
        ({"url": 0, "channel": 3}, "channels 0, 1 and 2, got 3"),
        ({"url": -1}, "url"),
        ({"url": 0, "stall_timeout": 0.0}, "stall_timeout must be > 0"),
    ],
)
def test_what_is_no_camera_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(sp.ConfigError, match=said):
        sp.open({"camera": given})


@pytest.mark.skipif(sys.platform != "linux", reason="devices are files on Linux only")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(sp.SourceError, match="camera 99: there is no device /dev/vid"):
        sp.open({"camera": 99})
    with pytest.raises(sp.SourceError, match="no device /dev/video98"):
        sp.open({"camera": "/dev/video98"})


class Capture:
    """OpenCV's side of a made up device: pictures of known numbers."""

    #: what it takes, by OpenCV's names; what it gives; how many before it is unplugged
    takes = frozenset({"FRAME_WIDTH", "FRAME_HEIGHT", "FPS", "EXPOSURE"})
    is_gray, left = False, 10

    def __init__(self, address: int, kind: int) -> None:
        self.settings: dict[int, float] = {}
        self.number, self.is_released = 0, False

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's
        return True

    def getBackendName(self) -> str:  # noqa: N802
        return "MADE_UP"

    def set(self, name: int, value: float) -> bool:
        known = any(name == getattr(cv2, f"CAP_PROP_{known}") for known in self.takes)
        if known:
            self.settings[name] = value
        return known

    def get(self, name: int) -> float:
        return self.settings.get(name, 0.0)

    def read(self) -> tuple[bool, Array | None]:
        if self.number == self.left:
            return False, None
        image = streams.picture(self.number)
        self.number += 1
        return True, image[..., 0] if self.is_gray else image[..., ::-1]

    def release(self) -> None:
        self.is_released = True


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[Capture]:
    """A device that is made up."""

    class Own(Capture):
        """Of this test alone."""

    monkeypatch.setattr(cv2, "VideoCapture", Own)
    monkeypatch.setattr("streamproc.sources._device._check_path", lambda address: None)
    monkeypatch.setattr(_live, "FIRST_WAIT", 0.001)
    return Own


def test_a_device_gives_gray_or_colours(device: type[Capture]) -> None:
    assert device.left == 10
    for number, frame in enumerate(taken(Camera("3", color="rgb"), 10)):
        np.testing.assert_array_equal(
            np.moveaxis(frame.pixels, 0, 2), streams.picture(number)
        )
    red = taken(Camera(3, channel=0), 1)[0].pixels
    np.testing.assert_array_equal(red, streams.picture(0)[..., 0])
    weights = np.array([0.299, 0.587, 0.114])
    gray = taken(Camera(3), 2)[1].pixels
    assert np.abs(gray - streams.picture(1) @ weights).max() <= 0.51
    device.is_gray = True
    np.testing.assert_array_equal(taken(Camera(3), 1)[0].pixels, red)


def test_a_device_takes_what_it_is_asked_for(device: type[Capture]) -> None:
    camera = Camera(0, size=(480, 640), fps=12.5, exposure=50.0)
    assert camera.info.fps == 12.5
    assert camera.info.metadata["driver"] == "MADE_UP"
    camera.close()
    device.takes = frozenset({"FPS"})
    with pytest.raises(sp.SourceError, match="no pictures of 480 x 640 pixels"):
        Camera(0, size=(480, 640))
    with pytest.raises(sp.SourceError, match="does not take exposure 50; leave it out"):
        Camera(0, exposure=50.0)


def test_a_device_that_is_unplugged_is_opened_again(device: type[Capture]) -> None:
    camera = Camera(0)
    items = list(islice(camera.frames(), 14))
    camera.stop()
    said = [i.message for i in items if isinstance(i, sp.Notice)]
    assert said[0] == "the device gives no more pictures"
    numbers = [i.source_index for i in items if isinstance(i, sp.Frame)]
    assert numbers == list(range(11))


class Flood:
    """A feed that gives pictures faster than anybody takes them."""

    def __init__(self) -> None:
        self.is_through = threading.Event()
        self.is_taken = threading.Event()

    def open(self) -> dict[str, object]:
        return {}

    def pictures(self) -> Iterator[Picture | Spoiled]:
        for number in range(30):
            yield Picture(np.full((2, 2), number, np.uint8))
        self.is_through.set()
        self.is_taken.wait(60)
        yield Picture(np.full((2, 2), 30, np.uint8))
        raise Disconnected("no more")

    def close(self) -> None:
        pass


def test_what_nobody_takes_in_time_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_feed, "_WAITING_BYTES", 0)
    flood = Flood()
    link = Threaded(flood)
    assert flood.is_through.wait(60)
    kept = [link.take(60) for _ in range(_feed._WAITING)]
    flood.is_taken.set()
    last = link.take(60)
    assert isinstance(last, Picture)
    counters = [given.counter for given in kept if isinstance(given, Picture)]
    assert (counters, last.counter) == (list(range(_feed._WAITING)), 30)
    assert int(last.pixels[0, 0]) == 30
    with pytest.raises(Disconnected, match="no more"):
        link.take(60)
    link.close()


@pytest.mark.slow
def test_a_run_is_killed_and_resumed(tmp_path: Path, server: Server) -> None:
    file = tmp_path / "camera.yaml"
    file.write_text(
        f"source: {{camera: {{url: '{server.url}/stream'}}}}\n"
        "graph: {mask: {threshold: otsu}}\nsave: [source, mask]\n"
    )
    command = [sys.executable, "-m", "streamproc"]
    run = tmp_path / "run"
    going = subprocess.Popen(
        [*command, "run", str(file), "--to", str(run), "--frames", "300"],
        stderr=subprocess.DEVNULL,
    )
    _await(lambda: _done(run) >= 20)
    going.kill()
    going.wait(60)
    assert going.returncode < 0, "it was over before it was killed"
    done = subprocess.run([*command, "resume", str(run)], timeout=240, check=False)
    assert done.returncode == 0
    result = sp.load(run)
    assert result.status()["done"] == 300
    (gap,) = result.gaps.to_dict("records")
    assert (gap["place"], gap["count"]) == ("restart", 0)
    first = list(result.frames["source_index"]).index(gap["first_source_index"])
    pictures = result.images["source"]
    numbers = [streams.number_of(np.asarray(pictures[n])) for n in range(300)]
    assert numbers == [*range(first), *range(300 - first)]


def _done(run: Path) -> int:
    """Return how many frames of a run are done; 0 before it has begun."""
    try:
        return int(sp.load(run).status()["done"])
    except (sp.RunFolderError, OSError):
        return 0
