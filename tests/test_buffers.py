"""Memory that is used again: never while somebody has it, and no more than allowed."""

import threading
from collections import deque
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamproc.buffers import Buffers, is_own

SHAPE = (256, 512)
SIZE = SHAPE[0] * SHAPE[1]


def picture(value: int) -> NDArray[np.uint8]:
    return np.full(SHAPE, value, np.uint8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 5), max_size=60), st.integers(0, 6))
def test_what_somebody_has_stays_as_it_is(acts: list[int], kept: int) -> None:
    """Copies are made, and views of them held or let go, in any order."""
    buffers = Buffers(kept * SIZE)
    held: deque[tuple[int, NDArray[Any]]] = deque()
    for number, act in enumerate(acts, 1):
        if act < 0 and held:
            held.rotate(act)
            held.pop()
            continue
        copy = buffers.copy(picture(number % 256))
        views = (
            copy,
            copy[3:],
            copy.T,
            copy.reshape(-1),
            copy.view(np.uint16),
            copy[:, 1],
        )
        held.append((number % 256, views[abs(act)]))
        for value, array in held:
            assert (
                (array.view(np.uint8) == value).all()
                if array.flags.c_contiguous
                else (array == value).all()
            )


def test_memory_is_used_again() -> None:
    buffers = Buffers(4 * SIZE)
    places = set()
    for number in range(20):
        copy = buffers.copy(picture(number))
        places.add(copy.ctypes.data)
    assert len(places) <= 2
    kept = [buffers.copy(picture(n)) for n in range(6)]
    assert [int(array[0, 0]) for array in kept] == list(range(6))


def test_copies_are_ones_own_and_said_to_be() -> None:
    buffers = Buffers(1 << 30)
    part = picture(7)[:, ::2]
    copy = buffers.copy(np.repeat(part, 4, axis=0))
    assert copy.flags.c_contiguous
    assert copy.flags.writeable
    assert is_own(copy)
    assert not is_own(part)
    small = buffers.copy(np.arange(6).reshape(2, 3)[:, ::-1])
    assert small.base is None
    np.testing.assert_array_equal(small, [[2, 1, 0], [5, 4, 3]])


def test_threads_do_not_share() -> None:
    buffers = Buffers(1 << 30)
    wrong: list[int] = []

    def work(value: int) -> None:
        for _ in range(200):
            copy = buffers.copy(picture(value))
            if not (copy == value).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
