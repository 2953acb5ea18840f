"""Committed values on their way to listeners."""

import threading
from typing import Any

import pytest

from streamproc.execution import outbox as outboxes
from streamproc.execution.outbox import Emission, Outbox


def emission(n: int) -> Emission:
    return Emission(n, float(n), {"x": bytes(100) + str(n).encode()})


def test_all_arrive_in_order_however_slow_the_listener() -> None:
    """Beyond what memory takes, on disk; then from memory again."""
    go, got = threading.Event(), []
    arrived = threading.Semaphore(0)

    def deliver(value: Emission) -> None:
        go.wait()
        got.append(value)
        arrived.release()

    box = Outbox(deliver, lambda frame, message: None)
    for n in range(1000):
        box.put(emission(n))
    go.set()
    for _ in range(1000):
        assert arrived.acquire(timeout=30)
    for n in range(1000, 2000):
        box.put(emission(n))
    assert box.close()
    assert got == [emission(n) for n in range(2000)]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_a_failing_listener_gets_the_next_value(error: BaseException) -> None:
    got: list[int] = []
    failed: list[tuple[int, str]] = []

    def deliver(value: Emission) -> None:
        if value.frame % 2:
            raise error
        got.append(value.frame)

    box = Outbox(deliver, lambda frame, message: failed.append((frame, message)))
    for n in range(6):
        box.put(emission(n))
    assert box.close()
    assert got == [0, 2, 4]
    text = f"{type(error).__name__}: {error}"
    assert failed == [(n, text) for n in (1, 3, 5)]


def test_a_hanging_listener_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outboxes, "_PATIENCE", 0.05)
    go = threading.Event()

    def hang(value: Emission) -> None:
        go.wait()

    box = Outbox(hang, lambda frame, message: None)
    box.put(emission(0))
    assert box.close() is False
    go.set()
    assert box.close() is True


def test_what_cannot_be_spilled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "_IN_MEMORY", 1)
    go = threading.Event()
    got: list[int] = []
    failed: list[Any] = []

    def deliver(value: Emission) -> None:
        go.wait()
        got.append(value.frame)

    box = Outbox(deliver, lambda frame, message: failed.append((frame, message)))
    for n in range(4):
        box.put(Emission(n, None, {"x": threading.Lock() if n == 2 else n}))
    go.set()
    assert box.close()
    assert (got, [frame for frame, _ in failed]) == ([0, 1, 3], [2])
    assert "pickle" in failed[0][1]
