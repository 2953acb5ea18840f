"""What a camera did while no run was on: the gap before its first new frame."""

from collections.abc import Iterator

from streamproc.frame import Frame, Gap, Unreadable

#: ``place`` of a gap between two processes of one run.
RESTART = "restart"


class Continuity:
    """Compares what a camera gives after a restart with what the log ends on.

    ``expected`` is the source index that would follow the last admitted frame; None
    where the run begins. Once the first frame is there, nothing is compared any more:
    what is lost while a run is on, the source tells itself.
    """

    def __init__(self, expected: int | None) -> None:
        self._expected = expected

    def before(self, item: Frame | Unreadable | Gap) -> Iterator[Gap]:
        """Yield the gap to record before ``item``, if there is one."""
        expected = self._expected
        if expected is None:
            return
        first, last = _span(item)
        if isinstance(item, Gap) and not item.count:
            self._expected = None  # the source tells what it knows
            return
        # a gap told by the source may be a part of the whole
        self._expected = last + 1 if isinstance(item, Gap) else None
        if first > expected:
            yield Gap(
                expected, first - 1, "the run was not on", item.time, place=RESTART
            )
        elif last < expected:
            self._expected = None
            yield _unknown(expected, first, item.time)


def _span(item: Frame | Unreadable | Gap) -> tuple[int, int]:
    if isinstance(item, Gap):
        return item.first_source_index, item.last_source_index
    return item.source_index, item.source_index


def _unknown(expected: int, first: int, time: float | None) -> Gap:
    """Return a gap of no frames: the counter says nothing about how many are lost."""
    return Gap(
        expected,
        expected - 1,
        f"the source's counter begins anew at {first}, expected {expected}; "
        "how many frames were missed is unknown",
        time,
        place=RESTART,
    )
