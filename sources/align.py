"""Frames of several sources that belong together, joined by time or trigger number."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, MinLen

from streamproc.errors import ConfigError, FrameError, SourceError
from streamproc.frame import Frame, Gap, Notice, Source, SourceInfo, Unreadable
from streamproc.plugins import make_source

Given = Frame | Unreadable
#: Frames and bytes of one source that may wait for those of the others.
_MOST, _MOST_BYTES = 64, 256 << 20
#: Seconds that the end waits for a source that hangs.
_PATIENCE = 5.0


class Align:
    """Join the frames of several sources that were taken together.

    A joined frame has the channels of all, in the order of the sources. It is made of
    one frame of each whose times differ by ``tolerance_ms`` at most, or that have the
    same number. A frame without a partner in every other source is lost: a gap at
    ``place`` align.

    Parameters
    ----------
    sources
        Two or more, each as ``source`` takes it. Their frames have one shape and
        dtype, channels aside: bin or cut the larger ones.
    tolerance_ms
        How far apart, in milliseconds, frames that belong together may be. Less than
        half of the time between two frames, or a frame may find the wrong partner.
    by
        ``time`` (of acquisition: clocks of two devices may differ) or ``trigger``
        (the sources' own counters, of cameras that one trigger starts).

    Raises
    ------
    ConfigError
        One source alone, frames that do not fit together, a tolerance that is missing
        or has no meaning.

    Notes
    -----
    Time and metadata of a joined frame are those of the first source; ``others`` in
    the metadata has the others', each with ``time`` and ``source_index``.
    ``source_index`` counts joined and lost frames; by trigger it is their number. Where
    a source lost frames itself, the gap in ``gaps`` counts none: their partners are
    counted. Where recordings differ in length, what is left of the longer one is lost.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        sources: Annotated[Sequence[Any], MinLen(1)],
        *,
        tolerance_ms: Annotated[float, Ge(0)] | None = None,
        by: Literal["time", "trigger"] = "time",
    ) -> None:
        if by == "time" and tolerance_ms is None:
            raise ConfigError(
                "align by time needs tolerance_ms: how far times may differ"
            )
        if by == "trigger" and tolerance_ms is not None:
            raise ConfigError(
                "align by trigger takes no tolerance_ms: numbers are equal"
            )
        if isinstance(sources, str) or len(sources) < 2:
            raise ConfigError(f"align joins two sources or more, got {sources!r:.80}")
        self._by = by
        self._tolerance = (tolerance_ms or 0.0) / 1e3
        self._sources: list[Source] = []
        try:
            for i, given in enumerate(sources):
                self._sources.append(make_source(given, f"source.align.sources.{i}"))
            self.info = self._describe()
        except BaseException:
            self.close()
            raise

    def _describe(self) -> SourceInfo:
        """Return what the joined frames are."""
        infos = [source.info for source in self._sources]
        first = infos[0]
        for number, info in enumerate(infos[1:], 2):
            if _plane(info) != _plane(first):
                raise ConfigError(
                    f"align joins frames of one shape and dtype; source 1 gives "
                    f"{first.shape} {first.dtype}, source {number} {info.shape} "
                    f"{info.dtype}; cut or bin the larger one, or convert it"
                )
        names = [name for i, info in enumerate(infos, 1) for name in _channels(info, i)]
        axes = first.axes.replace("c", "")
        identities = ", ".join(info.identity for info in infos)
        return SourceInfo(
            shape=(len(names), *_plane(first)[0]),
            dtype=first.dtype,
            axes="c" + axes,
            identity=f"align:{self._by}:{self._tolerance:g}:[{identities}]",
            frames=None,
            live=any(info.live for info in infos),
            pixel_size_um=first.pixel_size_um,
            fps=first.fps,
            channels=tuple(names),
            metadata={"sources": [dict(info.metadata) for info in infos]},
        )

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap | Notice]:
        """Yield joined frames, and what found no partner, in order."""
        # recordings begin at their begin: how many were joined is not known before
        begin = start if self.info.live else 0
        changed = threading.Condition()
        feeds = [
            _Feed(number, source, begin, changed, by=self._by)
            for number, source in enumerate(self._sources, 1)
        ]
        try:
            for feed in feeds:
                feed.start()
            for item in _Joining(feeds, begin, self).items():
                if isinstance(item, Notice) or _first(item) >= start:
                    yield item
        finally:
            self.stop()
            for feed in feeds:
                feed.leave()

    def read(self, index: int) -> Frame:
        """Refuse: what belongs together is found in sequence.

        Raises
        ------
        FrameError
            Always.
        """
        raise FrameError(f"frame {index}: joined frames are read in sequence")

    def stop(self) -> None:
        """End all sources."""
        for source in self._sources:
            with suppress(Exception):
                source.stop()

    def close(self) -> None:
        """Close all sources."""
        for source in self._sources:
            with suppress(Exception):
                source.close()


class _Feed(threading.Thread):
    """What one source gives, taken by a thread of its own, at most so much ahead.

    All but `run` is for who holds ``changed``.
    """

    def __init__(
        self,
        number: int,
        source: Source,
        start: int,
        changed: threading.Condition,
        *,
        by: Literal["time", "trigger"],
    ) -> None:
        super().__init__(name=f"align-{number}", daemon=True)
        self.number = number
        self.items: deque[Any] = deque()
        self.has_ended = False
        self.error: BaseException | None = None
        self._source, self._start_index, self._changed = source, start, changed
        self._by = by
        self._most = max(2, min(_MOST, _MOST_BYTES // max(source.info.nbytes, 1)))
        self._is_left = False

    def run(self) -> None:
        """Take items until the source ends, or nobody wants them."""
        try:
            for item in self._source.frames(self._start_index):
                with self._changed:
                    self._changed.wait_for(lambda: not self.is_full or self._is_left)
                    if self._is_left:
                        return
                    self.items.append(item)
                    self._changed.notify_all()
        except BaseException as error:  # raised where the frames are joined
            self.error = error
        finally:
            with self._changed:
                self.has_ended = True
                self._changed.notify_all()

    @property
    def is_full(self) -> bool:
        """Whether the source has to wait."""
        return len(self.items) >= self._most

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self.has_ended and not self.items

    def key(self) -> float:
        """Return what its next frame is joined by: seconds, or a number.

        Raises
        ------
        SourceError
            The frame has no time.
        """
        item = self.items[0]
        if self._by == "trigger":
            return int(item.source_index)
        if item.time is None:
            raise SourceError(
                f"align by time: frame {item.source_index} of source {self.number} has "
                "no time; join by trigger"
            )
        return float(item.time)

    def pop(self) -> Any:  # an item of the source
        """Return the next item and make room."""
        item = self.items.popleft()
        self._changed.notify_all()
        return item

    def leave(self) -> None:
        """Take nothing more; wait until the source is left alone."""
        with self._changed:
            self._is_left = True
            self._changed.notify_all()
        self.join(_PATIENCE)


class _Joining:
    """Finds partners among the next frames of all sources."""

    def __init__(self, feeds: Sequence[_Feed], start: int, align: Align) -> None:
        self._feeds, self._align = feeds, align
        self._changed = feeds[0]._changed
        self._index = start
        self._by_trigger = align._by == "trigger"
        self._has_begun = False
        #: the last index that found no partner, and is not told yet
        self._alone = -1

    def items(self) -> Iterator[Frame | Unreadable | Gap | Notice]:
        """Yield what is joined, lost, and said."""
        while (found := self._next()) is not None:
            yield from found
        if self._alone >= self._index:
            reason = "another source ended: no partner"
            yield self._lost(self._index, self._alone, reason)

    def _next(self) -> Sequence[Frame | Unreadable | Gap | Notice] | None:
        """Wait for something to happen; None at the end."""
        feeds = self._feeds
        if self._align.info.live and any(feed.is_over for feed in feeds):
            self._align.stop()  # the others cannot be joined any more
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    all(f.items or f.has_ended for f in feeds)
                    or any(f.is_full for f in feeds)
                )
            )
            for feed in feeds:
                if feed.is_over and feed.error is not None:
                    raise feed.error
                if feed.items and not isinstance(feed.items[0], Frame | Unreadable):
                    return [self._said(feed.pop(), feed)]
            given = [feed for feed in feeds if feed.items]
            if not given:
                return None
            if len(given) < len(feeds):
                over = any(feed.is_over for feed in feeds)
                alone = given if over else [feed for feed in given if feed.is_full]
                return self._left_alone(alone[0], is_last=over)
            newest = max(feed.key() for feed in feeds)
            oldest = min(feeds, key=_Feed.key)
            if oldest.key() < newest - self._align._tolerance:
                return self._left_alone(oldest)
            return self._join([feed.pop() for feed in feeds])

    def _left_alone(self, feed: _Feed, *, is_last: bool = False) -> Sequence[Gap]:
        """Count a frame without a partner; those at the end are told together."""
        item = feed.pop()
        if self._by_trigger:  # told with the next one that is joined
            self._alone = max(self._alone, item.source_index)
            return ()
        if is_last:
            self._alone = max(self._alone + 1, self._index)
            return ()
        reason = f"frame {item.source_index} of source {feed.number} has no partner"
        gap = self._lost(self._index, self._index, reason, item.time)
        self._index += 1
        return (gap,)

    def _join(self, parts: Sequence[Given]) -> Sequence[Frame | Unreadable | Gap]:
        """Return the joined frame, after the numbers that are missing before it."""
        found: list[Frame | Unreadable | Gap] = []
        first = parts[0]
        if self._by_trigger:
            number = first.source_index
            if self._has_begun and number > self._index:
                reason = "no partner in another source"
                found.append(self._lost(self._index, number - 1, reason, first.time))
            self._index = number
        index, self._index, self._has_begun = self._index, self._index + 1, True
        others = [
            {"source_index": p.source_index, "time": p.time, **p.metadata}
            for p in parts[1:]
        ]
        metadata = {**first.metadata, "others": others}
        pixels = []
        for number, (part, source) in enumerate(
            zip(parts, self._align._sources, strict=True), 1
        ):
            if isinstance(part, Unreadable):
                error = f"source {number}: {part.error}"
                found.append(Unreadable(index, error, first.time, metadata))
                return found
            has_channels = "c" in source.info.axes
            pixels.append(part.pixels if has_channels else part.pixels[None])
        found.append(Frame(np.concatenate(pixels), index, first.time, metadata))
        return found

    def _said(self, item: Gap | Notice, feed: _Feed) -> Gap | Notice:
        """Return what one source has to say, as the joined one says it."""
        if isinstance(item, Notice):
            message = f"source {feed.number}: {item.message}"
            return Notice(item.kind, message, item.level)
        lost = f"{item.first_source_index} to {item.last_source_index}"
        lost = lost if item.count else "unknown frames"
        reason = f"source {feed.number} lost {lost}: {item.reason}"
        return Gap(self._index, self._index - 1, reason, item.time, item.place)

    def _lost(
        self, first: int, last: int, reason: str, time: float | None = None
    ) -> Gap:
        return Gap(first, last, reason, time, "align")


def _plane(info: SourceInfo) -> tuple[tuple[int, ...], str, str]:
    """Return what the frames of all sources have in common: all but the channels."""
    axes = zip(info.axes, info.shape, strict=True)
    shape = tuple(size for axis, size in axes if axis != "c")
    return shape, info.axes.replace("c", ""), info.dtype.name


def _channels(info: SourceInfo, number: int) -> Sequence[str]:
    """Return the names of a source's channels among those of all."""
    count = dict(zip(info.axes, info.shape, strict=True)).get("c", 1)
    names = info.channels or [str(i) for i in range(count)]
    if count == 1 and not info.channels:
        return [str(number)]
    return [f"{number} {name}" for name in names]


def _first(item: Given | Gap) -> int:
    return item.first_source_index if isinstance(item, Gap) else item.source_index
