"""The state of one job and the pure reducer: an event in, the new state and the lines it is worth out.

Laws, each held by a property test: an end absorbs every later event of the server; an event seen twice changes nothing
(on protocol 2 the sequencer drops it, here a number already passed does); progress never falls within a phase; another
job's event returns the same object; a history seen live, polled or replayed ends alike.
"""

from typing import TypedDict, assert_never

from msgspec import Struct
from msgspec.structs import replace

from exportctl.model.lines import (
    ExportCancelled,
    ExportCompleted,
    ExportDownloadReady,
    ExportFailedLine,
    ExportPhaseChanged,
    ExportProgress,
    ExportStarted,
    ExportStatusSync,
    Line,
    Log,
    Source,
)
from exportctl.protocol.events import (
    DOWNLOADING,
    PROCESSING,
    Cancelled,
    Completed,
    DownloadReady,
    End,
    Event,
    Failed,
    Heartbeat,
    PhaseChanged,
    Progress,
    StageProgress,
    Started,
    StatusSync,
    Unreadable,
)

_LONGEST_NAME = 60


class Job(Struct, frozen=True, kw_only=True):
    """What is known of a job. `seq` is the number of the last event taken; `progress` is that of `phase`."""

    job_id: str
    project_id: str | None = None
    project_name: str | None = None
    seq: int = 0
    phase: str = PROCESSING
    stage: str | None = None
    progress: float | None = None
    stage_progress: StageProgress | None = None
    archive: DownloadReady | None = None
    end: End | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the server has said its last word."""
        return self.end is not None


def reduce(job: Job, event: Event, source: Source) -> tuple[Job, tuple[Line, ...]]:
    """Return the job after `event`, and the lines to tell; the same object and no line where nothing changed."""
    if event.job_id != job.job_id or job.end is not None or (event.seq is not None and event.seq <= job.seq):
        return job, ()
    if isinstance(event, Progress):
        return _progress(job, event, source)
    if isinstance(event, Heartbeat):
        return job, ()
    if isinstance(event, StatusSync):
        # It informs: what it says of progress may lie ahead of the replay that follows it (WIRE.md, export:subscribe).
        return job, (_status_sync(job, event, source),)
    known = replace(
        job,
        seq=job.seq if event.seq is None else event.seq,
        project_id=event.project_id or job.project_id,
    )
    match event:
        case Started():
            return _started(known, event, source)
        case PhaseChanged():
            return _phase_changed(known, event, source)
        case DownloadReady():
            return _download_ready(known, event, source)
        case Completed() | Failed() | Cancelled():
            return _ended(known, event, source)
        case Unreadable(seq=int()):
            return known, (_not_understood(known, event, source),)
        case _:
            return known, ()


class _Header(TypedDict):
    job_id: str
    project_id: str | None
    source: Source
    timestamp: str | None
    server_seq: int | None
    job_correlation_id: str | None


def _header(job: Job, event: Event, source: Source) -> _Header:
    return {
        "job_id": job.job_id,
        "project_id": job.project_id,
        "source": source,
        "timestamp": event.timestamp,
        "server_seq": event.seq,
        "job_correlation_id": event.correlation_id,
    }


def _not_understood(job: Job, event: Unreadable, source: Source) -> Log:
    """Say where a number went: the lines go on behind it."""
    name = event.name[:_LONGEST_NAME]
    return Log(
        job_id=job.job_id,
        project_id=job.project_id,
        source=source,
        timestamp=event.timestamp,
        level="info",
        code="event-not-understood",
        message=f"event {event.seq} of this job is not understood: {name!a} ({event.reason})",
    )


def _started(job: Job, event: Started, source: Source) -> tuple[Job, tuple[Line, ...]]:
    job = replace(job, project_name=event.project_name or job.project_name)
    line = ExportStarted(
        **_header(job, event, source),
        options=event.options,
        project_name=job.project_name,
    )
    return job, (line,)


def _progress(job: Job, event: Progress, source: Source) -> tuple[Job, tuple[Line, ...]]:
    # Nearly every event is one of these. Its job and its line are made in one piece each, without `replace` and
    # `_header`, which took more time than all else between socket and line (`tests/bench/follow.py`).
    if event.seq is None and event.phase != job.phase == DOWNLOADING:
        return job, ()  # a straggler without a number: this phase is over, and its progress would fall
    progress, before = event.progress, job.progress if event.phase == job.phase else None
    if progress is None or (before is not None and before > progress):
        progress = before
    project_id = event.project_id or job.project_id
    line = ExportProgress(
        job_id=job.job_id,
        project_id=project_id,
        source=source,
        timestamp=event.timestamp,
        server_seq=event.seq,
        job_correlation_id=event.correlation_id,
        phase=event.phase,
        progress=progress,
        stage=event.stage,
        stage_progress=event.stage_progress,
        message=event.message,
        template=event.template,
        data=event.data,
        estimated_time_remaining=event.estimated_time_remaining,
    )
    job = Job(
        job_id=job.job_id,
        project_id=project_id,
        project_name=job.project_name,
        seq=job.seq if event.seq is None else event.seq,
        phase=event.phase,
        stage=event.stage or job.stage,
        progress=progress,
        stage_progress=event.stage_progress or job.stage_progress,
        archive=job.archive,
        end=job.end,
    )
    return job, (line,)


def _phase_changed(job: Job, event: PhaseChanged, source: Source) -> tuple[Job, tuple[Line, ...]]:
    job = replace(job, phase=event.to_phase, progress=None, stage=None, stage_progress=None)
    line = ExportPhaseChanged(
        **_header(job, event, source),
        from_phase=event.from_phase,
        to_phase=event.to_phase,
        message=event.message,
        progress=event.progress,
    )
    return job, (line,)


def _download_ready(job: Job, event: DownloadReady, source: Source) -> tuple[Job, tuple[Line, ...]]:
    job = replace(job, archive=event)
    line = ExportDownloadReady(
        **_header(job, event, source),
        file_name=event.file_name,
        file_size=event.file_size,
        sha256=event.sha256,
    )
    return job, (line,)


def _ended(job: Job, event: End, source: Source) -> tuple[Job, tuple[Line, ...]]:
    line: Line
    match event:
        case Completed():
            line = ExportCompleted(
                **_header(job, event, source),
                warnings=event.warnings,
                processing_time=event.processing_time,
                stages=None if event.stages is None else dict(event.stages),
            )
        case Failed():
            line = ExportFailedLine(
                **_header(job, event, source),
                error=event.error,
                code=event.code,
                hint=event.hint,
                stage=event.stage,
                retryable=event.retryable,
            )
        case Cancelled():
            line = ExportCancelled(
                **_header(job, event, source),
                cancelled_by=event.cancelled_by,
                cleanup_completed=event.cleanup_completed,
                message=event.message,
            )
        case _:
            assert_never(event)
    return replace(job, end=event), (line,)


def _status_sync(job: Job, event: StatusSync, source: Source) -> Line:
    return ExportStatusSync(
        job_id=job.job_id,
        project_id=event.project_id or job.project_id,
        source=source,
        timestamp=event.timestamp,
        status=event.status,
        phase=event.phase,
        stage=event.stage,
        progress=event.progress,
        message=event.message,
        last_seq=event.last_seq,
    )
