"""What a recording says of time: for each job its phases, stages, reconnections and rates, in seconds of the recording.

What happened on the server is placed by the server's clock, brought to ours by the least delay that a line of it was
seen with: an export that was replayed in one moment still shows how long it took.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Final

from msgspec.structs import replace

from exportctl.model.lines import (
    ConnectionChanged,
    DownloadProgress,
    ExportCancelled,
    ExportCompleted,
    ExportFailedLine,
    ExportLine,
    ExportPhaseChanged,
    ExportProgress,
    ExportStarted,
    Hello,
    Numbered,
    Result,
)

_LONGEST: Final = 10 * 366 * 86_400.0
"""Seconds from the command's beginning, either way: what is said to be farther off is not placed by that."""
_NOTICED: Final = 0.02
"""Of all the time: less before a job began is not told."""
_POINTS: Final = 240
"""Of a rate's curve: more than a screen shows."""


@dataclass(slots=True, kw_only=True)
class Span:
    """From when to when something went on."""

    name: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(self.end - self.begin, 0.0)


@dataclass(slots=True, kw_only=True)
class JobHistory:
    """One job. `rates` are (second, bytes a second) of its download, `counts` (second, per cent) of its processing."""

    job_id: str
    project: str = ""
    starting: Span | None = None
    processing: Span | None = None
    downloading: Span | None = None
    stages: dict[str, Span] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    counts: list[tuple[float, float]] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)
    bytes: int = 0
    result: Result | None = None
    ended: str = ""
    latest: float | None = None

    @property
    def slowest(self) -> tuple[str, float] | None:
        """The stage that took longest, and its seconds: of `work` where the server counts it, else from end to end."""
        seconds = self.work or {name: span.seconds for name, span in self.stages.items()}
        return max(seconds.items(), key=lambda pair: pair[1], default=None)


@dataclass(slots=True, kw_only=True)
class History:
    """A whole recording. `outages` are the times without a socket, each named by what stood in for it."""

    command: str = ""
    server: str = ""
    version: str = ""
    began_at: str = ""
    begin: float = 0.0
    end: float = 0.0
    jobs: dict[str, JobHistory] = field(default_factory=dict)
    outages: list[Span] = field(default_factory=list)
    has_end: bool = False

    @property
    def seconds(self) -> float:
        """How long all of it took."""
        return max(self.end - self.begin, 0.001)


def history(lines: Iterable[Numbered]) -> History:
    """Return what the lines of one run of a command say; of several in one file, the last."""
    told = [_lean(one) for one in lines]
    first = max((place for place, one in enumerate(told) if isinstance(one.line, Hello)), default=0)
    told = [one for one in told[first:] if abs(one.elapsed) <= _LONGEST]
    found = History()
    zero, delay = _clocks(told)
    for one in told:
        at = _when(one, zero, delay)
        found.end = max(found.end, one.elapsed, at)
        found.begin = min(found.begin, at)
        _take(found, one, at)
    for job in found.jobs.values():
        began = min((span.begin for span in (job.processing, job.downloading) if span is not None), default=None)
        if began is not None and began - found.begin > _NOTICED * found.seconds:
            job.starting = Span(name="before it began", begin=found.begin, end=began)
        job.rates, job.counts = _thinned(job.rates), _thinned(job.counts)
    return found


def _lean(one: Numbered) -> Numbered:
    """Return a line without its words, which a recording of days has a million of."""
    if type(one.line) is not ExportProgress:
        return one
    stage = one.line.stage
    line = replace(
        one.line,
        job_id=intern(one.line.job_id),
        stage=None if stage is None else intern(stage),
        **dict.fromkeys(("project_id", "job_correlation_id", "message", "template", "data", "stage_progress")),
    )
    return replace(one, line=line, correlation_id="")


def _moment(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):  # of year 1 without a zone
        return None


def _clocks(told: list[Numbered]) -> tuple[float | None, float]:
    """Return the time of day at which the command began, and how far the server's clock and the way are behind."""
    own = [one for one in told if one.line.event in {Hello.event, Result.event}]
    moments = [(moment - one.elapsed) for one in own if (moment := _moment(one.timestamp)) is not None]
    if not moments:
        return None, 0.0
    zero = moments[0]
    delays = [
        one.elapsed - (moment - zero)
        for one in told
        if isinstance(one.line, ExportLine) and one.line.server_seq and (moment := _moment(one.timestamp)) is not None
    ]
    return zero, min(delays, default=0.0)


def _when(one: Numbered, zero: float | None, delay: float) -> float:
    if zero is None or not isinstance(one.line, ExportLine) or not one.line.server_seq:
        return one.elapsed
    moment = _moment(one.timestamp)
    if moment is None or abs(moment - zero + delay) > _LONGEST:
        return one.elapsed
    return min(moment - zero + delay, one.elapsed)


def _take(found: History, one: Numbered, at: float) -> None:
    line = one.line
    if isinstance(line, Hello):
        found.command, found.server, found.version = line.command or "", line.server or "", line.version
        found.began_at = one.timestamp
    elif isinstance(line, ConnectionChanged):
        _take_connection(found, line, at)
    if isinstance(line, Result):
        found.has_end = True
    if line.job_id is None:
        return
    job = found.jobs.setdefault(line.job_id, JobHistory(job_id=line.job_id))
    _take_job(job, line, at)


def _take_connection(found: History, line: ConnectionChanged, at: float) -> None:
    if found.outages and found.outages[-1].end < found.outages[-1].begin:
        found.outages[-1].end = at
    if line.state in {"reconnecting", "polling"}:
        found.outages.append(Span(name=line.state, begin=at, end=-1.0))


def _take_job(job: JobHistory, line: object, at: float) -> None:
    if isinstance(line, ExportCompleted):
        job.work = line.stages or {}
    match line:
        case ExportStarted():
            job.project = line.project_name or job.project
            job.processing = Span(name="processing", begin=at, end=at)
        case DownloadProgress():
            _take_download(job, line, at)
            return
        case ExportProgress():
            _take_progress(job, line, at)
        case ExportPhaseChanged() | ExportCompleted() | ExportFailedLine() | ExportCancelled():
            if job.processing is not None and not job.ended:
                job.processing.end = max(job.processing.end, at)
            job.ended = job.ended or ("" if isinstance(line, ExportPhaseChanged) else line.event.rpartition(":")[2])
        case Result():
            job.result = line
            job.bytes = line.bytes or job.bytes
            if job.downloading is not None:
                job.downloading.end = max(job.downloading.end, at)
            return
        case _:
            return
    job.latest = at


def _take_download(job: JobHistory, line: DownloadProgress, at: float) -> None:
    if job.downloading is None:
        job.downloading = Span(name="downloading", begin=at, end=at)
    job.downloading.end = max(job.downloading.end, at)
    job.bytes = line.bytes
    if line.bytes_per_second is not None:
        job.rates.append((at, line.bytes_per_second))


def _take_progress(job: JobHistory, line: ExportProgress, at: float) -> None:
    if job.processing is None:
        job.processing = Span(name="processing", begin=at, end=at)
    job.processing.end = max(job.processing.end, at)
    if line.progress is not None:
        job.counts.append((at, line.progress))
    if line.stage is not None:
        # The line tells of what is done already: its work began at the line before it.
        before = job.latest if job.latest is not None else job.processing.begin
        span = job.stages.setdefault(line.stage, Span(name=line.stage, begin=before, end=at))
        span.end = max(span.end, at)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = max(-(-len(points) // _POINTS), 1)
    return points if step == 1 else [*points[::step], points[-1]]
