"""The numbers of a run as Prometheus takes them."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .feed import BINS, Feed


def exposition(feed: Feed) -> bytes:
    """Return counts, latencies, lag and bytes of a run in Prometheus' text format.

    ``streamproc_frames_total{state=…}`` counts frames admitted, done, failed, skipped
    and lost, ``streamproc_latency_seconds`` is the histogram from admission to durable
    results, ``streamproc_pending_frames`` the lag, ``streamproc_written_bytes_total``
    what was saved, ``streamproc_running`` 1 while the run is on.
    """
    registry = CollectorRegistry()
    registry.register(_Numbers(feed))
    return generate_latest(registry)


class _Numbers(Collector):
    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def collect(self) -> Iterator[Metric]:
        """Yield what there is to tell."""
        told, counts = self._feed.told(), self._feed.counts
        frames = CounterMetricFamily(
            "streamproc_frames", "Frames by what became of them.", labels=["state"]
        )
        for state in ("admitted", "done", "failed", "skipped", "lost"):
            frames.add_metric([state], told[state])
        yield frames
        *bins, number, total = counts.waits
        edges = [*(str(edge / 1e3) for edge in BINS), "+Inf"]
        yield HistogramMetricFamily(
            "streamproc_latency_seconds",
            "From admission to durable results.",
            buckets=list(zip(edges, [*bins, number], strict=True)),
            sum_value=total / 1e3,
        )
        yield GaugeMetricFamily(
            "streamproc_pending_frames",
            "Frames admitted and not finished.",
            value=told["pending"],
        )
        yield CounterMetricFamily(
            "streamproc_written_bytes", "Bytes saved.", value=self._feed.written()
        )
        yield GaugeMetricFamily(
            "streamproc_running",
            "1 while the run is on.",
            value=told["state"] in ("running", "paused"),
        )
