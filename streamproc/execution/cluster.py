"""The dask cluster of a run: our own on this machine, or one that is there."""

import asyncio
import ipaddress
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import dask
from distributed import Client, LocalCluster
from distributed.core import rpc
from distributed.security import Security

from streamproc.errors import ConfigError, ExecutorError, one_line

#: Deaths of workers that a task may be near to before it is reported: the second one.
_FAILURES = 1
_SETTINGS = {
    "distributed.scheduler.allowed-failures": _FAILURES,
    # pages that tell anybody on this machine what is computed
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # else the last thousand payloads stay in memory
    "distributed.admin.low-level-log-length": 10,
    # frames are allocated and freed all the time: keep their memory. 32 MiB is the
    # largest threshold that glibc takes
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 128 << 20,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 32 << 20,
}
#: Seconds for reaching a scheduler, and again for its answer.
_CONNECT = 10.0


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """``executor: {dask: {...}}``.

    Without ``scheduler`` a cluster is started on this machine, with ``workers``
    processes (default: one per core) of ``threads_per_worker`` threads and up to
    ``memory_limit`` bytes each, reached through TLS with certificates of its own.
    """

    workers: int | None = None
    threads_per_worker: int = 1
    memory_limit: int | None = None
    scheduler: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure: bool = False


class Cluster:
    """A connection to the workers; closing it ends those that it started.

    Raises
    ------
    ConfigError
        The address would be reached unencrypted, beyond this machine.
    ExecutorError
        The cluster cannot be started or reached.
    """

    def __init__(self, options: ClusterOptions, cores: int) -> None:
        if options.scheduler is not None:
            refuse_insecure(options.scheduler, insecure=options.insecure)
        self._local: LocalCluster | None = None
        self._client: Client | None = None
        # who leaves says why, in one line
        self._logger = logging.getLogger("distributed.client")
        self._level = self._logger.level
        self._logger.setLevel(logging.CRITICAL + 1)
        try:
            with dask.config.set(_SETTINGS):
                self.client = self._client = self._open(options, cores)
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise _explained(error, options.scheduler) from error
            raise

    def _open(self, options: ClusterOptions, cores: int) -> Client:
        security = _security(options)
        target: Any = options.scheduler
        if target is None:
            target = self._local = LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=options.workers or cores,
                threads_per_worker=options.threads_per_worker,
                memory_limit=options.memory_limit or "auto",
                processes=True,
                host="127.0.0.1",
                security=security,
                protocol="tls://",
                # TLS is for tasks alone: what answers in HTTP has no page, here only
                scheduler_kwargs={
                    "dashboard": False,
                    "dashboard_address": "127.0.0.1:0",
                },
                silence_logs=logging.CRITICAL,
                preload=["streamproc.execution.remote"],
            )
        else:
            # in a thread: that of a notebook runs an event loop already
            with ThreadPoolExecutor(1) as apart:
                apart.submit(asyncio.run, _greet(target, security)).result()
        return Client(  # type: ignore[no-untyped-call]
            target, security=security, timeout=_CONNECT, set_as_default=False
        )

    def threads(self) -> int:
        """Return how many tasks can run at once, now."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        return sum(worker["nthreads"] for worker in workers.values())

    def close(self) -> None:
        """Leave the cluster; end it if it is our own."""
        try:
            if self._client is not None:
                self._client.close()  # type: ignore[no-untyped-call]
        finally:
            if self._local is not None:
                self._local.close()
            self._logger.setLevel(self._level)


async def _greet(address: str, security: Security | None) -> None:
    """Ask a scheduler who it is.

    A client would wait without end for one that takes a connection and says nothing,
    and a client that has failed cannot be closed.
    """
    given = (security or Security()).get_connection_args("client")  # type: ignore[no-untyped-call]
    there = rpc(address, timeout=_CONNECT, connection_args=given)  # type: ignore[no-untyped-call]
    try:
        await asyncio.wait_for(there.identity(), 2 * _CONNECT)
    except TimeoutError:
        raise TimeoutError("it takes the connection, and says nothing") from None
    finally:
        await there.close_rpc()  # type: ignore[no-untyped-call]


def refuse_insecure(address: str, *, insecure: bool) -> None:
    """Raise `ConfigError` for an address that sends pixels in the clear."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.scheme in ("tls", "wss", "inproc") or insecure:
        return
    host = parts.hostname or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    if not is_here:
        raise ConfigError(
            f"scheduler {address!r} is not encrypted, and anybody on the network "
            "could run code on its workers; use tls://, or say insecure: true"
        )


def _explained(error: Exception, address: str | None) -> ExecutorError:
    if address is not None:
        return ExecutorError(
            f"cannot reach the dask scheduler {address}: {one_line(error)}"
        )
    return ExecutorError(
        f"cannot start dask workers: {one_line(error).rstrip('.')}; in a script the "
        "run must be below: if __name__ == '__main__':"
    )


def _security(options: ClusterOptions) -> Security | None:
    if options.tls_ca is not None:
        return Security(  # type: ignore[no-untyped-call]
            tls_ca_file=options.tls_ca,
            tls_client_cert=options.tls_cert,
            tls_client_key=options.tls_key,
            require_encryption=True,
        )
    if options.scheduler is None:
        return Security.temporary()  # type: ignore[no-untyped-call,no-any-return]
    return None
