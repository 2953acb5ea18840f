"""What a run has to say, brought to people elsewhere: by a webhook or a command.

The run never waits for it: a `Courier` is a queue and a thread of its own.
"""

import json
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from .errors import one_line

Message = Mapping[str, Any]

#: Seconds that one try may take, by a webhook and by a command.
_ANSWER, _COMMAND = 10.0, 30.0
#: Seconds between tries; after the last one it is given up.
_WAITS = (1.0, 5.0, 30.0, 120.0)
#: Messages that wait at most.
_WAITING = 64


class Courier:
    """Sends messages, in order, one after another, each until it has arrived.

    Parameters
    ----------
    name
        Of the way, for what is said about it.
    send
        Sends one message; raises whatever went wrong.
    failed
        Is told, in one line, what could not be sent.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Message], None],
        failed: Callable[[str], None],
    ) -> None:
        self.name = name
        self._send = send
        self._failed = failed
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition()
        self._is_ending = self._is_over = False
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Take a message; returns at once."""
        with self._changed:
            is_full = len(self._queue) >= _WAITING
            if not is_full:
                self._queue.append(message)
                self._changed.notify_all()
        if is_full:
            self._give_up(message, f"{_WAITING} messages wait already")

    def close(self, patience: float) -> None:
        """Send what waits, each once more; what takes longer, in s, is given up."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        self._thread.join(patience)
        with self._changed:
            self._is_over = True
            left = list(self._queue)
        for message in left:
            self._failed(self._said(message, "the run has ended"))

    def _run(self) -> None:
        while (message := self._first()) is not None:
            error = self._deliver(message)
            with self._changed:
                if self._is_over:
                    return  # it is told by who closed
                self._queue.popleft()
            if error is not None:
                self._give_up(message, error)

    def _first(self) -> Message | None:
        """Wait for a message; it stays in the queue until its fate is known."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_ending)
            return self._queue[0] if self._queue else None

    def _deliver(self, message: Message) -> str | None:
        """Try until it has arrived; return why it has not."""
        error = ""
        for wait in (*_WAITS, 0.0):
            try:
                self._send(message)
                return None
            except Exception as found:  # a network may fail in any way
                error = one_line(found)
            with self._changed:
                if self._changed.wait_for(lambda: self._is_ending, wait):
                    break
        return error

    def _give_up(self, message: Message, why: str) -> None:
        # nothing that is said of a message may end the thread
        with suppress(Exception):
            self._failed(self._said(message, why))

    def _said(self, message: Message, why: str) -> str:
        return f"{self.name} has not got {message.get('text')!r}: {why}"


def webhook(address: str) -> tuple[str, Callable[[Message], None]]:
    """Return the name of a webhook, without its secrets, and what posts JSON to it."""

    def send(message: Message) -> None:
        body = json.dumps(message).encode()
        request = Request(address, body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=_ANSWER):
            pass

    return f"webhook at {urlsplit(address).hostname}", send


def command(arguments: Sequence[str]) -> tuple[str, Callable[[Message], None]]:
    """Return the name of a program, and what runs it with a message as its input."""

    def send(message: Message) -> None:
        lines = [str(message["text"]), ""]
        lines += [f"{key}: {value}" for key, value in message.items() if key != "text"]
        # a file, not a pipe, that a child left behind could hold open
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                arguments,
                input=("\n".join(lines) + "\n").encode(),
                stdout=said,
                stderr=said,
                timeout=_COMMAND,
                # Ctrl-C is meant for the run
                start_new_session=True,
            )
            if done.returncode:
                said.seek(0)
                words = " ".join(said.read(200).decode(errors="replace").split())
                raise OSError(f"exit code {done.returncode} {words}".rstrip())

    return f"command {arguments[0]!r}", send


def stamp(when: float) -> str:
    """Return a moment, in seconds since the Unix epoch, as ISO 8601 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
