"""Cameras by RTSP: a real server, GStreamer's, in a process of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from streamproc.sources.camera import Camera
from streamproc.sources.video import Video

import streamproc as sp
from tests import streams
from tests.streams import Server

#: Debian: python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good
PYTHON = shutil.which("python3", path=os.defpath)
PROBE = "import gi; gi.require_version('GstRtspServer', '1.0')"
COUNT = 60


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that has GStreamer's RTSP server; skipped where there is none."""
    done = subprocess.run([str(PYTHON), "-c", PROBE], capture_output=True, check=False)
    if PYTHON is None or done.returncode:
        pytest.skip("GStreamer's RTSP server is not here (gir1.2-gst-rtsp-server-1.0)")
    return PYTHON


def made(path: Path, codec: str) -> Path:
    """Write a video of the known pictures, 20 per second, or of their JPEGs."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=20)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = streams.SHAPE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = 10
        # as cameras have none: of pictures out of order some are lost with others
        stream.codec_context.max_b_frames = 0
        for number in range(COUNT):
            if codec == "mjpeg":
                packet = av.Packet(streams.jpeg(number))
                packet.stream, packet.time_base = stream, Fraction(1, 20)
                packet.pts = packet.dts = number
                container.mux(packet)
                continue
            pixels = streams.picture(number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        if codec != "mjpeg":
            container.mux(stream.encode(None))
    return path


def serving(python: str, launch: str) -> Server:
    script = Path(streams.__file__).with_name("rtsp.py")
    port = streams.free_port()
    command = [python, str(script), str(port), f"( {launch} name=pay0 )"]
    server = Server(command, f"rtsp://127.0.0.1:{port}/stream")
    server.start()
    return server


@pytest.fixture
def server(python: str, tmp_path: Path) -> Iterator[Server]:
    """A camera's server that sends H.264."""
    video = made(tmp_path / "h264.mp4", "libx264")
    server = serving(python, f"filesrc location={video} ! qtdemux ! rtph264pay")
    yield server
    server.kill()


@pytest.mark.slow
def test_pictures_are_those_sent(server: Server, tmp_path: Path) -> None:
    camera = Camera(server.url, color="rgb")
    assert camera.info.fps == 20
    assert camera.info.metadata["codec"] == "h264"
    frames = camera.frames()
    items = list(islice(frames, COUNT))
    camera.stop()
    expected = list(Video(str(tmp_path / "h264.mp4"), color="rgb").frames())
    for number, (item, recorded) in enumerate(zip(items, expected, strict=True)):
        assert isinstance(item, sp.Frame)
        assert isinstance(recorded, sp.Frame)
        assert item.source_index == number
        np.testing.assert_array_equal(item.pixels, recorded.pixels)
    times = [i.metadata["stream_time"] for i in items[1:] if isinstance(i, sp.Frame)]
    np.testing.assert_allclose(np.diff(times), 1 / 20, atol=1e-3)


@pytest.mark.slow
def test_jpeg_by_rtp(python: str, tmp_path: Path) -> None:
    video = made(tmp_path / "jpeg.mov", "mjpeg")
    server = serving(python, f"filesrc location={video} ! qtdemux ! rtpjpegpay")
    try:
        camera = Camera(server.url)
        items = list(islice(camera.frames(), COUNT - 1))
        camera.stop()
    finally:
        server.kill()
    for number, item in enumerate(items):
        assert isinstance(item, sp.Frame)
        sent = np.frombuffer(streams.jpeg(number), np.uint8)
        expected = cv2.imdecode(sent, cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(item.pixels, expected)


@pytest.mark.slow
def test_a_camera_killed_and_started_again(server: Server) -> None:
    camera = Camera(server.url, stall_timeout=5.0)
    frames = camera.frames()
    before = list(islice(frames, 10))
    server.kill()
    after = list(until_gone(frames))
    server.start()
    after += list(islice(frames, 12))
    camera.stop()
    numbers = [
        streams.number_of(i.pixels)
        for i in (*before, *after)
        if isinstance(i, sp.Frame)
    ]
    again = numbers.index(0, 1)
    assert numbers == [*range(again), *range(len(numbers) - again)]
    (gap,) = [i for i in after if isinstance(i, sp.Gap)]
    assert gap.first_source_index == again
    assert "no connection for" in gap.reason


def until_gone(frames: Iterator[object]) -> Iterator[object]:
    """Yield what comes up to the news that the connection is broken."""
    for item in frames:
        yield item
        if isinstance(item, sp.Notice) and item.kind == "disconnect":
            return
