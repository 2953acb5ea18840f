"""The socket of the live picture: newest frame wins, and nobody holds up anybody."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.ioloop import PeriodicCallback
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from streamproc.control import Control
from streamproc.errors import ConfigError, StreamprocError, one_line
from streamproc.folder import RunFolder

from .bench import Bench
from .feed import Feed
from .guard import Guard
from .history import History
from .picture import Look, Pictures
from .prometheus import exposition

#: Seconds between looks for a new frame, and between numbers.
LOOK, TELL = 0.03, 0.5
#: Pictures that a viewer may have and not have drawn.
CREDITS = 2
#: Bytes of what a viewer may ask in one message.
REQUEST = 64 << 10


class Hub:
    """Serves one run to all who look at it.

    What is read and encoded is read and encoded once for all, in one thread of its own,
    and only while somebody waits for it: without a viewer nothing is read at all.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.viewers: set[Viewer] = set()
        #: pictures encoded so far
        self.encoded = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dashboard")
        #: what is asked of the run's past
        self.history = History(folder)
        self._feed: Feed | None = None
        self._bench_of: Bench | None = None
        self._pictures: Pictures | None = None
        #: the newest picture, by how it is wanted
        self._newest: dict[Look, tuple[int, bytes]] = {}
        self._stamp: object = None
        self._is_busy = self._is_telling = False
        self._timers = [
            PeriodicCallback(self._publish, LOOK * 1e3),
            PeriodicCallback(self._tell, TELL * 1e3),
        ]

    def start(self) -> None:
        """Begin to look, on this thread's loop."""
        for timer in self._timers:
            timer.start()

    def close(self) -> None:
        """Look no more."""
        for timer in self._timers:
            timer.stop()
        self._pool.submit(self._let_go)
        self._pool.shutdown(wait=False)
        self.history.close()

    def wake(self) -> None:
        """Look at once: a viewer has room again."""
        asyncio.get_running_loop().create_task(self._publish())

    async def metrics(self) -> bytes:
        """Return the run's numbers as Prometheus takes them."""
        text: bytes = await self._in_thread(self._exposed)
        return text

    async def do(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do what a viewer asks for; return what to tell that viewer."""
        told: Mapping[str, Any] = await self._in_thread(self._command, request)
        return told

    async def _publish(self) -> None:
        """Send the newest frame to those who have not got it and have room."""
        if self._is_busy or not any(viewer.wants for viewer in self.viewers):
            return
        self._is_busy = True
        try:
            following = [v for v in self.viewers if v.wants and v.follows]
            looks = Counter(viewer.look for viewer in following)
            wanted = {viewer.look for viewer in self.viewers}
            self._newest = {k: v for k, v in self._newest.items() if k in wanted}
            # what most want is served first; a look of one's own costs its own encode
            for look, _ in looks.most_common():
                newest = await self._in_thread(self._encode, look)
                if newest is None:
                    continue
                for viewer in following:
                    is_new = viewer.look == look and viewer.at != newest[0]
                    if viewer.wants and viewer.follows and is_new:
                        viewer.send_picture(*newest)
            for viewer in tuple(self.viewers):
                shown = viewer.pinned
                if viewer.wants and shown is not None:
                    viewer.pinned = None
                    old = await self._in_thread(self._encode_frame, shown, viewer.look)
                    if old is not None:
                        viewer.send_picture(shown, old)
        finally:
            self._is_busy = False

    async def _tell(self) -> None:
        """Send the numbers to those who have taken the last ones."""
        if self._is_telling or not any(viewer.listens for viewer in self.viewers):
            return
        self._is_telling = True
        try:
            told = await self._in_thread(self._numbers)
            told["viewers"] = len(self.viewers)
            for viewer in tuple(self.viewers):
                viewer.send_numbers(told)
        finally:
            self._is_telling = False

    async def _in_thread(self, call: Callable[..., Any], *values: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, call, *values)

    # --- in the hub's thread ------------------------------------------------------

    @property
    def _known(self) -> Feed:
        if self._feed is None:
            self._feed = Feed(self.folder)
        return self._feed

    @property
    def _bench(self) -> Bench:
        if self._bench_of is None:
            self._bench_of = Bench(self._known)
        return self._bench_of

    def _encode(self, look: Look) -> tuple[int, bytes] | None:
        """Return the newest frame and its message."""
        stamp = self._known.stamp()
        if look in self._newest and stamp == self._stamp:
            return self._newest[look]
        newest = self._known.newest()
        if newest is None:
            return None
        known = self._newest.get(look)
        if known is None or known[0] != newest:
            message = self._encode_frame(newest, look, follows=True)
            if message is None:
                return None
            self._newest[look] = known = newest, message
        self._stamp = stamp
        return known

    def _encode_frame(
        self, frame: int, look: Look, follows: bool = False
    ) -> bytes | None:
        if self._pictures is None:
            self._pictures = Pictures(self.folder)
        try:
            picture = self._pictures.read(frame, look, follows=follows)
        except (StreamprocError, OSError, KeyError, ValueError):
            # just being written, or its folder is gone: the next look tells
            self._pictures = None
            return None
        if picture is None:
            return None
        self.encoded += 1
        committed = self._known.when(frame)[1]
        return picture.message(committed if committed is not None else time.time())

    def _exposed(self) -> bytes:
        return exposition(self._known)

    def _numbers(self) -> dict[str, Any]:
        feed = self._known
        reason = self._pictures.reason if self._pictures is not None else None
        newest = feed.newest()
        told = feed.told()
        return {
            "type": "stats",
            **told,
            "bench": self._bench.told(told),
            "newest": newest,
            "parameters": feed.parameters(),
            "adjustable": list(feed.adjustable),
            "events": feed.events(30),
            "alerts": feed.alerts(),
            "no_picture": reason,
            "field_um": feed.field_um(),
            "now": time.time(),
        }

    def _let_go(self) -> None:
        if self._feed is not None:
            self._feed.close()
        if self._pictures is not None:
            self._pictures.close()

    def _command(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            verb = request.get("do")
            if verb in ("pause", "resume", "drain", "stop"):
                getattr(Control(self.folder.path), verb)()
                return {"type": "done", "do": verb}
            if "set" in request:
                step, _, name = str(request["set"]).partition(".")
                value = request.get("value")
                frame = Control(self.folder.path).set(step, name, value)
                return {"type": "done", "set": request["set"], "frame": frame}
            if "mark" in request:
                at = Control(self.folder.path).mark(request["mark"])
                return {"type": "done", "mark": request["mark"], "frame": at}
            raise ConfigError("a viewer may ask to do, to set, to mark, or to show")
        except StreamprocError as error:
            return {"type": "error", "message": one_line(error)}


class Viewer(WebSocketHandler):
    """One open page: it is sent a picture when it has drawn the one before last."""

    def initialize(self, hub: Callable[[HTTPServerRequest], Hub], guard: Guard) -> None:
        """Take the run to show, and who may control it."""
        self._hub, self._guard = hub(self.request), guard
        self.credits, self.at = CREDITS, -1
        #: how it wants its pictures
        self.look = Look()
        #: the frame of the past that is to be shown, once
        self.pinned: int | None = None
        #: whether it is shown the newest frame
        self.follows = self._takes_numbers = True

    @property
    def wants(self) -> bool:
        """Whether it has room for a picture and waits for one."""
        return self.credits > 0 and (self.follows or self.pinned is not None)

    @property
    def listens(self) -> bool:
        """Whether it has taken the last numbers."""
        return self._takes_numbers

    def check_origin(self, origin: str) -> bool:
        """Take what the guard has let in."""
        return True

    def get_compression_options(self) -> None:
        """Compress nothing twice."""

    def open(self, *_: str) -> None:
        """Begin to show the run."""
        self.set_nodelay(True)
        self._hub.viewers.add(self)
        self._hub.wake()

    def on_close(self) -> None:
        """Forget the viewer."""
        self._hub.viewers.discard(self)

    async def on_message(self, message: str | bytes) -> None:
        """Take a sign of life, or a wish; what means nothing is told in one line."""
        try:
            request = json.loads(message) if len(message) <= REQUEST else None
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            self._say({"type": "error", "message": "a request is one JSON object"})
        elif "drawn" in request:
            self.credits = min(CREDITS, self.credits + 1)
            self._hub.wake()
        elif "heard" in request:
            self._takes_numbers = True
        elif "look" in request:
            try:
                self.look, self.at = Look.of(request["look"]), -1
            except ConfigError as error:
                self._say({"type": "error", "message": one_line(error)})
            self._hub.wake()
        elif "show" in request:
            frame = request["show"]
            is_frame = type(frame) is int and frame >= 0
            self.follows, self.pinned = not is_frame, frame if is_frame else None
            self.at = -1
            self._hub.wake()
        elif self._guard.role(self.request) != "operator":
            wish = str(request.get("do") or next(iter(request), "that"))[:40]
            told = f"you are watching: {wish} needs the operator's token"
            self._say({"type": "error", "message": told})
        else:
            self._say(await self._hub.do(request))

    def send_picture(self, frame: int, message: bytes) -> None:
        """Send a picture; it costs a credit until it is drawn."""
        self.credits -= 1
        self.at = frame
        self._send(message)

    def send_numbers(self, told: Mapping[str, Any]) -> None:
        """Send the numbers, unless the last ones were not taken yet."""
        if self._takes_numbers:
            self._takes_numbers = False
            self._say(told)

    def _say(self, told: Mapping[str, Any]) -> None:
        self._send(json.dumps(told))

    def _send(self, message: str | bytes) -> None:
        try:
            self.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            self._hub.viewers.discard(self)
