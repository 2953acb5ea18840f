"""The bound on frames and bytes in flight."""

import threading
from concurrent.futures import ThreadPoolExecutor

from streamproc.execution.budget import Budget


def test_one_frame_is_always_admitted() -> None:
    budget = Budget(10, 4)
    assert budget.acquire(1000)
    assert budget.peak == 1000
    budget.release(1000)
    assert budget.acquire(1)


def test_who_waits_goes_on_when_there_is_room() -> None:
    budget = Budget(10, 4)
    assert budget.acquire(6)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(budget.acquire, 6)
        assert not waiting.done()
        budget.release(6)
        assert waiting.result(10)
    assert budget.peak == 6


def test_frames_are_counted_too() -> None:
    budget = Budget(1000, 2)
    assert budget.acquire(1)
    assert budget.acquire(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(budget.acquire, 1)
        budget.release(1)
        assert waiting.result(10)


def test_room_is_made_for_frames_not_for_bytes() -> None:
    budget = Budget(10, 1)
    budget.make_room(3)
    budget.make_room(2)
    assert all(budget.acquire(3) for _ in range(3))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(budget.acquire, 1)
        budget.close()
        assert waiting.result(10) is False


def test_outputs_fill_it_and_close_wakes() -> None:
    budget = Budget(10, 4)
    assert budget.acquire(1)
    budget.add(100)
    budget.add(0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(budget.acquire, 1)
        budget.close()
        assert waiting.result(10) is False
    assert not budget.acquire(1)


def test_never_above_its_limit() -> None:
    budget = Budget(10, 100)
    inside, most, lock = [0], [0], threading.Lock()

    def use() -> None:
        for _ in range(200):
            assert budget.acquire(3)
            with lock:
                inside[0] += 3
                most[0] = max(most[0], inside[0])
            with lock:
                inside[0] -= 3
            budget.release(3)

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(use) for _ in range(6)]:
            future.result(60)
    assert most[0] <= 10
    assert budget.peak <= 10
