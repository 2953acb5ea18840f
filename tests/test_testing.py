"""What `sp.testing` gives: known frames, a clock, and contracts that see a breach."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
import zarr
from streamproc.sinks.ome_zarr import OmeZarr
from streamproc.sources import simulation
from streamproc.sources.simulation import Simulation

import streamproc as sp
from streamproc import extension, plugins
from streamproc.frame import Array, Frame
from streamproc.store.repair import Repair
from streamproc.testing import (
    Clock,
    ObserverContract,
    OperatorContract,
    SinkContract,
    SourceContract,
    frames,
    truth,
)
from tests.arrays import Arrays


def test_frames_show_the_cells_of_the_truth() -> None:
    stack = frames(4, shape=(160, 200), seed=5)
    assert stack.shape == (4, 160, 200)
    assert stack.dtype == np.uint16
    cells = truth(4, shape=(160, 200), seed=5)
    assert set(cells.frame) == {0, 1, 2, 3}
    for frame, image in enumerate(stack):
        mine = cells[cells.frame == frame]
        y, x = np.indices(image.shape)
        distance = np.min(
            [np.hypot(y - c.y, x - c.x) - c.radius for c in mine.itertuples()], axis=0
        )
        assert image[distance < -2].mean() > 2 * image[distance > 4].mean()
    assert np.array_equal(stack, frames(6, shape=(160, 200), seed=5)[:4])
    assert not np.array_equal(stack, frames(4, shape=(160, 200), seed=6))
    assert frames(2, dtype="float32").dtype == np.float32
    assert frames(0).shape == (0, 128, 128)
    assert truth(0).empty
    assert list(truth(0)) == list(cells)


# a clock


def test_the_clock_goes_on_when_told_to() -> None:
    clock = Clock(1000.0)
    before = clock.time(), clock.monotonic(), clock.perf_counter()
    assert before == (1000.0, 0.0, 0.0)
    clock.sleep(1.5)
    clock.advance(0.5)
    assert (clock.time(), clock.monotonic()) == (1002.0, 2.0)
    with pytest.raises(ValueError, match="time goes forward: seconds must be >= 0, go"):
        clock.advance(-1)
    event = clock.event()
    assert not event.wait(3.0)
    assert clock.monotonic() == 5.0
    event.set()
    assert event.wait(3.0)
    assert event.wait()
    assert clock.monotonic() == 5.0


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> tuple[Simulation, Clock]:
    """A live simulation of ten frames a second, on a clock of its own."""
    clock = Clock()
    monkeypatch.setattr(simulation, "time", clock)
    source = Simulation(None, shape=(16, 16), fps=10.0, live=True)
    monkeypatch.setattr(source, "_stop", clock.event())
    return source, clock


def test_a_live_simulation_is_on_time(camera: tuple[Simulation, Clock]) -> None:
    source, clock = camera
    came = []
    for frame in source.frames():
        came.append(clock.monotonic())
        # a consumer that is slow now and then is waited for by nobody
        clock.sleep(0.25 if len(came) == 4 else 0.01)
        if len(came) == 10:
            source.stop()
        assert isinstance(frame, Frame)
        assert frame.source_index == len(came) - 1
    late = [0.55, 0.56, 0.57][:2]  # frames 4 and 5 were due at 0.4 and 0.5
    expected = [0.0, 0.1, 0.2, 0.3, *late, 0.6, 0.7, 0.8, 0.9]
    assert came == pytest.approx(expected, abs=1e-9)


# what is imported when


def test_testing_is_loaded_when_asked_for() -> None:
    code = (
        "import sys, streamproc as sp\n"
        "assert 'streamproc.testing' not in sys.modules\n"
        "sp.testing.frames(1); sp.testing.Clock()\n"
        "assert 'pytest' not in sys.modules\n"
        "sp.testing.SourceContract\n"
        "assert 'pytest' in sys.modules\n"
        "sys.modules['pytest'] = None\n"
        "try: sp.testing.SinkContract\n"
        "except sp.MissingDependency as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "streamproc.testing.SinkContract needs the package pytest: pip install pytest\n"
    )
    with pytest.raises(AttributeError, match="has no attribute 'Contract'"):
        sp.testing.Contract


def test_everything_it_names_is_there() -> None:
    assert sorted(sp.testing.__all__) == sp.testing.__all__
    assert all(hasattr(sp.testing, name) for name in sp.testing.__all__)


# contracts see a breach


STACK = frames(6, shape=(16, 20))


class Ideal(Arrays):
    """A source of a few frames.

    Its parameters would be in YAML.
    """

    def __init__(self, count: int = 6) -> None:
        super().__init__(STACK[:count].copy())
        self.info = self.tell()

    def tell(self, **more: Any) -> sp.SourceInfo:
        told: dict[str, Any] = {
            "shape": (16, 20),
            "dtype": np.dtype(np.uint16),
            "axes": "yx",
            "identity": "ideal",
            "frames": len(self.stack),
            "random_access": True,
        }
        return sp.SourceInfo(**(told | more))

    def read(self, index: int) -> Frame:
        if not 0 <= index < len(self.stack):
            raise sp.FrameError(f"no frame {index}")
        return super().read(index)

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return type(self), (len(self.stack),)


class Shouts(Ideal):
    suffixes: ClassVar[tuple[str, ...]] = (".TIF",)


class Shares(Ideal):
    def read(self, index: int) -> Frame:
        super().read(index)
        return Frame(self.stack[index], index, float(index), {"n": index})


class Reuses(Ideal):
    def frames(self, start: int = 0) -> Iterator[Any]:
        buffer = np.empty((16, 20), np.uint16)
        for index in range(start, len(self.stack)):
            buffer[:] = self.stack[index]
            yield Frame(buffer, index, float(index), {"n": index})


class Counts(Ideal):
    def __init__(self, count: int = 6) -> None:
        super().__init__(count)
        self.info = self.tell(frames=count + 1)


class StartsOver(Ideal):
    def frames(self, start: int = 0) -> Iterator[Any]:
        return super().frames(0)


class Wraps(Ideal):
    def read(self, index: int) -> Frame:
        return super().read(index % len(self.stack))


class Other(Ideal):
    def read(self, index: int) -> Frame:
        frame = super().read(index)
        return Frame(frame.pixels, index, frame.time, {"n": index, "again": True})

    def frames(self, start: int = 0) -> Iterator[Any]:
        for index in range(start, len(self.stack)):
            yield super().read(index)


class Swapped(Ideal):
    def read(self, index: int) -> Frame:
        frame = super().read(index)
        return Frame(frame.pixels.astype(">u2"), index, frame.time, frame.metadata)


class Stays(Ideal):
    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a device")


class Elsewhere(Ideal):
    opened = 0

    def __init__(self, count: int = 6) -> None:
        super().__init__(count)
        type(self).opened += 1
        self.info = self.tell(identity=f"{self.opened}")


class ClosesOnce(Ideal):
    def close(self) -> None:
        if self.closed:
            raise ValueError("closed already")
        super().close()


class Undated(Ideal):
    def read(self, index: int) -> Frame:
        return Frame(super().read(index).pixels, index, float("nan"))


class Talks(Ideal):
    def read(self, index: int) -> Frame:
        return Frame(super().read(index).pixels, index, None, {"n": np.float32(3)})


class OneReader(Ideal):
    """Keeps its place in a field of its own, as files do."""

    def read(self, index: int) -> Frame:
        self._place = index
        threading.Event().wait(0.001)  # as a disk takes
        frame = super().read(self._place)
        return Frame(frame.pixels, index, float(index), {"n": index})


class Endless(Ideal):
    """A live source that does not listen."""

    def __init__(self, count: int = 6) -> None:
        super().__init__(count)
        self.info = self.tell(live=True, random_access=False, frames=None)
        self.rest = threading.Event()

    def frames(self, start: int = 0) -> Iterator[Any]:
        for _ in range(10_000):
            yield Ideal.read(self, 0)
            if self.rest.wait(0.001):
                return


SOURCE_TESTS = sorted(n for n in vars(SourceContract) if n.startswith("test_"))
BREACHES: list[tuple[type[Ideal], set[str]]] = [
    (Ideal, set()),
    (Shouts, {"test_its_suffixes_are_lower_case"}),
    (Shares, {"test_read_gives_what_frames_give"}),
    (Reuses, {"test_frames_are_as_announced"}),
    (Counts, {"test_frames_are_as_announced"}),
    (StartsOver, {"test_frames_begin_anywhere"}),
    (Wraps, {"test_there_is_nothing_beyond_its_ends"}),
    (Other, {"test_read_gives_what_frames_give"}),
    (Swapped, {"test_frames_are_as_announced"}),
    (Stays, {"test_it_travels_to_other_processes"}),
    (Elsewhere, {"test_its_identity_is_that_of_the_content"}),
    (ClosesOnce, {"test_closing_twice_is_closing"}),
    (Undated, {"test_frames_are_as_announced"}),
    (Talks, {"test_frames_are_as_announced"}),
    (OneReader, {"test_read_from_several_threads"}),
    (Endless, {"test_stop_ends_it"}),
]


@pytest.mark.parametrize(
    ("kind", "expected"), BREACHES, ids=lambda v: getattr(v, "__name__", "")
)
def test_a_source_that_breaks_its_contract_is_seen(
    kind: type[Ideal], expected: set[str], tmp_path: Path
) -> None:
    made: list[Ideal] = []

    class Mine(SourceContract):
        patience = 0.5

        def make(self, folder: Path) -> Ideal:
            made.append(kind())
            return made[-1]

    failed = broken(Mine(), SOURCE_TESTS, tmp_path)
    for source in made:
        getattr(source, "rest", threading.Event()).set()
    assert expected <= failed
    assert bool(failed) == bool(expected)


def broken(contract: Any, tests: list[str], *given: Any) -> set[str]:
    """The tests of a contract that fail."""
    failed = set()
    for name in tests:
        try:
            getattr(contract, name)(*given)
        except pytest.skip.Exception:
            continue
        except (Exception, pytest.fail.Exception):  # whatever a careless plugin raises
            failed.add(name)
    return failed


def good(image: Array, *, gain: int = 2) -> Array:
    """Multiply by the gain."""
    return np.asarray(image * gain, image.dtype)


def in_place(image: Array) -> Array:
    """Write into the input."""
    image += 1
    return image


def same_memory(image: Array) -> Array:
    """Return the input."""
    return image


def bare(image: Array, *, gain=2) -> Array:  # type: ignore[no-untyped-def]  # noqa: ANN001  # the mistake tested
    """Say no type of the gain."""
    return np.asarray(image * gain, image.dtype)


def silent(image: Array) -> Array:
    return np.array(image)


def flat(image: Array) -> Array:
    """Drop an axis."""
    return np.array(image[0])


def divides(image: Array) -> Array:
    """Trust that an image is never blank."""
    return np.asarray(image // int(image.max()), image.dtype)


_CALLS = [0]


def remembers(image: Array) -> Array:
    """Give something else every time."""
    _CALLS[0] += 1
    return np.asarray(image + _CALLS[0], image.dtype)


def no_mask(image: Array) -> Annotated[Array, "mask"]:
    """Return levels as a mask."""
    return np.asarray(image, np.float32)


OPERATOR_TESTS = sorted(n for n in vars(OperatorContract) if n.startswith("test_"))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (good, set()),
        (no_mask, set()),  # the engine makes a mask of it
        (in_place, {"test_it_gives_the_same_twice"}),
        (bare, {"test_its_parameters_are_said"}),
        (silent, {"test_it_is_found_by_its_name"}),
        (flat, {"test_it_gives_what_it_says"}),
        (divides, {"test_a_blank_image_is_no_error"}),
        (remembers, {"test_it_gives_the_same_twice"}),
        (lambda image: np.array(image), {"test_it_travels_to_other_processes"}),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_an_operator_that_breaks_its_contract_is_seen(
    function: Callable[..., Any], expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("mine", "tests.test_testing:mine", "streamproc.operators")

    def scanned(group: str, where: object) -> list[tuple[str, EntryPoint]]:
        return [("mine", point)] if group == "operators" else []

    monkeypatch.setattr(plugins, "_scanned", scanned)
    monkeypatch.setattr(extension, "load", lambda *_: function)

    class Mine(OperatorContract):
        operator = "mine"

    failed = broken(Mine(), OPERATOR_TESTS)
    assert expected <= failed
    assert bool(failed) == bool(expected)


class Tally:
    """Appends a line per frame, and knows what it has."""

    def open(self, path: Path, tables: Any) -> None:
        self._path = path / "tally"
        text = self._path.read_text() if self._path.exists() else ""
        self._have = text.splitlines()

    def take(self, given: Any) -> None:
        new = [str(f.frame) for f in given if str(f.frame) not in self._have]
        self._have += new
        self._path.write_text("\n".join(self._have))

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Forgets(Tally):
    """Takes every frame for a new one."""

    def take(self, given: Any) -> None:
        self._have += [str(f.frame) for f in given]
        self._path.write_text("\n".join(self._have))


class Hoards(Tally):
    """Writes at its end alone."""

    def take(self, given: Any) -> None:
        self._have += [str(f.frame) for f in given if str(f.frame) not in self._have]

    def close(self) -> None:
        if hasattr(self, "_have"):
            self._path.write_text("\n".join(self._have))


class Batches(Tally):
    """Writes a line per call."""

    def take(self, given: Any) -> None:
        with self._path.open("a") as file:
            file.write(f"{len(given)}\n")


class Meddles(Tally):
    """Takes rows away from others."""

    def take(self, given: Any) -> None:
        for frame in given:
            frame.tables.clear()
        super().take(given)


class Insists(Tally):
    """Trusts that there is a table."""

    def open(self, path: Path, tables: Any) -> None:
        super().open(path, tables["cells"] and tables)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Tally, set()),
        (Forgets, {"test_a_frame_counts_once", "test_it_goes_on_after_a_crash"}),
        (Hoards, {"test_what_was_taken_is_there_before_the_end"}),
        (Batches, {"test_batches_make_no_difference"}),
        (Meddles, {"test_it_changes_nothing_it_is_given"}),
        (Insists, {"test_a_run_may_leave_nothing_to_take"}),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_an_observer_that_breaks_its_contract_is_seen(
    kind: type[Tally], expected: set[str], tmp_path: Path
) -> None:
    class Mine(ObserverContract):
        def make(self) -> Any:
            return kind()

        def read(self, path: Path) -> object:
            place = path / "tally"
            return place.read_text().split() if place.exists() else []

    failed = set()
    for name in (n for n in vars(ObserverContract) if n.startswith("test_")):
        folder = tmp_path / name
        folder.mkdir()
        given = () if name == "test_it_has_the_methods" else (folder,)
        failed |= broken(Mine(), [name], *given)
    assert expected <= failed
    assert bool(failed) == bool(expected)


def impure(store: Any, name: Any, kind: Any, axes: str) -> Any:
    """Write into the pixels."""
    encode = OmeZarr.encoder(store, name, kind, axes)

    def encoder(pixels: Array) -> Any:
        pixels += 1
        return encode(pixels)

    return encoder


def greedy(store: Any, frame: int, outputs: Any) -> list[Any]:
    """Take part of a frame that is refused."""
    parts = [{name: encoded} for name, encoded in outputs.items()]
    return [row for part in parts for row in OmeZarr.append_all(store, frame, part)]


def late(store: Any) -> None:
    """Show nothing before the end."""


def hides(store: Any, *_: Any, **__: Any) -> Any:
    """Recover nothing."""
    return Repair()


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ({}, set()),
        ({"encoder": impure}, {"test_encoding_is_pure"}),
        ({"publish": late}, {"test_what_is_published_is_read"}),
        ({"append_all": greedy}, {"test_a_refused_frame_leaves_no_part"}),
        ({"recover": hides}, {"test_recovery_keeps_what_was_committed"}),
    ],
    ids=["good", "impure", "late", "greedy", "hides"],
)
def test_a_store_that_breaks_its_contract_is_seen(
    methods: dict[str, Any], expected: set[str], tmp_path: Path
) -> None:
    kind: Any = type("Mine", (OmeZarr,), methods)

    class Mine(SinkContract):
        def make(self, path: Path, info: sp.SourceInfo) -> Any:
            return kind(path, info=info, saved_source=True)

        def read(self, path: Path, name: str, frame: int) -> Array | None:
            place = name if name in ("source", "smooth") else f"source/labels/{name}"
            if not (path / place / "0").exists():
                return None
            array: Any = zarr.open_array(path / place / "0", mode="r")
            return np.asarray(array[frame]) if frame < array.shape[0] else None

    failed = set()
    for name in (n for n in vars(SinkContract) if n.startswith("test_")):
        folder = tmp_path / name
        folder.mkdir()
        failed |= broken(Mine(), [name], folder)
    assert expected <= failed
    assert bool(failed) == bool(expected)


def test_a_contract_says_what_it_needs(tmp_path: Path) -> None:
    for name, method in (
        ("SourceContract", "test_stop_ends_it"),
        ("SinkContract", "test_encoding_is_pure"),
    ):
        contract = type("Mine", (getattr(sp.testing, name),), {})()
        with pytest.raises(NotImplementedError, match=r"Mine needs .*make"):
            getattr(contract, method)(tmp_path)
