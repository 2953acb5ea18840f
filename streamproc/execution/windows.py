"""Which background each frame needs, and when its frames are all admitted."""

from collections.abc import Callable, Iterator

from streamproc.frame import FrameRef
from streamproc.window import Window

from .protocol import WindowValue


class Windows:
    """Holds recent frames for the windowed steps; frames leave when ready to run.

    Frames of block 0 wait until the block is complete, or the source has ended:
    their background is made of the block itself. Later blocks need only frames
    before them. ``keep`` keeps pixels in memory once read, as long as a window
    reaches them.
    """

    def __init__(
        self,
        windows: tuple[Window, ...],
        submit: Callable[[WindowValue], None],
        *,
        keep: bool,
    ) -> None:
        self._windows = windows
        self._submit = submit
        self._keep = keep
        self._reach = max((w.reach for w in windows), default=0)
        self._pinned = max((w.pinned for w in windows), default=0)
        self._first_block = max((w.every for w in windows), default=0)
        self._recent: dict[int, FrameRef] = {}
        self._held: list[FrameRef] = []
        self._values: dict[str, WindowValue] = {}

    def admit(self, ref: FrameRef) -> Iterator[FrameRef]:
        """Take a frame; yield those that may run now, in order."""
        if not self._windows:
            yield ref
            return
        if self._keep and ref.address is not None:
            ref.keep = True
        self._recent[ref.frame] = ref
        if ref.frame - self._reach >= self._pinned:
            self._recent.pop(ref.frame - self._reach, None)
        if ref.frame < self._first_block:
            self._held.append(ref)
            if ref.frame + 1 == self._first_block:
                yield from self.flush()
        else:
            yield ref

    def flush(self) -> Iterator[FrameRef]:
        """Yield the frames of an incomplete first block: the source has ended."""
        held, self._held = self._held, []
        yield from held

    def values(self, frame: int) -> dict[str, WindowValue]:
        """Return the backgrounds that a frame needs, submitting new ones."""
        needed = {}
        for window in self._windows:
            block = window.block(frame)
            value = self._values.get(window.step)
            if value is None or value.key[1] != block:
                recent = (self._recent.get(n) for n in window.frames(block))
                refs = [ref for ref in recent if ref is not None and ref.error is None]
                value = WindowValue((window.step, block), refs, frame, window.method)
                self._values[window.step] = value
                self._submit(value)
            needed[window.step] = value
        return needed
