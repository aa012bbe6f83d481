"""One look at a job: what `…/status`, the history and its pushes say, in either protocol.

What a server does not say is None. The number in brackets is that of an oddity of `WIRE.md`.
"""

from dataclasses import dataclass

from exportctl.protocol.dialects import dialect1, dialect2, reading, wording
from exportctl.protocol.dialects.reading import Object
from exportctl.protocol.events import StageProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A job as its server sees it now. Sizes in bytes, times in seconds or RFC 3339."""

    id: str
    project_id: str | None
    project_name: str | None
    status: str
    phase: str | None
    stage: str | None
    progress: float | None
    stage_progress: StageProgress | None
    estimated_time_remaining: float | None
    message: str | None
    created_at: str | None
    completed_at: str | None
    file_name: str | None
    file_size: int | None
    sha256: str | None
    warnings: tuple[str, ...]
    error: Object | None
    last_seq: int | None
    options: Object | None = None


def read_status(source: Object, job_id: str) -> JobStatus:
    """Return the job that an answer, or an event of the history, tells of; `job_id` where it does not say."""
    archive = reading.mapping(source, "archive") or {}
    status, message = reading.text(source, "status") or "unknown", reading.text(source, "message")
    error = reading.mapping(source, "error")
    if status == "failed" and error is None and message is not None:
        # Protocol 1: the reason is the message, and a cancellation calls itself a failure in the end (4).
        if wording.is_cancellation(message):
            status = "cancelled"
        else:
            error = {"message": wording.shown(message)}
    return JobStatus(
        id=reading.text(source, "id") or job_id,
        project_id=reading.text(source, "projectId"),
        project_name=reading.text(source, "projectName"),
        status=status,
        phase=reading.text(source, "phase"),
        stage=reading.text(source, "stage"),
        progress=dialect1.progress_of(source),
        stage_progress=dialect2.stage_progress(source),
        estimated_time_remaining=reading.number(source, "estimatedTimeRemaining"),
        message=None if message is None else dialect1.message_of(message),
        created_at=reading.moment(source, "createdAt"),
        completed_at=reading.moment(source, "completedAt"),
        file_name=reading.text(archive, "fileName"),
        file_size=reading.integer(archive, "fileSize"),
        sha256=reading.text(archive, "sha256"),
        warnings=reading.texts(source, "warnings"),
        error=error,
        last_seq=reading.integer(source, "lastSeq"),
        options=reading.mapping(source, "options"),
    )
