"""Micro-Manager's own simulated devices: pixels as the core gives them, all counted."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import streamproc as sp
from streamproc.testing import SourceContract
from tests.arrays import Array

pymmcore = pytest.importorskip("pymmcore", reason="pymmcore-plus is not installed")
adapters = pytest.importorskip("mm_test_adapters", reason="no demo devices")
pytest.importorskip("useq", reason="useq-schema is not installed")

from streamproc.sources.micromanager import MicroManager  # noqa: E402

Item = sp.Frame | sp.Unreadable | sp.Gap | sp.Notice
SMALL = (16, 24, 48, 64)
#: Two positions, two times, two channels of their own exposure, three planes.
SEQUENCE: dict[str, Any] = {
    "axis_order": "tpcz",
    "stage_positions": [[0, 0, 0], {"x": 100, "y": 200, "z": 30, "name": "far"}],
    "time_plan": {"interval": 0, "loops": 2},
    "channels": ["DAPI", {"config": "FITC", "exposure": 8}],
    "z_plan": {"range": 4, "step": 2},
}


@pytest.fixture
def opened() -> Iterator[Callable[..., MicroManager]]:
    """Open sources that are closed in the end."""
    made: list[MicroManager] = []

    def make(**parameters: Any) -> MicroManager:
        given = {"exposure_ms": 5.0, "buffer_mb": 16, **parameters}
        made.append(MicroManager(**given))
        return made[-1]

    yield make
    for source in made:
        source.stop()
        source.close()


class TestSequenceContract(SourceContract):
    """The engine can rely on an acquisition."""

    def make(self, folder: Path) -> MicroManager:
        """Return an acquisition of four stacks."""
        given = {**SEQUENCE, "channels": ["DAPI"]}
        return MicroManager(exposure_ms=2.0, roi=SMALL, sequence=given, buffer_mb=4)

    def make_damaged(self, folder: Path) -> MicroManager:
        """Return one whose camera fails within the second stack."""
        source = self.make(folder)
        fail(source, 5)
        return source


def fail(source: MicroManager, *numbers: int) -> None:
    """Have the camera fail to take these images, counted from 1."""
    mmc, counted = source._core.mmc, count(1)
    snap = mmc.snapImage

    def sometimes() -> None:
        if next(counted) in numbers:
            raise RuntimeError("no trigger")
        snap()

    mmc.snapImage = sometimes


# Its library bears no second core beside one that films: the truth is taken before.
def core(**properties: str) -> Any:  # pymmcore's own, by no code of ours
    """Return a core of the demo devices: what it gives is the truth."""
    made = pymmcore.CMMCore()
    made.setDeviceAdapterSearchPaths([adapters.device_adapter_path()])
    config = Path(adapters.device_adapter_path()) / "MMConfig_demo.cfg"
    made.loadSystemConfiguration(str(config))
    for name, value in properties.items():
        made.setProperty("Camera", name, value)
    made.setExposure(5.0)
    return made


def filmed(most: int, **properties: str) -> list[Array]:
    """Return the first images that the demo camera films: each has its pattern."""
    made = core(**properties)
    images: list[Array] = []
    made.startSequenceAcquisition(most, 0, True)
    while len(images) < most:
        if made.getRemainingImageCount():
            images.append(made.popNextImage())
    made.unloadAllDevices()
    return images


def frames(items: Iterator[Item], most: int | None = None) -> list[sp.Frame]:
    """Return frames, and fail on anything lost."""
    taken = list(islice(items, most))
    assert all(isinstance(item, sp.Frame) for item in taken), taken
    return [item for item in taken if isinstance(item, sp.Frame)]


def test_frames_are_the_cores_own(opened: Callable[..., MicroManager]) -> None:
    truth = filmed(20)
    before = time.time()
    source = opened()
    taken = frames(source.frames(), 20)
    source.stop()
    for frame, image in zip(taken, truth, strict=True):
        np.testing.assert_array_equal(frame.pixels, image)
    assert [f.source_index for f in taken] == list(range(20))
    assert [f.metadata["ImageNumber"] for f in taken] == list(range(20))
    assert {f.metadata["Camera"] for f in taken} == {"Camera"}
    assert {f.metadata["exposure_ms"] for f in taken} == {5.0}
    elapsed = np.array([f.metadata["ElapsedTime-ms"] for f in taken])
    assert (np.diff(elapsed) > 0).all()
    times = np.array([f.time for f in taken])
    assert before < times[0] < times[-1] < time.time()
    np.testing.assert_allclose(np.diff(times), np.diff(elapsed) / 1e3, atol=1e-5)


def test_what_it_says_of_itself(opened: Callable[..., MicroManager]) -> None:
    info = opened(binning=2, roi=(8, 16, 32, 64)).info
    assert (info.shape, info.dtype, info.axes) == ((32, 64), np.uint16, "yx")
    # 1 µm of the demo's objective, two pixels in one
    assert dict(info.pixel_size_um) == {"y": 2.0, "x": 2.0}
    assert (info.live, info.frames) == (True, None)
    assert info.metadata["bit_depth"] == 16
    assert info.metadata["exposure_ms"] == 5.0


@pytest.mark.parametrize(
    ("properties", "dtype", "most"),
    [
        ({"PixelType": "8bit"}, np.uint8, 255),
        ({"PixelType": "16bit", "BitDepth": "12"}, np.uint16, 4095),
        ({"PixelType": "16bit", "BitDepth": "16"}, np.uint16, 65535),
    ],
)
def test_gray_pixels(
    opened: Callable[..., MicroManager],
    properties: dict[str, str],
    dtype: type,
    most: int,
) -> None:
    truth = filmed(3, **properties)
    source = opened(properties={"Camera": properties})
    taken = frames(source.frames(), 3)
    source.stop()
    assert source.info.dtype == dtype
    for frame, image in zip(taken, truth, strict=True):
        np.testing.assert_array_equal(frame.pixels, image)
        assert frame.pixels.max() <= most


@pytest.mark.parametrize(("kind", "dtype"), [("32bitRGB", "u1"), ("64bitRGB", "u2")])
def test_colours(opened: Callable[..., MicroManager], kind: str, dtype: str) -> None:
    properties = {"PixelType": kind, "Mode": "Color Test Pattern"}
    (image,) = filmed(1, **properties)
    source = opened(properties={"Camera": properties}, color="rgb")
    (rgb,) = frames(source.frames(), 1)
    source.close()
    gray_source = opened(properties={"Camera": properties})
    (gray,) = frames(gray_source.frames(), 1)
    blue, green, red, _ = np.moveaxis(image.view(dtype).reshape(*image.shape, 4), -1, 0)
    assert source.info.axes == "cyx"
    np.testing.assert_array_equal(rgb.pixels, [red, green, blue])
    assert len(np.unique(rgb.pixels.reshape(3, -1), axis=1)) > 1
    weighed = [299 * red.astype(int), 587 * green.astype(int), 114 * blue.astype(int)]
    np.testing.assert_array_equal(gray.pixels, (np.sum(weighed, axis=0) + 500) // 1000)


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_a_sequence_in_colour(opened: Callable[..., MicroManager], color: str) -> None:
    properties = {"PixelType": "32bitRGB", "Mode": "Color Test Pattern"}
    given = {"properties": {"Camera": properties}, "color": color}
    (filmed_one,) = frames(opened(**given).frames(), 1)
    times = {"time_plan": {"interval": 0, "loops": 1}}
    source = opened(**given, config="demo", sequence=times)
    (acquired,) = frames(source.frames())
    np.testing.assert_array_equal(acquired.pixels, filmed_one.pixels)


def test_colours_and_planes_are_too_many(opened: Callable[..., MicroManager]) -> None:
    properties = {"Camera": {"PixelType": "32bitRGB"}}
    with pytest.raises(sp.SourceError, match="color: rgb is for single planes"):
        opened(properties=properties, color="rgb", sequence=SEQUENCE)


def overflowed(source: MicroManager) -> None:
    """Wait until the camera has filled its buffer."""
    mmc = source._core.mmc
    while not mmc.isBufferOverflowed():
        time.sleep(0.001)


def test_an_overflow_keeps_what_is_there_and_is_told(
    opened: Callable[..., MicroManager],
) -> None:
    source = opened(buffer_mb=4)
    items = source.frames()
    first = next(items)
    capacity = source._core.mmc.getBufferTotalCapacity()
    overflowed(source)
    taken = [first, *islice(items, capacity + 10)]
    source.stop()
    notices = [item for item in taken if isinstance(item, sp.Notice)]
    (gap,) = [item for item in taken if isinstance(item, sp.Gap)]
    kept = [item for item in taken if isinstance(item, sp.Frame)]
    assert [notice.kind for notice in notices] == ["disconnect", "reconnect"]
    assert f"overflowed after image {capacity}" in notices[0].message
    assert "raise buffer_mb" in notices[0].message
    assert (gap.count, "unknown" in gap.reason) == (0, True)
    assert "overflowed" in gap.reason
    # the first, and a whole buffer, were all there
    assert taken.index(gap) == capacity + 3
    assert [f.source_index for f in kept] == list(range(len(kept)))
    counted = [f.metadata["ImageNumber"] for f in kept]
    assert counted[: capacity + 1] == list(range(capacity + 1))
    assert counted[capacity + 1 :] == list(range(len(kept) - capacity - 1))


def test_a_camera_that_stops_by_itself_is_started_again(
    opened: Callable[..., MicroManager],
) -> None:
    source = opened(roi=SMALL)
    items = source.frames()
    frames(items, 3)
    source._core.mmc.stopSequenceAcquisition()
    rest = list(islice(items, 30))
    notices = [item for item in rest if isinstance(item, sp.Notice)]
    assert [n.kind for n in notices] == ["disconnect", "reconnect"]
    assert "stopped by itself after image" in notices[0].message
    (gap,) = [item for item in rest if isinstance(item, sp.Gap)]
    assert gap.count == 0
    # the devices are loaded anew, and set as before
    kept = [item for item in rest if isinstance(item, sp.Frame)]
    assert {f.pixels.shape for f in kept} == {(48, 64)}
    assert {f.metadata["exposure_ms"] for f in kept} == {5.0}


def test_a_camera_that_gives_nothing(opened: Callable[..., MicroManager]) -> None:
    source = opened(exposure_ms=400, stall_timeout=0.05)
    notices = list(islice(source.frames(), 3))
    assert [n.kind for n in notices if isinstance(n, sp.Notice)] == [
        "stall", "reconnect", "stall",
    ]  # fmt: skip


def test_cameras_side_by_side(
    opened: Callable[..., MicroManager], tmp_path: Path
) -> None:
    config = tmp_path / "two.cfg"
    config.write_text(
        "Property,Core,Initialize,0\n"
        "Device,Left,DemoCamera,DCam\n"
        "Device,Right,DemoCamera,DCam\n"
        "Device,Both,Utilities,Multi Camera\n"
        "Property,Core,Initialize,1\n"
        "Property,Core,Camera,Both\n"
        "Property,Both,Physical Camera 1,Left\n"
        "Property,Both,Physical Camera 2,Right\n"
        "Property,Right,BitDepth,12\n"
    )
    truth = [filmed(8, BitDepth=bits) for bits in ("16", "12")]
    source = opened(
        config=str(config),
        properties={
            "Left": {"PixelType": "16bit", "BitDepth": 16},
            "Right": {"PixelType": "16bit", "BitDepth": 12},
        },
    )
    assert (source.info.axes, source.info.channels) == ("cyx", ("Left", "Right"))
    taken = frames(source.frames(), 8)
    source.stop()
    assert [f.source_index for f in taken] == list(range(8))
    for channel, images in enumerate(truth):
        for frame, image in zip(taken, images, strict=True):
            np.testing.assert_array_equal(frame.pixels[channel], image)


def snapped(asked: list[tuple[str, float, float]]) -> list[Array]:
    """Return what the demo camera gives, of each channel, exposure and height."""
    made, images = core(), []
    for channel, exposure, height in asked:
        made.setConfig("Channel", channel)
        made.setExposure(exposure)
        made.setPosition(height)
        made.waitForSystem()
        made.snapImage()
        images.append(made.getImage())
    made.unloadAllDevices()
    return images


def test_a_sequence_gives_stacks(opened: Callable[..., MicroManager]) -> None:
    # a channel without an exposure of its own has the source's, not its neighbour's
    truth = snapped(
        [
            (channel, exposure, position + height)
            for _ in range(2)
            for position in (0, 30)
            for channel, exposure in (("DAPI", 5.0), ("FITC", 8.0))
            for height in (-2.0, 0.0, 2.0)
        ]
    )
    before = time.time()
    source = opened(sequence=SEQUENCE)
    info = source.info
    assert (info.axes, info.shape, info.frames) == ("czyx", (2, 3, 512, 512), 4)
    assert info.channels == ("DAPI", "FITC")
    assert dict(info.pixel_size_um) == {"z": 2.0, "y": 1.0, "x": 1.0}
    taken = frames(source.frames())
    assert [f.source_index for f in taken] == [0, 1, 2, 3]
    for frame, n in zip(taken, range(0, 24, 6), strict=True):
        expected = np.reshape(truth[n : n + 6], (2, 3, 512, 512))
        np.testing.assert_array_equal(frame.pixels, expected)
    told = [f.metadata for f in taken]
    assert [(m["t"], m["position"]) for m in told] == [
        (0, "p0"), (0, "far"), (1, "p0"), (1, "far"),
    ]  # fmt: skip
    assert (told[1]["x_um"], told[1]["y_um"]) == pytest.approx((100, 200), abs=0.1)
    planes = told[1]["planes"]
    assert [(p["c"], p["z"]) for p in planes] == [
        (c, z) for c in range(2) for z in range(3)
    ]
    assert [p["z_um"] for p in planes] == pytest.approx(2 * [28, 30, 32], abs=0.1)
    assert [p["channel"] for p in planes] == 3 * ["DAPI"] + 3 * ["FITC"]
    assert [p["exposure_ms"] for p in planes] == 3 * [5.0] + 3 * [8.0]
    seconds = [p["seconds"] for p in planes]
    assert seconds == sorted(seconds)
    times = [f.time or 0.0 for f in taken]
    assert before < times[0]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("order", "places"),
    [
        ("tpcz", [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ("ptzc", [(0, 0), (1, 0), (0, 1), (1, 1)]),
        # all positions are visited for each channel: two frames are open at once
        ("tcpz", [(0, 0), (0, 1), (1, 0), (1, 1)]),
    ],
)
def test_frames_come_as_they_are_complete(
    opened: Callable[..., MicroManager], order: str, places: list[tuple[int, int]]
) -> None:
    source = opened(sequence={**SEQUENCE, "axis_order": order}, roi=SMALL)
    taken = frames(source.frames())
    assert [(f.metadata["t"], f.metadata["p"]) for f in taken] == places
    for frame in taken:
        planes = frame.metadata["planes"]
        assert [(p["c"], p["z"]) for p in planes] == [
            (c, z) for c in range(2) for z in range(3)
        ]


def test_a_sequence_goes_on_where_it_was(opened: Callable[..., MicroManager]) -> None:
    source = opened(sequence=SEQUENCE, roi=SMALL)
    rest = frames(source.frames(2))
    assert [f.source_index for f in rest] == [2, 3]
    assert [(f.metadata["t"], f.metadata["p"]) for f in rest] == [(1, 0), (1, 1)]
    assert frames(source.frames(4)) == []


def test_times_of_what_is_left_begin_at_once(
    opened: Callable[..., MicroManager],
) -> None:
    times = {"interval": 3600, "loops": 3}
    source = opened(sequence={"channels": ["DAPI"], "time_plan": times}, roi=SMALL)
    (frame,) = frames(source.frames(2))
    assert frame.metadata["t"] == 2


def test_a_camera_that_fails_once_costs_one_stack(
    opened: Callable[..., MicroManager],
) -> None:
    source = opened(sequence=SEQUENCE, roi=SMALL)
    fail(source, 8, 12)  # within the second stack, and its last
    given = list(source.frames())
    assert {i.kind for i in given if isinstance(i, sp.Notice)} == {"microscope"}
    items = [i for i in given if not isinstance(i, sp.Notice)]
    assert [type(item) for item in items] == [
        sp.Frame, sp.Unreadable, sp.Frame, sp.Frame,
    ]  # fmt: skip
    assert isinstance(items[1], sp.Unreadable)
    assert "2 of 6 planes are missing (c 0 z 1, c 1 z 2)" in items[1].error
    assert "no trigger" in items[1].error
    assert items[1].metadata["position"] == "far"


def test_a_long_wait_is_left_at_once(opened: Callable[..., MicroManager]) -> None:
    times = {"interval": 3600, "loops": 3}
    source = opened(sequence={"channels": ["DAPI"], "time_plan": times}, roi=SMALL)
    items = source.frames()
    frames(items, 1)
    source.stop()
    assert list(items) == []
    assert not source._core.mmc.mda.is_running()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"chanels": ["DAPI"]}, "no 'chanels'; did you mean 'channels'"),
        ({"channels": 3}, "sequence: channels: .* must be a sequence"),
        ({}, "there is nothing to acquire"),
        ({"channels": ["DPI"]}, "sequence.channels: .* did you mean 'DAPI'"),
        ("no.yaml", "cannot read 'no.yaml'"),
        (
            {"channels": ["DAPI", {"config": "FITC", "acquire_every": 2}],
             "time_plan": {"interval": 0, "loops": 2}},
            "t 1 has 1 of the 2 planes of a frame",
        ),
        (
            {"axis_order": "ctp", "channels": ["DAPI", "FITC"],
             "time_plan": {"interval": 0, "loops": 3000}},
            "3000 frames are in part there at once, 3000 MB; raise buffer_mb",
        ),
    ],
)  # fmt: skip
def test_sequences_that_cannot_be(
    opened: Callable[..., MicroManager], given: Any, match: str
) -> None:
    with pytest.raises(sp.ConfigError, match=match):
        opened(sequence=given)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"config": "no.cfg"}, r"no such configuration: '.*no\.cfg'; give a \.cfg"),
        ({"adapters": "nowhere"}, "no folder 'nowhere'.*device adapters"),
        ({"camera": "Kamera"}, "camera: there is no 'Kamera'; did you mean 'Camera'"),
        ({"presets": {"Chanel": "DAPI"}}, "presets: .* did you mean 'Channel'"),
        ({"presets": {"Channel": "DPI"}}, "presets.Channel: .* did you mean 'DAPI'"),
        ({"properties": {"Cam": {"Gain": 1}}}, "properties: there is no 'Cam'"),
        ({"properties": {"Camera": {"Gian": 1}}}, "properties.Camera: .*'Gain'"),
        ({"properties": {"Camera": {"PixelType": "9bit"}}}, "Micro-Manager refuses"),
        (
            {"properties": {"Camera": {"PixelType": "32bit"}}},
            "4 bytes per pixel in 1 sample.* set its PixelType",
        ),
        ({"binning": 3}, "binning must be one of 1, 2, 4, 8, got 3"),
        ({"roi": (500, 0, 20, 20)}, r"roi \[500, 0, 20, 20\] .* 512 x 512"),
        ({"color": "rgb"}, "the camera has no colours, got color: rgb"),
        ({"feedback": True}, "feedback: needs a sequence"),
        ({"sequence": {"channels": ["DAPI"]}, "max_fps": 2.0}, "max_fps and every_nth"),
    ],
)
def test_what_is_refused(
    opened: Callable[..., MicroManager], given: Mapping[str, Any], match: str
) -> None:
    with pytest.raises((sp.ConfigError, sp.SourceError), match=match) as caught:
        opened(**given)
    assert "\n" not in str(caught.value)
    # nothing is held by who was refused
    frames(opened(roi=SMALL).frames(), 1)


def test_a_configuration_that_does_not_load(
    opened: Callable[..., MicroManager], tmp_path: Path
) -> None:
    config = tmp_path / "bad.cfg"
    config.write_text("Device,Camera,NoSuchAdapter,Cam\n")
    with pytest.raises(sp.SourceError, match="cannot load the configuration") as caught:
        opened(config=str(config))
    assert "\n" not in str(caught.value)
    config.write_text("Device,Z,DemoCamera,DStage\nProperty,Core,Initialize,1\n")
    with pytest.raises(sp.SourceError, match="the configuration has no camera"):
        opened(config=str(config))


def test_a_camera_is_one_runs_own(opened: Callable[..., MicroManager]) -> None:
    source = opened(roi=SMALL)
    items = source.frames()
    frames(items, 2)
    with pytest.raises(sp.SourceError, match="in use by another run of this process"):
        opened()
    frames(items, 2)  # it was not disturbed
    source.stop()
    assert not list(items)
    other = opened()
    assert other._core is source._core
    frames(other.frames(), 2)


def test_each_source_films_as_it_was_asked_to(
    opened: Callable[..., MicroManager],
) -> None:
    first = opened(exposure_ms=3.0, roi=SMALL)
    second = opened(exposure_ms=6.0)
    for source, exposure in ((first, 3.0), (second, 6.0), (first, 3.0)):
        items = source.frames()
        (frame,) = frames(items, 1)
        source.stop()
        list(items)
        assert frame.metadata["exposure_ms"] == exposure
        assert frame.pixels.shape == source.info.shape


def test_a_process_has_one_configuration(
    opened: Callable[..., MicroManager], tmp_path: Path
) -> None:
    config = tmp_path / "other.cfg"
    config.write_text("Device,Camera,DemoCamera,DCam\n")
    source = opened()
    with pytest.raises(sp.SourceError, match="has the configuration 'demo' loaded"):
        opened(config=str(config))
    source.close()
    config.write_text(
        "Device,Camera,DemoCamera,DCam\nProperty,Core,Initialize,1\n"
        "Property,Core,Camera,Camera\n"
    )
    frames(opened(config=str(config)).frames(), 1)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymmcore_plus", None)
    with pytest.raises(sp.MissingDependency, match=r"streamproc\[micromanager\]"):
        MicroManager()


def test_from_the_command_line(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    source = {"micromanager": {"config": "demo", "exposure_ms": 5, "roi": list(SMALL)}}
    file = tmp_path / "film.yaml"
    graph = {"mask": {"threshold": "otsu"}, "nuclei": {"label": {}}}
    file.write_text(
        yaml.safe_dump({"source": source, "graph": graph, "save": ["nuclei"]})
    )
    assert command("check", str(file))[0] == 0
    code, out, err = command("info", yaml.safe_dump(source, default_flow_style=True))
    assert (code, err) == (0, "")
    assert "48" in out
    assert command("list", "sources")[1].count("micromanager") == 1
    code, _, err = command("run", str(file), "--to", "RUN", "--frames", "12")
    assert code == 0, err
    result = sp.load(tmp_path / "RUN")
    assert list(result.frames["state"]) == 12 * ["done"]
    assert result.images["source"].shape == (12, 48, 64)


def test_who_forgets_to_close_it_leaves_python_in_peace() -> None:
    given = {"channels": ["DAPI"], "time_plan": {"interval": 3600, "loops": 2}}
    for sequence in (None, given):
        code = (
            "from streamproc.sources.micromanager import MicroManager\n"
            f"source = MicroManager(buffer_mb=4, sequence={sequence!r})\n"
            "frames = source.frames()\n"
            "next(frames)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


def test_positions_are_in_the_ledger(tmp_path: Path) -> None:
    form = {
        "micromanager": {"exposure_ms": 2, "roi": list(SMALL), "sequence": SEQUENCE}
    }
    raw = sp.open(form)
    report = sp.run({"mask": raw.threshold("otsu")}, tmp_path / "run")
    assert (report.frames.done, report.frames.lost) == (4, 0)
    result = sp.load(tmp_path / "run")
    assert result.images["source"].shape == (4, 2, 3, 48, 64)
    assert list(result.frames["position"]) == ["p0", "far", "p0", "far"]
    assert list(result.frames["frame"]) == [0, 1, 2, 3]
