"""What a running server counts of itself, for `/metrics`: numbers only, nobody's names.

The registry is this server's own, not the process's. What others know already is asked for when it is read; the rest is
counted as it happens.
"""

import functools
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Receive, Scope, Send

from exportctl.server.engine import Engine
from exportctl.server.job import JobRecord, Status
from exportctl.server.pool import Pool
from exportctl.server.sending import ZERO_COPY

CONTENT_TYPE = CONTENT_TYPE_LATEST
_ANSWERS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_JOBS = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600)

# A row more for each counter and histogram, with nothing that anybody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types there


class Meters:
    """The counters of one server."""

    def __init__(self, engine: Engine, pool: Pool, events: Callable[[], int], *, clock: Callable[[], float]) -> None:
        self._registry = registry = CollectorRegistry()
        self._clock = clock
        jobs = Gauge("exportctl_jobs", "Jobs without an end", ["state"], registry=registry)
        for state in ("running", "waiting"):
            jobs.labels(state).set_function(functools.partial(_count, engine.counts, state))
        tasks = Gauge("exportctl_pool_tasks", "Tasks of image work", ["state"], registry=registry)
        for state in ("running", "waiting"):
            tasks.labels(state).set_function(functools.partial(_count, pool.counts, state))
        workers = Gauge("exportctl_pool_workers", "Processes for image work", registry=registry)
        workers.set_function(functools.partial(_count, pool.counts, "workers"))
        registry.register(_Count("exportctl_events_logged", "Events logged", events))
        self.sockets = Gauge("exportctl_sockets", "Connected Socket.IO clients", registry=registry)
        self.subscribers = Gauge("exportctl_subscribers", "Jobs followed by these, one by one", registry=registry)
        lost = functools.partial(_count, pool.counts, "lost")
        registry.register(_Count("exportctl_pool_losses", "Times that workers were lost and replaced", lost))
        waits = Gauge("exportctl_oldest_wait_seconds", "Of the job that waits longest for its turn", registry=registry)
        waits.set_function(engine.oldest_wait)
        self._waits = Histogram(
            "exportctl_wait_seconds", "From a job's making to its turn", buckets=_JOBS, registry=registry
        )
        engine.on_begin = self._waits.observe
        ProcessCollector(registry=registry)
        self._ended = Counter("exportctl_jobs_ended", "Jobs that have ended", ["status"], registry=registry)
        self._seconds = Histogram(
            "exportctl_job_seconds", "From a job's start to its end", ["status"], buckets=_JOBS, registry=registry
        )
        self._answers = Histogram(
            "exportctl_answer_seconds",
            "From a request to the head of its answer",
            ["route", "method", "status"],
            buckets=_ANSWERS,
            registry=registry,
        )
        self._sent = Counter("exportctl_sent_bytes", "Bytes of answers sent", ["route"], registry=registry)
        for status in Status:
            if status.ended:  # a rate knows of a first failure only where there was a nought before it
                self._ended.labels(status.value)
        engine.on_change(self._on_change)

    def text(self) -> bytes:
        """Spell all that is counted, in Prometheus' text format."""
        return generate_latest(self._registry)

    def measured(self, app: ASGIApp) -> ASGIApp:
        """Return the application, its HTTP answers measured."""

        async def measuring(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            begin = time.perf_counter()

            async def noted(message: MutableMapping[str, Any]) -> None:
                # The router has written into the scope by now which handler it is.
                route = getattr(scope.get("endpoint"), "__name__", "none")
                if message["type"] == "http.response.start":
                    labels = (route, scope["method"], str(message["status"]))
                    self._answers.labels(*labels).observe(time.perf_counter() - begin)
                elif message["type"] == "http.response.body":
                    self._sent.labels(route).inc(len(message.get("body", b"")))
                elif message["type"] == ZERO_COPY:
                    self._sent.labels(route).inc(message["count"])
                await send(message)

            await app(scope, receive, noted)

        return measuring

    def _on_change(self, record: JobRecord) -> None:
        if record.status.ended:
            self._ended.labels(record.status.value).inc()
            self._seconds.labels(record.status.value).observe(max(self._clock() - record.created, 0))


class _Count(Collector):
    """A counter whose number is kept elsewhere."""

    def __init__(self, name: str, says: str, number: Callable[[], int]) -> None:
        self._name = name
        self._says = says
        self._number = number

    def collect(self) -> Iterable[Metric]:
        """Return it, its name with `_total` behind."""
        return [CounterMetricFamily(self._name, self._says, value=self._number())]


def _count(counts: Callable[[], Mapping[str, int]], name: str) -> int:
    return counts()[name]
