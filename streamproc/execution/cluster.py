"""The dask cluster of a run: our own on this machine, or one that is there."""

import asyncio
import copy
import ipaddress
import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import urlopen

import dask
from distributed import Client, LocalCluster, performance_report
from distributed.core import rpc
from distributed.deploy.spec import SpecCluster
from distributed.scheduler import DEFAULT_EXTENSIONS
from distributed.security import Security
from distributed.spans import SpanMetadata, SpansSchedulerExtension

from streamproc.errors import ConfigError, ExecutorError, one_line

from .batches import TIMEOUT

#: Deaths of workers that a task may be near to before it is reported: the second one.
_FAILURES = 1
_SETTINGS = {
    "distributed.scheduler.allowed-failures": _FAILURES,
    # pages that tell anybody on this machine what is computed
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # else the last thousand payloads stay in memory
    "distributed.admin.low-level-log-length": 10,
    # a worker's memory is what its frames need for a moment: nothing to spill, and
    # one that is paused for good would hold its frames for ever
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # fifty times a second for every loop, and tells nothing here
    "distributed.admin.tick.interval": "500ms",
    # what each process reads of itself, for pages that nobody sees
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.system-monitor.gil.enabled": False,
    # frames are allocated and freed all the time: keep their memory. 32 MiB is the
    # largest threshold that glibc takes
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 128 << 20,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 32 << 20,
}
#: Seconds for reaching a scheduler, and again for its answer.
_CONNECT = 10.0
#: Seconds for a worker that hangs to be back, and for a cluster to say its last words.
_RESTART, _FAREWELL = 15.0, 20.0
#: Seconds between two looks whether the scheduler has heard of something.
_HEARD = 0.02
#: Seconds for its page to answer.
_PAGE = 5.0
#: What it lists its plots in, beside the page.
_PLOTS = "individual-plots.json"


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """``executor: {dask: {...}}``.

    Without ``scheduler`` a cluster is started on this machine, with ``workers``
    processes (default: one per core) of ``threads_per_worker`` threads and up to
    ``memory_limit`` bytes each, reached through TLS with certificates of its own.
    After ``timeout`` seconds a batch's worker is taken to hang. ``performance_report``
    is the file that dask's report is written to.
    """

    workers: int | None = None
    threads_per_worker: int = 1
    memory_limit: int | None = None
    scheduler: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure: bool = False
    timeout: float | None = None
    performance_report: str | None = None


class _Spans(SpansSchedulerExtension):
    """Spans that do not grow: dask's note one entry for every task ever submitted."""

    def observe_tasks(self, tss: Any, code: Any, span_metadata: Any) -> Any:
        return super().observe_tasks(tss, code, SpanMetadata(collections=[]))


class _Local(LocalCluster):
    """Workers whose nannies stay, however often they restart them.

    Dask ends a nanny whose worker is away 15 s after *any* of its restarts, also in the
    middle of the next one.
    """

    def _update_worker_status(self, op: str, msg: Any) -> None:
        super(SpecCluster, self)._update_worker_status(op, msg)  # type: ignore[no-untyped-call]


class Cluster:
    """A connection to the workers; closing it ends those that it started.

    Raises
    ------
    ConfigError
        The address would be reached unencrypted, beyond this machine; or the report
        has no folder to be written to.
    ExecutorError
        The cluster cannot be started or reached.
    """

    def __init__(self, options: ClusterOptions, cores: int) -> None:
        if options.scheduler is not None:
            refuse_insecure(options.scheduler, insecure=options.insecure)
        if options.performance_report is not None:
            _require_folder(Path(options.performance_report))
        #: what the scheduler said last of its workers, by address
        self.seen: dict[str, Any] = {}
        #: where the scheduler shows what it does
        self.page: str | None = None
        self._report: performance_report | None = None
        self._local: _Local | None = None
        self._client: Client | None = None
        # who leaves says why, in one line
        self._logger = logging.getLogger("distributed.client")
        self._level = self._logger.level
        self._logger.setLevel(logging.CRITICAL + 1)
        try:
            with dask.config.set(_settings(options)):
                self.client = self._client = self._open(options, cores)
            if self._local is None:  # ours serves none
                self.page = _page(self.client)
            if options.performance_report is not None:
                self._begin_report(options.performance_report)
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise _explained(error, options.scheduler) from error
            raise

    def _open(self, options: ClusterOptions, cores: int) -> Client:
        security = _security(options)
        target: Any = options.scheduler
        if target is None:
            target = self._local = _Local(  # type: ignore[no-untyped-call]
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
                    "extensions": {**DEFAULT_EXTENSIONS, "spans": _Spans},
                },
                silence_logs=logging.CRITICAL,
                preload=["streamproc.execution.remote"],
                # else a worker that is restarted has dask's own settings
                config=copy.deepcopy(dask.config.config),
            )
        else:
            # in a thread: that of a notebook runs an event loop already
            with ThreadPoolExecutor(1) as apart:
                apart.submit(asyncio.run, _greet(target, security)).result()
        return Client(  # type: ignore[no-untyped-call]
            target, security=security, timeout=_CONNECT, set_as_default=False
        )

    def workers(self) -> dict[str, int]:
        """Return the threads of each worker that is there now, by its address."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        self.seen = workers
        return {address: worker["nthreads"] for address, worker in workers.items()}

    def threads(self) -> int:
        """Return how many tasks can run at once, now."""
        return sum(self.workers().values())

    def restart(self, worker: str, keys: Collection[str]) -> None:
        """Kill a worker that hangs; its nanny starts another.

        One without a nanny is told to leave, and no longer counted on. ``keys`` are
        those of tasks that were taken back from it: while the scheduler has not heard
        of that, it would give them to another worker, to hang there unseen.
        """
        end, pause = time.monotonic() + _RESTART, threading.Event()
        with suppress(Exception):
            while time.monotonic() < end:
                at_work = self.client.processing([worker])  # type: ignore[no-untyped-call]
                if not {*at_work.get(worker, ())} & {*keys}:
                    break
                pause.wait(_HEARD)
        # of the scheduler: its client refuses it where there is no nanny
        scheduler: Any = self.client.scheduler
        with suppress(Exception):  # whatever it does, its frames go elsewhere
            self.client.sync(  # type: ignore[no-untyped-call]
                scheduler.restart_workers,
                workers=[worker],
                timeout=_RESTART,
                on_error="return",
                stimulus_id=f"restart-{worker}",
            )

    def close(self, withdraw: Callable[[], None] | None = None) -> None:
        """Leave the cluster; end it if it is our own.

        ``withdraw`` takes back what workers of another's cluster hold of ours.
        """
        try:
            if self._client is not None:
                if self._report is not None:
                    _within(_FAREWELL, self._end_report)
                if withdraw is not None and self._local is None:
                    _within(_FAREWELL, withdraw)
                self._client.close()  # type: ignore[no-untyped-call]
        finally:
            if self._local is not None:
                self._local.close()
            self._logger.setLevel(self._level)

    def _begin_report(self, file: str) -> None:
        # inline: it can be read where there is no network
        self._report = performance_report(file, mode="inline")  # type: ignore[no-untyped-call]
        with self.client.as_current():
            self._report.__enter__()  # type: ignore[no-untyped-call]

    def _end_report(self) -> None:
        if self._report is not None:
            with self.client.as_current():
                self._report.__exit__(None, None, None)  # type: ignore[no-untyped-call]


def _settings(options: ClusterOptions) -> dict[str, Any]:
    """Return dask's settings, for our own cluster the most part."""
    settings: dict[str, Any] = dict(_SETTINGS)
    # samples of every stack cost more than they tell, but to a report
    settings["distributed.worker.profile.enabled"] = bool(options.performance_report)
    # a worker that says nothing at all hangs, too
    silent = options.timeout or TIMEOUT
    settings["distributed.scheduler.worker-ttl"] = f"{max(silent, _CONNECT):.0f}s"
    return settings


def _within(seconds: float, function: Callable[[], None]) -> None:
    """Let a function run for so long at most; a worker that hangs may hold it up."""

    def run() -> None:
        with suppress(Exception):  # what is over needs no farewell
            function()

    thread = threading.Thread(target=run, name="dask-farewell", daemon=True)
    thread.start()
    thread.join(seconds)


def _page(client: Client) -> str | None:
    """Return the address of the scheduler's own page; None where there is none.

    Our own cluster serves none, and another's may be out of reach.
    """
    link = client.dashboard_link if "dashboard" in _services(client) else ""
    if not link.startswith(("http://", "https://")):
        return None
    try:
        # the page itself is drawn when it is asked for, which may take seconds
        with urlopen(urljoin(link, _PLOTS), timeout=_PAGE) as answer:
            return link if json.load(answer) else None
    except (OSError, ValueError):
        return None


def _services(client: Client) -> Mapping[str, Any]:
    services: Mapping[str, Any] = client.scheduler_info(n_workers=0)["services"]
    return services


def _require_folder(file: Path) -> None:
    if file.is_dir() or not file.parent.is_dir():
        raise ConfigError(
            f"performance_report {str(file)!r} is no file in a folder that is there; "
            "give one"
        )


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
