"""The control port of a run: loopback TCP, one JSON object per line, with a token.

A request is ``{"token": …, "command": …}``, the commands are ``status``, ``pause``,
``resume``, ``drain``, ``stop``, ``set`` (with ``step``, ``parameter`` and ``value``)
and ``mark`` (with ``text``). A reply is ``{"ok": true, …}`` or
``{"ok": false, "error": one line}``. Address and token are in ``RUN/run.json``, which
only its owner may read.
"""

import hmac
import json
import os
import secrets
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import ConfigError, RunFolderError, StreamprocError, nearest, one_line
from .folder import RunFolder, existing
from .store.lock import is_locked

#: Bytes of one request at most; connections at once.
_LINE, _CONNECTIONS = 64 << 10, 32
#: Seconds that one may be silent: before it has shown the token, and after.
_GREETING, _SILENCE = 5.0, 60.0
#: Seconds that a client waits for its reply.
_PATIENCE = 30.0

Command = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class ControlPort:
    """Answers on loopback while a run is on; closing it removes ``run.json``.

    Parameters
    ----------
    path
        ``RUN/run.json``.
    commands
        What each command does: from the request to what its reply holds.

    Raises
    ------
    OSError
        The port or the file cannot be opened.
    """

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self._path = path
        self._commands = commands
        self._token = secrets.token_urlsafe(32)
        self._room = threading.BoundedSemaphore(_CONNECTIONS)
        port = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = _GREETING

            def handle(self) -> None:
                port._serve(self)

        self._server = _Server(("127.0.0.1", 0), Handler)
        try:
            self._announce()
        except BaseException:
            self._server.server_close()
            raise
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="control", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Answer nothing more."""
        with suppress(OSError, ValueError):
            # another process may have taken the folder over, and tells its own
            if self._token in self._path.read_text(encoding="utf-8"):
                self._path.unlink()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _announce(self) -> None:
        port = self._server.server_address[1]
        told = {
            "address": f"127.0.0.1:{port}",
            "token": self._token,
            "pid": os.getpid(),
        }
        new = self._path.with_name(self._path.name + ".new")
        new.unlink(missing_ok=True)
        # nobody else may read it, not even for the moment before a chmod
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(told, file)
        os.replace(new, self._path)

    def _serve(self, handler: socketserver.StreamRequestHandler) -> None:
        if not self._room.acquire(blocking=False):
            return
        try:
            while line := handler.rfile.readline(_LINE + 1):
                reply, is_sound = self._answer(line)
                handler.wfile.write(json.dumps(reply, default=str).encode() + b"\n")
                if not is_sound:
                    return
                # who has the token may think for longer
                handler.connection.settimeout(_SILENCE)
        except OSError:  # gone, or silent for too long
            return
        finally:
            self._room.release()

    def _answer(self, line: bytes) -> tuple[Mapping[str, Any], bool]:
        """Return the reply, and whether to go on listening to who asked."""
        try:
            request = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return _refused("a request is one JSON object in one line"), False
        token = str(request.get("token", "")).encode(errors="replace")
        if not hmac.compare_digest(token, self._token.encode()):
            return _refused("wrong token; RUN/run.json has it"), False
        name = request.get("command")
        command = self._commands.get(name) if isinstance(name, str) else None
        if command is None:
            known = nearest(name, self._commands)
            return _refused(f"no command {name!r}{known}"), True
        try:
            return {"ok": True, **command(request)}, True
        except StreamprocError as error:
            return _refused(one_line(error)), True
        except Exception as error:
            # whatever a command meets, the port stays open
            return _refused(f"{name}: {one_line(error)}"), True


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: who asked has gone."""


def _refused(error: str) -> Mapping[str, Any]:
    return {"ok": False, "error": error}


class Control:
    """A run of another process: pause it, drain it, set its parameters, note something.

    The same verbs as those of `Run`, through the control port of the run.
    """

    def __init__(self, path: str | Path) -> None:
        self._folder = existing(path)
        self._ask("status")

    def __repr__(self) -> str:
        return f"<Control of {str(self._folder.path)!r}>"

    def status(self) -> dict[str, Any]:
        """Return the counts and the state, as ``streamproc status --json``."""
        reply = self._ask("status")
        return {name: value for name, value in reply.items() if name != "ok"}

    def pause(self) -> None:
        """Take no further frame into work; a camera goes on into the raw log."""
        self._ask("pause")

    def resume(self) -> None:
        """Go on after `pause`."""
        self._ask("resume")

    def drain(self) -> None:
        """Take no more frames, finish those admitted."""
        self._ask("drain")

    def stop(self) -> None:
        """End now: what is committed stays, what is admitted stays pending."""
        self._ask("stop")

    def set(self, step: str, parameter: str, value: object) -> int:
        """Change a parameter between two frames; return the first that has it.

        Raises
        ------
        ConfigError
            It is not adjustable, or the value breaks its rule.
        """
        reply = self._ask("set", step=step, parameter=parameter, value=value)
        return int(reply["frame"])

    def mark(self, text: str) -> int | None:
        """Note something about this moment in ``events``; return the frame it is at.

        Raises
        ------
        ConfigError
            There is nothing to say, or too much.
        """
        frame = self._ask("mark", text=text)["frame"]
        return None if frame is None else int(frame)

    def _ask(self, command: str, **more: object) -> dict[str, Any]:
        host, port, token = _announced(self._folder)
        request = {"token": token, "command": command, **more}
        try:
            line = json.dumps(request).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{command}: {one_line(error)}") from None
        try:
            with (
                socket.create_connection((host, port), _PATIENCE) as connection,
                connection.makefile("rb") as replies,
            ):
                connection.sendall(line)
                answer = replies.readline()
        except OSError as error:
            raise _not_running(self._folder) from error
        reply = _parsed(answer)
        if reply is None:
            raise _not_running(self._folder)
        if not reply.get("ok"):
            raise ConfigError(str(reply.get("error", "refused")))
        return reply


def attach(path: str | Path) -> Control:
    """Return what controls a run that goes on, in whichever process.

    Parameters
    ----------
    path
        The run folder.

    Raises
    ------
    RunFolderError
        It is no run folder, or its run is not on.
    """
    return Control(path)


def _announced(folder: RunFolder) -> tuple[str, int, str]:
    """Return host, port and token of the run that is on."""
    # one that was killed leaves its address, where somebody else may answer by now
    if not is_locked(folder.lock):
        raise _not_running(folder)
    try:
        told = json.loads(folder.control.read_text(encoding="utf-8"))
        host, _, port = told["address"].rpartition(":")
        return host, int(port), told["token"]
    except FileNotFoundError:
        raise _not_running(folder) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"cannot read {folder.control}: {one_line(error)}"
        ) from None


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return a reply; None where it is none."""
    try:
        reply = json.loads(line)
    except ValueError:
        return None
    return reply if isinstance(reply, dict) else None


def _not_running(folder: RunFolder) -> RunFolderError:
    return RunFolderError(
        f"the run in {folder.path} is not on, so nothing can control it; "
        f"go on with it by: streamproc resume {folder.path}"
    )
