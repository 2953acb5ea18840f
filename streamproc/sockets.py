"""ZeroMQ sockets that frames travel by: opened, limited and watched in one way."""

from typing import Literal, TypeAlias

from .errors import MissingDependency, SourceError
from .messages import MOST, MOST_HEADER

Kind: TypeAlias = Literal["push", "pub", "pull", "sub"]

#: Seconds after which TCP asks a silent peer for a sign of life, between two such, and
#: how many it may leave unanswered: one whose machine is off is gone. ZeroMQ's own
#: heartbeat ends the whole process (4.3.5: ``!_io_error``) where a peer goes while
#: messages wait at the high-water mark.
_IDLE, _AGAIN, _UNANSWERED = 10, 3, 3


class Socket:
    """A socket with a context of its own, which `close` ends.

    Parameters
    ----------
    kind
        ``pub`` hears who listens.
    address
        ``tcp://HOST:PORT``, or ``ipc://PATH`` where the system has it.
    bind
        True waits at the address, False goes there.
    waiting
        Messages that may wait for each peer.

    Raises
    ------
    MissingDependency
        pyzmq is not installed.
    SourceError
        The address is none, or in use.
    """

    def __init__(self, kind: Kind, address: str, *, bind: bool, waiting: int) -> None:
        try:
            import zmq
        except ImportError:
            raise MissingDependency(
                "ZeroMQ needs the package pyzmq: pip install 'streamproc[zmq]'"
            ) from None
        kinds = {"push": zmq.PUSH, "pub": zmq.XPUB, "pull": zmq.PULL, "sub": zmq.SUB}
        self._context = zmq.Context()
        self.raw: zmq.Socket[bytes] = self._context.socket(kinds[kind])
        self.raw.set_hwm(waiting)
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.MAXMSGSIZE, MOST + MOST_HEADER),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, _IDLE),
            (zmq.TCP_KEEPALIVE_INTVL, _AGAIN),
            (zmq.TCP_KEEPALIVE_CNT, _UNANSWERED),
        ):
            self.raw.set(option, value)
        self.address = address
        try:
            (self.raw.bind if bind else self.raw.connect)(address)
            if bind:
                # with tcp://127.0.0.1:* the system chooses the port
                self.address = self.raw.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
        except zmq.ZMQError as error:
            self.close()
            reason = zmq.strerror(error.errno or 0).lower()
            raise SourceError(
                f"cannot {'bind' if bind else 'connect'} to {address!r}: {reason}; "
                "an address is tcp://HOST:PORT, and one program may bind to it"
            ) from None

    def close(self, linger: float = 0.0) -> None:
        """End it; what was sent has ``linger`` seconds to be delivered. Idempotent."""
        self._context.destroy(linger=int(1000 * linger))
