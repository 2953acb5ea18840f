"""What the engine relies on in every source."""

import json
import math
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from ..errors import FrameError
from ..frame import AXES, Frame, Gap, Notice, Source, SourceInfo, Unreadable
from ..parameters import Parameters
from ..values import hash_image

Item: TypeAlias = Frame | Unreadable | Gap


class SourceContract:
    """Tests of a source; inherit it and define `make`.

    ``limit`` is how many items are taken of one source at most, ``patience`` the
    seconds after which a live source counts as one that does not end.
    """

    limit = 16
    patience = 60.0

    def make(self, folder: Path) -> Source:
        """Return a source, opened anew, with one frame or more (better five).

        Always the same content. ``folder`` is an empty one at the first call of a
        test, for files that the source needs; the last one is closed before the next
        is made.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method make(folder)")

    def make_damaged(self, folder: Path) -> Source | None:
        """Return a source with a frame that cannot be read; None where none can be."""
        return None

    def test_it_says_what_it_is(self, tmp_path: Path) -> None:
        """``info`` is complete, means something, and does not change."""
        with self._open(tmp_path) as source:
            assert isinstance(source, Source), "it lacks a method of Source"
            info = source.info
            _check_info(info)
            assert _told(source.info) == _told(info), "info changes"

    def test_its_suffixes_are_lower_case(self, tmp_path: Path) -> None:
        """``suffixes`` is a tuple such as ``(".tif",)``, or empty."""
        with self._open(tmp_path) as source:
            suffixes = type(source).suffixes
        assert isinstance(suffixes, tuple)
        for suffix in suffixes:
            assert suffix == suffix.lower(), f"{suffix!r} is compared in lower case"
            assert suffix.startswith("."), f"{suffix!r} begins with a dot"

    def test_its_parameters_are_those_of_the_yaml_form(self, tmp_path: Path) -> None:
        """The constructor is documented, its parameters are annotated."""
        with self._open(tmp_path) as source:
            kind = type(source)
        assert (kind.__doc__ or "").strip(), "the class has no docstring"
        parameters = Parameters(kind, positional=True)
        bare = [n for n in parameters.items if n not in parameters.types]
        bare += [
            n
            for n, p in parameters.items.items()
            if p.annotation is p.empty and n not in bare
        ]
        assert not bare, f"parameters without an annotation are not checked: {bare}"

    def test_frames_are_as_announced(self, tmp_path: Path) -> None:
        """Pixels are native, contiguous, of one shape, and nobody else's."""
        with self._open(tmp_path) as source:
            info = source.info
            items, hashes = [], []
            for item in islice(_items(source.frames()), self.limit):
                _check_item(item, info)
                items.append(item)
                hashes.append(_hash(item))
            source.stop()
            assert items, "make a source that has a frame"
            later = [_hash(item) for item in items]
            assert later == hashes, "pixels change after they were given"
            # a gap of an unknown number of frames has no place of its own
            known = (i for i in items if not isinstance(i, Gap) or i.count)
            places = [_place(item) for item in known]
            assert places == sorted(set(places)), "source_index must ascend"
            if info.frames is not None and info.frames < self.limit:
                given = [item for item in items if not isinstance(item, Gap)]
                assert len(given) == info.frames, "info.frames counts them all"

    def test_frames_begin_anywhere(self, tmp_path: Path) -> None:
        """``frames(start)`` is the rest of ``frames()``."""
        with self._open(tmp_path) as source:
            self._skip_live(source)
            items = self._take(source)
            for start in (0, 1, len(items) // 2, len(items) - 1):
                rest = self._take(source, start, self.limit - start)
                assert list(map(_key, rest)) == list(map(_key, items[start:]))
            if source.info.frames is not None:
                assert self._take(source, source.info.frames) == []

    def test_frames_may_be_left_early(self, tmp_path: Path) -> None:
        """Whoever stops listening leaves nothing behind."""
        with self._open(tmp_path) as source:
            first = self._take(source, 0, 1)
            if not source.info.live:
                assert list(map(_key, self._take(source, 0, 1))) == list(
                    map(_key, first)
                )

    def test_read_gives_what_frames_give(self, tmp_path: Path) -> None:
        """Any index, in any order, each time in memory of its own."""
        with self._open(tmp_path) as source:
            if not source.info.random_access:
                with pytest.raises(FrameError):
                    source.read(0)
                return
            items = self._take(source)
            for position in reversed(range(len(items))):
                self._compare(source, position, items[position])
            good = next(n for n, i in enumerate(items) if isinstance(i, Frame))
            key, pixels = _key(items[good]), source.read(good).pixels
            if pixels.flags.writeable:
                pixels[...] = 0
            assert _key(source.read(good)) == key, "two reads share their pixels"

    def test_read_from_several_threads(self, tmp_path: Path) -> None:
        """Four threads read all frames at once."""
        with self._open(tmp_path) as source:
            self._skip_sequence(source)
            items = self._take(source)
            begin = threading.Barrier(4)

            def read_all(first: int) -> None:
                begin.wait(self.patience)
                for step in range(len(items)):
                    position = (first + step) % len(items)
                    self._compare(source, position, items[position])

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(read_all, range(4)))

    def test_there_is_nothing_beyond_its_ends(self, tmp_path: Path) -> None:
        """An index out of range is a `FrameError`."""
        with self._open(tmp_path) as source:
            self._skip_sequence(source)
            assert source.info.frames is not None, "random access needs a length"
            for index in (-1, source.info.frames):
                with pytest.raises(FrameError):
                    source.read(index)

    def test_it_travels_to_other_processes(self, tmp_path: Path) -> None:
        """What can be read at random pickles, used or not, and outlives the other."""
        with self._open(tmp_path) as source:
            self._skip_sequence(source)
            copy = pickle.loads(pickle.dumps(source))
            items = self._take(source)
            again = pickle.loads(pickle.dumps(source))
        for other in (copy, again):
            assert _told(other.info) == _told(source.info)
            assert list(map(_key, self._take(other))) == list(map(_key, items))
            other.close()

    def test_its_identity_is_that_of_the_content(self, tmp_path: Path) -> None:
        """The same content is the same source, whenever it is opened."""
        told = []
        for _ in range(2):
            with self._open(tmp_path) as source:
                told.append(source.info.identity)
        assert told[0] == told[1], "a run could not be resumed"

    def test_closing_twice_is_closing(self, tmp_path: Path) -> None:
        """`close` may be called again, and before anything was read."""
        source = self.make(tmp_path)
        source.close()
        source.close()
        with self._open(tmp_path) as source:
            self._take(source, 0, 2)
            source.close()
            source.close()

    def test_stop_ends_it(self, tmp_path: Path) -> None:
        """A live source ends soon; any other one may ignore it."""
        with self._open(tmp_path) as source:
            if not source.info.live:
                source.stop()
                return
            begun = threading.Event()

            def listen() -> None:
                for _ in source.frames():
                    begun.set()

            thread = threading.Thread(target=listen, daemon=True)
            thread.start()
            assert begun.wait(self.patience), "no frame came"
            source.stop()
            thread.join(self.patience)
            assert not thread.is_alive(), "frames() goes on after stop()"

    def test_damage_is_one_frames_own(self, tmp_path: Path) -> None:
        """An unreadable frame is named, the others are as they were."""
        source = self.make_damaged(tmp_path)
        if source is None:
            pytest.skip("no damaged source is made (make_damaged)")
        try:
            items = self._take(source)
            for item in items:
                _check_item(item, source.info)
            bad = [i for i in items if isinstance(i, Unreadable)]
            assert bad, "make_damaged gives a source with an unreadable frame"
            assert any(isinstance(i, Frame) for i in items), "all frames are lost"
            if source.info.random_access:
                for position, item in enumerate(items):
                    self._compare(source, position, item)
        finally:
            source.stop()
            source.close()

    @contextmanager
    def _open(self, folder: Path) -> Iterator[Source]:
        source = self.make(folder)
        try:
            yield source
        finally:
            source.stop()
            source.close()

    def _take(
        self, source: Source, start: int = 0, count: int | None = None
    ) -> list[Item]:
        """Return items from ``start`` on, and leave."""
        frames = source.frames(start)
        items = list(islice(_items(frames), self.limit if count is None else count))
        if source.info.live:
            source.stop()
        close = getattr(frames, "close", None)
        if close is not None:
            close()
        return items

    def _compare(self, source: Source, position: int, item: Item) -> None:
        """Compare what is read at a position with what was given in sequence."""
        if isinstance(item, Frame):
            assert _key(source.read(position)) == _key(item)
        elif isinstance(item, Unreadable):
            with pytest.raises(FrameError):
                source.read(position)

    def _skip_live(self, source: Source) -> None:
        if source.info.live:
            pytest.skip("a live source does not begin again")

    def _skip_sequence(self, source: Source) -> None:
        if not source.info.random_access:
            pytest.skip("it is read in sequence (info.random_access is false)")


def _items(frames: Iterator[Item | Notice]) -> Iterator[Item]:
    """Yield all but what the source has to say."""
    for item in frames:
        if not isinstance(item, Notice):
            yield item
            continue
        assert item.kind.isidentifier(), f"kind {item.kind!r} is no word"
        assert item.message.strip(), "a notice says something"
        assert "\n" not in item.message, "a notice is one line"


def _check_info(info: SourceInfo) -> None:
    assert isinstance(info, SourceInfo)
    assert isinstance(info.shape, tuple)
    assert all(type(n) is int and n > 0 for n in info.shape), f"shape {info.shape}"
    assert isinstance(info.dtype, np.dtype)
    assert info.dtype.kind in "uif", f"{info.dtype} is no dtype of pixels"
    assert info.dtype.isnative, f"{info.dtype} is not native"
    assert info.axes.endswith("yx"), f"axes {info.axes!r} end with 'yx'"
    assert info.axes == "".join(a for a in AXES if a in info.axes), "order is czyx"
    assert len(info.axes) == len(info.shape), "one axis per dimension"
    assert isinstance(info.identity, str), "identity is text"
    assert info.identity, "identity is not empty"
    assert info.frames is None or (type(info.frames) is int and info.frames >= 0)
    assert not (info.live and info.random_access), "a live source has no past"
    assert set(info.pixel_size_um) <= set(info.axes) - {"c"}, "sizes are of z, y, x"
    rate = () if info.fps is None else (info.fps,)
    for number in (*info.pixel_size_um.values(), *rate):
        assert math.isfinite(number), f"{number} in pixel_size_um or fps"
        assert number > 0, f"{number} in pixel_size_um or fps"
    count = dict(zip(info.axes, info.shape, strict=True)).get("c", 0)
    assert len(info.channels) in (0, count), "one name per channel, or none"
    _check_json(info.metadata)


def _check_item(item: object, info: SourceInfo) -> None:
    assert isinstance(item, Frame | Unreadable | Gap), f"yields {type(item)}"
    assert item.time is None or math.isfinite(item.time), f"time {item.time}"
    if isinstance(item, Gap):
        assert item.count >= 0, "a gap ends where it begins, or later"
        assert item.reason, "a gap says its reason"
        return
    assert type(item.source_index) is int, f"source_index is {type(item.source_index)}"
    _check_json(item.metadata)
    if isinstance(item, Unreadable):
        assert item.error.strip(), "an unreadable frame says why"
        assert "\n" not in item.error, "an error is one line"
        return
    pixels = item.pixels
    assert isinstance(pixels, np.ndarray)
    assert pixels.shape == info.shape, f"{pixels.shape} is not info's {info.shape}"
    assert pixels.dtype == info.dtype, f"{pixels.dtype} is not info's {info.dtype}"
    assert pixels.dtype.isnative, "pixels are native"
    assert pixels.flags.c_contiguous, "pixels are C-contiguous"


def _check_json(metadata: Any) -> None:
    """Whatever is told of a frame goes into the ledger as JSON."""
    again = json.loads(json.dumps(dict(metadata), allow_nan=True))
    assert list(again) == list(metadata), "the keys of metadata are text"


def _hash(item: Item) -> str:
    return hash_image(item.pixels) if isinstance(item, Frame) else ""


def _place(item: Item) -> int:
    return item.first_source_index if isinstance(item, Gap) else item.source_index


def _key(item: Item) -> tuple[Any, ...]:
    """Return what two readings of one frame have in common."""
    if isinstance(item, Frame):
        told = json.dumps(dict(item.metadata), sort_keys=True)
        return (item.source_index, item.time, told, item.pixels.shape, _hash(item))
    return (type(item).__name__, _place(item))


def _told(info: SourceInfo) -> tuple[Any, ...]:
    maps = (dict(info.pixel_size_um), json.dumps(dict(info.metadata), sort_keys=True))
    return (
        info.shape,
        info.dtype,
        info.axes,
        info.identity,
        info.frames,
        info.live,
        info.random_access,
        info.fps,
        info.channels,
        maps,
    )
