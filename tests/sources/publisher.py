"""A detector on pvAccess, in a process of its own: it publishes what it is told to.

``python publisher.py CHANNEL PORT SEARCH_PORT`` reads commands, one JSON object a line,
and answers each with a line once it is done.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def pixels(count: int, shape: tuple[int, ...] = (24, 32), dtype: str = "u2") -> Array:
    """Return the picture of a count, whatever type of number it is of."""
    drawn = np.random.default_rng(count).integers(0, 250, shape)
    return drawn.astype(dtype)


def structure(
    count: int,
    image: Array,
    *,
    sizes: tuple[int, ...] | None = None,
    seconds: float = 0.0,
    data_seconds: float = 0.0,
    codec: str = "",
    parameters: int | None = None,
    stored: Array | None = None,
    attributes: dict[str, Any] | None = None,
    dimension: dict[str, Any] | None = None,
) -> Any:
    """Return the NTNDArray of an image; ``stored`` is what it is compressed to."""
    from p4p import Value  # type: ignore[import-untyped]  # untyped
    from p4p.nt import NTNDArray  # type: ignore[import-untyped]  # untyped

    data = image if stored is None else stored
    told: dict[str, Any] = {
        "value": (NTNDArray._code2u[data.dtype.char], data.ravel()),
        "codec": {"name": codec, "parameters": parameters},
        "compressedSize": image.nbytes if stored is None else stored.nbytes,
        "uncompressedSize": image.nbytes,
        "uniqueId": (count + 2**31) % 2**32 - 2**31,  # 32 bits, with a sign
        "attribute": [
            {"name": name, "value": value} for name, value in (attributes or {}).items()
        ],
        "dimension": [
            {"size": n, "fullSize": n, "binning": 1, **(dimension or {})}
            for n in sizes or image.shape[::-1]
        ],
    }
    for name, when in (("timeStamp", seconds), ("dataTimeStamp", data_seconds)):
        whole, part = divmod(when, 1)
        told[name] = {"secondsPastEpoch": int(whole), "nanoseconds": round(part * 1e9)}
    return Value(NTNDArray().type, told)


class Publisher:
    """A publisher in another process, which can be killed and begun again."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.ports = (_free(socket.SOCK_STREAM), _free(socket.SOCK_DGRAM))
        self._process: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What leads clients to it, and to nobody else."""
        return {
            "EPICS_PVA_ADDR_LIST": "127.0.0.1",
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
            "EPICS_PVA_BROADCAST_PORT": str(self.ports[1]),
        }

    def begin(self, **command: Any) -> None:
        """Begin, with a picture that the channel holds."""
        ports = map(str, self.ports)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), self.channel, *ports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tell(**command)

    def tell(self, **command: Any) -> None:
        """Have it do something, and wait until it is done."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def kill(self) -> None:
        """End it as a power cut does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _free(kind: socket.SocketKind) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Detector:
    """Publishes to a channel."""

    def __init__(self, pv: Any) -> None:
        self._pv = pv
        self._stop = threading.Event()

    def publish(
        self,
        first: int = 0,
        count: int = 1,
        every: float = 0.0,
        counted: bool = True,
        shape: Sequence[int] = (24, 32),
        dtype: str = "u2",
    ) -> None:
        """Publish pictures, one every so many seconds."""
        for n in range(first, first + count):
            now = time.time()
            made = structure(
                n if counted else 0,
                pixels(n, tuple(shape), dtype),
                seconds=now,
                data_seconds=now - 0.5,
                attributes={"ColorMode": 0, "Gain": 1.5, "Sample": f"well {n}"},
            )
            if self._pv.isOpen():
                self._pv.post(made)
            else:
                self._pv.open(made)
            if self._stop.wait(every):
                return

    def begin(self, **how: Any) -> None:
        """Publish without an end, in the background."""
        self._stop.clear()
        threading.Thread(
            target=self.publish, kwargs={"count": 10**9, **how}, daemon=True
        ).start()

    def end(self) -> None:
        """Publish no more in the background."""
        self._stop.set()

    def scalar(self) -> None:
        """Be a channel of one number."""
        from p4p.nt import NTScalar

        self._pv.open(NTScalar("d").wrap(1.0))

    def empty(self) -> None:
        """Be a channel that has no picture yet."""
        from p4p import Value
        from p4p.nt import NTNDArray

        self._pv.open(Value(NTNDArray().type))


def main(channel: str, port: str, search_port: str) -> None:
    """Serve a channel on this computer alone, until the input ends."""
    from p4p.server import Server  # type: ignore[import-untyped]  # untyped
    from p4p.server.raw import SharedPV  # type: ignore[import-untyped]  # untyped

    pv = SharedPV()
    detector = _Detector(pv)
    configuration = {
        "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_SERVER_PORT": port,
        "EPICS_PVAS_BROADCAST_PORT": search_port,
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
    }
    with Server(providers=[{channel: pv}], conf=configuration, useenv=False):
        for line in sys.stdin:
            command = json.loads(line)
            getattr(detector, command.pop("do", "publish"))(**command)
            print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
