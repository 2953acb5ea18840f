"""The page of a run beside it: a process of its own, gone when the command ends."""

import os
import subprocess
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

from .common import LOCAL, note

#: Seconds that the page has to end by itself.
_PATIENCE = 5.0


class Page:
    """Serves the page of a run while a command is on; a context manager.

    Whatever becomes of the page, the run does not notice. It ends when its standard
    input does: with us, even if we are killed.

    Parameters
    ----------
    path
        The run folder.
    port, address, token_file
        As ``streamproc dashboard`` takes them.
    opens
        Whether to open it in a browser, where somebody sits before this terminal.
    """

    def __init__(
        self,
        path: Path,
        port: int = 0,
        address: str = LOCAL,
        token_file: Path | None = None,
        *,
        opens: bool = False,
    ) -> None:
        self._command = [sys.executable, "-m", "streamproc", "dashboard", str(path)]
        self._command += ["--port", str(port), "--address", address, "--until-eof"]
        if token_file is not None:
            self._command += ["--token-file", str(token_file)]
        self._path, self._opens = path, opens
        self._address = ""
        self._answered = threading.Event()

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
            # one that does not serve yet has nothing to end
            process.wait(_PATIENCE if self._address else 0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._listener.join()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def stay(self) -> None:
        """Serve until Ctrl-C, where somebody sits before this terminal."""
        if not _is_watched():
            return
        self._answered.wait()
        if self._address:
            note(f"the page stays at {self._address} until Ctrl-C")
            with suppress(KeyboardInterrupt):
                self._process.wait()

    def _listen(self) -> None:
        """Say where the page is, or why there is none."""
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        self._address = process.stdout.readline().strip()
        self._answered.set()
        if self._address:
            note(f"the page of the run: {self._address}")
            if self._opens and _is_watched() and _has_windows():
                webbrowser.open(self._address)
            # what it says further must not fill the pipe, which would hold it up
            while process.stderr.read(1 << 16):
                pass
            return
        why = process.stderr.read().strip().removeprefix("streamproc: ")
        if why:
            note(f"no page ({why}); try: streamproc dashboard {self._path}")


def _is_watched() -> bool:
    """Whether somebody sits before this terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _has_windows() -> bool:
    """Whether a browser would open before who sits here, and not in the terminal."""
    if "SSH_CONNECTION" in os.environ:
        return False
    known = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, known))
