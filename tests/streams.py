"""Known pictures as a camera's server sends them: MJPEG by HTTP, a process of its own.

``python streams.py PORT FPS`` serves pictures, numbered from 0 in every connection:
``/stream`` as they are, ``/bare`` without their lengths, ``/torn`` with number 3 cut
off, ``/larger`` with twice as many rows from number 5 on, ``/silent`` with nothing
after number 2, ``/page`` as no pictures at all.
"""

import asyncio
import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from streamproc.frame import Array

#: Height and width of a picture.
SHAPE = (48, 64)
_BITS = 24


def picture(number: int) -> Array:
    """Return colour picture ``number``, (Y, X, C) uint8, the number in its corner."""
    rows, columns = np.indices(SHAPE)
    planes = [4 * rows + number, 3 * columns + 2 * number, rows + columns + 5 * number]
    image = np.stack(planes, axis=-1) % 200 + 20
    for bit in range(_BITS):
        y, x = divmod(bit, 8)
        image[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = 255 * (number >> bit & 1)
    return image.astype(np.uint8)


def number_of(gray: Array) -> int:
    """Return the number in the corner of a gray picture."""
    total = 0
    for bit in range(_BITS):
        y, x = divmod(bit, 8)
        part = gray[8 * y + 2 : 8 * y + 6, 8 * x + 2 : 8 * x + 6]
        total += int(part.mean() > 127) << bit
    return total


def jpeg(number: int, rows: int = 1) -> bytes:
    """Return picture ``number`` as the bytes that are sent, ``rows`` times as high."""
    file = io.BytesIO()
    image = np.repeat(picture(number), rows, axis=0)
    Image.fromarray(image).save(file, "JPEG", quality=90)
    return file.getvalue()


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Server:
    """A server's process, which may be killed and started again at its port."""

    command: list[str]
    url: str
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(self.command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == b"ready"

    def kill(self) -> None:
        """Kill it, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


@contextmanager
def serving(fps: float) -> Iterator[Server]:
    """Serve pictures while the context is open."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).resolve()), str(port), str(fps)]
    server = Server(command, f"http://127.0.0.1:{port}")
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _part(kind: str, number: int) -> bytes:
    """Return picture ``number`` as a part of what is sent."""
    data = jpeg(number, 2 if kind == "larger" and number >= 5 else 1)
    if kind == "torn" and number == 3:
        data = data[: len(data) // 2]
    length = b"" if kind == "bare" else b"Content-Length: %d\r\n" % len(data)
    return b"--part\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n" + data + b"\r\n"


async def _serve(port: int, fps: float) -> None:
    import tornado.iostream
    import tornado.web

    class Stream(tornado.web.RequestHandler):
        """Pictures from 0 on, for as long as somebody listens."""

        async def get(self, kind: str) -> None:
            if kind == "page":
                self.write("<html>no pictures here</html>")
                return
            self.set_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
            number = 0
            while True:
                if kind == "silent" and number == 3:
                    await asyncio.sleep(3600)
                self.write(_part(kind, number))
                try:
                    await self.flush()
                except tornado.iostream.StreamClosedError:
                    return
                number += 1
                await asyncio.sleep(1 / fps)

    tornado.web.Application([("/(.*)", Stream)]).listen(port, "127.0.0.1")
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
