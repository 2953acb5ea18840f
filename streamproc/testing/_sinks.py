"""What the engine relies on in every store of images."""

import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from ..errors import FrameError
from ..frame import Array, SourceInfo
from ._frames import frames, truth


class Store(Protocol):
    """The store of a run: one thread appends, any process reads.

    Per group of frames: `append_all` and `record_time` each, then `flush`, `publish`,
    and the rows that `append_all` returned are committed to the ledger.
    """

    def encoder(self, name: str, kind: Any, axes: str) -> Callable[[Array], Any]:
        """Announce an output; return what makes its chunks, picklable and pure."""
        ...

    def append_all(self, frame: int, outputs: Mapping[str, Any]) -> list[Any]:
        """Stage one frame of several outputs, all or none; return rows to commit."""
        ...

    def record_time(self, frame: int, time: float | None) -> None:
        """Note when a frame was acquired."""
        ...

    def flush(self) -> None:
        """Put what was appended on the disk."""
        ...

    def publish(self) -> None:
        """Make it visible."""
        ...

    def recover(
        self,
        rows: Iterable[Any],
        times: Iterable[tuple[int, float | None]] = (),
        since: int = 0,
    ) -> Any:
        """Bring the disk in line with the committed rows; tell what is ``lost``."""
        ...

    def close(self, frames: int) -> None:
        """Finish, all outputs ``frames`` long."""
        ...

    def abandon(self) -> None:
        """Close the files without writing anything more."""
        ...


class SinkContract:
    """Tests of a store; inherit it and define `make` and `read`.

    ``names`` are the outputs tried: an image, a mask and labels of the source.
    """

    info = SourceInfo(
        shape=(64, 80), dtype=np.dtype(np.uint16), axes="yx", identity="contract"
    )
    names = ("source", "smooth", "mask", "nuclei")

    def make(self, path: Path, info: SourceInfo) -> Store:
        """Return the store at ``path``: a new one, or the one that is there."""
        raise NotImplementedError(f"{type(self).__name__} needs make(path, info)")

    def read(self, path: Path, name: str, frame: int) -> Array | None:
        """Return what any reader sees; None, or zeros, where the frame is missing."""
        raise NotImplementedError(f"{type(self).__name__} needs a method read")

    def test_encoding_is_pure(self, tmp_path: Path) -> None:
        """An encoder pickles, gives the same twice, and leaves the pixels alone."""
        store = self._open(tmp_path)
        for name, encoder in store.encoders.items():
            pixels = self._value(name, 0)
            pixels.flags.writeable = False
            first = pickle.dumps(encoder(pixels))
            again = pickle.loads(pickle.dumps(encoder))
            assert pickle.dumps(again(pixels)) == first, f"{name}: differs elsewhere"
            assert encoder(pixels).nbytes > 0, "nbytes tells the memory it takes"
        store.sink.abandon()

    def test_what_is_published_is_read(self, tmp_path: Path) -> None:
        """While it is written, and after; frames in between stay empty."""
        store = self._open(tmp_path)
        store.commit(0)
        self._check(tmp_path, 0)
        store.commit(1, 2, 5)
        self._check(tmp_path, 0, 1, 2, 5)
        store.sink.close(7)
        self._check(tmp_path, 0, 1, 2, 5)

    def test_a_frame_counts_once(self, tmp_path: Path) -> None:
        """Appending a frame again gives no rows and changes nothing."""
        store = self._open(tmp_path)
        store.commit(0, 1)
        assert store.append(1, value_of=0) == [], "frame 1 is there already"
        store.sink.flush()
        store.sink.publish()
        self._check(tmp_path, 0, 1)
        store.sink.close(2)
        self._check(tmp_path, 0, 1)

    def test_a_refused_frame_leaves_no_part(self, tmp_path: Path) -> None:
        """Another shape is a `FrameError`; none of the frame's images is taken."""
        store = self._open(tmp_path)
        store.commit(0)
        odd = store.encoders["smooth"](np.zeros((5, 6), np.float32))
        with pytest.raises(FrameError):
            store.append(1, smooth=odd)
        store.commit(2)
        store.sink.close(3)
        self._check(tmp_path, 0, 2)

    def test_recovery_keeps_what_was_committed(self, tmp_path: Path) -> None:
        """After a crash committed frames are there, the others are written anew."""
        store = self._open(tmp_path)
        store.commit(0, 1)
        store.append(2)
        store.sink.flush()
        store.sink.publish()
        store.sink.abandon()  # killed before the rows of frame 2 were committed
        again = self._open(tmp_path, store.rows)
        assert not again.recover().lost, "a committed chunk is missing"
        assert not again.recover().lost, "a second recovery harms"
        assert again.append(2), "a frame that was not committed is taken anew"
        again.sink.flush()
        again.sink.publish()
        again.commit(3)
        again.sink.close(4)
        self._check(tmp_path, 0, 1, 2, 3)

    def test_a_store_is_found_again_after_its_end(self, tmp_path: Path) -> None:
        """A run that ended well is opened and continued."""
        store = self._open(tmp_path)
        store.commit(0, 1)
        store.sink.close(2)
        again = self._open(tmp_path, store.rows)
        assert not again.recover().lost
        again.commit(2)
        again.sink.close(3)
        self._check(tmp_path, 0, 1, 2)

    def _open(self, folder: Path, rows: Iterable[Any] = ()) -> "_Recording":
        return _Recording(self, folder / "store", list(rows))

    def _value(self, name: str, frame: int) -> Array:
        height, width = self.info.shape
        image: Array = frames(frame + 1, shape=(height, width), seed=2)[frame]
        if name == "source":
            return image
        if name == "smooth":
            return np.asarray(image / np.float32(3))
        cells = np.zeros(image.shape, np.uint32)
        table = truth(frame + 1, shape=(height, width), seed=2)
        for number, cell in enumerate(table[table.frame == frame].itertuples(), 1):
            y, x = int(cell.y), int(cell.x)  # type: ignore[arg-type]  # a row's fields
            cells[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = number
        return cells if name == "nuclei" else (cells > 0).astype(np.uint8)

    def _check(self, folder: Path, *there: int) -> None:
        for name in self.names:
            for frame in range(max(there) + 1):
                found = self.read(folder / "store", name, frame)
                if frame in there:
                    assert found is not None, f"frame {frame} of {name} is missing"
                    expected = self._value(name, frame)
                    np.testing.assert_array_equal(found, expected, err_msg=name)
                else:
                    assert found is None or not np.any(found), f"{name} has {frame}"


class _Recording:
    """A store, its encoders, and the rows committed to the ledger."""

    def __init__(self, contract: SinkContract, path: Path, rows: list[Any]) -> None:
        kinds = {"mask": "mask", "nuclei": "labels"}
        self._contract = contract
        self.sink = contract.make(path, contract.info)
        self.encoders = {
            name: self.sink.encoder(name, kinds.get(name, "image"), "yx")
            for name in contract.names
        }
        self.rows = rows

    def append(
        self, frame: int, value_of: int | None = None, **other: Any
    ) -> list[Any]:
        source = frame if value_of is None else value_of
        outputs = {
            name: encoder(self._contract._value(name, source))
            for name, encoder in self.encoders.items()
        }
        rows = self.sink.append_all(frame, {**outputs, **other})
        self.sink.record_time(frame, 1e9 + frame)
        return rows

    def commit(self, *numbers: int) -> None:
        rows = [row for frame in numbers for row in self.append(frame)]
        self.sink.flush()
        self.sink.publish()
        self.rows += rows

    def recover(self) -> Any:
        times = {row.frame: 1e9 + row.frame for row in self.rows}
        return self.sink.recover(self.rows, sorted(times.items()), 0)
