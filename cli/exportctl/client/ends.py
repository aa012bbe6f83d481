"""What a protocol 1 status says, as the events that were or would have been told of the job."""

from datetime import datetime

from msgspec.structs import replace

from exportctl.client.job_status import JobStatus
from exportctl.protocol.dialects import dialect1, reading, wording
from exportctl.protocol.events import Cancelled, Completed, End, Failed, Progress, StatusSync

_COMPRESSING_FROM = 90.0


def standing(seen: JobStatus) -> StatusSync:
    """Return how the job stands, for those who came late."""
    return StatusSync(
        job_id=seen.id,
        project_id=seen.project_id,
        status=seen.status,
        phase=seen.phase,
        stage=seen.stage,
        progress=seen.progress,
        message=seen.message,
    )


def progress_of(seen: JobStatus) -> Progress | None:
    """Return the progress of a job that runs; of its stage the status says nothing (`WIRE.md`, HTTP)."""
    if seen.status not in {"pending", "processing"} or seen.progress is None:
        return None
    stage = dialect1.COMPRESSION if seen.progress >= _COMPRESSING_FROM else None
    template, data = dialect1.template_of(stage, None)
    return Progress(
        job_id=seen.id,
        project_id=seen.project_id,
        stage=stage,
        progress=seen.progress,
        message=seen.message or ("Creating archive" if stage else "Processing"),
        template=template,
        data=data,
    )


def end_of(seen: JobStatus) -> End | None:
    """Return the end that the status tells of; None for a job that has none yet."""
    match seen.status:
        case "completed":
            return Completed(job_id=seen.id, project_id=seen.project_id, warnings=seen.warnings)
        case "cancelled":
            # Of the clean-up the status says nothing.
            is_by_user = wording.is_cancellation(seen.message) and "user" in (seen.message or "").casefold()
            return Cancelled(
                job_id=seen.id,
                project_id=seen.project_id,
                cancelled_by="user" if is_by_user else None,
                progress=seen.progress,
                message=seen.message,
            )
        case "failed":
            error = reading.text(seen.error or {}, "message")
            return Failed(job_id=seen.id, project_id=seen.project_id, error=error or "the server gave no reason")
        case _:
            return None


def with_time(end: Completed, seen: JobStatus) -> Completed:
    """Return the end with the seconds that the job took by the server's own clock."""
    if seen.created_at is None or seen.completed_at is None:
        return end
    try:
        took = datetime.fromisoformat(seen.completed_at) - datetime.fromisoformat(seen.created_at)
    except (ValueError, TypeError):
        return end
    return replace(end, processing_time=max(0.0, took.total_seconds()), warnings=end.warnings or seen.warnings)
