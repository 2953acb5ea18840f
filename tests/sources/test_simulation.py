"""The simulated microscope: a function of (seed, n), in time, and countable."""

import pickle
import threading
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.morphology import disk, opening
from streamproc.sources._cells import hashed
from streamproc.sources.simulation import EPOCH, Simulation

from streamproc.errors import ConfigError, FrameError
from streamproc.frame import Array, Frame, Source
from streamproc.parameters import Parameters


def recording(frames: int = 200, **options: object) -> Simulation:
    return Simulation(frames, live=False, **options)


def test_it_is_a_source() -> None:
    source = Simulation()
    assert isinstance(source, Source)
    info = source.info
    assert (info.frames, info.shape, info.dtype) == (
        200,
        (512, 512),
        np.dtype("uint16"),
    )
    assert info.live
    assert not info.random_access
    assert info.pixel_size_um == {"y": 0.65, "x": 0.65}
    assert info.metadata["simulated"] is True
    assert info.metadata["seed"] == 0
    assert recording().info.random_access
    source.close()


def test_the_constructor_is_the_definition() -> None:
    parameters = Parameters(Simulation, positional=True)
    assert parameters.first == "frames"
    values = parameters.check({"shape": [64, 80], "fps": None}, owner="simulation")
    assert Simulation(**values).info.shape == (64, 80)
    with pytest.raises(ConfigError, match="fps must be"):
        parameters.check({"fps": 0.0}, owner="simulation")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_frame_depends_on_seed_and_number_alone(dtype: str) -> None:
    options = {"shape": (96, 128), "dtype": dtype}
    forward = [f.pixels for f in recording(30, **options).frames()]
    source = recording(30, **options)
    for n in (29, 3, 17):
        assert np.array_equal(source.read(n).pixels, forward[n])
    live = Simulation(30, fps=None, live=True, **options)
    assert all(
        np.array_equal(f.pixels, forward[f.source_index]) for f in live.frames(start=12)
    )
    assert forward[0].dtype == dtype
    assert not np.array_equal(recording(30, seed=1, **options).read(0).pixels, forward)


def test_frames_are_their_own_memory() -> None:
    source = recording(2, shape=(64, 64))
    first = source.read(0).pixels
    first[:] = 0
    assert source.read(0).pixels.any()


def test_the_hash_never_changes() -> None:
    # a run that resumes on another version must see the same cells
    numbers = hashed(7, np.array([0, 1, -1]), 3)
    assert numbers.tolist() == [
        0.1000788863334513,
        0.8168582836174967,
        0.7315526924213503,
    ]


def test_times() -> None:
    source = recording(10, fps=20)
    assert [source.read(n).time for n in (0, 5)] == [EPOCH, EPOCH + 0.25]
    assert recording(10, fps=None).read(5).time == EPOCH + 5


def test_frame_one_million_is_as_near_as_the_first() -> None:
    source = Simulation(None, shape=(128, 128), fps=None)
    (frame,) = [next(source.frames(start=10**6))]
    assert frame.source_index == 10**6
    assert len(source.truth(10**6)["cell"]) > 0


def count(images: list[Array]) -> NDArray[np.int64]:
    """Count cells as the demo pipeline does, with scipy and scikit-image."""
    counts = []
    for first in range(0, len(images), 25):
        window = images[max(0, first - 50) : first] or images[:25]
        background = np.mean(window, axis=0, dtype=np.float64)
        for image in images[first : first + 25]:
            smooth = ndimage.gaussian_filter((image - background).astype(np.float32), 2)
            level = threshold_otsu(smooth)  # type: ignore[no-untyped-call]
            mask = opening(smooth > level, disk(2))  # type: ignore[no-untyped-call]
            found = label(mask, connectivity=2)  # type: ignore[no-untyped-call]
            counts.append(found.max())
    return np.array(counts)


@pytest.mark.parametrize(
    "options",
    [{}, {"seed": 1}, {"dtype": "uint8"}, {"dtype": "float32", "shape": (400, 640)}],
)
def test_the_demo_pipeline_counts_the_cells(options: dict[str, Any]) -> None:
    source = recording(200, **options)
    counts = count([source.read(n).pixels for n in range(200)])
    truth = np.array([len(source.truth(n)["cell"]) for n in range(200)])
    assert truth.min() > 40
    assert np.mean(np.abs(counts - truth) / truth) <= 0.02


def test_cells_divide_and_go_on_smoothly() -> None:
    source = recording(400)
    before: dict[int, tuple[float, float]] = {}
    seen: set[int] = set()
    born = 0
    for n in range(400):
        table = source.truth(n)
        rows = zip(*(table[k].tolist() for k in table), strict=True)
        now = {}
        for cell, parent, y, x, radius in rows:
            assert -0.5 < y < 511.5
            assert -0.5 < x < 511.5
            assert 5 < radius < 10
            now[cell] = (y, x)
            if cell in before:
                assert np.hypot(y - before[cell][0], x - before[cell][1]) < 6
            elif parent in before:
                born += 1
                assert parent not in table["cell"]
                assert np.hypot(y - before[parent][0], x - before[parent][1]) < 16
            else:
                assert cell not in seen
        assert len(now) == len(table["cell"])
        before = now
        seen |= now.keys()
    assert born > 100


def test_cells_do_not_overlap() -> None:
    source = recording()
    for n in range(0, 2000, 13):
        table = source.truth(n)
        y, x, radius = table["y"], table["x"], table["radius"]
        apart = np.hypot(y[:, None] - y, x[:, None] - x) + 1e9 * np.eye(len(y))
        assert (apart - radius[:, None] - radius).min() > 0


def test_truth_is_where_the_light_is() -> None:
    source = recording(5, cells=20)
    image = ndimage.gaussian_filter(source.read(4).pixels.astype(float), 2)
    table = source.truth(4)
    inside = (table["x"] > 12) & (table["x"] < 500)
    y, x = (table[k][inside].round().astype(int) for k in "yx")
    assert image[y, x].min() > 1.5 * np.median(image)


@pytest.mark.parametrize("cells", [0, 1, 30, 120])
def test_the_number_of_cells(cells: int) -> None:
    source = recording(cells=cells)
    mean = np.mean([len(source.truth(n)["cell"]) for n in range(0, 20000, 97)])
    assert mean == pytest.approx(cells, rel=0.15, abs=0.7)
    assert source.read(0).pixels.shape == (512, 512)


def test_no_cells_is_only_noise() -> None:
    source = recording(cells=0, dtype="float32", seed=3)
    a, b, c, d = (source.read(n).pixels for n in range(4))
    light = np.median(a) - 100
    assert np.std(a - b) == pytest.approx(np.sqrt(2 * light), rel=0.05)
    assert abs(np.corrcoef((a - b).ravel(), (c - d).ravel())[0, 1]) < 0.02


def test_refusals() -> None:
    with pytest.raises(
        ConfigError, match=r"cells must be <= \d+ in a field of 64 x 64"
    ):
        Simulation(cells=1000, shape=(64, 64))
    with pytest.raises(ConfigError, match="frames must be a number where live is fal"):
        Simulation(None, live=False)
    with pytest.raises(FrameError, match="a live simulation cannot be read again"):
        Simulation().read(0)
    with pytest.raises(FrameError, match="no frame 5; the simulation has 5"):
        recording(5).read(5)


def test_it_can_be_sent_to_another_process() -> None:
    source = recording(5, shape=(64, 80), seed=4)
    other = pickle.loads(pickle.dumps(source))
    assert other.info == source.info
    assert np.array_equal(other.read(3).pixels, source.read(3).pixels)


def test_identity_is_of_the_parameters() -> None:
    assert recording(5).info.identity == recording(5).info.identity
    assert recording(5).info.identity != recording(5, seed=1).info.identity


def test_a_live_frame_is_not_early() -> None:
    source = Simulation(8, shape=(32, 32), fps=100)
    begin = time.monotonic()
    late = [
        time.monotonic() - begin - k / 100 for k, _ in enumerate(source.frames(start=2))
    ]
    assert len(late) == 6
    assert min(late) >= -0.001


def test_stop_interrupts_the_wait() -> None:
    source = Simulation(None, shape=(32, 32), fps=0.01)
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.extend(source.frames()))
    thread.start()
    source.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert len(got) <= 1


def test_an_endless_source_without_a_rate_stops() -> None:
    source = Simulation(None, shape=(32, 32), fps=None)
    got = []
    for frame in source.frames():
        assert isinstance(frame, Frame)
        got.append(frame)
        if len(got) == 20:
            source.stop()
    assert len(got) == 20
