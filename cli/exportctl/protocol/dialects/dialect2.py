"""Protocol 2 (`WIRE.md`): names and data of its events to typed facts, and its log lines from `/events` likewise.

Nearly every event is a progress, and nothing about it is unusual: `read_event` reads such a one from its text in one
step, a tenth of the time that `socketio.read_event` and `decode` take (`tests/bench/follow.py`). Where anything is
missed, of another type or out of bounds, those two read it: both ways tell the same.
"""

from collections.abc import Callable
from typing import Final, TypedDict

from msgspec import DecodeError
from msgspec.json import Decoder

from exportctl.protocol import socketio
from exportctl.protocol.dialects import reading
from exportctl.protocol.dialects.reading import Object
from exportctl.protocol.events import (
    DOWNLOADING,
    PROCESSING,
    AnyEvent,
    Cancelled,
    Completed,
    DownloadReady,
    Failed,
    Heartbeat,
    PhaseChanged,
    Progress,
    StageProgress,
    Started,
    StatusSync,
    Unreadable,
)

PROGRESS: Final = "export:progress"
_PROGRESS_BEGINS: Final = f'["{PROGRESS}",'
_PROGRESS: Final = Decoder(tuple[str, Progress])


def read_event(body: str) -> tuple[str, tuple[object, ...]]:
    """Read the JSON of a Socket.IO event, as `socketio.read_event` does; a plain progress is read to its fact."""
    if body.startswith(_PROGRESS_BEGINS):
        try:
            name, event = _PROGRESS.decode(body)
        except (DecodeError, RecursionError):
            return socketio.read_event(body)
        if _is_plain(event, body):
            return name, (event,)
    return socketio.read_event(body)


def _is_plain(event: Progress, body: str) -> bool:
    """Whether `decode` would tell nothing else of it, beyond what the types see to."""
    if event.timestamp is not None and not reading.is_moment(event.timestamp):
        return False
    if event.stage_progress is not None and not event.stage_progress.item and "currentItem" in body:
        return False
    return event.data is None or not any(isinstance(value, dict | list) for value in event.data.values())


def decode(name: str, data: object) -> AnyEvent:
    """Return the event that `name` and `data` tell; `Unreadable` for what protocol 2 does not know."""
    if isinstance(data, Progress):
        return data
    if not isinstance(data, dict):
        return Unreadable(name=name, reason="its data is no object")
    job_id = data.get("jobId")
    if not isinstance(job_id, str) or not job_id:
        return Unreadable(name=name, reason="it names no job")
    reader = _READERS.get(name)
    if reader is None:
        return Unreadable(**_envelope(job_id, data), name=name, reason="unknown event")
    return reader(job_id, data)


class _Envelope(TypedDict):
    job_id: str
    project_id: str | None
    seq: int | None
    timestamp: str | None
    correlation_id: str | None


def _envelope(job_id: str, data: Object) -> _Envelope:
    return {
        "job_id": job_id,
        "project_id": reading.text(data, "projectId"),
        "seq": reading.integer(data, "seq"),
        "timestamp": reading.moment(data, "timestamp"),
        "correlation_id": reading.text(data, "correlationId"),
    }


def _started(job_id: str, data: Object) -> AnyEvent:
    return Started(
        **_envelope(job_id, data),
        project_name=reading.text(data, "projectName"),
        options=reading.mapping(data, "options"),
        total=reading.integer(data, "total"),
    )


def _progress(job_id: str, data: Object) -> AnyEvent:
    return Progress(
        **_envelope(job_id, data),
        phase=reading.text(data, "phase") or PROCESSING,
        stage=reading.text(data, "stage"),
        progress=reading.percent(data, "progress"),
        stage_progress=stage_progress(data),
        message=reading.text(data, "message"),
        template=reading.text(data, "template"),
        data=reading.mapping(data, "data"),
        estimated_time_remaining=reading.number(data, "estimatedTimeRemaining"),
        bytes_written=reading.integer(data, "bytesWritten"),
    )


def stage_progress(data: Object) -> StageProgress | None:
    """Return `stageProgress` where it is whole; `item` and `currentItem` are two names of one value."""
    source = reading.mapping(data, "stageProgress")
    if source is None:
        return None
    current, total = reading.integer(source, "current"), reading.integer(source, "total")
    if current is None or total is None:
        return None
    return StageProgress(
        current=current, total=total, item=reading.text(source, "item") or reading.text(source, "currentItem")
    )


def _phase_changed(job_id: str, data: Object) -> AnyEvent:
    # There is one change of phase. Its number must not be lost with its name: the lines count without a gap.
    to_phase = reading.text(data, "toPhase") or DOWNLOADING
    return PhaseChanged(
        **_envelope(job_id, data),
        from_phase=reading.text(data, "fromPhase"),
        to_phase=to_phase,
        message=reading.text(data, "message"),
        progress=reading.percent(data, "progress"),
    )


def _download_ready(job_id: str, data: Object) -> AnyEvent:
    return DownloadReady(
        **_envelope(job_id, data),
        file_name=reading.text(data, "fileName"),
        file_size=reading.integer(data, "fileSize"),
        sha256=reading.text(data, "sha256"),
        expires_at=reading.text(data, "expiresAt"),
    )


def _completed(job_id: str, data: Object) -> AnyEvent:
    stages = reading.mapping(data, "stages")
    return Completed(
        **_envelope(job_id, data),
        warnings=reading.texts(data, "warnings"),
        processing_time=reading.number(data, "processingTime"),
        stages=None
        if stages is None
        else {key: took for key in stages if (took := reading.number(stages, key)) is not None},
    )


def _failed(job_id: str, data: Object) -> AnyEvent:
    return Failed(
        **_envelope(job_id, data),
        error=reading.text(data, "error") or "the server gave no reason",
        code=reading.text(data, "code"),
        hint=reading.text(data, "hint"),
        stage=reading.text(data, "stage"),
        item=reading.text(data, "item"),
        retryable=reading.flag(data, "retryable"),
    )


def _cancelled(job_id: str, data: Object) -> AnyEvent:
    return Cancelled(
        **_envelope(job_id, data),
        cancelled_by=reading.text(data, "cancelledBy"),
        reason=reading.text(data, "reason"),
        progress=reading.percent(data, "progress"),
        message=reading.text(data, "message"),
        cleanup_completed=reading.flag(data, "cleanupCompleted"),
    )


def _status_sync(job_id: str, data: Object) -> AnyEvent:
    return StatusSync(
        job_id=job_id,
        project_id=reading.text(data, "projectId"),
        timestamp=reading.moment(data, "timestamp"),
        status=reading.text(data, "status") or "unknown",
        phase=reading.text(data, "phase"),
        stage=reading.text(data, "stage"),
        progress=reading.percent(data, "progress"),
        message=reading.text(data, "message"),
        last_seq=reading.integer(data, "lastSeq"),
    )


def _heartbeat(job_id: str, data: Object) -> AnyEvent:
    return Heartbeat(
        job_id=job_id, timestamp=reading.moment(data, "timestamp"), last_seq=reading.integer(data, "lastSeq") or 0
    )


_READERS: Final[dict[str, Callable[[str, Object], AnyEvent]]] = {
    "export:started": _started,
    PROGRESS: _progress,
    "export:phase-changed": _phase_changed,
    "export:download-ready": _download_ready,
    "export:completed": _completed,
    "export:failed": _failed,
    "export:cancelled": _cancelled,
    "export:status-sync": _status_sync,
    "export:heartbeat": _heartbeat,
}
