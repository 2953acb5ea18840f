"""The median of small windows: rows are sorted once, then merged by networks.

Two windows one above the other share all rows but one of each. So pixels are sorted
along each row once, for all windows that hold the row; rows are merged by two, for all
that hold both; these into what a last row can still move to the middle, for two.
A. Adams (2021), "Fast median filters using separable sorting networks",
doi:10.1145/3450626.3459773.

A network compares and exchanges without branches. It is compiled as straight code on
vectors: no compiler finds them in loops that touch so many rows at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # llvmlite ships no types
from numba import types
from numba.extending import intrinsic

from ..frame import Array
from ._jit import VECTOR, aligned, jit
from ._network import Step, merged, needed, ordered

#: Bytes of a strip of a row: its lists stay in the first cache.
_STRIP = 512


def small_median(plane: Array, size: int, out: Array) -> None:
    """Write the median over ``size`` pixels along both axes; the border goes on.

    The plane holds no NaN; ``out`` is contiguous.
    """
    height, width = plane.shape
    is_narrow = height < 2 or width * plane.itemsize < VECTOR
    run = _run if size > 3 or is_narrow else _run_three
    run(plane.reshape(-1), height, width, (0,) * size, out.reshape(-1))


@dataclass(frozen=True)
class _Plan:
    """What becomes of some lists of pixels."""

    #: where each begins, as a place in ``starts``, and how long it is
    lists: list[tuple[int, int]]
    steps: list[Step]
    #: the places of what is written, in order, for each of ``ends``
    wanted: list[list[int]]
    #: whether pixels of a list are neighbours, or a strip apart
    along: bool = False


def _of_row(size: int) -> _Plan:
    steps: list[Step] = []
    found = ordered(list(range(size)), steps)
    return _Plan([(0, size)], steps, [found], along=True)


def _of_two(size: int) -> _Plan:
    steps: list[Step] = []
    found = merged(list(range(size)), list(range(size, 2 * size)), steps)
    return _Plan([(0, size), (1, size)], steps, [found])


def _of_shared(size: int) -> _Plan:
    steps: list[Step] = []
    found: list[int] = []
    for first in range(0, size * (size - 1), 2 * size):
        found = merged(found, list(range(first, first + 2 * size)), steps)
    lists = [(i, 2 * size) for i in range(size // 2)]
    return _Plan(lists, steps, [_middle(found, size)])


def _of_window(size: int) -> _Plan:
    steps: list[Step] = []
    last = list(range(size + 1, 2 * size + 1))
    found = merged(list(range(size + 1)), last, steps)
    return _Plan([(0, size + 1), (1, size)], steps, [[found[size]]])


def _of_four_rows(size: int) -> _Plan:
    """Two windows of three rows; the compiler sees what they share."""
    steps: list[Step] = []
    rows, wanted = (1, 2, 0, 1, 2, 3), []
    for window in range(2):
        first = 9 * window
        a, b, own = (
            ordered(list(range(i, i + 3)), steps) for i in range(first, first + 9, 3)
        )
        found = merged(_middle(merged(a, b, steps), size), own, steps)
        wanted.append([found[size]])
    return _Plan([(row, 3) for row in rows], steps, wanted, along=True)


def _middle(shared: list[int], size: int) -> list[int]:
    """Return what can be the median of ``size`` more."""
    middle = size * size // 2
    return shared[middle - size : middle + 1]


def _network(plan: Callable[[int], _Plan]) -> Any:
    """Return compiled code that reads lists of pixels and writes some in order.

    ``run(source, starts, out, ends, x, window)``: list ``i`` begins at
    ``source[starts[i] + x]``, what is wanted of it at ``out[ends[i] + x]``, pixels a
    strip apart; the length of ``window`` is its size.
    """

    def run(
        _: Any, source: Any, starts: Any, out: Any, ends: Any, x: Any, window: Any
    ) -> Any:
        made = plan(len(window))
        kind = source.dtype
        item = kind.bitwidth // 8
        strip = _STRIP // item
        wanted = [place for places in made.wanted for place in places]

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vector = ir.VectorType(context.get_data_type(kind), VECTOR // item)

            def data(position: int) -> Any:
                array = context.make_array(signature.args[position])
                return array(context, builder, args[position]).data

            def begin(position: int, i: int) -> Any:
                place = builder.gep(data(position), [ir.Constant(ir.IntType(64), i)])
                return builder.add(builder.load(place), args[4])

            def at(position: int, first: Any, offset: int) -> Any:
                place = builder.add(first, ir.Constant(first.type, offset))
                pixel = builder.gep(data(position), [place])
                return builder.bitcast(pixel, vector.as_pointer())

            values = []
            for start, count in made.lists:
                first = begin(1, start)
                for k in range(count):
                    where = at(0, first, k if made.along else k * strip)
                    values.append(builder.load(where, align=item))
            for low, high, keeps_low, keeps_high in needed(made.steps, wanted):
                a, b = values[low], values[high]
                is_less = _less(builder, kind, a, b)
                if keeps_low:
                    values[low] = builder.select(is_less, a, b)
                if keeps_high:
                    values[high] = builder.select(is_less, b, a)
            for i, places in enumerate(made.wanted):
                first = begin(3, i)
                for k, place in enumerate(places):
                    builder.store(values[place], at(2, first, k * strip), align=item)
            return context.get_dummy_value()

        return types.void(source, starts, out, ends, x, window), code

    return intrinsic(run)


def _less(builder: Any, kind: Any, a: Any, b: Any) -> Any:
    if isinstance(kind, types.Float):
        return builder.fcmp_ordered("<", a, b)
    compare = builder.icmp_signed if kind.signed else builder.icmp_unsigned
    return compare("<", a, b)


_sort = _network(_of_row)
_pair = _network(_of_two)
_share = _network(_of_shared)
_finish = _network(_of_window)
_finish_two = _network(_of_four_rows)


@jit
def _run(
    plane: Array, height: int, width: int, window: tuple[int, ...], out: Array
) -> None:
    """Go down strips of columns, two rows of windows at a time.

    Rows are taken by two: windows y and y + 1 share ``half`` of these pairs, the one
    before ends with the first row of window y, the one after begins with the last of
    window y + 1.
    """
    size, half = len(window), len(window) // 2
    strip, lanes = _STRIP // plane.itemsize, VECTOR // plane.itemsize
    first = strip + lanes * -(-2 * half // lanes)
    seconds = first + size * strip
    pairs = seconds + (half + 2) * size * strip
    shared = pairs + (half + 1) * 2 * size * strip
    found = shared + (size + 1) * strip
    work = aligned(found + strip, plane)
    starts, ends = np.zeros(size, np.int64), np.zeros(1, np.int64)
    for left in range(0, width, strip):
        n = min(strip, width - left)
        inside = left >= half and left + strip + half <= width
        for step in range(-1 - half, (height + 1) // 2):
            pair = step + half
            second = seconds + pair % (half + 2) * size * strip
            for k in range(2):
                y = min(max(2 * pair - half + 1 + k, 0), height - 1)
                ends[0] = second if k else first
                if inside:
                    starts[0] = y * width + left - half
                    for x in range(0, strip, lanes):
                        _sort(plane, starts, work, ends, x, window)
                else:
                    _continue(plane, y * width, width, left, n, half, work, 0)
                    starts[0] = 0
                    for x in range(0, strip, lanes):
                        _sort(work, starts, work, ends, x, window)
            starts[0], starts[1] = first, second
            ends[0] = pairs + pair % (half + 1) * 2 * size * strip
            for x in range(0, strip, lanes):
                _pair(work, starts, work, ends, x, window)
            if step < 0:
                continue
            for i in range(half):
                starts[i] = pairs + (step + i) % (half + 1) * 2 * size * strip
            ends[0] = shared
            for x in range(0, strip, lanes):
                _share(work, starts, work, ends, x, window)
            above = seconds + (step - 1) % (half + 2) * size * strip
            for y in range(2 * step, min(2 * step + 2, height)):
                starts[0] = shared
                starts[1] = first if y % 2 else above
                if n == strip:
                    ends[0] = y * width + left
                    for x in range(0, strip, lanes):
                        _finish(work, starts, out, ends, x, window)
                else:
                    ends[0] = found
                    for x in range(0, strip, lanes):
                        _finish(work, starts, work, ends, x, window)
                    _copy(work, found, out, y * width + left, n)


@jit
def _run_three(
    plane: Array, height: int, width: int, window: tuple[int, ...], out: Array
) -> None:
    """Take three rows and three columns, straight from the pixels.

    The last vector of a row, and the last two rows, may be written a second time.
    """
    lanes = VECTOR // plane.itemsize
    pitch = lanes * (width // lanes + 2)
    work = aligned(4 * pitch, plane)
    starts, ends = np.zeros(4, np.int64), np.zeros(2, np.int64)
    for y in range(0, height, 2):
        y = min(y, height - 2)
        for k in range(4):
            starts[k] = (y + k) % 4 * pitch
            if k > 1 or y == 0:
                row = min(max(y - 1 + k, 0), height - 1)
                _continue(plane, row * width, width, 0, width, 1, work, starts[k])
        ends[0], ends[1] = y * width, (y + 1) * width
        for x in range(0, width, lanes):
            x = min(x, width - lanes)
            _finish_two(work, starts, out, ends, x, window)


@jit
def _continue(
    plane: Array,
    row: int,
    width: int,
    left: int,
    n: int,
    half: int,
    work: Array,
    at: int,
) -> None:
    """Copy a part of a row with ``half`` pixels more on both sides."""
    first, last = max(left - half, 0), min(left + n + half, width)
    begin = at + half - left
    _copy(plane, row + first, work, begin + first, last - first)
    for x in range(left - half, first):
        work[begin + x] = plane[row]
    for x in range(last, left + n + half):
        work[begin + x] = plane[row + width - 1]


@jit
def _copy(source: Array, a: int, into: Array, b: int, n: int) -> None:
    old, new = source[a : a + n], into[b : b + n]
    for x in range(n):
        new[x] = old[x]
