"""How a job's end is told: made, failed or cancelled, in the words of the wire.

What was told before a server died is not told again: the record says how far the telling had come.
"""

from exportctl.server.export.names import saved_as
from exportctl.server.failures import JobFailedError
from exportctl.server.job import ArchiveFacts, Cancellation, EventName, Status, timestamp
from exportctl.server.journal import Journal
from exportctl.server.pipeline import Made
from exportctl.server.settings import Settings


async def tell_made(journal: Journal, made: Made, settings: Settings) -> None:
    """Tell that the archive is there, and that the job is completed."""
    if journal.record.phase != "downloading":
        message = "Archive ready, downloading can begin"
        await journal.tell(
            EventName.PHASE_CHANGED,
            {
                "fromPhase": "processing",
                "toPhase": "downloading",
                "message": message,
                "template": "export.phase.downloading",
                "data": {},
                "progress": 100,
            },
            phase="downloading",
            progress=100,
            message=message,
            eta=None,
        )
    if journal.record.archive is None:
        name = saved_as(journal.record.project_name) or "export"
        expires = settings.clocks.now() + settings.retention
        sealed = made.sealed
        archive = ArchiveFacts(file_name=f"{name}.zip", size=sealed.size, sha256=sealed.sha256, expires=expires)
        await journal.tell(
            EventName.DOWNLOAD_READY, {**archive.to_wire(), "expiresAt": timestamp(expires)}, archive=archive
        )
    await journal.tell(
        EventName.COMPLETED,
        {
            "warnings": made.warnings,
            "processingTime": made.seconds,
            "stages": made.stages,
            "message": "Export completed",
            "template": "export.status.completed",
            "data": {},
        },
        status=Status.COMPLETED,
        message="Export completed",
        warnings=made.warnings,
        completed=settings.clocks.now(),
    )


async def tell_failed(journal: Journal, failure: JobFailedError, settings: Settings) -> None:
    """Tell why the job failed."""
    error = failure.error
    await journal.tell(
        EventName.FAILED,
        {
            "error": error.message,
            "code": error.code,
            "hint": error.hint,
            "stage": failure.stage,
            "item": failure.item,
            "retryable": error.retryable,
            "message": f"Export failed: {error.message}",
            "template": "export.status.failed",
            "data": {"error": error.message},
        },
        status=Status.FAILED,
        message=error.message,
        error=error,
        archive=None,
        eta=None,
        completed=settings.clocks.now(),
    )


async def tell_cancelled(journal: Journal, asked: Cancellation, settings: Settings, *, clean: bool) -> None:
    """Tell that the job was cancelled; `clean`: nothing of it is left on disk."""
    message = f"Export cancelled by {asked.by}"
    await journal.tell(
        EventName.CANCELLED,
        {
            "cancelledBy": asked.by,
            "reason": asked.reason,
            "progress": journal.record.progress,
            "message": message,
            "template": "export.status.cancelled",
            "data": {},
            "cleanupCompleted": clean,
        },
        status=Status.CANCELLED,
        message=message,
        archive=None,
        eta=None,
        completed=settings.clocks.now(),
    )
