"""Cameras of GenICam: Aravis' own simulated one, on the loopback network."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from streamproc.sources import _aravis
from streamproc.sources._live import DeviceClock
from streamproc.sources.genicam import Genicam

import streamproc as sp
from streamproc.errors import MissingDependency, SourceError
from streamproc.testing import SourceContract
from tests.sources.commands import killed_and_resumed

# the first test waits for its turn
pytestmark = pytest.mark.timeout(900)

Array = NDArray[Any]
PROGRAM = "arv-fake-gv-camera-0.8"
#: One that another run of these tests left behind has another number.
SERIAL = f"GV{os.getpid()}"
ID = f"Aravis-Fake-{SERIAL}"
#: There is one port for cameras: who listens here has it.
TURN = 39560


def missing() -> str:
    """Return what is not here for a camera to be simulated."""
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not installed (Debian: aravis-tools)"
    try:
        _aravis._library()
    except MissingDependency as error:
        return str(error)
    return ""


with_camera = pytest.mark.skipif(bool(missing()), reason=missing())


class Simulated:
    """A camera in a process of its own, on this computer alone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, lost: int = 0) -> None:
        """Switch it on; of a thousand packets so many never leave it."""
        self._process = subprocess.Popen(
            [PROGRAM, "-i", "127.0.0.1", "-s", SERIAL, "-r", str(lost)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        aravis, _ = _aravis._library()
        for _ in range(30):
            aravis.update_device_list()
            count = aravis.get_n_devices()
            if SERIAL in [aravis.get_device_serial_nbr(n) for n in range(count)]:
                return
        raise AssertionError("no camera; is one of another program on?")

    def kill(self) -> None:
        """Take its power away."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def camera() -> Iterator[Simulated]:
    """A camera that is on, once no other run of these tests has one."""
    with socket.socket() as turn:
        while True:
            try:
                turn.bind(("127.0.0.1", TURN))
                break
            except OSError:
                time.sleep(0.5)
        made = Simulated()
        made.begin()
        yield made
        made.kill()


def seen(frame_id: int, shape: tuple[int, int] = (512, 512)) -> Array:
    """Return what the camera sees in 8 bits: a ramp that its own count moves."""
    rows, columns = np.indices(shape)
    return ((columns + rows + frame_id) % 255).astype(np.uint8)


def seen_deep(frame_id: int, shape: tuple[int, int] = (512, 512)) -> Array:
    """Return what the camera sees in 16 bits."""
    rows, columns = np.indices(shape)
    return (256 * (columns + rows + frame_id) % 65535).astype(np.uint16)


#: The camera keeps what another test set.
WHOLE: dict[str, Any] = {
    "pixel_format": "Mono8",
    "roi": (0, 0, 512, 512),
    "exposure_ms": 10.0,
    "gain": 0.0,
    "features": {"AcquisitionFrameRate": 25.0},
}


def take(source: Genicam, count: int) -> list[Any]:
    """Return what comes first, and close the camera."""
    running = source.frames()
    items = list(islice(running, count))
    running.close()
    source.close()
    return items


@with_camera
class TestContract(SourceContract):
    """The engine can rely on it."""

    @pytest.fixture(autouse=True)
    def _on(self, camera: Simulated) -> None:
        pass

    def make(self, folder: Path) -> Genicam:
        """Return a camera that shows a part of its sensor."""
        return Genicam(SERIAL, **{**WHOLE, "roi": (4, 8, 32, 48)})


@with_camera
def test_pixels_order_counts_and_metadata(camera: Simulated) -> None:
    source = Genicam(**{**WHOLE, "features": {"AcquisitionFrameRate": 100.0}})
    assert (source.info.shape, source.info.dtype) == ((512, 512), np.uint8)
    assert source.info.fps == pytest.approx(100)
    assert source.info.metadata == {
        "vendor": "Aravis",
        "model": "Fake",
        "serial": SERIAL,
        "pixel_format": "Mono8",
        "exposure_ms": 10.0,
        "gain": 0.0,
    }
    before = time.time()
    # its count of 16 bits begins at 65401: it runs over on the way
    items = take(source, 160)
    after = time.time()
    frames = [i for i in items if isinstance(i, sp.Frame)]
    gone = [i for i in items if isinstance(i, sp.Gap)]
    lost = [
        n for g in gone for n in range(g.first_source_index, g.last_source_index + 1)
    ]
    first = frames[0].source_index
    indices = [f.source_index for f in frames]
    assert sorted(indices + lost) == list(range(first, first + len(indices + lost)))
    assert indices == sorted(indices)
    assert indices[-1] > 65535
    for frame in frames:
        index = frame.source_index
        frame_id = index if index <= 65535 else index - 65535
        assert frame.metadata["frame_id"] == frame_id
        assert (frame.metadata["exposure_ms"], frame.metadata["gain"]) == (10.0, 0.0)
        assert np.array_equal(frame.pixels, seen(frame_id))
    times = [f.time or 0.0 for f in frames]
    assert times == sorted(times)
    assert before - 0.1 <= times[0] <= times[-1] <= after


@with_camera
def test_settings_are_the_cameras(camera: Simulated) -> None:
    source = Genicam(
        "127.0.0.1",
        pixel_format="Mono16",
        roi=(6, 10, 40, 64),
        exposure_ms=5.0,
        gain=2.0,
        features={"AcquisitionFrameRate": 50, "GainAuto": "Off"},
        trigger="free",
        max_fps=1000.0,
    )
    assert (source.info.shape, source.info.dtype) == ((40, 64), np.uint16)
    assert source.info.fps == pytest.approx(50)
    frame = next(i for i in take(source, 4) if isinstance(i, sp.Frame))
    assert (frame.metadata["exposure_ms"], frame.metadata["gain"]) == (5.0, 2.0)
    ramp = 256.0 * np.indices((40, 64)).sum(0) + 256 * frame.metadata["frame_id"]
    scale = 1 + 2 + np.log10(0.5)
    expected = np.clip(ramp % 65535 * scale, 0, 65535).astype(np.uint16)
    assert np.array_equal(frame.pixels, expected)


@with_camera
@pytest.mark.slow
@pytest.mark.parametrize("name", ["BayerRG8", "BayerGR8", "BayerGB8", "BayerBG8"])
def test_a_bayer_pattern_stays_raw(camera: Simulated, name: str) -> None:
    raw = take(Genicam(**{**WHOLE, "pixel_format": name}), 1)[0]
    colours = take(Genicam(**{**WHOLE, "pixel_format": name}, color="rgb"), 1)[0]
    assert raw.pixels.shape == (512, 512)
    assert colours.pixels.shape == (3, 512, 512)


@with_camera
def test_colours_side_by_side(camera: Simulated) -> None:
    rgb = take(Genicam(**{**WHOLE, "pixel_format": "RGB8"}, color="rgb"), 1)[0]
    assert rgb.pixels.shape == (3, 512, 512)
    # equal numbers of the ramp are equal colours
    assert np.array_equal(rgb.pixels[:, 1:, :-1], rgb.pixels[:, :-1, 1:])
    assert len(np.unique(rgb.pixels.reshape(3, -1), axis=1).T) > 200


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nobody": ({"device": "Nobody"}, f"no camera 'Nobody': .*; found: .*{ID}"),
    "format": ({"pixel_format": "Mono12p"}, f"camera '{ID}': .*Mono12p"),
    "feature": ({"features": {"Zoom": 2}}, f"camera '{ID}' has no feature 'Zoom'"),
    "roi": (
        {"roi": (1040, 0, 1024, 16)},
        rf"camera '{ID}': roi \[1040, 0, 1024, 16\] .* beyond .* 2048 x 2048",
    ),
    "exposure": (
        {"exposure_ms": 1e9},
        f"camera '{ID}': exposure_ms must be from 0.01 to 10000, got 1e\\+09",
    ),
    "gain": ({"gain": -1.0}, f"camera '{ID}': gain must be from 0 to 10, got -1"),
}


@with_camera
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(camera: Simulated, case: str) -> None:
    parameters, message = REFUSED[case]
    with pytest.raises(SourceError, match=message) as caught:
        Genicam(**parameters)
    assert "\n" not in str(caught.value)
    Genicam().close()  # it was given back


@with_camera
@pytest.mark.slow
def test_pictures_of_which_packets_are_lost(camera: Simulated) -> None:
    camera.kill()
    camera.begin(lost=60)
    source = Genicam(**{**WHOLE, "roi": (0, 0, 64, 48)})
    running = source.frames()
    items: list[Any] = []
    while sum(isinstance(i, sp.Frame) for i in items) < 40:
        items.append(next(running))
    running.close()
    camera.kill()
    camera.begin()
    gaps = [i for i in items if isinstance(i, sp.Gap)]
    torn = [g for g in gaps if g.place == "network"]
    assert len(torn) >= 3
    assert all("the picture is incomplete: " in g.reason for g in torn)
    indices: list[int] = []
    for item in items:
        if isinstance(item, sp.Gap):
            indices += range(item.first_source_index, item.last_source_index + 1)
        else:
            frame_id = item.metadata["frame_id"]
            assert np.array_equal(item.pixels, seen(frame_id, (64, 48)))
            indices.append(item.source_index)
    # each is there once: frames, or gaps
    assert indices == list(range(indices[0], indices[0] + len(indices)))
    assert len(indices) < 120


@with_camera
@pytest.mark.slow
def test_a_camera_that_another_program_has(camera: Simulated) -> None:
    code = (
        "import sys\n"
        "from streamproc.sources._aravis import Camera, Settings\n"
        "camera = Camera(sys.argv[1], Settings())\n"
        "print('mine', flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, SERIAL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"mine\n"
    try:
        with pytest.raises(SourceError, match=f"'{ID}' is in use by another"):
            Genicam()
    finally:
        other.kill()
        other.communicate()
    Genicam().close()  # the camera notices that the other one died


@with_camera
@pytest.mark.slow
def test_killed_for_five_seconds_and_back(camera: Simulated, tmp_path: Path) -> None:
    # what the camera forgets is not in the pipeline
    part = {**WHOLE, "pixel_format": "Mono16", "roi": (8, 16, 64, 48)}
    Genicam(**part).close()
    raw = sp.open({"genicam": {"device": SERIAL}})
    assert raw.graph.source.info.shape == (64, 48)
    run = sp.start({"source": raw}, tmp_path / "run")
    admitted(run, 20)
    camera.kill()
    time.sleep(5)
    before = run.report().frames.admitted
    camera.begin()
    admitted(run, before + 20)
    run.drain()
    report = run.wait(60)
    results = sp.load(run.path)
    told = [json.loads(m)["frame_id"] for m in results.frames["metadata"]]
    for saved, frame_id in zip(np.asarray(results.images["source"]), told, strict=True):
        assert np.array_equal(saved, seen_deep(frame_id, (64, 48)))
    assert report.frames.done == len(told)
    index = list(results.frames["source_index"])
    gone = results.gaps.to_dict("records")
    unknown = [
        g for g in gone if "how many frames are missing is unknown" in g["reason"]
    ]
    (gap,) = unknown
    assert gap["reason"].startswith("no connection for ")
    again = index.index(gap["first_source_index"])
    assert again == before
    # the camera's count began anew, ours goes on
    assert told[again] < 65410
    lost = sum(g["last_source_index"] - g["first_source_index"] + 1 for g in gone)
    assert index[-1] - index[0] + 1 == len(told) + lost
    assert report.frames.lost == lost
    said = results.events
    kinds = list(said[said["level"] == "warning"]["kind"])
    assert kinds == ["disconnect", "reconnect"]


def admitted(run: sp.Run, count: int) -> None:
    """Wait until a run has so many frames."""
    while run.report().frames.admitted < count:
        assert run.state == "running"
        time.sleep(0.02)


@with_camera
@pytest.mark.slow
def test_on_the_command_line(camera: Simulated, tmp_path: Path) -> None:
    source = {"genicam": {"device": SERIAL, **WHOLE, "roi": [0, 0, 48, 64]}}
    results = killed_and_resumed(source, tmp_path)
    told = [json.loads(m)["frame_id"] for m in results.frames["metadata"]]
    for saved, frame_id in zip(np.asarray(results.images["source"]), told, strict=True):
        assert np.array_equal(saved, seen(frame_id, (48, 64)))
    restart = results.gaps[results.gaps["place"] == "restart"]
    (gap,) = restart.to_dict("records")
    assert "the run was not on; how many frames are missing is unknown" in gap["reason"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([1, 2, 5], [1, 2, 5]),
        ([65534, 65535, 1, 2], [65534, 65535, 65536, 65537]),
        ([65530, 4], [65530, 65539]),
        ([65535, 1, 65535, 3], [65535, 65536, 131070, 131073]),
        ([65535, 65536, 65537], [65535, 65536, 65537]),  # 64 bits
        ([2**40, 2**40 + 1], [2**40, 2**40 + 1]),
        ([0, 1], [0, 1]),
    ],
)
def test_numbers_of_16_bits_go_on(given: list[int], expected: list[int]) -> None:
    count = _aravis.Unwrapped()
    assert [count(n) for n in given] == expected


def test_a_device_clock_is_told_by_the_quickest_arrivals() -> None:
    clock, rng = DeviceClock(), np.random.default_rng(0)
    # since it was switched on, 20 in a million too fast, for ten hours
    true = 1.7e9 + np.arange(0, 36_000, 0.5)
    device = (true - 1.7e9) * (1 + 2e-5) + 12
    arrival = true + 0.001 + rng.exponential(0.02, len(true))
    told = np.array([clock(d, a) for d, a in zip(device, arrival, strict=True)])
    assert (np.diff(told) > 0).all()
    assert (told <= arrival + 1e-6).all()
    late = (told - true)[100:]
    assert np.abs(late).max() < 0.01
    assert clock(0.5, 1.8e9) == 1.8e9  # it was switched off and on


def test_without_aravis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(
        MissingDependency,
        match=r"pip install 'streamproc\[genicam\]', .* apt install gir1.2-aravis-0.8",
    ):
        Genicam()


def test_without_harvesters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harvesters.core", None)
    with pytest.raises(MissingDependency, match=r"pip install 'streamproc\[gentl\]'"):
        Genicam(cti="a.cti")


@pytest.fixture
def harvesters() -> None:
    """Skip where the package is not installed; no free producer is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("harvesters.core", reason="the extra gentl is missing")


def test_files_that_are_no_producers(harvesters: None, tmp_path: Path) -> None:
    import _struct

    (tmp_path / "b.cti").write_bytes(b"not a library")
    shutil.copy(_struct.__file__, tmp_path / "c.cti")
    for name, message in (
        ("a", r"no such file: .*a\.cti \(cti\)$"),
        ("b", r"b\.cti is no GenTL producer of this computer: "),
        ("c", r"c\.cti is no GenTL producer: it lacks the function GCInitLib$"),
    ):
        with pytest.raises(SourceError, match=message) as caught:
            Genicam(cti=str(tmp_path / f"{name}.cti"))
        assert "\n" not in str(caught.value)
