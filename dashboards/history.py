"""What the page asks of a run's past: rows, points, pixels, exports; over HTTP."""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from streamproc.errors import ConfigError, StoreError, StreamprocError, one_line
from streamproc.folder import RunFolder
from streamproc.frame import Array
from streamproc.reading import source_info
from streamproc.results import Results

from .explore import standalone
from .objects import Ask, Column, Objects, limited
from .picture import Look, Pictures

if TYPE_CHECKING:
    from .live import Hub

#: Questions to the tables at a time, and objects that are marked in one picture.
THREADS, MOST_MARKED = 4, 5000
#: What may be asked, as in an address.
QUESTIONS = "about|rows|points|frame|pixel|mask|plots|csv"

Answer = dict[str, Any] | bytes
#: Parameters of a request, by name.
Given = Mapping[str, str]


class History:
    """Answers for one run, in threads of its own; nothing is read unless asked."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        #: exports that are under way
        self.exports = 0
        self._objects = Objects(folder)
        self._pictures: Pictures | None = None
        #: the frame last asked for, as it is saved, and how
        self._whole: tuple[Any, tuple[Array | None, Array | None]] | None = None
        self._tables = ThreadPoolExecutor(THREADS, thread_name_prefix="tables")
        # one reader of images: a hovering cursor asks for the same frame again
        self._images = ThreadPoolExecutor(1, thread_name_prefix="images")

    def close(self) -> None:
        """Answer no more."""
        self._images.submit(self._let_go)
        self._images.shutdown(wait=False)
        self._tables.shutdown(wait=False, cancel_futures=True)

    async def answer(self, what: str, given: Given, stopped: Event) -> Answer:
        """Return what a page asks for.

        Raises
        ------
        StreamprocError
            It cannot be told; in one line.
        """
        ask: dict[str, Callable[[Given, Event], Answer]] = {
            "about": self._about,
            "rows": self._rows,
            "points": self._points,
            "frame": self._frame,
            "pixel": self._pixel,
            "mask": self._mask,
            "plots": lambda *_: standalone(),
        }
        pool = self._images if what in ("pixel", "mask") else self._tables
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, ask[what], given, stopped)

    async def rows(self, given: Given, stopped: Event) -> Callable[[], Any]:
        """Return what gives the parts of a CSV file, one at each call; None ends it."""
        parts = iter(self._objects.csv(_asked(given), stopped))
        loop = asyncio.get_running_loop()
        first = await loop.run_in_executor(self._tables, next, parts, None)
        waiting = [first]

        async def part() -> bytes | None:
            if waiting:
                return waiting.pop()
            return await loop.run_in_executor(self._tables, next, parts, None)

        return part

    # --- in threads ---------------------------------------------------------------

    def _about(self, given: Given, stopped: Event) -> Answer:
        """Return the tables with their columns, and what a picture may show."""
        results = Results(self._folder)
        names = list(results.labels)
        tables: dict[str, list[Column]] = {}
        with suppress(StreamprocError):
            tables = self._objects.tables()
        info: dict[str, Any] = {}
        with suppress(StreamprocError, KeyError, IndexError):
            source = source_info(self._folder)
            sizes = dict(zip(source.axes, source.shape, strict=True))
            info = {
                "shape": source.shape,
                "dtype": str(source.dtype),
                "z": sizes.get("z", 1),
                "channels": list(source.channels)
                or [str(c) for c in range(sizes.get("c", 1))],
            }
        return {
            "tables": {
                name: {
                    "columns": [asdict(column) for column in columns],
                    "labels": self._labels_of(name, names),
                }
                for name, columns in tables.items()
            },
            "labels": names,
            "picture": info,
        }

    def _labels_of(self, table: str, names: list[str]) -> str | None:
        """Return the saved label image whose objects a table's rows are."""
        past = self._folder.document().get("recorded") or {}
        saved, steps = past.get("saved") or {}, past.get("steps") or {}
        known = {saved.get(name, name): name for name in names}
        step = saved.get(table)
        for _ in range(len(steps) + 1):
            if step in known or step not in steps:
                break
            above = steps[step].get("of")
            step = above if isinstance(above, str) else (above or [None])[0]
        return known.get(step)

    def _rows(self, given: Given, stopped: Event) -> Answer:
        around = None
        if "around" in given:
            frame, _, label = given["around"].partition(":")
            around = _whole(frame, "around"), _whole(label, "around")
        return self._objects.rows(
            _asked(given),
            sort=given.get("sort", "frame"),
            descending=given.get("descending") == "1",
            offset=_whole(given.get("offset", "0"), "offset"),
            limit=_whole(given.get("limit", "100"), "limit"),
            around=around,
            stopped=stopped,
        )

    def _points(self, given: Given, stopped: Event) -> Answer:
        names = [name for name in given.get("columns", "").split("\n") if name]
        return self._objects.points(_asked(given), names, stopped)

    def _frame(self, given: Given, stopped: Event) -> Answer:
        """Return a frame's fate: of its number, or of the one done at a time."""
        if "time" in given:
            try:
                when = float(given["time"])
            except ValueError as error:
                raise ConfigError("time must be seconds since 1970") from error
            frame = self._objects.frame_at(when)
        else:
            frame = _whole(given.get("frame", ""), "frame")
        sql = "SELECT state, error, time FROM frames WHERE frame=?"
        with limited(self._folder.ledger, stopped=stopped) as db:
            row = db.execute(sql, (frame,)).fetchone()
        names = ("state", "error", "time")
        return {"frame": frame, **dict(zip(names, row or (None,) * 3, strict=True))}

    def _pixel(self, given: Given, stopped: Event) -> Answer:
        """Return a pixel's value and its object, with its row, as they are saved."""
        frame = _whole(given.get("frame", ""), "frame")
        y, x = (_whole(given.get(name, ""), name) for name in "yx")
        look = _look(given)
        key = frame, look
        if self._whole is None or self._whole[0] != key:
            self._whole = key, self._read(lambda p: p.whole(frame, look))
        image, labels = self._whole[1]
        value = label = row = None
        inside = image is not None and y < image.shape[0] and x < image.shape[1]
        if image is not None and inside and self._objects.has_pixels(frame):
            value = image[y, x].item()
            value = value if np.isfinite(value) else str(value)
        if labels is not None:
            if image is not None and labels.shape != image.shape:
                # a binned label image
                y = y * labels.shape[0] // image.shape[0]
                x = x * labels.shape[1] // image.shape[1]
            if y < labels.shape[0] and x < labels.shape[1]:
                label = int(labels[y, x])
        if label and given.get("table"):
            row = self._objects.row(given["table"], frame, label)
        return {"value": value, "label": label, "row": row}

    def _mask(self, given: Given, stopped: Event) -> Answer:
        """Return where objects are in the picture: height, width, packed bytes."""
        frame = _whole(given.get("frame", ""), "frame")
        numbers = [_whole(n, "label") for n in given.get("marked", "").split(",") if n]
        if len(numbers) > MOST_MARKED:
            raise ConfigError(f"at most {MOST_MARKED} objects can be marked at once")
        look = _look(given)
        found = self._read(lambda pictures: pictures.mask(frame, look, numbers))
        if found is None:
            raise ConfigError("no label image of these objects is saved")
        head = np.array(found.shape, "<u4").tobytes()
        return head + zlib.compress(np.ascontiguousarray(found).tobytes(), 1)

    def _read(self, call: Callable[[Pictures], Any]) -> Any:  # as the call returns
        if self._pictures is None:
            self._pictures = Pictures(self._folder)
        try:
            return call(self._pictures)
        except (OSError, KeyError, ValueError) as error:
            # just being written, or its folder is gone
            self._pictures = self._whole = None
            raise StoreError(f"the frame cannot be read: {one_line(error)}") from error

    def _let_go(self) -> None:
        if self._pictures is not None:
            self._pictures.close()


class Data(RequestHandler):
    """Answers one question of the page; what is wrong with it is said in one line."""

    def initialize(self, hub: Callable[[HTTPServerRequest], "Hub"]) -> None:
        """Take the run to tell of."""
        self._history, self._stopped = hub(self.request).history, Event()

    def set_default_headers(self) -> None:
        """What is told holds now, and not later."""
        self.set_header("Cache-Control", "no-store")

    async def get(self, what: str) -> None:
        """Answer."""
        names = self.request.query_arguments
        given = {name: self.get_query_argument(name, strip=False) for name in names}
        try:
            if what == "csv":
                await self._send_rows(given)
                return
            answer = await self._history.answer(what, given, self._stopped)
        except StreamprocError as error:
            # a filter being typed is no failure of the page; a download is
            if what == "csv":
                self.set_status(400)
            answer = {"error": one_line(error)}
        if isinstance(answer, bytes):
            self.set_header("Content-Type", "application/octet-stream")
        self.finish(answer)

    def on_connection_close(self) -> None:
        """Ask no more for who has left."""
        self._stopped.set()

    async def _send_rows(self, given: Given) -> None:
        part = await self._history.rows(given, self._stopped)
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in given["table"])
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{name}.csv"')
        is_whole = False
        self._history.exports += 1
        try:
            while (block := await part()) is not None:
                self.write(block)
                await self.flush()
            is_whole = True
        except (StreamClosedError, StreamprocError):
            return
        finally:
            self._history.exports -= 1
            # what is not must not look so: the browser says that the download failed
            if not is_whole:
                self.detach().close()


def _asked(given: Given) -> Ask:
    frame = given.get("frame")
    return Ask(
        given.get("table", ""),
        _whole(frame, "frame") if frame else None,
        given.get("filter", ""),
    )


def _look(given: Given) -> Look:
    z = given.get("z")
    return Look(
        _whole(given.get("channel", "0"), "channel"),
        _whole(z, "z") if z else None,
        labels=given.get("labels") or None,
    )


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ConfigError(f"{name} must be a whole number of 0 or more, got {text!r}")
    return int(text)
