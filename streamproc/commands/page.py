"""The page of a run beside it: a process of its own, gone when the command ends."""

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from .common import note

#: Seconds that the page has to end by itself.
_PATIENCE = 5.0


class Page:
    """Serves the page of a run while a command is on; a context manager.

    Whatever becomes of the page, the run does not notice. It ends when its standard
    input does: with us, even if we are killed.
    """

    def __init__(self, path: Path, port: int) -> None:
        self._command = [sys.executable, "-m", "streamproc", "dashboard", str(path)]
        self._command += ["--port", str(port), "--until-eof"]
        self._path = path

    def __enter__(self) -> "Page":
        """Begin to serve; the address is said once it answers."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C is meant for the run, which is looked at while it drains
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        process = self._process
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._listener.join()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def _listen(self) -> None:
        """Say where the page is, or why there is none."""
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().strip()
        if address:
            note(f"the page of the run: {address}")
        else:
            why = process.stderr.read().strip().removeprefix("streamproc: ")
            note(f"no page ({why}); try: streamproc dashboard {self._path}")
